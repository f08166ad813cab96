"""Spectra of finished runs, and what each class's groups are predicted like on test: the numbers, row by row."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.analyse.finished import FinishedRun
from experiments.results import Row, flatten
from experiments.settings import Setting, by_setting
from experiments.tables import selected
from fedjtt.api import spectra
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, UserError
from fedjtt.hosts import encoding_of, hosts_of
from fedjtt.provide import splits_of
from fedjtt.spectrum import GroupSpectrum, Imbalance, Spectra

Ended = Callable[[str, None, float], None]
"""Told of every run that has been looked at: its name, no error, its seconds."""


@dataclass(frozen=True)
class Analysed:
    """A run and the spectra of its model's features."""

    run: FinishedRun
    spectra: Spectra

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.run.config.seed

    def group(self, label: int, attribute: int | None) -> GroupSpectrum | None:
        """Return a group's spectrum; None where it is not known which group."""
        return next((g for g in self.spectra.groups if (g.label, g.attribute) == (label, attribute)), None)

    def difference(self, imbalance: Imbalance) -> float | None:
        """Return the majority group's accuracy on test less the minority group's; None where one has no example."""
        accuracy = {
            (group["label"], group["attribute"]): group["correct"] / group["count"]
            for group in self.run.result["test"]["groups"]
            if group["count"]
        }
        ends = [accuracy.get((imbalance.label, side)) for side in (imbalance.majority, imbalance.minority)]
        return None if ends[0] is None or ends[1] is None else float(ends[0] - ends[1])


BySetting = dict[Setting, list[Analysed]]


@dataclass(frozen=True)
class Names:
    """What people call labels and attributes."""

    labels: tuple[str, ...]
    attributes: tuple[str, ...]

    @classmethod
    def of_data(cls, config: RunConfig) -> "Names":
        """Return the names in a run's data."""
        if config.own_data:
            hosts = hosts_of(config)
            splits = hosts[0].encoded(encoding_of(hosts, config.min_count))
        else:
            splits = splits_of(config)
        return cls(splits.label_names, splits.attribute_names)


def analyse_runs(runs: Sequence[FinishedRun], ended: Ended | None = None) -> list[Analysed]:
    """Compute the spectra of the runs' features, in the order of the runs.

    Raises
    ------
    UserError
        Where a run's data is not to be had, has no groups, or is not what it was.
    """
    found: dict[int, Analysed] = {}
    for place in sorted(range(len(runs)), key=lambda place: runs[place].config.seed):  # a seed's data is read once
        run, started = runs[place], time.monotonic()
        try:
            found[place] = Analysed(run, _spectra(run))
        except UserError as error:
            raise ConfigError(f"{run.folder}: {error}") from None
        if ended is not None:
            ended(run.folder.name, None, time.monotonic() - started)
    return [found[place] for place in range(len(runs))]


def _spectra(run: FinishedRun) -> Spectra:
    if any(group["attribute"] is None for group in run.result["test"]["groups"]):
        raise ConfigError(f"dataset {run.config.dataset} has no attribute here, so there are no groups to compare")
    if run.config.own_data and run.config.dataset != "heart4" and not run.config.host_files:
        raise ConfigError(
            "its hosts named their own files, which are not here, and hosts cannot be asked after their run; analyse a "
            "run with host-files"
        )
    return spectra(run.config, run.weights())


def settings_of(analysed: Sequence[Analysed], names: Mapping[str, Mapping[str, Any]]) -> BySetting:
    """Return the runs by setting: those that differ in the seed only."""
    of_run = {str(each.run.result["run-id"]): each for each in analysed}
    groups = by_setting([flatten(each.run.result) for each in analysed], names)
    return {
        setting: sorted((of_run[str(row["run-id"])] for row in rows), key=lambda each: each.seed)
        for setting, rows in groups.items()
    }


def provenance(settings: BySetting) -> str:
    """Say which seeds the runs have and which rounds' models they kept."""
    configs = [each.run.config for runs in settings.values() for each in runs]
    seeds = sorted({config.seed for config in configs})
    named = ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))
    return f"{named}. {selected(str(config.selection) for config in configs)}"


def group_rows(settings: BySetting, top: int) -> list[Row]:
    """Return a row a run and group: its train rows, those that the covariance is over, its largest eigenvalues."""
    return [
        {
            **_about(setting, each), "label": group.label, "attribute": group.attribute, "rows": group.rows,
            "n": group.n, **_eigenvalues(group, top),
        }
        for setting, runs in settings.items()
        for each in runs
        for group in each.spectra.groups
    ]  # fmt: skip


def _eigenvalues(group: GroupSpectrum, top: int) -> dict[str, float | None]:
    values = (group.eigenvalues or ())[:top]
    return {f"eigenvalue-{rank + 1}": values[rank] if rank < len(values) else None for rank in range(top)}


def class_rows(settings: BySetting) -> list[Row]:
    """Return a row a run and class: who is minority and majority, rho, and how far their accuracies are apart."""
    return [
        {
            **_about(setting, each), "label": imbalance.label, "minority": imbalance.minority,
            "majority": imbalance.majority, "rho": imbalance.rho, "accuracy-difference": each.difference(imbalance),
            "why-no-rho": imbalance.why,
        }
        for setting, runs in settings.items()
        for each in runs
        for imbalance in each.spectra.classes
    ]  # fmt: skip


def _about(setting: Setting, each: Analysed) -> Row:
    config = each.run.config
    return {
        "run-id": each.run.result["run-id"], "seed": config.seed, "method": config.method, "setting": setting.label,
    }  # fmt: skip


def points_of(runs: Sequence[Analysed]) -> list[tuple[int, float, float]]:
    """Return (label, rho, accuracy difference) of every class that has both."""
    return [
        (imbalance.label, imbalance.rho, difference)
        for each in runs
        for imbalance in each.spectra.classes
        if imbalance.rho is not None and (difference := each.difference(imbalance)) is not None
    ]
