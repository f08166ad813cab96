"""Operations, counted by torch, against products of shapes."""

import torch

from fedjtt.models import build_model
from fedjtt.sparse.flops import Flops, count_flops
from fedjtt.sparse.layout import Layout


def test_a_lenets_operations_by_hand() -> None:
    """2 per multiplication and addition; 28 x 28 places of 75 weights for 6 maps, and so on.

    Backwards a layer takes as many for its weights and as many for its inputs, which the first need not.
    """
    model = build_model("lenet", (3, 28, 28), 5, torch.Generator().manual_seed(0))
    found = count_flops(model.module, torch.zeros(1, 3, 28, 28), Layout.of(model.module))
    forward = [2 * 28 * 28 * 75 * 6, 2 * 10 * 10 * 150 * 16, 2 * 400 * 120, 2 * 120 * 84, 2 * 84 * 5]
    assert found.inference == forward
    assert found.training == [2 * forward[0], *(3 * count for count in forward[1:])]
    assert not model.gradient.any()


def test_looking_words_up_is_no_operation() -> None:
    """Of a pair of 7 words: 4 x 32 numbers into 64 units, 64 into 3 labels."""
    model = build_model("bag-of-embeddings", (2, 7), 3, torch.Generator().manual_seed(0))
    tokens = torch.zeros(1, 2, 7, dtype=torch.int32)
    assert count_flops(model.module, tokens, Layout.of(model.module)).inference == [0, 2 * 128 * 64, 2 * 64 * 3]


def test_operations_are_in_proportion_to_the_density() -> None:
    assert Flops([10, 20], [20, 60]).at([0.5, 0.1]) == (7.0, 16.0)
