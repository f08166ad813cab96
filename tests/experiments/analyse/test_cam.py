"""Grad-CAM of real runs: in the report, by the command, and one line where it cannot be."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.analyse import cam
from experiments.analyse.cam import one_a_method, sheet_of_sweep
from experiments.drawing import save
from experiments.report import build_report, load_splits
from experiments.results import flatten, read_runs
from experiments.settings import Groups, by_setting, read_settings
from tests.data.test_adult import people, written
from tests.experiments.analyse.made_runs import really_run
from tests.experiments.conftest import Call
from tests.experiments.test_cli import is_refused
from tests.experiments.test_results import synthetic_result, write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ERM and JTT on digits by a convolutional network, and ERM with another seed."""
    folder = tmp_path_factory.mktemp("convolutional")
    for name, changes in (("erm", {}), ("jtt", {"method": "jtt"}), ("other", {"seed": 1})):
        really_run(folder / "runs" / name, model="lenet", **changes)
    return folder


@pytest.fixture
def copied(sweep: Path, tmp_path: Path) -> Path:
    shutil.copytree(sweep, tmp_path / "sweep")
    return tmp_path / "sweep"


def page_of(folder: Path) -> str:
    return build_report(folder).read_text()


def sheet(folder: Path) -> tuple[Figure | None, str]:
    about = read_runs(folder)[0]["config"]
    splits, _ = load_splits({"config": about})
    assert splits is not None
    return sheet_of_sweep(folder, read_settings(folder), about, splits)


@pytest.mark.slow
def test_a_report_has_the_sheet_and_without_captum_says_what_to_install(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<figcaption>Where the networks look</figcaption>" in page_of(copied)
    picture = copied / "figures" / "cam.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "captum", None)
    text = page_of(copied)
    assert "Where the networks look: not drawn, Grad-CAM needs the package captum, which is not installed; " in text
    assert "pip install &#x27;fedjtt[pictures]&#x27;" in text
    assert not picture.exists()  # the one of the earlier report
    assert (copied / "figures" / "samples.png").exists()


def test_the_columns_are_erm_and_jtt_of_one_seed(sweep: Path, tmp_path: Path) -> None:
    figure, why = sheet(sweep)
    assert figure is not None
    assert why == ""
    titles = [" ".join(axes.get_title().split()) for axes in figure.axes[:3]]
    assert titles == ["image", "ERM, central, 1 machine", "JTT, central, 1 machine"]
    assert "drawn by seed (0)" in " ".join(figure.texts[0].get_text().split())
    again, _ = sheet(sweep)
    assert again is not None
    assert save(figure, tmp_path / "a.png").read_bytes() == save(again, tmp_path / "b.png").read_bytes()


def test_without_weights_it_is_said_how_to_keep_them(copied: Path) -> None:
    (copied / "runs" / "jtt" / "weights.npy").unlink()
    assert sheet(copied) == (None, "needs weights.npy of jtt, which a run leaves there; keep it, or repeat the run")
    (copied / "runs" / "jtt" / "weights.npy").write_bytes(b"damaged")
    assert "jtt/weights.npy cannot be read" in sheet(copied)[1]


def test_one_method_has_nothing_beside_it(copied: Path) -> None:
    shutil.rmtree(copied / "runs" / "jtt")
    assert sheet(copied) == (None, "needs runs of at least two methods on the same data with one seed")


def test_other_networks_have_no_maps(made_sweep: Path) -> None:
    assert "Grad-CAM needs maps of a convolution" in sheet(made_sweep)[1]


def test_reports_of_tables_say_nothing_of_it(tmp_path: Path) -> None:
    written(tmp_path, people(200), people(60, "."))
    write_run(tmp_path / "run", synthetic_result({"dataset": "adult", "data-dir": str(tmp_path)}))
    text = page_of(tmp_path / "run")
    assert "The dataset is not to be had here" not in text
    assert "Where the networks look" not in text


def settings_of(*changes: dict[str, Any]) -> Groups:
    return by_setting([flatten(synthetic_result({"dataset": "digits", **values})) for values in changes])


def test_of_many_runs_each_method_shows_its_most_machines_erm_and_jtt_first() -> None:
    methods = ("balance", "jtt", "group-dro", "cvar-dro", "erm")
    groups = settings_of(
        {"method": "jtt", "machines": 1},
        *({"method": method, "machines": 5, "robust": "federated"} for method in methods),
        {"method": "erm", "machines": 5, "robust": "federated", "seed": 1},
    )
    about = {**synthetic_result({"dataset": "digits"})["config"]}
    names = list(one_a_method(groups, about).values())
    assert [name.split(",")[0] for name in names] == ["ERM", "JTT", "upsample (true groups)", "GroupDRO (true groups)"]
    assert all("5 machines" in name for name in names)
    assert list(one_a_method(groups, {**about, "seed": 1}).values()) == names[:1]
    assert one_a_method(groups, {**about, "difficulty": "small"}) == {}


def test_the_command_draws_the_runs_in_the_order_in_which_they_are_named(
    call: Call, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    original = cam.sheet_of
    monkeypatch.setattr(
        cam, "sheet_of", lambda runs, names, splits: (drawn.append(list(names)), original(runs, names, splits))[1]
    )
    code, out, err = call("analyse", "cam", str(sweep / "runs" / "jtt"), str(sweep / "runs" / "erm"), "--to", "there")
    assert (code, err) == (0, "")
    assert out == "Grad-CAM of JTT, ERM: there/cam.png\n"
    assert [name.split(",")[0] for name in drawn[0]] == ["JTT", "ERM"]
    assert (tmp_path / "there" / "cam.png").read_bytes().startswith(b"\x89PNG")
    assert call("analyse", "cam", str(sweep / "runs" / "jtt"), "--to", "alone")[0] == 0
    assert (tmp_path / "alone" / "cam.png").exists()


def test_what_cannot_be_drawn_is_one_line(call: Call, sweep: Path, made_sweep: Path, tmp_path: Path) -> None:
    runs = sweep / "runs"
    is_refused(call, "other has seed 1 and", "analyse", "cam", str(runs / "erm"), str(runs / "other"))
    is_refused(call, "name runs of one seed", "analyse", "cam", str(runs / "erm"), str(runs / "other"))
    is_refused(call, "needs maps of a convolution", "analyse", "cam", str(made_sweep / "runs" / "erm-0"))
    is_refused(call, "nowhere is not a folder", "analyse", "cam", "nowhere")
    damaged = tmp_path / "damaged"
    shutil.copytree(runs / "erm", damaged)
    np.save(damaged / "weights.npy", np.zeros(3, np.float32))
    is_refused(call, "weights.npy is not the model that result.json speaks of", "analyse", "cam", str(damaged))
    assert not (tmp_path / "cam").exists()
