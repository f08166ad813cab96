"""Noise on the mean of updates: how large it is, when it repeats itself, and what it is worth."""

import math
from typing import Any

import numpy as np
import pytest

import fedjtt
from fedjtt.config import RunConfig
from strategies.update_noise import DELTA, UpdateNoise, epsilon_of
from tests.tiny import TINY

PRIVATE: dict[str, Any] = {
    **TINY, "robust": "federated", "averaging": "none", "clip-update-norm": 0.5, "noise-multiplier": 0.1,
    "noise-seed": 7,
}  # fmt: skip


def test_noise_has_the_deviation_of_the_mechanism() -> None:
    """Of n draws the deviation's standard error is s / sqrt(2 n): four of them are .9 % at n = 100,000."""
    mean = np.ones(100_000, dtype=np.float32)
    noise = UpdateNoise(multiplier=2.0, bound=0.5, seed=1).on(mean, 4.0, "robust", 1) - mean
    assert noise.std() == pytest.approx(2.0 * 0.5 / 4, rel=0.009)
    assert abs(noise.mean()) < 4 * 0.25 / math.sqrt(100_000)


def test_no_noise_leaves_the_very_weights() -> None:
    mean = np.ones(3, dtype=np.float32)
    noise = UpdateNoise(0.0, 0.0)
    assert noise.on(mean, 4.0, "robust", 1) is mean
    assert noise.spent() is None


def test_noise_repeats_itself_only_with_a_seed_and_never_in_another_round_or_stage() -> None:
    mean = np.zeros(50, dtype=np.float32)
    seeded = [UpdateNoise(1.0, 1.0, seed=3).on(mean, 2.0, *place) for place in (("robust", 1), ("robust", 1))]
    others = [UpdateNoise(1.0, 1.0, seed=3).on(mean, 2.0, *place) for place in (("robust", 2), ("identify", 1))]
    free = [UpdateNoise(1.0, 1.0).on(mean, 2.0, "robust", 1) for _ in range(2)]
    assert seeded[0].tobytes() == seeded[1].tobytes()
    assert len({array.tobytes() for array in (seeded[0], *others, *free)}) == 5


def test_epsilon_by_hand() -> None:
    """rho = T / (2 z^2): T = 8, z = 2 gives 1; then epsilon = 1 + 2 sqrt(ln(1e5)) = 1 + 2 sqrt(11.512925)."""
    assert epsilon_of(8, 2.0, 1e-5) == pytest.approx(1 + 2 * math.sqrt(11.512925), rel=1e-6)
    assert epsilon_of(0, 2.0) == 0


def test_a_run_says_what_its_noise_is_worth() -> None:
    """Local identification sends no update: the releases are the two robust rounds."""
    result = fedjtt.simulate(RunConfig.parse(PRIVATE)).result
    assert result["privacy"] == {
        "unit": "machine", "noise-multiplier": 0.1, "clip-update-norm": 0.5, "releases": 2,
        "epsilon": pytest.approx(epsilon_of(2, 0.1)), "delta": DELTA, "seeded": True,
    }  # fmt: skip
    assert fedjtt.simulate(RunConfig.parse(TINY)).result["privacy"] is None


def test_identifications_rounds_are_counted_too() -> None:
    config = RunConfig.parse({**PRIVATE, "identify": "federated"})
    assert fedjtt.simulate(config).result["privacy"]["releases"] == config.identify_rounds + 2


def test_a_seed_repeats_a_run_and_without_one_no_run_repeats_itself() -> None:
    config = RunConfig.parse(PRIVATE)
    same = {fedjtt.simulate(config).result["digest"] for _ in range(2)}
    free = {fedjtt.simulate(config.replace(noise_seed=0)).result["digest"] for _ in range(2)}
    assert len(same) == 1
    assert len(free) == 2


def test_a_machine_counts_alike_however_much_it_has() -> None:
    """Its size is 1: other sizes under an uneven partition would be refused, and all machines count."""
    config = RunConfig.parse({**PRIVATE, "partition": "label-dirichlet", "method": "erm"})
    result = fedjtt.simulate(config).result
    assert result["missing"] == []
