"""What Flower says of a run that it was given: which one it is, how it ended, and that it should stop."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from experiments.flower_process import CONNECTION, last_line, script
from fedjtt.errors import EngineError, ServerLostError

ANSWER_SECONDS = 60.0
# Ends that another start would not change: by a person, by the ServerApp's own end or exception, or by a refusal.
NOT_STARTED = "not started"
FINAL = ("finished:stopped", "finished:completed", NOT_STARTED)
RAISED = "failed with exception"
_STARTED = re.compile(r"started run (\d+)")


def run_number(log: Path) -> str | None:
    """Return Flower's number of the run that a log of ``flwr run`` is of; None where it was not started."""
    found = _STARTED.search(log.read_text(errors="replace"))
    return found.group(1) if found else None


def end_of(log: Path, environment: Mapping[str, str], kept: Path) -> EngineError:
    """Return the error for a run of which the ServerApp has said nothing: an end that Flower made, or a lost server.

    Parameters
    ----------
    log : Path
        Of ``flwr run``.
    environment : mapping
        Names the FLWR_HOME where the connection to the SuperLink is described.
    kept : Path
        Where the user finds the log.
    """
    status, details = _status(run_number(log), environment)
    details = "" if details == "N/A" else details
    if status in FINAL or RAISED in details:
        return EngineError(f"Flower ended the run as {status}: {details or last_line(log)}; its log is {kept}")
    said = f"{status}: {details}" if details else status
    return ServerLostError(f"the run's server was killed or died (Flower calls the run {said}); its log is {kept}")


def stop(log: Path, environment: Mapping[str, str]) -> None:
    """Have Flower stop the run of a log at once: it takes a minute to see that a ServerApp is gone."""
    if (number := run_number(log)) is not None:
        _flwr(environment, "stop", number, CONNECTION)


def _status(number: str | None, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return status and details of a run; the exit code of ``flwr run`` is 0 in any case."""
    answer = _flwr(environment, "ls", CONNECTION, "--format", "json", *(["--run-id", number] if number else []))
    try:
        runs = json.loads(answer[answer.index("{") :])["runs"]
        return (str(runs[0]["status"]), str(runs[0]["status-details"]).strip()) if number else (NOT_STARTED, "")
    except (ValueError, KeyError, IndexError):
        return "unknown", ""


def _flwr(environment: Mapping[str, str], *arguments: str) -> str:
    """Return what Flower's command line answers; nothing where it does not."""
    try:
        answer = subprocess.run(
            [script("flwr"), *arguments], env=environment, capture_output=True, text=True, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout
