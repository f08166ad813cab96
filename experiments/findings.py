"""What a finished run's result says, as facts without judgement: groups, error set, upsampling, robust stage, costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.rounds import Line, kept_pass, passes
from fedjtt.methods.assess import SELECTION_SCORE

Result = Mapping[str, Any]


def percent(share: float | None) -> str:
    """Return a share as a percentage; ``unknown`` where there is none."""
    return "unknown" if share is None else f"{100 * share:.1f} %"


@dataclass(frozen=True)
class Group:
    """A group of test; the label alone where the attribute is not known.

    Attributes
    ----------
    validation : float or None
        Accuracy of the same group on validation; None where it has no example there.
    """

    label: int
    attribute: int | None
    count: int
    correct: int
    validation: float | None

    @property
    def name(self) -> str:
        """How sentences call it."""
        return f"label {self.label}" + ("" if self.attribute is None else f", attribute {self.attribute}")

    @property
    def accuracy(self) -> float | None:
        """Accuracy on test; None without examples."""
        return self.correct / self.count if self.count else None


@dataclass(frozen=True)
class Machine:
    """What one machine's identification came to; None where the attribute, or an older result, does not say it."""

    number: int
    samples: int
    errors: int
    steps: int
    minority: int | None
    precision: float | None
    recall: float | None
    tries: int | None
    useless: bool

    @property
    def quality(self) -> tuple[bool, bool, float]:
        """A key that sorts the worst machine first: useless, then without errors, then by precision and recall."""
        known = [value for value in (self.precision, self.recall) if value is not None]
        # Neither is known where nothing is minority and nothing called wrong, or where the data has no attribute.
        fallback = 1.0 if self.minority is not None else 1 - self.errors / max(1, self.samples)
        return not self.useless, self.errors > 0 or self.minority == 0, min(known, default=fallback)


@dataclass(frozen=True)
class Identification:
    """The error set against the true minority, where that is known.

    Attributes
    ----------
    hits : int or None
        Errors that are true minority.
    rounds, tries, flaw : int, int, str
        Of the common model, under ``identify = federated``; else 0, 0 and empty.
    """

    how: str
    examples: int
    errors: int
    minority: int | None
    hits: int | None
    precision: float | None
    recall: float | None
    unevenness: float | None
    rounds: int
    tries: int
    flaw: str
    machines: tuple[Machine, ...]


@dataclass(frozen=True)
class Upsampling:
    """How often an error example is used.

    Attributes
    ----------
    times : int
        Copies of an error example in an epoch, in all: the factor, or one more under ``extra``.
    nominal, balance : float or None
        (N − |E|)/|E|, and K − 1 times that: from there on the other attributes together stand beside a label as often
        as its own, so that the attribute says nothing about the label any more. None without errors.
    """

    factor: int
    times: int
    labels: int
    nominal: float | None
    balance: float | None


@dataclass(frozen=True)
class Round:
    """A round of the robust stage.

    Attributes
    ----------
    loss : float
        Mean over the round's batches, of the upsampled data.
    worst, judged, average : float or None
        On validation: the worst-group (else worst-class) accuracy, what selection looks at, and the average.
    """

    number: int
    steps: int
    loss: float
    worst: float | None
    judged: float | None
    average: float


@dataclass(frozen=True)
class RobustStage:
    """The robust stage that was kept; `candidates` is how many were trained, one for each factor tried."""

    place: str
    selection: str
    measure: str
    selected: int
    rounds: tuple[Round, ...]
    candidates: int


@dataclass(frozen=True)
class Facts:
    """A finished run; `worst` is the first of its worst groups, or of its worst labels where groups are unknown."""

    config: dict[str, Any]
    groups: tuple[Group, ...]
    worst: Group | None
    scores: dict[str, dict[str, Any]]
    identification: Identification | None
    upsampling: Upsampling | None
    robust: RobustStage
    seconds: dict[str, Any]
    traffic: dict[str, tuple[int, int]]
    notes: tuple[str, ...]
    sparse: Mapping[str, Any] | None = None

    @property
    def measure(self) -> str:
        """``group`` or ``class``: what the worst is the worst of."""
        return "class" if self.scores["test"]["worst-group-accuracy"] is None else "group"

    def worst_accuracy(self, split: str = "test") -> float | None:
        """Return the worst-group accuracy, or the worst-class accuracy where groups are unknown."""
        value: float | None = self.scores[split][f"worst-{self.measure}-accuracy"]
        return value


def facts_of(result: Result, history: Sequence[Line]) -> Facts:
    """Return what ``result.json`` and the lines of ``metrics.jsonl`` say."""
    groups = _groups(result)
    accuracies = [(group.accuracy, group) for group in groups if group.accuracy is not None]
    found = _identification(result)
    return Facts(
        config=dict(result["config"]),
        groups=groups,
        worst=min(accuracies, key=lambda pair: pair[0])[1] if accuracies else None,
        scores={split: {k: v for k, v in result[split].items() if k != "groups"} for split in ("test", "validation")},
        identification=found,
        upsampling=None if found is None or "upsample-factor" not in result["identification"] else _upsampling(result),
        robust=_robust(result, history),
        seconds=dict(result["seconds"]),
        traffic={
            stage: (both["sent"], both["received"])
            for stage, both in result["bytes"].items()
            if isinstance(both, Mapping)
        },
        notes=tuple(result["notes"]),
        sparse=result.get("sparse"),
    )


def _groups(result: Result) -> tuple[Group, ...]:
    validation = {
        (group["label"], group["attribute"]): group["correct"] / group["count"]
        for group in result["validation"]["groups"]
        if group["count"]
    }
    return tuple(
        Group(**group, validation=validation.get((group["label"], group["attribute"])))
        for group in result["test"]["groups"]
    )


def _identification(result: Result) -> Identification | None:
    found = result["identification"]
    if found is None:
        return None
    machines = tuple(_machine(number, machine) for number, machine in enumerate(found["machines"] or ()))
    minority = found.get("minority")
    # Recall names the hits as precision does, but is there where nothing was called wrong, too.
    hits = None if minority is None else round((found["recall"] or 0) * minority)
    return Identification(
        how=result["config"].get("identify", "local"),
        examples=found.get("samples", sum(machine.samples for machine in machines)),
        errors=found["error-set-size"],
        minority=minority,
        hits=hits,
        precision=found["precision"],
        recall=found["recall"],
        unevenness=found.get("unevenness"),
        rounds=found.get("rounds", 0),
        tries=found.get("tries", 0),
        flaw=found.get("flaw", ""),
        machines=machines,
    )


def _machine(number: int, machine: Line) -> Machine:
    return Machine(
        number=number,
        samples=machine["samples"],
        errors=machine["error-set-size"],
        steps=machine.get("steps", 0),
        minority=machine.get("minority"),
        precision=machine.get("precision"),
        recall=machine.get("recall"),
        tries=machine.get("tries"),
        useless=machine.get("useless", False),
    )


def _upsampling(result: Result) -> Upsampling:
    found = result["identification"]
    factor, nominal = found["upsample-factor"], found["nominal"]
    labels = len({group["label"] for group in result["test"]["groups"]})
    extra = result["config"].get("upsample-convention") == "extra"
    balance = None if nominal is None else max(1, labels - 1) * nominal
    return Upsampling(factor, factor + 1 if extra else factor, labels, nominal, balance)


def _robust(result: Result, history: Sequence[Line]) -> RobustStage:
    config = result["config"]
    selection = config["selection"]
    known = result["validation"]["worst-group-accuracy"] is not None
    worst = "worst-group-accuracy" if known else "worst-class-accuracy"
    measure = SELECTION_SCORE.get(selection, worst)
    kept = tuple(
        Round(
            number=line["round"],
            steps=line["steps"],
            loss=line["loss"],
            worst=line.get(f"validation.{worst}"),
            judged=line.get(f"validation.{measure}"),
            average=line["validation.average-accuracy"],
        )
        for line in kept_pass(history, selection, worst)
    )
    return RobustStage(
        config["robust"], selection, measure, result["selected-round"], kept, max(1, len(passes(history)))
    )
