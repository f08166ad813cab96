"""The in-process Grid: what it promises to a strategy, and the private parts of Flower that it stands on."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

import fedjtt
from fedjtt.client_app import app, make_client_app
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError, EngineError
from fedjtt.methods.registry import METHODS
from fedjtt.provide import provide_server_data
from fedjtt.simulation import InProcessGrid
from fedjtt.workers import WorkerPool
from strategies import exchange
from strategies.exchange import wait_for_nodes
from strategies.staged import StagedStrategy
from tests import tiny

TINY: dict[str, Any] = {**tiny.TINY, "robust": "federated"}


def counting_app(deaths: Path | None = None, deadly: int = -1) -> ClientApp:
    """An app whose machines say who they are and how often they were asked, and that may kill its process."""
    own = ClientApp()

    @own.query()
    def query(message: Message, context: Context) -> Message:
        partition_id = int(context.node_config["partition-id"])
        before = context.state.metric_records["count"]["value"] if "count" in context.state else 0
        assert isinstance(before, int)
        context.state["count"] = MetricRecord({"value": before + 1})
        if partition_id == deadly and deaths is not None:
            number = len(list(deaths.iterdir()))
            if number < 1 or deaths.name == "always":
                (deaths / str(number)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        metrics = {"who": partition_id, "of": int(context.node_config["num-partitions"]), "count": before + 1}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    @own.train()
    def train(message: Message, context: Context) -> Message:  # noqa: ARG001
        raise ValueError(f"machine {context.node_config['partition-id']} is broken")

    return own


@pytest.fixture(params=[0, 2], ids=["this process", "two workers"])
def workers(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def make_grid(stack: ExitStack, workers: int, own: ClientApp | None = None, machines: int = 4) -> InProcessGrid:
    own = own or counting_app()
    pool = stack.enter_context(WorkerPool(workers, InProcessGrid.handler(own))) if workers else None
    return InProcessGrid(own, RunConfig(), machines, pool)


def messages(nodes: list[int], kind: str = "query") -> list[Message]:
    return [Message(RecordDict(), node, kind) for node in nodes]


def figures(replies: list[Message], name: str) -> list[Any]:
    return [reply.content.metric_records["metrics"][name] for reply in replies]


def test_the_private_parts_of_flower_are_as_they_were() -> None:
    """Where this fails after an update of Flower, fedjtt/simulation.py is the one file to adapt."""
    for name in ("task_id", "run_id", "node_id"):
        assert hasattr(TaskIdentity, f"_{name}")
        assert isinstance(getattr(type(TaskIdentity), name), property)
    InProcessGrid(counting_app(), RunConfig(), 1)
    message = Message(RecordDict(), 7, "query")
    message.metadata.__dict__["_message_id"] = "abc"
    assert message.metadata.message_id == "abc"
    assert Message(RecordDict(), reply_to=message).metadata.reply_to_message_id == "abc"
    assert Run.create_empty(run_id=1).run_id == 1


def test_an_identity_that_flower_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_node_id", 77)
    monkeypatch.setattr(TaskIdentity, "_run_id", None)
    InProcessGrid(counting_app(), RunConfig(), 1)
    assert TaskIdentity.node_id == 77
    assert TaskIdentity.run_id == 1


def test_replies_stand_in_the_order_of_the_messages(stack: ExitStack, workers: int) -> None:
    grid = make_grid(stack, workers)
    assert list(grid.get_node_ids()) == [1, 2, 3, 4]
    replies = list(grid.send_and_receive(messages([3, 1, 4, 2])))
    assert figures(replies, "who") == [2, 0, 3, 1]
    assert figures(replies, "of") == [4, 4, 4, 4]
    assert [reply.metadata.src_node_id for reply in replies] == [3, 1, 4, 2]


def test_messages_have_ids_of_their_own(stack: ExitStack, workers: int) -> None:
    grid = make_grid(stack, workers)
    sent = messages([1, 2]) + messages([1])
    ids = [reply.metadata.reply_to_message_id for reply in grid.send_and_receive(sent)]
    assert ids == [message.metadata.message_id for message in sent]
    assert len(set(ids)) == 3


def test_a_machine_keeps_its_state_between_messages(stack: ExitStack, workers: int) -> None:
    grid = make_grid(stack, workers)
    grid.send_and_receive(messages([1, 2]))
    grid.send_and_receive(messages([2, 3]))
    assert figures(list(grid.send_and_receive(messages([1, 2, 3, 4]))), "count") == [2, 3, 2, 1]


def test_two_grids_share_no_state(stack: ExitStack, workers: int) -> None:
    make_grid(stack, workers).send_and_receive(messages([1]))
    assert figures(list(make_grid(stack, workers).send_and_receive(messages([1]))), "count") == [1]


def test_pushed_messages_are_pulled_once(stack: ExitStack, workers: int) -> None:
    grid = make_grid(stack, workers)
    ids = list(grid.push_messages(messages([2, 1])))
    assert figures(list(grid.pull_messages(ids[1:])), "who") == [0]
    assert figures(list(grid.pull_messages([*ids, "unknown"])), "who") == [1]
    assert list(grid.pull_messages(ids)) == []


def test_create_message_addresses_a_machine(stack: ExitStack) -> None:
    grid = make_grid(stack, 0)
    message = grid.create_message(RecordDict(), "query", 2, "group")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (2, "group")
    assert figures(list(grid.send_and_receive([message])), "who") == [1]


def test_an_exception_on_a_machine_is_raised_where_the_strategy_waits(stack: ExitStack, workers: int) -> None:
    grid = make_grid(stack, workers)
    with pytest.raises(ValueError, match="machine 1 is broken"):
        grid.send_and_receive(messages([2], "train"))
    assert figures(list(grid.send_and_receive(messages([2, 3]))), "count") == [1, 1]


def test_a_killed_worker_is_replaced_and_counts_once(stack: ExitStack, tmp_path: Path) -> None:
    grid = make_grid(stack, 2, counting_app(tmp_path, deadly=2))
    replies = list(grid.send_and_receive(messages([1, 2, 3, 4])))
    assert len(list(tmp_path.iterdir())) == 1
    assert figures(replies, "who") == [0, 1, 2, 3]
    assert figures(replies, "count") == [1, 1, 1, 1]  # the attempt that died left no state


def test_three_deaths_end_the_run(stack: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "always").mkdir()
    grid = make_grid(stack, 2, counting_app(tmp_path / "always", deadly=1))
    with pytest.raises(EngineError, match="3 worker processes died"):
        grid.send_and_receive(messages([1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("robust", "precision"), [("federated", "float32"), ("central", "float32"), ("federated", "bfloat16")]
)
def test_the_number_of_workers_does_not_change_the_weights(robust: str, precision: str) -> None:
    config = RunConfig.parse({**TINY, "robust": robust, "precision": precision})
    digests = {fedjtt.simulate(config.replace(workers=workers)).result["digest"] for workers in (1, 2, 7)}
    assert len(digests) == 1


def test_a_worker_killed_at_work_does_not_change_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fedjtt.simulate(RunConfig.parse(TINY)).result["digest"]
    lesson = METHODS["jtt"].lesson

    def dies_once(*args: Any) -> Any:
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return lesson(*args)

    monkeypatch.setattr(type(METHODS["jtt"]), "lesson", staticmethod(dies_once))
    assert fedjtt.simulate(RunConfig.parse({**TINY, "workers": 2})).result["digest"] == expected
    assert (tmp_path / "died").exists()


def test_too_few_nodes_say_at_once_that_the_federation_has_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SHORTAGE_SECONDS", 0.0)
    config = RunConfig.parse(TINY)
    strategy = StagedStrategy(config, InProcessGrid(make_client_app(provide_server_data), config, 1))
    with pytest.raises(ConfigError, match=r"machines is 3 but the federation has 2 nodes; make them equal"):
        strategy.run(InProcessGrid(app, config, 2))


def test_waiting_for_nodes_ends_with_both_numbers(stack: ExitStack) -> None:
    with pytest.raises(EngineError, match="4 of 5 machines connected within 0 s"):
        wait_for_nodes(make_grid(stack, 0), 5, seconds=0.05, poll=0.01)


def test_arrays_pass_through_workers_unchanged(stack: ExitStack) -> None:
    own = ClientApp()

    @own.query()
    def query(message: Message, context: Context) -> Message:  # noqa: ARG001
        return Message(message.content, reply_to=message)

    sent = np.random.default_rng(0).normal(size=100_000)
    record = RecordDict({"arrays": ArrayRecord({"x": Array(sent)})})
    grid = make_grid(stack, 2, own)
    for reply in grid.send_and_receive([Message(record, node, "query") for node in (1, 2)]):
        np.testing.assert_array_equal(reply.content.array_records["arrays"]["x"].numpy(), sent)
