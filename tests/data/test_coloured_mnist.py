"""Coloured MNIST on the real files, on a tiny set of the same layout, and its paint by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from fedjtt.data.coloured_mnist import SPREAD, load_coloured_mnist, painted
from fedjtt.data.grouped import majority_attribute, minority_mask
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.data.spurious import palette
from fedjtt.errors import DataError


def options(data_dir: Path, **changes: float) -> DataOptions:
    return replace(default_options("coloured-mnist"), data_dir=data_dir, **changes)  # type: ignore[arg-type]


def test_sizes_and_conflicts_on_real_mnist(mnist_dir: Path) -> None:
    """Of each digit a tenth is held back; what is left less floor(.995 of it) conflicts: about 27 of 5,400 a digit."""
    splits = load_coloured_mnist(options(mnist_dir))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [54000, 6000, 10000]
    counts = splits.train.group_counts().view(10, 10)
    sizes = counts.sum(1)
    assert counts.diagonal().tolist() == [int(np.floor(0.995 * size)) for size in sizes.tolist()]
    assert int(minority_mask(splits.train, majority_attribute(splits.train)).sum()) == int(
        (sizes - counts.diagonal()).sum()
    )
    for part in (splits.validation, splits.test):
        balance = part.group_counts().view(10, 10)
        assert (balance.max(1).values - balance.min(1).values).max() <= 1
    source = MNIST(mnist_dir, train=True)  # torchvision's own decoder
    assert torch.equal(splits.train.label, source.targets[splits.train.id])
    ids = torch.cat([splits.train.id, splits.validation.id])
    assert ids.sort().values.tolist() == list(range(60000))
    rows = torch.arange(0, 54000, 997)
    ink = source.data[splits.train.id[rows]] == 255  # where a digit is full, its brightest channel shows the colour
    brightest = splits.train.x[rows].amax(dim=1)
    assert brightest[ink].float().mean() > 220
    assert (brightest[source.data[splits.train.id[rows]] == 0] == 0).all()


@pytest.mark.parametrize("strength", [0.95, 0.5])
def test_the_strength_is_exact_for_each_digit(tiny_mnist: Path, strength: float) -> None:
    train = load_coloured_mnist(options(tiny_mnist, spurious_strength=strength)).train
    counts = train.group_counts().view(10, 10)
    assert counts.diagonal().tolist() == [int(strength * size + 1e-9) for size in counts.sum(1).tolist()]


def test_noise_is_on_labels_and_not_on_colours(tiny_mnist: Path) -> None:
    clean, noisy = (load_coloured_mnist(options(tiny_mnist, label_noise=share)).train for share in (0.0, 0.2))
    assert torch.equal(clean.x, noisy.x)
    assert int((clean.label != noisy.label).sum()) == int(0.2 * len(clean))
    assert torch.equal(clean.attribute, noisy.attribute)  # type: ignore[arg-type]


def test_paint_by_hand() -> None:
    """A pixel is its grey level times the image's shade; shades scatter by .05 around the attribute's colour."""
    images = torch.tensor([0, 100, 255], dtype=torch.uint8).view(1, 1, 3).expand(2000, 1, 3)
    x = painted(images, torch.full((2000,), 1), np.random.default_rng(0)).double()
    assert (x[..., 0] == 0).all()
    full = x[..., 0, 2] / 255
    colour = palette(10)[1].double() / 255
    inside = (colour > 0.2) & (colour < 0.8)
    assert inside.any()
    assert full[:, inside].mean(0).tolist() == pytest.approx(colour[inside].tolist(), abs=0.005)
    assert full[:, inside].std(0).tolist() == pytest.approx([SPREAD] * int(inside.sum()), rel=0.1)
    assert (x[..., 0, 1] - x[..., 0, 2] * 100 / 255).abs().max() <= 1


def test_equal_seeds_are_equal_and_others_not(tiny_mnist: Path) -> None:
    one, again, other = (load_coloured_mnist(replace(options(tiny_mnist), seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(one.train.x, again.train.x)
    assert not torch.equal(one.train.id, other.train.id)


def test_missing_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing; set --data-dir or FEDJTT_DATA") as caught:
        load_coloured_mnist(options(tmp_path))
    assert "\n" not in str(caught.value)
