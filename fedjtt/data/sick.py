"""SICK: pairs of sentences, of which one may contradict the other (Marelli et al., "A SICK cure", LREC 2014).

9,927 pairs of sentences, of which 1,459 contradict each other. The label is contradiction against the rest; the
attribute is whether a negation stands in either sentence, which is so in 1,317 of the 1,459 and in 903 of the other
8,468: a small set with the spurious feature of MultiNLI. (In the second sentence alone it stands in 664 of the 1,459,
because SICK has most of its pairs in both orders.)

The file has no split: 60, 20 and 20 % are drawn by seed, of every group alike.
"""

import re

import numpy as np

from fedjtt.data.csv_file import read_csv
from fedjtt.data.grouped import Splits
from fedjtt.data.options import DataOptions
from fedjtt.data.published_table import draw_split, find_file
from fedjtt.data.text_table import TextTable, check_unique, coded, splits_of_texts

FILE = "SICK.txt"
PAIR, FIRST, SECOND, JUDGEMENT = "pair_ID", "sentence_A", "sentence_B", "entailment_judgment"
JUDGEMENTS = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
VALIDATION_SHARE = TEST_SHARE = 0.2

NEGATION = re.compile(r"\b(?:no|not|nobody|never|nothing|none|without)\b|n't", re.IGNORECASE)


def load_sick(options: DataOptions) -> Splits:
    """Return the three parts; an id is a row's place in the file."""
    read = read_csv(find_file(options, FILE), delimiter="\t", quotes=False, only=(PAIR, FIRST, SECOND, JUDGEMENT))
    check_unique(read, PAIR)
    first, second = ([row[place] for row in read.rows] for place in (1, 2))
    label = (coded(read, JUDGEMENT, JUDGEMENTS) == JUDGEMENTS.index("CONTRADICTION")).astype(np.int64)
    negated = [bool(NEGATION.search(one) or NEGATION.search(other)) for one, other in zip(first, second, strict=True)]
    attribute = np.array(negated, dtype=np.int64)
    table = TextTable(
        texts=(first, second),
        label=label,
        attribute=attribute,
        split=draw_split(label * 2 + attribute, 4, options, VALIDATION_SHARE, TEST_SHARE),
        label_names=("no contradiction", "contradiction"),
        attribute_names=("no negation", "negation"),
    )
    return splits_of_texts(table, options)
