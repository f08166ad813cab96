"""How a machine knows the mask that all share, and what of a round travels."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.errors import ForgottenError
from fedjtt.methods.base import Node, Payload
from fedjtt.methods.fit import fit
from fedjtt.methods.masked import NUMBER, QUOTAS, TRACED, WHOLE, drawn_mask, layout_of, mask_of, remember
from fedjtt.methods.rest import FACTORS, REST, WEIGHTS
from fedjtt.sparse.mask import changed
from fedjtt.sparse.wire import BITS, PLACES, SLOPES, TOGGLES, VALUES, bits_of, values_of
from tests.tiny import node_of, tiny_config, tiny_splits


def machine(**changes: Any) -> Node:
    config = tiny_config(**{"method": "rest", "groups": "true", "rest_density": 0.1, "averaging": "none", **changes})
    return node_of(config, tiny_splits().train)


def next_mask(node: Node) -> np.ndarray:
    """The first mask after two weights of each layer have changed."""
    layout, chance = layout_of(node), np.random.default_rng(0)
    first = drawn_mask(node.config, layout)
    quotas = [2 if not first[b.stretch].all() else 0 for b in layout.sparse]
    return changed(
        layout, first, chance.normal(size=layout.size).astype(np.float32), chance.random(layout.size), quotas
    )


def test_the_first_mask_is_drawn_alike_everywhere_and_by_seed() -> None:
    one, other = machine(), machine(seed=1)
    first = mask_of(one, Payload(numbers={NUMBER: 0}), layout_of(one))
    np.testing.assert_array_equal(first, drawn_mask(machine().config, layout_of(one)))
    assert not np.array_equal(first, drawn_mask(other.config, layout_of(other)))


@pytest.mark.parametrize("form", [TOGGLES, BITS])
def test_a_change_is_taken_in_once_and_kept(form: str) -> None:
    node = machine()
    layout, new = layout_of(node), next_mask(node)
    first = mask_of(node, Payload(numbers={NUMBER: 0}), layout)
    told = bits_of(new) if form == BITS else np.flatnonzero(first != new).astype(np.int32)
    for _ in range(2):  # an exchange may be made again
        np.testing.assert_array_equal(mask_of(node, Payload({form: told}, {NUMBER: 1}), layout), new)
    np.testing.assert_array_equal(mask_of(node, Payload(numbers={NUMBER: 1}), layout), new)


@pytest.mark.parametrize("number", [2, 3])
def test_a_machine_that_missed_a_change_says_so_until_it_is_told_all(number: int) -> None:
    node = machine()
    layout, new = layout_of(node), next_mask(node)
    mask_of(node, Payload(numbers={NUMBER: 0}), layout)
    late = Payload({TOGGLES: np.zeros(1, np.int32)}, {NUMBER: number})
    with pytest.raises(ForgottenError, match="does not know the present mask"):
        mask_of(node, late, layout)
    remember(node, Payload({BITS: bits_of(new)}, {NUMBER: number}))
    np.testing.assert_array_equal(mask_of(node, late, layout), new)


def request(node: Node, **numbers: Any) -> Payload:
    layout = layout_of(node)
    weights = node.initial_model().vector.numpy().copy()
    told = {NUMBER: 0, WEIGHTS: [1.0] * 4, FACTORS: [1.0, 3.0, 3.0, 1.0], "group-sizes": [26, 4, 4, 26]}
    span = {"round": 1, "first": 0, "last": 3, "total": 6}
    return Payload({"weights": values_of(weights, drawn_mask(node.config, layout))}, {**told, **span, **numbers})


def test_only_live_weights_travel() -> None:
    node = machine()
    asked = request(node)
    live = int(drawn_mask(node.config, layout_of(node)).sum())
    answer = fit(node, asked, REST())
    assert set(answer.arrays) == {"weights"}
    assert asked.arrays["weights"].shape == answer.arrays["weights"].shape == (live,)
    assert not np.array_equal(asked.arrays["weights"], answer.arrays["weights"])
    assert answer.real("size") == 60


@pytest.mark.parametrize("whole", [True, False])
def test_the_momentum_of_dead_weights_is_told_where_it_is_asked_for(whole: bool) -> None:
    node = machine()
    layout = layout_of(node)
    quotas = [3 if not drawn_mask(node.config, layout)[b.stretch].all() else 0 for b in layout.sparse]
    answer = fit(node, request(node, **{QUOTAS: quotas, TRACED: 1, **({WHOLE: 1} if whole else {})}), REST())
    assert set(answer.arrays) == {"weights", *((SLOPES,) if whole else (PLACES, VALUES))}
    plain = fit(node, request(node), REST())
    assert plain.arrays["weights"].tobytes() == answer.arrays["weights"].tobytes()
    told = answer.arrays[SLOPES if whole else VALUES]
    assert len(told) == (int((~drawn_mask(node.config, layout)).sum()) if whole else sum(quotas))
    assert torch.from_numpy(told).abs().max() > 0
