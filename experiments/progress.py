"""What a user sees while a run or a sweep is under way: a bar on a terminal, plain lines elsewhere, or nothing."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


def _said(figures: Mapping[str, Any]) -> str:
    if "error-set-size" in figures:
        return f"error set {figures['error-set-size']}"
    if "error-share" in figures:
        return f"{figures['error-share']:.1%} wrong"
    value = figures.get("validation.worst-group-accuracy")
    return "" if value is None else f"validation WGA {value:.3f}"


class _Shown:
    """A console, and a bar on it if it is a terminal and may be written to."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._bar = _bar(console) if console.is_terminal and not quiet else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class RunProgress(_Shown):
    """Observes one run.

    Parameters
    ----------
    console : Console
        Where to write; a bar if it is a terminal.
    quiet : bool
        Write nothing.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        super().__init__(console, quiet)
        self._tasks: dict[str, TaskID] = {}

    def progress(self, stage: str, server_round: int, rounds: int, figures: Mapping[str, Any]) -> None:
        """Show that a round (or, while identifying, a machine) has ended."""
        if self._bar is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bar.add_task(stage, total=rounds, note="")
            self._bar.update(self._tasks[stage], completed=server_round, total=rounds, note=_said(figures))
        elif not self._quiet and (figures or server_round % max(1, rounds // 10) == 0):
            unit = "machine" if stage == "identify" else "round"
            line = f"{stage} {unit} {server_round}/{rounds} {_said(figures)}".rstrip()
            self._console.print(line, highlight=False, soft_wrap=True)


class SweepProgress(_Shown):
    """Shows which runs of a sweep, or of what `task` says, have ended."""

    def __init__(self, console: Console, total: int, quiet: bool = False, task: str = "sweep") -> None:
        super().__init__(console, quiet)
        self._total, self._done = total, 0
        self._started = time.monotonic()
        self._task = self._bar.add_task(task, total=total, note="") if self._bar is not None else None

    def ended(self, name: str, error: str | None, seconds: float) -> None:
        """Show that a run has ended; a failure is written in any case."""
        self._done += 1
        if error is not None:
            self._console.print(f"failed: {name}: {error}", highlight=False, soft_wrap=True, markup=False)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=name)
        elif not self._quiet and error is None:
            left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
            line = f"{self._done}/{self._total} {name} in {seconds:.1f} s, about {left / 60:.1f} min left"
            self._console.print(line, highlight=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)
