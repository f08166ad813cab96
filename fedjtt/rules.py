"""What a run configuration may not say beyond each key's own bounds: one line for each contradiction."""

from typing import TYPE_CHECKING

from fedjtt.automatic import AUTO_SERVER_RATE
from fedjtt.choices import REMOVING
from fedjtt.data_rules import own_data_contradiction, picture_contradiction, text_contradiction
from fedjtt.model_rules import (
    attribution_contradiction,
    features_contradiction,
    named_norms_contradiction,
    pretrained_contradiction,
    size_contradiction,
)

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
    if config.image_size != "auto" and config.image_size < 1:
        return f"image-size is {config.image_size}; give a whole number of pixels from 1, or auto"
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
    if config.d3m_remove != "sign" and not 0 < config.d3m_remove < 1 and config.d3m_remove != int(config.d3m_remove):
        return f"d3m-remove is {config.d3m_remove:g}; give a share below 1, a whole number of examples, or sign"
    if config.d3m_remove != "sign" and config.d3m_remove <= 0:
        return f"d3m-remove is {config.d3m_remove:g}; give a share above 0, a whole number of examples, or sign"
    if config.rest_weight != "auto" and config.rest_weight <= 0:
        return f"rest-weight is {config.rest_weight}; give a number above 0, or auto"
    if config.rest_period != "auto" and config.rest_period < 1:
        return f"rest-period is {config.rest_period}; give a number of steps from 1, or auto"
    if config.fraction_train != "auto" and not 0 < config.fraction_train <= 1:
        return f"fraction-train is {config.fraction_train}; give a share above 0 and up to 1, or auto"
    if config.min_machines > 1 and config.min_machines != int(config.min_machines):
        return f"min-machines is {config.min_machines}; give a share up to 1, or a whole number of machines"
    return None


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
    if config.count_noise and config.method in ("dfr", *REMOVING):
        return f"{said} method is {config.method}, which needs true counts; set count-noise to 0, or use another method"
    if config.noise_multiplier and config.method in ("lff", "group-dro", "agnostic", "cvar-dro", "dfr", *REMOVING):
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


def validation_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with a method that uses validation's groups, or None."""
    if config.groups_kind == "inferred" and config.method in ("dfr", "d3m"):
        does = "balances" if config.method == "dfr" else "weighs"
        return (
            f"groups is inferred, but method is {config.method}, which {does} validation's groups; set groups to true "
            "or class"
        )
    if config.method in REMOVING and config.d3m_remove_by != "score" and config.d3m_remove == "sign":
        return (
            f"d3m-remove is sign, but d3m-remove-by is {config.d3m_remove_by}, which has no sign; set d3m-remove to a "
            "number of examples or a share"
        )
    return None


def sparse_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with a network of which most weights are dead, or None."""
    if config.method != "rest":
        return None
    if config.groups_kind == "class":
        return "groups is class, but method is rest, which weighs a minority; set groups to inferred or true"
    if config.aggregator in AUTO_SERVER_RATE:
        return (
            f"aggregator is {config.aggregator}, whose momentum would move weights that method rest has let die; set "
            "aggregator to fedavg"
        )
    if config.rest_grow == "random":
        return None
    if config.noise_multiplier:
        return (
            f"noise-multiplier is {config.noise_multiplier:g}, but rest-grow is {config.rest_grow}: gradients would "
            "leave the machines without noise; set rest-grow to random"
        )
    if config.secure_aggregation and config.rest_exact_every != 1:
        return (
            f"secure-aggregation is true, but rest-exact-every is {config.rest_exact_every}: what each machine names "
            "as its largest is no sum; set rest-exact-every to 1, or rest-grow to random"
        )
    return None


JUDGES = (
    own_data_contradiction,
    picture_contradiction,
    text_contradiction,
    privacy_contradiction,
    secure_contradiction,
    size_contradiction,
    pretrained_contradiction,
    features_contradiction,
    attribution_contradiction,
    named_norms_contradiction,
    validation_contradiction,
    sparse_contradiction,
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
