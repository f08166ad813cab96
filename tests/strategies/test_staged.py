"""The strategy: who is asked, how many must answer, what Flower's interface sees, what is counted."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Error, Message, RecordDict

from fedjtt.errors import EngineError
from fedjtt.methods.base import Payload
from fedjtt.methods.census import count_population
from fedjtt.methods.look import lookers
from fedjtt.methods.network import initial_weights
from fedjtt.records import from_records, to_array_record, to_reply
from fedjtt.simulation import InProcessGrid
from tests.tiny import asked, node_of, parts_of_a_run, tiny_config, tiny_splits


def renumbered(grid: InProcessGrid, numbers: list[int]) -> InProcessGrid:
    """Give the machines 0, 1, 2 … these node ids."""
    contexts = [grid._contexts[node] for node in sorted(grid._contexts)]
    grid._contexts = dict(zip(numbers, contexts, strict=True))
    return grid


def spy(grid: InProcessGrid, action: str = "fit") -> list[list[int]]:
    """Note the machines (by partition id) that are sent an action, exchange by exchange."""
    seen: list[list[int]] = []
    original = grid.send_and_receive

    def spying(messages: Iterable[Message], **rest: Any) -> Any:
        listed = list(messages)
        replies = original(listed, **rest)
        if listed[0].metadata.message_type.endswith(f".{action}"):
            seen.append(sorted(from_records(reply.content).integer("partition-id") for reply in replies))
        return replies

    grid.send_and_receive = spying  # type: ignore[method-assign, assignment]
    return seen


def sampled(numbers: list[int], **changes: Any) -> tuple[list[list[int]], str]:
    config = tiny_config(machines=6, robust="federated", fraction_train=0.5, robust_rounds=4, batch_size=2, **changes)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    seen = spy(renumbered(grid, numbers))
    weights = strategy.run(grid).weights
    return seen, weights.tobytes().hex()


def test_machines_are_drawn_by_seed_whatever_their_node_ids() -> None:
    first, weights = sampled([1, 2, 3, 4, 5, 6])
    assert [len(drawn) for drawn in first] == [3, 3, 3, 3]
    assert len({tuple(drawn) for drawn in first}) > 1
    assert sampled([1, 2, 3, 4, 5, 6]) == (first, weights)
    assert sampled([90, 17, 55, 4, 123, 68]) == (first, weights)
    assert sampled([1, 2, 3, 4, 5, 6], seed=1)[0] != first


def test_every_machine_is_asked_to_identify_and_to_evaluate() -> None:
    config = tiny_config(machines=6, robust="federated", fraction_train=0.5, evaluation_at="machines", batch_size=2)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    identified, assessed = spy(grid, "identify"), spy(grid, "assess")
    strategy.run(grid)
    assert identified == [[0, 1, 2, 3, 4, 5]]
    assert assessed == [[0, 1, 2, 3, 4, 5]] * 2


class Lossy(InProcessGrid):
    """Machines of which some answer with an error, or not at all."""

    fails: Callable[[str, int], str]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            (reply,) = super().send_and_receive([message], timeout=timeout)
            fate = self.fails(message.metadata.message_type.split(".")[1], message.metadata.dst_node_id - 1)
            if fate == "error":
                replies.append(Message(Error(code=2, reason="boom"), reply_to=message))
            elif fate != "silent":
                replies.append(reply)
        return replies


def lossy(fails: Callable[[str, int], str], **changes: Any) -> tuple[Any, Any]:
    config = tiny_config(machines=4, robust="federated", **changes)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    grid.__class__ = Lossy
    grid.fails = fails  # type: ignore[attr-defined]
    return strategy, grid


@pytest.mark.parametrize("fate", ["error", "silent"])
def test_by_default_all_machines_must_answer(fate: str) -> None:
    strategy, grid = lossy(lambda action, number: fate if (action, number) == ("fit", 2) else "")
    with pytest.raises(EngineError, match=r"robust stage, round 1: 3 of 4 machines answered, 4 are needed"):
        strategy.run(grid)


def test_a_minimum_of_good_replies_is_enough_and_the_loss_is_said() -> None:
    strategy, grid = lossy(lambda action, number: "error" if (action, number) == ("fit", 2) else "", min_machines=0.75)
    trained = strategy.run(grid)
    assert np.isfinite(trained.weights).all()
    assert [note for note in strategy.notes if note.startswith("robust stage, round")] == [
        "robust stage, round 1: 3 of 4 machines counted; node 3 raised an exception: boom",
        "robust stage, round 2: 3 of 4 machines counted; node 3 raised an exception: boom",
    ]


@pytest.mark.parametrize(("min_machines", "passes"), [(2, True), (3, False), (0.5, True), (0.51, False)])
def test_the_minimum_is_a_share_or_a_number(min_machines: float, passes: bool) -> None:
    strategy, grid = lossy(
        lambda action, number: "error" if action == "fit" and number < 2 else "", min_machines=min_machines
    )
    if passes:
        strategy.run(grid)
    else:
        with pytest.raises(EngineError, match="2 of 4 machines answered, 3 are needed"):
            strategy.run(grid)


def test_start_honours_rounds_and_returns_what_flower_expects() -> None:
    strategy, grid = parts_of_a_run(tiny_config(robust="federated", robust_rounds=3, batch_size=2), tiny_splits())
    result = strategy.start(grid, num_rounds=5)
    assert sorted(result.evaluate_metrics_serverapp) == [1, 2, 3, 4, 5]
    own, own_grid = parts_of_a_run(tiny_config(robust="federated", robust_rounds=5, batch_size=2), tiny_splits())
    trained = own.run(own_grid)
    assert result.arrays["weights"].numpy().tobytes() == trained.weights.tobytes()
    for line in trained.history:
        metrics = result.evaluate_metrics_serverapp[line["round"]]
        assert metrics["validation.worst-group-accuracy"] == line["validation.worst-group-accuracy"]


def test_start_honours_initial_arrays() -> None:
    config = tiny_config(robust="federated", averaging="none")
    results = []
    for arrays in (None, "own", "half"):
        strategy, grid = parts_of_a_run(config, tiny_splits())
        own = initial_weights(strategy)
        given: ArrayRecord | None = None
        if arrays is not None:
            given = to_array_record({"weights": own * np.float32(1 if arrays == "own" else 0.5)})
        results.append(strategy.start(grid, given).arrays["weights"].numpy().tobytes())
    assert results[0] == results[1] != results[2]


PARAMETERS = 5 * 128 + 129 * 128 + 129 * 2


def test_bytes_are_the_weights_that_travel_and_little_else() -> None:
    """Three machines and two rounds: the weights in both directions, 4 bytes each; less than a tenth is framing."""
    strategy, grid = parts_of_a_run(tiny_config(robust="federated", averaging="none", method="erm"), tiny_splits())
    strategy.run(grid)
    expected = 4 * PARAMETERS * 3 * 2
    robust = strategy.traffic["robust"]
    assert expected <= robust.sent <= 1.02 * expected
    assert expected <= robust.received <= 1.02 * expected
    evaluate = strategy.traffic["evaluate"]
    assert (evaluate.sent, evaluate.received) == (0, 0)  # the server evaluates its own data


def test_averages_travel_too_from_the_second_round_on() -> None:
    strategy, grid = parts_of_a_run(tiny_config(robust="federated", averaging="ema", method="erm"), tiny_splits())
    strategy.run(grid)
    robust = strategy.traffic["robust"]
    assert robust.sent == pytest.approx(4 * PARAMETERS * 3 * (1 + 2), rel=0.02)
    assert robust.received == pytest.approx(4 * PARAMETERS * 3 * (2 + 2), rel=0.02)


def test_central_training_costs_no_bytes_but_the_ids() -> None:
    strategy, grid = parts_of_a_run(tiny_config(robust="central"), tiny_splits())
    trained = strategy.run(grid)
    assert (strategy.traffic["robust"].sent, strategy.traffic["robust"].received) == (0, 0)
    assert trained.identification is not None
    errors = trained.identification["error-set-size"]
    assert 8 * errors <= strategy.traffic["identify"].received <= 8 * errors + 3 * 1000


def reply(number: int, arrays: dict[str, Any], numbers: dict[str, Any], grid: InProcessGrid) -> Message:
    message = grid.create_message(to_reply(Payload(), 0), "train", number + 1, "")
    message.metadata.__dict__["_message_id"] = str(number)
    return Message(to_reply(Payload(arrays, numbers), number), reply_to=message)


def test_flowers_own_hooks_join_and_add_up() -> None:
    strategy, grid = parts_of_a_run(tiny_config(), tiny_splits())
    updates = [np.float32([1, 2]), np.float32([4, 8])]
    replies = [
        reply(i, {"weights": vector}, {"size": size}, grid)
        for i, (vector, size) in enumerate(zip(updates, [2.0, 1.0], strict=True))
    ]
    arrays, metrics = strategy.aggregate_train(1, replies[::-1])
    assert arrays is not None
    assert metrics is not None
    np.testing.assert_allclose(arrays["weights"].numpy(), [2, 4], rtol=1e-6)  # (2 * 1 + 4) / 3, (2 * 2 + 8) / 3
    assert metrics["size"] == 3
    sums = [reply(i, {}, {"correct": [i, 1], "count": [2, 1]}, grid) for i in range(3)]
    added = strategy.aggregate_evaluate(1, sums)
    assert added is not None
    assert (added["correct"], added["count"]) == ([3, 3], [6, 3])


def test_summary_speaks(caplog: pytest.LogCaptureFixture) -> None:
    strategy, _ = parts_of_a_run(tiny_config(), tiny_splits())
    with caplog.at_level("INFO", logger="flwr"):
        strategy.summary()


def judgement(models: list[Any], steps: int) -> Payload:
    return Payload({"models": np.stack(models)}, {"examples": 60, "steps": steps, "tries": 1})


def initial_model(scale: float = 1.0) -> Any:
    return node_of(tiny_config(), tiny_splits().train).initial_model().vector.numpy() * np.float32(scale)


def test_every_machine_can_have_a_request_of_its_own() -> None:
    """By partition id, whatever its node's id is; machines without one are not asked."""
    strategy, grid = parts_of_a_run(tiny_config(machines=4, identify="peers"), tiny_splits())
    strategy.talk.machines_grid = renumbered(grid, [90, 17, 55, 4])
    seen = spy(grid, "judge")
    count_population(strategy, "machines")
    requests = {number: judgement([initial_model()] * (number + 1), steps=10 + number) for number in (3, 0, 2)}
    replies = strategy.ask("machines", "judge", requests)
    assert [reply.integer("steps") for reply in replies] == [10, 12, 13]
    assert [reply.integer("partition-id") for reply in replies] == [0, 2, 3]
    assert seen == [[0, 2, 3]]


def test_the_servers_own_node_is_no_machine() -> None:
    """With one machine both answer alone; the machine is still reached where it is."""
    strategy, grid = parts_of_a_run(tiny_config(machines=1, identify="peers"), tiny_splits())
    strategy.talk.machines_grid = renumbered(grid, [77])
    count_population(strategy, "machines")
    initial_weights(strategy)
    (reply,) = strategy.ask("machines", "judge", {0: judgement([initial_model()], steps=5)})
    assert reply.integer("steps") == 5


def test_a_forgetful_machine_is_told_what_was_kept_and_asked_again() -> None:
    """Its own part of what was kept, and then its present request; the others are asked once."""
    config = tiny_config(identify="peers", robust="federated")
    strategy, grid = parts_of_a_run(config, tiny_splits())
    strategy.talk.machines_grid = grid
    count_population(strategy, "machines")
    requests = {number: judgement([initial_model(-1.0) if number else initial_model()], number) for number in range(3)}
    strategy.ask("machines", "judge", requests)
    strategy.keep("judge", requests)
    grid._contexts[2].state = RecordDict()
    seen = asked(grid)
    numbers = {"round": 1, "first": 0, "last": 2, "total": 4, "factor": 3, "examples": 60}
    replies = strategy.ask("machines", "fit", Payload({"weights": initial_model()}, numbers), 1)
    assert [(action, machine) for action, machine, _, _ in seen] == [
        ("fit", 0), ("fit", 1), ("fit", 2), ("judge", 1), ("fit", 1),
    ]  # fmt: skip
    assert seen[3][2].integer("steps") == 1
    assert [reply.integer("partition-id") for reply in replies] == [0, 1, 2]


def test_messages_that_are_sent_again_are_new_ones() -> None:
    """Flower's SuperLink names a message by its content, and takes each one once."""
    config = tiny_config(identify="federated", robust="federated")
    strategy, grid = parts_of_a_run(config, tiny_splits())
    sent: list[Message] = []
    original = grid.send_and_receive

    def forgetting(messages: Iterable[Message], **rest: Any) -> Any:
        listed = list(messages)
        if listed[0].metadata.message_type == "train.fit" and not any(
            m.metadata.message_type == "train.fit" for m in sent
        ):
            grid._contexts[1].state = RecordDict()
        assert not [message for message in listed if any(message is other for other in sent)]
        sent.extend(listed)
        return original(listed, **rest)

    grid.send_and_receive = forgetting  # type: ignore[method-assign, assignment]
    strategy.run(grid)
    fits = [m for m in sent if m.metadata.message_type == "train.fit"]
    assert [m.metadata.dst_node_id for m in fits] == [1, 2, 3, 1, 1, 2, 3]


def test_every_stage_has_an_aggregator_of_its_own_that_starts_afresh() -> None:
    """FedAvgM from x = 0 with updates 1: v = -1, x = 1; then v = -.9 - 0 (the update is where x is), x = 1.9."""
    settings: dict[str, Any] = {"aggregator": "fedavgm", "averaging": "none", "robust": "federated"}
    strategy, _ = parts_of_a_run(tiny_config(identify_aggregator="fedavgm", **settings), tiny_splits())
    one = [(np.ones(3, np.float32), 1.0)]

    def two_rounds(stage: str) -> list[float]:
        first = strategy.combine(1, np.zeros(3, np.float32), one, stage)
        second = strategy.combine(2, first, [(first, 1.0)], stage)
        return [float(first[0]), float(second[0])]

    for stage in ("identify", "identify-again", "robust", "robust"):  # a second training has no momentum of the first
        assert two_rounds(stage) == pytest.approx([1.0, 1.9])
    # and a stage's second round goes on where its first was, whatever another stage did in between
    strategy.combine(1, np.zeros(3, np.float32), one, "identify")
    strategy.combine(1, np.zeros(3, np.float32), [(np.full(3, 5.0, np.float32), 1.0)], "robust")
    joined = strategy.combine(2, np.ones(3, np.float32), one, "identify")
    assert float(joined[0]) == pytest.approx(1.9)


def test_a_drawn_share_learns_the_common_model_and_everybody_judges_by_it() -> None:
    settings: dict[str, Any] = {"identify_rounds": 4, "identify_epochs": 4}
    config = tiny_config(machines=6, identify="federated", robust="federated", fraction_train=0.5, **settings)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    learned, judged = spy(grid, "learn"), spy(grid, "judge")
    strategy.run(grid)
    assert [len(drawn) for drawn in learned] == [3] * 4
    assert len({tuple(drawn) for drawn in learned}) > 1
    assert judged == [[0, 1, 2, 3, 4, 5]]


def test_of_many_machines_the_same_ten_look_whoever_learns() -> None:
    """Twelve machines of which six are drawn a round; ten look, always the same, and everybody judges."""
    settings: dict[str, Any] = {"identify_rounds": 3, "identify_epochs": 3, "identify_stop": "val-groups"}
    config = tiny_config(machines=12, identify="federated", robust="federated", fraction_train=0.5, **settings)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    renumbered(grid, [100 - 7 * number for number in range(12)])  # whatever their nodes' ids are
    learned, looked, judged = spy(grid, "learn"), spy(grid, "look"), spy(grid, "judge")
    strategy.run(grid)
    assert [len(drawn) for drawn in learned] == [6] * 3
    assert looked == [lookers(12, config.seed)] * 3
    assert judged == [list(range(12))]


def test_a_machine_that_does_not_look_is_missed_like_any_other() -> None:
    settings: dict[str, Any] = {"identify": "federated", "identify_stop": "val-groups"}

    def fails(action: str, number: int) -> str:
        return "silent" if (action, number) == ("look", 2) else ""

    strategy, grid = lossy(fails, **settings)
    with pytest.raises(EngineError, match=r"identify stage, round 1: 3 of 4 machines answered, 4 are needed"):
        strategy.run(grid)
    strategy, grid = lossy(fails, min_machines=0.75, **settings)
    trained = strategy.run(grid)
    assert np.isfinite(trained.weights).all()
    assert strategy.notes[:2] == [
        f"identify stage, round {number}: 3 of 4 machines counted; machine 2 did not answer in time"
        for number in (1, 2)
    ]
    assert trained.identification is not None
    assert [machine["samples"] for machine in trained.identification["machines"]] == [15] * 4  # it judges all the same
