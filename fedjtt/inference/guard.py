"""Whether an error set can be a minority at all: judged from counts, without any group label."""

from collections.abc import Sequence

LARGEST_SHARE = 1 / 3
LOST_SHARE = 0.5


def flaw_of(errors: Sequence[int], sizes: Sequence[int]) -> str:
    """Return what is wrong with an error set, in words, or an empty string.

    A model that has not learned yet, or has collapsed, calls a large part of the data wrong, or more than half
    of a label that is not rare: more than it could learn from the label's own shortcut.

    Parameters
    ----------
    errors, sizes : sequence of int
        Examples called wrong and examples in all, of every label.
    """
    total = sum(sizes)
    if sum(errors) > LARGEST_SHARE * total:
        return f"{sum(errors)} of {total} examples are called wrong, which is hardly a minority"
    for label, (wrong, size) in enumerate(zip(errors, sizes, strict=True)):
        common = 2 * len(sizes) * size >= total
        if common and wrong > LOST_SHARE * size:
            return f"the model does not know label {label}: {wrong} of its {size} examples are called wrong"
    return ""
