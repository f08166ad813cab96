"""The schema: names, defaults, bad values one by one, and what a run's id depends on."""

import math
import re
from typing import Any

import pytest

from fedjtt import automatic, choices
from fedjtt.config import NOT_IN_ID, RunConfig, digest_of, kebab
from fedjtt.data.partition import PARTITIONS
from fedjtt.data.sources import SOURCES
from fedjtt.data.spurious import CORNERS, DIFFICULTIES
from fedjtt.errors import ConfigError
from fedjtt.methods.registry import METHODS
from fedjtt.models import MODELS
from strategies.aggregators import AGGREGATORS


def another(key: str, *values: Any) -> Any:
    """The first value that is not the key's default."""
    default = RunConfig.model_fields[key.replace("-", "_")].default
    return next(value for value in values if value != default)


# Another valid value for every key, so that a key that is forgotten here fails below.
OTHER: dict[str, Any] = {
    "max-length": 9, "text-model": "bert",
    "dataset": "spuco-mnist", "data-dir": "elsewhere", "schema-file": "s.toml", "host-files": "hosts", "min-count": 7,
    "download": True, "difficulty": "small", "corner": "top-left",
    "spurious-strength": 0.5, "class-imbalance": 4.0, "label-noise": 0.1, "core-noise": 0.1, "machines": 11,
    "image-size": 64, "image-cache": "there",
    "partition": "group-dirichlet", "dirichlet-alpha": 0.6, "max-error-fraction": 0.3,
    "clip-update-norm": 2.0, "noise-multiplier": 0.5, "count-noise": 1.5, "noise-seed": 4,
    "method": "erm", "robust": "federated", "identify": another("identify", "peers", "local"),
    "identify-optimizer": another("identify-optimizer", "adamw", "sgd"),
    "identify-epochs": 11, "identify-rounds": 11, "identify-min-steps": 7, "identify-batch-size": 9,
    "identify-learning-rate": 0.02, "identify-warm-up": 0.2, "identify-weight-decay": 0.04, "identify-clip-norm": 0.7,
    "identify-schedule": another("identify-schedule", "same-updates", "scaled"),
    "identify-averaging": another("identify-averaging", "rounds", "none"), "identify-label-correction": 0.35,
    "identify-objective": another("identify-objective", "gce", "cross-entropy"),
    "identify-split": another("identify-split", "clusters", "eiil"),
    "identify-stop": another("identify-stop", "stable", "last"),
    "identify-guard": another("identify-guard", False, True), "identify-aggregator": "fedmedian",
    "identify-server-learning-rate": 0.9, "peers": 7,
    "peer-vote": another("peer-vote", "mean-loss", "majority"), "upsample": 7, "upsample-fraction": 2.5,
    "upsample-convention": "extra", "robust-epochs": 7.5, "robust-rounds": 7, "robust-min-steps": 7,
    "groups": another("groups", "inferred", "class"), "balance": another("balance", "subset", "mixture"),
    "mixture-ratio": 3.5, "mixture-cut": False, "cvar-alpha": 0.35, "cvar-threshold": "batch", "dro-step": 0.07,
    "dro-adjustment": 0.8, "dfr-penalty": 0.2, "dfr-fits": 7, "dfr-tolerance": 1e-4,
    "d3m-remove": 0.2, "d3m-remove-by": "random", "d3m-alignment": "paper", "d3m-models": 3,
    "attribution-layers": "last", "attribution-kernel": "newton", "attribution-ridge": 0.3, "projection": "dense",
    "projection-dimension": 99, "projection-dtype": "float64",
    "rest-density": 0.2, "rest-distribution": "uniform", "rest-grow": "random", "rest-period": 70, "rest-rate": 0.3,
    "rest-exact-every": 3, "rest-weight": 7.0, "train-on": "validation",
    "robust-schedule": another("robust-schedule", "same-updates", "scaled"), "batch-size": 17, "learning-rate": 0.04,
    "learning-rate-schedule": "cosine", "averaging": "none", "momentum": 0.8, "weight-decay": 0.004, "clip-norm": 0.7,
    "aggregator": "fedmedian", "server-learning-rate": 0.9, "proximal-mu": 0.1, "fraction-train": 0.5,
    "min-machines": 0.5, "max-failed-rounds": 1, "round-timeout": 9.0, "connect-timeout": 9.0,
    "secure-aggregation": True, "on-restart": "resume",
    "max-update-norm": 9.0, "model": "mlp", "model-width": 1.5, "model-depth": 3, "pretrained": "none",
    "features": "cached", "feature-cache": "there",
    "selection": "last", "evaluation-at": "machines", "seed": 1, "threads": 2,
    "engine": "flower", "workers": 2, "device": "cuda", "out": "there",
}  # fmt: skip


def allowed(name: str) -> list[Any]:
    extra = RunConfig.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    values = extra["allowed"]
    assert isinstance(values, list)
    return values


def test_the_names_are_those_of_the_registries() -> None:
    assert set(choices.DATASETS) == {*SOURCES, *choices.OWN_DATA}
    assert set(choices.PARTITIONS) == set(PARTITIONS)
    assert set(choices.METHODS) == set(METHODS)
    assert set(choices.AGGREGATORS) == set(AGGREGATORS)
    assert set(choices.DIFFICULTIES) == {"auto", *DIFFICULTIES}
    assert set(allowed("model")) == {"auto", *MODELS, *choices.PRETRAINED}
    assert set(allowed("corner")) == set(CORNERS)


def test_auto_is_what_the_source_names() -> None:
    painted = {name: source for name, source in SOURCES.items() if source.default_strength is not None}
    assert {name: source.default_strength for name, source in painted.items()} == automatic.AUTO_STRENGTH
    backgrounds = {name: source.default_difficulty for name, source in painted.items() if source.default_difficulty}
    assert backgrounds == automatic.AUTO_DIFFICULTY
    assert set(choices.WHOLE_IMAGES) == painted.keys() - backgrounds.keys()
    assert set(choices.UNPAINTED) == SOURCES.keys() - painted.keys()


@pytest.mark.parametrize(
    ("dataset", "strength", "difficulty"),
    [
        ("digits", 0.9, "large"),
        ("spuco-mnist", 0.995, "medium"),
        ("coloured-mnist", 0.995, "auto"),
        ("corrupted-cifar10", 0.995, "auto"),
        ("bffhq", 0.995, "auto"),
    ],
)
def test_auto_is_resolved_by_dataset(dataset: str, strength: float, difficulty: str) -> None:
    config = RunConfig.parse({"dataset": dataset})
    assert (config.spurious_strength, config.difficulty) == (strength, difficulty)
    spoken = RunConfig.parse({"dataset": dataset, "spurious-strength": strength, "difficulty": difficulty})
    assert spoken.run_id == config.run_id


@pytest.mark.parametrize(("robust", "rounds"), [("central", 10), ("federated", 50)])
def test_auto_rounds_are_more_where_machines_average(robust: str, rounds: int) -> None:
    assert automatic.AUTO_ROUNDS[robust] == rounds
    assert RunConfig.parse({"robust": robust, "robust-rounds": "auto"}).robust_rounds == rounds
    assert RunConfig.parse({"robust": robust, "robust-rounds": "3"}).robust_rounds == 3


@pytest.mark.parametrize(("machines", "share"), [(1, 1.0), (10, 1.0), (20, 0.5), (100, 0.1)])
def test_auto_takes_ten_machines_a_round(machines: int, share: float) -> None:
    assert automatic.AUTO_MACHINES_A_ROUND == 10
    config = RunConfig.parse({"machines": machines, "fraction-train": "auto"})
    assert config.fraction_train == pytest.approx(share)
    assert RunConfig.parse({"machines": machines, "fraction-train": ".25"}).fraction_train == 0.25


def test_every_default_is_valid_alone_and_together() -> None:
    fields = RunConfig.model_fields
    assert len(fields) == len(OTHER)
    for name, field in fields.items():
        assert RunConfig.parse({kebab(name): field.default}) == RunConfig.parse({})
        assert field.description, name


def test_flat_goes_round() -> None:
    config = RunConfig.parse({"machines": 7, "upsample": 12, "spurious-strength": 0.5})
    flat = config.flat()
    assert tuple(flat) == RunConfig.keys()
    assert RunConfig.parse(flat) == config
    assert all(type(value) in (str, int, float, bool) for value in flat.values())


def test_text_from_the_command_line_means_what_it_says() -> None:
    config = RunConfig.parse(
        {"machines": "7", "upsample": "12", "spurious-strength": ".5", "download": "true", "learning-rate": "1e-3"}
    )
    assert (config.machines, config.upsample, config.spurious_strength) == (7, 12, 0.5)
    assert (config.download, config.learning_rate) == (True, 0.001)


@pytest.mark.parametrize(
    ("key", "near"),
    [("machine", "machines"), ("learning_rate", "learning-rate"), ("methods", "method"), ("zzzzzz", None)],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(key: str, near: str | None) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{key}'") as caught:
        RunConfig.parse({key: 1})
    assert (f"did you mean '{near}'?" in str(caught.value)) == (near is not None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("dataset", "digit", "digits"), ("method", "jt", "jtt"), ("engine", "flwr", "flower"),
        ("aggregator", "fedavgg", "fedavg"), ("partition", "idd", "iid"), ("model", "lennet", "lenet"),
        ("selection", "lst", "last"), ("robust", "centrl", "central"), ("identify", "peer", "peers"),
        ("identify-split", "eil", "eiil"), ("identify-stop", "val-group", "val-groups"),
        ("peer-vote", "major", "majority"), ("identify-objective", "gc", "gce"),
        ("identify-schedule", "scale", "scaled"), ("identify-aggregator", "fedmedia", "fedmedian"),
        ("on-restart", "resum", "resume"),
        ("identify-optimizer", "adam", "adamw"), ("identify-averaging", "round", "rounds"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest(key: str, value: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is '{value}'; allowed are .*did you mean '{near}'"):
        RunConfig.parse({key: value})


BAD: dict[str, list[Any]] = {
    "spurious-strength": [0, -0.1, 1.0001, "high", math.nan, math.inf],
    "class-imbalance": [0.99, 0, -1, math.nan, math.inf],
    "label-noise": [-0.1, 1, math.nan],
    "core-noise": [-0.1, 1.1],
    "max-length": [0, -1, 513, 1.5, "long"],
    "machines": [0, -1, 1.5, "many", math.inf, None, [1, 2]],
    "dirichlet-alpha": [0, -1, math.nan, math.inf],
    "image-size": [0, -1, 1.5, "large"],
    "identify-epochs": [0, -1, 0.5],
    "identify-batch-size": [0],
    "identify-learning-rate": [0, -1, math.inf, math.nan],
    "identify-weight-decay": [-1],
    "identify-rounds": [0, 1.5],
    "identify-min-steps": [-1, 0.5],
    "identify-warm-up": [-0.1, 1.1, math.nan],
    "identify-clip-norm": [-1, math.inf],
    "identify-label-correction": [-0.1, 1.1, math.nan],
    "identify-guard": ["perhaps", 2],
    "peers": [0, 1.5],
    "upsample": [0, -3, 1.5, "much"],
    "upsample-fraction": [0, -1, math.inf, "balanced"],
    "robust-epochs": [0, -0.5, math.nan],
    "robust-rounds": [0, -1, 1.5, "many"],
    "robust-min-steps": [-1],
    "clip-norm": [-1],
    "batch-size": [-1],
    "mixture-ratio": [0.99, "nan"],
    "cvar-alpha": [0, 1.1, -0.1],
    "dro-step": [0, -1],
    "dro-adjustment": [-0.1],
    "dfr-penalty": [0, -1, "much", math.nan],
    "dfr-fits": [0, 1.5],
    "dfr-tolerance": [0, -1e-6, 0.2, "small"],
    "d3m-remove": [0, -0.5, -3, 7.5, "much", math.nan],
    "d3m-remove-by": ["loss"],
    "d3m-alignment": ["mean"],
    "d3m-models": [0, 1.5],
    "attribution-layers": ["first"],
    "attribution-kernel": ["ridge"],
    "attribution-ridge": [-0.1, math.nan],
    "projection": ["sparse"],
    "projection-dimension": [1, 0, 9.5],
    "projection-dtype": ["float16"],
    "rest-density": [0, -0.1, 1.1, math.nan, "few"],
    "rest-distribution": ["even"],
    "rest-grow": ["gradients"],
    "rest-period": [0, -5, 1.5, "often"],
    "rest-rate": [0, 1.1, -0.5],
    "rest-exact-every": [-1, 0.5],
    "rest-weight": [0, -1, "heavy", math.inf],
    "train-on": ["test"],
    "groups": ["both"],
    "balance": ["none"],
    "cvar-threshold": ["local"],
    "learning-rate": [0],
    "momentum": [-0.1, 1],
    "weight-decay": [-1, math.nan],
    "server-learning-rate": [0],
    "identify-server-learning-rate": [0, -1, math.nan, "much"],
    "proximal-mu": [-1],
    "fraction-train": [0, 1.1, math.nan, "half"],
    "model-width": [0, -1, 65, math.nan, math.inf, "wide"],
    "model-depth": [0, -1, 65, 1.5, "deep"],
    "min-machines": [0, -1, 1.5, math.inf, math.nan],
    "max-failed-rounds": [-1, 0.5, "many"],
    "round-timeout": [-1, math.inf, math.nan],
    "connect-timeout": [-1, math.inf, math.nan],
    "max-update-norm": [-1, math.inf, math.nan],
    "seed": [-1, 0.5, "a"],
    "threads": [0],
    "workers": [0],
    "download": ["perhaps"],
    "dataset": [7, ["digits"]],
    "out": [7],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values], ids=str)
def test_a_bad_value_is_one_line_that_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse({key: value})
    assert str(caught.value).startswith(f"{key} is ")
    assert "\n" not in str(caught.value)


OWN: dict[str, Any] = {"dataset": "csv", "schema-file": "s.toml", "robust": "federated", "machines": 4}


def test_auto_with_rows_of_their_own() -> None:
    config = RunConfig.parse(OWN)
    assert config.own_data
    assert (config.model, config.evaluation_at) == ("mlp", "machines")
    assert config.selection == "auto"  # until the machines have said whether they know an attribute
    assert RunConfig.parse({**OWN, "dataset": "image-folder"}).model == "lenet"
    made = RunConfig.parse({})
    assert (made.model, made.evaluation_at, made.selection) == ("lenet", "server", "val-worst-group")
    assert not made.own_data


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"robust": "central"}, "robust is central, .* the server holds no data; set robust to federated"),
        ({"evaluation-at": "server"}, "evaluation-at is server, .* set evaluation-at to machines, or leave it out"),
        ({"partition": "label-dirichlet"}, "partition is label-dirichlet, .* leave partition out"),
        ({"label-noise": 0.1}, "label-noise is 0.1, .* leave label-noise out"),
        ({"spurious-strength": 0.5}, "spurious-strength is 0.5, .* leave spurious-strength out"),
        ({"model": "lenet"}, "model is lenet, which needs images, .* set model to mlp or logistic"),
        ({"schema-file": ""}, "dataset is csv, but schema-file is empty; name the TOML file"),
        (
            {"dataset": "heart4", "schema-file": "", "machines": 5},
            "machines is 5, but heart4 has four .* machines to 4",
        ),
        ({"dataset": "heart4"}, "heart4 knows its own: leave them out"),
        ({"dataset": "digits"}, "schema-file is 's.toml', but dataset is digits; set dataset to csv"),
    ],
)
def test_what_does_not_go_with_own_data_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        RunConfig.parse({**OWN, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", choices.TABLES)
def test_auto_of_a_table(dataset: str) -> None:
    config = RunConfig.parse({"dataset": dataset, "partition": "group-dirichlet", "label-noise": 0.1})
    assert (config.model, config.evaluation_at, config.selection) == ("mlp", "server", "val-worst-group")
    assert (config.difficulty, config.spurious_strength) == ("auto", "auto")
    assert RunConfig.parse(config.flat()) == config


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"difficulty": "small"}, "difficulty is small, but dataset adult is a table; leave"),
        ({"spurious-strength": 0.5}, "spurious-strength is 0.5, .* leave spurious-strength out"),
        ({"corner": "top-left"}, "corner is top-left, .* leave corner out"),
        ({"core-noise": 0.1}, "core-noise is 0.1, .* leave core-noise out"),
        ({"class-imbalance": 4.0}, "class-imbalance is 4.0, .* leave class-imbalance out"),
        ({"download": True}, "download is True, .* leave download out"),
        ({"model": "lenet"}, "model is lenet, which needs images, but dataset is adult; set model to mlp or logistic"),
        ({"host-files": "hosts"}, "host-files is 'hosts', but dataset is adult; set dataset to csv"),
    ],
)
def test_what_does_not_go_with_a_table_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        RunConfig.parse({"dataset": "adult", **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", choices.WHOLE_IMAGES)
@pytest.mark.parametrize(
    ("key", "value"), [("difficulty", "small"), ("corner", "top-left"), ("core-noise", 0.1), ("class-imbalance", 2.0)]
)
def test_what_is_about_backgrounds_is_refused_where_the_whole_image_is_changed(
    dataset: str, key: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"{key} is {value}, but dataset {dataset} changes whole images; leave"):
        RunConfig.parse({"dataset": dataset, key: value})
    config = RunConfig.parse({"dataset": dataset, "label-noise": 0.1, "spurious-strength": 0.98})
    assert RunConfig.parse(config.flat()) == config


@pytest.mark.parametrize("dataset", choices.PICTURES)
def test_auto_of_photographs(dataset: str) -> None:
    config = RunConfig.parse({"dataset": dataset, "label-noise": 0.1})
    assert (config.model, config.evaluation_at, config.image_size) == ("lenet", "server", 224)
    assert (config.difficulty, config.spurious_strength) == ("auto", "auto")
    assert RunConfig.parse(config.flat()) == config
    assert RunConfig.parse({"dataset": dataset, "label-noise": 0.1, "image-cache": "there"}).run_id == config.run_id
    assert RunConfig.parse({"dataset": dataset, "label-noise": 0.1, "image-size": 64}).run_id != config.run_id
    assert RunConfig.parse({}).image_size == "auto"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"difficulty": "small"}, "difficulty is small, but dataset celeba is made of photographs; leave"),
        ({"download": True}, "download is True, .* leave download out"),
        ({"dataset": "digits", "image-size": 64}, "image-size is 64, but dataset is digits; .* leave it out"),
        ({"dataset": "adult", "image-cache": "there"}, "image-cache is there, but dataset is adult; .* leave it out"),
    ],
)
def test_what_does_not_go_with_photographs_or_without_them_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        RunConfig.parse({"dataset": "celeba", **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("dataset", "length"), [("sick", 32), ("multinli", 128), ("civilcomments", 300)])
def test_auto_of_texts(dataset: str, length: int) -> None:
    config = RunConfig.parse({"dataset": dataset})
    assert (config.model, config.max_length, config.text_model) == ("bag-of-embeddings", length, "auto")
    assert (config.difficulty, config.spurious_strength, config.selection) == ("auto", "auto", "val-worst-group")
    assert RunConfig.parse(config.flat()) == config
    assert RunConfig.parse({"dataset": dataset, "model": "bert"}).text_model == "bert-base-uncased"
    assert RunConfig.parse({"dataset": dataset, "model": "distilbert"}).text_model == "distilbert-base-uncased"
    assert RunConfig.parse({"dataset": dataset, "model": "bert", "text-model": "own", "download": True}).download


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"max-length": 9}, "max-length is 9, but dataset digits has no texts; leave it out"),
        ({"text-model": "x"}, "text-model is x, but dataset digits has no texts; leave it out"),
        (
            {"model": "bert"},
            "model is bert, which needs texts, but dataset is digits; set dataset to sick, .* or multi",
        ),
        (
            {"dataset": "adult", "model": "bag-of-embeddings"},
            "model is bag-of-embeddings, which needs texts, but dataset",
        ),
        (
            {"dataset": "csv", "schema-file": "s", "model": "bert", "robust": "federated"},
            "but dataset is csv; set data",
        ),
        (
            {"dataset": "sick", "model": "mlp"},
            "model is mlp, but dataset sick is text; set model to bag-of-embeddings, b",
        ),
        ({"dataset": "sick", "difficulty": "small"}, "difficulty is small, but dataset sick is text; leave difficulty"),
        ({"dataset": "sick", "download": True}, "download is True, but dataset sick is text; leave download out"),
        (
            {"dataset": "sick", "text-model": "x"},
            "text-model is x, but model is bag-of-embeddings; set model to bert or",
        ),
        (
            {"dataset": "sick", "model-depth": 3},
            "model-depth is 3, but model is bag-of-embeddings; leave model-depth out",
        ),
    ],
)
def test_what_does_not_go_with_or_without_texts_is_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        RunConfig.parse(values)
    assert "\n" not in str(caught.value)


def test_the_pull_of_fedprox_needs_fedprox() -> None:
    with pytest.raises(ConfigError, match=r"proximal-mu is 0.1 but aggregator is fedavg; set aggregator to fedprox"):
        RunConfig.parse({"proximal-mu": 0.1})
    assert RunConfig.parse({"proximal-mu": 0.1, "aggregator": "fedprox"}).proximal_mu == 0.1


PRIVATE: dict[str, Any] = {
    "clip-update-norm": 1.0, "noise-multiplier": 1.0, "count-noise": 1.0, "noise-seed": 1, "robust": "federated",
    "averaging": "none",
}  # fmt: skip
CONTRADICTIONS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"upsample-fraction": "validated", "selection": "last"},
        "upsample-fraction is validated, but selection is last; set selection to one of the val- rules",
        {"selection": "val-average"},
    ),
    *(
        (
            {"identify-stop": "val-groups", "identify": identify},
            f"identify-stop is val-groups, but identify is {identify}: the server, which has the validation groups, "
            "does not see the machines' own models; set identify-stop to stable, or identify to federated",
            repair,
        )
        for identify, repair in (("local", {"identify-stop": "last"}), ("peers", {"identify": "federated"}))
    ),
    *(
        (
            {"aggregator": rule, "averaging": "ema"},
            f"aggregator {rule} leaves the mean of the machines' weights, so their averages are none of its model; set "
            "averaging to none",
            {"averaging": "none"},
        )
        for rule in ("fedavgm", "fedadagrad", "fedadam", "fedyogi", "fednova")
    ),
    (
        {"identify-stop": "val-groups", "identify": "federated", "selection": "val-bias-unsupervised"},
        "identify-stop is val-groups, which reads group labels, but selection is val-bias-unsupervised, which is for "
        "doing without; set identify-stop to stable",
        {"identify-stop": "stable"},
    ),
    (
        {"model": "logistic", "model-width": 2},
        "model-width is 2.0, but model is logistic; leave model-width out, or set model to lenet or "
        "cmnist-cnn or resnet18 or mlp",
        {"model-width": 1},
    ),
    (
        {"model": "logistic", "model-depth": 1},
        "model-depth is 1, but model is logistic; leave model-depth out, or set model to mlp",
        {"model": "mlp"},
    ),
    (
        {"model": "lenet", "model-depth": 3},
        "model-depth is 3, but model is lenet; leave model-depth out, or set model to mlp",
        {"model-depth": 2},
    ),
    (
        {"dataset": "digits", "model-depth": 3},  # auto: lenet
        "model-depth is 3, but model is lenet; leave model-depth out, or set model to mlp",
        {"dataset": "adult"},
    ),
    (
        {"proximal-mu": 0.1, "aggregator": "fedmedian"},
        "proximal-mu is 0.1 but aggregator is fedmedian; set aggregator to fedprox, or proximal-mu to 0",
        {"aggregator": "fedprox"},
    ),
    (
        {**PRIVATE, "robust": "central"},
        "count-noise is 1.0, but robust is central, where machines name ids; set robust to federated",
        {"robust": "federated"},
    ),
    (
        {**PRIVATE, "identify": "peers"},
        "count-noise is 1.0, but identify is peers, where machines hand out models; set identify to federated or local",
        {"identify": "local"},
    ),
    (
        {**PRIVATE, "noise-multiplier": 0, "identify": "peers", "method": "group-dro", "groups": "inferred"},
        "count-noise is 1.0, but identify is peers, where machines hand out models; set identify to federated or local",
        {"groups": "true"},
    ),
    (
        {**PRIVATE, "count-noise": 0, "averaging": "ema"},
        "noise-multiplier is 1.0, but averaging is ema, and averages of weights are not shortened; set averaging to "
        "none",
        {"averaging": "none"},
    ),
    (
        {**PRIVATE, "noise-multiplier": 0, "aggregator": "fednova"},
        "count-noise is 1.0, but aggregator is fednova, which needs the true sizes; set aggregator to fedavg",
        {"aggregator": "fedavg"},
    ),
    (
        {**PRIVATE, "noise-multiplier": 0, "method": "balance", "balance": "subset"},
        "count-noise is 1.0, but balance is subset, which needs true counts; set balance to upsample",
        {"balance": "upsample"},
    ),
    (
        {**PRIVATE, "count-noise": 0, "clip-update-norm": 0},
        "noise-multiplier is 1.0, but clip-update-norm is 0, and noise is scaled to a bound; set clip-update-norm",
        {"clip-update-norm": 2.0},
    ),
    (
        {**PRIVATE, "count-noise": 0, "identify-aggregator": "fedmedian"},
        "noise-multiplier is 1.0, but identify-aggregator is fedmedian; noise is for a mean: set identify-aggregator "
        "to fedavg",
        {"identify-aggregator": "fedavg"},
    ),
    (
        {**PRIVATE, "noise-multiplier": 0, "method": "dfr"},
        "count-noise is 1.0, but method is dfr, which needs true counts; set count-noise to 0, or use another method",
        {"method": "erm"},
    ),
    (
        {**PRIVATE, "count-noise": 0, "method": "dfr"},
        "noise-multiplier is 1.0, but method is dfr, which sends more than updates; use another method",
        {"method": "erm"},
    ),
    (
        {"method": "dfr", "groups": "inferred"},
        "groups is inferred, but method is dfr, which balances validation's groups; set groups to true or class",
        {"groups": "class"},
    ),
    *(
        (
            {**PRIVATE, key: 0, "method": method},
            f"{other} is 1.0, but method is {method}, which {what}; {do}use another method",
            {"method": "erm"},
        )
        for method in choices.REMOVING
        for key, other, what, do in (
            ("noise-multiplier", "count-noise", "needs true counts", "set count-noise to 0, or "),
            ("count-noise", "noise-multiplier", "sends more than updates", ""),
        )
    ),
    (
        {"method": "d3m", "groups": "inferred"},
        "groups is inferred, but method is d3m, which weighs validation's groups; set groups to true or class",
        {"groups": "class"},
    ),
    (
        {"method": "d3m", "d3m-remove-by": "majority"},
        "d3m-remove is sign, but d3m-remove-by is majority, which has no sign; set d3m-remove to a number of examples "
        "or a share",
        {"d3m-remove": 100},
    ),
    (
        {"method": "rest", "groups": "class"},
        "groups is class, but method is rest, which weighs a minority; set groups to inferred or true",
        {"groups": "true"},
    ),
    *(
        (
            {"method": "rest", "aggregator": rule, "averaging": "none"},
            f"aggregator is {rule}, whose momentum would move weights that method rest has let die; set aggregator to "
            "fedavg",
            {"aggregator": "fedavg"},
        )
        for rule in ("fedavgm", "fedadagrad", "fedadam", "fedyogi")
    ),
    (
        {**PRIVATE, "count-noise": 0, "method": "rest"},
        "noise-multiplier is 1, but rest-grow is gradient: gradients would leave the machines without noise; set "
        "rest-grow to random",
        {"rest-grow": "random"},
    ),
    (
        {"method": "rest", "secure-aggregation": True, "robust": "federated", "rest-exact-every": 0},
        "secure-aggregation is true, but rest-exact-every is 0: what each machine names as its largest is no sum; set "
        "rest-exact-every to 1, or rest-grow to random",
        {"rest-exact-every": 1},
    ),
    ({"noise-seed": 3}, "noise-seed is 3, but there is no noise; leave it out", {"noise-seed": 0}),
    (
        {"engine": "in-process", "workers": 2, "threads": 3},
        "workers is 2 and threads is 3: torch's threads hang in forked workers; set one of them to 1, or use engine = "
        "flower",
        {"engine": "flower"},
    ),
]


OF_THE_MEAN = "fedavg, fedprox, fedavgm, fedadagrad, fedadam, fedyogi"
SECURE: dict[str, Any] = {"secure-aggregation": True, "robust": "federated"}
NOT_SECURE: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (  # its reference is a model that the machines train together, whatever the method
        {"method": "erm", "selection": "val-bias-unsupervised", "identify-aggregator": "krum"},
        "identify-aggregator is krum, which looks at single updates; set secure-aggregation to false, or choose from "
        "fedavg, fedprox, fedavgm, fedadagrad, fedadam, fedyogi",
        {"selection": "val-average"},
    ),
    *(
        (
            {"method": method},
            f"method is {method}, which looks at single machines; set secure-aggregation to false, or use another "
            "method",
            {"method": "group-dro"},
        )
        for method in ("agnostic", "lff", "dfr")
    ),
    (
        {"robust": "central"},
        "robust is central: every machine names the ids of its errors; set secure-aggregation to false, or set robust "
        "to federated",
        {"robust": "federated"},
    ),
    (
        {"identify": "peers"},
        "identify is peers: single machines' models travel; set secure-aggregation to false, or set identify to "
        "federated or local",
        {"identify": "local"},
    ),
    *(
        (
            {"machines": machines, "fraction-train": share},
            f"{least} of {machines} machines take part in a round (machines, fraction-train), and a sum hides nothing "
            "among fewer than 3; set secure-aggregation to false, or let more take part",
            {"machines": 30},
        )
        for machines, share, least in ((2, 1.0, 2), (10, 0.2, 2), (1, 1.0, 1))
    ),
    *(
        (
            {key: rule, "averaging": "none"},
            f"{key} is {rule}, which looks at single updates; set secure-aggregation to false, or choose from "
            f"{OF_THE_MEAN}",
            {key: "fedadam"},
        )
        for key in ("aggregator", "identify-aggregator")
        for rule in ("fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan", "fednova")
        if (key, rule) != ("identify-aggregator", "fednova")
    ),
    (
        {"max-update-norm": 2.5},
        "max-update-norm is 2.5: the server cannot measure single updates; set secure-aggregation to false, or set "
        "max-update-norm to 0 and clip-update-norm, which the machines keep themselves",
        {"max-update-norm": 0.0, "clip-norm": 1.0},
    ),
]
CONTRADICTIONS += [
    ({**SECURE, **values}, f"secure-aggregation is true, but {line}", repair) for values, line, repair in NOT_SECURE
]


@pytest.mark.parametrize(("values", "line", "repair"), CONTRADICTIONS, ids=str)
def test_a_contradiction_is_one_line_whose_advice_helps(
    values: dict[str, Any], line: str, repair: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(values)
    assert str(caught.value) == line
    assert RunConfig.parse({**values, **repair}).flat().items() >= {**values, **repair}.items()


def test_fednova_is_no_rule_of_identification() -> None:
    with pytest.raises(ConfigError, match=r"identify-aggregator is 'fednova'; allowed are fedavg, .*bulyan"):
        RunConfig.parse({"identify-aggregator": "fednova"})


@pytest.mark.parametrize("value", [0.8, "0.8", "balance", "validated"])
def test_an_upsample_fraction_is_a_number_or_a_word(value: Any) -> None:
    config = RunConfig.parse({"upsample-fraction": value, "selection": "val-average"})
    assert config.upsample_fraction == (0.8 if value == "0.8" else value)


@pytest.mark.parametrize("value", [0.2, 1, 1.0, 3, 3.0])
def test_min_machines_is_a_share_or_a_number(value: float) -> None:
    assert RunConfig.parse({"min-machines": value}).min_machines == value


def test_a_config_cannot_change_and_replace_validates() -> None:
    config = RunConfig.parse({})
    with pytest.raises(ValueError, match="frozen"):
        config.machines = 3  # type: ignore[misc]
    assert config.replace(machines=3).machines == 3
    with pytest.raises(ConfigError, match="machines is 0"):
        config.replace(machines=0)


PHOTOGRAPHS: dict[str, Any] = {"dataset": "waterbirds", "model": "torchvision-resnet50"}


def test_torchvisions_networks_begin_with_its_weights() -> None:
    assert RunConfig.parse(PHOTOGRAPHS).pretrained == "imagenet"
    assert RunConfig.parse({**PHOTOGRAPHS, "pretrained": "own.pth"}).pretrained == "own.pth"
    assert RunConfig.parse({}).pretrained == "auto"
    assert RunConfig.parse({**PHOTOGRAPHS, "download": True}).download
    own = {**OWN, "dataset": "image-folder", "model": "torchvision-resnet18", "download": True}
    assert RunConfig.parse(own).pretrained == "imagenet"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"pretrained": "imagenet"},
            "pretrained is imagenet, but model is lenet; leave pretrained out, or set model to",
        ),
        ({**PHOTOGRAPHS, "model": "resnet18", "pretrained": "none"}, "but model is resnet18; leave pretrained out"),
        ({**PHOTOGRAPHS, "pretrained": ""}, "pretrained is empty; give imagenet, none, or a .pth file"),
        (
            {**PHOTOGRAPHS, "pretrained": "x.pth", "download": True},
            "download is True, but dataset waterbirds is made of",
        ),
        ({**PHOTOGRAPHS, "model-width": 2}, "model-width is 2.0, but model is torchvision-resnet50; leave model-width"),
        (
            {"dataset": "adult", "model": "torchvision-resnet18"},
            "which needs images, but dataset is adult; set model to",
        ),
        ({"method": "auto-d3m", "model": "resnet18"}, "but model resnet18 has norms; set projection to dense, or"),
        ({**PHOTOGRAPHS, "method": "d3m"}, "but model torchvision-resnet50 has norms; set projection to dense, or"),
        (
            {"features": "cached"},
            "features is cached, but model is lenet, which no pretrained weights are known of; set",
        ),
        (
            {"dataset": "sick", "features": "cached"},
            "bag-of-embeddings, which no pretrained weights are known of; set model to bert",
        ),
        (
            {**PHOTOGRAPHS, "features": "cached", "pretrained": "none"},
            "features is cached, but pretrained is none; set",
        ),
        (
            {**PHOTOGRAPHS, "feature-cache": "x"},
            "feature-cache is 'x', but features is none; leave it out, or set features",
        ),
        ({"dataset": "sick", "model": "torchvision-resnet18"}, "but dataset sick is text; set model to"),
    ],
)
def test_what_does_not_go_with_pretrained_weights_is_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)) as caught:
        RunConfig.parse(values)
    assert "\n" not in str(caught.value)


def test_the_id_hashes_every_key_that_can_change_the_result() -> None:
    assert {"engine", "workers", "device", "out", "data-dir", "download"} <= NOT_IN_ID
    assert OTHER.keys() == set(RunConfig.keys())
    # fedprox, because no other aggregator takes a proximal-mu.
    base: dict[str, Any] = {"aggregator": "fedprox"}
    first = RunConfig.parse(base)
    own_first = RunConfig.parse({**base, **OWN})
    # auto depends on the dataset, so the other dataset is compared at equal strength and difficulty.
    fixed = {"spurious-strength": 0.9, "difficulty": "large"}
    changed = {}
    for key, value in OTHER.items():
        if key in PRIVATE and key not in ("robust", "averaging"):
            others = {**base, **PRIVATE, "aggregator": "fedavg"}
            assert RunConfig.parse({**others, key: value}).run_id != RunConfig.parse(others).run_id
            continue
        if key == "secure-aggregation":
            secure = RunConfig.parse({**base, "robust": "federated", key: value}).run_id
            assert secure not in (first.run_id, RunConfig.parse({**base, "robust": "federated"}).run_id)
            continue
        if key in ("max-length", "text-model"):
            texts = {**base, "dataset": "sick", **({"model": "bert"} if key == "text-model" else {})}
            assert RunConfig.parse({**texts, key: value}).run_id != RunConfig.parse(texts).run_id
            continue
        if key in ("pretrained", "features", "feature-cache"):
            given = {"features": "cached"} if key == "feature-cache" else {}
            of_photographs = {**base, "dataset": "celeba", "model": "torchvision-resnet18", **given}
            same = RunConfig.parse({**of_photographs, key: value}).run_id == RunConfig.parse(of_photographs).run_id
            assert same == (key in NOT_IN_ID)
            continue
        if key in ("schema-file", "host-files"):
            assert RunConfig.parse({**base, **OWN, key: f"other/{value}"}).run_id != own_first.run_id
            continue
        if key in ("image-size", "image-cache"):
            of_photographs = {**base, "dataset": "celeba"}
            same = RunConfig.parse({**of_photographs, key: value}).run_id == RunConfig.parse(of_photographs).run_id
            assert same == (key in NOT_IN_ID)
            continue
        if key == "model-depth":
            assert RunConfig.parse({**base, "model": "mlp", key: value}).run_id not in (first.run_id, changed["model"])
            continue
        changed[key] = RunConfig.parse({**base, **(fixed if key == "dataset" else {}), key: value}).run_id
    assert {key for key, value in changed.items() if value == first.run_id} == NOT_IN_ID - {
        "image-cache",
        "feature-cache",
    }
    different = [value for key, value in changed.items() if key not in NOT_IN_ID]
    assert len(set(different)) == len(different)


def test_an_id_is_16_hex_digits_and_does_not_depend_on_the_order_of_keys() -> None:
    one = RunConfig.parse({"machines": 3, "seed": 4})
    other = RunConfig.parse({"seed": 4, "machines": 3})
    assert one.run_id == other.run_id
    assert len(one.run_id) == 16
    assert int(one.run_id, 16) >= 0
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 2, "b": 1})


def test_a_subset_has_the_chosen_keys() -> None:
    assert RunConfig.parse({"seed": 4}).subset(("seed", "method")) == {"seed": 4, "method": "jtt"}
