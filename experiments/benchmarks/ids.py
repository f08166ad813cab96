"""Reporting 100,000 ids: which of Flower's record types carries them best."""

from collections.abc import Callable

import numpy as np
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from numpy.typing import NDArray

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, ratios_of, timed
from fedjtt.records import from_array_record, to_array_record

IDS = 100_000
EXAMPLES = 2 * IDS
REPEATS = 5
Ids = NDArray[np.int64]
Build = Callable[[Ids], RecordDict]
Parse = Callable[[RecordDict], Ids]


def _as_array(ids: Ids) -> RecordDict:
    return RecordDict({"ids": to_array_record({"ids": ids})})


def _from_array(content: RecordDict) -> Ids:
    return from_array_record(_array_record(content))["ids"]


def _as_bitmap(ids: Ids) -> RecordDict:
    member = np.zeros(EXAMPLES, dtype=bool)
    member[ids] = True
    return RecordDict({"ids": to_array_record({"bits": np.packbits(member)})})


def _from_bitmap(content: RecordDict) -> Ids:
    bits = from_array_record(_array_record(content))["bits"]
    return np.flatnonzero(np.unpackbits(bits, count=EXAMPLES))


def _as_list(ids: Ids) -> RecordDict:
    return RecordDict({"ids": MetricRecord({"ids": ids.tolist()})})


def _from_list(content: RecordDict) -> Ids:
    return np.array(content.metric_records["ids"]["ids"], dtype=np.int64)


def _array_record(content: RecordDict) -> ArrayRecord:
    return content.array_records["ids"]


KINDS: dict[str, tuple[Build, Parse]] = {
    "ArrayRecord of int64": (_as_array, _from_array),
    "ArrayRecord of a bitmap of all examples": (_as_bitmap, _from_bitmap),
    "MetricRecord with a list": (_as_list, _from_list),
}


def over_the_wire(content: RecordDict) -> tuple[RecordDict, int]:
    """Return a content as it comes out at the other end of a deployment, and the bytes in between."""
    parts = {name: part.deflate() for name, part in get_all_nested_objects(content).items()}
    size = sum(len(part) for part in parts.values())
    arrived = inflate_object_from_contents(content.object_id, parts)
    if not isinstance(arrived, RecordDict):
        raise TypeError(f"a {type(arrived).__name__} came out where a RecordDict went in")
    return arrived, size


def there_and_back(kind: str, ids: Ids) -> int:
    """Build, serialise, parse and read the ids; return the bytes and make sure that they are the same ids."""
    build, parse = KINDS[kind]
    content, size = over_the_wire(build(ids))
    if not np.array_equal(parse(content), ids):
        raise ValueError(f"{kind} returned other ids")
    return size


def run(setting: Setting) -> list[Row]:
    """Measure every record type; the ratios are to the one that is used."""
    ids = np.sort(np.random.default_rng(0).permutation(EXAMPLES)[:IDS]).astype(np.int64)
    sizes = {kind: there_and_back(kind, ids) for kind in KINDS}
    repeats = 1 if setting.quick else REPEATS

    def side(kind: str) -> Callable[[], float]:
        return lambda: timed(lambda: [there_and_back(kind, ids) for _ in range(repeats)]) / repeats

    figures = interleaved([side(kind) for kind in KINDS], setting.pairs)
    seconds = dict(zip(KINDS, medians_of(figures), strict=True))
    used = next(iter(KINDS))
    return [
        Row(
            f"ids-{position}",
            ratios_of(figures, position, 0),
            None,
            f"{IDS:,} ids of {EXAMPLES:,}, built, serialised as in a deployment, parsed: {kind} "
            f"{1e3 * seconds[kind]:.1f} ms and {sizes[kind] / 1e3:.0f} kB; {used}, which is used, "
            f"{1e3 * seconds[used]:.1f} ms and {sizes[used] / 1e3:.0f} kB",
        )
        for position, kind in enumerate(KINDS)
        if position
    ]
