"""Networks and data for tests of attribution."""

from typing import Any

import torch
from torch import Tensor

from fedjtt.attribution.gradients import Gradients
from fedjtt.choices import OF_IMAGES
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.models import FlatModel, build_model
from tests.tiny import grouped

SHAPES = {
    **dict.fromkeys(OF_IMAGES, (3, 16, 16)),
    **dict.fromkeys(("mlp", "logistic"), (4,)),
    "bag-of-embeddings": (2, 5),
}


def network(name: Any = "mlp", labels: int = 3, seed: int = 0) -> FlatModel:
    shape = SHAPES[name] if isinstance(name, str) else (4,)
    return build_model(name, shape, labels, torch.Generator().manual_seed(seed))


def data_for(name: Any = "mlp", n: int = 12, labels: int = 3, seed: int = 0) -> GroupedDataset:
    found = grouped(torch.arange(n) % labels, torch.arange(n) // 2 % 2, labels=labels, seed=seed)
    if not isinstance(name, str) or len(SHAPES[name]) == 1:
        return found
    x = torch.randint(0, 256, (n, *SHAPES[name]), generator=torch.Generator().manual_seed(seed))
    x = x.to(torch.int32 if name == "bag-of-embeddings" else torch.uint8)
    return GroupedDataset(x, found.label, found.attribute, found.id, labels, 2)


def batch(dataset: GroupedDataset, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    x = gather(dataset.x, torch.arange(len(dataset)))
    return x.to(dtype) if x.is_floating_point() else x, dataset.label


def gradients_of(dataset: GroupedDataset, gradients: Gradients) -> Tensor:
    return gradients.of(*batch(dataset))[0]
