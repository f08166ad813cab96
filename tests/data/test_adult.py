"""Adult: the files' published counts, by pandas, and what a small file in either form becomes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fedjtt.data.adult import COLUMNS, TEST_FILE, TRAIN_FILE, adult_schema, load_adult
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.errors import DataError

PERSON = "{age}, Private, 77516, Bachelors, 13, Divorced, Sales, Wife, White, {sex}, 0, 0, 40, Cuba, {income}"


def people(count: int, stop: str = "") -> list[str]:
    """Rows in UCI's notation: two of five incomes are high, every second person is a man."""
    income = [(">50K" if place % 5 < 2 else "<=50K") + stop for place in range(count)]
    sex = ["Male" if place % 2 else "Female" for place in range(count)]
    return [PERSON.format(age=20 + place % 30, sex=sex[place], income=income[place]) for place in range(count)]


def written(folder: Path, train: list[str], test: list[str], header: bool = False) -> DataOptions:
    (folder / "adult").mkdir(exist_ok=True)
    names = [", ".join((*COLUMNS[:-1], "Y"))] if header else []
    (folder / "adult" / TRAIN_FILE).write_text("\n".join([*names, *train, "", ""]))
    comment = [] if header else ["|1x3 Cross validator"]
    (folder / "adult" / TEST_FILE).write_text("\n".join([*names, *comment, *test, ""]))
    return replace(default_options("adult"), data_dir=folder)


def equal(one: Splits, other: Splits) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("train", "validation", "test"))
    return all(
        torch.equal(getattr(a, column), getattr(b, column))
        for a, b in pairs
        for column in ("x", "label", "attribute", "id")
    )


def test_both_forms_of_the_files_are_the_same_data(tmp_path: Path) -> None:
    bare = load_adult(written(tmp_path, people(50), people(20, ".")))
    headed = load_adult(written(tmp_path, people(50), people(20, "."), header=True))
    assert equal(bare, headed)
    assert [len(part) for part in (bare.train, bare.validation, bare.test)] == [40, 10, 20]
    assert (bare.label_names, bare.attribute_names) == (("<=50K", ">50K"), ("women", "men"))
    # Rows 0 to 19 by (place % 5 < 2, place % 2): of 10, women 0 (high) 2 4 6 (high) 8, men 1 (high) 3 5 (high) 7 9.
    assert bare.test.group_counts().tolist() == [6, 6, 4, 4]
    # Of groups of 15, 15, 10 and 10, a fifth.
    assert bare.validation.group_counts().tolist() == [3, 3, 2, 2]


def test_numbers_are_standardised_by_the_train_rows(tmp_path: Path) -> None:
    splits = load_adult(written(tmp_path, people(50), people(20, ".")))
    age = 20 + splits.train.id.numpy() % 30
    np.testing.assert_allclose(splits.train.x[:, 0], (age - age.mean()) / age.std(), rtol=1e-5, atol=1e-6)
    test_age = 20 + splits.test.id.numpy() % 30
    np.testing.assert_allclose(splits.test.x[:, 0], (test_age - age.mean()) / age.std(), rtol=1e-5, atol=1e-6)
    # 5 numbers, then for every category one more, of those that are missing, which none is.
    sizes = [len(coded.values) + 1 for coded in adult_schema().categorical]
    assert sizes == [9, 17, 8, 15, 7, 6, 3, 42]
    assert splits.train.x.shape[1] == 5 + sum(sizes)
    assert (splits.train.x[:, 5:].sum(dim=1) == len(sizes)).all()


def test_a_row_with_an_unknown_value_is_left_out_and_the_weight_is_no_input(tmp_path: Path) -> None:
    rows = people(50)
    unknown = [row.replace("Sales", "?") if place == 7 else row for place, row in enumerate(rows)]
    splits = load_adult(written(tmp_path, unknown, people(20, ".")))
    assert len(splits.train) + len(splits.validation) == 49
    assert 7 not in [*splits.train.id.tolist(), *splits.validation.id.tolist()]
    weighed = [row.replace("77516", str(place)) for place, row in enumerate(rows)]
    assert equal(
        load_adult(written(tmp_path, weighed, people(20, "."))), load_adult(written(tmp_path, rows, people(20, ".")))
    )


def test_the_validation_part_follows_the_seed_and_noise_the_train_labels(tmp_path: Path) -> None:
    options = written(tmp_path, people(50), people(20, "."))
    first, again, other = (load_adult(replace(options, seed=seed)) for seed in (0, 0, 1))
    assert equal(first, again)
    assert first.validation.id.tolist() != other.validation.id.tolist()
    assert torch.equal(first.test.id, other.test.id)
    noisy = load_adult(replace(options, label_noise=0.25))
    assert int((noisy.train.label != first.train.label).sum()) == 10
    assert torch.equal(noisy.validation.label, first.validation.label)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (("20,", "young,"), r"adult\.data, row 1, column 'age': 'young' is not a number"),
        (("Divorced", "Divorcd"), r"row 1, column 'marital-status': unknown value 'Divorcd'; did you mean 'Divorced'"),
        ((">50K", "50K"), r"row 1, column 'income': unknown value '50K'"),
        ((", Cuba", ""), r"row 1, column 'income': the row ends before it"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: tuple[str, str], line: str) -> None:
    rows = people(20)
    with pytest.raises(DataError, match=line) as caught:
        load_adult(written(tmp_path, [rows[0].replace(*damage), *rows[1:]], people(20, ".")))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    options = replace(default_options("adult"), data_dir=tmp_path)
    with pytest.raises(DataError, match=r"adult/adult\.data is missing; set --data-dir or FEDJTT_DATA") as caught:
        load_adult(options)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Path:
    if not (data_dir / "adult").is_dir():
        pytest.skip("adult is not here: set FEDJTT_DATA to a folder that holds adult")
    return data_dir


def frame_of(folder: Path, name: str) -> pd.DataFrame:
    frame = pd.read_csv(folder / "adult" / name, skipinitialspace=True, na_values="?", header=0, names=list(COLUMNS))
    frame["high"] = frame["income"].str.startswith(">")
    return frame


@pytest.fixture(scope="module")
def loaded(real: Path) -> Splits:
    return load_adult(replace(default_options("adult"), data_dir=real))


def test_the_published_counts(real: Path, loaded: Splits) -> None:
    """adult.names: 32,561 and 16,281 rows, 30,162 and 15,060 without unknown values; 24.78 % of these are high."""
    frames = [frame_of(real, name) for name in (TRAIN_FILE, TEST_FILE)]
    assert [len(frame) for frame in frames] == [32_561, 16_281]
    known = [frame.dropna() for frame in frames]
    assert [len(frame) for frame in known] == [30_162, 15_060]
    assert len(loaded.train) + len(loaded.validation) == 30_162
    assert len(loaded.test) == 15_060
    assert len(loaded.validation) == 6_032
    everyone = torch.cat([part.label for part in (loaded.train, loaded.validation, loaded.test)])
    assert float(everyone.double().mean()) == pytest.approx(0.2478, abs=5e-5)
    for frame, parts in zip(known, ((loaded.train, loaded.validation), (loaded.test,)), strict=True):
        counts = frame.groupby(["high", frame["sex"] == "Male"]).size().tolist()
        assert sum(part.group_counts() for part in parts).tolist() == counts  # type: ignore[union-attr]
    assert int((frames[0]["high"] & (frames[0]["sex"] == "Female")).sum()) == 1_179


def test_no_input_is_the_label_and_none_is_infinite(loaded: Splits) -> None:
    for part in (loaded.train, loaded.validation, loaded.test):
        assert torch.isfinite(part.x).all()
        high = part.label.float()
        agreement = ((part.x > 0).float() == high[:, None]).float().mean(dim=0)
        assert 0.0 < float(agreement.min()) < float(agreement.max()) < 0.9
    assert "income" not in adult_schema().numeric
    assert "fnlwgt" not in adult_schema().columns
