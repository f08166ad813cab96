"""Flower's own simulation runtime: the engine ``flower``, plain ``flwr run``, failures, and nothing left running."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Error, Message, RecordDict

import fedjtt
from experiments import flower_keeper
from experiments.flower_engine import federation_settings, run_on_flower, write_app
from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.errors import DivergedError, EngineError
from fedjtt.simulation import InProcessGrid
from fedjtt.tracking import RunFolder
from strategies.exchange import accept
from tests import tiny
from tests.data.pictures import write_waterbirds
from tests.own_hosts import own_config, write_hosts
from tests.test_backbones import SMALL, torchvisions

REPO = Path(__file__).resolve().parents[1]
TINY: dict[str, Any] = {**tiny.TINY, "robust": "federated"}
MARK = "FEDJTT_TEST_MARK"
FLWR = str(Path(sysconfig.get_path("scripts")) / "flwr")


def marked(mark: str) -> dict[int, str]:
    """Return the processes, but this one, that inherited a mark in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
        except OSError:
            continue
    return found


def wait_until(met: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.1)
    return met()


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Mark whatever a test starts; afterwards nothing of it may run, and its temporary folder must be empty."""
    tmp_path_factory.getbasetemp()  # pytest's own folder is not to be made in the one that has to stay empty
    value = uuid.uuid4().hex
    temporary = Path("/tmp") / value[:8]
    temporary.mkdir()
    monkeypatch.setenv(MARK, value)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield value
    left = marked(value)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    files = [str(path) for path in temporary.iterdir()]
    subprocess.run(["rm", "-rf", str(temporary)], check=True)
    assert not left
    assert not files


class Watching:
    """An observer that remembers the rounds; single machines on the way have no figures, and Flower does not tell."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:
        if figures:
            self.seen.append((stage, server_round, rounds))
        assert "time" not in figures


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
@pytest.mark.parametrize("identify", ["local", "federated", "peers"])
def test_the_engine_gives_the_same_weights_and_a_complete_folder(tmp_path: Path, identify: str) -> None:
    wanted = {**TINY, "identify": identify, "engine": "flower", "workers": 2, "out": str(tmp_path / "run")}
    config = RunConfig.parse(wanted)
    watching, local = Watching(), Watching()
    folder = RunFolder(tmp_path / "run", config)
    result = run_on_flower(config, folder, watching)
    expected = fedjtt.simulate(config.replace(engine="in-process", workers=1), observer=local).result
    assert result["digest"] == expected["digest"]
    assert {split: result[split] for split in ("validation", "test")} == {
        split: expected[split] for split in ("validation", "test")
    }
    assert result["bytes"] == expected["bytes"]
    assert watching.seen == local.seen
    assert folder.done
    assert {path.name for path in folder.path.iterdir()} == {
        "config.json", "environment.json", "ledger.csv", "metrics.jsonl", "result.json", "weights.npy", "done",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
@pytest.mark.parametrize("features", ["none", "cached"])
def test_pretrained_networks_give_the_same_weights_on_flowers_engine(tmp_path: Path, features: str) -> None:
    """A network with batch norms, trained whole; and its features, which both engines compute for themselves."""
    write_waterbirds(tmp_path, each=2)
    torch.save(torchvisions(SMALL).state_dict(), tmp_path / "weights.pth")
    wanted = {**TINY, "machines": 2, "method": "erm", "dataset": "waterbirds", "data-dir": str(tmp_path),
              "image-size": 32, "image-cache": "none", "model": SMALL, "pretrained": "weights.pth",
              "features": features, "robust-rounds": 1}  # fmt: skip
    config = RunConfig.parse({**wanted, "engine": "flower", "workers": 2, "out": str(tmp_path / "run")})
    caches = [{"feature_cache": str(tmp_path / name)} if features == "cached" else {} for name in "ab"]
    result = run_on_flower(config.replace(**caches[0]), RunFolder(tmp_path / "run", config))
    expected = fedjtt.simulate(config.replace(engine="in-process", workers=1, **caches[1])).result
    assert result["digest"] == expected["digest"]
    assert result["running-statistics"] == (9600 if features == "none" else 0)


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_a_failing_machine_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    config = RunConfig.parse({**TINY, "engine": "flower", "identify-learning-rate": 1e6})
    folder = RunFolder(tmp_path / "run", config)
    with pytest.raises(DivergedError, match=r"identify.*, machine 0: .*(nan|inf)") as caught:
        run_on_flower(config, folder)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert not folder.done
    RunFolder(tmp_path / "run", config)  # a second try is not refused


@pytest.mark.slow
def test_plain_flwr_run_of_the_bundle_from_a_fresh_home(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the README says it, in a folder that holds nothing but the unpacked bundle, and without a network."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLWR_LOCAL_SUPERLINK_HTTP_API_PORT", str(free_port()))
    monkeypatch.setenv("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("FLWR_DISABLE_UPDATE_CHECK", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # whatever would leave this host ends here
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    bundle = unpacked_bundle(tmp_path)
    assert not [path for path in bundle.rglob("*") if path.name.startswith("test") or path.name == "experiments"]
    wanted = {**TINY, "machines": 2, "robust": "central"}
    settings = " ".join(f"{key}={json.dumps(value)}" for key, value in wanted.items())
    try:
        output = flwr("run", ".", "--stream", "--run-config", settings, cwd=bundle)
        listed = flwr("ls", "--format", "json", cwd=bundle)
    finally:
        for pid in marked(mark):  # the SuperLink that the first call leaves to its user
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not marked(mark), 10)
        ray_files = Path(os.environ["TMPDIR"]) / "ray"
        subprocess.run(["rm", "-rf", str(ray_files)], check=True)
    (run,) = json.loads(listed[listed.index("{") :])["runs"]
    assert run["status"] == "finished:completed", output
    expected = fedjtt.simulate(RunConfig.parse(wanted)).result
    assert expected["digest"] in output
    assert f"test accuracy: worst-group {expected['test']['worst-group-accuracy']:.3f}" in output
    assert "upsampling factor" in output


def flwr(*arguments: str, cwd: Path) -> str:
    answer = subprocess.run([FLWR, *arguments], cwd=cwd, capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def unpacked_bundle(folder: Path) -> Path:
    built, unpacked = folder / "built", folder / "app"
    built.mkdir()
    flwr("build", "--app", str(REPO), cwd=built)
    (bundle,) = built.glob("*.fab")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(unpacked)
    return unpacked


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_outlives_an_interrupted_run(mark: str, tmp_path: Path, number: signal.Signals) -> None:
    """The run is stopped where most is under way: SuperLink, SuperExec, the simulation, and Ray coming up."""
    program = (
        # Whoever runs the tests in the background of a shell has SIGINT ignored, and so would this.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from pathlib import Path; "
        "from fedjtt.config import RunConfig; from fedjtt.tracking import RunFolder; "
        "from experiments.flower_engine import run_on_flower; "
        f"config = RunConfig.parse({ {**TINY, 'engine': 'flower'}!r}); "
        "run_on_flower(config, RunFolder(Path(sys.argv[1]), config))"
    )
    run = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "run")], cwd=REPO, stderr=subprocess.DEVNULL)
    try:
        wanted = "flwr-simulation" if number is signal.SIGINT else "flower-superexec"
        assert wait_until(lambda: any(wanted in name for name in marked(mark).values()), 60)
        run.send_signal(number)
        assert run.wait(30) != 0
    finally:
        run.kill()
        run.wait()
    assert wait_until(lambda: not marked(mark), 20), marked(mark)
    assert wait_until(lambda: not list(Path(os.environ["TMPDIR"]).iterdir()), 10)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the environment of a process")
def test_the_keeper_also_ends_what_the_run_had_started(tmp_path: Path) -> None:
    """As when the run is killed: its ``flwr run`` lives on, writes to the folder, and is no child of the keeper."""
    folder = tmp_path / "home"
    folder.mkdir()
    writing = "import pathlib, sys, time\nwhile True: pathlib.Path(sys.argv[1]).mkdir(exist_ok=True); time.sleep(.01)"
    environment = {**os.environ, "FLWR_HOME": str(folder)}
    orphan = subprocess.Popen([sys.executable, "-c", writing, str(folder)], env=environment)
    try:
        subprocess.run(
            [sys.executable, flower_keeper.__file__, str(folder), "sleep", "60"],
            stdin=subprocess.DEVNULL,
            env=environment,
            check=True,
            timeout=30,
        )
        assert orphan.wait(10) == -signal.SIGKILL
        assert not folder.exists()
    finally:
        orphan.kill()


@pytest.mark.slow
@pytest.mark.usefixtures("mark")
def test_a_superlink_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.parse({**TINY, "engine": "flower"})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("experiments.flower_engine.free_port", lambda: taken.getsockname()[1])
        with pytest.raises(EngineError, match="SuperLink did not start: "):
            run_on_flower(config, RunFolder(tmp_path / "run", config))


def test_the_thin_app_holds_the_config_and_the_installed_components(tmp_path: Path) -> None:
    config = RunConfig.parse({**TINY, "learning-rate": 1e-7, "data-dir": 'a "quoted" földér'})
    written = write_app(tmp_path / "app", config)
    flower = tomllib.loads((written / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert flower["config"] == config.flat()
    assert flower["components"] == read_pyproject()["tool"]["flwr"]["app"]["components"]
    assert federation_settings(config) == "num-supernodes=3 client-resources-num-cpus=1 init-args-num-cpus=1"


def test_the_bundle_offers_every_key_with_its_default() -> None:
    offered = read_pyproject()["tool"]["flwr"]["app"]["config"]
    defaults = RunConfig().flat()
    assert list(offered) == list(RunConfig.keys())
    # Flower's default federation has two nodes, and under flwr run the engine is Flower's.
    assert offered == {**defaults, "machines": 2, "engine": "flower"}
    assert {key: type(value) for key, value in offered.items()} == {k: type(v) for k, v in defaults.items()}


def read_pyproject() -> dict[str, Any]:
    return tomllib.loads((REPO / "pyproject.toml").read_text())


def test_a_dead_ray_actor_ends_the_run_even_where_few_replies_would_do() -> None:
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity
    sent = Message(RecordDict(), 1, "query")
    sent.metadata.__dict__["_message_id"] = "1"
    reason = "<class 'ray.exceptions.ActorDiedError'>:<'The actor died unexpectedly before finishing this task.'>"
    reply = Message(Error(code=0, reason=reason), reply_to=sent)
    with pytest.raises(EngineError, match="fit round 3: a worker process of Flower's simulation died"):
        accept([reply], 1, 0.1, "fit round 3")


@pytest.mark.slow
def test_own_rows_in_secure_sums_give_the_same_weights_on_flowers_engine(tmp_path: Path, mark: str) -> None:  # noqa: ARG001
    settings: dict[str, Any] = {"method": "erm", "robust_rounds": 1, "secure_aggregation": True}
    config = own_config(write_hosts(tmp_path), **settings, engine="flower")
    result = run_on_flower(config, RunFolder(tmp_path / "out", config))
    assert result["digest"] == fedjtt.simulate(config.replace(engine="in-process")).result["digest"]
