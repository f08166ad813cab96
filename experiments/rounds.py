"""The rounds of a run's robust stage, as the lines of its ``metrics.jsonl`` have them."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.settings import Groups
from fedjtt.methods.assess import SELECTION_SCORE

Line = Mapping[str, Any]
_SCORES = ("worst-group-accuracy", "worst-class-accuracy", "average-accuracy")
COLUMNS = ("setting", "seed", "round", "steps", "epochs", "kept", *(f"validation.{name}" for name in _SCORES))


def passes(history: Sequence[Line]) -> list[list[Line]]:
    """Split the robust stage's lines where the rounds begin again: a pass for every factor that was tried."""
    found: list[list[Line]] = []
    for line in history:
        if line["stage"] == "robust":
            if not found or line["round"] <= found[-1][-1]["round"]:
                found.append([])
            found[-1].append(line)
    return found


def kept_pass(history: Sequence[Line], selection: str, otherwise: str = "worst-group-accuracy") -> list[Line]:
    """Return the lines of the pass that was kept: whose selected round was the best, the first where they tie.

    Parameters
    ----------
    selection : str
        The run's.
    otherwise : str
        Score that passes are judged by where the selection has none.
    """
    measure = f"validation.{SELECTION_SCORE.get(selection, otherwise)}"

    def judged(lines: Sequence[Line]) -> tuple[float, float]:
        looked_at = lines[-1:] if selection == "last" else lines
        known = [line for line in looked_at if line.get(measure) is not None]
        return max(((line[measure], line["validation.average-accuracy"]) for line in known), default=(-1.0, -1.0))

    return max(passes(history), key=judged, default=[])


def rounds_csv(groups: Groups, histories: Mapping[str, Sequence[Line]]) -> str:
    """Return every run's looks at validation as CSV, a line a round; ``kept`` is 1 for the round that was selected."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for setting, rows in groups.items():
        for row in sorted(rows, key=lambda row: row["config.seed"]):
            for line in kept_pass(histories.get(row["run-id"], ()), row["config.selection"]):
                kept = int(line["round"] == row.get("selected-round"))
                writer.writerow({**line, "setting": setting.label, "seed": row["config.seed"], "kept": kept})
    return text.getvalue()
