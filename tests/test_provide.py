"""What machines and server see of the data: views of one copy, every row once."""

import os
from pathlib import Path

import pytest
import torch

from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError
from fedjtt.provide import (
    DATA_VARIABLE,
    data_options,
    fast_layout,
    machines_of,
    placed,
    provide_from_config,
    provide_server_data,
    server_data,
    splits_of,
    spread,
)
from tests.tiny import tiny_config, tiny_splits


def test_every_row_is_on_exactly_one_machine() -> None:
    splits = tiny_splits()
    nodes = spread(splits, tiny_config(machines=7))
    for name in ("train", "validation", "test"):
        parts = [getattr(node, name) for node in nodes]
        rows = torch.cat([part.rows for part in parts])
        assert sorted(rows.tolist()) == list(range(len(getattr(splits, name))))
        assert all(part.dataset is getattr(splits, name) for part in parts)  # nothing is copied
        assert all(torch.equal(part.id, part.dataset.id[part.rows]) for part in parts)


def test_given_rows_are_taken_as_they_are() -> None:
    rows = [torch.tensor([0, 5]), torch.tensor([1])]
    nodes = spread(tiny_splits(), tiny_config(machines=2), rows)
    assert [node.train.rows.tolist() for node in nodes] == [[0, 5], [1]]
    assert [len(node.train) for node in nodes] == [2, 1]


def test_the_server_sees_everything() -> None:
    splits = tiny_splits()
    data = server_data(splits)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [60, 24, 24]


def test_partitions_depend_on_the_seed_and_not_on_the_method() -> None:
    splits = tiny_splits()

    def rows(**changes: object) -> list[list[int]]:
        return [node.train.rows.tolist() for node in spread(splits, tiny_config(**changes))]

    assert rows(seed=1) == rows(seed=1, method="erm", robust="federated", identify_epochs=5, model="lenet")
    assert rows(seed=1) != rows(seed=2)


def test_the_data_dir_comes_from_the_option_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert data_options(RunConfig.parse({})).data_dir is None
    monkeypatch.setenv(DATA_VARIABLE, "/from/environment")
    assert data_options(RunConfig.parse({})).data_dir == Path("/from/environment")
    assert data_options(RunConfig.parse({"data-dir": "/from/option"})).data_dir == Path("/from/option")


def test_the_options_are_the_configs() -> None:
    options = data_options(
        RunConfig.parse({"seed": 4, "label-noise": 0.1, "difficulty": "small", "corner": "top-left"})
    )
    assert (options.dataset, options.seed, options.label_noise) == ("digits", 4, 0.1)
    assert (options.difficulty, options.corner, options.spurious_strength) == ("small", "top-left", 0.9)


def test_the_fast_layout_changes_the_memory_and_not_the_values() -> None:
    images = splits_of(RunConfig.parse({})).train
    assert images.x.is_contiguous(memory_format=torch.channels_last)
    plain = images.x.contiguous()
    again = fast_layout(images)
    assert torch.equal(again.x, plain)
    vectors = tiny_splits().train
    assert fast_layout(vectors) is vectors


def test_a_process_keeps_the_last_dataset() -> None:
    config = RunConfig.parse({})
    assert splits_of(config) is splits_of(config.replace(method="erm", machines=3, out="x"))
    assert machines_of(config) is machines_of(config)
    assert provide_from_config(config, 4, 10) is machines_of(config)[4]
    assert provide_server_data(config, 0, 1).train.dataset is splits_of(config).train


def test_a_federation_of_another_size_is_refused_with_both_ways_out() -> None:
    with pytest.raises(
        ConfigError, match=r"machines is 10 but the federation has 4 nodes.*num-supernodes=10.*machines=4"
    ):
        provide_from_config(RunConfig.parse({}), 0, 4)


def test_a_missing_device_is_refused_and_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain = RunConfig.parse({"workers": 2})
    assert placed(plain) is plain
    assert placed(RunConfig.parse({"workers": 2, "device": "auto"})) == plain
    with pytest.raises(ConfigError, match="device is cuda, but torch finds no CUDA device here; set device to cpu"):
        placed(RunConfig.parse({"device": "cuda"}))


def test_with_a_gpu_one_process_has_all_machines_and_flowers_actors_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    asked = []

    def available() -> bool:
        asked.append(os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"])  # else processes forked later could not use the GPU
        return True

    monkeypatch.setattr(torch.cuda, "is_available", available)
    config = RunConfig.parse({"device": "auto", "workers": 3})
    assert (placed(config).device, placed(config).workers) == ("cuda", 1)
    of_flower = placed(config.replace(engine="flower"))
    assert (of_flower.device, of_flower.workers) == ("cuda", 3)
    assert placed(RunConfig.parse({"device": "cuda"})).device == "cuda"
    assert set(asked) == {"1"}
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK")


def test_what_is_asked_of_texts_depends_on_who_reads_them() -> None:
    """A pretrained network has a tokenizer of its own; another network's words are hashed, whatever it is called."""
    bag = data_options(RunConfig.parse({"dataset": "sick", "max-length": 9}))
    assert (bag.max_length, bag.text_model, bag.download) == (9, "", False)
    own = {"dataset": "multinli", "model": "bert", "text-model": "folder", "download": True}
    bert = data_options(RunConfig.parse(own))
    assert (bert.max_length, bert.text_model, bert.download) == (128, "folder", True)
