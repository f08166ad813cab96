"""How many steps the robust stage takes, and in what batches: functions of the config and the weighted size."""

import math

from fedjtt.config import RunConfig

SMALLEST_BATCH = 8


def batch_size_of(config: RunConfig) -> int:
    """Return the batch size of a step on one machine; 0: all of its examples.

    ``scaled``: the batches of the machines that train side by side are together as large as one of central training,
    down to 8 a machine, so that a round has nearly as many steps and as much of their noise, which the worst group
    needs.
    """
    if not config.batch_size or config.robust == "central" or config.robust_schedule != "scaled":
        return config.batch_size
    return max(min(SMALLEST_BATCH, config.batch_size), round(config.batch_size / machines_a_round(config)))


def machines_a_round(config: RunConfig) -> int:
    """Return how many machines train in a round of the robust stage."""
    return 1 if config.robust == "central" else max(1, round(float(config.fraction_train) * config.machines))


def epochs_of(config: RunConfig, steps: int, examples: float) -> float:
    """Return how many times as many examples as train has the machines drew together, in as many steps of each.

    An example that is drawn twice counts twice, and one that a method never draws is in `examples` too: at equal epochs
    all methods have computed as much.
    """
    machines = 1 if config.robust == "central" else config.machines
    batch = min(batch_size_of(config) or math.inf, examples / machines)
    return steps * machines_a_round(config) * batch / max(1.0, examples)


def planned_steps(config: RunConfig, weighted_size: float) -> int:
    """Return the steps that every machine takes over the whole stage.

    ``same-epochs`` and ``scaled``: the machines that train in a round together pass ``robust-epochs`` times over the
    weighted data. ``same-updates``: every machine takes as many steps as central training does. Never fewer than
    ``robust-min-steps``.
    """
    share = weighted_size / (1 if config.robust_schedule == "same-updates" else machines_a_round(config))
    batch = batch_size_of(config) or math.inf
    steps = math.ceil(float(config.robust_epochs) * share / min(batch, max(1.0, share)) - 1e-9)
    return max(steps, config.robust_min_steps)
