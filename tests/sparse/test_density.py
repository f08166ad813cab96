"""ERK against cases that were solved by hand, and what every distribution must keep."""

import pytest

from fedjtt.sparse.density import DISTRIBUTIONS, erdos_renyi_kernel, live_counts
from fedjtt.sparse.layout import Block, Layout

BLOCKS = Layout.from_shapes([("small", (2, 3)), ("large", (10, 20))]).sparse
LENET = Layout.from_shapes(
    [("conv1", (6, 3, 5, 5)), ("conv2", (16, 6, 5, 5)), ("fc1", (120, 400)), ("fc2", (84, 120)), ("fc3", (5, 84))]
).sparse
DENSITIES = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def test_by_hand_where_no_layer_is_full() -> None:
    """(2 + 3) / 6 and (10 + 20) / 200 times epsilon; .1 of 206 is 20.6 = epsilon (5 + 30)."""
    epsilon = 20.6 / 35
    assert erdos_renyi_kernel(BLOCKS, 0.1) == pytest.approx([epsilon * 5 / 6, epsilon * 0.15])


def test_by_hand_where_the_small_layer_is_full() -> None:
    """.3 of 206 is 61.8; epsilon 61.8 / 35 would fill 147 % of the small one: it has 6, the other 55.8 of 200."""
    assert erdos_renyi_kernel(BLOCKS, 0.3) == pytest.approx([1.0, 55.8 / 200])


def test_a_layer_that_fills_up_only_after_another_has() -> None:
    """Raw 5/6, 7/12, 30/200; .32 of 218 is 69.76, epsilon 69.76 / 42 = 1.661: the first is full, 97 % of the second.

    Then 63.76 / 37 = 1.7232 fills the second too, and the third has what is left, 51.76 of 200.
    """
    blocks = Layout.from_shapes([("a", (2, 3)), ("b", (3, 4)), ("c", (10, 20))]).sparse
    assert erdos_renyi_kernel(blocks, 0.32) == pytest.approx([1.0, 1.0, 51.76 / 200])


def test_the_kernel_counts_as_sides() -> None:
    """A 3 x 3 kernel over 4 to 8 channels: (8 + 4 + 3 + 3) / 288."""
    blocks = (Block("conv", (8, 4, 3, 3), 0), Block("fc", (10, 10), 288))
    first, second = erdos_renyi_kernel(blocks, 0.05)
    assert first / second == pytest.approx((18 / 288) / (20 / 100))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("density", DENSITIES)
def test_the_share_of_all_weights_is_the_density(name: str, density: float) -> None:
    shares = DISTRIBUTIONS[name](LENET, density)
    assert all(0 < share <= 1 for share in shares)
    live = sum(share * block.size for share, block in zip(shares, LENET, strict=True))
    assert live == pytest.approx(density * sum(block.size for block in LENET))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_counts_are_whole_at_least_one_and_near_the_share(name: str) -> None:
    counts = live_counts(LENET, 0.05, name)
    shares = DISTRIBUTIONS[name](LENET, 0.05)
    assert all(abs(count - share * b.size) <= 0.5 for count, share, b in zip(counts, shares, LENET, strict=True))
    assert min(live_counts(LENET, 1e-6, name)) == 1
    assert live_counts(LENET, 1.0, name) == [block.size for block in LENET]
