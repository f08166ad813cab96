"""Which finished runs are put side by side by Grad-CAM, and ``fedjtt analyse cam``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console

from experiments.analyse.finished import OF_THE_DATA, FinishedRun, finished_runs, names_of
from experiments.cam_sheet import cam_sheet, chosen_rows, maps_of
from experiments.drawing import save
from experiments.explain import read_run
from experiments.grad_cam import captum
from experiments.options import check_place
from experiments.results import flatten, method_name, run_folders
from experiments.settings import Groups, by_setting
from experiments.tables import selected
from fedjtt.choices import METHODS
from fedjtt.data.grouped import Splits
from fedjtt.errors import ConfigError, UserError
from fedjtt.provide import splits_of

COLUMNS = 4
"""Networks on a sheet at most."""

_FIRST = ("erm", "jtt")


def one_a_method(groups: Groups, about: Mapping[str, Any]) -> dict[str, str]:
    """Return run ids with what their columns are called: ERM, JTT, then others, each on its most machines.

    Parameters
    ----------
    about : mapping
        A run's config: only runs on its data, with its seed, are looked at; they have the same test images.
    """
    keys = (*OF_THE_DATA, "seed")
    chosen: dict[str, str] = {}
    for setting, rows in sorted(groups.items(), key=lambda item: -item[0].get("machines")):
        same = [row for row in rows if all(row.get(f"config.{key}") == about.get(key) for key in keys)]
        if same:
            chosen.setdefault(str(setting.get("method")), str(same[0]["run-id"]))
    order = [*_FIRST, *(method for method in METHODS if method not in _FIRST)]
    of_run = {str(row["run-id"]): setting.label for setting, rows in groups.items() for row in rows}
    ids = [chosen[method] for method in order if method in chosen][:COLUMNS]
    return {run_id: of_run[run_id] for run_id in ids}


def is_image(splits: Splits) -> bool:
    """Return whether the examples are images that can be shown."""
    return splits.test.x.dim() == 4 and splits.test.x.shape[1] in (1, 3)


def sheet_of(runs: Sequence[FinishedRun], names: Sequence[str], splits: Splits) -> Figure:
    """Draw the sheet of a few runs on the same data.

    Raises
    ------
    UserError
        Where captum or a run's weights are missing, or a network has no convolution.
    """
    captum()
    torch.set_num_threads(runs[0].config.threads)
    rows, groups = chosen_rows(splits, runs[0].config.seed)
    columns = [maps_of(name, run.model(splits), splits.test, rows) for name, run in zip(names, runs, strict=True)]
    chosen = selected(str(run.config.selection) for run in runs)
    note = f"Images drawn by seed ({runs[0].config.seed}); {groups}. {chosen}"
    return cam_sheet(columns, splits, rows, note)


def sheet_of_sweep(folder: Path, groups: Groups, about: Mapping[str, Any], splits: Splits) -> tuple[Figure | None, str]:
    """Return the sheet of a sweep's report, or None and why there is none; see :func:`one_a_method`."""
    columns = one_a_method(groups, about)
    if len(columns) < 2:
        return None, "needs runs of at least two methods on the same data with one seed"
    try:
        places = {str(read_run(path)[0]["run-id"]): path for path in run_folders(folder)}
        if lacking := [places[run_id] for run_id in columns if not (places[run_id] / "weights.npy").is_file()]:
            return None, f"needs weights.npy of {lacking[0].name}, which a run leaves there; keep it, or repeat the run"
        runs = [run for run_id in columns for run in finished_runs([places[run_id]])]
        return sheet_of(runs, list(columns.values()), splits), ""
    except UserError as error:
        return None, str(error)


def cam_report(folders: Sequence[Path], place: Path, data_dir: Path | None, console: Console) -> None:
    """Write ``cam.png`` of runs, in the order in which they are named; of many, of one for each method."""
    check_place(place)
    runs = finished_runs(folders, data_dir)
    groups = by_setting([flatten(run.result) for run in runs], names_of(folders))
    if len(runs) > COLUMNS:
        of_id = {str(run.result["run-id"]): run for run in runs}
        runs = [of_id[run_id] for run_id in one_a_method(groups, runs[0].result["config"])]
    if runs[0].config.own_data:
        raise ConfigError(f"{runs[0].folder} is a run over machines' own images, which are not here to be shown")
    for run in runs[1:]:
        if run.config.seed != runs[0].config.seed:
            raise ConfigError(
                f"{run.folder} has seed {run.config.seed} and {runs[0].folder} {runs[0].config.seed}, and so other "
                "test images; name runs of one seed"
            )
    splits = splits_of(runs[0].config)
    if not is_image(splits):
        raise ConfigError(f"an example of {runs[0].config.dataset} is no image; Grad-CAM is for images")
    labels = {str(row["run-id"]): setting.label for setting, rows in groups.items() for row in rows}
    names = [labels[str(run.result["run-id"])] for run in runs]
    path = save(sheet_of(runs, names, splits), place / "cam.png")
    shown = ", ".join(method_name(run.config.flat()) for run in runs)
    console.print(f"Grad-CAM of {shown}: {path}", highlight=False, soft_wrap=True)
