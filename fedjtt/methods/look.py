"""Looks at the error set on the way: is the identification model done? A sample is enough, and nothing but counts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedjtt.config import RunConfig
from fedjtt.errors import ForgottenError
from fedjtt.evaluation import outputs_of
from fedjtt.inference.error_set import pack_mask, unpack_mask
from fedjtt.inference.guard import flaw_of
from fedjtt.inference.splits import SPLITS
from fedjtt.inference.stopping import Watch
from fedjtt.methods.averaging import running_mean
from fedjtt.methods.base import Array, Node, Payload
from fedjtt.methods.identification import added_up
from fedjtt.models import FlatModel
from fedjtt.seeding import numpy_generator

# Over all machines that look: a half per cent of it is 50 examples, enough to tell one set from another.
LOOK_EXAMPLES = 10_000
LOOK_MACHINES = 10
MASK, BEFORE, NUMBER = "look-mask", "look-before", "look-number"
ROUND_WEIGHTS = ("current", "mean", "kept", "aside")


@dataclass(frozen=True)
class Look:
    """Counts over the sample: examples and errors of every label, and how the set is beside the last look's.

    Attributes
    ----------
    errors, sizes : list of int
        Examples called wrong and examples in all, of every label.
    both, either : int
        Examples in this set and the last look's, and in one of the two.
    """

    errors: list[int]
    sizes: list[int]
    both: int
    either: int

    @property
    def share(self) -> float:
        """Share of the sample that is called wrong."""
        return sum(self.errors) / max(1, sum(self.sizes))

    @property
    def overlap(self) -> float:
        """Jaccard's index of this set and the last look's."""
        return self.both / self.either if self.either else 1.0

    def judged_by(self, watch: Watch, last: bool) -> "Verdict":
        """Return what the watch says of the model that this look was taken at; `last`: all rounds have been made."""
        flawed = bool(flaw_of(self.errors, self.sizes))
        keep = watch.keeps(sum(self.errors), self.both, self.either, flawed)
        return Verdict(keep, watch.stop or (last and watch.settled), watch.at_plateau, watch.back)


def lookers(machines: int, seed: int) -> list[int]:
    """Return the machines that look, the same after every round: all, or ten of them drawn by seed."""
    drawn = numpy_generator(seed, "look").permutation(machines)[:LOOK_MACHINES]
    return sorted(int(machine) for machine in drawn)


def look_at(node: Node, model: FlatModel, examples: int, before: Tensor | None) -> tuple[Look, Tensor]:
    """Let a model split a sample of the machine's examples, always the same one; return the counts and the mask."""
    part = node.data.train
    sample = part.rows
    if examples < len(part):
        sample = sample[torch.randperm(len(part), generator=node.generator("look"))[:examples].sort().values]
    label = part.dataset.label[sample]
    mask = SPLITS[node.config.identify_split](outputs_of(model, part.dataset, sample), label)
    errors, sizes = (torch.bincount(rows, minlength=part.dataset.num_labels).tolist() for rows in (label[mask], label))
    if before is None:
        return Look(errors, sizes, 0, len(sample)), mask
    return Look(errors, sizes, int((mask & before).sum()), int((mask | before).sum())), mask


def look(node: Node, request: Payload) -> Payload:
    """Report a machine's look at the incoming model; ``sample`` in the request is the most examples it looks at.

    A look whose reply was lost is asked for again, with the same ``number``: it is compared with what the first one was
    compared with, not with itself.

    Raises
    ------
    ForgottenError
        Where this is not the ``first`` look and the machine, which restarted, does not know the last one.
    """
    start = time.thread_time()
    examples, first = min(request.integer("sample"), len(node.data.train)), bool(request.integer("first"))
    if not first and MASK not in node.memo:
        raise ForgottenError("the machine has forgotten its last look")
    number = np.array([request.integer("number")])
    if node.memo.get(NUMBER) != number:
        node.memo[BEFORE] = node.memo.get(MASK, np.zeros(0, dtype=np.uint8))
    before = None if first else unpack_mask(node.memo[BEFORE], examples)
    seen, mask = look_at(node, node.load(request.arrays["weights"]), examples, before)
    node.memo.update({MASK: pack_mask(mask), NUMBER: number})
    return Payload(
        numbers={
            "label-errors": seen.errors,
            "label-sizes": seen.sizes,
            "both": seen.both,
            "either": seen.either,
            "seconds": time.thread_time() - start,
        }
    )


def joined(replies: Sequence[Payload]) -> Look:
    """Add up machines' looks."""
    errors, sizes = (added_up(replies, name) for name in ("label-errors", "label-sizes"))
    both, either = (sum(reply.integer(name) for reply in replies) for name in ("both", "either"))
    return Look(errors, sizes, both, either)


@dataclass(frozen=True)
class Verdict:
    """What is said of a round's model.

    Attributes
    ----------
    keep : bool
        Whether it is the one to keep so far.
    enough : bool
        Whether training ends.
    aside : bool
        Whether it is put aside: the one to come back to.
    back : bool
        Whether the one that was put aside is the one to keep.
    """

    keep: bool
    enough: bool
    aside: bool = False
    back: bool = False


@dataclass(frozen=True)
class RoundState:
    """Where a training in rounds stands.

    Attributes
    ----------
    number : int
        Rounds made.
    current, mean, kept, aside : ndarray
        Weights: the last round's, their mean so far, those to keep, and those to come back to.
    enough : bool
        Whether it has ended.
    """

    number: int
    current: Array
    mean: Array
    kept: Array
    aside: Array
    enough: bool = False


def train_in_rounds(
    config: RunConfig,
    start: Array,
    rounds: int,
    advance: Callable[[int, Array], Array],
    judge: Callable[[int, Array], Verdict],
    save: Callable[[RoundState], None] = lambda state: None,  # noqa: ARG005
    state: RoundState | None = None,
) -> Array:
    """Train an identification model, a machine's own or the common one, until ``identify-stop`` says that it is enough.

    Where no error set is stable after all rounds, as many again are made at most.

    Parameters
    ----------
    advance : callable
        Trains the weights for a round, counted from 1.
    judge : callable
        Given a round and the weights to split by: their mean so far under ``identify-averaging = rounds``.
    save : callable
        Told where the training stands after every round.
    state : RoundState or None
        Where to go on; None: from the start.

    Returns
    -------
    ndarray
        The weights that were kept.
    """
    state = state or RoundState(0, start, start, start, start)
    most = 2 * rounds if config.identify_stop == "stable" else rounds
    while state.number < most and not state.enough:
        number = state.number + 1
        current = advance(number, state.current)
        mean = running_mean(state.mean, current, number) if config.identify_averaging == "rounds" else current
        verdict = judge(number, mean)
        aside = mean if verdict.aside else state.aside
        kept = aside if verdict.back else mean if verdict.keep else state.kept
        state = RoundState(number, current, mean, kept, aside, verdict.enough)
        save(state)
    return state.kept
