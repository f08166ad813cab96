"""From a folder in the true layout to three parts, and what is planted in it to one line each."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedjtt.data.options import DataOptions
from fedjtt.data.sampling import gather, stored
from fedjtt.data.sources import SOURCES, default_options, load, look
from fedjtt.errors import DataError
from tests.data.pictures import add_line, change_line, cut_short, write_celeba, write_waterbirds

WRITERS = {"waterbirds": write_waterbirds, "celeba": write_celeba}
# three images of every group in each split, and twelve more of train's two majorities
TRAIN, EVEN = (15, 3, 3, 15), (3, 3, 3, 3)


@pytest.fixture(params=WRITERS)
def options(request: pytest.FixtureRequest, tmp_path: Path) -> DataOptions:
    WRITERS[request.param](tmp_path)
    changes = {"data_dir": tmp_path, "image_size": 20, "image_cache": str(tmp_path / "cache")}
    return replace(default_options(request.param), **changes)


def test_three_parts(options: DataOptions) -> None:
    splits = load(options)
    parts = (splits.train, splits.validation, splits.test)
    assert [tuple(part.group_counts().tolist()) for part in parts] == [TRAIN, EVEN, EVEN]
    assert sorted(torch.cat([part.id for part in parts]).tolist()) == list(range(36 + 24))
    for part in parts:
        assert part.x.shape == (len(part), 3, 20, 20)
        shown = stored(part.x, torch.arange(len(part))).float()
        # the fixture's pictures: a bright middle says the label, a red or green frame the attribute
        assert torch.equal((shown[:, :, 8:12, 8:12].mean((1, 2, 3)) > 100).long(), part.label)
        assert torch.equal((shown[:, 1, 1] > shown[:, 0, 1]).float().mean(1).round().long(), part.attribute)


def test_label_noise_is_for_train(options: DataOptions) -> None:
    clean, noisy = load(options), load(replace(options, label_noise=0.5))
    assert int((clean.train.label != noisy.train.label).sum()) == len(clean.train) // 2
    assert torch.equal(clean.validation.label, noisy.validation.label)


def test_kept_or_not_the_pixels_are_the_same(options: DataOptions) -> None:
    kept, anew = load(options), load(replace(options, image_cache="none"))
    rows = torch.tensor([4, 0, 17])
    assert torch.equal(gather(kept.train.x, rows), gather(anew.train.x, rows))
    assert len(list((options.root / "cache").iterdir())) == 1


def test_the_cache_is_in_the_users_cache_by_default(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    load(replace(options, image_cache=""))
    (file,) = (tmp_path / "home" / "fedjtt" / "images").iterdir()
    assert file.name.startswith(f"{options.dataset}-20px-")


def test_a_sound_folder_has_no_problems(options: DataOptions) -> None:
    found = look(options)
    assert (found.problems, found.notes) == ([], [])
    assert found.counts == {"train": TRAIN, "validation": EVEN, "test": EVEN}


def read_everything(options: DataOptions) -> None:
    splits = load(options)
    for part in (splits.train, splits.validation, splits.test):
        gather(part.x, torch.arange(len(part)))


def waterbirds_missing(place: Path) -> None:
    (place / "001.Black_footed_Albatross" / "Black_footed_Albatross_0003_703.jpg").unlink()


def waterbirds_cut(place: Path) -> None:
    cut_short(place / "001.Black_footed_Albatross" / "Black_footed_Albatross_0003_703.jpg")


def waterbirds_extra(place: Path) -> None:
    add_line(place / "metadata.csv", "61,118.House_Sparrow/House_Sparrow_0099_1.jpg,0,0,0,/l/land/1.jpg")


def waterbirds_twice(place: Path) -> None:
    add_line(place / "metadata.csv", (place / "metadata.csv").read_text().splitlines()[4])


def waterbirds_split(place: Path) -> None:
    change_line(place / "metadata.csv", 5, ",0,0,1,", ",0,3,1,")


def celeba_missing(place: Path) -> None:
    (place / "img_align_celeba" / "000004.jpg").unlink()


def celeba_cut(place: Path) -> None:
    cut_short(place / "img_align_celeba" / "000004.jpg")


def celeba_extra(place: Path) -> None:
    add_line(place / "list_eval_partition.csv", "000099.jpg,0")


def celeba_short(place: Path) -> None:
    path = place / "list_eval_partition.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def celeba_split(place: Path) -> None:
    change_line(place / "list_eval_partition.csv", 5, ",0", ",train")


PLANTED: list[tuple[str, Callable[[Path], None], str]] = [
    ("waterbirds", waterbirds_missing, r"/Black_footed_Albatross_0003_703\.jpg \(metadata\.csv, row 5\) is missing"),
    ("waterbirds", waterbirds_cut, r"/Black_footed_Albatross_0003_703\.jpg is damaged .*\(metadata\.csv, row 5\)$"),
    ("waterbirds", waterbirds_extra, r"/House_Sparrow_0099_1\.jpg \(metadata\.csv, row 62\) is missing"),
    ("waterbirds", waterbirds_twice, r"metadata\.csv, row 62, column 'img_filename': .* stands in row 5 already"),
    ("waterbirds", waterbirds_split, r"metadata\.csv, row 5, column 'split': '3' is unknown; allowed are 0, 1, 2"),
    ("celeba", celeba_missing, r"/000004\.jpg \(list_attr_celeba\.csv, row 5\) is missing"),
    ("celeba", celeba_cut, r"/000004\.jpg is damaged .*\(list_attr_celeba\.csv, row 5\)$"),
    ("celeba", celeba_extra, r"list_eval_partition\.csv, row 62, column 'image_id': '000099.jpg' is in no other list"),
    ("celeba", celeba_short, r"list_eval_partition\.csv has no row for '000060.jpg'; add it"),
    ("celeba", celeba_split, r"list_eval_partition\.csv, row 5, column 'partition': 'train' is unknown; allowed are"),
]


@pytest.mark.parametrize(("name", "damage", "line"), PLANTED, ids=[each[1].__name__ for each in PLANTED])
def test_planted_damage_is_one_line_that_names_the_file(
    tmp_path: Path, name: str, damage: Callable[[Path], None], line: str
) -> None:
    damage(WRITERS[name](tmp_path))
    options = replace(default_options(name), data_dir=tmp_path, image_size=8, image_cache=str(tmp_path / "cache"))
    (problem,) = look(options).problems
    assert re.search(line, problem)
    assert "\n" not in problem
    with pytest.raises(DataError) as caught:  # a run stops as well, at the latest when it comes to the image
        read_everything(options)
    assert str(caught.value).split(" (")[0] == problem.split(" (")[0].split("; get")[0]


def test_of_several_problems_a_run_names_the_first_and_says_how_many(tmp_path: Path) -> None:
    place = write_waterbirds(tmp_path)
    waterbirds_missing(place)
    waterbirds_split(place)
    options = replace(default_options("waterbirds"), data_dir=tmp_path)
    with pytest.raises(
        DataError, match=r"'3' is unknown; .* \(and 1 more; 'fedjtt data check waterbirds' names them\)"
    ):
        load(options)


def test_lists_without_images_are_looked_at_and_no_run_starts_on_them(tmp_path: Path) -> None:
    place = write_celeba(tmp_path)
    for image in (place / "img_align_celeba").iterdir():
        image.unlink()
    options = replace(default_options("celeba"), data_dir=tmp_path)
    found = look(options)
    assert (found.counts["train"], found.problems) == (TRAIN, [])
    (note,) = found.notes
    assert "none of the 60 images that" in note
    with pytest.raises(DataError, match=r"none of the 60 images .*; 'fedjtt data where celeba' says where to get them"):
        load(options)


def test_other_names_of_the_folder(tmp_path: Path) -> None:
    write_waterbirds(tmp_path, folder="waterbird_complete95_forest2water2")
    write_celeba(tmp_path, folder="celebA_v1.0")
    for name in WRITERS:
        options = replace(default_options(name), data_dir=tmp_path, image_cache="none")
        assert len(load(options).train) == sum(TRAIN)
        with pytest.raises(DataError, match=rf"{name}_v1\.0/.*\.csv is missing; set --data-dir or FEDJTT_DATA"):
            SOURCES[name].loader(replace(options, data_dir=tmp_path / "nowhere"))
