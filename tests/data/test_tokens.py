"""Words by their hash: the same in every process, and padding told from words."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from fedjtt.data.tokens import BUCKETS, PADDING, bucket_of, hashed, words_of
from tests.tiny import REPO


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man isn't here.", ["a", "man", "isn't", "here"]),
        ("It isn\u2019t", ["it", "isn't"]),
        ("well-known  2-year\tCAFÉ", ["well", "known", "2", "year", "café"]),
        ("'quoted' snake_case", ["quoted", "snake", "case"]),
        ("... --- !", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_words_number_is_its_hash() -> None:
    expected = 1 + int.from_bytes(hashlib.blake2b(b"dog", digest_size=8).digest(), "big") % (BUCKETS - 1)
    assert bucket_of("dog") == expected
    numbers = [bucket_of(f"word{place}") for place in range(50_000)]
    assert PADDING < min(numbers) < 20  # a number is no word's: 3 of 50,000 words a bucket
    assert BUCKETS - 20 < max(numbers) < BUCKETS


def test_another_process_has_the_same_numbers() -> None:
    """Python's own hash of a text has other values in every process."""
    program = "from fedjtt.data.tokens import bucket_of; print(bucket_of('machine'))"
    told = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert int(told.stdout) == bucket_of("machine")


def test_as_many_words_share_a_bucket_as_chance_has_it() -> None:
    """Of n words in b buckets, b (1 - (1 - 1/b)^n) buckets are hit; 2,325 words, as SICK has, hit 2,169 of 16,383."""
    hit = len({bucket_of(f"w{place}") for place in range(2_325)})
    size = BUCKETS - 1
    expected = size * (1 - (1 - 1 / size) ** 2_325)
    assert hit == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected / 2_325)))


def test_texts_are_cut_and_padded() -> None:
    tokens = hashed(["one two three", "", "two"], 2)
    one, two = bucket_of("one"), bucket_of("two")
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [[one, two], [PADDING, PADDING], [two, PADDING]]
