"""SICK: the counts of the file, by pandas, and what a small file in its layout becomes."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from fedjtt.api import simulate
from fedjtt.data.sick import load_sick
from fedjtt.data.tokens import hashed
from fedjtt.errors import DataError
from tests.data.made_texts import make_sick, options_of, sick_rows
from tests.tiny import tiny_config


def test_a_small_file(tmp_path: Path) -> None:
    splits = load_sick(make_sick(tmp_path))
    parts = (splits.train, splits.validation, splits.test)
    # 40 rows: 10 contradictions, 5 of them negated; of the other 30, 0, 10, 20 and 30 are negated, 10 and 30 of which
    # are even places: 0, 10, 20 and 30 are no contradictions, so 4.
    assert sum(part.group_counts() for part in parts).tolist() == [26, 4, 5, 5]  # type: ignore[union-attr]
    assert [len(part) for part in parts] == [24, 8, 8]
    ids = torch.cat([part.id for part in parts])
    assert sorted(ids.tolist()) == list(range(40))
    rows = sick_rows()
    for part in parts:
        for sentence, column in ((0, 1), (1, 2)):
            texts = [str(rows[place][column]) for place in part.id.tolist()]
            assert part.x[:, sentence].numpy().tolist() == hashed(texts, 12).tolist()
        assert part.label.tolist() == [int(rows[place][4] == "CONTRADICTION") for place in part.id.tolist()]


def test_the_parts_follow_the_seed_and_noise_the_train_labels(tmp_path: Path) -> None:
    options = make_sick(tmp_path)
    first, again, other = (load_sick(replace(options, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.test.id, again.test.id)
    assert first.test.id.tolist() != other.test.id.tolist()
    noisy = load_sick(replace(options, label_noise=0.25))
    assert int((noisy.train.label != first.train.label).sum()) == 6
    assert torch.equal(noisy.test.label, first.test.label)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ((4, "CONTRADICTON"), "row 5, column 'entailment_judgment': unknown value 'CONTRADICTON'; did you mean 'CONTR"),
        ((0, 2), r"row 5, column 'pair_ID': '2' stands in row 3 already; remove one of them"),
        ((2, "two\tcells"), "row 5, column 6: the header ends before it"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, damage: tuple[int, object], line: str) -> None:
    rows = [list(row) for row in sick_rows()]
    rows[3][damage[0]] = damage[1]
    with pytest.raises(DataError, match=rf"SICK\.txt, {line}") as caught:
        load_sick(make_sick(tmp_path, rows))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sick/SICK\.txt is missing; set --data-dir or FEDJTT_DATA"):
        load_sick(options_of("sick", tmp_path))
    path = make_sick(tmp_path).data_dir
    assert path is not None
    file = path / "sick" / "SICK.txt"
    file.write_text(file.read_text().replace("sentence_B", "sentenceB", 1))
    with pytest.raises(DataError, match=r"SICK\.txt, row 1: column 'sentence_B' is missing; did you mean 'sentenceB'"):
        load_sick(options_of("sick", path))


@pytest.mark.parametrize("method", ["jtt", "dfr"])
def test_a_run_on_it(tmp_path: Path, method: str) -> None:
    make_sick(tmp_path)
    chosen = {"dataset": "sick", "model": "auto", "max-length": 8, "data-dir": str(tmp_path), "method": method}
    config = tiny_config(**{key.replace("-", "_"): value for key, value in chosen.items()}, robust="federated")
    result = simulate(config).result
    assert sum(group["count"] for group in result["test"]["groups"]) == 8
    assert result["parameters"] == 2**14 * 32 + (4 * 32 + 1) * 64 + 65 * 2
    assert result["notes"] == simulate(config).result["notes"]
    assert result["digest"] == simulate(config.replace(workers=2)).result["digest"]


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Path:
    if not (data_dir / "sick").is_dir():
        pytest.skip("sick is not here: set FEDJTT_DATA to a folder that holds sick")
    return data_dir


def test_the_counts_of_the_real_file(real: Path) -> None:
    """9,927 pairs; 1,317 and 142 contradictions with and without a negation, 903 and 7,565 others."""
    frame = pd.read_csv(real / "sick" / "SICK.txt", sep="\t", quoting=3)
    splits = load_sick(options_of("sick", real, length=32))
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [5_957, 1_985, 1_985]
    assert sum(part.group_counts() for part in parts).tolist() == [7_565, 903, 142, 1_317]  # type: ignore[union-attr]
    words = ["no", "not", "nobody", "never", "nothing", "none", "without"]
    both = (frame["sentence_A"] + " " + frame["sentence_B"]).str.lower()
    negated = both.map(lambda text: "n't" in text or not set(words).isdisjoint(re.split("[^a-z]+", text)))
    for part in parts:
        assert part.attribute is not None
        assert part.attribute.tolist() == negated.iloc[part.id.numpy()].astype(int).tolist()
