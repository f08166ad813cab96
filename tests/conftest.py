"""What several tests share: where real data is, and a tiny MNIST of the right shape where it is not."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real datasets: FEDJTT_DATA, or shared/data beside the repository. May not exist."""
    return Path(os.environ.get("FEDJTT_DATA") or REPO.parent / "shared" / "data")


@pytest.fixture(scope="session")
def mnist_dir(data_dir: Path) -> Path:
    """The data-dir with the original MNIST, or a skip."""
    if not (data_dir / "MNIST" / "raw").is_dir():
        pytest.skip("MNIST is not here: set FEDJTT_DATA to a folder that holds MNIST/raw")
    return data_dir


@pytest.fixture
def tiny_mnist(tmp_path: Path) -> Path:
    """A data-dir with four well-formed idx files: 205 train and 60 test images of random strokes."""
    raw = tmp_path / "tiny" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for part, count in (("train", 205), ("t10k", 60)):
        images = chance.integers(1, 256, (count, 28, 28), dtype=np.uint8) * (chance.random((count, 28, 28)) < 0.2)
        digits = (np.arange(count) % 10).astype(np.uint8)
        image_header, label_header = struct.pack(">4I", 0x803, count, 28, 28), struct.pack(">2I", 0x801, count)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(image_header + images.astype(np.uint8).tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(label_header + digits.tobytes())
    return raw.parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that have slow tests: a worker takes a whole file, and the last one decides the time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
