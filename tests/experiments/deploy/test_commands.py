"""``fedjtt deploy`` as a user types it."""

from pathlib import Path
from typing import Any

import pytest

from experiments.deploy.certificates import new_authority, server_certificate
from fedjtt.errors import EngineError
from tests.experiments.conftest import Call
from tests.experiments.deploy.serving import serving


def test_hosts_by_blanks_by_commas_and_by_repeating(call: Call, tmp_path: Path) -> None:
    for number, given in enumerate((["--hosts", "b", "a"], ["--hosts", "b,a"], ["--hosts", "b", "--hosts", "a"])):
        code, out, err = call("deploy", "init", f"d{number}", *given, "--server", "fl.example.org")
        assert (code, err) == (0, "")
        assert out == f"2 hosts and the server: d{number}/README.md\n"
        assert "partition-id = 0" in (tmp_path / f"d{number}" / "b" / "node.toml").read_text()
        assert "fl.example.org:9092" in (tmp_path / f"d{number}" / "a" / "start.sh").read_text()
    assert "note: the server is localhost" in call("deploy", "init", "local", "--hosts", "a")[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["init", "d"], "at least one host"),
        (["init", "d", "--hosts", "a", "a"], "host 'a' stands twice"),
        (["init", "d", "--hosts", "a/b"], "host 'a/b': a name has"),
        (["init", "d", "--hosts", "a", "--server", "a:b:c:9"], "server is 'a:b:c:9'"),
        (["init", "d", "--hosts", "a", "--days", "0"], "days is 0"),
        (["init"], "Missing argument 'DIR'"),
        (["check", "d"], "d holds no deployment.json"),
        (["local", "--machines", "1201"], "machines is 1201"),
        (["local", "--method", "jt"], "did you mean 'jtt'?"),
        (["local", "--engine", "flower"], "No such option"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    call: Call,
    tmp_path: Path,
    arguments: list[str],
    text: str,
) -> None:
    code, out, err = call("deploy", *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("fedjtt: ")
    assert text in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_check_says_a_line_a_check_and_ends_in_2_or_0(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = new_authority(30)
    monkeypatch.setattr("experiments.deploy.layout.new_authority", lambda *_: authority)
    with serving(tmp_path, server_certificate(authority, ["localhost"], 30)) as port:
        call("deploy", "init", "d", "--hosts", "a", "b", "--server", f"localhost:{port}")
        code, out, err = call("deploy", "check", "d/a")
        assert (code, err) == (0, "")
        assert [line.split()[:2] for line in out.splitlines()] == [
            [name, "ok:"]
            for name in ("key", "authority", "server", "certificate", "flower", "versions", "code", "data")
        ]
    code, out, err = call("deploy", "check", "d/a", "--dataset", "spuco-mnist")
    assert (code, err) == (2, "")
    assert [line.split()[0] for line in out.splitlines() if " wrong: " in line] == ["server", "data"]


def test_local_is_given_the_config_and_its_own_options(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def noted(config: Any, folder: Any, *_: Any, **options: Any) -> Any:
        seen.update(options, machines=config.machines, engine=config.engine, out=str(folder.path))
        raise EngineError("planted")

    monkeypatch.setattr("experiments.deploy.local.execute_local", noted)
    code, _, err = call("deploy", "local", "--machines", "3", "--out", "there", "--time-limit", "9", "--cold")
    assert (code, err.splitlines()[-1]) == (1, "fedjtt: planted")
    assert seen == {"seconds": 9.0, "warm_apps": False, "machines": 3, "engine": "flower", "out": "there"}
