"""What an exchange asks: one request for all machines or one for each; also as arrays, for a checkpoint."""

from collections.abc import Mapping
from typing import Any

from fedjtt.cache import pack_json, unpack_json
from fedjtt.methods.base import Array, Payload

Requests = Payload | Mapping[int, Payload]
"""One request for all machines, or one for each by its partition id."""


def pack_requests(action: str, requests: Requests) -> dict[str, Array]:
    """Return an action's requests as arrays: an array that all machines share stands there once."""
    whole = isinstance(requests, Payload)
    each = {-1: requests} if isinstance(requests, Payload) else dict(requests)
    numbers: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Array] = {}
    places: dict[int, str] = {}
    for machine, request in each.items():
        numbers[str(machine)] = dict(request.numbers)
        for name, array in request.arrays.items():
            place = places.setdefault(id(array), f"array-{len(places)}")
            arrays[place] = array
            numbers[str(machine)][f"@{name}"] = place
    about = {"action": action, "whole": whole, "requests": numbers}
    return {**arrays, "about": pack_json(about)}


def unpack_requests(saved: Mapping[str, Array]) -> tuple[str, Requests]:
    """Return what :func:`pack_requests` packed."""
    about = unpack_json(saved["about"])
    requests = {
        int(machine): Payload(
            {name[1:]: saved[place] for name, place in values.items() if name.startswith("@")},
            {name: value for name, value in values.items() if not name.startswith("@")},
        )
        for machine, values in about["requests"].items()
    }
    return about["action"], requests[-1] if about["whole"] else requests
