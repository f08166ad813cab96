"""Texts as numbers: words hashed into a fixed number of buckets, the same on every machine without seeing its texts.

A vocabulary that is counted from texts would have to be agreed on before the first round, and a machine that says which
words it has says much about its texts. A hash needs no agreement and no exchange: a word has the same number wherever
it stands, and one that nobody has seen in training has a number too. The price is that some words share one (feature
hashing, Weinberger et al. 2009): of 2,325 words, as SICK has, 13 in a hundred.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

PADDING = 0
"""The number of the places behind a text's last word."""

BUCKETS = 2**14
"""Numbers that there are, padding included."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case; ``isn't`` is one word, and punctuation is none."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text.lower())]


@lru_cache(maxsize=2**18)
def bucket_of(word: str) -> int:
    """Return a word's number, 1 to ``BUCKETS - 1``: a function of its letters alone.

    Python's own ``hash`` has other values in every process.
    """
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % (BUCKETS - 1)


def hashed(texts: Sequence[str], length: int) -> np.ndarray:
    """Return the numbers of the texts' first words, int32 ``[n, length]``, with padding behind the last."""
    tokens = np.full((len(texts), length), PADDING, dtype=np.int32)
    for row, text in enumerate(texts):
        numbers = [bucket_of(word) for word in words_of(text)[:length]]
        tokens[row, : len(numbers)] = numbers
    return tokens
