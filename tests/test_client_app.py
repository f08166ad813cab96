"""The ClientApp: from a message to an action on a machine's data, and errors as content."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.errors import DataError, DivergedError
from fedjtt.inference.error_set import unpack_mask
from fedjtt.methods import identify_local
from fedjtt.methods.registry import CATEGORIES, action_for
from fedjtt.provide import Provider, provide_parts, spread
from fedjtt.records import ACTION, ARRAYS, CONFIG, failure_of, from_records, read_memo, to_array_record
from fedjtt.simulation import InProcessGrid
from tests.tiny import node_of, tiny_config, tiny_splits


def provider(config: RunConfig) -> Provider:
    return provide_parts(spread(tiny_splits(), config))


def context(config: RunConfig, number: int = 0) -> Context:
    node: dict[str, Any] = {"partition-id": number, "num-partitions": config.machines}
    run = dict(config.flat())
    return Context(run_id=1, node_id=9, node_config=node, state=RecordDict(), run_config=run)  # type: ignore[arg-type]


def message(action: str, numbers: dict[str, Any] | None = None, arrays: dict[str, Any] | None = None) -> Message:
    InProcessGrid(make_client_app(), RunConfig(), 1)  # gives this process an identity
    told = ConfigRecord({**(numbers or {}), ACTION: action})
    content = RecordDict({ARRAYS: to_array_record(arrays or {}), CONFIG: told})
    made = Message(content, 9, f"{CATEGORIES[action]}.{action}")
    made.metadata.__dict__["_message_id"] = "1"
    return made


TOTAL = {"examples": 60}


def test_every_action_has_a_category() -> None:
    for name in CATEGORIES:
        assert callable(action_for(name, RunConfig()))
    with pytest.raises(KeyError):
        action_for("unknown", RunConfig())


@pytest.mark.parametrize("number", [0, 2])
def test_a_machine_answers_about_its_own_part(number: int) -> None:
    config = tiny_config()
    reply = make_client_app(provider(config))(message("census"), context(config, number))
    answer = from_records(reply.content)
    assert answer.integer("partition-id") == number
    assert answer.integer("examples") == 20
    assert sum(answer.integers("group-counts")) == 20


def test_a_provider_is_asked_for_this_machine() -> None:
    asked: list[tuple[int, int]] = []
    config = tiny_config()

    def provide(given: RunConfig, number: int, machines: int) -> Any:
        asked.append((number, machines))
        return provider(given)(given, number, machines)

    make_client_app(provide)(message("census"), context(config, 1))
    assert asked == [(1, 3)]


@pytest.mark.parametrize("error", [DataError("no such file"), DivergedError("nan")])
def test_an_error_of_ours_is_an_answer(error: Exception) -> None:
    def provide(*_: Any) -> Any:
        raise error

    config = tiny_config()
    reply = make_client_app(provide)(message("census"), context(config, 2))
    assert not reply.has_error()
    arrived = failure_of(reply.content)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


def test_any_other_exception_is_not_swallowed() -> None:
    def provide(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        make_client_app(provide)(message("census"), context(tiny_config()))


def test_a_bad_run_config_is_an_answer_too() -> None:
    config = tiny_config()
    broken = context(config)
    broken.run_config = {**config.flat(), "machines": 0}
    failure = failure_of(make_client_app(provider(config))(message("census"), broken).content)
    assert failure is not None
    assert str(failure).startswith("machines is 0")


def test_the_error_set_is_kept_between_messages_and_can_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memo is a cache: a machine that forgets it computes the same mask again."""
    trainings: list[int] = []
    original = identify_local._train_and_split

    def counting(node: Any, schedule: Any) -> Any:
        trainings.append(node.partition_id)
        return original(node, schedule)

    monkeypatch.setattr(identify_local, "_train_and_split", counting)
    config = tiny_config()
    app, kept = make_client_app(provider(config)), context(config)
    first = from_records(app(message("identify", TOTAL), kept).content)
    memo = read_memo(kept)
    assert set(memo) == {"error-mask", "error-about"}
    again = from_records(app(message("identify", TOTAL), kept).content)
    assert trainings == [0]
    fresh = context(config)
    lost = from_records(app(message("identify", TOTAL), fresh).content)
    assert trainings == [0, 0]
    for other in (again, lost):
        np.testing.assert_array_equal(first.arrays["error-ids"], other.arrays["error-ids"])
    np.testing.assert_array_equal(memo["error-mask"], read_memo(fresh)["error-mask"])


def test_only_central_training_learns_ids() -> None:
    """What may leave a machine: under federated no array but model updates, no id."""
    config = tiny_config(robust="federated")
    answer = from_records(make_client_app(provider(config))(message("identify", TOTAL), context(config)).content)
    assert dict(answer.arrays) == {}
    assert set(answer.numbers) == {
        "examples", "errors", "label-errors", "label-sizes", "steps", "seconds", "tries", "useless", "partition-id",
    }  # fmt: skip


def test_what_is_found_anew_is_kept_in_place_of_what_was_found_before() -> None:
    """A machine judges its data several times; the last judgement is its error set, whatever it remembered."""
    config = tiny_config(identify="federated", robust="federated")
    app, kept = make_client_app(provider(config)), context(config)
    rows = spread(tiny_splits(), config)[0].train.rows
    start = node_of(config, tiny_splits().train, rows).initial_model().vector.numpy().copy()
    numbers = {**TOTAL, "steps": 0, "tries": 1}
    errors, masks = [], []
    for weights in (start, -start):
        asked = message("judge", numbers, {"models": weights[None]})
        errors.append(from_records(app(asked, kept).content).integer("errors"))
        masks.append(read_memo(kept)["error-mask"])
        assert int(unpack_mask(masks[-1], len(rows)).sum()) == errors[-1]
    assert masks[0].tolist() != masks[1].tolist()
