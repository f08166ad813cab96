"""The stage cache: what is saved comes back, half a file does not."""

from pathlib import Path

import numpy as np
import pytest

from fedjtt.cache import CACHE_VARIABLE, StageCache, pack_json, unpack_json


def test_arrays_come_back_with_their_types(tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "deep" / "cache")
    assert cache.load("key") is None
    arrays = {"bits": np.array([1, 2], dtype=np.uint8), "ids": np.arange(3), "empty": np.zeros(0, dtype=np.int64)}
    cache.save("key", arrays)
    loaded = cache.load("key")
    assert loaded is not None
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert cache.load("other") is None


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    cache.save("key", {"a": np.arange(3)})
    cache.save("key", {"a": np.arange(4)})
    assert [path.name for path in tmp_path.iterdir()] == ["key.npz"]
    loaded = cache.load("key")
    assert loaded is not None
    assert len(loaded["a"]) == 4


@pytest.mark.parametrize("damage", ["empty", "half", "text"])
def test_a_damaged_file_counts_as_absent_and_is_written_anew(tmp_path: Path, damage: str) -> None:
    cache = StageCache(tmp_path)
    cache.save("key", {"a": np.arange(1000)})
    path = tmp_path / "key.npz"
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "text": b"not an archive"}[damage])
    assert cache.load("key") is None
    cache.save("key", {"a": np.arange(5)})
    assert cache.load("key") is not None


def test_the_environment_names_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert StageCache.from_environment() is None
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    cache = StageCache.from_environment()
    assert cache is not None
    assert cache.folder == tmp_path / "cache"
    assert not cache.folder.exists()  # made on the first save


def test_json_goes_round() -> None:
    value = {"seconds": 1.5, "list": [1, None, "ä"], "nested": {"a": True}}
    assert unpack_json(pack_json(value)) == value
