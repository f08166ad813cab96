"""The server's mask through whole runs: counts, dead weights, bytes, and what the result says."""

from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import RecordDict

import fedjtt
from fedjtt.methods import sparse_course
from fedjtt.server_app import Outcome
from fedjtt.sparse.density import live_counts
from fedjtt.sparse.layout import Layout
from fedjtt.sparse.wire import TOGGLES
from tests.tiny import asked, parts_of_a_run, run_on, tiny_config, tiny_splits

# The tiny network: 4 features, two hidden layers of 128 units, 2 labels.
SHAPES = [("fc1.weight", (128, 4)), ("fc1.bias", (128,)), ("fc2.weight", (128, 128)), ("fc2.bias", (128,)),
          ("fc3.weight", (2, 128)), ("fc3.bias", (2,))]  # fmt: skip
LAYOUT = Layout.from_shapes(SHAPES)
DENSITY = 0.05


def run(**changes: Any) -> Outcome:
    settings: dict[str, Any] = {
        "method": "rest", "groups": "true", "rest_density": DENSITY, "robust_epochs": 6, "robust_rounds": 6,
        "rest_period": 1, "robust": "federated", "batch_size": 8, "selection": "last", "weight_decay": 0.1,
        "clip_norm": 0.5,
    }  # fmt: skip
    return fedjtt.simulate(tiny_config(**{**settings, **changes}), tiny_splits())


@pytest.mark.parametrize("grow", ["gradient", "momentum", "random"])
@pytest.mark.parametrize("robust", ["central", "federated"])
def test_dead_weights_are_zero_and_counts_stay(grow: str, robust: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every round's end, under momentum, weight decay, clipping and averages."""
    seen: list[np.ndarray] = []
    begin = sparse_course.SparseCourse.begin

    def watched(self: Any, *given: Any) -> Any:
        before = self.mask.copy()
        for vector in given[2:]:  # the round before has left weights and average, under the mask before
            assert len(seen) == 0 or vector is None or not vector[~before].any()
        found = begin(self, *given)
        for vector in found:
            assert vector is None or not vector[~self.mask].any()
        seen.append(self.mask.copy())
        return found

    monkeypatch.setattr(sparse_course.SparseCourse, "begin", watched)
    outcome = run(rest_grow=grow, robust=robust)
    wanted = live_counts(LAYOUT.sparse, DENSITY, "erk")
    for mask in seen:
        assert [int(mask[block.stretch].sum()) for block in LAYOUT.sparse] == wanted
    assert len({mask.tobytes() for mask in seen}) == 6  # it changed after every round
    assert not outcome.weights[~seen[-1]].any()
    assert outcome.result["sparse"]["mask-changes"] == 5


def test_the_result_says_how_sparse_it_is() -> None:
    about = run().result["sparse"]
    counts = live_counts(LAYOUT.sparse, DENSITY, "erk")
    sizes = [block.size for block in LAYOUT.sparse]
    assert [layer["live"] for layer in about["layers"]] == counts
    assert about["density"] == pytest.approx(sum(counts) / sum(sizes))
    assert about["density"] == pytest.approx(DENSITY, abs=1e-3)
    assert about["live-parameters"] == sum(counts) + 128 + 128 + 2
    assert about["parameters"] == LAYOUT.size
    # Five changes of about half, then less, of the second layer's 51 live weights
    assert about["density"] < about["in-time-over-parametrisation"] < 6 * about["density"]
    bits = -(-LAYOUT.size // 8)
    assert about["memory"] == {"weights": 4 * about["live-parameters"] + bits, "dense-weights": 4 * LAYOUT.size}
    shares = [count / size for count, size in zip(counts, sizes, strict=True)]
    assert about["flops"]["dense-inference"] == sum(2 * size for size in sizes)
    assert about["flops"]["inference"] == pytest.approx(
        sum(2 * size * share for size, share in zip(sizes, shares, strict=True))
    )


def test_in_time_over_parametrisation_without_a_change_is_the_density() -> None:
    about = run(rest_period=1000).result["sparse"]
    assert about["mask-changes"] == 0
    assert about["in-time-over-parametrisation"] == about["density"]


@pytest.mark.parametrize("averaging", ["none", "ema"])
def test_density_one_is_the_dense_digest(averaging: str) -> None:
    same: dict[str, Any] = {"rest_density": 1, "rest_weight": 1, "averaging": averaging, "selection": "last"}
    for robust in ("central", "federated"):
        sparse = run(robust=robust, **same)
        dense = run(method="erm", robust=robust, **same)
        assert sparse.result["digest"] == dense.result["digest"]
        assert sparse.result["sparse"]["density"] == 1


def test_a_grown_weight_starts_at_zero_and_a_dead_one_is_forgotten() -> None:
    """With a learning rate of next to nothing, what grew in the last change is still next to nothing."""
    before, after = (
        run(learning_rate=1e-9, robust_rounds=rounds, robust_epochs=rounds, rest_rate=0.5) for rounds in (1, 2)
    )
    grown = (np.abs(after.weights) > 0) & (before.weights == 0)
    assert grown.any()
    assert np.abs(after.weights[grown]).max() < 1e-6
    assert np.abs(before.weights[before.weights != 0]).min() > 1e-6


def test_the_masks_of_whole_batch_machines_are_centrals() -> None:
    """A step a round on all examples: the machines' mean gradient is the gradient, and so is what grows."""
    stepwise: dict[str, Any] = {
        "batch_size": 0, "learning_rate": 0.2, "learning_rate_schedule": "constant", "averaging": "none", "machines": 4,
        "clip_norm": 0.0,
    }  # fmt: skip
    for grow in ("gradient", "momentum", "random"):
        central, machines = (run(robust=robust, rest_grow=grow, **stepwise) for robust in ("central", "federated"))
        np.testing.assert_array_equal(central.weights != 0, machines.weights != 0)
        np.testing.assert_allclose(central.weights, machines.weights, atol=1e-5)
        assert central.result["sparse"]["layers"] == machines.result["sparse"]["layers"]


# --- over the wire ---

WIDE: dict[str, Any] = {"averaging": "none", "machines": 3}


def big_run(**changes: Any) -> Outcome:
    """On images, for whose network a message's envelope is small: LeNet, 61,581 weights."""
    splits = tiny_splits()

    def imaged(part: Any) -> Any:
        x = torch.randint(0, 255, (len(part), 3, 28, 28), generator=torch.Generator().manual_seed(len(part)))
        return type(part)(x.to(torch.uint8), part.label, part.attribute, part.id, 2, 2)

    parts = [imaged(part) for part in (splits.train, splits.validation, splits.test)]
    pictures = type(splits)(*parts, splits.label_names, splits.attribute_names)
    settings: dict[str, Any] = {
        "method": "rest", "groups": "true", "rest_density": 0.05, "model": "lenet", "robust": "federated",
        "robust_epochs": 4, "robust_rounds": 4, "batch_size": 20, "rest_period": 3,
    }  # fmt: skip
    return fedjtt.simulate(tiny_config(**{**settings, **WIDE, **changes}), pictures)


def test_a_round_without_a_change_takes_at_most_six_percent_of_a_dense_one() -> None:
    """Four steps in four rounds, period 3: the mask changes before the fourth."""
    sparse, dense = big_run(), big_run(method="erm")
    shares = [line["share-of-dense-bytes"] for line in sparse.history]
    assert all(share <= 0.06 for share in shares[:3])
    assert shares[3] > 0.4  # a whole gradient went up
    both = [
        sum(row["sent"] + row["received"] for row in outcome.ledger if row["stage"] == "robust" and row["round"] == 2)
        for outcome in (sparse, dense)
    ]
    assert both[0] / both[1] <= 0.06
    assert both[0] / both[1] == pytest.approx(shares[1], rel=0.02)


def test_a_run_takes_at_most_twelve_percent_of_a_dense_one() -> None:
    """By default: 50 rounds, whole gradients after rounds 8, 16 … 48, at about half of a dense round each."""
    about = big_run(rest_period="auto", robust_epochs=50, robust_rounds=50, selection="last").result["sparse"]
    assert (about["mask-changes"], about["whole-gradients"]) == (6, 6)
    assert 0.11 < about["share-of-dense-bytes"] <= 0.12


def test_what_machines_name_costs_a_fraction_of_a_whole_gradient() -> None:
    whole, named = big_run(), big_run(rest_exact_every=0)
    assert named.history[3]["share-of-dense-bytes"] < 0.16
    assert (whole.result["sparse"]["whole-gradients"], named.result["sparse"]["whole-gradients"]) == (1, 0)
    assert named.result["sparse"]["density"] == whole.result["sparse"]["density"]


def test_every_second_change_is_exact() -> None:
    about = run(rest_exact_every=2, averaging="none").result["sparse"]
    assert (about["mask-changes"], about["whole-gradients"]) == (5, 3)


@pytest.mark.parametrize("grow", ["gradient", "momentum", "random"])
def test_secure_sums_grow_the_same(grow: str) -> None:
    plain, secure = (run(secure_aggregation=on, rest_grow=grow, averaging="none") for on in (False, True))
    np.testing.assert_array_equal(plain.weights != 0, secure.weights != 0)
    np.testing.assert_allclose(plain.weights, secure.weights, atol=1e-5)


def test_machines_that_take_part_now_and_then_are_told_the_whole_mask() -> None:
    outcome = run(fraction_train=0.4, averaging="none")
    assert outcome.result["missing"] == []
    assert outcome.result["sparse"]["mask-changes"] == 5


@pytest.mark.parametrize("grow", ["gradient", "momentum"])
def test_machines_that_forget_everything_are_told_the_mask_again(grow: str) -> None:
    """Before every fit the machines lose what they kept between messages; nothing of the result may change."""
    settings: dict[str, Any] = {
        "method": "rest", "groups": "true", "rest_density": DENSITY, "robust_epochs": 6, "robust_rounds": 6,
        "rest_period": 1, "robust": "federated", "batch_size": 8, "rest_grow": grow,
    }  # fmt: skip
    config, splits = tiny_config(**settings), tiny_splits()
    _, grid = parts_of_a_run(config, splits)
    seen, original = asked(grid), grid.send_and_receive

    def forgetful(messages: Any, **rest: Any) -> Any:
        listed = list(messages)
        if listed and listed[0].metadata.message_type == "train.fit" and not reminded:
            for context in grid._contexts.values():
                context.state = RecordDict()
        reminded[:] = [message for message in listed if message.metadata.message_type == "query.mask"]
        return original(listed, **rest)

    reminded: list[Any] = []
    grid.send_and_receive = forgetful  # type: ignore[method-assign]
    outcome = run_on(grid, config, splits)
    assert outcome.result["digest"] == fedjtt.simulate(config, splits).result["digest"]
    assert outcome.result["missing"] == []
    # All three, in each round whose change is told by places; where bits are shorter, nobody need remember anything.
    by_places = (
        sum(action == "fit" and machine == 0 and TOGGLES in told.arrays for action, machine, told, _ in seen) / 2
    )
    assert by_places >= 2  # of two tries each
    assert sum(action == "mask" for action, *_ in seen) == 3 * by_places


def test_the_seconds_of_gradients_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every gradient took 1,000 s: five changes, three machines side by side."""
    slow = sparse_course.seconds_of
    monkeypatch.setattr(sparse_course, "seconds_of", lambda replies: [each + 1000 for each in slow(replies)])
    seconds = run().result["seconds"]
    assert 5_000 < seconds["robust"] < 5_100
    assert 15_000 < seconds["robust-sum"] < 15_100


def test_noise_does_not_wake_the_dead() -> None:
    outcome = run(rest_grow="random", noise_multiplier=0.1, clip_update_norm=0.5, noise_seed=3, averaging="none")
    assert int((outcome.weights != 0).sum()) <= outcome.result["sparse"]["live-parameters"]


def test_a_round_longer_than_the_period_is_said() -> None:
    outcome = run(robust_rounds=2, rest_period=1)
    assert any("the mask changes once a round; set robust-rounds higher" in note for note in outcome.result["notes"])
    assert outcome.result["sparse"]["mask-changes"] == 1
