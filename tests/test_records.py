"""Payloads to Flower's records and back."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, RecordDict

from fedjtt.errors import ConfigError, DataError, DivergedError, EngineError, FedJTTError
from fedjtt.methods.base import Payload
from fedjtt.records import (
    ACTION,
    ARRAYS,
    CONFIG,
    count_bytes,
    failure_of,
    failure_records,
    from_records,
    read_memo,
    to_array_record,
    to_reply,
    write_memo,
)

ARRAY_SETS: list[dict[str, Any]] = [
    {},
    {"weights": np.array([1.5, -0.0, np.float32(1e-40)], dtype=np.float32)},
    {
        "ids": np.array([2**62, -1], dtype=np.int64),
        "none": np.zeros(0, dtype=np.int64),
        "bits": np.array([7], dtype=np.uint8),
    },
]
NUMBER_SETS: list[dict[str, Any]] = [
    {},
    {"whole": 3, "real": 0.1, "list": [1, 2, 3], "reals": [0.5], "big": 2**62},
    {"group-counts": []},
]


@pytest.mark.parametrize("arrays", ARRAY_SETS)
@pytest.mark.parametrize("numbers", NUMBER_SETS)
def test_replies_go_round_to_the_last_bit(arrays: dict[str, Any], numbers: dict[str, Any]) -> None:
    back = from_records(to_reply(Payload(arrays, numbers), 5))
    assert back.numbers == {**numbers, "partition-id": 5}
    assert set(back.arrays) == set(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("numbers", NUMBER_SETS)
def test_requests_go_round_without_the_action(numbers: dict[str, Any]) -> None:
    content = RecordDict({ARRAYS: to_array_record({}), CONFIG: ConfigRecord({**numbers, ACTION: "fit"})})
    assert from_records(content).numbers == numbers


@pytest.mark.parametrize("error", [ConfigError("a"), DataError("b"), DivergedError("c"), EngineError("d")])
def test_a_machines_own_error_arrives_as_it_was(error: FedJTTError) -> None:
    arrived = failure_of(failure_records(error, 3))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert failure_of(to_reply(Payload(), 3)) is None


def test_an_error_that_nobody_knows_is_the_engines() -> None:
    class NewError(FedJTTError):
        pass

    assert type(failure_of(failure_records(NewError("x"), 0))) is EngineError


def test_bytes_are_those_of_the_arrays_and_a_little() -> None:
    """100,000 ids of 8 bytes: what else travels is not worth a thousandth."""
    empty = count_bytes(to_reply(Payload(), 0))
    full = count_bytes(to_reply(Payload({"ids": np.arange(100_000)}), 0))
    assert 800_000 <= full - empty <= 800_800


def test_a_memo_lasts_until_the_next_message() -> None:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
    assert read_memo(context) == {}
    write_memo(context, {})
    assert read_memo(context) == {}
    write_memo(context, {"error-mask": np.array([3], dtype=np.uint8)})
    np.testing.assert_array_equal(read_memo(context)["error-mask"], [3])
    write_memo(context, {})  # the last of what was kept is forgotten too: it may have been a secret
    assert read_memo(context) == {}


def test_a_payload_refuses_to_read_one_type_as_another() -> None:
    payload = Payload(numbers={"whole": 3, "real": 0.5, "list": [1]})
    assert (payload.integer("whole"), payload.real("whole"), payload.integers("list")) == (3, 3.0, [1])
    for read in (
        lambda: payload.integer("real"),
        lambda: payload.real("list"),
        lambda: payload.integers("whole"),
        lambda: payload.integer("list"),
    ):
        with pytest.raises(TypeError):
            read()
