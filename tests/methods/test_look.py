"""Looks at the error set on the way: which examples and machines, what is counted, and what the rounds make of it."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.errors import ForgottenError
from fedjtt.evaluation import outputs_of
from fedjtt.inference.splits import SPLITS, misclassified
from fedjtt.inference.stopping import Watch
from fedjtt.methods.base import Array, Node, Payload
from fedjtt.methods.look import BEFORE, MASK, NUMBER, Look, Verdict, joined, look, look_at, lookers, train_in_rounds
from tests.tiny import grouped, node_of, tiny_config, tiny_splits

DATA = tiny_splits().train
ROWS = torch.arange(5, 45)


def machine(**changes: Any) -> Node:
    return node_of(tiny_config(**{"identify": "federated", **changes}), DATA, ROWS)


def models(count: int) -> list[Array]:
    """Networks that disagree: the initial one, moved at random."""
    start = machine().initial_model().vector.numpy().copy()
    chance = np.random.default_rng(0)
    return [start + chance.normal(scale=0.1, size=start.shape).astype(np.float32) for _ in range(count)]


def looked(
    node: Node, weights: Array, sample: int = 10_000, first: bool | None = None, number: int | None = None
) -> Payload:
    """Look; by itself that is the first look of a machine that has not looked before, or the next one."""
    is_first = "look-mask" not in node.memo if first is None else first
    if number is None:
        number = int(node.memo["look-number"][0]) + 1 if "look-number" in node.memo else 1
    return look(node, Payload({"weights": weights}, {"sample": sample, "first": int(is_first), "number": number}))


class Noting:
    """A split that calls given positions of the sample wrong, look by look, and notes the labels that it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *wanted: list[int]) -> None:
        self.wanted, self.labels = iter(wanted), list[list[int]]()
        monkeypatch.setitem(SPLITS, "misclassified", self)

    def __call__(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        self.labels.append(label.tolist())
        return torch.isin(torch.arange(len(label)), torch.tensor(next(self.wanted)))


# --- a machine's look ---


def test_a_look_at_all_examples_is_what_the_model_calls_wrong() -> None:
    node, (weights, *_) = machine(), models(1)
    mask = misclassified(outputs_of(node.load(weights), DATA, ROWS), DATA.label[ROWS])
    seen, found = look_at(node, node.load(weights), len(ROWS), None)
    assert torch.equal(found, mask)
    wrong = DATA.label[ROWS][mask]
    assert seen.errors == [int((wrong == label).sum()) for label in (0, 1)]
    assert 0 < sum(seen.errors) < 40
    assert seen.sizes == [20, 20]


@pytest.mark.parametrize("sample", [40, 41, 10_000])
def test_no_more_examples_than_there_are(sample: int) -> None:
    reply = looked(machine(), models(1)[0], sample)
    assert sum(reply.integers("label-sizes")) == 40


def test_a_sample_is_cut_and_always_the_same() -> None:
    """Also by another model, and by a machine that has forgotten; another machine or seed draws another one.

    Every example is a label of its own, so that the counts say which ones were looked at.
    """
    data = grouped(torch.arange(40), torch.arange(40) % 2, labels=40)

    def drawn(number: int = 0, seed: int = 0, model: float = 1.0) -> list[int]:
        node = node_of(tiny_config(seed=seed), data, torch.arange(2, 38), number)
        weights = node.initial_model().vector.numpy() * np.float32(model)
        sizes = looked(node, weights, 12).integers("label-sizes")
        assert looked(node, weights, 12).integers("label-sizes") == sizes
        return [label for label, size in enumerate(sizes) for _ in range(size)]

    sample = drawn()
    assert len(sample) == len(set(sample)) == 12
    assert set(sample) <= set(range(2, 38))
    assert drawn(model=-1.0) == sample
    assert drawn(number=1) != sample != drawn(seed=1)


def test_a_sample_is_looked_at_in_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask that is kept is over these, so the order must never change."""
    noting = Noting(monkeypatch, [], [])
    data = grouped(torch.arange(40), labels=40)
    node = node_of(tiny_config(), data)
    for _ in range(2):
        looked(node, node.initial_model().vector.numpy().copy(), 15)
    first, second = noting.labels
    assert first == second == sorted(first)
    assert first != list(range(15))  # drawn, not the first ones


def test_counts_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 5 to 44 have the labels 1, 0, 1, 0 …; positions 0, 2 and 3 are then of labels 1, 1 and 0."""
    Noting(monkeypatch, [0, 2, 3], [3, 5], [])
    node, (weights, *_) = machine(), models(1)
    first, second, third = (looked(node, weights) for _ in range(3))
    assert (first.integers("label-errors"), first.integers("label-sizes")) == ([1, 2], [20, 20])
    assert (first.integer("both"), first.integer("either")) == (0, 40)  # nothing is known of a set before
    # {3, 5}, both of label 0, beside {0, 2, 3}: one in both, four in either; then nothing beside {3, 5}
    assert (second.integers("label-errors"), second.integer("both"), second.integer("either")) == ([2, 0], 1, 4)
    assert (third.integers("label-errors"), third.integer("both"), third.integer("either")) == ([0, 0], 0, 2)


def test_the_split_is_the_configured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPLITS, "eiil", lambda logits, label: label == 1)  # noqa: ARG005
    reply = looked(machine(identify_split="eiil"), models(1)[0])
    assert reply.integers("label-errors") == [0, 20]


def test_a_look_is_compared_with_the_last_one_only() -> None:
    node, stack = machine(), models(3)
    label = DATA.label[ROWS]
    masks = [misclassified(outputs_of(node.load(weights), DATA, ROWS), label) for weights in stack]
    replies = [looked(node, weights) for weights in stack]
    for before, after, reply in zip(masks, masks[1:], replies[1:], strict=False):
        assert not torch.equal(before, after)
        assert reply.integer("both") == int((before & after).sum())
        assert reply.integer("either") == int((before | after).sum())


def test_a_machine_that_has_forgotten_its_last_look_says_so() -> None:
    node, (weights, *_) = machine(), models(1)
    known = [looked(node, weights, 30) for _ in range(2)][1]
    assert known.integer("both") == known.integer("either") > 0  # the same model calls the same wrong
    node.memo.clear()
    with pytest.raises(ForgottenError, match="has forgotten its last look"):
        looked(node, weights, 30, first=False)
    looked(node, weights, 30, first=True)  # told again what it looked at, it knows
    again = looked(node, weights, 30, first=False)
    assert again.numbers | {"seconds": 0} == known.numbers | {"seconds": 0}


@pytest.mark.parametrize("number", [1, 2])
def test_a_look_that_is_asked_for_again_is_answered_alike(number: int) -> None:
    """Its reply was lost: compared with itself, it would look stable."""
    node, stack = machine(), models(2)
    replies = [looked(node, stack[place], first=place == 0, number=place + 1) for place in range(number)]
    again = looked(node, stack[number - 1], first=number == 1, number=number)
    assert again.numbers | {"seconds": 0} == replies[-1].numbers | {"seconds": 0}
    following = looked(node, stack[number - 1])  # compared with this one, which is the same model's
    assert following.integer("both") == following.integer("either") < again.integer("either")


def test_a_first_look_is_compared_with_nothing_whatever_was_before() -> None:
    node, stack = machine(), models(2)
    looked(node, stack[0])
    anew = looked(node, stack[1], first=True)
    assert (anew.integer("both"), anew.integer("either")) == (0, 40)


def test_a_look_leaves_no_error_set_behind() -> None:
    """A machine that has only looked knows nothing to train with, and what it has found before stands."""
    node, (weights, *_) = machine(), models(1)
    node.memo["error-mask"] = before = np.zeros(5, np.uint8)
    looked(node, weights)
    assert set(node.memo) == {"error-mask", MASK, BEFORE, NUMBER}
    assert node.memo["error-mask"] is before


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_nothing_but_counts_leaves(robust: str) -> None:
    """Never ids, also where the server trains on its own data; one entry for each label, whatever the sample."""
    reply = looked(machine(robust=robust), models(1)[0], 30)
    assert dict(reply.arrays) == {}
    assert set(reply.numbers) == {"label-errors", "label-sizes", "both", "either", "seconds"}
    assert len(reply.integers("label-errors")) == len(reply.integers("label-sizes")) == 2
    assert reply.real("seconds") > 0


# --- looks together ---


def counted(errors: list[int], sizes: list[int], both: int, either: int) -> Payload:
    return Payload(numbers={"label-errors": errors, "label-sizes": sizes, "both": both, "either": either})


def test_looks_are_added_up() -> None:
    seen = joined([counted([1, 2], [10, 20], 1, 4), counted([0, 5], [30, 0], 2, 6), counted([3, 0], [5, 5], 0, 0)])
    assert seen == Look([4, 7], [45, 25], 3, 10)
    assert seen.share == 11 / 70
    assert seen.overlap == 3 / 10


def test_nothing_beside_nothing_is_the_same_set() -> None:
    assert Look([0, 0], [10, 10], 0, 0).overlap == 1.0
    assert Look([0, 0], [0, 0], 0, 0).share == 0.0


@pytest.mark.parametrize(
    ("errors", "settled"),
    [
        ([3, 3], True),
        ([9, 9], False),  # 18 of 40 is more than a third: the guard objects
        ([0, 0], False),  # an empty set is never stable
    ],
)
def test_a_watch_is_told_of_a_looks_size_overlap_and_flaw(errors: list[int], settled: bool) -> None:
    watch, size = Watch(), sum(errors)
    assert Look(errors, [20, 20], 0, 40).judged_by(watch, last=False).keep  # the first look is kept for want of another
    Look(errors, [20, 20], size, size).judged_by(watch, last=False)
    assert watch.settled is settled
    assert watch.kept == (size if settled else 0)


@pytest.mark.parametrize("machines", [1, 2, 9, 10])
def test_up_to_ten_machines_all_look(machines: int) -> None:
    assert lookers(machines, seed=3) == list(range(machines))


@pytest.mark.parametrize("machines", [11, 100])
def test_of_more_machines_ten_are_drawn_by_seed(machines: int) -> None:
    drawn = [lookers(machines, seed) for seed in range(5)]
    for each in drawn:
        assert each == sorted(set(each))
        assert len(each) == 10
        assert set(each) <= set(range(machines))
        assert all(type(number) is int for number in each)
    assert drawn == [lookers(machines, seed) for seed in range(5)]
    assert len({tuple(each) for each in drawn}) > 1


# --- the rounds ---


class Rounds:
    """Plain functions in place of training and looking: round t's weights are (t, t^2)."""

    def __init__(self, keep: set[int], enough: int = 0) -> None:
        self.keep, self.enough = keep, enough
        self.given: list[list[float]] = []
        self.judged: list[list[float]] = []

    def advance(self, number: int, weights: Array) -> Array:
        self.given.append(weights.tolist())
        assert len(self.given) == number  # counted from 1
        return np.array([number, number**2], np.float32)

    def judge(self, number: int, weights: Array) -> Verdict:
        self.judged.append(weights.tolist())
        assert len(self.judged) == number
        return Verdict(number in self.keep, number == self.enough)

    def run(self, stop: str, rounds: int, averaging: str = "none") -> list[float]:
        config = tiny_config(identify="federated", identify_stop=stop, identify_averaging=averaging)
        kept: list[float] = train_in_rounds(config, START, rounds, self.advance, self.judge).tolist()
        return kept


START = np.array([-1, -1], np.float32)


@pytest.mark.parametrize(("stop", "most"), [("last", 4), ("val-groups", 4), ("stable", 8)])
def test_there_is_a_most_of_rounds_and_as_many_again_where_nothing_is_stable(stop: str, most: int) -> None:
    rounds = Rounds(keep=set(range(1, 100)))
    assert rounds.run(stop, 4) == [most, most**2]
    assert len(rounds.judged) == most


@pytest.mark.parametrize("stop", ["last", "val-groups", "stable"])
def test_the_rounds_end_when_it_is_enough(stop: str) -> None:
    rounds = Rounds(keep={1, 2, 3}, enough=3)
    assert rounds.run(stop, 4) == [3, 9]
    assert len(rounds.given) == len(rounds.judged) == 3


def test_the_weights_that_were_last_to_be_kept_are_returned() -> None:
    rounds = Rounds(keep={1, 3}, enough=5)
    assert rounds.run("stable", 4) == [3, 9]
    assert len(rounds.judged) == 5


def test_a_round_that_is_enough_may_still_be_kept_or_not() -> None:
    assert Rounds(keep={2, 3}, enough=3).run("stable", 4) == [3, 9]
    assert Rounds(keep={2}, enough=3).run("stable", 4) == [2, 4]


def test_what_was_put_aside_can_be_come_back_to() -> None:
    """Round 2 is put aside, round 3 kept, and round 4 says that the one put aside was better."""
    verdicts = {1: Verdict(True, False), 2: Verdict(False, False, aside=True), 3: Verdict(True, False),
                4: Verdict(False, True, back=True)}  # fmt: skip
    config = tiny_config(identify_stop="stable", identify_averaging="none")
    start = np.zeros(1, np.float32)

    def step(number: int, weights: Any) -> Any:  # noqa: ARG001
        return weights + 1

    def judge(number: int, weights: Any) -> Verdict:  # noqa: ARG001
        return verdicts[number]

    kept = train_in_rounds(config, start, 4, step, judge)
    assert kept.tolist() == [2.0]


def test_where_nothing_is_kept_the_start_is_returned() -> None:
    assert Rounds(keep=set()).run("val-groups", 4) == [-1, -1]


def test_without_averaging_a_round_is_judged_by_its_own_weights() -> None:
    rounds = Rounds(keep={4})
    rounds.run("last", 4)
    assert rounds.given == [[-1, -1], [1, 1], [2, 4], [3, 9]]
    assert rounds.judged == [[1, 1], [2, 4], [3, 9], [4, 16]]


def test_with_averaging_the_mean_is_judged_and_kept_and_training_goes_on_from_the_last_weights() -> None:
    """Weights of 6, 24, 60, 120 for rounds 1 to 4 (t (t + 1) (t + 2)), so the means of t are, by hand,

    1, (6 + 48) / 30 = 1.8, (54 + 180) / 90 = 2.6 and (234 + 480) / 210 = 3.4; those of t^2 in the same way. The
    start has no part in them.
    """
    rounds = Rounds(keep={1, 2, 3})
    kept = rounds.run("last", 4, averaging="rounds")
    assert rounds.given == [[-1, -1], [1, 1], [2, 4], [3, 9]]
    squares = [1, (6 + 4 * 24) / 30, (6 + 4 * 24 + 9 * 60) / 90, (6 + 4 * 24 + 9 * 60 + 16 * 120) / 210]
    np.testing.assert_allclose(rounds.judged, list(zip([1, 1.8, 2.6, 3.4], squares, strict=True)), rtol=1e-6)
    assert kept == rounds.judged[2]


def test_one_round_has_no_mean_to_take() -> None:
    assert Rounds(keep={1}).run("last", 1, averaging="rounds") == [1, 1]


def test_a_kept_mean_is_not_changed_by_later_rounds() -> None:
    """Training may reuse its array: what was kept must be the numbers of then. Means are arrays of their own."""
    rounds = Rounds(keep={2})
    kept = rounds.run("last", 4, averaging="rounds")
    assert kept == rounds.judged[1] != rounds.judged[3]
