"""Every dataset says where it is from, and differing groups are named one by one."""

from fedjtt.data.findings import Findings
from fedjtt.data.published import PUBLISHED, Published, differences
from fedjtt.data.sources import SOURCES

NAMES = (("a", "b"), ("x", "y"))


def test_every_source_has_an_entry() -> None:
    assert PUBLISHED.keys() == SOURCES.keys()
    for name, published in PUBLISHED.items():
        assert published.where
        assert bool(published.layout) == SOURCES[name].needs_files
        assert bool(published.counts) == bool(published.counted_by)


def test_a_difference_names_split_group_and_both_sizes() -> None:
    found = Findings(*NAMES, {"train": (1_203, 2, 3, 4), "test": (1, 1, 1, 1)})
    published = Published("there", counts={"train": (1_200, 2, 3, 5), "test": (1, 1, 1, 1)})
    assert differences(found, published) == [
        "train, a, x: 1,203 here, 1,200 published (+3)",
        "train, b, y: 4 here, 5 published (-1)",
    ]


def test_a_split_that_is_not_there_has_no_examples() -> None:
    found = Findings(*NAMES, {"train": (1, 1, 1, 1)})
    published = Published("there", counts={"validation": (0, 0, 0, 7)})
    assert differences(found, published) == ["validation, b, y: 0 here, 7 published (-7)"]
