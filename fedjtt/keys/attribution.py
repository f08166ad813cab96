"""How training examples' effects are measured, and what d3m removes by them."""

from typing import Literal

from pydantic import Field

from fedjtt.choices import ALIGNMENTS, REMOVED_BY
from fedjtt.keys.field import Keys, choice


class AttributionKeys(Keys):
    """How training examples' effects are measured, and what d3m removes by them."""

    d3m_remove: float | Literal["sign"] = Field(
        "sign",
        description="how many train examples d3m removes, the most harmful first; sign: all with a negative alignment; "
        "below 1 a share, from 1 a number",
    )
    d3m_remove_by: str = choice(
        "score",
        REMOVED_BY,
        "what d3m removes by; score: the alignment; for comparison random, or majority: random among each label's most "
        "frequent attribute",
    )
    d3m_alignment: str = choice(
        "released",
        ALIGNMENTS,
        "weight of a validation group with mean loss l in the alignment; paper: e^l over the sum of these; released: l "
        "over the number of groups, as in the authors' code",
    )
    d3m_models: int = Field(1, ge=1, description="ERM models, each of its own seed, that scores are averaged over")
    attribution_layers: str = choice("all", ("all", "last"), "weights that attribution takes gradients by")
    attribution_kernel: str = choice(
        "trak",
        ("trak", "newton"),
        "matrix between gradients; trak: their summed outer products; newton: these weighed by p (1 - p)",
    )
    attribution_ridge: float = Field(
        1.0, ge=0, description="added to the kernel, in units of its mean eigenvalue; 0: pseudo-inverse"
    )
    projection: str = choice(
        "factored",
        ("factored", "dense"),
        "random signs that gradients are projected by; factored: products of a sign a layer's input and one an output, "
        "a sixth of the time; dense: independent ones",
    )
    projection_dimension: int = Field(
        2048, ge=2, description="numbers that a gradient is projected to; a network of no more weights is not projected"
    )
    projection_dtype: str = choice("float32", ("float32", "float64"), "precision of gradients and projection")
