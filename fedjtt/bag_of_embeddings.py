"""A text as the mean of its words' embeddings: a network for texts that needs nothing but the texts."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedjtt.data.tokens import BUCKETS, PADDING
from fedjtt.errors import ConfigError

EMBEDDING, HIDDEN = 32, 64


class BagOfEmbeddings(nn.Module):
    """Means of embeddings over the words of a text, one hidden layer, and the logits.

    Of a pair of texts with means u and v the hidden layer sees u, v, abs(u - v) and u v, as in Conneau et al.,
    "Supervised Learning of Universal Sentence Representations" (2017). 532,674 parameters for pairs and 2 labels.

    Parameters
    ----------
    input_shape : tuple of int
        (length,) for texts, (2, length) for pairs; the numbers are those of :mod:`fedjtt.data.tokens`.
    num_labels : int
        Outputs.
    width : float
        Factor on the embeddings and on the units of the hidden layer.
    """

    def __init__(self, input_shape: tuple[int, ...], num_labels: int, width: float = 1.0) -> None:
        super().__init__()
        if len(input_shape) not in (1, 2) or (len(input_shape) == 2 and input_shape[0] != 2):
            raise ConfigError(
                f"model bag-of-embeddings needs tokens of texts or of pairs, not inputs of shape {input_shape}; "
                "use mlp or lenet"
            )
        wide, hidden = (max(1, int(units * width + 0.5)) for units in (EMBEDDING, HIDDEN))
        self.embedding = nn.Embedding(BUCKETS, wide)
        self.fc1 = nn.Linear(wide if len(input_shape) == 1 else 4 * wide, hidden)
        self.fc2 = nn.Linear(hidden, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of tokens ``[n, length]`` or ``[n, 2, length]``."""
        words = (x != PADDING).unsqueeze(-1).to(self.embedding.weight.dtype)
        means = (self.embedding(x) * words).sum(dim=-2) / words.sum(dim=-2).clamp(min=1)
        if means.dim() == 3:
            u, v = means.unbind(dim=1)
            means = torch.cat([u, v, (u - v).abs(), u * v], dim=1)
        return self.fc2(functional.relu(self.fc1(means)))  # type: ignore[no-any-return]
