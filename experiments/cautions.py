"""What is odd about a run, and which keys of the configuration to try: judged from its facts alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.findings import Facts, Identification, Machine, percent
from experiments.statistics import wilson
from fedjtt.inference.guard import LARGEST_SHARE

# From where on something is named.
POOR = 0.5  # a precision or a recall below: most of what is upsampled, or should be, is the wrong thing
FEWEST = 5  # examples: a share of fewer says nothing of one machine; as many machines are named by number
APART = 0.1  # between validation and test
BEHIND = 0.2  # from the average down to the worst group
NEAR_CHANCE = 1.5  # times the accuracy of a guess, 1/K
UNLEARNED = 0.3  # of a guess's training loss, ln K
STUCK = 0.9  # of the first round's training loss, in the last
CLIMBING = 0.01  # by which the last round is better than all before
LOST = 0.05  # by which the best round is better than a last one that was kept
UNEVEN = 0.2  # in the machines' groups, unless that is chance (iid)
TIMES_LARGER = 3  # the largest machine beside the smallest


@dataclass(frozen=True)
class Caution:
    """Something odd, and what to try; `covers` is how the run's own notes call the same thing."""

    text: str
    advice: str
    covers: str | None = None


def cautions_of(facts: Facts) -> tuple[Caution, ...]:
    """Return what is odd, in the order of the stages."""
    found = facts.identification
    identifying = () if found is None else (*_of_set(facts, found), *_of_machines(facts, found))
    return (*identifying, *_of_upsampling(facts), *_of_rounds(facts), *_of_scores(facts))


def _now(facts: Facts, *keys: str) -> str:
    """Name config keys with the values that they have."""
    return " or ".join(f"{key} (now {facts.config[key]})" if key in facts.config else key for key in keys)


def _on(machines: Sequence[Machine], found: Identification) -> str:
    """Say on which machines, in words that fit one and many."""
    numbers = ", ".join(str(machine.number) for machine in machines[:FEWEST])
    more = f" and {len(machines) - FEWEST} more" if len(machines) > FEWEST else ""
    return f"on {len(machines)} of {len(found.machines)} machines (number {numbers}{more})"


def _steadier(facts: Facts, stage: str = "") -> str:
    """Return what keeps a stage from collapsing; its keys begin with `stage`."""
    clip_norm = facts.config.get(f"{stage}clip-norm", 0)
    clip = "" if 0 < clip_norm <= 1 else f", or {stage}clip-norm = 1 (now {clip_norm})"
    return f"a smaller {_now(facts, f'{stage}learning-rate')}{clip}"


def _longer(facts: Facts, found: Identification) -> str:
    steps = sorted(machine.steps for machine in found.machines) or [0]
    took = f"{steps[0]} steps" if steps[0] == steps[-1] else f"{steps[0]} to {steps[-1]} steps"
    known = f" (a machine's model took {took})" if found.machines else ""
    return (
        f"identify for longer{known}: "
        f"larger {_now(facts, 'identify-epochs', 'identify-min-steps')}; or {_steadier(facts, 'identify-')}"
    )


def _shorter(facts: Facts, found: Identification) -> str:
    advice = (
        f"smaller {_now(facts, 'identify-epochs', 'identify-min-steps')}; or a larger "
        f"{_now(facts, 'identify-weight-decay')}"
    )
    if found.how == "local" and len(found.machines) > 1:
        advice += "; or identify = federated, whose common model knows no machine's rare examples by heart"
    return advice


def _of_set(facts: Facts, found: Identification) -> Iterator[Caution]:
    """Look at the error set as a whole: left out, empty, or of the wrong examples."""
    if found.flaw:
        text = f"The identification model was useless in {found.tries} tries ({found.flaw}); its error set is left out"
        advice = f"{_steadier(facts, 'identify-')}; or larger {_now(facts, 'identify-epochs', 'identify-rounds')}; "
        yield Caution(f"{text}, so this is plain training.", f"{advice}or identify = local", "useless")
    elif found.errors == 0 and not (found.machines and all(machine.useless for machine in found.machines)):
        text = "The error set is empty: nothing is upsampled, so this is plain training."
        yield Caution(text, _shorter(facts, found), "error set is empty")
    elif found.errors and found.hits is not None and found.minority is not None:
        yield from _of_quality(facts, found, found.hits, found.minority)
    if found.tries > 1 and not found.flaw:
        yield Caution(
            "The identification model was useless at first; a second try was used.", _steadier(facts, "identify-")
        )


def _of_quality(facts: Facts, found: Identification, hits: int, minority: int) -> Iterator[Caution]:
    missed = minority - hits
    # What useless machines hold was not learned by heart: it was never looked for.
    sought = minority - sum(machine.minority or 0 for machine in found.machines if machine.useless)
    few = sought > 0 and hits < POOR * sought
    if hits < POOR * found.errors:
        text = f"Precision is {percent(found.precision)}: {found.errors - hits} of the {found.errors} upsampled "
        text += "examples are of the majority: the identification model is wrong about what it should know"
        also = f", and it misses {missed} of the {minority} minority examples." if few else "."
        yield Caution(text + also, _longer(facts, found))
    elif few:
        text = f"Recall is {percent(found.recall)}: {missed} of the {minority} minority examples are not in the error "
        text += "set"
        if sought < minority:
            text += f" ({minority - sought} of them on machines whose model was useless)"
        yield Caution(f"{text}: they were learned, by heart.", _shorter(facts, found))


def _of_machines(facts: Facts, found: Identification) -> Iterator[Caution]:
    """Look for machines that stand out, as far as the error set as a whole does not already say it."""
    useless = [machine for machine in found.machines if machine.useless]
    again = [machine for machine in found.machines if (machine.tries or 1) > 1 and not machine.useless]
    sound = [machine for machine in found.machines if not machine.useless]
    if useless:
        text = f"The identification model is useless {_on(useless, found)}: what it calls wrong is left out."
        yield Caution(text, _longer(facts, found), "useless")
    if again and not found.tries:
        text = f"The identification model was useless at first {_on(again, found)}; a second try was used."
        yield Caution(text, _steadier(facts, "identify-"))
    large = [machine for machine in sound if machine.errors > LARGEST_SHARE * machine.samples]
    if large:
        guarded = facts.config.get("identify-guard", True)
        guard = "" if guarded else "identify-guard = true, which leaves such sets out; or "
        text = f"More than a third of the examples are called wrong {_on(large, found)}, which is hardly a minority."
        yield Caution(text, guard + _longer(facts, found), "hardly a minority")
    if found.errors:
        yield from _of_sound_machines(facts, found, [machine for machine in sound if machine not in large])
    yield from _of_unevenness(facts, found)


def _of_sound_machines(facts: Facts, found: Identification, sound: Sequence[Machine]) -> Iterator[Caution]:
    peers = "identify = federated or peers, where a machine's data is not judged by its own model alone"
    none = [machine for machine in sound if machine.minority == 0]
    if none:
        wrong = sum(machine.errors for machine in none)
        text = (
            f"There is no minority example {_on(none, found)}: what is called wrong there ({wrong}) is of the majority."
        )
        advice = "a partition that gives each some"
        yield Caution(text, f"{advice}; or {peers}" if found.how == "local" else advice)
    silent = [machine for machine in sound if machine.errors == 0 and machine.minority != 0]
    if silent:
        text = f"Nothing is called wrong {_on(silent, found)}, so nothing there is upsampled."
        yield Caution(text, _shorter(facts, found))
    if (found.precision or 0) >= POOR:
        judged = [machine for machine in sound if machine.errors >= FEWEST and machine.minority]
        poor = [machine for machine in judged if machine.precision is not None and machine.precision < POOR]
        if poor:
            text = (
                f"Precision is below {100 * POOR:.0f} % {_on(poor, found)}; over all it is {percent(found.precision)}."
            )
            yield Caution(
                text, f"{_longer(facts, found)}; or {peers}" if found.how == "local" else _longer(facts, found)
            )
    if (found.recall or 0) >= POOR:
        judged = [machine for machine in sound if machine.errors and (machine.minority or 0) >= FEWEST]
        few = [machine for machine in judged if machine.recall is not None and machine.recall < POOR]
        if few:
            text = f"Recall is below {100 * POOR:.0f} % {_on(few, found)}; over all it is {percent(found.recall)}."
            yield Caution(text, _shorter(facts, found))


def _of_unevenness(facts: Facts, found: Identification) -> Iterator[Caution]:
    sizes = [machine.samples for machine in found.machines]
    partition = facts.config.get("partition")
    mixed = partition != "iid" and (found.unevenness or 0) > UNEVEN
    if not sizes or (not mixed and max(sizes) < TIMES_LARGER * max(1, min(sizes))):
        return
    text = f"The machines are uneven: {min(sizes)} to {max(sizes)} examples each"
    if found.unevenness is not None:
        text += f", unevenness of their groups {found.unevenness:.2f} (0: alike, 1: disjoint)"
    advice = f"partition = iid (now {partition}) with the same seed, to see what unevenness costs"
    if facts.robust.place == "federated":
        advice += f"; larger {_now(facts, 'robust-rounds')}; or aggregator = fedprox with proximal-mu = 0.1"
    yield Caution(f"{text}.", advice)


def _of_upsampling(facts: Facts) -> Iterator[Caution]:
    found, up = facts.identification, facts.upsampling
    if found is None or up is None or found.errors == 0:
        return
    given = facts.config.get("upsample", "auto") != "auto"
    auto = f"upsample = auto (now {facts.config['upsample']})" if given else ""
    if up.times == 1:
        text = f"No upsampling: the factor is 1 ({found.errors} of {found.examples} examples are called wrong)."
        larger = f"a larger {_now(facts, 'upsample-fraction')}; or a smaller error set: {_longer(facts, found)}"
        yield Caution(text, auto or larger, "factor is 1")
    elif _is_below_balance(facts) and _lag(facts) > BEHIND:
        text = f"The worst {facts.measure} is {_points(_lag(facts))} behind the average and the factor, {up.times}, is "
        text += f"below the balance point, {up.balance or 0:.1f}: the spurious attribute still predicts the label."
        fraction = f"upsample-fraction = {max(1, up.labels - 1)}, the balance point"
        now = facts.config.get("upsample-fraction")
        yield Caution(text, f"{auto} and {fraction}" if given else f"{fraction} (now {now})")


def _is_below_balance(facts: Facts) -> bool:
    """Return whether the factor falls short by more than its rounding down."""
    up = facts.upsampling
    return up is not None and up.balance is not None and up.times + 1 <= up.balance


def _lag(facts: Facts) -> float:
    worst, average = facts.worst_accuracy(), facts.scores["test"]["average-accuracy"]
    return 0.0 if worst is None or average is None else average - worst


def _more_training(facts: Facts) -> str:
    return f"a larger {_now(facts, 'robust-epochs', 'robust-min-steps')}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _of_rounds(facts: Facts) -> Iterator[Caution]:
    robust = facts.robust
    judged = {each.number: each.judged for each in robust.rounds if each.judged is not None}
    if len(judged) < 2 or robust.selected not in judged:
        return
    name, last = robust.measure.replace("-", " "), max(judged)
    kept = judged[robust.selected]
    before = max(value for number, value in judged.items() if number != last)
    longer = _more_training(facts)
    if robust.place == "federated" and facts.config.get("robust-schedule") == "same-epochs":
        longer += "; or robust-schedule = same-updates (now same-epochs: a machine takes its share of the steps only)"
    if robust.selection == "last":
        if before - kept > LOST:
            text = f"The last round is kept, but an earlier one had a better {name} on validation: {percent(before)} "
            yield Caution(f"{text}against {percent(kept)}.", "selection = val-worst-group, or val-worst-class")
    elif robust.selected == 1 and kept > 0:  # at 0, all rounds tie and none was chosen for its worst group
        text = f"The first of {last} rounds was selected ({name} on validation {percent(kept)}, in the last round "
        text += f"{percent(judged[last])}): its model is nearly untrained, or the later rounds overfit."
        better = "a better error set first, if its precision or recall is low; " if facts.identification else ""
        milder = f"a smaller {_now(facts, 'learning-rate')}, a larger {_now(facts, 'weight-decay')}"
        yield Caution(text, f"{better}{milder}; or {longer}")
    elif robust.selected == last and kept - before > CLIMBING:
        text = f"The last of {last} rounds was selected and was still climbing: {name} on validation {percent(kept)}, "
        yield Caution(f"{text}at best {percent(before)} before.", longer)


def _is_poor(found: Identification | None) -> bool:
    known = () if found is None else (found.precision, found.recall)
    return any(value is not None and value < POOR for value in known) or (found is not None and found.errors == 0)


def _of_lag(facts: Facts) -> Iterator[Caution]:
    """Say what holds the worst group back, unless it is the error set or the factor."""
    average, labels = facts.scores["test"]["average-accuracy"], len({group.label for group in facts.groups})
    behind = f"The worst {facts.measure} is {_points(_lag(facts))} behind the average"
    losses = [each.loss for each in facts.robust.rounds]
    stuck = len(losses) > 1 and losses[-1] > STUCK * losses[0]
    more = _steadier(facts) if stuck else f"{_more_training(facts)}; or another learning-rate"
    if average is not None and labels > 1 and average < NEAR_CHANCE / labels:
        text = f"The model hardly guesses better than chance: average accuracy {percent(average)} with {labels} labels."
        yield Caution(text, more)
    elif _lag(facts) <= BEHIND or _is_below_balance(facts) or _is_poor(facts.identification):
        return  # said already
    elif facts.config["method"] == "erm":
        yield Caution(f"{behind}: plain training takes the shortcut.", "method = jtt")
    elif losses and losses[-1] > UNLEARNED * math.log(labels):
        text = f"{behind} and the last round's training loss is {losses[-1]:.2f} (guessing: {math.log(labels):.2f}): "
        yield Caution(f"{text}the robust stage has not learned its own data.", more)
    else:
        shown = f" (training loss {losses[-1]:.2f})" if losses else ""
        enough = ", though the factor is enough" if facts.upsampling else ""
        text = f"{behind}{enough}: what was trained on is learned{shown} and does not carry over."
        other = " or a smaller upsample-fraction" if facts.upsampling else ""
        other += f" or another {_now(facts, 'rest-density')}" if facts.sparse else ""
        yield Caution(text, f"a larger {_now(facts, 'weight-decay')}{other}; more data of that {facts.measure}")


def _of_scores(facts: Facts) -> Iterator[Caution]:
    yield from _of_lag(facts)
    ours, theirs = facts.worst_accuracy("validation"), facts.worst_accuracy()
    if ours is not None and theirs is not None and abs(ours - theirs) > APART:
        text = f"The worst {facts.measure} differs by {_points(abs(ours - theirs))} between validation "
        text += f"({percent(ours)}) and test ({percent(theirs)})."
        yield Caution(text, f"{_chance(facts)}compare over seeds: fedjtt sweep --seeds 5 with the same settings")
    empty = [group for group in facts.groups if group.count == 0]
    unseen = [group for group in facts.groups if group.count and group.validation is None]
    for split, groups in (("test", empty), ("validation", unseen)):
        if groups:
            names = "; ".join(group.name for group in groups[:FEWEST]) + ("; …" if len(groups) > FEWEST else "")
            which = f"{len(groups)} of {len(facts.groups)} groups ({names})"
            text = f"There is no {split} example of {which}: the worst group leaves them out."
            yield Caution(text, f"more {split} data of them; until then read the worst group with care", f"{split}: ")


def _chance(facts: Facts) -> str:
    interval = wilson(facts.worst.correct, facts.worst.count) if facts.worst else None
    if facts.worst is None or interval is None:
        return ""
    half = _points((interval[1] - interval[0]) / 2)
    return f"with {facts.worst.count} test examples in the worst {facts.measure}, ±{half} is chance; "
