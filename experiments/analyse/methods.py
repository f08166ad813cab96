"""Methods side by side: one row a method, central beside federated, what that costs, and the gap that it closes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from experiments import drawing
from experiments.config_keys import usual_values
from experiments.measures import bytes_of, human_bytes
from experiments.method_figures import wga_by_method
from experiments.options import check_place
from experiments.results import Row, read_exchanges
from experiments.settings import HYPER_PARAMETERS, Groups, Setting, on_the_server, read_settings
from experiments.statistics import Difference, by_seed, estimate, paired_difference
from experiments.table import Table, as_csv, as_markdown, as_rich, percent, points
from experiments.tables import WGA, provenance
from fedjtt.choices import FIXED_GROUPS, WITH_GROUPS
from fedjtt.tracking import write_atomically

_REFERENCES = ("erm", "group-dro")


def reads_groups(row: Row) -> str:
    """Say which split's group labels a run trains on; validation's, which `selection` may read, aside."""
    method, groups = row["config.method"], row.get("config.groups")
    if row.get("config.train-on") == "validation":
        return "validation" if method != "erm" else "none"
    if method == "dfr":
        return "validation" if groups == "true" else "none"
    kind = FIXED_GROUPS.get(method, groups if method in WITH_GROUPS else "")
    return "train" if kind == "true" else "none"


def comparison(groups: Groups, exchanges: Mapping[str, int]) -> Table:
    """Return one row a variant: WGA central and federated, paired difference, cost, and gap closed.

    The gap is that between ERM and GroupDRO on true groups, both central: a method that reaches the latter closes
    100 %. The cell holds the arithmetic, with means over the seeds that all three have.
    """
    variants: dict[Setting, dict[str, Setting]] = {}
    for setting in groups:
        variants.setdefault(setting.without("robust", "machines"), {})[_mode(setting)] = setting
    rows = [row for own in groups.values() for row in own]
    ends = _ends(groups)
    lines = []
    for variant, modes in variants.items():
        central, spread = modes.get("central"), modes.get("federated")
        if spread is not None and (twin := on_the_server(spread, groups)) is not None:
            central = twin  # on as many machines: the pair differs in nothing else
        shown = next(setting for setting in (central, spread) if setting is not None)
        lines.append((
            variant.without(*HYPER_PARAMETERS).label, variant.only(*HYPER_PARAMETERS).label or "–",
            reads_groups(groups[shown][0]), str(len(by_seed(groups[shown], WGA))),
            percent(estimate(groups[central], WGA)) if central else "–",
            percent(estimate(groups[shown], "test.average-accuracy")),
            percent(estimate(groups[spread], WGA)) if spread else "–",
            _paired(spread, central, groups),
            _bytes(groups[spread]) if spread else "–",
            _exchanges(groups[spread], exchanges) if spread else "–",
            "–" if central in ends.values() else _gap(groups[shown], [groups[end] for end in ends.values()]),
        ))  # fmt: skip
    columns = ("method", "set", "group labels", "seeds", "central WGA, %", "average, %", "federated WGA, %",
               "federated − central", "bytes", "exchanges", "gap closed")  # fmt: skip
    return Table("The methods side by side", _caption(rows), columns, tuple(lines))


def _mode(setting: Setting) -> str:
    return str(setting.get("robust"))


def _caption(rows: Sequence[Row]) -> str:
    machines = max(row["config.machines"] for row in rows)
    usual = ", ".join(f"{key} {value}" for key, value in usual_values(rows).items() if key in HYPER_PARAMETERS)
    return (
        f"WGA: worst-group accuracy. Group labels: of which split a method trains on. Federated: {machines} machines; "
        "the difference is paired by seed, in points. Bytes: what a federated run sends in both directions, all "
        "machines together; exchanges: messages to a machine, identification and evaluation included. Gap closed: from "
        f"central ERM to central GroupDRO on true groups.{f' Where not said: {usual}.' if usual else ''} "
        f"{provenance(rows)}"
    )


def _paired(spread: Setting | None, central: Setting | None, groups: Groups) -> str:
    if spread is None or central is None:
        return "–"
    found = paired_difference(by_seed(groups[spread], WGA), by_seed(groups[central], WGA))
    return "–" if found is None else f"{points(found.estimate.mean)}{_half(found)}"


def _half(found: Difference) -> str:
    return "" if found.estimate.half is None else f" ± {100 * found.estimate.half:.1f}"


def _bytes(rows: Sequence[Row]) -> str:
    value = bytes_of(rows)
    return "–" if value is None else human_bytes(value.mean)


def _exchanges(rows: Sequence[Row], exchanges: Mapping[str, int]) -> str:
    counts = [exchanges[row["run-id"]] for row in rows]
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"


def _ends(groups: Groups) -> dict[str, Setting]:
    """Return ERM and GroupDRO on true groups, central and trained on train; without one that did not run."""
    found: dict[str, Setting] = {}
    for setting, rows in groups.items():
        method, plain = setting.get("method"), setting.get("train-on", "train") == "train"
        true = method == "erm" or rows[0].get("config.groups") == "true"
        if method in _REFERENCES and _mode(setting) == "central" and plain and true:
            found.setdefault(method, setting)
    return {method: found[method] for method in _REFERENCES if method in found}


def _gap(rows: Sequence[Row], ends: Sequence[Sequence[Row]]) -> str:
    sides = [by_seed(each, WGA) for each in (rows, *ends)]
    seeds = set.intersection(*(set(side) for side in sides))
    if len(ends) < len(_REFERENCES) or not seeds:
        return "–"
    value, low, high = (100 * sum(side[seed] for seed in seeds) / len(seeds) for side in sides)
    if high - low <= 0:
        return "no gap"
    closed = f"{100 * (value - low) / (high - low):.0f} %".replace("-", "−")
    return f"{closed} = ({value:.1f} − {low:.1f}) / ({high:.1f} − {low:.1f})"


def methods_report(folder: Path, to: Path, console: Console) -> None:
    """Show the comparison of a sweep's methods; write methods.md, methods.csv and methods.png."""
    check_place(to)
    groups = read_settings(folder)
    table = comparison(groups, read_exchanges(folder))
    console.print(as_rich(table))
    write_atomically(to / "methods.md", as_markdown(table))
    write_atomically(to / "methods.csv", as_csv([table]))
    figure = wga_by_method(groups)
    if figure is not None:
        drawing.save(figure, to / "methods.png")
    console.print(f"written: {to}", soft_wrap=True, highlight=False)
