"""Differential privacy of the machines' updates: noise on a round's mean, and what it is worth after all rounds.

The Gaussian mechanism of DP-FedAvg (McMahan et al. 2018) with a fixed bound: every machine shortens its update to
``clip-update-norm`` C, all count alike, and the server, which has to be trusted with single updates unless they come
summed (``secure-aggregation``), adds noise of standard deviation z C to their sum. One machine's presence is hidden.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedjtt.config import RunConfig
from fedjtt.methods.base import Array
from fedjtt.seeding import numpy_generator

DELTA = 1e-5


@dataclass
class UpdateNoise:
    """The noise of a run's updates.

    Attributes
    ----------
    multiplier : float
        Noise's standard deviation over the bound of an update.
    bound : float
        Longest update.
    seed : int
        Of the noise; 0: it comes from the operating system.
    releases : int
        Noisy means made so far: every one of them tells something.
    """

    multiplier: float
    bound: float
    seed: int = 0
    releases: int = 0

    @classmethod
    def of_run(cls, config: RunConfig) -> "UpdateNoise":
        """Return the noise that a config asks for."""
        return cls(config.noise_multiplier, config.clip_update_norm, config.noise_seed)

    def on(self, mean: Array, machines: float, stage: str, server_round: int) -> Array:
        """Return the mean of so many machines' weights with noise: z C on their sum."""
        if not self.multiplier:
            return mean
        self.releases += 1
        purpose = f"update-noise/{stage}"
        generator = numpy_generator(self.seed, purpose, server_round) if self.seed else np.random.default_rng()
        noise = generator.normal(0.0, self.multiplier * self.bound / machines, mean.shape)
        return (mean + noise).astype(mean.dtype)

    def spent(self) -> dict[str, Any] | None:
        """Return what an observer of all releases can learn of one machine's presence; None without noise."""
        if not self.multiplier:
            return None
        return {
            "unit": "machine", "noise-multiplier": self.multiplier, "clip-update-norm": self.bound,
            "releases": self.releases, "epsilon": epsilon_of(self.releases, self.multiplier), "delta": DELTA,
            "seeded": bool(self.seed),
        }  # fmt: skip


def epsilon_of(releases: int, multiplier: float, delta: float = DELTA) -> float:
    """Return the epsilon of so many Gaussian releases at a delta, without any gain from drawing machines.

    By zero-concentrated differential privacy (Bun and Steinke 2016, propositions 1.3 and 1.6 and lemma 2.3): a release
    has rho = 1 / (2 z^2), releases add up, and epsilon = rho + 2 sqrt(rho ln(1 / delta)).
    """
    rho = releases / (2 * multiplier**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))
