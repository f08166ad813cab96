"""Waterbirds' metadata, in small and, where it is, the real file of 11,788 rows."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fedjtt.data.options import DataOptions
from fedjtt.data.partition import PARTITIONS, partition
from fedjtt.data.published import PUBLISHED, differences
from fedjtt.data.sources import look
from fedjtt.data.waterbirds import WATERBIRDS, read_waterbirds
from tests.data.pictures import examples, write_waterbirds


def test_the_metadata_of_a_folder(tmp_path: Path) -> None:
    listing = read_waterbirds(write_waterbirds(tmp_path))
    rows = zip(listing.split.tolist(), listing.label.tolist(), listing.attribute.tolist(), strict=True)
    assert list(rows) == examples(3)
    assert listing.names[1] == "002.Laysan_Albatross/Laysan_Albatross_0001_701.jpg"
    assert listing.problems == []


@pytest.fixture
def options(data_dir: Path) -> DataOptions:
    if not (data_dir / "waterbirds" / "metadata.csv").is_file():
        pytest.skip("Waterbirds' metadata is not here: set FEDJTT_DATA to a folder that holds waterbirds/metadata.csv")
    return DataOptions("waterbirds", data_dir, 0)


def counted(options: DataOptions) -> dict[str, tuple[int, ...]]:
    """The groups' sizes by the standard library's reader."""
    with (options.root / "waterbirds" / "metadata.csv").open(newline="") as file:
        counts = Counter((row["split"], row["y"], row["place"]) for row in csv.DictReader(file))
    names = {"train": "0", "validation": "1", "test": "2"}
    return {name: tuple(counts[code, y, place] for y in "01" for place in "01") for name, code in names.items()}


def test_the_real_file_differs_where_it_does(options: DataOptions) -> None:
    found = look(options)
    assert found.counts == counted(options)
    assert sum(map(sum, found.counts.values())) == 11_788
    assert (found.problems, len(found.notes)) == ([], 1)
    published = PUBLISHED["waterbirds"].counts
    expected = sum(
        ours != theirs
        for split in published
        for ours, theirs in zip(counted(options)[split], published[split], strict=True)
    )
    lines = differences(found, PUBLISHED["waterbirds"])
    assert len(lines) == expected > 0
    assert lines[0] == "train, landbird, land: 3,525 here, 3,498 published (+27)"


@pytest.mark.parametrize("kind", PARTITIONS)
@pytest.mark.parametrize("machines", [4, 20])
def test_the_real_files_rows_over_machines(options: DataOptions, kind: str, machines: int) -> None:
    listing = read_waterbirds(WATERBIRDS.folder(options))
    train = WATERBIRDS.splits(listing, WATERBIRDS.files(listing, options), options).train
    parts = partition(kind, train, machines, 0.5, 0)
    assert len(parts) == machines
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(sum(counted(options)["train"])))
    by_machine = np.array([torch.bincount(train.group[rows], minlength=4).tolist() for rows in parts])
    assert tuple(by_machine.sum(0)) == counted(options)["train"]
