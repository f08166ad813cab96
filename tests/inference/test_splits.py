"""Splits by a model's outputs: by hand, against brute force, and on inputs where the answer is plain."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from fedjtt.inference.splits import SPLITS, agreed, clustered, eiil_split, misclassified
from fedjtt.seeding import torch_generator


def random_outputs(count: int, labels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    chance = torch_generator(seed, "test")
    logits = 3 * torch.randn(count, labels, generator=chance)
    return logits, torch.randint(0, labels, (count,), generator=chance)


def test_misclassified_is_where_another_output_is_larger() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 5.0]])
    assert misclassified(logits, torch.tensor([0, 1, 2])).tolist() == [False, True, False]


def test_no_example_makes_no_error() -> None:
    for split in SPLITS.values():
        assert split(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).tolist() == []


# --- EIIL ---


def penalty(logits: Tensor, label: Tensor, one: Tensor) -> float:
    """The invariance penalty of a split in two: per environment the squared gradient of the summed loss by a scale.

    By autograd, as in the released code of IRM and EIIL, not by the closed form that is tested.
    """
    total = 0.0
    for environment in (one, ~one):
        scale = torch.tensor(1.0, requires_grad=True, dtype=torch.float64)
        loss = torch.nn.functional.cross_entropy(
            scale * logits.double()[environment], label[environment], reduction="sum"
        )
        (gradient,) = torch.autograd.grad(loss, scale)
        total += float(gradient) ** 2
    return total


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_eiil_is_the_best_of_all_assignments_to_two_environments(labels: int, seed: int) -> None:
    """Brute force over the 2^9 ways to give nine examples to two environments."""
    logits, label = random_outputs(9, labels, seed)
    label[:4] = logits[:4].argmax(dim=1)  # some that the model is right about
    ours = eiil_split(logits, label)
    assert 0 < int(ours.sum()) < 9
    ways = [torch.tensor(way) for way in itertools.product([False, True], repeat=9)]
    best = max(penalty(logits, label, way) for way in ways)
    assert penalty(logits, label, ours) == pytest.approx(best, rel=1e-6)
    assert penalty(logits, label, misclassified(logits, label)) <= best * (1 + 1e-9)


def test_eiil_is_a_part_of_the_misclassified() -> None:
    """sum p z <= max z, so an example whose own output is the largest is never above it."""
    logits, label = random_outputs(5000, 6)
    wrong, eiil = misclassified(logits, label), eiil_split(logits, label)
    assert not bool((eiil & ~wrong).any())
    assert 0 < int(eiil.sum()) < int(wrong.sum())


def test_eiil_by_two_labels_is_the_misclassified() -> None:
    logits, label = random_outputs(5000, 2)
    assert torch.equal(eiil_split(logits, label), misclassified(logits, label))


def test_eiil_by_hand() -> None:
    # z = (ln 2, ln 1, ln 1): p = (1/2, 1/4, 1/4), sum p z = .5 ln 2 = .35 > 0 for label 1; below ln 2 for label 0.
    # z = (ln 4, ln 3, ln 1): p = (4, 3, 1)/8, sum p z = (4 ln 4 + 3 ln 3)/8 = 1.105; label 1 has ln 3 = 1.0986 and is
    # in, though z = (ln 4, ln 3.5, ln 1) has (4 ln 4 + 3.5 ln 3.5)/8.5 = 1.168 below ln 3.5 = 1.253: wrong, yet not in.
    logits = torch.tensor([[2.0, 1, 1], [2.0, 1, 1], [4.0, 3, 1], [4.0, 3.5, 1]]).log()
    label = torch.tensor([0, 1, 1, 1])
    assert eiil_split(logits, label).tolist() == [False, True, True, False]
    assert misclassified(logits, label).tolist() == [False, True, True, True]


# --- clusters ---


def logits_of(*probabilities: list[float]) -> Tensor:
    return torch.tensor(probabilities).log()


def test_all_but_each_labels_largest_cluster() -> None:
    sure, other = [0.9, 0.05, 0.05], [0.1, 0.85, 0.05]
    # Label 0: four sure of 0 and two of 1. Label 1: three that the model calls 0, one that it calls 1.
    logits = logits_of(sure, sure, other, sure, sure, other, sure, sure, sure, other)
    label = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    assert clustered(logits, label).tolist() == [False, False, True, False, False, True, False, False, False, True]


def test_a_cluster_need_not_be_wrong() -> None:
    """What is less sure than the rest of its label is small as well, though the model is right about it."""
    sure, unsure = [0.98, 0.01, 0.01], [0.4, 0.3, 0.3]
    logits = logits_of(*[sure] * 9, unsure, [0.01, 0.98, 0.01], [0.01, 0.01, 0.98])
    label = torch.tensor([0] * 12)
    found = clustered(logits, label)
    assert found.tolist() == [False] * 10 + [True] * 2
    # pulled over by a prototype that has moved: the unsure one now lies nearer to what is called 1
    pulled = logits_of(*[sure] * 9, unsure, *[[0.35, 0.5, 0.15]] * 4)
    assert clustered(pulled, torch.tensor([0] * 14)).tolist() == [False] * 9 + [True] * 5


def test_a_label_whose_examples_are_alike_keeps_one_cluster() -> None:
    logits = logits_of(*[[0.1, 0.9]] * 5, *[[0.3, 0.7]] * 3)
    assert not bool(clustered(logits, torch.tensor([0] * 5 + [1] * 3)).any())


def test_clusters_do_not_depend_on_the_order_of_examples() -> None:
    logits, label = random_outputs(300, 4)
    order = torch.randperm(300, generator=torch_generator(1, "test"))
    assert torch.equal(clustered(logits[order], label[order]), clustered(logits, label)[order])


def test_a_cluster_is_nearest_to_its_own_mean() -> None:
    """At the end every example of the largest cluster lies nearer to its cluster's mean than to the others' mean."""
    chance = torch_generator(2, "test")
    logits = torch.cat([torch.tensor([3.0, 0, 0]).repeat(40, 1), torch.tensor([0, 2.0, 1.5]).repeat(20, 1)])
    logits += 0.3 * torch.randn(60, 3, generator=chance)
    found = clustered(logits, torch.zeros(60, dtype=torch.int64))
    assert found.tolist() == [False] * 40 + [True] * 20


# --- votes ---


def voters(*wrong: list[int]) -> list[Tensor]:
    """Models of four examples of label 0, each wrong about the examples that it names."""
    made = []
    for rows in wrong:
        logits = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
        logits[rows] = torch.tensor([0.0, 1.0])
        made.append(logits)
    return made


LABEL = torch.zeros(4, dtype=torch.int64)


def test_more_than_half_of_the_models_make_a_majority() -> None:
    assert agreed(voters([0, 1], [0, 2], [0, 2, 3]), LABEL, "misclassified", "majority").tolist() == [
        True, False, True, False,
    ]  # fmt: skip


def test_half_of_the_models_is_no_majority() -> None:
    assert agreed(voters([0, 1], [0, 2]), LABEL, "misclassified", "majority").tolist() == [True, False, False, False]
    tied = agreed(voters([0], [0], [1], [1]), LABEL, "misclassified", "majority")
    assert tied.tolist() == [False] * 4


def test_each_model_votes_by_the_split() -> None:
    logits, label = random_outputs(200, 4)
    other, _ = random_outputs(200, 4, seed=1)
    third, _ = random_outputs(200, 4, seed=2)
    for name, split in SPLITS.items():
        votes = sum(split(each, label).int() for each in (logits, other, third))
        assert isinstance(votes, Tensor)
        assert torch.equal(agreed([logits, other, third], label, name, "majority"), votes >= 2)


@pytest.mark.parametrize("vote", ["majority", "mean-loss"])
def test_one_model_has_the_only_vote(vote: str) -> None:
    logits, label = random_outputs(200, 4)
    assert torch.equal(agreed([logits], label, "eiil", vote), eiil_split(logits, label))


def test_the_mean_loss_is_compared_with_ln_2() -> None:
    """The geometric mean of the label's probabilities is below a half: .8 * .3 = .24 < .25 < .26 = .8 * .325."""
    for second, expected in ((0.3, True), (0.325, False)):
        outputs = [logits_of([p, 1 - p]) for p in (0.8, second)]
        found = agreed(outputs, torch.tensor([0]), "misclassified", "mean-loss")
        assert found.tolist() == [expected]
        loss = -(math.log(0.8) + math.log(second)) / 2
        assert (loss > math.log(2)) is expected
    # where a majority is split and the losses decide: wrong by far outweighs right by little
    apart = [logits_of([0.99, 0.01]), logits_of([0.99, 0.01]), logits_of([0.001, 0.999])]
    assert agreed(apart, torch.tensor([0]), "misclassified", "majority").tolist() == [False]
    assert agreed(apart, torch.tensor([0]), "misclassified", "mean-loss").tolist() == [True]
