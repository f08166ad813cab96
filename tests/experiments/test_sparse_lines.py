"""What an explanation says of a sparse network, and where it stands."""

from typing import Any

from experiments.sparse_lines import sparse_lines
from tests.experiments.test_explanation import shown

ABOUT: dict[str, Any] = {
    "density": 0.05, "parameters": 2000, "live-parameters": 140, "in-time-over-parametrisation": 0.125,
    "mask-changes": 6, "whole-gradients": 6, "lambda": 50.0, "conflicting-share": 0.021, "share-of-dense-bytes": 0.117,
    "memory": {"weights": 810, "dense-weights": 8000},
    "flops": {"inference": 10.0, "training": 45.0, "dense-inference": 100, "dense-training": 300},
    "layers": [
        {"name": "conv1.weight", "weights": 100, "live": 60, "density": 0.6},
        {"name": "fc.weight", "weights": 1600, "live": 25, "density": 0.015625},
    ],
}  # fmt: skip


def test_shares_are_of_the_dense_network() -> None:
    weights, mask, saved, weighed = sparse_lines(ABOUT)
    assert weights == (
        "140 of 2,000 weights live, 5.0 % of those that can be dead: from 1.6 % in fc.weight to 60.0 % in conv1.weight."
    )
    assert mask == "The mask changed 6 times, 6 by whole gradients; 12.5 % were live at some time."
    assert saved == (
        "Of the dense network: 10.0 % of the operations of inference, 15.0 % of training's, 10.1 % of the memory of "
        "weights, 11.7 % of the bytes of its rounds."
    )
    assert (
        weighed
        == "An example that conflicts with the shortcut weighed 50 times another; 2.1 % of train were taken for such."
    )


def test_nothing_travels_in_central_training() -> None:
    assert sparse_lines({**ABOUT, "share-of-dense-bytes": None})[2].endswith("10.1 % of the memory of weights.")


def test_a_dense_network_is_called_one() -> None:
    assert sparse_lines({**ABOUT, "density": 1.0})[0] == "All weights live: a dense network."


def test_it_stands_before_the_robust_stage() -> None:
    text = shown(sparse=ABOUT)
    assert text.index("Sparse network") < text.index("140 of 2,000") < text.index("Robust stage")
    assert "Sparse network" not in shown(sparse=None)
