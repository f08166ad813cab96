"""The corners of every method: a defined result or one clear line, central and federated."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.choices import REMOVING
from fedjtt.config import RunConfig
from fedjtt.data.grouped import Splits
from fedjtt.errors import ConfigError
from fedjtt.methods.registry import METHODS
from tests.tiny import grouped, tiny_config, tiny_splits

BOTH = pytest.mark.parametrize("robust", ["central", "federated"])
KINDS: list[dict[str, Any]] = [
    *({"method": name} for name in METHODS if name not in ("balance", "dfr", *REMOVING)),  # two labels and validation
    *({"method": "balance", "balance": kind} for kind in ("subset", "upsample", "upweight", "mixture")),
    {"method": "balance", "balance": "mixture", "mixture_cut": False},
    {"method": "balance", "balance": "subset", "groups": "inferred"},
    {"method": "balance", "balance": "upweight", "groups": "class"},
    {"method": "group-dro", "groups": "inferred"},
    {"method": "group-dro", "groups": "class"},
    {"method": "cvar-dro", "cvar_threshold": "batch"},
]
EVERY = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(str(value) for value in kind.values()))


def splits_of(labels: int, attributes: int = 2, examples: int = 120, validation: int | None = None) -> Splits:
    place = torch.arange(examples)
    parts = [grouped(place % labels, place // labels % attributes, labels, attributes, seed) for seed in range(3)]
    if validation is not None:
        parts[1] = parts[1].take(range(validation))
    names = [tuple(str(number) for number in range(size)) for size in (labels, attributes)]
    return Splits(*parts, names[0], names[1])


def finite(config: RunConfig, splits: Splits) -> dict[str, Any]:
    outcome = fedjtt.simulate(config, splits)
    assert np.isfinite(outcome.weights).all()
    assert all(np.isfinite(line["loss"]) for line in outcome.history)
    assert 0 <= outcome.result["test"]["worst-group-accuracy"] <= outcome.result["test"]["average-accuracy"] <= 1
    return outcome.result


@BOTH
@EVERY
@pytest.mark.parametrize("labels", [1, 2, 10])
def test_one_label_two_and_ten(kind: dict[str, Any], robust: str, labels: int) -> None:
    result = finite(tiny_config(robust=robust, **kind), splits_of(labels))
    assert len(result["test"]["groups"]) == 2 * labels
    if labels == 1:
        assert result["test"]["average-accuracy"] == 1.0


@BOTH
@EVERY
def test_one_group_only(kind: dict[str, Any], robust: str) -> None:
    """Everything has label 1 and attribute 1 of two each: three of four groups have no example anywhere."""
    parts = [grouped(torch.ones(40), torch.ones(40), seed=seed) for seed in range(3)]
    result = finite(tiny_config(robust=robust, **kind), Splits(*parts, ("0", "1"), ("0", "1")))
    assert result["test"]["empty-groups"] == 3


@BOTH
@EVERY
def test_an_empty_validation_set_cannot_select_but_last_can(kind: dict[str, Any], robust: str) -> None:
    splits = splits_of(2, validation=0)
    with pytest.raises(ConfigError, match=r"^selection is val-worst-group, but validation has no examples; use last$"):
        fedjtt.simulate(tiny_config(robust=robust, **kind), splits)
    result = finite(tiny_config(robust=robust, selection="last", **kind), splits)
    assert result["validation"]["average-accuracy"] is None


@BOTH
def test_dfr_fits_on_validation_and_needs_all_labels_there(robust: str) -> None:
    config = tiny_config(method="dfr", robust=robust, selection="last")
    with pytest.raises(ConfigError, match=r"^method dfr fits the last layer on validation, which has no example; use"):
        fedjtt.simulate(config, splits_of(2, validation=0))
    with pytest.raises(ConfigError, match=r"^method dfr fits .* no example of label 1; use another method$"):
        fedjtt.simulate(config, splits_of(2, validation=1))


@pytest.mark.parametrize("selection", ["val-worst-class", "val-average", "val-bias-unsupervised"])
def test_no_rule_selects_on_an_empty_validation_set(selection: str) -> None:
    with pytest.raises(ConfigError, match=rf"^selection is {selection}, but validation has no examples; use last$"):
        fedjtt.simulate(tiny_config(method="erm", selection=selection), splits_of(2, validation=0))


@BOTH
@EVERY
def test_a_group_without_a_train_example_and_machines_without_some(kind: dict[str, Any], robust: str) -> None:
    """Group (1, 0) is in test only; the machines have one label, the other, and both."""
    splits = tiny_splits(minority=1)  # the one of row 0 is of label 0
    rows = [torch.arange(0, 40, 2), torch.arange(1, 40, 2), torch.arange(40, 60)]
    config = tiny_config(robust=robust, **kind)
    outcome = fedjtt.simulate(config, splits, rows)
    assert np.isfinite(outcome.weights).all()
    assert len(outcome.history) == 2 or "a machine takes" in " ".join(outcome.result["notes"])


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind["method"] in ("group-balanced", "balance", "group-dro")]
)
def test_without_attributes_true_groups_are_refused_and_others_are_not(kind: dict[str, Any]) -> None:
    run: Callable[[], Any] = lambda: fedjtt.simulate(  # noqa: E731
        tiny_config(selection="val-average", **kind), tiny_splits(known=False)
    )
    if kind.get("groups", "true") == "true":
        with pytest.raises(ConfigError, match=r"needs the attribute of every train example .*; set groups to inferred"):
            run()
    else:
        assert np.isfinite(run().weights).all()


@pytest.mark.parametrize(
    ("key", "value", "bound"),
    [
        ("cvar-alpha", 0, "greater than 0"),
        ("cvar-alpha", 1.01, "less than or equal to 1"),
        ("cvar-alpha", "nan", "finite number"),
        ("dro-adjustment", -0.5, "greater than or equal to 0"),
        ("dro-step", 0, "greater than 0"),
        ("mixture-ratio", 0.99, "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_settings_out_of_bounds_are_one_line_under_every_method(method: str, key: str, value: Any, bound: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} is {re.escape(repr(value))}: .*{bound}") as caught:
        RunConfig.parse({"method": method, key: value})
    assert "\n" not in str(caught.value)


@BOTH
def test_the_bounds_themselves_are_defined(robust: str) -> None:
    splits = tiny_splits()
    erm = finite(tiny_config(method="erm", robust=robust, batch_size=0, momentum=0.0), splits)
    whole = finite(
        tiny_config(
            method="cvar-dro", cvar_threshold="batch", cvar_alpha=1.0, robust=robust, batch_size=0, momentum=0.0
        ),
        splits,
    )
    assert whole["test"]["groups"] == erm["test"]["groups"]  # the worst of all examples are all
    subset = finite(tiny_config(method="balance", balance="subset", robust=robust), splits)
    one = finite(tiny_config(method="balance", balance="mixture", mixture_ratio=1.0, robust=robust), splits)
    assert one["test"]["average-accuracy"] >= 0.5
    assert subset["config"]["batch-size"] == one["config"]["batch-size"]
    large = {"method": "balance", "robust": robust}
    upsample = finite(tiny_config(balance="upsample", **large), splits)
    ratio = finite(tiny_config(balance="mixture", mixture_ratio=1e6, **large), splits)
    assert ratio["digest"] == upsample["digest"]  # a cut that cuts nothing
    finite(tiny_config(method="cvar-dro", cvar_alpha=1e-9, robust=robust, clip_norm=1.0), splits)
    finite(tiny_config(method="group-dro", dro_adjustment=1e6, robust=robust), splits)
    finite(tiny_config(method="group-dro", dro_step=1e6, robust=robust), splits)


@BOTH
def test_a_label_that_nobody_has(robust: str) -> None:
    splits = tiny_splits()
    three = replace(
        splits, train=replace(splits.train, num_labels=3), validation=replace(splits.validation, num_labels=3),
        test=replace(splits.test, num_labels=3), label_names=("0", "1", "2"),
    )  # fmt: skip
    for kind in KINDS:
        finite(tiny_config(robust=robust, **kind), three)
