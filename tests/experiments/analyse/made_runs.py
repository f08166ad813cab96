"""Runs as an analysis finds them: real ones on digits, and results with spectra made up."""

from pathlib import Path
from typing import Any

from experiments.analyse.finished import FinishedRun
from experiments.analyse.spectrum import Analysed
from experiments.results import Result
from fedjtt.api import simulate
from fedjtt.config import RunConfig
from fedjtt.spectrum import GroupSpectrum, Imbalance, Spectra
from fedjtt.tracking import RunFolder
from tests.tiny import TINY

DIGITS: dict[str, Any] = {**TINY, "dataset": "digits", "machines": 1, "method": "erm", "robust-epochs": 0.5}


def really_run(folder: Path, **changes: Any) -> Path:
    """Do a run and write what it leaves."""
    config = RunConfig.parse({**DIGITS, **{name.replace("_", "-"): value for name, value in changes.items()}})
    place = RunFolder(folder, config)
    place.begin()
    outcome = simulate(config)
    place.finish(outcome.result, outcome.weights, outcome.ledger)
    return folder


def group(label: int, attribute: int, rows: int, *eigenvalues: float, n: int | None = None) -> GroupSpectrum:
    return GroupSpectrum(label, attribute, rows, rows if n is None else n, eigenvalues or None)


def analysed(
    classes: dict[int, Imbalance], groups: list[GroupSpectrum], accuracies: dict[tuple[int, int], float], **changes: Any
) -> Analysed:
    """A run of which ten test examples a group are right as often as `accuracies` says; others have no example."""
    config = RunConfig.parse({**DIGITS, **{name.replace("_", "-"): value for name, value in changes.items()}})
    keys = [(each.label, each.attribute) for each in groups]
    test = [
        {"label": label, "attribute": attribute, "count": 10 * ((label, attribute) in accuracies),
         "correct": round(10 * accuracies.get((label, attribute), 0))}
        for label, attribute in keys
    ]  # fmt: skip
    result: Result = {"config": config.flat(), "run-id": config.run_id, "test": {"groups": test}}
    spectra = Spectra(tuple(groups), tuple(classes[label] for label in sorted(classes)))
    return Analysed(FinishedRun(Path(config.run_id), result, config), spectra)


def two_classes(rho: tuple[float, float], apart: tuple[float, float], **changes: Any) -> Analysed:
    """Two labels and attributes; the majority is on the diagonal and right for nine of ten."""
    groups = [group(0, 0, 90, 2.0, 1.0), group(0, 1, 9, 2.0 * rho[0], 0.5), group(1, 0, 7, 4.0 * rho[1], 0.0),
              group(1, 1, 80, 4.0, 2.0)]  # fmt: skip
    classes = {0: Imbalance(0, 1, 0, rho[0]), 1: Imbalance(1, 0, 1, rho[1])}
    accuracies = {(0, 0): 0.9, (0, 1): 0.9 - apart[0], (1, 0): 0.9 - apart[1], (1, 1): 0.9}
    return analysed(classes, groups, accuracies, **changes)
