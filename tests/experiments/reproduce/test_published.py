"""The benchmarks' sweeps: their keys, and one shortened run of every cell on small files of the true layout."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.reproduce.plan import plan
from experiments.reproduce.tables import CONFIGS, PublishedTable, read_table
from tests.data.made_texts import CIVIL_HEADER, civil_rows, make_civil, make_mnli, metadata_rows
from tests.data.pictures import write_celeba, write_waterbirds
from tests.experiments.conftest import Call

BENCHMARKS = ("jtt", "dfr", "mixture")
SWEEPS = sorted((CONFIGS / "published").glob("*.toml"))
ALL = {"erm", "jtt", "group-dro", "dfr", "balance"}
METHODS = {"waterbirds": ALL, "celeba": ALL, "civilcomments": ALL, "multinli": ALL - {"balance"}}

# Two steps or so of a small network in place of days of a large one.
SHORT = {"robust-epochs": 2, "robust-rounds": 2, "identify-epochs": 1, "dfr-fits": 2}
PICTURES = {**SHORT, "model": "lenet", "image-size": 16, "image-cache": "none"}
TEXTS = {**SHORT, "model": "bag-of-embeddings"}
# What is run: all of the main table, of the others what no other table has.
RUN = [
    ("jtt", "waterbirds, celeba", PICTURES),
    ("jtt", "multinli, civilcomments", TEXTS),
    ("dfr", "dfr/waterbirds, dfr/celeba", PICTURES),
    ("dfr", "dfr/multinli, dfr/civilcomments", TEXTS),
    ("mixture", "mixture (classes)/waterbirds, mixture (classes)/celeba", PICTURES),
    ("mixture", "mixture (classes)/civilcomments", TEXTS),
]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_is_read_and_belongs_to_a_table(path: Path) -> None:
    cells = [cell for name in BENCHMARKS for cell in read_table(name).cells if CONFIGS / cell.config == path]
    assert cells
    table = PublishedTable("mine", "t", "s", "n", tuple(cells))
    assert all(one.runs for one in plan(table, {}))


def test_every_benchmark_has_every_method_and_each_cell_its_runs() -> None:
    found: dict[str, set[str]] = {name: set() for name in METHODS}
    for name in BENCHMARKS:
        for one in plan(read_table(name), {}):
            first = one.runs[0]
            assert first.dataset == one.cell.column
            assert len(one.runs) == (3 if name == "mixture" else 5)
            assert {config.replace(seed=0) for config in one.runs} == {first.replace(seed=0)}
            found[first.dataset].add(first.method)
    assert found == METHODS


def test_the_hyper_parameters_of_jtt_are_the_published_ones() -> None:
    # The table of the released code: T, lambda, and both stages' learning rate, weight decay, batch and epochs.
    expected = {
        "waterbirds": (60, 100, (1e-5, 1.0, 64), (1e-5, 1.0, 64, 300)),
        "celeba": (1, 50, (1e-5, 0.1, 64), (1e-5, 0.1, 64, 50)),
        "multinli": (2, 4, (2e-5, 0.0, 32), (1e-5, 0.1, 32, 5)),
        "civilcomments": (2, 6, (2e-5, 0.0, 24), (1e-5, 0.01, 16, 3)),
    }
    found = {}
    for one in plan(read_table("jtt").only("jtt"), {}):
        run = one.runs[0]
        first = (run.identify_learning_rate, run.identify_weight_decay, run.identify_batch_size)
        second = (run.learning_rate, run.weight_decay, run.batch_size, run.robust_epochs)
        found[run.dataset] = (run.identify_epochs, run.upsample, first, second)
        assert (run.upsample_convention, run.identify, run.identify_optimizer) == ("extra", "local", "sgd")
    assert found == expected


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    write_waterbirds(folder)
    write_celeba(folder)
    comments = civil_rows(48)
    for place, row in enumerate(comments):  # six in a row have all four groups
        row[CIVIL_HEADER.index("split")] = ("train", "train", "val", "test")[place // 6 % 4]
    make_civil(folder, comments)
    make_mnli(folder, metadata=metadata_rows(48))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "only", "settings"), RUN, ids=[f"{name}: {only}" for name, only, _ in RUN])
def test_a_shortened_run_of_every_cell_goes_through(
    call: Call, tmp_path: Path, small_files: Path, name: str, only: str, settings: dict[str, Any]
) -> None:
    changes = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    where = ["--only", only, "--seeds", "1", "--data-dir", str(small_files), "--out", "there", "--jobs", "2"]
    code, _, err = call("reproduce", name, *where, "--quiet", *changes)
    assert (code, err) == (0, "")
    lines = list(csv.DictReader((tmp_path / "there" / "reproduced.csv").read_text().splitlines()))
    results = [json.loads(path.read_text()) for path in tmp_path.glob("there/runs/*/result.json")]
    cells = read_table(name).only(only).cells
    assert len(results) == len(cells)
    assert len(lines) == sum(len(cell.published) for cell in cells)
    for cell in cells:
        wanted = {**cell.where, "dataset": cell.column}
        (mine,) = (one for one in results if all(one["config"][key] == value for key, value in wanted.items()))
        for line in (line for line in lines if (line["row"], line["column"]) == (cell.row, cell.column)):
            accuracy = mine["test"][f"{line['measure']}-accuracy"]
            assert line["ours"] == f"{100 * accuracy:.4f}"
            assert line["verdict"] == ("one seed" if line["published"] else "nothing published")
