import tomllib
from pathlib import Path
from typing import Any

import pytest

from experiments.analyse.choose import choices_table, choices_toml, choose
from experiments.grid import build_grid
from experiments.results import flatten
from fedjtt.errors import ConfigError
from tests.experiments.conftest import Call
from tests.experiments.test_results import synthetic_result

TUNED = ["learning-rate", "dro-step"]


def _row(validation: float, test: float = 0.5, **values: Any) -> dict[str, Any]:
    config = {key.replace("_", "-"): value for key, value in values.items()}
    return flatten(synthetic_result(config)) | {
        "validation.worst-group-accuracy": validation, "test.worst-group-accuracy": test,
    }  # fmt: skip


def _rows() -> list[dict[str, Any]]:
    """ERM: .1 has means .3 (validation) and .9 (test), .03 has .4 and .1. GroupDRO: step .01 has .7, .1 has .6."""
    tried = [
        ({"method": "erm", "learning_rate": 0.1}, (0.2, 0.4), 0.9),
        ({"method": "erm", "learning_rate": 0.03}, (0.5, 0.3), 0.1),
        ({"method": "group-dro", "dro_step": 0.01}, (0.7, 0.7), 0.5),
        ({"method": "group-dro", "dro_step": 0.1}, (0.6, 0.6), 0.5),
    ]
    return [_row(value, test, **keys, seed=seed) for keys, values, test in tried for seed, value in enumerate(values)]


def test_the_best_mean_on_validation_is_chosen_whatever_test_says() -> None:
    erm, dro = choose(_rows(), TUNED)
    assert erm.best == {"learning-rate": 0.03}
    assert [value.mean for value in erm.tried.values()] == pytest.approx([0.4, 0.3])
    assert dro.best == {"learning-rate": 0.1, "dro-step": 0.01}
    table = choices_table([erm, dro], "val-worst-group")
    assert [row[1:3] for row in table.rows] == [
        ("2", "learning-rate 0.03"), ("2", "learning-rate 0.1, dro-step 0.01"),
    ]  # fmt: skip


def test_the_choices_are_a_sweep_file() -> None:
    text = choices_toml(choose(_rows(), TUNED), TUNED)
    runs = build_grid({"dataset": "digits", "seeds": [7], **tomllib.loads(text)}).runs
    assert [(run.method, run.learning_rate, run.dro_step) for run in runs] == [
        ("erm", 0.03, 0.01), ("group-dro", 0.1, 0.01),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tuned", "by", "said"),
    [
        (["learning-rte"], "val-worst-group", "did you mean 'learning-rate'"),
        (["learning-rate"], "test", "--by is 'test'; allowed: val-worst-group"),
        (["learning-rate"], "val-bias-unsupervised", "no run has validation.bias-unsupervised-score"),
    ],
)
def test_what_cannot_be_chosen(tuned: list[str], by: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose(_rows(), tuned, by)


def test_values_must_have_been_tried_on_the_same_seeds() -> None:
    with pytest.raises(ConfigError, match="not tried on the same seeds"):
        choose(_rows()[1:], TUNED)


def test_a_file_that_is_there_is_not_overwritten(call: Call, tmp_path: Path) -> None:
    (tmp_path / "chosen.toml").write_text("mine")
    code, _, said = call("analyse", "choose", ".", "--tuned", "learning-rate", "--to", "chosen.toml")
    assert code == 2
    assert "is there already" in said
    assert (tmp_path / "chosen.toml").read_text() == "mine"


def test_a_folder_without_runs_is_refused(call: Call) -> None:
    code, _, said = call("analyse", "choose", ".", "--tuned", "learning-rate")
    assert code == 2
    assert "holds no finished run" in said
