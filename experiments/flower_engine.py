"""The engine ``flower``: the same apps on Flower's own simulation runtime, with what Flower leaves to its users.

A run gets its own SuperLink on a free port and its own state folder, both gone when it ends; Flower installs nothing,
sends nothing home and looks for no updates. The ServerApp writes the run's folder; this module starts it, passes its
progress on, finds out how it ended, and has everything stopped.
"""

import json
import math
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import torch

import fedjtt
from experiments import flower_keeper
from experiments.flower_process import CONNECTION, free_port, kept, last_line, script, temporary_home, write_connection
from experiments.flower_status import end_of
from fedjtt import run_lock
from fedjtt.config import RunConfig
from fedjtt.data.options import DATA_VARIABLE, NO_CACHE
from fedjtt.errors import EngineError
from fedjtt.hosts import data_folder
from fedjtt.tracking import RunFolder
from strategies.staged import Observer

LOG_NAME = "flower.log"
START_SECONDS = 60.0
POLL_SECONDS = 0.1


def run_on_flower(config: RunConfig, folder: RunFolder, observer: Observer | None = None) -> dict[str, Any]:
    """Run a config on Flower's simulation runtime and return its result.

    Raises
    ------
    FedJTTError
        What the ServerApp raised, a machine's own error included; EngineError where Flower itself failed, with its
        log as ``flower.log`` in the run's folder.
    """
    with folder.begun(), _superlink(config) as home:
        run_config = config.replace(out=str(folder.path.absolute()), **data_places(config))
        app = write_app(home / "app", run_config)
        watch(home, app, run_config, folder, observer, ["--federation-config", federation_settings(run_config)])
    return folder.result()


def write_app(app: Path, config: RunConfig) -> Path:
    """Write a Flower app that is only a ``pyproject.toml``: its components are those of the installed package."""
    # A JSON string, number or boolean is also one in TOML.
    values = "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in config.flat().items())
    app.mkdir()
    (app / "pyproject.toml").write_text(
        f'[project]\nname = "fedjtt-run"\nversion = "{fedjtt.__version__}"\n\n'
        '[tool.flwr.app]\npublisher = "fedjtt"\n\n'
        "[tool.flwr.app.components]\n"
        'serverapp = "fedjtt.server_app:app"\nclientapp = "fedjtt.client_app:app"\n\n'
        f"[tool.flwr.app.config]\n{values}\n"
    )
    return app


def federation_settings(config: RunConfig) -> str:
    """Return Flower's settings of a simulation: a node a machine, and as many Ray actors as ``workers``."""
    settings: dict[str, int | float] = {
        "num-supernodes": config.machines,
        "client-resources-num-cpus": 1,
        "init-args-num-cpus": config.workers,
    }
    if config.device == "cuda":
        settings["client-resources-num-gpus"] = min(1.0, torch.cuda.device_count() / config.workers)
    return " ".join(f"{key}={value}" for key, value in settings.items())


def absolute(path: str) -> str:
    """Return a path that means the same in another working directory; empty stays empty."""
    return str(Path(path).absolute()) if path else ""


def data_places(config: RunConfig) -> dict[str, str]:
    """Return ``data-dir`` and the caches' folders, by attribute name, such that they mean the same anywhere.

    Own rows have a data-dir in any case.
    """
    data_dir = str(data_folder(config).absolute()) if config.own_data else absolute(config.data_dir)
    kept = config.image_cache if config.image_cache == NO_CACHE else absolute(config.image_cache)
    return {"data_dir": data_dir, "image_cache": kept, "feature_cache": absolute(config.feature_cache)}


def flower_environment(home: Path, config: RunConfig) -> dict[str, str]:
    """Return the environment of everything that Flower starts."""
    scripts = sysconfig.get_path("scripts")
    package = str(Path(fedjtt.__file__).parents[1])
    changes = {
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(POLL_SECONDS),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(home),
        "OMP_NUM_THREADS": str(config.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "NO_PROXY": ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get("NO_PROXY")])),
    }
    if data := os.environ.get(DATA_VARIABLE):
        changes[DATA_VARIABLE] = absolute(data)
    return {**os.environ, **changes}


@contextmanager
def _superlink(config: RunConfig) -> Iterator[Path]:
    """Run a SuperLink in a state folder of its own, and end all that it started."""
    superlink = script("flower-superlink")
    home = temporary_home()
    port = free_port()
    write_connection(home, f"127.0.0.1:{port}", "insecure = true")
    command = [superlink, "--insecure", "--simulation", "--host", "127.0.0.1", "--port", str(port)]
    with kept(home, command, flower_environment(home, config)):
        _await_health(home, port)
        yield home


def _await_health(home: Path, port: int) -> None:
    opener = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not (home / flower_keeper.STOPPED).exists():
        try:
            with opener.open(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(POLL_SECONDS)
    raise EngineError(f"Flower's SuperLink did not start: {last_line(home / flower_keeper.PROGRAM_LOG)}")


def watch(
    home: Path,
    app: Path,
    config: RunConfig,
    folder: RunFolder,
    observer: Observer | None,
    options: Sequence[str] = (),
    deadline: float = math.inf,
) -> None:
    """Start the run, pass its progress on until it has ended, and raise if it failed.

    Parameters
    ----------
    options : sequence of str
        Further options of ``flwr run``.
    deadline : float
        When to give up, by the monotonic clock.

    Raises
    ------
    ServerLostError
        Where the ServerApp or the SuperLink was killed or died.
    EngineError
        Where Flower ended the run otherwise, or the time was over.
    FedJTTError
        What the ServerApp raised.
    """
    rounds = _Rounds(folder, observer)
    log = app.with_name(LOG_NAME)
    with _streaming(home, app, config, options) as streaming:
        # What Flower does after the ServerApp's last word changes nothing, and takes several seconds.
        server = _ServerApp(folder)
        while server.at_work() or (not server.seen and streaming.poll() is None):
            rounds.pass_on()
            time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                shutil.copyfile(log, folder.path / LOG_NAME)
                raise EngineError(f"the run took longer than it may; Flower's log is {folder.path / LOG_NAME}")
    rounds.pass_on()
    if (failure := folder.failure()) is not None:
        raise failure
    if not folder.done:
        shutil.copyfile(log, folder.path / LOG_NAME)
        raise end_of(log, flower_environment(home, config), folder.path / LOG_NAME)


@contextmanager
def _streaming(home: Path, app: Path, config: RunConfig, options: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Have Flower start a run and write its log."""
    command = [script("flwr"), "run", str(app), CONNECTION, "--stream", *options]
    with app.with_name(LOG_NAME).open("wb") as file:
        streaming = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=flower_environment(home, config),
            start_new_session=True,
        )
    try:
        yield streaming
    finally:
        streaming.kill()
        streaming.wait()


class _ServerApp:
    """The process that does the run, as far as its folder tells; it may run on when Flower's log breaks off."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.seen = False

    def at_work(self) -> bool:
        """Return whether it holds the folder and has not had its last word."""
        at_work = run_lock.is_held(self._folder.path)
        self.seen = self.seen or at_work or self._folder.done or self._folder.failure() is not None
        return at_work and not self._folder.done and self._folder.failure() is None


class _Rounds:
    """Passes on the rounds that the ServerApp writes to ``metrics.jsonl``."""

    def __init__(self, folder: RunFolder, observer: Observer | None) -> None:
        self._path, self._observer = folder.path / "metrics.jsonl", observer
        self._position = 0

    def pass_on(self) -> None:
        """Pass on the lines that are new and complete."""
        if self._observer is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._position += len(new)
        for line in new.splitlines():
            figures = json.loads(line)
            stage, server_round, rounds = (figures.pop(key) for key in ("stage", "round", "rounds"))
            figures.pop("time")
            self._observer.progress(stage, server_round, rounds, figures)
