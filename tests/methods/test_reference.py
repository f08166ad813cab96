"""Selection without group labels: the short ERM run, who keeps what of it, and that it changes nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedjtt
from fedjtt.cache import StageCache
from fedjtt.checkpoint import Checkpoints
from fedjtt.config import RunConfig
from fedjtt.methods.base import Array
from fedjtt.methods.registry import METHODS
from fedjtt.simulation import InProcessGrid
from strategies.staged import StagedStrategy
from tests.tiny import asked, parts_of_a_run, run_on, tiny_config, tiny_splits

BOTH = pytest.mark.parametrize("robust", ["central", "federated"])


def config_of(**changes: Any) -> RunConfig:
    return tiny_config(
        **{"selection": "val-bias-unsupervised", "identify_rounds": 3, "robust_rounds": 3, "projection_dimension": 16}
        | changes
    )


@BOTH
@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_selected_by_it(method: str, robust: str) -> None:
    outcome = fedjtt.simulate(config_of(method=method, robust=robust), tiny_splits())
    figures = ("bias-unsupervised-score", "average-accuracy")
    ranks = [tuple(line[f"validation.{name}"] for name in figures) for line in outcome.history]
    assert all(0 <= score <= 1 for score, _ in ranks)
    assert outcome.result["selected-round"] == ranks.index(max(ranks)) + 1
    if method != "dfr":  # which fits another last layer to the selected round's features
        assert tuple(outcome.result["validation"][name] for name in figures) == max(ranks)
    assert outcome.result["seconds"]["identify"]["sum"] > 0


@BOTH
def test_server_and_machines_count_alike_and_machines_send_counts_only(robust: str) -> None:
    splits, results, told = tiny_splits(), [], []
    for place in ("server", "machines"):
        config = config_of(method="erm", robust=robust, evaluation_at=place)
        _, grid = parts_of_a_run(config, splits)
        exchanges = asked(grid)
        results.append(run_on(grid, config, splits).result)
        told += [reply for action, _, _, reply in exchanges if action in ("assess", "refer")]
    assert results[0]["digest"] == results[1]["digest"]
    machines = results[1]["validation"].pop("machines")  # the server's own counts are nobody's share
    assert len(machines) == config.machines
    assert results[0]["validation"] == results[1]["validation"]
    assert told
    assert not any(reply.arrays for reply in told)


@pytest.mark.parametrize("identify", ["local", "federated", "peers"])
def test_the_training_is_that_of_any_other_selection(identify: str) -> None:
    """Also where the machines find their error sets by other models: those of the reference do not mix with them."""
    one, other = (
        fedjtt.simulate(config_of(selection=selection, identify=identify), tiny_splits())
        for selection in ("last", "val-bias-unsupervised")
    )
    sizes = [run.result["identification"]["error-set-size"] for run in (one, other)]
    assert sizes[0] == sizes[1] > 0
    assert [line["loss"] for line in one.history] == [line["loss"] for line in other.history]


def test_it_is_the_model_of_federated_identification_and_is_trained_once() -> None:
    config, splits = config_of(identify="federated", robust="federated"), tiny_splits()
    trained, judged = [], []
    for selection in ("val-bias-unsupervised", "last"):
        strategy, grid = parts_of_a_run(config.replace(selection=selection), splits)
        exchanges = asked(grid)
        strategy.run(grid)
        trained.append(sum(action == "learn" for action, *_ in exchanges))
        judged.append([request.arrays["models"][0] for action, _, request, _ in exchanges if action == "judge"][-1])
        if selection == "last":
            assert strategy.reference is None
        else:
            assert strategy.reference is not None
            np.testing.assert_array_equal(strategy.reference["weights"], judged[-1])
    assert trained == [3 * 3, 3 * 3]  # rounds and machines
    np.testing.assert_array_equal(*judged)


class KilledError(Exception):
    """The process ends here."""


def checkpointed(config: RunConfig, folder: Path, saves: int = 1_000) -> tuple[StagedStrategy, InProcessGrid]:
    """A run that writes checkpoints and is killed after some of them."""
    strategy, grid = parts_of_a_run(config, tiny_splits())
    made = StagedStrategy(config, strategy.talk.server_grid, checkpoints=Checkpoints.of_run(folder, config))
    save, left = made.save, [saves]

    def counted(name: str, state: Mapping[str, Array]) -> None:
        save(name, state)
        left[0] -= 1
        if not left[0]:
            raise KilledError

    made.save = counted  # type: ignore[method-assign]
    return made, grid


@pytest.mark.parametrize(("method", "at"), [("erm", "server"), ("jtt", "machines")])
def test_a_resumed_run_ends_as_one_that_was_not_killed(tmp_path: Path, method: str, at: str) -> None:
    config = config_of(method=method, identify="federated", robust="federated", evaluation_at=at, on_restart="resume")
    whole, grid = parts_of_a_run(config, tiny_splits())
    expected = whole.run(grid)
    for saves in (2, 3):  # in the training of the reference; then in the robust rounds
        killed, grid = checkpointed(config, tmp_path, saves)
        with pytest.raises(KilledError):
            killed.run(grid)
    resumed, grid = checkpointed(config, tmp_path)
    exchanges = asked(grid)
    done = resumed.run(grid)
    assert not [action for action, *_ in exchanges if action == "learn"]
    np.testing.assert_array_equal(done.weights, expected.weights)
    scores = [[line["validation.bias-unsupervised-score"] for line in run.history] for run in (done, expected)]
    assert scores[0] == scores[1]


def test_a_sweep_trains_it_once_for_all_methods(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    config, splits = config_of(method="erm"), tiny_splits()
    fresh = fedjtt.simulate(config, splits).result
    first = fedjtt.simulate(config, splits, cache=cache).result
    strategy, grid = parts_of_a_run(config.replace(method="group-dro"), splits, cache=cache)
    exchanges = asked(grid)
    strategy.run(grid)
    assert not [action for action, *_ in exchanges if action == "learn"]
    again = fedjtt.simulate(config, splits, cache=cache).result
    assert again["digest"] == first["digest"] == fresh["digest"]
    assert again["bytes"] == first["bytes"] == fresh["bytes"]
    # Another reference selects otherwise: what was selected by the first is not taken from the cache.
    other = config.replace(identify_learning_rate=0.2)
    assert (
        fedjtt.simulate(other, splits, cache=cache).result["validation"]
        == fedjtt.simulate(other, splits).result["validation"]
    )


@pytest.mark.parametrize("identify", ["local", "federated"])
def test_a_machine_that_restarts_is_told_again(identify: str) -> None:
    config = config_of(identify=identify, robust="federated", evaluation_at="machines")
    splits = tiny_splits()
    expected = run_on(parts_of_a_run(config, splits)[1], config, splits).result
    _, grid = parts_of_a_run(config, splits)
    original, fitted = grid.send_and_receive, [0]

    def forgetting(messages: Any, **rest: Any) -> Any:
        listed = list(messages)
        fitted[0] += bool(listed) and listed[0].metadata.message_type == "train.fit"
        if fitted[0] == 2:
            fitted[0] += 1
            for context in grid._contexts.values():
                context.state.clear()
        return original(listed, **rest)

    grid.send_and_receive = forgetting  # type: ignore[method-assign]
    result = run_on(grid, config, splits).result
    assert fitted[0] > 2
    assert result["digest"] == expected["digest"]
    assert result["validation"] == expected["validation"]


def test_a_reference_that_diverges_leaves_the_labels() -> None:
    result = fedjtt.simulate(
        config_of(method="erm", identify_learning_rate=1e30, identify_guard=True), tiny_splits()
    ).result
    assert any(note.startswith("the reference model of val-bias-unsupervised did not") for note in result["notes"])
    figures = result["validation"]
    assert figures["bias-unsupervised-score"] == pytest.approx(figures["worst-class-accuracy"])
