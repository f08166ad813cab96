"""A machine's half of attribution: its kernel, its scores, and what it keeps."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.attribution.kernel import unpacked
from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.errors import ForgottenError
from fedjtt.methods import attribute
from fedjtt.methods.attribute import SCORES, align, gram, measure, projection_at, scores_of, squares
from fedjtt.methods.base import Node, Payload
from tests.tiny import node_of, tiny_config, tiny_splits

WIDTH = 12


def node(rows: list[int] | None = None, **changes: Any) -> Node:
    config = tiny_config(**{"method": "d3m", "projection_dimension": WIDTH, **changes})
    return node_of(config, tiny_splits().train, None if rows is None else torch.tensor(rows, dtype=torch.int64))


WEIGHTS = node().initial_model().vector.numpy().copy()
BOTH = np.stack([WEIGHTS, WEIGHTS + np.float32(0.01)])


def features(machine: Node, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    part = machine.data.train
    projection = projection_at(machine, BOTH[number], number)
    phi, f = projection.features(part.dataset.x[part.rows], part.dataset.label[part.rows])
    return phi.double(), f.double()


@pytest.mark.parametrize("kernel", ["trak", "newton"])
def test_a_kernel_is_the_sum_of_outer_products_and_parts_add_up(kernel: str) -> None:
    phi, f = features(node())
    weight = torch.sigmoid(f) * torch.sigmoid(-f) if kernel == "newton" else torch.ones_like(f)
    request = Payload({"weights": WEIGHTS}, {"model": 0})
    told = [gram(node(rows, attribution_kernel=kernel), request) for rows in (None, [0, 3, 7], [*range(1, 3)])]
    whole = unpacked(torch.from_numpy(told[0].arrays["gram"]))
    torch.testing.assert_close(whole, (phi * weight.unsqueeze(1)).T @ phi, rtol=1e-5, atol=1e-8)
    some = [0, 3, 7, 1, 2]
    parts = sum(torch.from_numpy(reply.arrays["gram"]) for reply in told[1:])
    expected = (phi[some] * weight[some].unsqueeze(1)).T @ phi[some]
    torch.testing.assert_close(unpacked(parts), expected, rtol=1e-5, atol=1e-8)
    assert [reply.integer("rows") for reply in told] == [60, 3, 2]


def test_squares_have_cross_terms_of_several_models() -> None:
    (one, f), (other, g) = (features(node(), number) for number in (0, 1))
    stacked = torch.cat([one, other], dim=1) * ((torch.sigmoid(-f) + torch.sigmoid(-g)) / 2).unsqueeze(1)
    found = unpacked(torch.from_numpy(squares(node(), Payload({"weights": BOTH})).arrays["squares"]))
    torch.testing.assert_close(found, stacked.T @ stacked, rtol=1e-5, atol=1e-8)
    assert found[:WIDTH, WIDTH:].abs().max() > 0


def test_scores_stay_and_only_counts_are_told() -> None:
    machine, vectors = node(), np.random.default_rng(0).normal(size=(2, WIDTH))
    reply = align(machine, Payload({"weights": BOTH, "vectors": vectors}))
    (one, f), (other, g) = (features(machine, number) for number in (0, 1))
    inner = (one @ torch.from_numpy(vectors[0]) + other @ torch.from_numpy(vectors[1])) / 2
    expected = inner * (torch.sigmoid(-f) + torch.sigmoid(-g)) / 2
    np.testing.assert_allclose(scores_of(machine), expected, rtol=1e-4, atol=1e-6)
    assert reply.arrays == {}
    assert reply.integer("negative") == int((expected < 0).sum())
    assert set(reply.numbers) == {"rows", "negative", "seconds"}


def test_a_machine_that_has_restarted_says_so() -> None:
    with pytest.raises(ForgottenError, match="has forgotten its examples' scores"):
        scores_of(node())


def test_a_machine_without_train_rows_adds_nothing() -> None:
    machine = node([])
    assert not gram(machine, Payload({"weights": WEIGHTS}, {"model": 0})).arrays["gram"].any()
    assert not squares(machine, Payload({"weights": BOTH})).arrays["squares"].any()
    align(machine, Payload({"weights": BOTH, "vectors": np.ones((2, WIDTH))}))
    assert len(machine.memo[SCORES]) == 0


def test_the_width_is_that_of_the_features() -> None:
    request = Payload({"weights": WEIGHTS})
    assert measure(node(), request).numbers == {"parameters": 17410, "width": WIDTH}
    last = node(attribution_layers="last", projection_dimension=500)
    assert measure(last, request).numbers == {"parameters": 258, "width": 258}
    assert projection_at(last, WEIGHTS, 0).width == 258


def test_a_cache_gives_back_the_same_and_nothing_else(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, request = node(), Payload({"weights": WEIGHTS}, {"model": 0})
    machine.cache = StageCache(tmp_path)
    first = gram(machine, request)
    monkeypatch.setattr(attribute, "gram_of", None)  # it is not computed again
    again = gram(machine, request)
    assert np.array_equal(first.arrays["gram"], again.arrays["gram"])
    assert first.real("seconds") == again.real("seconds")
    for other in (Payload({"weights": WEIGHTS + 1}, {"model": 0}), Payload({"weights": WEIGHTS}, {"model": 1})):
        with pytest.raises(TypeError):
            gram(machine, other)
    for key, value in {"seed": 1, "projection": "dense", "attribution_kernel": "newton", "machines": 4}.items():
        changed = node(**{key: value})
        changed.cache = machine.cache
        with pytest.raises(TypeError):
            gram(changed, request)


def test_keys_of_the_kernel_are_keys_of_the_configuration() -> None:
    assert set(attribute.GRAM_KEYS) <= set(RunConfig.keys())
