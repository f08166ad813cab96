"""The run configuration: one schema with flat kebab-case keys for TOML, CLI options, ``--set`` and Flower's run config.

Validated here, once, at the edge; inside the library plain arguments travel.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedjtt.automatic import automatic
from fedjtt.choices import AGGREGATORS, DATASETS, DIFFICULTIES, IDENTIFY_AGGREGATORS, METHODS, OWN_DATA, PARTITIONS
from fedjtt.errors import ConfigError, nearest
from fedjtt.rules import bad_value, contradiction

Auto = Literal["auto"]
# What cannot change a result (another place, another way to compute the same bits) stays out of a run's id.
PLACES = ("engine", "workers", "device", "out", "data-dir", "download")
NOT_IN_ID = frozenset({*PLACES, "on-restart", "round-timeout", "connect-timeout"})


def kebab(name: str) -> str:
    """Return the key as users write it: ``batch_size`` is ``batch-size``."""
    return name.replace("_", "-")


def _choice(default: str, allowed: tuple[str, ...], text: str) -> Any:
    return Field(default, description=text, json_schema_extra={"allowed": list(allowed)})


class RunConfig(BaseModel):
    """One run, fully said. Attribute names are the keys with ``_`` for ``-``; see docs/configuration.md."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=kebab, populate_by_name=True, allow_inf_nan=False
    )

    dataset: str = _choice(
        "digits", DATASETS, "dataset to train on; csv, heart4 and image-folder: every machine has rows of its own"
    )
    data_dir: str = Field("", description="folder that holds the dataset's files; empty: the environment's FEDJTT_DATA")
    schema_file: str = Field(
        "", description="TOML file that says what the columns of csv or image-folder mean, from data-dir on"
    )
    host_files: str = Field(
        "",
        description="a folder with a CSV file for every machine, or the files with commas between them, from data-dir "
        "on; a node can name its own as data-file in its node config",
    )
    min_count: int = Field(
        5, ge=1, description="rows that a sum must be over to leave a machine, where machines have rows of their own"
    )
    download: bool = Field(False, description="let torchvision download missing files into data-dir")
    difficulty: str = _choice(
        "auto", DIFFICULTIES, "where the spurious colour is painted; auto: large for digits, medium for spuco-mnist"
    )
    corner: str = _choice("top-right", ("top-left", "top-right"), "corner of the coloured box")
    spurious_strength: float | Auto = Field(
        "auto", description="share of a class in its own colour, (0, 1]; auto: .9 for digits, .995 for spuco-mnist"
    )
    label_noise: float = Field(0.0, ge=0, lt=1, description="share of train labels replaced by another")
    core_noise: float = Field(0.0, ge=0, le=1, description="share of train images whose digit is damaged")

    machines: int = Field(10, ge=1, description="machines that the train data is spread over")
    partition: str = _choice("iid", PARTITIONS, "how the train data is spread over the machines")
    dirichlet_alpha: float = Field(0.5, gt=0, description="concentration of the dirichlet partitions; small is uneven")
    method: str = _choice("jtt", METHODS, "training method")
    robust: str = _choice(
        "central", ("central", "federated"), "where the robust stage trains: on the server's data, or on the machines"
    )

    identify: str = _choice(
        "federated",
        ("local", "federated", "peers"),
        "how the minority is found; local: every machine by a model of its own, as in the original; federated: by one "
        "model that the machines train in rounds; peers: by its own model and those of a few other machines",
    )
    identify_optimizer: str = _choice("adamw", ("sgd", "adamw"), "optimizer of the identification stage")
    identify_epochs: int = Field(2, ge=1, description="epochs of the identification model, in all rounds together")
    identify_rounds: int = Field(20, ge=1, description="rounds of the federated model, and looks that stable takes")
    identify_min_steps: int = Field(
        1200,
        ge=0,
        description="steps that a machine's identification takes at least, however small its part; 0: no bound",
    )
    identify_batch_size: int = Field(16, ge=1, description="batch size of the identification stage")
    identify_learning_rate: float = Field(0.005, gt=0, description="learning rate of the identification stage")
    identify_warm_up: float = Field(
        0.0, ge=0, le=1, description="share of the identification's steps over which its learning rate climbs"
    )
    identify_weight_decay: float = Field(0.01, ge=0, description="weight decay of the identification stage")
    identify_clip_norm: float = Field(0.0, ge=0, description="longest gradient in identification; 0: as long as it is")
    identify_schedule: str = _choice(
        "same-epochs",
        ("same-epochs", "scaled", "same-updates"),
        "scaled: batch, learning rate and steps fit the machine's share of the data; same-updates: every machine "
        "makes as many steps as one machine with all the data would (N times the work)",
    )
    identify_averaging: str = _choice(
        "rounds", ("none", "rounds"), "rounds: split by the mean of all rounds' models, later ones counting for more"
    )
    identify_label_correction: float = Field(
        0.9,
        ge=0,
        le=1,
        description="how far a machine's own label frequencies are kept from teaching the federated model; 0: not",
    )
    identify_objective: str = _choice(
        "cross-entropy", ("cross-entropy", "gce"), "loss of the identification model; gce leans on what is easy"
    )
    identify_split: str = _choice(
        "misclassified",
        ("misclassified", "eiil", "clusters"),
        "which examples are the minority, by the model's outputs: the wrong ones, EIIL's split, or small clusters",
    )
    identify_stop: str = _choice(
        "stable",
        ("last", "stable", "val-groups"),
        "when identification ends; stable: as soon as the error set hardly changes; val-groups: the round whose error "
        "set is the best by validation's groups (federated only)",
    )
    identify_guard: bool = Field(
        True, description="leave out the error set of a collapsed model, after a second try with smaller steps"
    )
    identify_aggregator: str = _choice("fedavg", IDENTIFY_AGGREGATORS, "rule that joins identification's updates")
    identify_server_learning_rate: float | Auto = Field(
        "auto", description="of fedavgm, fedadagrad, fedadam, fedyogi in identification; auto: Flower's default"
    )
    peers: int = Field(3, ge=1, description="machines whose models judge a machine's data, under identify = peers")
    peer_vote: str = _choice(
        "majority",
        ("majority", "mean-loss"),
        "what the models under identify = peers agree by: more than half of them, or a mean loss above ln 2",
    )

    upsample: int | Auto = Field(
        "auto", description="times that an error example stands in the data; auto: from the error set's size"
    )
    upsample_fraction: float | Literal["balance", "validated"] = Field(
        "balance",
        description="auto factor = max(1, floor(fraction x (N - |E|) / |E|)); .8 is the original; balance: the number "
        "of labels less one, where the shortcut stops telling the label; validated: the best on validation of .8, 2 "
        "and balance, at three times the cost",
    )
    upsample_convention: str = _choice(
        "copies", ("copies", "extra"), "copies: factor times in all; extra: factor further times"
    )

    robust_epochs: float | Auto = Field(
        "auto",
        description="epochs of the robust stage over the weighted data, in all rounds together; auto: .4 for jtt "
        "(upsampled to about as many times its size as there are labels), 2 for the others",
    )
    robust_rounds: int | Auto = Field(
        "auto", description="rounds that the robust stage is cut into, in central too; auto: 10 central, 50 federated"
    )
    robust_min_steps: int = Field(
        750, ge=0, description="steps that a machine, or central training, takes at least over all rounds"
    )
    robust_schedule: str = _choice(
        "same-epochs",
        ("same-epochs", "scaled", "same-updates"),
        "same-epochs: the machines together make the passes of central training; scaled: so, in batches that are "
        "together as large as its batch; same-updates: every machine makes as many steps as central training would",
    )
    batch_size: int = Field(32, ge=1, description="batch size of the robust stage")
    learning_rate: float = Field(0.1, gt=0, description="(peak) learning rate of the robust stage")
    learning_rate_schedule: str = _choice(
        "one-cycle", ("constant", "one-cycle", "cosine"), "learning rate over the stage's steps"
    )
    averaging: str = _choice("ema", ("none", "ema"), "ema: evaluate an exponential average of the weights")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum of both stages")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of the robust stage")
    clip_norm: float = Field(2.0, ge=0, description="longest gradient of a robust step; 0: as long as it is")
    aggregator: str = _choice(
        "fedavg",
        AGGREGATORS,
        "rule that joins the machines' updates, Flower's; fednova: steps by the machine's size, updates by the step",
    )
    server_learning_rate: float | Auto = Field(
        "auto", description="of fedavgm, fedadagrad, fedadam and fedyogi; auto: Flower's default for the rule"
    )
    proximal_mu: float = Field(
        0.0, ge=0, description="pull towards the round's incoming weights (FedProx); needs aggregator fedprox"
    )
    fraction_train: float | Auto = Field(
        "auto",
        description="share of the machines that train in a federated round, (0, 1], drawn by seed; auto: 10 machines",
    )
    min_machines: float = Field(
        1.0, gt=0, description="good replies that a round needs: a share up to 1, or a number above 1"
    )
    max_failed_rounds: int = Field(
        0, ge=0, description="exchanges of a run that are made again because too few machines counted, before it ends"
    )
    round_timeout: float = Field(0.0, ge=0, description="seconds that an exchange waits for the machines; 0: no limit")
    connect_timeout: float = Field(
        120.0, ge=0, description="seconds that the server waits for machines that are not connected"
    )
    secure_aggregation: bool = Field(False, description="the server sees only sums of what machines send (SecAgg+)")
    on_restart: str = _choice("anew", ("anew", "resume"), "what a run does with the checkpoint of an unfinished one")
    max_update_norm: float = Field(
        0.0, ge=0, description="longest change of the weights that is accepted from a machine; 0: any finite one"
    )

    model: str = _choice(
        "auto", ("auto", "lenet", "mlp", "logistic"), "network; auto: lenet for images, mlp for columns"
    )
    selection: str = _choice(
        "auto",
        ("auto", "last", "val-worst-group", "val-worst-class", "val-average"),
        "round whose model is kept; auto: val-worst-group, where nobody knows the attribute val-worst-class",
    )
    evaluation_at: str = _choice(
        "auto",
        ("auto", "server", "machines"),
        "who holds validation and test data; auto: the server, but machines with rows of their own",
    )
    seed: int = Field(0, ge=0, description="seed of data, partition, weights and every random choice")
    threads: int = Field(1, ge=1, description="torch threads of a process; another number gives other bits")
    engine: str = _choice(
        "in-process",
        ("in-process", "flower"),
        "in-process: one process or a few workers; flower: Flower's simulation runtime",
    )
    workers: int = Field(1, ge=1, description="processes that the machines of one run are spread over")
    device: str = _choice("cpu", ("cpu", "cuda"), "where tensors live")
    out: str = Field(
        "", description="folder for the result; empty: runs/<name and id> for the CLI, no folder under flwr run"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            allowed = extra.get("allowed") if isinstance(extra, dict) else None
            value = getattr(self, name)
            if isinstance(allowed, list) and value not in allowed:
                names = [str(item) for item in allowed]
                raise ConfigError(f"{kebab(name)} is {value!r}; allowed are {', '.join(names)}{nearest(value, names)}")
        if (text := bad_value(self) or contradiction(self)) is not None:
            raise ConfigError(text)
        return self

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return every key, in the order of the documentation."""
        return tuple(kebab(name) for name in cls.model_fields)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Validate flat kebab-case values and fill the defaults, ``auto`` ones that depend on the dataset included.

        Raises
        ------
        ConfigError
            For an unknown key or a bad value, in one line that names what is allowed.
        """
        known = cls.keys()
        for key in values:
            if key not in known:
                raise ConfigError(f"unknown key {key!r}{nearest(key, known)}; 'fedjtt run --help' lists all keys")
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            meant = cls.model_fields[key.replace("-", "_")].description
            raise ConfigError(f"{key} is {first['input']!r}: {first['msg'].lower()} ({meant})") from None
        return config.model_copy(update=automatic(config))

    def flat(self) -> dict[str, str | int | float | bool]:
        """Return every key with its value: plain types only, as Flower's run config and TOML want them."""
        return self.model_dump(by_alias=True)

    def replace(self, **changes: Any) -> "RunConfig":
        """Return a validated copy with other values; keywords are attribute names."""
        return RunConfig.parse({**self.flat(), **{kebab(name): value for name, value in changes.items()}})

    @property
    def own_data(self) -> bool:
        """Whether every machine has rows of its own, and the server none."""
        return self.dataset in OWN_DATA

    @property
    def run_id(self) -> str:
        """16 hex digits over every key that can change the result."""
        return digest_of({key: value for key, value in self.flat().items() if key not in NOT_IN_ID})[:16]

    def subset(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the chosen keys with their values, for the key of a cached stage."""
        return {key: value for key, value in self.flat().items() if key in keys}


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
