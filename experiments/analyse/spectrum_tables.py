"""The tables about spectra: imbalance by setting and class, its correlation with accuracies, and what is missing."""

from collections import Counter
from collections.abc import Sequence

from experiments.analyse.spectrum import Analysed, BySetting, Names, points_of, provenance
from experiments.statistics import Estimate, mean_interval, spearman
from experiments.table import Table, points
from fedjtt.spectrum import GroupSpectrum, Imbalance

NO_NUMBER = "–"
_MEANING = (
    "rho: largest eigenvalue of the covariance (divided by n) of what the last layer sees of the class's smallest "
    "train group that is not empty, over that of its largest (LaBonte et al. 2024). Rows: what these covariances are "
    "over; of a handful of rows the largest eigenvalue is a rough guess. Difference: accuracy on test of "
    "the largest group less that of the smallest, in percentage points. Mean ± half of the 95 % Student-t interval "
    "over seeds."
)


def imbalance_table(settings: BySetting, names: Names) -> Table:
    """Return a row a setting and class."""
    columns = ("setting", "class", "minority / majority", "rows", "seeds", "λ₁ minority", "λ₁ majority", "rho",
               "rho by seed", "difference")  # fmt: skip
    rows = [
        (setting.label, *_class_cells(runs, label, names))
        for setting, runs in settings.items()
        for label in range(len(names.labels))
    ]
    caption = f"{_MEANING} Runs of {provenance(settings)}"
    return Table("Spectral imbalance by class", caption, columns, tuple(rows))


def _class_cells(runs: Sequence[Analysed], label: int, names: Names) -> tuple[str, ...]:
    own = [(each, each.spectra.classes[label]) for each in runs]
    known = [(each, imbalance) for each, imbalance in own if imbalance.rho is not None]
    pairs = Counter(_pair(imbalance, names) for _, imbalance in own)
    ends = [_ends(each, imbalance) for each, imbalance in known]
    rho = [imbalance.rho for _, imbalance in known if imbalance.rho is not None]
    apart = [value for each, imbalance in known if (value := each.difference(imbalance)) is not None]
    return (
        names.labels[label],
        "; ".join(pair if len(pairs) == 1 else f"{pair} ({times})" for pair, times in pairs.most_common()),
        " / ".join(_range([pair[side].n for pair in ends]) for side in (0, 1)) if ends else NO_NUMBER,
        str(len(known)),
        *(_shown(mean_interval(_largest(pair[side]) for pair in ends)) for side in (0, 1)),
        _shown(mean_interval(rho)),
        ", ".join(f"{value:.3g}" for value in rho) or NO_NUMBER,
        _in_points(mean_interval(apart)),
    )


def _pair(imbalance: Imbalance, names: Names) -> str:
    if imbalance.minority is None or imbalance.majority is None:
        return imbalance.why
    return f"{names.attributes[imbalance.minority]} / {names.attributes[imbalance.majority]}"


def _ends(each: Analysed, imbalance: Imbalance) -> tuple[GroupSpectrum, GroupSpectrum]:
    """Return the minority's and the majority's spectrum of a class that has a rho."""
    minority, majority = (each.group(imbalance.label, side) for side in (imbalance.minority, imbalance.majority))
    if minority is None or majority is None:
        raise RuntimeError("a class with a rho has a minority and a majority")
    return minority, majority


def _largest(group: GroupSpectrum) -> float:
    return (group.eigenvalues or (0.0,))[0]


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}–{high}"


def _shown(value: Estimate | None) -> str:
    if value is None:
        return NO_NUMBER
    return f"{value.mean:.3g}" + ("" if value.half is None else f" ± {value.half:.2g}")


def _in_points(value: Estimate | None) -> str:
    if value is None:
        return NO_NUMBER
    return points(value.mean) + ("" if value.half is None else f" ± {100 * value.half:.1f}")


def correlation_table(settings: BySetting) -> Table:
    """Return Spearman's correlation of rho with the accuracy difference, for every setting and for all together."""
    lines = {setting.label: points_of(runs) for setting, runs in settings.items()}
    if len(lines) > 1:
        lines["all settings"] = [point for found in lines.values() for point in found]
    rows = tuple(
        (name, str(len(found)), _correlation(found), f"{sum(rho >= 1 for _, rho, _ in found)} of {len(found)}")
        for name, found in lines.items()
    )
    caption = (
        "Spearman's rank correlation of rho with the accuracy difference over points, a point a run and class. Classes "
        "of one run share a model, so the points are not independent and there is no p-value; none with fewer than "
        "three points."
    )
    return Table("Spectral imbalance and accuracy", caption, ("setting", "points", "Spearman", "rho ≥ 1"), rows)


def _correlation(found: Sequence[tuple[int, float, float]]) -> str:
    value = spearman([rho for _, rho, _ in found], [difference for _, _, difference in found])
    return NO_NUMBER if value is None else f"{value:.2f}".replace("-", "−")


def remarks(settings: BySetting, names: Names) -> list[str]:
    """Return what has no number and why, and what was left out, each with how often."""
    said: Counter[str] = Counter()
    for each in (each for runs in settings.values() for each in runs):
        for imbalance in each.spectra.classes:
            if imbalance.rho is None:
                said[f"class {names.labels[imbalance.label]} has no rho: {imbalance.why}"] += 1
        for group in each.spectra.groups:
            called = f"group ({names.labels[group.label]}, {names.attributes[group.attribute]})"
            if group.n < group.rows:
                said[f"{called}: some rows are in no sum, for machines have fewer than min-count of them"] += 1
            if group.rows and group.eigenvalues is None:
                said[f"{called} has no spectrum: its covariance is over {group.n} rows, and needs 2"] += 1
    total = sum(map(len, settings.values()))
    return [f"{text} ({times} of {total} {'run' if total == 1 else 'runs'})" for text, times in said.items()]
