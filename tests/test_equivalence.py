"""What must be the same computation: one machine and central, any order, any number of workers, any place."""

import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message

import fedjtt
from fedjtt.cache import StageCache
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.methods import fit, identify_local
from fedjtt.provide import provide_parts, splits_of, spread
from fedjtt.simulation import InProcessGrid
from tests.tiny import grouped, node_of, run_on, tiny_config, tiny_splits

# So much that machines' models, alone and together, differ from each other and from those that know nothing.
LEARNED: dict[str, Any] = {"identify_learning_rate": 0.05, "identify_epochs": 3}


def digest(config: RunConfig, **more: Any) -> str:
    text: str = fedjtt.simulate(config, tiny_splits(), **more).result["digest"]
    return text


@pytest.mark.parametrize("method", ["erm", "jtt", "group-balanced"])
@pytest.mark.parametrize("averaging", ["none", "ema"])
@pytest.mark.parametrize("aggregator", ["fedavg", "fedprox", "fedmedian"])
def test_one_machine_federated_is_central_to_the_last_bit(method: str, averaging: str, aggregator: str) -> None:
    digests = {
        digest(
            tiny_config(
                machines=1, method=method, averaging=averaging, aggregator=aggregator, robust=robust,
                robust_epochs=2, robust_rounds=3, identify_epochs=2, learning_rate_schedule="one-cycle",
            )
        )
        for robust in ("central", "federated")
    }  # fmt: skip
    assert len(digests) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_one_machine_is_central_with_adamw_and_half_precision_too(precision: str) -> None:
    settings: dict[str, Any] = {
        "machines": 1, "optimizer": "adamw", "learning_rate": 0.002, "learning_rate_schedule": "linear",
        "robust_epochs": 2, "robust_rounds": 3, "precision": precision,
    }  # fmt: skip
    digests = {digest(tiny_config(robust=robust, **settings)) for robust in ("central", "federated")}
    assert len(digests) == 1
    assert digests != {digest(tiny_config(robust="central", **{**settings, "optimizer": "sgd"}))}


def test_one_machine_federated_is_central_on_images_too() -> None:
    results = [fedjtt.simulate(tiny_config(machines=1, robust=robust)).result for robust in ("central", "federated")]
    assert results[0]["digest"] == results[1]["digest"]
    assert results[0]["test"] == results[1]["test"]
    strip = [{k: v for k, v in r["identification"].items() if k != "machines"} for r in results]
    assert strip[0] == strip[1]


@pytest.mark.parametrize("convention", ["copies", "extra"])
@pytest.mark.parametrize("upsample", ["auto", 4])
def test_one_machine_is_central_under_both_conventions(convention: str, upsample: Any) -> None:
    digests = {
        digest(tiny_config(machines=1, upsample_convention=convention, upsample=upsample, robust=robust))
        for robust in ("central", "federated")
    }
    assert len(digests) == 1


class Shuffled(InProcessGrid):
    """Machines that are asked, and answer, in another order at every exchange."""

    seed = 0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        self.seed += 1
        chance = np.random.default_rng(self.seed)
        listed = list(messages)
        replies = super().send_and_receive([listed[i] for i in chance.permutation(len(listed))], timeout=timeout)
        return [replies[i] for i in chance.permutation(len(replies))]


IDENTIFY = pytest.mark.parametrize("identify", ["local", "federated", "peers"])


@IDENTIFY
@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize("start", [0, 100])
def test_the_order_of_machines_does_not_matter(robust: str, start: int, identify: str) -> None:
    splits = tiny_splits()
    config = tiny_config(
        machines=7, robust=robust, evaluation_at="machines", batch_size=4, identify=identify, **LEARNED
    )  # fmt: skip
    grid = Shuffled(make_client_app(provide_parts(spread(splits, config))), config, 7)
    grid.seed = start
    assert run_on(grid, config, splits).result["digest"] == digest(config)


# All that identification can do at once, over machines that differ in their labels.
ALL: dict[str, Any] = {
    "machines": 5, "robust": "federated", "partition": "label-dirichlet", "dirichlet_alpha": 1.0, "batch_size": 4,
    "identify_optimizer": "adamw", "identify_averaging": "rounds", "identify_label_correction": 0.9,
    "identify_rounds": 4, "identify_learning_rate": 0.003, "identify_epochs": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("identify", "stop"), [("federated", "stable"), ("federated", "val-groups"), ("local", "stable")]
)
def test_the_order_of_machines_does_not_matter_where_they_look_on_the_way(identify: str, stop: str) -> None:
    splits = tiny_splits()
    config = tiny_config(identify=identify, identify_stop=stop, **ALL)
    grid = Shuffled(make_client_app(provide_parts(spread(splits, config))), config, 5)
    assert run_on(grid, config, splits).result["digest"] == digest(config)


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize("degree", [0.5, 0.9, 1.0])
def test_label_correction_changes_nothing_on_one_machine(degree: float, robust: str) -> None:
    """Its labels are mixed as all machines' are, for it is all of them."""
    settings = {**ALL, "machines": 1, "robust": robust, "identify": "federated"}
    plain = digest(tiny_config(**{**settings, "identify_label_correction": 0.0}))
    assert digest(tiny_config(**{**settings, "identify_label_correction": degree})) == plain


@pytest.mark.parametrize(
    ("key", "value"),
    [("identify_label_correction", 0.0), ("identify_averaging", "none"), ("identify_optimizer", "sgd")],
)
def test_everything_that_identification_can_do_has_its_part(key: str, value: Any) -> None:
    """Or the tests above would compare nothing; the labels are uneven, so that there is something to correct."""
    config = tiny_config(**{**ALL, "identify": "federated"})
    parts = [part.train for part in spread(tiny_splits(), config)]
    counts = [torch.bincount(part.dataset.label[part.rows], minlength=2).tolist() for part in parts]
    assert any(abs(zeros - ones) > 3 for zeros, ones in counts)
    assert digest(config) != digest(config.replace(**{key: value}))


@IDENTIFY
@pytest.mark.parametrize("robust", ["central", "federated"])
def test_the_number_of_workers_does_not_matter(robust: str, identify: str) -> None:
    config = tiny_config(machines=5, robust=robust, identify=identify, **LEARNED)
    assert len({digest(config.replace(workers=workers)) for workers in (1, 2, 3)}) == 1


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_who_holds_validation_and_test_does_not_matter(robust: str) -> None:
    results = [
        fedjtt.simulate(tiny_config(robust=robust, evaluation_at=place), tiny_splits()).result
        for place in ("server", "machines")
    ]
    assert [len(results[1][split].pop("machines")) for split in ("validation", "test")] == [3, 3]
    for key in ("digest", "validation", "test", "selected-round"):
        assert results[0][key] == results[1][key]
    assert results[0]["bytes"]["evaluate"] == {"sent": 0, "received": 0}
    assert results[1]["bytes"]["evaluate"]["sent"] > 0


def test_the_same_seed_gives_the_same_weights_and_two_seeds_differ_everywhere() -> None:
    config = tiny_config()
    results = {seed: fedjtt.simulate(config.replace(seed=seed)).result["digest"] for seed in (0, 1)}
    assert results[0] == fedjtt.simulate(config).result["digest"]
    assert results[0] != results[1]
    data, rows, weights = [], [], []
    for seed in (0, 1):
        splits = splits_of(config.replace(seed=seed))
        data.append(hashlib.sha256(splits.train.x.contiguous().numpy().tobytes()).hexdigest())
        rows.append([part.train.rows.tolist() for part in spread(tiny_splits(), config.replace(seed=seed))])
        weights.append(node_of(config.replace(seed=seed), splits.train).initial_model().vector.clone())
    assert data[0] != data[1]
    assert rows[0] != rows[1]
    assert not torch.equal(weights[0], weights[1])


def test_data_partition_and_initial_weights_do_not_depend_on_the_method() -> None:
    starts = {
        fit_start(tiny_config(method=method, robust=robust, machines=machines))
        for method in ("erm", "jtt", "group-balanced")
        for robust in ("central", "federated")
        for machines in (1, 3)
    }
    assert len(starts) == 1


def fit_start(config: RunConfig) -> str:
    return node_of(config, tiny_splits().train).initial_model().vector.numpy().tobytes().hex()


@pytest.mark.parametrize("machines", [2, 4])
def test_machines_with_full_batches_are_central_to_rounding(machines: int) -> None:
    """A mean of equal machines' full-batch steps is the full-batch step: one local step a round, no memory.

    60 examples, equal parts; batch size above all of them, so that an epoch is one step on all of a machine's data.
    """
    settings: dict[str, Any] = {
        "method": "erm", "batch_size": 1000, "robust_epochs": 12, "robust_rounds": 12, "averaging": "none",
        "learning_rate_schedule": "constant", "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.01,
        "selection": "last",
    }  # fmt: skip
    central = fedjtt.simulate(tiny_config(robust="central", **settings), tiny_splits())
    spread_out = fedjtt.simulate(tiny_config(robust="federated", machines=machines, **settings), tiny_splits())
    assert len(central.history) == len(spread_out.history) == 12
    np.testing.assert_allclose(spread_out.weights, central.weights, rtol=1e-4, atol=1e-6)
    start = node_of(tiny_config(), tiny_splits().train).initial_model().vector.numpy()
    assert np.abs(central.weights - start).max() > 0.01  # something was learned


def test_renaming_the_attributes_changes_no_figure() -> None:
    """Training never sees the attribute, so the weights are equal; every figure over groups is too."""

    def renamed(data: GroupedDataset) -> GroupedDataset:
        assert data.attribute is not None
        return GroupedDataset(data.x, data.label, 1 - data.attribute, data.id, 2, 2)

    splits = tiny_splits()
    other = Splits(*(renamed(part) for part in (splits.train, splits.validation, splits.test)), ("0", "1"), ("1", "0"))
    one, two = (fedjtt.simulate(tiny_config(), data).result for data in (splits, other))
    assert one["digest"] == two["digest"]
    for name in ("worst-group-accuracy", "average-accuracy", "adjusted-average-accuracy", "worst-class-accuracy"):
        assert one["test"][name] == two["test"][name]
    assert (one["identification"]["precision"], one["identification"]["recall"]) == (
        two["identification"]["precision"],
        two["identification"]["recall"],
    )


def test_training_never_sees_the_attribute() -> None:
    splits = tiny_splits()
    blind = Splits(
        *(
            GroupedDataset(part.x, part.label, None, part.id, 2, 2)
            for part in (splits.train, splits.validation, splits.test)
        ),
        ("0", "1"),
        (),
    )
    for robust, identify in itertools.product(("central", "federated"), ("local", "federated", "peers")):
        config = tiny_config(robust=robust, identify=identify, selection="val-average", **LEARNED)
        assert fedjtt.simulate(config, splits).result["digest"] == fedjtt.simulate(config, blind).result["digest"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a machine identified and how often any node trained a robust round."""
    counts = {"identify": 0, "fit": 0}
    identify, train = identify_local._train_and_split, fit.train

    def counted(name: str, function: Any) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **named)

        return counting

    monkeypatch.setattr(identify_local, "_train_and_split", counted("identify", identify))
    monkeypatch.setattr(fit, "train", counted("fit", train))
    return counts


@pytest.mark.parametrize("stop", ["stable", "val-groups"])
def test_the_number_of_workers_does_not_matter_where_machines_look_on_the_way(stop: str) -> None:
    config = tiny_config(identify="federated", identify_stop=stop, **ALL)
    assert len({digest(config.replace(workers=workers)) for workers in (1, 2)}) == 1


def test_the_ways_to_identify_find_different_sets() -> None:
    """Or the tests above would compare nothing."""
    digests = {
        digest(tiny_config(machines=5, robust="federated", identify=identify, **LEARNED))
        for identify in ("local", "federated", "peers")
    }
    assert len(digests) == 3


def test_a_cache_changes_no_digest_and_identifies_once(tmp_path: Any, trained: dict[str, int]) -> None:
    cache = StageCache(tmp_path)
    settings: list[dict[str, Any]] = [
        {"robust": "central"}, {"robust": "federated"}, {"robust": "central", "upsample": 9},
        {"robust": "federated", "upsample": 9, "aggregator": "fedmedian"},
    ]  # fmt: skip
    plain = [digest(tiny_config(**changes)) for changes in settings]
    assert trained["identify"] == 3 * len(settings)
    trained["identify"] = 0
    assert [digest(tiny_config(**changes), cache=cache) for changes in settings] == plain
    assert trained["identify"] == 3
    assert [digest(tiny_config(**changes), cache=cache) for changes in settings] == plain
    assert trained["identify"] == 3


def test_robust_training_on_the_servers_data_is_computed_once_for_all_numbers_of_machines(
    tmp_path: Any, trained: dict[str, int]
) -> None:
    cache = StageCache(tmp_path)
    results = [
        fedjtt.simulate(tiny_config(method="erm", machines=machines), tiny_splits(), cache=cache).result
        for machines in (1, 3, 5)
    ]
    assert len({result["digest"] for result in results}) == 1
    assert len({result["seconds"]["robust"] for result in results}) == 1
    assert trained["fit"] == 2  # rounds
    digest(tiny_config(method="erm", learning_rate=0.5), cache=cache)
    assert trained["fit"] == 4


def test_machines_have_no_say_in_each_others_error_sets() -> None:
    """Local identification: what one machine finds does not depend on the others' data."""
    splits = tiny_splits()
    rows = [torch.arange(0, 20), torch.arange(20, 40), torch.arange(40, 60)]
    changed = splits.train.x.clone()
    changed[40:] = grouped(torch.zeros(20), torch.ones(20), seed=9).x
    other = Splits(
        GroupedDataset(changed, splits.train.label, splits.train.attribute, splits.train.id, 2, 2),
        splits.validation, splits.test, ("0", "1"), ("0", "1"),
    )  # fmt: skip
    one, two = (
        fedjtt.simulate(tiny_config(), data, rows).result["identification"]["machines"] for data in (splits, other)
    )
    for number in (0, 1):
        assert one[number]["error-set-size"] == two[number]["error-set-size"]


@pytest.mark.parametrize(
    ("method", "key", "values"),
    [
        ("cvar-dro", "cvar_alpha", (0.2, 0.9)), ("cvar-dro", "cvar_threshold", ("global", "batch")),
        ("group-dro", "dro_step", (0.01, 1.0)), ("group-dro", "dro_adjustment", (0.0, 5.0)),
        ("group-dro", "groups", ("true", "class")), ("balance", "balance", ("upsample", "upweight")),
        ("erm", "optimizer", ("sgd", "adamw")), ("erm", "precision", ("float32", "bfloat16")),
        ("erm", "learning_rate_schedule", ("one-cycle", "linear")),
    ],
)  # fmt: skip
def test_a_cached_robust_stage_is_not_that_of_other_settings(
    tmp_path: Path, method: str, key: str, values: tuple[Any, Any]
) -> None:
    cache = StageCache(tmp_path)
    configs = [tiny_config(method=method, **{key: value}) for value in values]
    cached = [fedjtt.simulate(config, tiny_splits(), cache=cache).result["digest"] for config in configs]
    assert cached == [digest(config) for config in configs]
    assert len(set(cached)) == 2
