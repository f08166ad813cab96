"""The cache of decoded images: what it holds is what the files say, whoever wrote it and whoever was killed over it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fedjtt.data import row_file
from fedjtt.data.image_cache import ImageCache, cache_file
from fedjtt.data.image_files import ImageFiles, Pixels
from fedjtt.data.recipes import crop_and_resize
from fedjtt.errors import DataError
from tests.data.pictures import cut_short
from tests.tiny import REPO

IMAGES, SIZE = 12, 16
ROW = SIZE * SIZE * 3
ALL = np.arange(IMAGES)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """Random JPEGs, which decode to something else than they were made of."""
    (tmp_path / "pictures").mkdir()
    for number in range(IMAGES):
        write(tmp_path / "pictures" / f"{number}.jpg", number)
    return ImageFiles(tmp_path / "pictures", [f"{number}.jpg" for number in range(IMAGES)], crop_and_resize, SIZE)


def write(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)


def opened(files: ImageFiles) -> ImageCache:
    return ImageCache(files, files.stamps(), cache_file(files.root.parent / "cache", "waterbirds", files))


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the rows that are decoded."""
    rows: list[int] = []
    original = ImageFiles.decoded

    def noting(self: ImageFiles, row: int) -> Pixels:
        rows.append(row)
        return original(self, row)

    monkeypatch.setattr(ImageFiles, "decoded", noting)
    return rows


def test_a_second_epoch_reads_no_image(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, cache = files.read(ALL), opened(files)
    decoded = count_decoding(monkeypatch)
    mixed = np.array([5, 3, 5, 0])
    np.testing.assert_array_equal(cache.read(mixed), expected[mixed])
    assert sorted(decoded) == [0, 3, 5]
    np.testing.assert_array_equal(cache.read(ALL), expected)
    assert sorted(decoded) == ALL.tolist()
    for name in files.names:  # not even opened
        (files.root / name).chmod(0)
    np.testing.assert_array_equal(cache.read(ALL[::-1]), expected[::-1])
    np.testing.assert_array_equal(opened(files).read(ALL), expected)
    assert len(decoded) == IMAGES
    assert cache.shape == files.shape


def test_the_file_grows_only_where_rows_are_written(files: ImageFiles) -> None:
    big = ImageFiles(files.root, files.names, crop_and_resize, 512)
    cache = opened(big)
    assert cache.path.stat().st_size == IMAGES * (512 * 512 * 3 + 4)  # pixels, and a mark of 4 bytes
    before = cache.path.stat().st_blocks * 512
    cache.read(ALL[:1])
    grown = cache.path.stat().st_blocks * 512 - before
    assert 512 * 512 * 3 <= grown < 2 * 512 * 512 * 3
    assert cache.path.name.startswith("waterbirds-512px-")


def test_a_row_that_was_left_half_written_is_decoded_again(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, path = files.read(ALL), opened(files).path

    def killed(descriptor: int, content: memoryview, offset: int) -> None:
        os.pwrite(descriptor, content[: len(content) // 2], offset)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(row_file, "_write_at", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(files).read(ALL[4:])
    assert path.read_bytes()[4 * ROW : 4 * ROW + ROW // 2] == expected[4].tobytes()[: ROW // 2]
    np.testing.assert_array_equal(opened(files).read(ALL), expected)


@pytest.mark.parametrize("place", [7 * ROW + 100, IMAGES * ROW + 4 * 7])
def test_a_row_that_the_disk_damaged_is_decoded_again(
    files: ImageFiles, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A byte of row 7's pixels, and one of its mark."""
    cache = opened(files)
    expected = cache.read(ALL)
    content = bytearray(cache.path.read_bytes())
    content[place] ^= 1
    cache.path.write_bytes(content)
    decoded = count_decoding(monkeypatch)
    np.testing.assert_array_equal(opened(files).read(ALL), expected)
    assert decoded == [7]


def test_a_replaced_image_is_decoded_again(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(files).read(ALL)
    write(files.root / "2.jpg", 99)
    decoded = count_decoding(monkeypatch)
    read = opened(files).read(ALL)
    assert decoded == [2]
    np.testing.assert_array_equal(read, files.read(ALL))


def test_a_file_that_was_cut_short_is_filled_again(files: ImageFiles) -> None:
    cache = opened(files)
    expected = cache.read(ALL)
    os.truncate(cache.path, 3 * ROW + 5)
    np.testing.assert_array_equal(opened(files).read(ALL), expected)


def test_many_reads_are_let_go_of(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file, "RESIDENT_BYTES", 3 * ROW)
    cache, expected = opened(files), files.read(ALL)
    for _ in range(3):
        for row in ALL:
            np.testing.assert_array_equal(cache.read(ALL[row : row + 1])[0], expected[row])


# A process of its own that opens the cache, says so, waits for a line and then reads all rows, once or for ever.
READER = """
import sys
from pathlib import Path
import numpy as np
from fedjtt.data.image_cache import ImageCache, cache_file
from fedjtt.data.image_files import ImageFiles
from fedjtt.data.recipes import crop_and_resize
root, images, size, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
files = ImageFiles(root, [f"{row}.jpg" for row in range(images)], crop_and_resize, size)
cache = ImageCache(files, files.stamps(), cache_file(root.parent / "cache", "waterbirds", files))
print("ready", flush=True)
sys.stdin.readline()
while times == "for-ever":
    for row in range(images):
        cache._rows.write(row, files.decoded(row))
print(int(cache.read(np.arange(images)).astype(np.int64).sum()))
"""


def reader(files: ImageFiles, times: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READER, str(files.root), str(IMAGES), str(SIZE), times]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_first_readers_at_once(files: ImageFiles) -> None:
    expected = files.read(ALL)
    processes = [reader(files, "once") for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=60)[0] for process in processes]
    assert said == [f"{expected.astype(np.int64).sum()}\n"] * 3
    np.testing.assert_array_equal(opened(files).read(ALL), expected)
    assert len(list((files.root.parent / "cache").iterdir())) == 1  # one file, and nothing left beside it


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_nothing_wrong(files: ImageFiles) -> None:
    expected = files.read(ALL)
    with reader(files, "for-ever") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        for _ in range(20):  # beside the writer
            np.testing.assert_array_equal(opened(files).read(ALL), expected)
        process.send_signal(signal.SIGKILL)
    np.testing.assert_array_equal(opened(files).read(ALL), expected)


def test_a_damaged_image_is_named_and_its_row_stays_open(files: ImageFiles) -> None:
    cut_short(files.root / "3.jpg")
    cache = opened(files)
    with pytest.raises(DataError, match=r"3\.jpg is damaged"):
        cache.read(ALL)
    write(files.root / "3.jpg", 3)
    np.testing.assert_array_equal(opened(files).read(ALL), files.read(ALL))


def free(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let every disk have this much free."""
    monkeypatch.setattr(row_file.shutil, "disk_usage", lambda _: SimpleNamespace(free=room))


def test_a_disk_that_is_too_small_is_one_line(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    big = ImageFiles(files.root, files.names, crop_and_resize, 20_000)  # 12 x 1.2 GB
    free(monkeypatch, 1_500_000_000)
    with pytest.raises(
        DataError, match=r"cache has 1\.5 GB free, and decoded images need 14\.4 GB; name .* image-cache"
    ):
        opened(big)
    free(monkeypatch, 0)
    with pytest.raises(DataError, match=r"0\.0 GB free"):
        opened(files)


def test_what_is_there_already_needs_no_more_room(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    big = ImageFiles(files.root, files.names, crop_and_resize, 256)
    expected = opened(big).read(ALL)
    free(monkeypatch, 0)
    np.testing.assert_array_equal(opened(big).read(ALL), expected)


def test_a_disk_that_fills_up_is_one_line(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = opened(files)
    monkeypatch.setattr(row_file, "_write_at", full)
    with pytest.raises(DataError, match=rf"cannot be kept in {cache.path}: No space left on device; name another"):
        cache.read(ALL)


def test_a_place_that_is_no_folder_is_one_line(files: ImageFiles) -> None:
    (files.root.parent / "cache").write_text("")
    with pytest.raises(DataError, match=r"cannot be kept in .*; name another folder as image-cache"):
        opened(files)
