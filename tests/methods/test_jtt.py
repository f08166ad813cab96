"""Just Train Twice: whose examples are upsampled, by how much, and what is said when it is odd."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.errors import EngineError
from fedjtt.methods import identify_local, jtt
from fedjtt.methods.base import Payload
from fedjtt.methods.jtt import JTT, candidate_fractions
from tests.tiny import a_try, node_of, parts_of_a_run, tiny_config, tiny_splits

ODD = torch.arange(60) % 10 == 3  # 3, 13, 23, 33, 43, 53


def pretend(monkeypatch: pytest.MonkeyPatch, wrong: torch.Tensor) -> None:
    """Let every machine call exactly these train rows wrong."""
    monkeypatch.setattr(identify_local, "_train_and_split", lambda node, _: a_try(wrong[node.data.train.rows]))


@pytest.mark.parametrize(("convention", "times"), [("copies", 5), ("extra", 6)])
def test_central_upsamples_the_ids_that_it_is_told(convention: str, times: int) -> None:
    node = node_of(tiny_config(upsample_convention=convention), tiny_splits().train, torch.tensor([1, 4, 5, 9]))
    request = Payload({"error-ids": np.array([2, 4, 9])}, {"factor": 5})
    assert JTT().lesson(node, request).weights.tolist() == [1, times, 1, times]


@pytest.mark.parametrize(("convention", "times"), [("copies", 5), ("extra", 6)])
def test_a_federated_machine_upsamples_its_own_errors(
    monkeypatch: pytest.MonkeyPatch, convention: str, times: int
) -> None:
    pretend(monkeypatch, ODD)
    config = tiny_config(upsample_convention=convention, robust="federated")
    node = node_of(config, tiny_splits().train, torch.tensor([1, 3, 13, 14]))
    assert JTT().lesson(node, Payload(numbers={"factor": 5, "examples": 60})).weights.tolist() == [1, times, times, 1]


class Spy:
    """Notes what the machines were asked, and the sizes that came back."""

    def __init__(self, strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[str, str, Payload]] = []
        self.sizes: list[list[float]] = []
        ask = strategy.ask

        def spying(place: Any, action: str, request: Payload, *rest: Any) -> list[Payload]:
            self.requests.append((place, action, request))
            replies: list[Payload] = ask(place, action, request, *rest)
            if action == "fit":
                self.sizes.append([reply.real("size") for reply in replies])
            return replies

        monkeypatch.setattr(strategy, "ask", spying)


def run(monkeypatch: pytest.MonkeyPatch, wrong: torch.Tensor, **changes: Any) -> tuple[Any, Any, Spy]:
    pretend(monkeypatch, wrong)
    strategy, grid = parts_of_a_run(tiny_config(**changes), tiny_splits())
    spy = Spy(strategy, monkeypatch)
    return strategy.run(grid), strategy, spy


@pytest.mark.parametrize("robust", ["central", "federated"])
@pytest.mark.parametrize(("convention", "size"), [("copies", 60 + 17 * 6), ("extra", 60 + 18 * 6)])
def test_the_factor_and_the_sizes_by_hand(
    monkeypatch: pytest.MonkeyPatch, robust: str, convention: str, size: int
) -> None:
    # N = 60, |E| = 6: nominal 9, fraction 2 makes 18. copies: 60 + 17 * 6; extra: 60 + 18 * 6.
    done, strategy, spy = run(monkeypatch, ODD, robust=robust, upsample_convention=convention)
    assert done.identification["upsample-factor"] == 18
    assert done.identification["nominal"] == 9
    assert [sum(sizes) for sizes in spy.sizes] == [size, size]
    assert len(spy.sizes[0]) == (1 if robust == "central" else 3)
    assert strategy.notes == []


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_what_is_asked_and_sent(monkeypatch: pytest.MonkeyPatch, robust: str) -> None:
    _, _, spy = run(monkeypatch, ODD, robust=robust)
    fits = [(place, request) for place, action, request in spy.requests if action == "fit"]
    for place, request in fits:
        assert place == ("server" if robust == "central" else "machines")
        if robust == "central":
            assert request.arrays["error-ids"].tolist() == [3, 13, 23, 33, 43, 53]
        else:
            assert set(request.arrays) <= {"weights", "average"}


def test_nobody_wrong_is_plain_erm_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for robust in ("central", "federated"):
        done, strategy, _ = run(monkeypatch, torch.zeros(60).bool(), robust=robust)
        assert strategy.notes == ["the error set is empty: robust training is plain ERM; identify for fewer epochs"]
        assert done.identification["upsample-factor"] == 1
        assert (done.identification["nominal"], done.identification["precision"]) == (None, None)
        assert done.identification["recall"] == 0
        erm, grid = parts_of_a_run(tiny_config(robust=robust, method="erm"), tiny_splits())
        assert erm.run(grid).weights.tobytes() == done.weights.tobytes()


def test_everybody_wrong_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    done, strategy, _ = run(monkeypatch, torch.ones(60).bool())
    assert len(strategy.notes) == 1
    assert strategy.notes[0].startswith("every example is called wrong")
    assert done.identification["upsample-factor"] == 1
    assert done.identification["precision"] == pytest.approx(8 / 60)


def test_a_factor_of_one_is_called_no_upsampling_where_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # 50 of 60 wrong: nominal .2, fraction 2 -> floor(.4) -> 1. Under extra, 1 is one further copy.
    wrong = torch.arange(60) < 50
    _, strategy, _ = run(monkeypatch, wrong)
    assert strategy.notes[0].startswith(
        "the upsampling factor is 1 (50 of 60 examples are called wrong): no upsampling"
    )
    _, strategy, _ = run(monkeypatch, wrong, upsample_convention="extra")
    assert [note.split(",")[0] for note in strategy.notes] == ["50 of 60 examples are called wrong"]


def test_more_than_a_third_wrong_is_hardly_a_minority(monkeypatch: pytest.MonkeyPatch) -> None:
    # 21 of 60 wrong: nominal 39/21, factor floor(2 * 39/21) = 3, so it is upsampled all the same; 20 of 60 is a third.
    done, strategy, _ = run(monkeypatch, torch.arange(60) < 21)
    assert done.identification["upsample-factor"] == 3
    assert len(strategy.notes) == 1
    assert "hardly a minority" in strategy.notes[0]
    _, strategy, _ = run(monkeypatch, torch.arange(60) < 20)
    assert strategy.notes == []


def test_a_given_factor_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _, spy = run(monkeypatch, ODD, upsample=3)
    assert done.identification["upsample-factor"] == 3
    assert spy.sizes[0] == [60 + 2 * 6]


def test_an_example_on_two_machines_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, ODD)
    rows = [torch.arange(0, 30), torch.arange(20, 50), torch.arange(50, 60)]  # 23 stands on two
    strategy, grid = parts_of_a_run(tiny_config(), tiny_splits(), rows)
    with pytest.raises(EngineError, match="announced 7 errors and named 6 different ids"):
        strategy.run(grid)


@pytest.mark.parametrize(
    ("fraction", "labels", "expected"),
    [
        (0.8, 5, [0.8]), (3.0, 2, [3.0]),
        ("balance", 5, [4.0]), ("balance", 2, [1.0]), ("balance", 1, [1.0]),
        ("validated", 5, [0.8, 2.0, 4.0]), ("validated", 3, [0.8, 2.0]), ("validated", 2, [0.8, 1.0, 2.0]),
    ],
)  # fmt: skip
def test_the_fractions_to_try(fraction: Any, labels: int, expected: list[float]) -> None:
    """balance: the number of labels less one; validated: the original's .8, 2 and balance, each once."""
    assert candidate_fractions(fraction, labels) == expected


@pytest.mark.parametrize("robust", ["central", "federated"])
def test_balance_makes_the_errors_as_many_as_the_rest_for_two_labels(
    monkeypatch: pytest.MonkeyPatch, robust: str
) -> None:
    # N = 60, |E| = 6: nominal 9, fraction 1: 9 copies of 6 are the other 54.
    done, _, spy = run(monkeypatch, ODD, robust=robust, upsample_fraction="balance")
    assert (done.identification["upsample-factor"], done.identification["upsample-fraction"]) == (9, 1.0)
    assert sum(spy.sizes[0]) == 2 * 54


def test_a_given_factor_has_no_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _, spy = run(monkeypatch, ODD, upsample=3, upsample_fraction="validated")
    assert (done.identification["upsample-factor"], done.identification["upsample-fraction"]) == (3, None)
    assert len(spy.sizes) == 2  # one training of two rounds


# Nominal is 9 for ODD: .8, 1 and 2 make the factors 7 (of 7.2), 9 and 18.
FACTORS = {0.8: 7, 1.0: 9, 2.0: 18}


@pytest.mark.parametrize("best", [0.8, 1.0, 2.0])
def test_validated_takes_the_factor_that_validation_likes_best_and_pays_for_all(
    monkeypatch: pytest.MonkeyPatch, best: float
) -> None:
    alone = {}
    for fraction, factor in FACTORS.items():
        alone[factor], _, _ = run(monkeypatch, ODD, upsample_fraction=fraction, robust="federated")

    original = jtt.fit_rounds

    def scripted(server: Any, plan: Any) -> Any:
        """Every training is what it is, but for its score and its time."""
        trained = original(server, plan)
        factor = plan.request.integer("factor")
        worst = 0.5 if factor == FACTORS[best] else 0.4
        for line in trained.history:
            line |= {"validation.worst-group-accuracy": worst, "validation.average-accuracy": 0.9}
        return replace(trained, seconds={"robust": float(factor), "robust-sum": 100.0})

    monkeypatch.setattr(jtt, "fit_rounds", scripted)
    done, _, spy = run(monkeypatch, ODD, upsample_fraction="validated", robust="federated")
    assert (done.identification["upsample-factor"], done.identification["upsample-fraction"]) == (FACTORS[best], best)
    assert done.weights.tobytes() == alone[FACTORS[best]].weights.tobytes()
    assert (done.seconds["robust"], done.seconds["robust-sum"]) == (7 + 9 + 18, 300.0)
    assert [sum(sizes) for sizes in spy.sizes] == [60 + (f - 1) * 6 for f in FACTORS.values() for _ in range(2)]


def test_validated_goes_by_the_selections_score_and_then_by_the_average(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {7: (0.5, 0.6), 9: (0.5, 0.7), 18: (0.4, 0.9)}
    original = jtt.fit_rounds

    def scripted(server: Any, plan: Any) -> Any:
        trained = original(server, plan)
        worst, average = scores[plan.request.integer("factor")]
        trained.history[trained.selected_round - 1].update(
            {"validation.worst-group-accuracy": worst, "validation.average-accuracy": average}
        )
        return trained

    monkeypatch.setattr(jtt, "fit_rounds", scripted)
    for selection, factor in (("val-worst-group", 9), ("val-average", 18)):
        done, _, _ = run(monkeypatch, ODD, upsample_fraction="validated", selection=selection)
        assert done.identification["upsample-factor"] == factor


def test_fractions_that_make_the_same_factor_are_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # 24 of 60 wrong: nominal 1.5; .8, 1 and 2 make 1, 1 and 3.
    done, _, spy = run(monkeypatch, torch.arange(60) < 24, upsample_fraction="validated")
    assert len(spy.sizes) == 2 * 2
    if done.identification["upsample-factor"] == 1:
        assert done.identification["upsample-fraction"] == 0.8


@pytest.mark.parametrize("aggregator", ["fedavgm", "fedadam", "fednova"])
def test_validated_trains_each_factor_as_if_alone(monkeypatch: pytest.MonkeyPatch, aggregator: str) -> None:
    """No state of the server's optimiser is left over from the factor before."""
    settings: dict[str, Any] = {"robust": "federated", "averaging": "none", "aggregator": aggregator}
    alone = {factor: run(monkeypatch, ODD, upsample=factor, **settings)[0] for factor in FACTORS.values()}
    trained: dict[int, Any] = {}
    original = jtt.fit_rounds

    def noting(server: Any, plan: Any) -> Any:
        return trained.setdefault(plan.request.integer("factor"), original(server, plan))

    monkeypatch.setattr(jtt, "fit_rounds", noting)
    run(monkeypatch, ODD, upsample_fraction="validated", **settings)
    assert list(trained) == [7, 9, 18]
    for factor, each in trained.items():
        assert each.weights.tobytes() == alone[factor].weights.tobytes()
