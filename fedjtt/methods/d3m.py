"""Data debiasing with datamodels (Jain et al. 2024): drop the examples that drive the bias, and train anew.

1. ERM models, whose weights every machine gets.
2. Machines send the summed outer products of their projected gradients; whoever holds validation, sums of these by
   group. The server weighs the groups by their losses and sends back one vector a model.
3. Each machine scores its own examples, drops the most harmful, and trains on the others.

``auto-d3m`` finds validation's groups itself: of each label two, by the first principal component of attributions.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from fedjtt.cache import pack_json, unpack_json
from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.assess import assess_weights
from fedjtt.methods.base import Array, Node, Payload, Server, Trained
from fedjtt.methods.census import Population, count_population
from fedjtt.methods.find_harmful import Found, find_harmful
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.identification import added_up
from fedjtt.methods.lesson import Lesson
from fedjtt.methods.network import initial_weights
from fedjtt.methods.removal import IDS, LIMIT, MAJORITY, ZERO, limit_for, stays

STAGE = "attributed"
"""What rounds of the models that are attributed are called to whoever watches."""


class D3M:
    """D3M, with validation's groups given or found."""

    def __init__(self, name: str = "d3m") -> None:
        self.name = name

    def lesson(self, node: Node, request: Payload) -> Lesson:
        """Every example that is left stands once in an epoch."""
        return Lesson(stays(node, request).long())

    def coordinate(self, server: Server) -> Trained:
        """Train, attribute, remove, train anew on what is left."""
        population = count_population(server, "machines")
        self._check(server, population)
        if (saved := server.saved("removed")) is None:
            request, about, seconds = _removed(server, population)
            saved = dict(request.arrays)
            saved["about"] = pack_json([dict(request.numbers), about, seconds])
            server.save("removed", saved)
        numbers, about, seconds = unpack_json(saved["about"])
        request = Payload({name: array for name, array in saved.items() if name != "about"}, numbers)
        left = population.total - about["removed"]
        trained = fit_rounds(server, FitPlan(population, request, weighted=left))
        return replace(trained, removal=about, seconds={**trained.seconds, "identify": seconds})

    def _check(self, server: Server, population: Population) -> None:
        """Refuse what cannot be done before anything is trained."""
        config, total = server.config, population.total
        if config.d3m_remove != "sign" and config.d3m_remove >= total:
            raise ConfigError(
                f"d3m-remove is {config.d3m_remove:g}, and there are {total} train examples; leave some to train on"
            )
        if config.d3m_remove_by == "majority" and population.majority is None:
            raise ConfigError("d3m-remove-by is majority, and no attribute of train is known; set it to random")
        if config.d3m_remove_by != "score":
            return
        if population.num_labels < 2:
            raise ConfigError(f"method {self.name} needs two labels; there is one")
        held = assess_weights(server, initial_weights(server), "validation", None)["groups"]
        if not any(group["count"] for group in held):
            raise ConfigError(f"method {self.name} measures effects on validation, which has no example; use another")
        if self.name == "d3m" and config.groups_kind == "true" and held[0]["attribute"] is None:
            raise ConfigError(
                "method d3m weighs validation's groups, and no attribute of validation is known; set method to "
                "auto-d3m, or groups to class"
            )


def _removed(server: Server, population: Population) -> tuple[Payload, dict[str, Any], dict[str, float]]:
    """Return what a machine needs to know whom it removes, what the result says of it, and CPU seconds."""
    config = server.config
    told: dict[str, Any] = {MAJORITY: population.majority} if config.d3m_remove_by == "majority" else {}
    found = Found({}, {"sum": 0.0, "slowest": 0.0})
    if config.d3m_remove_by == "score":
        found = find_harmful(server, *_models(server, population))
    limit = ZERO if config.d3m_remove == "sign" else limit_for(server, _quota(config.d3m_remove, population), told)
    told[LIMIT] = limit
    replies = server.ask("machines", "drop", Payload(numbers=told))
    removed = sum(reply.integer("removed") for reply in replies)
    if removed >= population.total:
        raise ConfigError(f"all {removed} train examples have a negative alignment; set d3m-remove to a number")
    labels, groups = (added_up(replies, name) for name in ("label-removed", "group-removed"))
    emptied = [str(label) for label, own in enumerate(population.label_counts) if own and own == labels[label]]
    if emptied:
        server.note(f"every train example of label {', '.join(emptied)} was removed; set d3m-remove to fewer")
    if not removed:
        server.note("nothing was removed: no train example has a negative alignment")
    about = {
        "by": config.d3m_remove_by, "examples": population.total, "removed": removed, "label-removed": labels,
        "group-removed": groups or None, **found.report,
    }  # fmt: skip
    if config.robust == "federated":
        return Payload(numbers=told), about, found.seconds
    ids = np.unique(np.concatenate([reply.arrays["ids"] for reply in replies]))
    if len(ids) != removed:
        raise EngineError(f"the machines removed {removed} examples and named {len(ids)} different ids")
    return Payload({IDS: ids}), about, found.seconds


def _quota(wanted: float | str, population: Population) -> int:
    share = float(wanted)
    return round(share * population.total) if share < 1 else int(share)


def _models(server: Server, population: Population) -> tuple[Array, dict[str, float]]:
    """Train the models that are attributed, and return them and their CPU seconds.

    ERM's after the last round: a round that is selected by its worst group is one before the bias was learned.
    """
    weights, seconds = [], {"sum": 0.0, "slowest": 0.0}
    for number in range(server.config.d3m_models):
        request = Payload(numbers={"model": number} if number else {})
        plan = FitPlan(population, request, method="erm", stage=STAGE, selection="last")
        trained = fit_rounds(server, plan)
        weights.append(trained.weights)
        seconds["sum"] += trained.seconds["robust-sum"]
        seconds["slowest"] += trained.seconds["robust"]
    return np.stack(weights), seconds
