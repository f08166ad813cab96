import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.results import (
    LEADING_COLUMNS,
    METHOD_NAMES,
    flatten,
    frame,
    method_name,
    read_environments,
    read_failures,
    read_histories,
    read_runs,
    write_csv,
)
from fedjtt.choices import METHODS
from fedjtt.config import RunConfig, digest_of
from fedjtt.errors import ConfigError, DataError

ORIGINAL = {
    "identify": "local", "identify-batch-size": 64, "identify-learning-rate": 0.01, "identify-epochs": 2,
    "identify-stop": "last", "identify-min-steps": 0, "identify-optimizer": "sgd",
}  # fmt: skip

Result = dict[str, Any]


def _scores(wga: float | None, chance: np.random.Generator) -> dict[str, Any]:
    """Five labels, five attributes, 60 examples each: the group (0, 1) is the worst, the diagonal the best."""
    worst = wga if wga is not None else 0.5
    groups = []
    for label in range(5):
        for attribute in range(5):
            share = 0.98 if label == attribute else min(0.97, worst + 0.25 * chance.random())
            share = worst if (label, attribute) == (0, 1) else share
            groups.append({"label": label, "attribute": attribute, "count": 60, "correct": round(60 * share)})
    average = sum(group["correct"] for group in groups) / 1500
    return {
        "worst-group-accuracy": wga, "worst-class-accuracy": wga, "average-accuracy": average,
        "adjusted-average-accuracy": min(1.0, average + 0.05), "groups": groups, "empty-groups": 0,
    }  # fmt: skip


def synthetic_result(values: dict[str, Any], wga: float | None = None, notes: tuple[str, ...] = ()) -> Result:
    """Make a result of the right shape with made-up numbers: WGA falls with machines, federated a little more."""
    config = RunConfig.parse(values)
    chance = np.random.default_rng([config.seed, config.machines, len(config.method)])
    decades = math.log10(config.machines)
    updates = config.identify_schedule == "same-updates"
    if wga is None:
        base = {"erm": 0.06, "group-balanced": 0.92}.get(config.method, 0.84 - (0.03 if updates else 0.2) * decades**2)
        wga = base - (0.03 * decades if config.robust == "federated" else 0) + chance.normal(0, 0.015)
        wga = round(60 * float(np.clip(wga, 0, 1))) / 60
    identification = None
    steps = 1.0 if updates else 1 / config.machines
    if config.method == "jtt":
        quality = np.clip(0.9 - (0.05 if updates else 0.3) * decades + chance.normal(0, 0.02, 2), 0.01, 1)
        part = {"samples": 100, "error-set-size": 12, "precision": float(quality[0]), "recall": float(quality[1])}
        identification = {
            "error-set-size": 120, "precision": float(quality[0]), "recall": float(quality[1]), "minority": 122,
            "machines": [part | {"seconds": 8.0 * steps}] * config.machines, "upsample-factor": 18, "nominal": 9.0,
        }  # fmt: skip
    robust = 12.0 / (config.machines if config.robust == "federated" else 1) + chance.random() * 0.1
    identify = {"sum": 8.0, "slowest": 8.0 * steps} if identification else {"sum": 0.0, "slowest": 0.0}
    return {
        "config": config.flat(), "run-id": config.run_id, "digest": digest_of([config.run_id]),
        "validation": _scores(wga, chance), "test": _scores(wga, chance), "identification": identification,
        "selected-round": 9,
        "seconds": {"identify": identify, "robust": robust, "robust-sum": 12.0, "total": identify["slowest"] + robust,
                    "wall": 20.5},
        "bytes": {"sent": 360, "received": 5724, "identify": {"sent": 360, "received": 5724}}, "notes": list(notes),
    }  # fmt: skip


def write_run(folder: Path, result: Result, done: bool = True) -> Path:
    """Write what a run leaves (no weights)."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
    final = result["test"]["worst-group-accuracy"] or 0.0
    shares = {r: 1 - 0.6**r for r in range(1, 11)}
    lines = [
        {"stage": "robust", "round": r, "epochs": 0.2 * r, "validation.worst-group-accuracy": final * share,
         "validation.worst-class-accuracy": 0.9 * share, "validation.average-accuracy": 0.95 * share}
        for r, share in shares.items()
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11.2", "torch": "9.9.9"}))
    if done:
        (folder / "done").touch()
    return folder


def write_sweep(
    folder: Path, machines: tuple[int, ...] = (1, 2, 5, 10), seeds: int = 3, updates_to: int = 0, bounds: bool = True
) -> Path:
    """Write a synthetic sweep: JTT central and federated, with ERM and the oracle on one machine as bounds."""
    grid = [{"method": "jtt", "robust": r, "machines": m} for r in ("central", "federated") for m in machines]
    grid += [{**each, "identify-schedule": "same-updates"} for each in grid if 1 < each["machines"] <= updates_to]
    if updates_to:
        grid += [{"method": "jtt", "robust": "central", "machines": 1, **ORIGINAL}]
    if bounds:
        grid += [{"method": method, "machines": 1} for method in ("erm", "group-balanced")]
    for number, values in enumerate(grid):
        for seed in range(seeds):
            note = ("the error set of machine <3> is empty",) if values["machines"] == max(machines) else ()
            write_run(folder / "runs" / f"{number}-{seed}", synthetic_result({**values, "seed": seed}, notes=note))
    return folder


def test_flatten_joins_names_by_dots_and_leaves_lists_out() -> None:
    row = flatten(synthetic_result({"machines": 4}, notes=("text",)))
    assert (row["config.machines"], row["config.identify-batch-size"]) == (4, RunConfig().identify_batch_size)
    assert row["seconds.identify.slowest"] == 2.0  # 8 seconds over 4 machines
    assert (row["identification.error-set-size"], row["identification.upsample-factor"]) == (120, 18)
    assert not {"notes", "test.groups", "identification.machines"} & row.keys()
    assert not any(isinstance(value, (list, dict)) for value in row.values())


def test_a_run_without_identification_has_no_such_keys_and_null_accuracies_stay_null() -> None:
    result = synthetic_result({"method": "erm"})
    result["test"]["worst-group-accuracy"] = None
    row = flatten(result)
    assert row["test.worst-group-accuracy"] is None
    assert not [key for key in row if key.startswith("identification")]


def test_runs_without_the_marker_and_half_written_ones_are_ignored(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", synthetic_result({"seed": 1}))
    write_run(tmp_path / "runs" / "b", synthetic_result({"seed": 0}))
    write_run(tmp_path / "runs" / "c", synthetic_result({"seed": 2}), done=False)
    (tmp_path / "runs" / "d").mkdir()
    assert [run["config"]["seed"] for run in read_runs(tmp_path)] == [0, 1]
    assert len(read_histories(tmp_path)) == 2
    assert read_environments(tmp_path) == {"python": ["3.11.2"], "torch": ["9.9.9"]}
    assert read_failures(tmp_path) == []


def test_a_single_runs_folder_is_read_as_it_is(tmp_path: Path) -> None:
    write_run(tmp_path / "one", synthetic_result({"machines": 3}))
    assert [run["config"]["machines"] for run in read_runs(tmp_path / "one")] == [3]


def test_a_folder_without_runs_and_a_damaged_result_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no finished run"):
        read_runs(tmp_path)
    write_run(tmp_path / "runs" / "a", synthetic_result({}))
    (tmp_path / "runs" / "a" / "result.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_runs(tmp_path)


def test_the_csv_keeps_every_digit_and_whole_numbers_whole(tmp_path: Path) -> None:
    write_sweep(tmp_path, machines=(1, 2), seeds=2)
    lines = list(csv.DictReader(write_csv(tmp_path).read_text().splitlines()))
    rows = [flatten(run) for run in read_runs(tmp_path)]
    assert list(lines[0])[: len(LEADING_COLUMNS)] == list(LEADING_COLUMNS)
    assert [float(line["test.average-accuracy"]) for line in lines] == [row["test.average-accuracy"] for row in rows]
    assert [line["config.method"] for line in lines] == [row["config.method"] for row in rows]
    sizes = {line["identification.error-set-size"] for line in lines}
    assert sizes == {"", "120"}  # ERM has none, and that makes no 120.0 of the others
    assert frame(read_runs(tmp_path)).shape == (len(lines), len(lines[0]))


def test_the_csv_is_the_same_every_time_and_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path, machines=(1, 2), seeds=2)
    before = write_csv(tmp_path).read_bytes()
    assert write_csv(tmp_path).read_bytes() == before

    def killed(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            return file.write(data[:10])  # what a full disk leaves

    monkeypatch.setattr(Path, "write_bytes", killed)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        write_csv(tmp_path)
    assert (tmp_path / "results.csv").read_bytes() == before


def test_every_method_has_a_short_name() -> None:
    assert {*METHODS} - {"balance"} <= METHOD_NAMES.keys()
    config: dict[str, Any] = {"groups": "inferred", "balance": "mixture"}
    names = {method: method_name({**config, "method": method}) for method in METHODS}
    assert names["balance"] == "mixture (inferred groups)"
    assert names["group-dro"] == "GroupDRO (inferred groups)"
    assert names["erm"] == "ERM"  # groups mean nothing to it
    assert method_name({"method": "balance", "balance": "subset", "groups": "class"}) == "subset (classes)"
    assert method_name({"method": "balance", "groups": "true"}) == "balance (true groups)"  # of several kinds
    assert len(set(names.values())) == len(METHODS)
