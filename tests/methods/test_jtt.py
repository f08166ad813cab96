"""Just Train Twice: whose examples are upsampled, by how much, and what is said when it is odd."""

from typing import Any

import numpy as np
import pytest
import torch

from fedjtt.errors import EngineError
from fedjtt.methods import identify_local
from fedjtt.methods.base import Payload
from fedjtt.methods.jtt import JTT
from tests.tiny import node_of, parts_of_a_run, tiny_config, tiny_splits

ODD = torch.arange(60) % 10 == 3  # 3, 13, 23, 33, 43, 53


def pretend(monkeypatch: pytest.MonkeyPatch, wrong: torch.Tensor) -> None:
    """Let every machine call exactly these train rows wrong."""
    monkeypatch.setattr(identify_local, "_train_and_split", lambda node, steps: (wrong[node.data.train.rows], 0.1))  # noqa: ARG005


@pytest.mark.parametrize(("convention", "times"), [("copies", 5), ("extra", 6)])
def test_central_upsamples_the_ids_that_it_is_told(convention: str, times: int) -> None:
    node = node_of(tiny_config(upsample_convention=convention), tiny_splits().train, torch.tensor([1, 4, 5, 9]))
    request = Payload({"error-ids": np.array([2, 4, 9])}, {"factor": 5})
    assert JTT().example_weights(node, request).tolist() == [1, times, 1, times]


@pytest.mark.parametrize(("convention", "times"), [("copies", 5), ("extra", 6)])
def test_a_federated_machine_upsamples_its_own_errors(
    monkeypatch: pytest.MonkeyPatch, convention: str, times: int
) -> None:
    pretend(monkeypatch, ODD)
    config = tiny_config(upsample_convention=convention, robust="federated")
    node = node_of(config, tiny_splits().train, torch.tensor([1, 3, 13, 14]))
    assert JTT().example_weights(node, Payload(numbers={"factor": 5, "examples": 60})).tolist() == [1, times, times, 1]


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
