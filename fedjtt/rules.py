"""What a run configuration may not say beyond each key's own bounds: one line for each contradiction."""

from typing import TYPE_CHECKING

from fedjtt.auto import AUTO_SERVER_RATE

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
    if config.fraction_train != "auto" and not 0 < config.fraction_train <= 1:
        return f"fraction-train is {config.fraction_train}; give a share above 0 and up to 1, or auto"
    if config.min_machines > 1 and config.min_machines != int(config.min_machines):
        return f"min-machines is {config.min_machines}; give a share up to 1, or a whole number of machines"
    return None


def contradiction(config: "RunConfig") -> str | None:
    """Return which two keys exclude each other, and what to set, or None."""
    if config.upsample_fraction == "validated" and config.selection == "last":
        return "upsample-fraction is validated, but selection is last; set selection to one of the val- rules"
    if config.identify_stop == "val-groups" and config.identify != "federated":
        return (
            f"identify-stop is val-groups, but identify is {config.identify}: the server, which has the validation "
            "groups, does not see the machines' own models; set identify-stop to stable, or identify to federated"
        )
    if config.aggregator in NOT_THE_MEAN and config.averaging == "ema":
        return (
            f"aggregator {config.aggregator} leaves the mean of the machines' weights, so their averages are none of "
            "its model; set averaging to none"
        )
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
