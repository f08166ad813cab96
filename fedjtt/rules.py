"""What a run configuration may not say beyond each key's own bounds: one line for each contradiction."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedjtt.automatic import AUTO_SERVER_RATE, model_of
from fedjtt.choices import OF_TEXT, SIZED_BY, TABLES, TEXTS, TRANSFORMERS

if TYPE_CHECKING:
    from fedjtt.config import RunConfig

# Rules of which the machines' mean is not the model: their averages of weights are then none of its averages.
NOT_THE_MEAN = (*AUTO_SERVER_RATE, "fednova")


def bad_value(config: "RunConfig") -> str | None:
    """Return what is wrong with a value that may be a word or a number, or None."""
    if config.spurious_strength != "auto" and not 0 < config.spurious_strength <= 1:
        return f"spurious-strength is {config.spurious_strength}; give a share above 0 and up to 1, or auto"
    if config.upsample != "auto" and config.upsample < 1:
        return f"upsample is {config.upsample}; give a whole number from 1, or auto"
    if not isinstance(config.upsample_fraction, str) and config.upsample_fraction <= 0:
        return f"upsample-fraction is {config.upsample_fraction}; give a number above 0, or balance, or validated"
    rates = {
        "server-learning-rate": config.server_learning_rate,
        "identify-server-learning-rate": config.identify_server_learning_rate,
    }
    for key, rate in rates.items():
        if rate != "auto" and rate <= 0:
            return f"{key} is {rate}; give a number above 0, or auto"
    if config.robust_epochs != "auto" and config.robust_epochs <= 0:
        return f"robust-epochs is {config.robust_epochs}; give a number above 0, or auto"
    if config.robust_rounds != "auto" and config.robust_rounds < 1:
        return f"robust-rounds is {config.robust_rounds}; give a whole number from 1, or auto"
    if config.dfr_penalty != "auto" and config.dfr_penalty <= 0:
        return f"dfr-penalty is {config.dfr_penalty}; give a number above 0, or auto"
    if config.fraction_train != "auto" and not 0 < config.fraction_train <= 1:
        return f"fraction-train is {config.fraction_train}; give a share above 0 and up to 1, or auto"
    if config.min_machines > 1 and config.min_machines != int(config.min_machines):
        return f"min-machines is {config.min_machines}; give a share up to 1, or a whole number of machines"
    return None


# Keys that say how a dataset is made or spread, with the value that says nothing.
OF_PAINTED_DATA = {
    "difficulty": "auto", "spurious-strength": "auto", "class-imbalance": 1.0, "core-noise": 0.0, "corner": "top-right",
    "download": False,
}  # fmt: skip
OF_MADE_DATA = {"partition": "iid", "label-noise": 0.0, **OF_PAINTED_DATA}


def own_data_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with machines that have rows of their own, or with those that have not, or None."""
    values = config.flat()
    if not config.own_data:
        given = [key for key in ("schema-file", "host-files") if values[key]]
        if given:
            return f"{given[0]} is {values[given[0]]!r}, but dataset is {config.dataset}; set dataset to csv"
        return table_contradiction(config) if config.dataset in TABLES else None
    about = f"but with dataset {config.dataset}"
    for key, nothing in OF_MADE_DATA.items():
        if values[key] != nothing:
            return f"{key} is {values[key]}, {about} every machine has rows of its own; leave {key} out"
    if config.robust == "central":
        return f"robust is central, {about} the server holds no data; set robust to federated"
    if config.evaluation_at == "server":
        return (
            f"evaluation-at is server, {about} the server holds no data; set evaluation-at to machines, or leave it out"
        )
    if config.dataset == "heart4":
        if config.schema_file or config.host_files:
            return "schema-file and host-files are for dataset csv; heart4 knows its own: leave them out"
        if config.machines != 4:
            return f"machines is {config.machines}, but heart4 has four hospitals; set machines to 4"
    elif not config.schema_file:
        return f"dataset is {config.dataset}, but schema-file is empty; name the TOML file that says what columns mean"
    if config.model == "lenet" and config.dataset != "image-folder":
        return f"model is lenet, which needs images, {about} there are columns; set model to mlp or logistic"
    return None


def table_contradiction(config: "RunConfig") -> str | None:
    """Return what is about images where the dataset is a table, or None."""
    values = config.flat()
    for key, nothing in OF_PAINTED_DATA.items():
        if values[key] != nothing:
            return f"{key} is {values[key]}, but dataset {config.dataset} is a table; leave {key} out"
    if config.model == "lenet":
        return f"model is lenet, which needs images, but dataset is {config.dataset}; set model to mlp or logistic"
    return None


def text_contradiction(config: "RunConfig") -> str | None:
    """Return what is about texts where there are none, or about other things where there are, or None."""
    values, model = config.flat(), model_of(config)
    if config.dataset not in TEXTS:
        if model in OF_TEXT:
            return f"model is {model}, which needs texts, but dataset is {config.dataset}; set dataset to {_or(TEXTS)}"
        given = [key for key in ("max-length", "text-model") if values[key] != "auto"]
        about = f"but dataset {config.dataset} has no texts; leave it out"
        return f"{given[0]} is {values[given[0]]}, {about}" if given else None
    for key, nothing in OF_PAINTED_DATA.items():
        if values[key] != nothing and not (key == "download" and model in TRANSFORMERS):
            return f"{key} is {values[key]}, but dataset {config.dataset} is text; leave {key} out"
    if model not in OF_TEXT:
        return f"model is {model}, but dataset {config.dataset} is text; set model to {_or(OF_TEXT)}"
    if config.text_model != "auto" and model not in TRANSFORMERS:
        return f"text-model is {config.text_model}, but model is {model}; set model to {_or(TRANSFORMERS)}"
    return None


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def privacy_contradiction(config: "RunConfig") -> str | None:
    """Return what would undo clipping or noise, or None."""
    values = config.flat()
    given = [key for key in ("clip-update-norm", "noise-multiplier", "count-noise") if values[key]]
    if not given:
        return f"noise-seed is {config.noise_seed}, but there is no noise; leave it out" if config.noise_seed else None
    said = f"{given[-1]} is {values[given[-1]]}, but"
    if config.robust == "central":
        return f"{said} robust is central, where machines name ids; set robust to federated"
    if config.identify == "peers" and config.identifies:
        return f"{said} identify is peers, where machines hand out models; set identify to federated or local"
    if config.averaging == "ema" and config.clip_update_norm:
        return f"{said} averaging is ema, and averages of weights are not shortened; set averaging to none"
    if config.aggregator == "fednova" and config.count_noise:
        return f"{said} aggregator is fednova, which needs the true sizes; set aggregator to fedavg"
    if config.count_noise and config.method == "dfr":
        return f"{said} method is dfr, which needs true counts; set count-noise to 0, or use another method"
    if config.noise_multiplier and config.method in ("lff", "group-dro", "agnostic", "cvar-dro", "dfr"):
        return f"{said} method is {config.method}, which sends more than updates; use another method"
    if config.count_noise and config.method == "balance" and config.balance in ("subset", "mixture"):
        return f"{said} balance is {config.balance}, which needs true counts; set balance to upsample"
    if config.noise_multiplier and not config.clip_update_norm:
        return f"{said} clip-update-norm is 0, and noise is scaled to a bound; set clip-update-norm"
    others = [key for key in ("aggregator", "identify-aggregator") if values[key] != "fedavg"]
    if config.noise_multiplier and others:
        return f"{said} {others[0]} is {values[others[0]]}; noise is for a mean: set {others[0]} to fedavg"
    return None


# Rules that need no more of a round than the mean of the machines' weights.
OF_THE_MEAN = ("fedavg", "fedprox", *AUTO_SERVER_RATE)
FEWEST_MACHINES = 3  # of two machines' sum, each of them knows the other's part


def secure_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with a server that sees only sums, or None."""
    if not config.secure_aggregation:
        return None
    on, off = "secure-aggregation is true, but", "set secure-aggregation to false, or"
    drawn = 1.0 if config.fraction_train == "auto" else config.fraction_train
    least = min(config.machines, round(drawn * config.machines))
    if least < FEWEST_MACHINES:
        return (
            f"{on} {least} of {config.machines} machines take part in a round (machines, fraction-train), and a sum "
            f"hides nothing among fewer than {FEWEST_MACHINES}; {off} let more take part"
        )
    if config.robust == "central":
        return f"{on} robust is central: every machine names the ids of its errors; {off} set robust to federated"
    if config.method in ("agnostic", "lff", "dfr"):
        return f"{on} method is {config.method}, which looks at single machines; {off} use another method"
    if config.identifies and config.identify == "peers":
        return f"{on} identify is peers: single machines' models travel; {off} set identify to federated or local"
    rules = {"aggregator": config.aggregator}
    if (config.identifies and config.identify == "federated") or config.selection == "val-bias-unsupervised":
        rules["identify-aggregator"] = config.identify_aggregator
    for key, rule in rules.items():
        if rule not in OF_THE_MEAN:
            return f"{on} {key} is {rule}, which looks at single updates; {off} choose from {', '.join(OF_THE_MEAN)}"
    if config.max_update_norm > 0:
        return (
            f"{on} max-update-norm is {config.max_update_norm:g}: the server cannot measure single updates; {off} set "
            "max-update-norm to 0 and clip-update-norm, which the machines keep themselves"
        )
    return None


def size_contradiction(config: "RunConfig") -> str | None:
    """Return what would make a network larger or smaller that has only one size, or None."""
    model = model_of(config)
    for size in ("width", "depth"):
        name, fitting = f"model_{size}", [name for name, sizes in SIZED_BY.items() if size in sizes]
        others = [each for each in fitting if (each in OF_TEXT) == (config.dataset in TEXTS)]
        value = getattr(config, name)
        if model not in fitting and value != type(config).model_fields[name].default:
            key = f"model-{size}"
            instead = f", or set model to {' or '.join(others)}" if others else ""
            return f"{key} is {value}, but model is {model}; leave {key} out{instead}"
    return None


JUDGES = (
    own_data_contradiction,
    text_contradiction,
    privacy_contradiction,
    secure_contradiction,
    size_contradiction,
)


def contradiction(config: "RunConfig") -> str | None:
    """Return which two keys exclude each other, and what to set, or None."""
    if (text := next(filter(None, (judge(config) for judge in JUDGES)), None)) is not None:
        return text
    if config.upsample_fraction == "validated" and config.selection == "last":
        return "upsample-fraction is validated, but selection is last; set selection to one of the val- rules"
    if config.identify_stop == "val-groups" and config.identify != "federated":
        return (
            f"identify-stop is val-groups, but identify is {config.identify}: the server, which has the validation "
            "groups, does not see the machines' own models; set identify-stop to stable, or identify to federated"
        )
    if config.identify_stop == "val-groups" and config.selection == "val-bias-unsupervised":
        return (
            "identify-stop is val-groups, which reads group labels, but selection is val-bias-unsupervised, which is "
            "for doing without; set identify-stop to stable"
        )
    if config.aggregator in NOT_THE_MEAN and config.averaging == "ema":
        return (
            f"aggregator {config.aggregator} leaves the mean of the machines' weights, so their averages are none of "
            "its model; set averaging to none"
        )
    if config.method == "lff" and config.aggregator not in ("fedavg", "fedprox"):
        return f"aggregator is {config.aggregator}, but method is lff, which averages two networks; set it to fedavg"
    if config.method == "dfr" and config.groups == "inferred":
        return "groups is inferred, but method is dfr, which balances validation's groups; set groups to true or class"
    if config.proximal_mu > 0 and config.aggregator != "fedprox":
        return (
            f"proximal-mu is {config.proximal_mu} but aggregator is {config.aggregator}; "
            "set aggregator to fedprox, or proximal-mu to 0"
        )
    if config.engine == "in-process" and config.workers > 1 and config.threads > 1:
        return (
            f"workers is {config.workers} and threads is {config.threads}: torch's threads hang in forked workers; "
            "set one of them to 1, or use engine = flower"
        )
    return None
