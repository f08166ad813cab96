from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from fedjtt.data.grouped import Splits, majority_attribute, minority_mask
from fedjtt.data.options import DataOptions, cache_dir
from fedjtt.data.sources import default_options
from fedjtt.data.spuco_mnist import FILES, find_files, load_spuco_mnist
from fedjtt.data.spurious import palette
from fedjtt.errors import DataError

# Digits 0 to 9 in MNIST's train file: 5923 6742 5958 6131 5842 5421 5918 6265 5851 5949. ceil(.8 n) of each:
TRAIN_DIGITS = [4739, 5394, 4767, 4905, 4674, 4337, 4735, 5012, 4681, 4760]
# Their pairs: 10133 9672 9011 9747 9441, in all 48,004; floor(.995 n_y) of those:
OWN_COLOUR = [10082, 9623, 8965, 9698, 9393]
MINORITY = 51 + 49 + 46 + 49 + 48  # n_y - floor(.995 n_y): 243


def tiny(data_dir: Path) -> DataOptions:
    return replace(default_options("spuco-mnist"), data_dir=data_dir)


@pytest.fixture(scope="module")
def mnist(mnist_dir: Path) -> Splits:
    return load_spuco_mnist(replace(default_options("spuco-mnist"), data_dir=mnist_dir))


def test_sizes_and_group_counts_on_real_mnist(mnist: Splits) -> None:
    assert [len(part) for part in (mnist.train, mnist.validation, mnist.test)] == [48004, 11996, 10000]
    counts = mnist.train.group_counts().view(5, 5)
    assert counts.diagonal().tolist() == OWN_COLOUR
    assert counts[0, 1:].sort().values.tolist() == [12, 13, 13, 13]  # 51 over four colours
    assert counts[2].sum() - counts[2, 2] == 46
    assert majority_attribute(mnist.train).tolist() == [0, 1, 2, 3, 4]
    assert int(minority_mask(mnist.train, torch.arange(5)).sum()) == MINORITY == 243
    for part in (mnist.validation, mnist.test):
        balance = part.group_counts().view(5, 5)
        assert (balance.max(1).values - balance.min(1).values).max() <= 1


def test_images_are_mnists_under_their_ids(mnist: Splits, mnist_dir: Path) -> None:
    source = MNIST(mnist_dir, train=True)  # the oracle: torchvision's own decoder
    digit = source.targets[mnist.train.id]
    assert torch.bincount(digit).tolist() == TRAIN_DIGITS
    assert torch.equal(mnist.train.label, digit // 2)
    ids = torch.cat([mnist.train.id, mnist.validation.id])
    assert ids.sort().values.tolist() == list(range(60000))
    assert (mnist.train.id.diff() > 0).all()
    rows = torch.arange(0, 48004, 97)
    assert torch.equal(mnist.train.x[rows, 1, 4:], source.data[mnist.train.id[rows], 4:])
    test = MNIST(mnist_dir, train=False)
    assert torch.equal(mnist.test.x[:, 0, :, :24], test.data[:, :, :24])
    assert mnist.test.id.tolist() == list(range(10000))


def test_memory_is_one_uint8_tensor(mnist: Splits) -> None:
    assert mnist.train.x.dtype == torch.uint8
    assert mnist.train.x.is_contiguous()
    assert mnist.train.x.untyped_storage().nbytes() == 48004 * 3 * 28 * 28


def test_same_seed_same_bytes_and_another_seed_differs(tiny_mnist: Path) -> None:
    options = replace(tiny(tiny_mnist), difficulty="variance-high", core_noise=0.2, label_noise=0.2)
    one, two = load_spuco_mnist(options), load_spuco_mnist(options)
    other = load_spuco_mnist(replace(options, seed=1))
    # 205 images, 20 or 21 of a digit: ceil(.8 n) is 16 or 17, so 5 * 17 + 5 * 16 = 165 train rows.
    assert [len(part) for part in (one.train, one.validation, one.test)] == [165, 40, 60]
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(one, part).x, getattr(two, part).x)
        assert not torch.equal(getattr(one, part).x, getattr(other, part).x)
    assert not torch.equal(one.train.id, other.train.id)


def test_the_digit_itself_may_be_painted(tiny_mnist: Path) -> None:
    behind = load_spuco_mnist(tiny(tiny_mnist))
    on = load_spuco_mnist(replace(tiny(tiny_mnist), difficulty="digit"))
    for part in ("train", "validation", "test"):  # another place for the colours, not other colours
        one, other = getattr(behind, part), getattr(on, part)
        assert torch.equal(one.id, other.id)
        assert torch.equal(one.group, other.group)
    source = MNIST(tiny_mnist, train=True).data[on.train.id]
    assert (on.train.x.permute(0, 2, 3, 1)[source == 0] == 0).all()  # the background stays black
    flat = on.train.x.permute(0, 2, 3, 1)[source >= 120]
    own = palette(5)[on.train.attribute].unsqueeze(1).unsqueeze(1).expand(-1, 28, 28, 3)[source >= 120]  # type: ignore[index]
    assert torch.equal(flat, own)


def test_global_generators_are_left_alone(tiny_mnist: Path) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load_spuco_mnist(replace(tiny(tiny_mnist), difficulty="variance-medium", label_noise=0.1))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


def one_line(data_dir: Path, name: str) -> str:
    with pytest.raises(DataError) as caught:
        load_spuco_mnist(tiny(data_dir))
    text = str(caught.value)
    assert str(data_dir / "MNIST" / "raw" / name) in text
    assert "\n" not in text
    assert all(hint in text for hint in ("--data-dir", "FEDJTT_DATA", "--download true"))
    return text


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tiny_mnist: Path, name: str) -> None:
    (tiny_mnist / "MNIST" / "raw" / name).unlink()
    assert "is missing" in one_line(tiny_mnist, name)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:7],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"\x1f\x8b" + content[2:],
        lambda content: b"<!DOCTYPE html><html>" + content,
    ],
    ids=["empty", "half a header", "truncated", "too long", "still zipped", "a web page"],
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(tiny_mnist: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = tiny_mnist / "MNIST" / "raw" / name
    path.write_bytes(damage(path.read_bytes()))
    assert "is damaged" in one_line(tiny_mnist, name)


def test_images_and_labels_must_belong_together(tiny_mnist: Path) -> None:
    raw = tiny_mnist / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").write_bytes((raw / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DataError, match="205 images and 60 labels"):
        load_spuco_mnist(tiny(tiny_mnist))


def test_a_label_above_nine_is_refused(tiny_mnist: Path) -> None:
    path = tiny_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataError, match="run to 10"):
        load_spuco_mnist(tiny(tiny_mnist))


def test_without_a_data_dir_the_users_cache_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "fedjtt"
    with pytest.raises(DataError, match=r"fedjtt/MNIST/raw/train-images-idx3-ubyte is missing"):
        load_spuco_mnist(default_options("spuco-mnist"))
    assert not (tmp_path / "fedjtt").exists()


def test_a_failed_download_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(_: MNIST) -> None:
        raise RuntimeError("Error downloading\ntrain-images")

    monkeypatch.setattr(MNIST, "download", no_network)
    with pytest.raises(DataError, match=r"downloaded to .*: Error downloading train-images; check the network"):
        find_files(tmp_path, download=True)


def test_nothing_is_downloaded_when_all_files_are_there(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "download", lambda _: pytest.fail("downloaded"))
    assert find_files(tiny_mnist, download=True) == tiny_mnist / "MNIST" / "raw"
