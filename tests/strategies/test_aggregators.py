"""Flower's rules as the rule of the robust stage, against numpy and hand-computed first steps."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedjtt.automatic import AUTO_SERVER_RATE
from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.fit import _Rounds
from fedjtt.methods.lesson import Course
from fedjtt.rules import NOT_THE_MEAN
from fedjtt.simulation import InProcessGrid
from strategies.aggregators import AGGREGATORS, identify_aggregator, robust_aggregator
from tests.tiny import parts_of_a_run, tiny_config, tiny_splits

Vector = Any


def combine(
    name: str, updates: list[Vector], sizes: list[float], current: Vector, rounds: int = 1, **more: Any
) -> Vector:
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity
    plain = {"robust": "federated", "averaging": "none"}
    values = {
        "aggregator": name,
        "machines": len(updates),
        **plain,
        **{k.replace("_", "-"): v for k, v in more.items()},
    }
    aggregator = robust_aggregator(RunConfig.parse(values))
    for server_round in range(1, rounds + 1):
        current = aggregator.combine(server_round, current, list(zip(updates, sizes, strict=True)))
    return current


@pytest.fixture
def vectors() -> list[Vector]:
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity
    return list(np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32))


SIZES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 80.5]

AGGREGATORS_OF_IDENTIFICATION = sorted(set(AGGREGATORS) - {"fednova"})


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_every_rule_runs_a_stage(name: str) -> None:
    """Seven machines: Bulyan's bound 4 f + 3 for the f = int(.2 * 7) = 1 that it is told to withstand."""
    rest = {"server_learning_rate": 0.01} if name in AUTO_SERVER_RATE else {}
    rest |= {"averaging": "none" if name in NOT_THE_MEAN else "ema"}
    config = tiny_config(machines=7, aggregator=name, robust="federated", method="erm", batch_size=4, **rest)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    trained = strategy.run(grid)
    assert np.isfinite(trained.weights).all()
    assert trained.weights.dtype == np.float32
    assert len(trained.history) == 2


@pytest.mark.parametrize("name", ["fedavg", "fedprox"])
def test_fedavg_is_the_weighted_mean(vectors: list[Vector], name: str) -> None:
    joined = combine(name, vectors, SIZES, vectors[0] * 0)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined, np.average(vectors, axis=0, weights=SIZES), rtol=1e-5, atol=1e-6)


def test_fedmedian_is_numpys_median(vectors: list[Vector]) -> None:
    np.testing.assert_allclose(combine("fedmedian", vectors, SIZES, vectors[0]), np.median(vectors, axis=0), rtol=1e-6)


def test_the_trimmed_mean_leaves_out_a_fifth_at_either_end(vectors: list[Vector]) -> None:
    # int(.2 * 8) = 1 of 8 on each side
    expected = np.sort(vectors, axis=0)[1:-1].mean(axis=0)
    np.testing.assert_allclose(combine("fedtrimmedavg", vectors, SIZES, vectors[0]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["krum", "multikrum", "fedmedian", "fedtrimmedavg", "bulyan"])
def test_a_machine_that_lies_does_not_carry_the_model_away(name: str) -> None:
    honest = list(1 + 0.01 * np.random.default_rng(1).normal(size=(7, 20)).astype(np.float32))
    joined = combine(name, [*honest, np.full(20, 1e6, np.float32)], [1.0] * 8, honest[0])
    np.testing.assert_allclose(joined, np.ones(20), atol=0.05)
    assert combine("fedavg", [*honest, np.full(20, 1e6, np.float32)], [1.0] * 8, honest[0]).min() > 1e5


def test_multi_krum_is_the_mean_of_all_that_are_not_taken_for_liars() -> None:
    """int(.2 x 8) = 1 of 8 may lie: seven are kept, and Krum keeps one."""
    honest = list(1 + 0.01 * np.random.default_rng(1).normal(size=(7, 20)).astype(np.float32))
    updates = [*honest, np.full(20, 1e6, np.float32)]
    joined = combine("multikrum", updates, [1.0] * 8, honest[0])
    np.testing.assert_allclose(joined, np.mean(honest, axis=0), rtol=1e-6)
    assert any(np.array_equal(combine("krum", updates, [1.0] * 8, honest[0]), one) for one in honest)


def test_the_first_two_steps_of_server_momentum_by_hand(vectors: list[Vector]) -> None:
    """Hsu et al. 2019: v = .9 v + (x - mean), x = x - rate * v, from v = 0."""
    mean = np.average(vectors, axis=0, weights=SIZES)
    x = vectors[0].astype(np.float64)
    velocity = np.zeros_like(x)
    for _ in range(2):
        velocity = 0.9 * velocity + (x - mean)
        x = x - 0.5 * velocity
    joined = combine("fedavgm", vectors, SIZES, vectors[0], rounds=2, server_learning_rate=0.5)
    np.testing.assert_allclose(joined, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedadagrad"])
def test_the_first_step_of_the_adaptive_rules_by_hand(vectors: list[Vector], name: str) -> None:
    """Reddi et al. 2020, algorithm 2, from m = v = 0, with Flower's tau = .001, beta1 = .9 and beta2 = .99.

    Adam and Yogi: m = .1 d, v = .01 d^2; Adagrad: m = d, v = d^2; x = x + rate * m / (sqrt(v) + tau).
    Flower corrects Adam's bias as in round t + 1: rate * sqrt(1 - .99^2) / (1 - .9^2).
    """
    x = vectors[0].astype(np.float64)
    d = np.average(vectors, axis=0, weights=SIZES) - x
    if name == "fedadagrad":
        step = 0.5 * d / (np.abs(d) + 1e-3)
    else:
        rate = 0.5 * (np.sqrt(1 - 0.99**2) / (1 - 0.9**2) if name == "fedadam" else 1)
        step = rate * 0.1 * d / (np.sqrt(0.01) * np.abs(d) + 1e-3)
    joined = combine(name, vectors, SIZES, vectors[0], server_learning_rate=0.5)
    np.testing.assert_allclose(joined, x + step, rtol=1e-3, atol=1e-4)
    assert joined.dtype == np.float32


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedmedian", "fedtrimmedavg"])
def test_one_update_comes_back_to_the_last_bit(vectors: list[Vector], name: str) -> None:
    for size in (0.1, 3.0, 1e9 + 1):
        assert combine(name, vectors[:1], [size], vectors[1]).tobytes() == vectors[0].tobytes()


def test_a_rule_that_cannot_work_is_an_error_in_one_line(vectors: list[Vector]) -> None:
    with pytest.raises(EngineError, match="aggregator bulyan") as caught:
        combine("bulyan", vectors[:2], SIZES[:2], vectors[0], fraction_train=1.0, machines=2)
    assert "\n" not in str(caught.value)


def test_updates_are_not_changed(vectors: list[Vector]) -> None:
    before = [vector.copy() for vector in vectors]
    for name in sorted(AGGREGATORS):
        combine(name, vectors, SIZES, vectors[0], server_learning_rate=0.1)
    for vector, kept in zip(vectors, before, strict=True):
        np.testing.assert_array_equal(vector, kept)


def test_a_machine_that_lies_about_its_average_does_not_reach_the_model() -> None:
    """What is kept is the average of weights: a robust rule must see the machines' averages as well."""
    rounds: Any = object.__new__(_Rounds)
    rounds.plan = SimpleNamespace(course=Course())
    InProcessGrid(app, RunConfig(), 1)
    config = RunConfig.parse({"aggregator": "fedmedian", "robust": "federated", "machines": 3})
    strategy, _ = parts_of_a_run(config, tiny_splits())
    rounds.server, rounds.config, rounds.average = strategy, config, np.zeros(4, np.float32)
    told = [np.full(4, value, np.float32) for value in (1.0, 2.0, 1e9)]
    assert rounds._joined_average(1, told, [1.0, 1.0, 1.0]).tolist() == [2.0] * 4


def test_rules_with_an_optimiser_of_the_servers_refuse_averages() -> None:
    for name, rate in AUTO_SERVER_RATE.items():
        with pytest.raises(ConfigError, match="set averaging to none"):
            RunConfig.parse({"aggregator": name, "averaging": "ema"})
        assert RunConfig.parse({"aggregator": name, "averaging": "none"}).server_learning_rate == rate


@pytest.mark.parametrize("name", AGGREGATORS_OF_IDENTIFICATION)
def test_every_rule_joins_identifications_updates(name: str) -> None:
    """Eleven machines for Bulyan, which withstands int(.2 * 11) = 2 of them: 4 f + 3."""
    config = tiny_config(machines=11, identify="federated", identify_epochs=2, identify_aggregator=name)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    found = strategy.run(grid).identification
    assert found is not None
    assert (found["rounds"], len(found["machines"])) == (2, 11)


@pytest.mark.parametrize(("given", "rate"), [("auto", 0.1), (0.03, 0.03)])
def test_identification_has_a_rule_and_a_rate_of_its_own(vectors: list[Vector], given: Any, rate: float) -> None:
    # FedAdam's first step, see above, at Flower's eta = .1 or the given one, whatever the robust stage's are.
    values = {"identify-aggregator": "fedadam", "identify-server-learning-rate": given, "machines": 8}
    config = RunConfig.parse({**values, "server-learning-rate": 0.7})
    joined = identify_aggregator(config).combine(1, vectors[0], list(zip(vectors, SIZES, strict=True)))
    d = np.average(vectors, axis=0, weights=SIZES) - vectors[0]
    step = rate * np.sqrt(1 - 0.99**2) / (1 - 0.9**2) * 0.1 * d / (np.sqrt(0.01) * np.abs(d) + 1e-3)
    np.testing.assert_allclose(joined, vectors[0] + step, rtol=1e-3, atol=1e-4)
    assert np.abs(step).max() > 0.01


@pytest.mark.parametrize("build", [robust_aggregator, identify_aggregator])
def test_of_a_drawn_share_a_fifth_may_be_malicious(vectors: list[Vector], build: Any) -> None:
    """Half of 16 machines answer: Bulyan needs 4 f + 3 = 7 for f = int(.2 * 8) = 1; for int(.2 * 16) = 3 it were 15."""
    settings = {"machines": 16, "fraction-train": 0.5, "robust": "federated", "averaging": "none"}
    config = RunConfig.parse({**settings, "aggregator": "bulyan", "identify-aggregator": "bulyan"})
    joined = build(config).combine(1, vectors[0], [(vector, 1.0) for vector in vectors])
    assert np.isfinite(joined).all()
