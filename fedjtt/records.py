"""The only converter between payloads and Flower's records."""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict

from fedjtt.errors import FedJTTError, error_of
from fedjtt.methods.base import Array, Payload, Scalar

ARRAYS, CONFIG, METRICS, FAILURE, MEMO = "arrays", "config", "metrics", "failure", "memo"
ACTION = "action"
PARTITION_ID = "partition-id"
NPY = "numpy.ndarray"


@lru_cache(maxsize=256)
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return what numpy's file format has before a C-ordered array's bytes."""
    buffer = BytesIO()
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(buffer, {"descr": description, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _to_flower(array: Array) -> FlowerArray:
    """Return ``FlowerArray(array)``, byte by byte, in a fifth of the time."""
    array = np.asarray(array, order="C")
    dtype = str(array.dtype)
    return FlowerArray(dtype, array.shape, NPY, b"".join((_npy_header(dtype, array.shape), array.data)))


def _from_flower(array: FlowerArray) -> Array:
    """Return ``array.numpy()``; numpy's own reader takes longer over the header than a small machine over a step."""
    header = _npy_header(array.dtype, array.shape)
    if array.stype != NPY or not array.data.startswith(header):
        return array.numpy()
    return np.ndarray(array.shape, array.dtype, array.data, len(header)).copy()


def to_array_record(arrays: Mapping[str, Array]) -> ArrayRecord:
    """Return numpy arrays as a record."""
    return ArrayRecord({name: _to_flower(array) for name, array in arrays.items()})


def from_array_record(record: ArrayRecord) -> dict[str, Array]:
    """Return a record's arrays."""
    return {name: _from_flower(array) for name, array in record.items()}


def to_reply(payload: Payload, partition_id: int) -> RecordDict:
    """Return a payload as a reply's content: one ArrayRecord and one MetricRecord, as Flower's rules expect."""
    metrics = MetricRecord({**payload.numbers, PARTITION_ID: partition_id})
    return RecordDict({ARRAYS: to_array_record(payload.arrays), METRICS: metrics})


def from_records(content: RecordDict) -> Payload:
    """Return the payload of a request (numbers in its ConfigRecord) or of a reply (in its MetricRecord)."""
    arrays: dict[str, Array] = {}
    numbers: dict[str, Scalar] = {}
    # One pass: each of content.config_records and its like builds a checked dictionary anew.
    for record in content.values():
        if isinstance(record, ArrayRecord):
            arrays |= from_array_record(record)
        else:
            numbers |= {name: value for name, value in record.items() if name != ACTION}  # type: ignore[misc]
    return Payload(arrays, numbers)


def failure_records(error: FedJTTError, partition_id: int) -> RecordDict:
    """Return a machine's own error as content: it reaches the server alike under every engine."""
    kind = type(error).__name__
    return RecordDict({FAILURE: ConfigRecord({"kind": kind, "text": str(error), PARTITION_ID: partition_id})})


def failure_of(content: RecordDict) -> FedJTTError | None:
    """Return the error that a reply reports, or None."""
    if FAILURE not in content:
        return None
    record = content.config_records[FAILURE]
    return error_of(str(record["kind"]), str(record["text"]))


def count_bytes(content: RecordDict) -> int:
    """Return the size of a message's records in bytes."""
    return sum(record.count_bytes() for record in content.values())


def read_memo(context: Context) -> dict[str, Array]:
    """Return the arrays that a machine keeps between messages."""
    return from_array_record(context.state.array_records[MEMO]) if MEMO in context.state else {}


def write_memo(context: Context, memo: Mapping[str, Array]) -> None:
    """Keep arrays until the machine's next message; what is not among them is forgotten."""
    if memo or MEMO in context.state:
        context.state[MEMO] = to_array_record(memo)
