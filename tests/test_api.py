"""The way in from a notebook: arrays or a torch Dataset in, a trained model and its result out, no file."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import fedjtt
from fedjtt.errors import ConfigError, DataError
from fedjtt.evaluation import group_sums, scores
from fedjtt.models import FlatModel
from tests.tiny import REPO, TINY, tiny_config, tiny_splits

SETTINGS = {key.replace("-", "_"): value for key, value in TINY.items() if key != "model"}
Arrays = tuple[Any, ...]


def arrays(name: str, known: bool = True) -> Arrays:
    data = getattr(tiny_splits(), name)
    columns = (data.x.numpy(), data.label.numpy(), data.attribute.numpy())
    return columns if known else columns[:2]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ten_lines_from_arrays_to_a_model(elsewhere: Path) -> None:
    chance = np.random.default_rng(0)
    y = chance.integers(0, 2, 300)
    a = np.where(chance.random(300) < 0.9, y, 1 - y)
    x = np.stack([y + chance.normal(size=300), 4 * a + chance.normal(size=300)], axis=1)
    done = fedjtt.train((x[:200], y[:200], a[:200]), test=(x[200:], y[200:], a[200:]), machines=5, robust="federated")
    prediction = done.model(torch.as_tensor(x[200:]).float()).argmax(dim=1)
    assert prediction.shape == (100,)
    assert 0 <= (done.worst_group_accuracy or 0) <= 1
    assert list(elsewhere.iterdir()) == []


def test_the_model_is_the_one_that_the_result_speaks_of() -> None:
    done = fedjtt.train(arrays("train"), arrays("test"), arrays("validation"), **SETTINGS)
    assert not done.model.training
    splits = tiny_splits()
    counts = splits.train.group_counts().tolist()
    own = scores(group_sums(FlatModel(done.model), splits.test, torch.arange(24)), counts)
    assert own == done.result["test"]
    assert done.worst_group_accuracy == own["worst-group-accuracy"]


def test_it_is_the_simulation_of_the_same_data() -> None:
    """Rows, alphabets and ids are those of the splits, so the digest is too."""
    done = fedjtt.train(arrays("train"), arrays("test"), arrays("validation"), **SETTINGS)
    assert done.result["digest"] == fedjtt.simulate(tiny_config(), tiny_splits()).result["digest"]


class Rows(Dataset[Any]):
    def __init__(self, columns: Arrays) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[1])

    def __getitem__(self, index: int) -> Any:
        return tuple(column[index] for column in self.columns)


@pytest.mark.parametrize("kind", ["tensors", "own", "tensor dataset", "lists"])
def test_other_containers_give_the_same_weights(kind: str) -> None:
    def contained(name: str) -> Any:
        columns = arrays(name)
        if kind == "tensors":
            return tuple(torch.from_numpy(column) for column in columns)
        if kind == "tensor dataset":
            return TensorDataset(*(torch.from_numpy(column) for column in columns))
        return Rows(columns) if kind == "own" else tuple(column.tolist() for column in columns)

    done = fedjtt.train(contained("train"), contained("test"), contained("validation"), **SETTINGS)
    assert done.result["digest"] == fedjtt.simulate(tiny_config(), tiny_splits()).result["digest"]


def test_without_attributes() -> None:
    done = fedjtt.train(arrays("train", False), arrays("test", False), selection="val-average", **SETTINGS)
    assert done.worst_group_accuracy is None
    assert done.result["test"]["groups"][0]["attribute"] is None
    assert 0 <= done.result["test"]["average-accuracy"] <= 1


def test_without_attributes_the_worst_class_selects() -> None:
    done = fedjtt.train(arrays("train", False), arrays("test", False), **SETTINGS)
    assert done.result["config"]["selection"] == "val-worst-class"


def test_without_attributes_the_worst_group_cannot_select() -> None:
    with pytest.raises(ConfigError, match="use val-worst-class, val-average, val-bias-unsupervised or last"):
        fedjtt.train(arrays("train", False), arrays("test", False), selection="val-worst-group", **SETTINGS)


def test_a_partition_of_ones_own() -> None:
    partition = [0] * 10 + [1] * 20 + [2] * 30
    settings = {key: value for key, value in SETTINGS.items() if key != "machines"}
    done = fedjtt.train(arrays("train"), arrays("test"), arrays("validation"), partition=partition, **settings)
    assert [machine["samples"] for machine in done.result["identification"]["machines"]] == [10, 20, 30]
    shuffled = np.array(partition)
    again = fedjtt.train(arrays("train"), arrays("test"), arrays("validation"), partition=shuffled, **settings)
    assert again.result["digest"] == done.result["digest"]


def test_a_fifth_is_held_back_without_validation_and_by_seed() -> None:
    results = [fedjtt.train(arrays("train"), arrays("test"), seed=seed, **SETTINGS).result for seed in (0, 0, 1)]
    for result in results:
        assert sum(group["count"] for group in result["validation"]["groups"]) == 12
        assert sum(machine["samples"] for machine in result["identification"]["machines"]) == 48
    assert results[0]["digest"] == results[1]["digest"] != results[2]["digest"]


def test_images_are_scaled_and_a_network_of_ones_own_is_trained() -> None:
    chance = np.random.default_rng(0)
    label, attribute = np.arange(40) % 2, np.arange(40) // 2 % 2
    images = chance.integers(0, 256, (40, 1, 14, 14), dtype=np.uint8)

    def builder(shape: tuple[int, ...], labels: int) -> nn.Module:
        assert shape == (1, 14, 14)
        return nn.Sequential(nn.Flatten(), nn.Linear(196, labels))

    columns = (images, label, attribute)
    done = fedjtt.train(columns, columns, columns, model=builder, **SETTINGS)
    assert isinstance(done.model[1], nn.Linear)  # type: ignore[index]
    assert fedjtt.train(columns, columns, columns, model="lenet", **SETTINGS).result["config"]["model"] == "lenet"


def test_a_network_of_another_size() -> None:
    """4 features, 2 labels: 5 x 64 + 65 x 2 weights; identification trains the same network."""
    sized = {**SETTINGS, "model_width": 0.5, "model_depth": 1, "machines": 1}
    columns = [arrays(split) for split in ("train", "test", "validation")]
    done = fedjtt.train(*columns, **sized)
    assert done.result["parameters"] == sum(p.numel() for p in done.model.parameters()) == 5 * 64 + 65 * 2
    federated = fedjtt.train(*columns, **{**sized, "robust": "federated"})
    assert federated.result["digest"] == done.result["digest"]
    (machine,) = done.result["identification"]["machines"]
    assert machine["steps"] > 0


@pytest.mark.parametrize("size", [{"model_width": 2}, {"model_depth": 3}])
def test_a_network_of_ones_own_has_its_own_size(size: dict[str, Any]) -> None:
    def builder(shape: tuple[int, ...], labels: int) -> nn.Module:
        return nn.Linear(shape[0], labels)

    with pytest.raises(ConfigError, match="model-width and model-depth are for named models; leave them out"):
        fedjtt.train(arrays("train"), arrays("test"), model=builder, **SETTINGS, **size)


X, Y = np.zeros((6, 4), np.float32), np.array([0, 1] * 3)
BAD: list[tuple[Any, str]] = [
    ((X,), "1 columns; give"),
    ((X, Y, Y, Y), "4 columns; give"),
    ((X[:5], Y), "differ in length"),
    ((X, Y, Y[:5]), "differ in length"),
    ((X, Y.astype(float)), "label must be one column of whole numbers from 0"),
    ((X, np.eye(2)[Y]), "label must be one column of whole numbers from 0"),
    ((X, Y - 1), "label must be one column of whole numbers from 0"),
    ((X, Y, Y - 1), "attribute must be one column of whole numbers from 0"),
    ((X, Y, Y + 0.5), "attribute must be one column of whole numbers from 0"),
]


@pytest.mark.parametrize(("columns", "text"), BAD, ids=[f"{index}-{text[:20]}" for index, (_, text) in enumerate(BAD)])
def test_wrong_columns_are_refused(columns: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        fedjtt.train(columns, test=(X, Y, Y))
    with pytest.raises(DataError, match=text):
        fedjtt.train((X, Y, Y), test=columns)


@pytest.mark.parametrize(
    ("partition", "error", "text"),
    [
        ([0] * 59, DataError, "partition names 59 examples, train has 60"),
        ([0] * 30 + [2] * 30, DataError, "partition leaves machine 1 without an example"),
        ([-1] * 30 + [1] * 30, DataError, "partition must be one column of whole numbers from 0"),
        ([0.5] * 30 + [1] * 30, DataError, "partition must be one column of whole numbers from 0"),
        ([], (DataError, ConfigError), "partition"),
    ],
)
def test_a_wrong_partition_is_refused(partition: list[int], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        fedjtt.train(arrays("train"), arrays("test"), arrays("validation"), partition=partition)


def test_a_partition_needs_the_validation_set_too() -> None:
    with pytest.raises(ConfigError, match="validation must be given as well"):
        fedjtt.train(arrays("train"), arrays("test"), partition=[0] * 60)


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'machines'"):
        fedjtt.train(arrays("train"), arrays("test"), machine=3)


def test_an_observer_sees_the_rounds() -> None:
    seen = []

    class Watching:
        def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:
            seen.append((stage, server_round, rounds, bool(figures)))

    fedjtt.train(
        arrays("train"), arrays("test"), arrays("validation"), observer=Watching(), **{**SETTINGS, "batch_size": 4}
    )
    assert [told[:3] for told in seen if told[0] == "robust"] == [("robust", 1, 2), ("robust", 2, 2)]


PROGRAM = """
import numpy as np, fedjtt
y = np.arange(60) % 2; x = np.random.default_rng(0).normal(size=(60, 4)).astype("f4") + y[:, None]
fedjtt.train((x, y, y), test=(x, y, y), machines=2, identify_epochs=1, robust_epochs=1, robust_rounds=1)
"""


def test_a_fresh_process_leaves_no_file_anywhere(elsewhere: Path) -> None:
    home, temporary, work = (elsewhere / name for name in ("home", "tmp", "work"))
    for folder in (home, temporary, work):
        folder.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(REPO),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "FLWR_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=work, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert sorted(elsewhere.rglob("*")) == sorted((home, temporary, work))
    assert done.stderr == ""


def test_the_public_names_are_there_and_no_others() -> None:
    for name in fedjtt.__all__:
        assert getattr(fedjtt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fedjtt.nonsense  # noqa: B018
