"""What the server accepts under secure aggregation."""

import re
from typing import Any

import numpy as np
import pytest

from fedjtt.methods.base import Payload
from fedjtt.secagg.crypto import PUBLIC_BYTES, SEALED_BYTES, SHARE_BYTES, new_private, public_of
from strategies.secure_rules import objection_to_step, objection_to_sum


def bytes_of(*shape: int) -> Any:
    return np.zeros(shape, dtype=np.uint8)


GOOD_KEYS = np.stack([np.frombuffer(public_of(new_private()), np.uint8) for _ in range(2)])
NOTHING = np.zeros(0, dtype=np.int64)
SHARES = Payload({"neighbours": np.arange(3)})
REVEAL = Payload({"answered": np.arange(2), "dropped": NOTHING})
MASKED = np.zeros(4, dtype=np.uint64)
LOOK = {"layout": [-1, 2, -2]}  # a census of 1 + 2 counts, without groups

STEPS: list[tuple[str, str, Payload, Payload, str]] = [
    ("keys", "fit", Payload(), Payload({"public-keys": GOOD_KEYS}), ""),
    ("keys", "fit", Payload(), Payload(), "it lacks public-keys"),
    ("keys", "fit", Payload(), Payload({"public-keys": bytes_of(2, PUBLIC_BYTES)}), "its keys are no public keys"),
    ("keys", "fit", Payload(), Payload({"public-keys": GOOD_KEYS[:1]}), r"its public-keys is uint8 \[1, 33\]"),
    ("shares", "fit", SHARES, Payload({"sealed-shares": bytes_of(3, SEALED_BYTES)}), ""),
    ("shares", "fit", SHARES, Payload({"sealed-shares": bytes_of(2, SEALED_BYTES)}), r"uint8 \[2, 248\], not"),
    ("masked", "census", Payload(), Payload({"masked": MASKED[:3]}, LOOK), ""),
    ("masked", "census", Payload(), Payload({"masked": MASKED}, LOOK), r"uint64 \[4\], not uint64 \[3\]"),
    ("masked", "census", Payload(), Payload({"masked": MASKED[:3].astype(np.int64)}, LOOK), "its masked is int64"),
    ("masked", "census", Payload(), Payload({"masked": MASKED[:3]}, {**LOOK, "examples": 5}), "examples in the clear"),
    ("masked", "census", Payload(), Payload({"masked": MASKED[:3]}, {"layout": [3]}), "its layout has 1 parts"),
    ("masked", "census", Payload(), Payload({"masked": MASKED[:3], "weights": MASKED}, LOOK), "it sends weights"),
    ("masked", "learn", Payload(), Payload({"masked": MASKED}, {"layout": [3], "seconds": 1.5}), ""),
    ("masked", "learn", Payload(), Payload({"masked": MASKED}, {"layout": [3], "seconds": -1.0}), "its seconds are -1"),
    ("masked", "learn", Payload(), Payload({"masked": MASKED}, {"layout": [3]}), "it lacks seconds"),
    ("reveal", "fit", REVEAL, Payload({"shares": bytes_of(2, SHARE_BYTES)}), ""),
    ("reveal", "fit", REVEAL, Payload({"shares": bytes_of(3, SHARE_BYTES)}), r"uint8 \[3, 52\], not uint8 \[2, 52\]"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "action", "request_", "reply", "said"), STEPS)
def test_a_message_must_have_the_form_that_its_step_has(
    step: str, action: str, request_: Payload, reply: Payload, said: str
) -> None:
    found = objection_to_step(step, action, request_, reply)
    assert re.search(said, found) if said else not found, found


WEIGHTS = Payload({"weights": np.zeros(3, np.float32)}, {"factor": 2})


def sums(**numbers: Any) -> Payload:
    return Payload(numbers={name.replace("_", "-"): value for name, value in numbers.items()})


SUMS: list[tuple[str, Payload, Payload, list[int] | None, str]] = [
    ("census", Payload(), sums(examples=5, label_counts=[2, 3]), None, ""),
    ("census", Payload(), sums(examples=6, label_counts=[2, 3]), None, "its counts do not add up to its 6 examples"),
    ("census", Payload(), sums(examples=1, label_counts=[-2, 3]), None, "a count is negative"),
    ("look", Payload(), sums(label_errors=[1, 1], label_sizes=[2, 3], both=1, either=2), [2, 3], ""),
    ("look", Payload(), sums(label_errors=[3, 1], label_sizes=[2, 3], both=1, either=2), None, "more label-errors"),
    ("look", Payload(), sums(label_errors=[1, 1], label_sizes=[2, 3], both=3, either=2), None, "more examples are in"),
    ("look", Payload(), sums(label_errors=[1, 1], label_sizes=[2, 4], both=1, either=2), [2, 3], "examples of a label"),
    ("identify", Payload(), sums(examples=5, errors=6), None, "it has more errors than examples"),
    ("identify", Payload(), sums(examples=6, errors=6), [2, 3], "reports on 6 examples, and all machines have 5"),
    ("identify", Payload(), sums(examples=6, errors=6), None, ""),
    ("assess", Payload(), sums(correct=[1, 2], count=[2, 2]), None, ""),
    ("assess", Payload(), sums(correct=[1, 3], count=[2, 2]), None, "it has more correct than count"),
    ("fit", WEIGHTS, Payload({"weights": np.zeros(3, np.float32)}, {"size": 15.0}), [2, 3], ""),
    ("fit", WEIGHTS, Payload({"weights": np.zeros(3, np.float32)}, {"size": 15.1}), [2, 3], "weighted size is 15.1"),
    ("fit", WEIGHTS, Payload({"weights": np.zeros(3, np.float32)}, {"size": 15.1}), None, ""),
    ("fit", WEIGHTS, Payload({"weights": np.zeros(2, np.float32)}, {"size": 1.0}), None, r"weights is \[2\], not"),
    ("fit", WEIGHTS, Payload({"weights": np.full(3, np.inf, np.float32)}, {"size": 1.0}), None, "not finite"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "request_", "reply", "census", "said"), SUMS)
def test_a_sum_must_fit_itself_and_the_census(
    action: str, request_: Payload, reply: Payload, census: list[int] | None, said: str
) -> None:
    """The size of 5 examples under a factor of 2 is at most 15: 3 for each under ``extra``."""
    found = objection_to_sum(action, request_, reply, census)
    assert re.search(said, found) if said else not found, found
