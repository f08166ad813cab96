"""Learning rates against torch's own schedulers, and by hand."""

import pytest
import torch

from fedjtt.schedules import learning_rate_at


def scheduler_rates(kind: str, total: int, peak: float) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak, momentum=0.9)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if kind == "one-cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=total, cycle_momentum=False)
    elif kind == "linear":
        scheduler = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, end_factor=0.0, total_iters=total)
    else:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    rates = []
    for step in range(total):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        if step < total - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize("kind", ["one-cycle", "cosine", "linear"])
@pytest.mark.parametrize("total", [2, 3, 4, 5, 7, 10, 33, 100])
def test_schedules_are_torchs(kind: str, total: int) -> None:
    ours = [learning_rate_at(step, total, 0.05, kind) for step in range(total)]
    assert ours == pytest.approx(scheduler_rates(kind, total, 0.05), rel=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine", "linear"])
def test_a_stage_of_one_step_has_a_rate(schedule: str) -> None:
    assert 0 < learning_rate_at(0, 1, 0.05, schedule) <= 0.05


def test_a_constant_rate_is_constant() -> None:
    assert {learning_rate_at(step, 9, 0.05, "constant") for step in range(9)} == {0.05}


def test_warm_up_climbs_in_a_line_and_stays() -> None:
    # Four tenths of ten steps: quarters of the peak.
    rates = [learning_rate_at(step, 10, 0.8, "warm-up", 0.4) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8] + [0.8] * 6)
    assert {learning_rate_at(step, 10, 0.8, "warm-up", 0.0) for step in range(10)} == {0.8}
    assert learning_rate_at(0, 1, 0.8, "warm-up", 1.0) == 0.8
    assert learning_rate_at(0, 5, 0.8, "warm-up", 0.1) == 0.8  # half a step of warm-up is none
