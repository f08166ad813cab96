"""BERT and DistilBERT: tokens and networks by ``transformers``, an optional package that only these two need.

Dropout is off: it would draw from torch's global generator, and equal seeds would no longer give equal weights.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedjtt.errors import ConfigError
from fedjtt.initial_values import make_room

WITHOUT_DROPOUT = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "distilbert": {"dropout": 0.0, "attention_dropout": 0.0},
}


def _package() -> Any:
    try:
        import transformers  # slow to import, and not always there
    except ImportError:
        raise ConfigError(
            "the models bert and distilbert need the package transformers, which is not installed; "
            "pip install 'fedjtt[text]', or set model to bag-of-embeddings"
        ) from None
    return transformers


def _read(kind: str, name: str, download: bool, **rest: Any) -> Any:
    """Return what transformers reads from a folder, or by a name: one of its Auto classes' ``from_pretrained``."""
    try:
        return getattr(_package(), kind).from_pretrained(name, local_files_only=not download, **rest)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"text-model is {name!r}, which cannot be read as a pretrained model ({reason}); name the folder that "
            "holds its config, weights and vocabulary, or set download to true"
        ) from None


@lru_cache(maxsize=2)
def tokenizer_of(name: str, download: bool) -> Any:
    """Return a pretrained model's own tokenizer."""
    return _read("AutoTokenizer", name, download)


def tokenised(texts: tuple[Sequence[str], ...], name: str, length: int, download: bool) -> np.ndarray:
    """Return the tokens of texts, or of pairs as one text each, int32 ``[n, length]``; the longer is cut first."""
    cut = tokenizer_of(name, download)
    columns = [list(each) for each in texts]
    found = cut(*columns, padding="max_length", truncation=True, max_length=length, return_attention_mask=False)
    return np.array(found["input_ids"], dtype=np.int32).reshape(-1, length)


class PretrainedText(nn.Module):
    """A pretrained body, and the logits from what it says of the first token.

    As the heads that were published with the two: a linear layer on BERT's pooled first token, and on DistilBERT's
    after a linear layer and a ReLU.

    Parameters
    ----------
    kind : str
        ``bert`` or ``distilbert``.
    name : str
        The folder, or the name by which transformers knows it.
    """

    def __init__(self, kind: str, name: str, download: bool, length: int, num_labels: int) -> None:
        super().__init__()
        config = _read("AutoConfig", name, download, **WITHOUT_DROPOUT[kind])
        if config.model_type != kind:
            raise ConfigError(f"text-model is {name!r}, a model of type {config.model_type}; set model to that type")
        if length > config.max_position_embeddings:
            raise ConfigError(f"max-length is {length}; {name!r} has places for {config.max_position_embeddings}")
        tokenizer = tokenizer_of(name, download)
        self._source, self._padding, self._separator = (name, download), tokenizer.pad_token_id, tokenizer.sep_token_id
        self.body = _package().AutoModel.from_config(config)
        for layer in self.body.modules():  # counted places, which forward gives: a network here has parameters only
            layer._buffers.clear()
        self.between = nn.Linear(config.hidden_size, config.hidden_size) if kind == "distilbert" else None
        self.out = nn.Linear(config.hidden_size, num_labels)

    def load_pretrained(self) -> None:
        """Overwrite the body's values with the pretrained ones.

        Raises
        ------
        ConfigError
            Where the file lacks some.
        """
        name, download = self._source
        read, about = _read("AutoModel", name, download, output_loading_info=True)
        if about["missing_keys"]:
            raise ConfigError(f"text-model {name!r} lacks weights, {sorted(about['missing_keys'])[0]!r} among them")
        weights = {key: value.float() for key, value in read.state_dict().items()}
        self.body.load_state_dict(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, num_labels]`` of tokens ``[n, length]``; padding is not looked at."""
        first = self.first(x)
        return self.out(first if self.between is None else functional.relu(self.between(first)))  # type: ignore[no-any-return]

    def first(self, x: Tensor) -> Tensor:
        """Return what the pretrained body says of the first token, ``[n, width]``; BERT's own layer on it included."""
        x = x.long()
        mask = (x != self._padding).long()
        if self.between is not None:
            return self.body(input_ids=x, attention_mask=mask).last_hidden_state[:, 0]  # type: ignore[no-any-return]
        ends = (x == self._separator).long()
        second = ((ends.cumsum(dim=1) - ends) > 0).long() * mask
        places = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        said = self.body(input_ids=x, attention_mask=mask, token_type_ids=second, position_ids=places)
        return said.pooler_output  # type: ignore[no-any-return]


class _First(nn.Module):
    """A text network without what stands behind its pretrained body."""

    def __init__(self, text: PretrainedText) -> None:
        super().__init__()
        self.text = text

    def forward(self, x: Tensor) -> Tensor:
        return self.text.first(x)


@lru_cache(maxsize=2)
def _values_digest(name: str, download: bool) -> str:
    """Return the SHA-256 (hex) of a pretrained body's values, and of the version that computes with them."""
    found = hashlib.sha256(_package().__version__.encode())
    for key, value in sorted(_read("AutoModel", name, download).state_dict().items()):
        found.update(key.encode())
        found.update(value.float().contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class PretrainedBuilder:
    """Builds a pretrained network; it equals any other of the same kind and source.

    Attributes
    ----------
    kind, name : str
        ``bert`` or ``distilbert``, and the folder or name.
    download : bool
        Whether transformers may download it.
    """

    kind: str
    name: str
    download: bool = False

    def __call__(self, input_shape: tuple[int, ...], num_labels: int) -> nn.Module:
        """Build the network; its values are those of :meth:`PretrainedText.load_pretrained` once that was called."""
        return PretrainedText(self.kind, self.name, self.download, input_shape[-1], num_labels)

    def frozen(self, input_shape: tuple[int, ...], device: str) -> nn.Module:
        """Return the pretrained body in evaluation mode: from tokens to what it says of the first one."""
        with torch.device("meta"):  # nothing is drawn
            text = PretrainedText(self.kind, self.name, self.download, input_shape[-1], 1)
        make_room(text)
        with torch.no_grad():
            text.load_pretrained()
        return _First(text).requires_grad_(requires_grad=False).eval().to(device)

    @property
    def width(self) -> int:
        """How many numbers the body says of a token."""
        return int(_read("AutoConfig", self.name, self.download).hidden_size)

    def weights_digest(self) -> str:
        """Return the SHA-256 (hex) of the body's values."""
        return _values_digest(self.name, self.download)
