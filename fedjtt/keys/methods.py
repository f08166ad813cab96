"""What methods beside JTT are set by."""

from pydantic import Field

from fedjtt.choices import BALANCES, GROUPS
from fedjtt.keys.field import Auto, Keys, choice


class MethodKeys(Keys):
    """What methods beside JTT are set by."""

    groups: str = choice(
        "auto",
        ("auto", *GROUPS),
        "groups that balance, group-dro, dfr, d3m and rest work with; true: label and attribute; inferred: label and "
        "whether an example is in the error set that identify finds; class: labels; auto: inferred for rest, true for "
        "the others",
    )
    balance: str = choice(
        "upsample",
        BALANCES,
        "how balance does it; subset: every group cut to the smallest; upsample: drawn equally often; upweight: losses "
        "in inverse proportion; mixture: cut to mixture-ratio times the smallest, then drawn equally often",
    )
    mixture_ratio: float = Field(2.0, ge=1, description="largest group over the smallest after the cut of a mixture")
    mixture_cut: bool = Field(
        True,
        description="cut groups before a mixture is drawn; no: draw whole groups in the cut's proportions",
    )
    cvar_alpha: float = Field(
        0.1, gt=0, le=1, description="share of the examples, those with the largest losses, that cvar-dro minimises"
    )
    cvar_threshold: str = choice(
        "global",
        ("global", "batch"),
        "whose tail cvar-dro takes; global: over all machines, by a threshold that is learned; batch: of each batch",
    )
    dro_step: float = Field(0.01, gt=0, description="step of group-dro's, and agnostic's, weights")
    dro_adjustment: float = Field(
        0.0,
        ge=0,
        description="C of group-dro: a group of n train examples counts as if its loss were C / sqrt(n) larger",
    )
    dfr_penalty: float | Auto = Field(
        "auto",
        description="C of dfr's l1 logistic regressions, small is sparse; auto: the best of 1, .7, .3, .1, .07, .03 "
        "and .01 for the worst group, fitted on half of validation and judged on the other",
    )
    dfr_fits: int = Field(
        20, ge=1, description="fits on balanced subsets of validation that dfr's last layer is the mean of"
    )
    dfr_tolerance: float = Field(
        1e-6,
        gt=0,
        le=0.1,
        description="entry by which a fit of dfr may miss the conditions of its optimum; 1e-4 takes a tenth of the "
        "exchanges, which counts in a deployment",
    )
    rest_density: float = Field(
        0.05, gt=0, le=1, description="share of the weights, biases and norms apart, that rest trains; the others are 0"
    )
    rest_distribution: str = choice(
        "erk", ("erk", "uniform"), "density of rest's layers; erk: small layers are denser; uniform: all alike"
    )
    rest_grow: str = choice(
        "gradient",
        ("gradient", "momentum", "random"),
        "which dead weights grow where rest's smallest die; gradient: those with the largest, at the joined weights "
        "(RigL); momentum: with the largest momentum over the last round; random (SET)",
    )
    rest_period: int | Auto = Field(
        "auto",
        description="steps after which rest's mask changes, at the end of a round; auto: 1,000, or a tenth of the "
        "stage where that is less; over machines, where whole gradients travel, no sooner than every eighth round",
    )
    rest_rate: float = Field(
        0.5, gt=0, le=1, description="share of a layer's live weights that die in a change; falls to .005 by a cosine"
    )
    rest_exact_every: int = Field(
        1,
        ge=0,
        description="changes of rest's mask of which one, the first, sums the machines' whole gradients; for the "
        "others (0: all) a machine sends only its largest, as many as grow",
    )
    rest_weight: float | Auto = Field(
        "auto",
        description="lambda of rest: what an example that conflicts with the shortcut weighs; auto: by the paper's "
        "table, from their share",
    )
