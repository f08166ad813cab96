from dataclasses import fields, replace
from typing import Any

import pytest

from fedjtt.choices import DATA_KEYS, TABLES, TEXTS
from fedjtt.config import kebab
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import SOURCES, default_options, load
from fedjtt.errors import ConfigError


def test_the_registry_names_every_source_and_its_defaults() -> None:
    assert list(SOURCES) == ["digits", "spuco-mnist", "adult", "compas", "sick", "civilcomments", "multinli"]
    assert all(name == source.name for name, source in SOURCES.items())
    assert (SOURCES["digits"].default_strength, SOURCES["digits"].default_difficulty) == (0.9, "large")
    assert (SOURCES["spuco-mnist"].default_strength, SOURCES["spuco-mnist"].default_difficulty) == (0.995, "medium")
    assert {(SOURCES[name].default_strength, SOURCES[name].default_difficulty) for name in (*TABLES, *TEXTS)} == {
        (None, None)
    }
    assert [source.needs_files for source in SOURCES.values()] == [False] + 6 * [True]


def test_what_is_asked_of_the_data_is_named_by_the_keys_that_tell_data_apart() -> None:
    """A key that a cache or an analysis did not know would mix runs on different data."""
    asked = {kebab(field.name) for field in fields(DataOptions)} - {"data-dir", "download", "seed"}
    assert asked == set(DATA_KEYS)


def test_load_finds_the_loader() -> None:
    assert len(load(default_options("digits")).train) == 1200


@pytest.mark.parametrize(("name", "nearest"), [("digit", "'digits'"), ("spuco_mnist", "'spuco-mnist'")])
def test_an_unknown_dataset_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {nearest}"):
        load(replace(default_options("digits"), dataset=name))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"difficulty": "mediun"}, "did you mean 'medium'"),
        ({"corner": "top"}, "allowed are top-left, top-right"),
        ({"spurious_strength": 0.0}, "spurious-strength is 0.0"),
        ({"spurious_strength": 1.01}, "spurious-strength is 1.01"),
        ({"spurious_strength": float("nan")}, "spurious-strength is nan"),
        ({"label_noise": -0.1}, "label-noise is -0.1"),
        ({"core_noise": 2.0}, "core-noise is 2.0"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replace(default_options("digits"), **change)
