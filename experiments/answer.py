"""A report's first sentences: what distribution costs the worst group, or which method serves it best."""

from collections import Counter
from collections.abc import Sequence

from experiments.page import counted
from experiments.settings import Groups, Setting, on_one_machine, robust_modes
from experiments.statistics import Difference, estimate
from experiments.table import percent, points
from experiments.tables import WGA, wga_difference

_SEVERAL = 2
_NAMED = 4
"""Settings as good as the best that are named; more are counted."""


def question(groups: Groups) -> str:
    """Return what a page about these runs is about."""
    return "What distribution costs the worst group" if _spread(groups) else "Methods for the worst group"


def _spread(groups: Groups) -> list[Setting]:
    return [s for s in groups if s.get("method") == "jtt" and s.get("machines") > 1 and on_one_machine(s, groups)]


def answer(groups: Groups) -> str:
    """Say in a sentence or two what distribution costs the worst group, and whether the robust mode matters."""
    spread = _spread(groups)
    if not spread:
        return _other_answer(groups)
    if not any(row.get(WGA) for rows in groups.values() for row in rows):
        return "No run got the worst group right at all (0 % on test), so these runs cannot tell the settings apart."
    lines = Counter(s.without("machines") for s in spread)  # the variant that most machine counts have
    variant = max(lines, key=lambda line: lines[line])
    chosen = robust_modes(max((s for s in spread if s.without("machines") == variant), key=_machines), spread)
    most, further = _machines(chosen[0]), variant.without("method", "robust").label
    parts: list[str] = []
    for setting in chosen:
        reference = on_one_machine(setting, groups)
        difference = wga_difference(setting, reference, groups) if reference is not None else None
        if difference is not None:
            change, figures = _change(difference)
            parts.append(f"{change} with {setting.get('robust')} robust training ({figures})")
    if not parts:
        return _other_answer(groups)
    where = f" ({further})" if further else ""
    first = f"On {most} machines instead of one{where}, JTT's worst-group accuracy on test {' and '.join(parts)}."
    return first + _robust_matters(chosen, groups)


def _machines(setting: Setting) -> int:
    return int(setting.get("machines"))


def _change(difference: Difference) -> tuple[str, str]:
    """Return what a difference does to an accuracy, and the figures behind it."""
    over_seeds, seeds = difference.estimate, difference.estimate.n
    figures = f"{100 * difference.first:.1f} % instead of {100 * difference.second:.1f} %"
    if not any(difference.by_seed.values()):
        return "is the same in every seed", f"{figures}, {counted(seeds, 'seed')}"
    if over_seeds.half is None:
        return f"differs by {points(over_seeds.mean)} points", f"{figures}; one seed, so there is no interval"
    figures += f"; 95 % interval {points(over_seeds.low)} to {points(over_seeds.high)}, {seeds} paired seeds"
    if difference.covers_zero:
        return "is not distinguishable", f"{points(over_seeds.mean)} points, {figures}"
    return f"{'rises' if over_seeds.mean > 0 else 'falls'} by {100 * abs(over_seeds.mean):.1f} points", figures


def _robust_matters(chosen: Sequence[Setting], groups: Groups) -> str:
    sides = {setting.get("robust"): setting for setting in chosen}
    if not {"central", "federated"} <= sides.keys():
        return ""
    difference = wga_difference(sides["federated"], sides["central"], groups)
    if difference is None:
        return ""
    change, figures = _change(difference)
    return f" From central to federated robust training, on as many machines, it {change} ({figures})."


def _other_answer(groups: Groups) -> str:
    """Say which of several methods is best; where there is one, what is there and what is missing."""
    values = {setting: value for setting in groups if (value := estimate(groups[setting], WGA)) is not None}
    methods = {setting.without("robust", "machines") for setting in values}
    if len(methods) < _SEVERAL or not any(value.mean for value in values.values()):
        shown = "; ".join(_valued(setting, groups) for setting in list(values)[:_NAMED])
        why = "These runs do not say what distribution costs the worst group: JTT has to run on one and more machines."
        return f"{why} Worst-group accuracy on test: {shown or 'not known, no run has groups'}."
    best, *others = sorted(values, key=lambda setting: -values[setting].mean)
    alike = [other for other in others if _alike(best, other, groups)]
    said = f"The best worst-group accuracy on test has {_valued(best, groups)}."
    if alike:
        named = "; ".join(_valued(other, groups) for other in alike[:_NAMED])
        more = f"; and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
        said += f" Not distinguishable from it, paired by seed: {named}{more}."
    erms = [other for other in others if other.get("method") == "erm" and other not in alike[:_NAMED]]
    return " ".join([said, *(f"Beside it, {_valued(erm, groups)}." for erm in erms[:1])])


def _valued(setting: Setting, groups: Groups) -> str:
    return f"{setting.label}: {percent(estimate(groups[setting], WGA))} %"


def _alike(first: Setting, second: Setting, groups: Groups) -> bool:
    difference = wga_difference(first, second, groups)
    return difference is not None and difference.verdict not in ("higher", "lower")
