"""What a frozen pretrained network sees in a dataset, computed once on this host and kept: ``features = cached``.

From then on an example is its row of features, and what is trained is a linear layer over them, which is cheap for
methods that change the last layer, or who counts how much. Each machine computes the rows that it asks for, which are
its own; nothing of them leaves it.

A row's features do not depend on what is computed beside it, so that central and federated runs have the same bits: on
a CPU rows pass through the network one by one, on a GPU in batches of one size, filled up where rows are missing.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedjtt.backbones import TorchvisionBuilder
from fedjtt.config import RunConfig, digest_of
from fedjtt.data.feature_rows import FeatureRows, Inputs
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.image_rows import ImageRows
from fedjtt.data.options import cache_dir
from fedjtt.data.row_file import Purpose, RowFile
from fedjtt.data.sampling import gather
from fedjtt.pretrained_text import PretrainedBuilder
from fedjtt.workspace import pretrained_of

FORMAT = 1
BATCH = {"cpu": 1, "cuda": 64}
FEATURES = Purpose("features", "feature-cache")


@dataclass(frozen=True)
class Frozen:
    """A frozen network, and where what it sees is kept.

    Attributes
    ----------
    model : str
        What it is called.
    builder : TorchvisionBuilder or PretrainedBuilder
        Has the network and its pretrained weights.
    folder : Path
        Of the files of features.
    device, threads : str, int
        What it computes on; others give other bits, and have files of their own.
    """

    model: str
    builder: TorchvisionBuilder | PretrainedBuilder
    folder: Path
    device: str
    threads: int

    @classmethod
    def of_run(cls, config: RunConfig) -> "Frozen | None":
        """Return what a config asks for, or None where the network itself is trained."""
        builder = pretrained_of(config)
        if config.features != "cached" or builder is None:
            return None
        folder = Path(config.feature_cache) if config.feature_cache else cache_dir() / "features"
        return cls(config.model, builder, folder, config.device, config.threads)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what decides the features, beside the inputs."""
        return digest_of([self.model, self.builder.weights_digest(), self.device, self.threads, torch.__version__])

    def seen(self, splits: Splits) -> Splits:
        """Return the splits with features in the place of inputs; splits that have features already as they are."""
        sources: dict[str, _Seen] = {}
        parts = [self._part(part, sources) for part in (splits.train, splits.validation, splits.test)]
        return replace(splits, train=parts[0], validation=parts[1], test=parts[2])

    def _part(self, part: GroupedDataset, sources: "dict[str, _Seen]") -> GroupedDataset:
        if isinstance(part.x, FeatureRows):
            return part
        whole, index = _whole(part.x)
        if isinstance(self.builder, TorchvisionBuilder):
            self.builder.check_input(tuple(whole.shape[1:]))
        identity = digest_of([_identity(whole), self.fingerprint])
        if identity not in sources:  # the three parts of a folder of photographs share one
            sources[identity] = _Seen(self, whole, identity)
        return replace(part, x=FeatureRows(sources[identity], index))


class _Seen:
    """Features of all rows of an input, each computed when it is first asked for."""

    def __init__(self, frozen: Frozen, x: Tensor | ImageRows, identity: str) -> None:
        self._frozen, self._x = frozen, x
        stamps = x.source.stamps() if isinstance(x, ImageRows) else np.zeros(len(x), np.uint32)
        path = frozen.folder / f"{frozen.model}-{identity[:16]}-{FORMAT}.features"
        self.shape = (len(x), frozen.builder.width)
        self._rows = RowFile(path, self.shape, np.float32, stamps, FEATURES)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows; the network is built when the first one is missing."""
        return self._rows.read(rows, self._computed, BATCH[self._frozen.device])

    @torch.no_grad()
    def _computed(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        frozen, size = self._frozen, BATCH[self._frozen.device]
        network = _network(frozen.builder, tuple(self._x.shape[1:]), frozen.device)
        filled = torch.from_numpy(np.resize(rows, size))
        batch = gather(self._x, filled).to(frozen.device)
        if batch.dim() == 4:  # another layout in memory gives other bits
            batch = batch.contiguous(memory_format=torch.channels_last)
        return network(batch)[: len(rows)].float().cpu().numpy()  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _network(builder: TorchvisionBuilder | PretrainedBuilder, shape: tuple[int, ...], device: str) -> nn.Module:
    return builder.frozen(shape, device)


def _whole(x: Inputs) -> tuple[Tensor | ImageRows, NDArray[np.int64]]:
    """Return the input of which x has rows, and which rows these are."""
    if isinstance(x, ImageRows):
        return replace(x, index=np.arange(x.source.shape[0])), x.index
    if isinstance(x, FeatureRows):
        raise TypeError("features of features")
    return x, np.arange(len(x))


def _identity(x: Tensor | ImageRows) -> list[object]:
    """Return what tells inputs from others; of images on the disk all but what the files hold, which stamps tell."""
    if isinstance(x, ImageRows):
        return [x.source.fingerprint, list(x.mean), list(x.std)]
    content = np.ascontiguousarray(x.numpy())
    return [hashlib.sha256(content.data.cast("B")).hexdigest(), list(x.shape), str(x.dtype)]


def said_of(config: RunConfig) -> tuple[str, ...]:
    """Return what a result says of a run on features."""
    if config.features == "none":
        return ()
    weights = config.text_model if config.pretrained == "auto" else config.pretrained
    return (
        f"features is cached: only a linear layer was trained, on what the frozen {config.model} ({weights}) sees; "
        "seconds include computing that for examples of which it was not kept already",
    )


def composed(config: RunConfig, shape: tuple[int, ...], head: nn.Module) -> nn.Module:
    """Return the whole network, from a run's inputs to its logits, given its last layer."""
    frozen = Frozen.of_run(config)
    return head if frozen is None else nn.Sequential(_network(frozen.builder, shape, frozen.device), head)
