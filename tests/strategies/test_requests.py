"""Requests as arrays and back."""

import numpy as np

from fedjtt.methods.base import Payload
from strategies.requests import pack_requests, unpack_requests


def test_requests_come_back_and_an_array_that_machines_share_stands_there_once() -> None:
    shared = np.arange(4.0)
    requests = {machine: Payload({"models": shared}, {"own": machine, "sizes": [1, 2]}) for machine in (3, 5)}
    packed = pack_requests("judge", requests)
    assert len(packed) == 2  # the array and what is said about it
    action, back = unpack_requests(packed)
    assert action == "judge"
    assert isinstance(back, dict)
    assert {machine: request.numbers for machine, request in back.items()} == {
        3: {"own": 3, "sizes": [1, 2]},
        5: {"own": 5, "sizes": [1, 2]},
    }
    assert all(request.arrays["models"].tobytes() == shared.tobytes() for request in back.values())
    _, one = unpack_requests(pack_requests("judge", Payload({"models": shared}, {"own": 0})))
    assert isinstance(one, Payload)
    assert one.integer("own") == 0
