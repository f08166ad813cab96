"""Text datasets in their true layouts, a few rows each: what the loaders are tested on."""

import csv
from collections.abc import Sequence
from pathlib import Path

from fedjtt.data.options import DataOptions

SICK_HEADER = ("pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment")
# As all_data_with_identities.csv has them: an index without a name, then these and others between them.
CIVIL_HEADER = (
    "", "id", "split", "created_date", "publication_id", "toxicity", "severe_toxicity", "obscene", "sexual_explicit",
    "identity_attack", "insult", "threat", "male", "female", "transgender", "other_gender", "homosexual_gay_or_lesbian",
    "LGBTQ", "christian", "jewish", "muslim", "other_religions", "black", "white", "asian", "identity_any",
    "comment_text",
)  # fmt: skip
MNLI_HEADER = (
    "index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse",
    "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label",
)  # fmt: skip
MNLI_DEV_HEADER = (*MNLI_HEADER[:-1], "label2", "label3", "label4", "label5", "gold_label")
METADATA_HEADER = ("", "gold_label", "sentence2_has_negation", "split")
MNLI_FILES = ("train", "dev_matched", "dev_mismatched")


def options_of(dataset: str, folder: Path, seed: int = 0, length: int = 12) -> DataOptions:
    return DataOptions(dataset, folder, seed, max_length=length)


def written(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write rows as the suffix says: .tsv and .txt by tabs and without quotes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        return
    path.write_text("".join("\t".join(str(cell) for cell in row) + "\n" for row in rows))


def sick_rows(count: int = 40) -> list[tuple[object, ...]]:
    """Every fourth pair a contradiction, of which every second has a negation; so has every tenth of the others."""
    rows: list[tuple[object, ...]] = []
    for place in range(count):
        contradiction = place % 4 == 3
        negated = place % 8 == 7 if contradiction else place % 10 == 0
        second = f'A dog is{" not" if negated else ""} running in park {place}, said "Bob'
        judgement = "CONTRADICTION" if contradiction else ("NEUTRAL", "ENTAILMENT")[place % 2]
        rows.append((place + 1, f"A man plays {place}", second, 3.5, judgement))
    return rows


def make_sick(folder: Path, rows: Sequence[Sequence[object]] | None = None) -> DataOptions:
    written(folder / "sick" / "SICK.txt", [SICK_HEADER, *(sick_rows() if rows is None else rows)])
    return options_of("sick", folder)


def civil_rows(count: int = 30) -> list[list[object]]:
    """Two thirds train, a sixth each held out. Toxic every third; of men every second, of blacks every fifth."""
    rows: list[list[object]] = []
    for place in range(count):
        shares = dict.fromkeys(CIVIL_HEADER, "0.0") | {
            "": place,
            "id": 7_000_000 + place,
            "split": ("train", "train", "train", "train", "val", "test")[place % 6],
            "created_date": "2017-01-01 00:00:00+00",
            "toxicity": "0.5" if place % 3 == 0 else "0.49",
            "male": "1.0" if place % 2 == 0 else "",  # nobody was asked
            "black": "0.6" if place % 5 == 0 else "0.2",
            "identity_any": "1.0" if place % 2 == 0 or place % 5 == 0 else "0.0",
            "comment_text": f'Comment {place}: "quoted",\nand on a second line',
        }
        rows.append([shares[name] for name in CIVIL_HEADER])
    return rows


def make_civil(folder: Path, rows: Sequence[Sequence[object]] | None = None) -> DataOptions:
    path = folder / "civilcomments_v1.0" / "all_data_with_identities.csv"
    written(path, [CIVIL_HEADER, *(civil_rows() if rows is None else rows)])
    return options_of("civilcomments", folder)


LABELS = ("contradiction", "entailment", "neutral")


def mnli_rows(count: int, start: int = 0, dev: bool = False) -> list[list[object]]:
    """Labels in turn; every fourth second sentence has one of the four negations."""
    rows: list[list[object]] = []
    for place in range(start, start + count):
        label, word = LABELS[place % 3], ("Nobody", "no,", "NEVER", "nothing.")[place // 4 % 4]
        second = f'{word} came to "town {place}' if place % 4 == 0 else f"Notably, a cannon came {place}"
        parsed = [f"( a ) {place}"] * 4
        rows.append([place, f"{place}c", f"{place}e", "fiction", *parsed, f"He said {place}", second,
                     *([label] * (5 if dev else 1)), label])  # fmt: skip
    return rows


def metadata_rows(count: int) -> list[list[object]]:
    return [[place, place % 3, int(place % 4 == 0), (0, 0, 1, 2)[place // 2 % 4]] for place in range(count)]


def make_mnli(
    folder: Path, train: Sequence[Sequence[object]] | None = None, metadata: Sequence[Sequence[object]] | None = None
) -> DataOptions:
    """36 pairs of train, 6 of either dev file; without `metadata` the published split's file is left out."""
    files = (mnli_rows(36) if train is None else train, mnli_rows(6, 36, dev=True), mnli_rows(6, 42, dev=True))
    for name, rows in zip(MNLI_FILES, files, strict=True):
        header = MNLI_HEADER if name == "train" else MNLI_DEV_HEADER
        written(folder / "multinli" / "glue_data" / "MNLI" / f"{name}.tsv", [header, *rows])
    if metadata is not None:
        written(folder / "multinli" / "data" / "metadata_random.csv", [METADATA_HEADER, *metadata])
    return options_of("multinli", folder)
