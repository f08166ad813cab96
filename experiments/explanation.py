"""An explanation on a terminal: verdict, groups, error set, upsampling, robust stage, costs and warnings."""

from collections.abc import Callable, Sequence
from statistics import median
from textwrap import fill

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.explain import Explanation
from experiments.findings import Facts, Group, Identification, Machine, Upsampling, percent
from experiments.results import method_name
from experiments.sparse_lines import sparse_lines
from experiments.statistics import wilson

LONGEST = 12
"""Machines that a table shows; of more, the worst."""
MOST_GROUPS = 36
"""Groups that a table shows; of more, the worst."""
ORIGINAL_FRACTION = 0.8

_RULES = {
    "last": "selection last",
    "val-worst-group": "best worst group on validation: selection val-worst-group",
    "val-worst-class": "best worst class on validation: selection val-worst-class",
    "val-average": "best average on validation: selection val-average",
    "val-bias-unsupervised": "best worst group of label and a short ERM run's prediction on validation: selection "
    "val-bias-unsupervised",
}


def show(explanation: Explanation, console: Console) -> None:
    """Print an explanation; the warnings come last, where a terminal leaves the reader."""
    facts = explanation.facts
    _say(console, _verdict(explanation), indent=0, style="bold")
    _say(console, _title(facts), indent=0)
    _print_groups(facts, console)
    if facts.identification is not None:
        _print_identification(facts.identification, console)
    if facts.upsampling is not None:
        _head(console, "Upsampling")
        for line in upsampling_lines(facts.upsampling):
            _say(console, line)
    if facts.sparse is not None:
        _head(console, "Sparse network")
        for line in sparse_lines(facts.sparse):
            _say(console, line)
    _head(console, "Robust stage")
    for line in robust_lines(facts):
        _say(console, line)
    _print_costs(facts, console)
    _print_warnings(explanation, console)


def _say(console: Console, text: str, indent: int = 2, style: str = "", lead: str = "") -> None:
    """Print a paragraph; its lines begin under the first word, whatever leads it."""
    first = " " * indent + lead
    wrapped = fill(text, console.width, initial_indent=first, subsequent_indent=" " * len(first),
                   break_on_hyphens=False, break_long_words=False)  # fmt: skip
    console.print(Text(wrapped, style=style), soft_wrap=True)


def _head(console: Console, text: str) -> None:
    console.print()
    _say(console, text, indent=0, style="bold")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _verdict(explanation: Explanation) -> str:
    facts = explanation.facts
    worst = f" ({facts.worst.name}: {facts.worst.correct} of {facts.worst.count})" if facts.worst else ""
    odd = len(explanation.warnings) + len(explanation.notes)
    return (
        f"Test worst-{facts.measure} accuracy {percent(facts.worst_accuracy())}{worst}, average "
        f"{percent(facts.scores['test']['average-accuracy'])}; "
        + (f"{_count(odd, 'warning')}, at the end." if odd else "nothing is odd.")
    )


def _title(facts: Facts) -> str:
    config = facts.config
    return (
        f"{method_name(config)}, robust stage {config['robust']}, {_count(config['machines'], 'machine')}, "
        f"{config['dataset']}, seed {config['seed']}"
    )


def _print_groups(facts: Facts, console: Console) -> None:
    shown: Sequence[Group] = facts.groups
    title = "Groups: accuracy in %, on test with its 95 % Wilson interval"
    if len(shown) > MOST_GROUPS:
        shown = sorted((group for group in shown if group.count), key=lambda group: group.accuracy or 0)[:MOST_GROUPS]
        title += f"; the worst {len(shown)} of {len(facts.groups)}"
    table = Table("label", "attribute", title=title, title_justify="left", title_style="bold")
    for name in ("test examples", "test", "interval", "validation"):
        table.add_column(name, justify="right")
    table.add_column("")
    lowest = None if facts.worst is None else facts.worst.accuracy
    for group in shown:
        table.add_row(
            str(group.label),
            "unknown" if group.attribute is None else str(group.attribute),
            str(group.count),
            _hundredths(group.accuracy),
            _interval(group),
            _hundredths(group.validation),
            "worst" if group.count and group.accuracy == lowest else "",
        )
    console.print()
    console.print(table)


def _hundredths(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _interval(group: Group) -> str:
    ends = wilson(group.correct, group.count)
    return "–" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _print_identification(found: Identification, console: Console) -> None:
    _head(console, f"Identification ({found.how})")
    for line in identification_lines(found):
        _say(console, line)
    if found.machines:
        console.print(_machine_table(found))


def identification_lines(found: Identification) -> list[str]:
    """Return what the error set came to, in sentences."""
    share = percent(found.errors / found.examples) if found.examples else "none"
    lines = [f"Error set: {found.errors} of {found.examples} train examples ({share})."]
    if found.minority is None or found.hits is None:
        lines.append("Precision and recall are unknown: the data does not tell the attribute.")
    else:
        lines.append(
            f"True minority: {found.minority} examples, {found.hits} of them in the error set: "
            f"precision {percent(found.precision)}, recall {percent(found.recall)}."
        )
    if found.rounds or found.tries:
        flaw = f"; left out: {found.flaw}" if found.flaw else ""
        tries = "1 try" if found.tries == 1 else f"{found.tries} tries"
        lines.append(f"One common model, {_count(found.rounds, 'round')} in all, {tries}{flaw}.")
    if not found.machines:
        lines.append("Nothing is known of single machines: under secure-aggregation the server sees sums.")
    return lines


_Cell = Callable[[Machine], float | None]
_COLUMNS: dict[str, tuple[_Cell, Callable[[float], str]]] = {
    "samples": (lambda machine: machine.samples, "{:g}".format),
    "errors": (lambda machine: machine.errors, "{:g}".format),
    "steps": (lambda machine: machine.steps, "{:g}".format),
    "minority": (lambda machine: machine.minority, "{:g}".format),
    "precision, %": (lambda machine: machine.precision, _hundredths),
    "recall, %": (lambda machine: machine.recall, _hundredths),
    "tries": (lambda machine: machine.tries, "{:g}".format),
}


def _machine_table(found: Identification) -> Table:
    """Return a row a machine; of many machines the worst, worst first, and how all of them spread."""
    many = len(found.machines) > LONGEST
    shown = sorted(found.machines, key=lambda machine: machine.quality)[:LONGEST] if many else found.machines
    title = f"The worst {LONGEST} of {len(found.machines)} machines, and all of them" if many else None
    columns = {
        name: column for name, column in _COLUMNS.items() if any(column[0](m) is not None for m in found.machines)
    }
    table = Table("machine", title=title, title_justify="left")
    for name in (*columns, "useless"):
        table.add_column(name, justify="right")
    for machine in shown:
        cells = [(value(machine), text) for value, text in columns.values()]
        known = ["–" if value is None else text(value) for value, text in cells]
        table.add_row(str(machine.number), *known, "yes" if machine.useless else "no")
    if many:
        table.add_section()
        for row in _spread(found, list(columns.values())):
            table.add_row(*row)
    return table


def _spread(found: Identification, columns: Sequence[tuple[_Cell, Callable[[float], str]]]) -> list[list[str]]:
    rows = []
    for name, over in (("min", min), ("median", median), ("max", max)):
        cells = [
            text(over([known for machine in found.machines if (known := value(machine)) is not None]))
            for value, text in columns
        ]
        rows.append([name, *cells, ""])
    rows[-1][-1] = f"{sum(machine.useless for machine in found.machines)} in all"
    return rows


def upsampling_lines(up: Upsampling) -> list[str]:
    """Return the factor beside the balance point, and what that means."""
    each = f"An error example stands {_count(up.times, 'time')} in an epoch (factor {up.factor})"
    if up.nominal is None or up.balance is None:
        return [f"{each}; without errors there is nothing to compare it with."]
    if up.nominal == 0:
        return [f"{each}; every example is called wrong, so none is used more than another."]
    lines = [
        f"{each}: {up.times / up.nominal:.2f} x nominal, where nominal = (N - |E|)/|E| = {up.nominal:.2f}; "
        f"the original takes {ORIGINAL_FRACTION} x nominal.",
    ]
    balance = f"the balance point, (K - 1) x nominal = {up.balance:.1f} with K = {up.labels} labels"
    if up.times + 1 <= up.balance:  # the factor is rounded down
        share = f"{100 * up.times / up.balance:.0f} %"
        lines.append(f"That is {share} of {balance}: below it, the spurious attribute still predicts the label.")
    elif up.times <= up.balance + 1:
        meaning = "the spurious attribute does not tell the label any more"
        lines.append(f"That is {balance}: {meaning}, as far as the error set is the minority.")
    else:
        meaning = "the label's own attribute now speaks against it"
        lines.append(f"That is above {balance}: {meaning}, as far as the error set is the minority.")
    return lines


def robust_lines(facts: Facts) -> list[str]:
    """Return how the robust stage went: rounds, steps, what was selected and validation by round."""
    robust, rule = facts.robust, _RULES.get(facts.robust.selection, f"selection {facts.robust.selection}")
    if not robust.rounds:
        return [f"Round {robust.selected} is kept ({rule}). No metrics.jsonl: how the rounds went is not known."]
    last = robust.rounds[-1]
    where = "on the server" if robust.place == "central" else "on every machine"
    lines = [f"{_count(last.number, 'round')}, {last.steps} steps {where}; round {robust.selected} is kept ({rule})."]
    known = [(each.worst, each.number) for each in robust.rounds if each.worst is not None]
    if known:
        best = max(known, key=lambda pair: pair[0])
        went = f"{percent(known[0][0])} in round {known[0][1]}, at best {percent(best[0])} in round {best[1]}, "
        went += f"{percent(known[-1][0])} in the last"
        if len({worst for worst, _ in known}) == 1:
            went = f"{percent(best[0])} in every round"
        lines.append(f"Validation worst-{facts.measure} accuracy: {went}.")
    lines.append(f"Training loss: {robust.rounds[0].loss:.2f} in the first round, {last.loss:.2f} in the last.")
    if robust.candidates > 1:
        lines.append(f"{robust.candidates} factors were tried, the best on validation is kept; the costs are of all.")
    return lines


def _print_costs(facts: Facts, console: Console) -> None:
    seconds = facts.seconds
    table = Table("stage", title="Costs", title_justify="left", title_style="bold")
    for name in ("CPU s, slowest", "CPU s, sum", "sent", "received"):
        table.add_column(name, justify="right")
    identify, total = seconds["identify"], seconds["identify"]["sum"] + seconds["robust-sum"]
    spent = {
        "identify": (identify["slowest"], identify["sum"]),
        "robust": (seconds["robust"], seconds["robust-sum"]),
        "total": (seconds["total"], total),
    }
    sums = tuple(sum(both[way] for both in facts.traffic.values()) for way in (0, 1))
    for stage, sizes in {**facts.traffic, "total": sums}.items():
        times = [f"{value:.1f}" for value in spent[stage]] if stage in spent else ["–", "–"]
        table.add_row(stage, *times, *(size(number) for number in sizes))
    console.print()
    console.print(table)


def size(number: int) -> str:
    """Return a number of bytes with a decimal unit."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} B"


def _print_warnings(explanation: Explanation, console: Console) -> None:
    if not explanation.warnings and not explanation.notes:
        _head(console, "Nothing is odd about this run.")
        return
    _head(console, "Warnings")
    given: dict[str, int] = {}
    for number, caution in enumerate(explanation.warnings, start=1):
        first = given.setdefault(caution.advice, number)
        advice = f"{caution.advice}." if first == number else f"as for {first}."
        _say(console, caution.text, lead=f"{number}. ")
        _say(console, advice, indent=2 + len(f"{number}. "), lead="Try: ")
    for number, note in enumerate(explanation.notes, start=len(explanation.warnings) + 1):
        _say(console, f"Noted by the run: {note}.", lead=f"{number}. ")
