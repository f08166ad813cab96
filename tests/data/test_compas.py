"""COMPAS: ProPublica's published counts, by pandas, and what a small file becomes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fedjtt.api import simulate
from fedjtt.data.compas import FILE, compas_schema, load_compas, numbered
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.sources import default_options
from fedjtt.errors import DataError
from tests.tiny import tiny_config

HEADER = (
    "id,name,sex,age,race,juv_fel_count,decile_score,juv_misd_count,juv_other_count,priors_count,"
    "days_b_screening_arrest,c_charge_degree,is_recid,score_text,decile_score,priors_count,two_year_recid"
)
RACES = ("African-American", "Caucasian", "Hispanic", "Asian", "Native American", "Other")


def row(place: int, **changes: object) -> str:
    values: dict[str, object] = {
        "id": place + 1, "name": "n", "sex": ("Male", "Female")[place % 2], "age": 20 + place % 40,
        "race": RACES[place % 6], "felonies": 0, "score": 3, "misdemeanours": 0, "others": 0, "priors": place % 7,
        "days": -1, "degree": "FM"[place % 2], "recid": 1, "text": "Low", "score2": 3, "priors2": place % 7,
        "label": place // 6 % 2,
    }  # fmt: skip
    return ",".join(str(value) for value in {**values, **changes}.values())


def written(folder: Path, rows: list[str], header: str = HEADER) -> DataOptions:
    (folder / "compas").mkdir(exist_ok=True)
    (folder / "compas" / FILE).write_text("\n".join([header, *rows, ""]))
    return replace(default_options("compas"), data_dir=folder)


def test_a_small_file(tmp_path: Path) -> None:
    splits = load_compas(written(tmp_path, [row(place) for place in range(120)]))
    # Every race 20 times, half of them with each label: groups of 10, 10 and 40, of which a fifth is held out twice.
    assert splits.train.group_counts().tolist() == [6, 6, 24, 6, 6, 24]
    assert splits.validation.group_counts().tolist() == splits.test.group_counts().tolist() == [2, 2, 8, 2, 2, 8]
    ids = torch.cat([splits.train.id, splits.validation.id, splits.test.id])
    assert sorted(ids.tolist()) == list(range(120))
    assert splits.attribute_names == ("African-American", "Caucasian", "other")
    age = 20 + splits.train.id.numpy() % 40
    np.testing.assert_allclose(splits.train.x[:, 0], (age - age.mean()) / age.std(), rtol=1e-5, atol=1e-6)
    # 5 numbers; sex, race and degree, each with an input for missing.
    assert splits.train.x.shape[1] == 5 + 3 + 4 + 3


@pytest.mark.parametrize(
    "changes",
    [{"days": 31}, {"days": -31}, {"days": ""}, {"recid": -1}, {"degree": "O"}, {"text": "N/A"}],
    ids=str,
)
def test_propublicas_filter(tmp_path: Path, changes: dict[str, object]) -> None:
    rows = [row(place) for place in range(59)]
    splits = load_compas(written(tmp_path, [*rows, row(59, **changes)]))
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 59
    kept = load_compas(written(tmp_path, [*rows, row(59, days=30)]))
    assert sum(len(part) for part in (kept.train, kept.validation, kept.test)) == 60


def test_the_scores_are_no_inputs_and_the_parts_follow_the_seed(tmp_path: Path) -> None:
    rows = [row(place) for place in range(60)]
    options = written(tmp_path, rows)
    first, other = load_compas(options), load_compas(replace(options, seed=1))
    assert first.test.id.tolist() != other.test.id.tolist()
    scored = load_compas(written(tmp_path, [row(place, score=place % 10, score2=place % 10) for place in range(60)]))
    assert torch.equal(first.train.x, scored.train.x)


@pytest.mark.parametrize(
    ("rows", "header", "line"),
    [
        ([row(0, age="old")], HEADER, r"two-years\.csv, row 2, column 'age': 'old' is not a number"),
        ([row(0, race="Martian")], HEADER, "row 2, column 'race': unknown value 'Martian'"),
        ([row(0), row(0)], HEADER, "row 3, column 'id': id '1' stands in row 2 already"),
        ([row(0, text="N/A")], HEADER, "none of its 1 rows satisfies keep"),
        ([row(0)], HEADER.replace("two_year_recid", "recid"), "column 'two_year_recid' is missing"),
        ([row(0)[:-2]], HEADER, "row 2, column 'two_year_recid': the row ends before it"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, rows: list[str], header: str, line: str) -> None:
    with pytest.raises(DataError, match=line) as caught:
        load_compas(written(tmp_path, rows, header))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"compas/{FILE} is missing; set --data-dir or FEDJTT_DATA"):
        load_compas(replace(default_options("compas"), data_dir=tmp_path))


def test_a_header_that_says_a_name_twice() -> None:
    assert numbered(("a", "b", "a", "a")) == ("a", "b", "a.1", "a.2")


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_a_run_on_it(tmp_path: Path, robust: str) -> None:
    folder = written(tmp_path, [row(place) for place in range(120)]).data_dir
    config = tiny_config(dataset="compas", data_dir=str(folder), robust=robust, partition="group-dirichlet")
    result = simulate(config).result
    assert [group["count"] for group in result["test"]["groups"]] == [2, 2, 8, 2, 2, 8]
    assert result["identification"]["minority"] == 2 * (6 + 6)  # all but the 24 of other, in either label
    assert config.difficulty == "auto"


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Path:
    if not (data_dir / "compas").is_dir():
        pytest.skip("compas is not here: set FEDJTT_DATA to a folder that holds compas")
    return data_dir


def test_the_published_counts(real: Path) -> None:
    """ProPublica: 7,214 rows, 6,172 after the filter, 2,809 of them with recidivism; 3,175 and 2,103 by race."""
    frame = pd.read_csv(real / "compas" / FILE, keep_default_na=False)
    assert len(frame) == 7_214
    assert (frame["priors_count"] == frame["priors_count.1"]).all()  # so it does not matter which is read
    splits = load_compas(replace(default_options("compas"), data_dir=real))
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [3_704, 1_234, 1_234]
    assert sum(int(part.label.sum()) for part in parts) == 2_809
    by_race = sum(part.group_counts().view(2, 3).sum(dim=0) for part in parts)
    assert by_race.tolist() == [3_175, 2_103, 6_172 - 3_175 - 2_103]  # type: ignore[union-attr]
    kept = frame.iloc[torch.cat([part.id for part in parts]).sort().values.numpy()]
    race = kept["race"].map({"African-American": 0, "Caucasian": 1}).fillna(2).astype(int)
    counts = kept.groupby([kept["two_year_recid"], race]).size().tolist()
    assert sum(part.group_counts() for part in parts).tolist() == counts  # type: ignore[union-attr]


def test_no_input_is_the_label(real: Path) -> None:
    """Also none that was written down after the screening, of which is_recid agrees with the label to 97 %."""
    splits: Splits = load_compas(replace(default_options("compas"), data_dir=real))
    train = splits.train
    assert torch.isfinite(train.x).all()
    agreement = ((train.x > 0).long() == train.label[:, None]).float().mean(dim=0)
    assert 0.3 < float(agreement.min()) < float(agreement.max()) < 0.7
    inputs = {*compas_schema().numeric, *(coded.column for coded in compas_schema().categorical)}
    after = {"two_year_recid", "is_recid", "is_violent_recid", "event", "end", "r_charge_degree"}
    assert not inputs & {*after, "decile_score", "score_text"}
