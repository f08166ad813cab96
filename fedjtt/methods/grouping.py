"""The groups that a method balances or weighs, as ``groups`` says: both halves.

Labels, true groups (label and attribute), inferred ones (label, and whether the example is in the error set), or the
machines that examples lie on.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.base import Array, Node, Payload, Place, Server, Trained
from fedjtt.methods.census import Population, count_population
from fedjtt.methods.identification import Identified
from fedjtt.methods.minority import errors_of, errors_request, find_minority

SIZES = "group-sizes"


def groups_of(node: Node, request: Payload) -> Tensor:
    """Return the group of every train example of a node, int64 ``[n]``."""
    part, kind = node.data.train, node.config.groups_kind
    label = part.dataset.label[part.rows]
    if kind == "machine":
        return _machines_of(node, request)
    if kind == "class":
        return label
    if kind == "true":
        return part.dataset.group[part.rows]
    return 2 * label + errors_of(node, request)


def validation_groups(node: Node, why: str) -> tuple[Tensor, int]:
    """Return the group of every validation row of a node, as ``groups`` says, and how many groups there are.

    Parameters
    ----------
    why : str
        What needs them, and what to set where nobody knows them, around what is missing: ``{}``.

    Raises
    ------
    ConfigError
        Where nobody knows them.
    """
    part = node.data.validation
    if node.config.groups_kind == "class":
        return part.dataset.label[part.rows], part.dataset.num_labels
    if part.dataset.attribute is None:
        raise ConfigError(why.format("no attribute of validation is known"))
    return part.dataset.group[part.rows], part.dataset.num_groups


@dataclass(frozen=True)
class Groups:
    """The groups over all machines.

    Attributes
    ----------
    sizes : list of int
        Train examples of each group; 0 where nobody has one.
    request : Payload
        What :func:`groups_of` needs on a node, with the sizes.
    population : Population
        The machines' counts.
    place : str
        Where the robust stage trains.
    found : Identified or None
        The error sets, where groups are inferred from them.
    """

    sizes: list[int]
    request: Payload
    population: Population
    place: Place
    found: Identified | None = None


def agree_on_groups(server: Server) -> Groups:
    """Count every group over all machines; for inferred ones after the minority has been found.

    Raises
    ------
    ConfigError
        Where groups are the true ones and a train example's attribute is not known.
    """
    kind = server.config.groups_kind
    place: Place = "server" if server.config.robust == "central" else "machines"
    population = count_population(server, place if kind in ("class", "true") else "machines")
    if kind == "machine":
        request = Payload(_origins(server) if place == "server" else {}, {SIZES: population.examples})
        return Groups(population.examples, request, population, place)
    if kind == "inferred":
        found = find_minority(server, population)
        by_label = zip(population.label_counts, found.label_errors, strict=True)
        sizes = [count for size, errors in by_label for count in (size - errors, errors)]
        told = errors_request(population, found)
        return Groups(sizes, Payload(told.arrays, {**told.numbers, SIZES: sizes}), population, place, found)
    if kind == "true" and population.group_counts is None:
        raise ConfigError(
            f"method {server.config.method} needs the attribute of every train example where groups are true; set "
            "groups to inferred or class, or method to jtt or erm"
        )
    sizes = population.label_counts if kind == "class" else population.group_counts or []
    return Groups(sizes, Payload(numbers={SIZES: sizes}), population, place)


def identified(trained: Trained, groups: Groups) -> Trained:
    """Return what was trained with what was found before, where groups were inferred."""
    if groups.found is None:
        return trained
    report = {**groups.found.report, "unevenness": groups.population.unevenness}
    return replace(trained, identification=report, seconds={**trained.seconds, "identify": groups.found.seconds})


def name_own(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    """Name a machine's train examples, where the server has the data and trains on it.

    Raises
    ------
    ConfigError
        Under ``robust = federated``, where no id leaves a machine.
    """
    if node.config.robust != "central":
        raise ConfigError("a machine names its examples only where robust is central")
    return Payload({"ids": node.data.train.id.numpy()})


def _origins(server: Server) -> dict[str, Array]:
    """Return all ids, ascending, and the machine that each came from."""
    replies = server.ask("machines", "name", Payload())
    ids = np.concatenate([reply.arrays["ids"] for reply in replies])
    machines = np.repeat(np.arange(len(replies)), [len(reply.arrays["ids"]) for reply in replies])
    order = ids.argsort(kind="stable")
    return {"origin-ids": ids[order], "origins": machines[order]}


def _machines_of(node: Node, request: Payload) -> Tensor:
    """Return the machine that each of a node's examples came from: its own, or on the server as machines told."""
    ids = node.data.train.id
    if "origins" not in request.arrays:
        return torch.full_like(ids, node.partition_id)
    known = torch.from_numpy(request.arrays["origin-ids"].copy())
    places = torch.searchsorted(known, ids).clamp(max=len(known) - 1)
    if not torch.equal(known[places], ids):
        raise EngineError("the server has examples that no machine has; method agnostic weighs machines' examples")
    return torch.from_numpy(request.arrays["origins"].copy())[places]
