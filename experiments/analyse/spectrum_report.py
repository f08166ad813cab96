"""What ``fedjtt analyse spectrum`` does: everything is computed and drawn before the first file is written."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from experiments.analyse.finished import finished_runs, names_of
from experiments.analyse.spectrum import Names, analyse_runs, class_rows, group_rows, settings_of
from experiments.analyse.spectrum_figures import eigenvalue_figures, rho_figure
from experiments.analyse.spectrum_tables import correlation_table, imbalance_table, remarks
from experiments.drawing import save
from experiments.options import check_place
from experiments.progress import SweepProgress
from experiments.results import Row
from experiments.table import as_markdown, as_text
from fedjtt.tracking import write_atomically


def spectrum_report(
    folders: Sequence[Path],
    place: Path,
    top: int,
    data_dir: Path | None,
    quiet: bool,
    console: Console,
    errors: Console,
) -> None:
    """Write spectrum.csv, rho.csv, summary.{txt,md}, eigenvalues.png and rho.png, and show the summary.

    Parameters
    ----------
    place : Path
        Folder for them; of an earlier analysis they are replaced.
    """
    check_place(place)
    runs = finished_runs(folders, data_dir)
    with SweepProgress(errors, len(runs), quiet, "spectra") as progress:
        analysed = analyse_runs(runs, progress.ended)
    settings = settings_of(analysed, names_of(folders))
    names = Names.of_data(max((run.config for run in runs), key=lambda config: config.seed))  # the data last read
    tables, said = [imbalance_table(settings, names), correlation_table(settings)], remarks(settings, names)
    spectra, rho = eigenvalue_figures(settings, names, top), rho_figure(settings, names)
    figures = {f"eigenvalues{f'-{number}' if number > 1 else ''}": figure for number, figure in enumerate(spectra, 1)}
    figures |= {"rho": rho} if rho is not None else {}
    for old in [*place.glob("eigenvalues.png"), *place.glob("eigenvalues-[0-9]*.png"), *place.glob("rho.png")]:
        old.unlink()
    for name, figure in figures.items():
        save(figure, place / f"{name}.png")
    write_atomically(place / "spectrum.csv", _csv(group_rows(settings, top)))
    write_atomically(place / "rho.csv", _csv(class_rows(settings)))
    lines = [f"- {text}" for text in said]
    write_atomically(place / "summary.md", "\n".join([*map(as_markdown, tables), *lines, ""]))
    text = "\n".join([*map(as_text, tables), *lines, ""])
    write_atomically(place / "summary.txt", text)
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"spectra: {place}", highlight=False, soft_wrap=True)


def _csv(rows: Sequence[Row]) -> str:
    table = pd.DataFrame(rows)
    for name in ("minority", "majority"):
        if name in table:
            table[name] = table[name].astype("Int64")
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text
