"""MultiNLI: what one sentence says about another (Williams, Nangia and Bowman, NAACL 2018).

GLUE's three files with labels, 392,702, 9,815 and 9,832 pairs, as GroupDRO put them together (Sagawa et al. 2020): the
attribute is whether one of *nobody, no, never, nothing* stands in the second sentence, and ``metadata_random.csv``
has label, attribute and split (206,175 / 82,462 / 123,712) in the order of the three files. Without that file the
attribute is counted here by its rule, and the same shares, 50, 20 and 30 %, are drawn by seed, of every group alike.
"""

import string

import numpy as np

from fedjtt.data.csv_file import CsvFile, read_csv
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.published_table import draw_split, find_file, folder_of
from fedjtt.data.text_table import TextTable, coded, splits_of_texts, wrong
from fedjtt.errors import DataError

SENTENCES = tuple(f"glue_data/MNLI/{name}.tsv" for name in ("train", "dev_matched", "dev_mismatched"))
METADATA = "data/metadata_random.csv"
FIRST, SECOND, LABEL, NEGATED, SPLIT = "sentence1", "sentence2", "gold_label", "sentence2_has_negation", "split"
LABELS = ("contradiction", "entailment", "neutral")
NEGATIONS = frozenset(("nobody", "no", "never", "nothing"))
VALIDATION_SHARE, TEST_SHARE = 0.2, 0.3
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def load_multinli(options: DataOptions) -> Splits:
    """Return the three parts; an id is a row's place in the three files, one behind the other."""
    files = [
        read_csv(find_file(options, name), delimiter="\t", quotes=False, only=(FIRST, SECOND, LABEL))
        for name in SENTENCES
    ]
    first, second = ([row[place] for file in files for row in file.rows] for place in (0, 1))
    label = np.concatenate([coded(file, LABEL, LABELS) for file in files])
    notes: tuple[str, ...] = ()
    if (folder_of(options) / METADATA).is_file():
        attribute, split = _published(read_csv(find_file(options, METADATA)), files, label)
    else:
        attribute = np.array([is_negated(text) for text in second], dtype=np.int64)
        split = draw_split(label * 2 + attribute, 6, options, VALIDATION_SHARE, TEST_SHARE)
        notes = (f"multinli's {METADATA} is not there: the split is drawn by seed, and is not the published one",)
    table = TextTable(
        texts=(first, second),
        label=label,
        attribute=attribute,
        split=split,
        label_names=LABELS,
        attribute_names=("no negation", "negation"),
        notes=notes,
    )
    return splits_of_texts(table, options)


def is_negated(text: str) -> bool:
    """Return whether a negation stands in a text, word by word without punctuation, as GroupDRO counts it."""
    return not NEGATIONS.isdisjoint(text.translate(_NO_PUNCTUATION).lower().split(" "))


def _published(read: CsvFile, files: list[CsvFile], label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return attribute and split of the metadata file, once its labels are those of the sentences."""
    if len(read.rows) != len(label):
        raise DataError(
            f"{read.path} has {len(read.rows)} rows and the sentence files {len(label)}; one of them is not the "
            f"published one (412,349 rows)",
            f"{read.path.name}: another number of rows than the sentence files",
        )
    theirs = coded(read, LABEL, ("0", "1", "2"))
    if (theirs != label).any():
        row = int(np.argmax(theirs != label))
        owner, place = _place(files, row)
        raise wrong(
            read, row, LABEL, f"{LABELS[theirs[row]]} here, {LABELS[label[row]]} in {owner.path.name}, row "
            f"{owner.lines[place]}; the files are not in the same order",
        )  # fmt: skip
    return coded(read, NEGATED, ("0", "1")), coded(read, SPLIT, ("0", "1", "2"))


def _place(files: list[CsvFile], row: int) -> tuple[CsvFile, int]:
    """Return which file a row of all of them is in, and where."""
    for file in files:
        if row < len(file.rows):
            return file, row
        row -= len(file.rows)
    raise IndexError(row)
