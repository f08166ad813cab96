"""CivilComments as WILDS distributes it: toxic comments (Borkan et al. 2019; Koh et al., "WILDS", ICML 2021).

448,000 comments in ``all_data_with_identities.csv``, with the official split. Everything is a share of the raters, and
true from a half on. Methods train on four groups: toxic or not, and whether any identity is mentioned
(``identity_any``), as JTT and GroupDRO did (Liu et al. 2021). Evaluation has WILDS' sixteen, label by each of eight
identities that is mentioned; they overlap, because a comment may mention several, and comments without any are in none.
"""

import numpy as np

from fedjtt.data.cells import value_of
from fedjtt.data.csv_file import CsvFile, read_csv
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.published_table import find_file
from fedjtt.data.text_table import TextTable, check_unique, coded, splits_of_texts, wrong

FOLDER, FILE = "civilcomments_v1.0", "all_data_with_identities.csv"
ID, TEXT, SPLIT, LABEL, ANY = "id", "comment_text", "split", "toxicity", "identity_any"
SPLITS = ("train", "val", "test")
IDENTITIES = ("male", "female", "LGBTQ", "christian", "muslim", "other_religions", "black", "white")
HALF = 0.5


def load_civilcomments(options: DataOptions) -> Splits:
    """Return the three parts; an id is a row's place in the file."""
    read = read_csv(find_file(options, FILE, FOLDER), only=(ID, TEXT, SPLIT, LABEL, ANY, *IDENTITIES))
    check_unique(read, ID)
    place = read.index_of(TEXT, TEXT)
    table = TextTable(
        texts=([row[place] for row in read.rows],),
        label=_majority(read, LABEL).astype(np.int64),
        attribute=_majority(read, ANY).astype(np.int64),
        split=coded(read, SPLIT, SPLITS),
        label_names=("not toxic", "toxic"),
        attribute_names=("no identity", "any identity"),
        memberships=np.stack([_majority(read, name) for name in IDENTITIES], axis=1),
        kind_names=IDENTITIES,
    )
    return splits_of_texts(table, options)


def _majority(read: CsvFile, column: str) -> np.ndarray:
    """Return where at least half of the raters said so, bool ``[n]``; what nobody was asked is no."""
    place = read.index_of(column, column)
    shares = [value_of(row[place]) if row[place] else 0.0 for row in read.rows]
    for row, share in enumerate(shares):
        if isinstance(share, str) or not 0 <= share <= 1:
            raise wrong(read, row, column, f"{read.rows[row][place]!r} is not a share from 0 to 1")
    return np.array(shares, dtype=np.float64) >= HALF
