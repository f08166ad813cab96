"""Own data through the command line: damage is one line with file, row and column, exit code 2, and nothing written."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import main
from tests.own_hosts import own_values, write_hosts

Damage = Callable[[list[str]], list[str]]


def edited(row: int, old: str, new: str) -> Damage:
    """Change one line of the file, counted as an editor counts, once."""

    def damage(lines: list[str]) -> list[str]:
        assert old in lines[row - 1]
        return [line.replace(old, new, 1) if place == row else line for place, line in enumerate(lines, 1)]

    return damage


PLANTED: list[tuple[str, Damage, str]] = [
    ("missing column", edited(1, "weight", "mass"), "c.csv, row 1: column 'weight' is missing"),
    ("text in numbers", edited(7, ".", "x"), "c.csv, row 7, column 'age': '"),
    ("unknown label", edited(2, "no", "perhaps"), "c.csv, row 2, column 'ill': unknown value 'perhaps'"),
    ("unknown split", edited(4, "train", "practice"), "c.csv, row 4, column 'part': unknown value 'practice'"),
    ("empty file", lambda lines: [], "c.csv, row 1: the file is empty"),  # noqa: ARG005
    ("no rows", lambda lines: lines[:1], "c.csv, row 1: the file has a header and no rows"),
    ("ragged", edited(3, ",", ",,"), "c.csv, row 3, column 7: the header ends before it"),
    ("short row", lambda lines: [*lines[:2], "no,f,train,5"], "c.csv, row 3, column 'weight': the row ends before it"),
    ("header twice", edited(1, "weight", "age"), "c.csv, row 1: column 'age' stands there 2 times"),
    ("infinite", lambda lines: [*lines, "no,f,train,inf,6,none"], "c.csv, row 32, column 'age': 'inf' is infinite"),
    ("unknown sex", lambda lines: [*lines, "no,x,train,5,6,none"], "c.csv, row 32, column 'sex': unknown value 'x'"),
    ("unknown pain", lambda lines: [*lines, "no,f,train,5,6,so"], "c.csv, row 32, column 'pain': unknown value 'so'"),
    ("no label", lambda lines: [*lines, ",f,train,5,6,none"], "c.csv, row 32, column 'ill': the label is missing"),
    (
        "other delimiter",
        lambda lines: [line.replace(",", ";") for line in lines],
        "c.csv, row 1: column 'ill' is missing",
    ),
    ("duplicate ids", lambda lines: [*lines, lines[1]], "c.csv, row 32, column 'number': id '0' stands in row 2"),
]
HEADER = b"ill,sex,part,age,weight,pain\n"
BYTES: list[tuple[str, bytes, str]] = [
    ("latin-1", HEADER + b"no,f,train,5,6,n\xf6\n", "c.csv, row 2, column 'pain': byte 0xf6 is not UTF-8 text"),
    ("utf-16", HEADER.decode().encode("utf-16"), "c.csv, row 1, column 1: byte 0xff is not UTF-8 text"),
    ("binary", HEADER + b"no,f,train,5\0,6,none\n", "c.csv, row 2, column 'age': byte 0x00 is not UTF-8 text"),
    ("open quote", HEADER + b'no,f,train,5,6,"none\n', "c.csv, row 2: unexpected end of data; check the quotes"),
]


def refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["fedjtt", "run", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("fedjtt: ")
    return err


def settings(folder: Path, **changes: object) -> list[str]:
    values = own_values(folder, **changes)
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


def with_ids(folder: Path) -> None:
    """Give the third host's rows a column of ids."""
    (folder / "schema.toml").write_text('id = "number"\n' + (folder / "schema.toml").read_text())
    for name, mark in (("a", ","), ("b", ";"), ("c", ",")):
        path = folder / "hosts" / f"{name}.csv"
        header, *rows = path.read_text().splitlines()
        numbered = [f"{row}{mark}{number}" for number, row in enumerate(rows)]
        path.write_text("\n".join([f"{header}{mark}number", *numbered]) + "\n")


@pytest.mark.parametrize(("damage", "text"), [each[1:] for each in PLANTED], ids=[each[0] for each in PLANTED])
def test_planted_damage_is_one_line(
    damage: Damage,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_hosts(tmp_path)
    if "number" in text:
        with_ids(tmp_path)
    path = tmp_path / "hosts" / "c.csv"
    path.write_text("".join(f"{line}\n" for line in damage(path.read_text().splitlines())))
    err = refused(settings(tmp_path), monkeypatch, capsys)
    assert text in err
    assert str(path) in err  # on the user's own machine, in full
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("content", "text"), [each[1:] for each in BYTES], ids=[each[0] for each in BYTES])
def test_a_wrong_encoding_is_one_line(
    content: bytes, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (write_hosts(tmp_path) / "hosts" / "c.csv").write_bytes(content)
    assert text in refused(settings(tmp_path), monkeypatch, capsys)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"host_files": "hosts/a.csv,hosts/b.csv,hosts/z.csv"}, "z.csv is missing; name the CSV file where it is"),
        ({"schema_file": "nothing.toml"}, "nothing.toml is missing; write it, or name the file where it is"),
        ({"robust": "central"}, "the server holds no data; set robust to federated"),
        ({"machines": 4}, "machines is 4, but host-files (hosts) has 3 CSV files; make them equal"),
        ({"model": "lenet"}, "set model to mlp or logistic"),
        ({"partition": "label-dirichlet"}, "every machine has rows of its own; leave partition out"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    changes: dict[str, object],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in refused(settings(write_hosts(tmp_path), **changes), monkeypatch, capsys)


def test_a_run_and_the_table_of_its_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = settings(write_hosts(tmp_path))
    for command, shown in ((["run", "--quiet", "--out", "there"], "digest"), (["data", "csv"], "train rows by label")):
        monkeypatch.setattr(sys, "argv", ["fedjtt", *command, *own])
        with pytest.raises(SystemExit) as caught:
            main()
        assert not caught.value.code
        assert shown in capsys.readouterr().out
    assert (tmp_path / "there" / "done").exists()
