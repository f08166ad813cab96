"""The benchmarks' harness; the ratios themselves are for `make bench`."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiments.benchmarks import __main__ as index
from experiments.benchmarks import gpu, methods, reading
from experiments.benchmarks.engine import CONFIG, BareLoop
from experiments.benchmarks.harness import (
    Row,
    Setting,
    images_folder,
    interleaved,
    medians_of,
    ratios_of,
    spuco_mnist,
    timed,
)
from experiments.benchmarks.memory import proportional_size, tree_of
from fedjtt.api import simulate
from fedjtt.methods.registry import METHODS
from tests.tiny import tiny_splits


def recorder(log: list[str], name: str, figures: list[float]) -> Callable[[], float]:
    remaining = iter(figures)

    def side() -> float:
        log.append(name)
        return next(remaining)

    return side


def test_every_other_pair_runs_backwards_and_figures_keep_the_sides_order() -> None:
    log: list[str] = []
    sides = [recorder(log, "a", [1, 2, 3]), recorder(log, "b", [10, 20, 30]), recorder(log, "c", [100, 200, 300])]
    assert interleaved(sides, 3) == [(1, 10, 100), (2, 20, 200), (3, 30, 300)]
    assert "".join(log) == "abccbaabc"


def test_the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() -> None:
    # Ratios 2, 1, 4: median 2. Medians 4 and 4 would give 1.
    figures = [(4.0, 2.0), (4.0, 4.0), (20.0, 5.0)]
    assert ratios_of(figures, 0, 1) == (2.0, 1.0, 4.0)
    assert Row("x", ratios_of(figures, 0, 1), None, "").ratio == 2.0
    assert medians_of(figures) == (4.0, 4.0)


@pytest.mark.parametrize(
    ("ratios", "target", "at_least", "problem", "verdict"),
    [
        ((1.0, 1.1, 9.0), 1.1, False, "", "met"),
        ((1.0, 1.2, 1.3), 1.1, False, "", "MISSED"),
        ((2.5, 1.0, 2.5), 2.0, True, "", "met"),
        ((1.9, 1.9, 7.0), 2.0, True, "", "MISSED"),
        ((7.0,), None, False, "", "reported"),
        ((1.0,), 1.1, False, "the weights differ", "INVALID"),
        ((math.nan,), 1.2, False, "", "MISSED"),
    ],
)
def test_verdicts(ratios: tuple[float, ...], target: float | None, at_least: bool, problem: str, verdict: str) -> None:
    assert Row("x", ratios, target, "how", at_least, problem).verdict == verdict


def test_timed_is_in_seconds() -> None:
    assert 0.02 <= timed(lambda: time.sleep(0.02)) < 2


def test_images_come_from_fedjtt_data_where_mnist_is_and_are_random_in_its_shape_elsewhere(
    tmp_path: Path, tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDJTT_DATA", str(tiny_mnist))
    assert images_folder(tmp_path) == (tiny_mnist, "MNIST")
    monkeypatch.delenv("FEDJTT_DATA")
    folder, said = images_folder(tmp_path)
    assert "random" in said
    splits = spuco_mnist(folder)
    assert splits.train.x.shape == (48_000, 3, 28, 28)  # 6,000 images a digit, a fifth held back for validation


def test_the_bare_loop_computes_the_engines_weights(tiny_mnist: Path) -> None:
    splits = spuco_mnist(tiny_mnist)
    config = CONFIG.replace(machines=3, robust_rounds=2, batch_size=16)
    torch.set_flush_denormal(True)  # as on a machine
    # What a bare loop does not do: too few steps are made here for all of it to show in the weights.
    assert (config.identify, config.identify_stop, config.identify_guard) == ("local", "last", False)
    assert config.identify_clip_norm == config.clip_norm == config.identify_min_steps == config.robust_min_steps == 0
    assert BareLoop(config, splits).run() == simulate(config, splits).result["digest"]


def test_the_table_shows_every_row_and_names_what_was_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import experiments.benchmarks.ids as ids

    def rows(setting: Setting) -> list[Row]:
        assert setting.pairs == 2
        return [Row("slow-one", (1.5, 1.7), 1.1, "how it was run"), Row("other", (3.0,), None, "unlike that")]

    monkeypatch.setattr(ids, "run", rows)
    monkeypatch.setattr(index, "images_folder", lambda scratch: (scratch, "none"))
    assert len(index.main(["ids", "--pairs", "2"])) == 2
    said = capsys.readouterr().out
    for text in ("slow-one", "1.600", "1.50 to 1.70", "<= 1.10", "MISSED", "how it was run", "other", "reported"):
        assert text in said
    assert "targets missed: slow-one\n" in said


@pytest.mark.parametrize("arguments", [["nonsense"], ["ids", "--pairs", "0"]])
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        index.main(arguments)
    assert caught.value.code == 2


def test_every_benchmark_of_the_index_exists() -> None:
    import importlib

    for place, text in index.BENCHMARKS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(f"experiments.benchmarks.{module}"), function))
        assert text


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
def test_a_process_tree_holds_this_process_and_its_size_is_more_than_a_megabyte() -> None:
    import os

    assert tree_of(os.getpid())[0] == os.getpid()
    assert proportional_size(os.getpid()) > 1e6
    assert proportional_size(2**22 + 1) == 0  # no such process


def test_every_method_has_its_round_measured() -> None:
    assert {variant["method"] for variant in methods.VARIANTS.values()} == set(METHODS)


@pytest.mark.parametrize("name", ["jtt", "balance, subset", "group-dro, inferred groups", "cvar-dro, of a batch"])
def test_a_methods_rounds_are_timed_on_few_examples(name: str) -> None:
    splits = tiny_splits()
    variant = {**methods.VARIANTS[name], "machines": 3, "model": "mlp", "batch-size": 4, "dataset": "digits"}
    assert 0 < methods.seconds_of(variant, splits, 8) < 60


def test_an_index_of_celebas_form_is_links_to_a_few_photographs(tmp_path: Path) -> None:
    reading.write_celeba(tmp_path, 40, 5)
    images = tmp_path / "celeba_v1.0" / "img_align_celeba"
    assert {path.stat().st_ino for path in images.iterdir()} == {
        (images / f"{number:06}.jpg").stat().st_ino for number in range(1, 6)
    }
    splits = reading.opened(tmp_path, "none", 16)
    # 40 x .8034 = 32.1 and 40 x .9015 = 36.1: rows 0 to 32, 33 to 36 and 37 to 39
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [33, 4, 3]
    reading.epoch(splits)
    assert 0 < reading.peak_of_index(tmp_path, 8) < 20
    assert list((tmp_path / "cache").iterdir())


def test_both_loops_of_the_gpus_benchmark_compute_the_same() -> None:
    """Two steps on eight images: the loss after one step shows the step."""
    size = gpu.Size("cpu", "float32", 64, 4, 2)
    module, data = gpu.resnet50(), gpu.photographs(size)
    batches = torch.arange(8).view(2, 4)
    assert gpu.ours(module, data, batches, size) == pytest.approx(gpu.bare(module, data, batches, size), rel=1e-3)


def test_without_a_gpu_the_row_says_so_and_has_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "ours", lambda *_: 0.7)
    monkeypatch.setattr(gpu, "bare", lambda *_: 0.7)
    monkeypatch.setattr(gpu, "one_thread", lambda: None)
    (row,) = gpu.run(Setting(1, True, tmp_path, tmp_path))
    assert (row.name, row.target, row.verdict) == ("gpu (on the CPU)", None, "reported")
    assert "NOT a GPU's figure" in row.how
    monkeypatch.setattr(gpu, "bare", lambda *_: 0.8)
    assert gpu.run(Setting(1, True, tmp_path, tmp_path))[0].verdict == "INVALID"
