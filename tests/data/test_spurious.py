import matplotlib
import numpy as np
import pytest
import torch

from fedjtt.data.spurious import (
    BOXES,
    CORNERS,
    INK,
    assign_attributes,
    balanced_attributes,
    colour,
    colour_digits,
    masks,
    noisy_digits,
    noisy_labels,
    palette,
    share_of,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("num_colours", [1, 2, 3, 5, 7, 10, 100])
def test_palette_is_matplotlibs_hsv_map(num_colours: int) -> None:
    # The oracle is the map that the public generator samples, at np.arange(0, 1, 1 / K).
    levels = matplotlib.colormaps["hsv"](np.arange(num_colours) / num_colours)[:, :3] * 255
    assert palette(num_colours).dtype == torch.uint8
    assert np.array_equal(palette(num_colours).numpy(), np.rint(levels))


def test_share_is_the_decimal_one() -> None:
    # int(.29 * 100) is 28, because .29 * 100 is 28.999999999999996.
    assert share_of(0.29, 100) == 29
    assert [share_of(0.995, n) for n in (10133, 200, 199, 0)] == [10082, 199, 198, 0]
    assert share_of(1, 7) == 7


@pytest.mark.parametrize(
    ("difficulty", "corner", "rows", "columns"),
    [
        ("large", "top-left", slice(0, 28), slice(0, 28)),
        ("large", "top-right", slice(0, 28), slice(0, 28)),
        ("medium", "top-left", slice(0, 4), slice(0, 4)),
        ("medium", "top-right", slice(0, 4), slice(24, 28)),
        ("small", "top-left", slice(0, 2), slice(0, 2)),
        ("small", "top-right", slice(0, 2), slice(26, 28)),
        ("variance-low", "top-left", slice(0, 7), slice(0, 7)),
        ("variance-low", "top-right", slice(0, 7), slice(21, 28)),
    ],
)
def test_fixed_masks_are_their_box(difficulty: str, corner: str, rows: slice, columns: slice) -> None:
    expected = torch.zeros(1, 28, 28, dtype=torch.bool)
    expected[:, rows, columns] = True
    assert torch.equal(masks(difficulty, corner, 9, rng()), expected)


@pytest.mark.parametrize(
    ("difficulty", "corner", "rows", "columns"),
    [
        ("variance-medium", "top-left", slice(0, 14), slice(0, 14)),
        ("variance-medium", "top-right", slice(0, 14), slice(14, 28)),
        ("variance-high", "top-left", slice(0, 28), slice(0, 28)),
    ],
)
def test_drawn_masks_hold_49_pixels_of_their_box(difficulty: str, corner: str, rows: slice, columns: slice) -> None:
    mask = masks(difficulty, corner, 2000, rng())
    box = mask[:, rows, columns]
    assert mask.shape == (2000, 28, 28)
    assert box.flatten(1).sum(1).eq(49).all()
    assert mask.sum() == box.sum()
    # Each pixel of a box of B is drawn with probability p = 49 / B: binomial, so 5 sigma bound all B of them.
    share = 49 / (box.shape[1] * box.shape[2])
    assert (box.float().mean(0) - share).abs().max() < 5 * (share * (1 - share) / 2000) ** 0.5
    assert len(torch.unique(mask.flatten(1), dim=0)) == 2000


def test_drawn_masks_do_not_depend_on_how_many_follow() -> None:
    # Images are handled in blocks; a block's numbers come in the order of the images.
    assert torch.equal(
        masks("variance-high", "top-left", 5000, rng())[:4096], masks("variance-high", "top-left", 4096, rng())
    )


@pytest.mark.parametrize("strength", [0.2, 0.9, 0.995, 1.0])
def test_train_colours_have_the_exact_counts(strength: float) -> None:
    sizes = [1000, 403, 200, 7, 0]
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor(sizes))[torch.from_numpy(rng().permutation(1610))]
    attribute = assign_attributes(labels, 5, strength, rng(1))
    for label, size in enumerate(sizes):
        counts = torch.bincount(attribute[labels == label], minlength=5).tolist()
        own = counts.pop(label)
        assert own == int(strength * 1000) * size // 1000
        assert sum(counts) == size - own
        assert max(counts) - min(counts) <= 1


def test_balanced_colours_differ_by_at_most_one() -> None:
    labels = torch.arange(1013) % 5
    attribute = balanced_attributes(labels, 5, rng())
    counts = torch.bincount(labels * 5 + attribute, minlength=25).view(5, 5)
    assert (counts.max(1).values - counts.min(1).values).max() <= 1
    assert counts.sum() == 1013


def test_which_colour_gets_one_more_is_drawn() -> None:
    # One example besides the own colour: over 40 seeds it lands on each of the four others (miss chance 4 * .75^40).
    labels = torch.zeros(10, dtype=torch.int64)
    landed = {int(assign_attributes(labels, 5, 0.9, rng(seed)).max()) for seed in range(40)}
    assert landed == {1, 2, 3, 4}


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("difficulty", BOXES)
def test_colour_is_the_generators_sum(difficulty: str, corner: str) -> None:
    # The definition, in integers wide enough not to wrap: digit in three channels + colour * mask where the digit is 0.
    images = torch.from_numpy(rng().integers(0, 256, (6, 28, 28)) * (rng(1).random((6, 28, 28)) < 0.3)).to(torch.uint8)
    attribute = torch.tensor([0, 1, 2, 3, 4, 0])
    mask = masks(difficulty, corner, 6, rng(2))
    background = palette(5)[attribute].long()[:, :, None, None] * mask[:, None] * (images == 0)[:, None]
    result = colour(images, attribute, 5, mask)
    assert result.dtype == torch.uint8
    assert torch.equal(result.long(), images.long()[:, None].expand(6, 3, 28, 28) + background)


def test_a_painted_digit_pixel_by_pixel() -> None:
    # The published rule: from level 120 to 255 a pixel becomes the colour, all others stay as they are.
    images = torch.tensor([0, 1, INK - 1, INK, 200, 255], dtype=torch.uint8).repeat(2, 131)[:, :784].view(2, 28, 28)
    attribute = torch.tensor([3, 0])
    shades = palette(5)[attribute].tolist()
    expected = [
        [[[shade if 120 <= level <= 255 else level for level in row] for row in image] for shade in shades[number]]
        for number, image in enumerate(images.tolist())
    ]
    painted = colour_digits(images, attribute, 5)
    assert painted.dtype == torch.uint8
    assert painted.tolist() == expected


def test_label_noise_changes_exactly_its_share_to_every_other_label() -> None:
    labels = torch.arange(5).repeat(200)
    noisy = noisy_labels(labels, 5, 0.3, rng())
    changed = noisy != labels
    assert int(changed.sum()) == 300
    assert set(((noisy - labels) % 5)[changed].tolist()) == {1, 2, 3, 4}
    assert torch.equal(noisy_labels(labels, 5, 0.0, rng()), labels)
    assert torch.equal(labels, torch.arange(5).repeat(200))


def test_core_noise_thins_exactly_its_share_of_the_digits() -> None:
    images = torch.full((400, 28, 28), 200, dtype=torch.uint8)
    noisy = noisy_digits(images, 0.25, rng())
    damaged = (noisy != images).flatten(1).any(1)
    assert int(damaged.sum()) == 100
    assert set(noisy.unique().tolist()) == {0, 200}
    # P(N(0, 1) > .25) = .4013; 78,400 pixels give a standard error of .0018.
    assert (noisy[damaged] == 200).float().mean().item() == pytest.approx(0.4013, abs=0.009)
    assert (images == 200).all()
