"""``fedjtt analyse`` as a user runs it."""

import shutil
from pathlib import Path

from fedjtt import provide
from tests.experiments.analyse.made_runs import really_run
from tests.experiments.conftest import Call


def test_help_names_the_analyses(call: Call) -> None:
    code, out, _ = call("analyse", "--help")
    assert code == 0
    assert "spectrum" in out
    code, out, _ = call("analyse", "spectrum", "--help")
    assert code == 0
    assert "RUN" in out


def test_a_run_and_its_folder(call: Call, made_sweep: Path, tmp_path: Path) -> None:
    """Of one folder the results lie in it, of several here, or where --to says."""
    run = Path(shutil.copytree(made_sweep / "runs" / "erm-0", tmp_path / "run"))
    code, out, err = call("analyse", "spectrum", "run", "--quiet", "--top", "2")
    assert (code, err) == (0, "")
    assert "Spectral imbalance by class" in out
    assert "spectra: run/spectrum" in out
    header = (run / "spectrum" / "spectrum.csv").read_text().splitlines()[0]
    assert header.endswith("n,eigenvalue-1,eigenvalue-2")
    code, _, err = call("analyse", "spectrum", "run", str(made_sweep))
    assert code == 0
    assert "4/4 " in err
    assert (tmp_path / "spectrum" / "rho.png").is_file()
    assert call("analyse", "spectrum", "run", "--to", "there", "--quiet")[0] == 0
    assert (tmp_path / "there" / "summary.md").is_file()


def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(
    call: Call, made_sweep: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(made_sweep / "runs" / "erm-0" / "config.json", begun)
    before = sorted(tmp_path.rglob("*"))
    good = str(made_sweep / "runs" / "erm-0")
    for arguments, text in {
        ("nowhere",): "nowhere is not a folder",
        ("empty",): "empty holds no finished run",
        ("begun",): "begun holds a run that has not finished",
        (good, "begun"): "begun holds a run that has not finished",
        (): "Missing argument",
        (good, "--top", "0"): "'--top': 0",
        (good, "--tpo", "3"): "No such option '--tpo'",
        (good, "--to", str(Path(good) / "done")): "is a file; name a folder",
    }.items():
        code, out, err = call("analyse", "spectrum", *arguments)
        assert (code, out) == (2, ""), arguments
        assert text in err
        assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_that_is_gone_is_said_with_the_run(call: Call, tiny_mnist: Path, tmp_path: Path) -> None:
    run = really_run(tmp_path / "run", dataset="spuco-mnist", data_dir=str(tiny_mnist), model="mlp", machines=1)
    moved = tiny_mnist.rename(tmp_path / "moved")
    provide._load.cache_clear()  # another process does not have the data
    provide._seen.cache_clear()
    provide.machines_of.cache_clear()
    code, out, err = call("analyse", "spectrum", "run", "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("fedjtt: run: ")
    assert "train-images-idx3-ubyte is missing" in err
    assert len(err.splitlines()) == 1
    assert not (run / "spectrum").exists()
    code, out, err = call("analyse", "spectrum", "run", "--data-dir", str(moved), "--quiet")
    assert (code, err) == (0, "")
