"""Deep feature reweighting: against its definition with scikit-learn, over machines, and where something is absent."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import fedjtt
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.errors import ConfigError
from fedjtt.evaluation import features_of
from fedjtt.methods.base import Payload
from fedjtt.methods.cut import drawn
from fedjtt.methods.dfr import PENALTIES, refit
from fedjtt.models import build_model
from fedjtt.server_app import Outcome
from tests.tiny import asked, grouped, parts_of_a_run, tiny_config, tiny_splits

WIDTH = 128


def run(splits: Splits, **changes: Any) -> Outcome:
    return fedjtt.simulate(tiny_config(**{"method": "dfr", "dfr_fits": 3, **changes}), splits)


def splits_with(validation: GroupedDataset, labels: int = 2) -> Splits:
    train = grouped(torch.arange(60) % labels, torch.arange(60) // 3 % 2, labels=labels)
    names = tuple(map(str, range(labels)))
    return Splits(train, validation, grouped(torch.arange(24) % labels, [0, 1] * 12, labels=labels), names, ("0", "1"))


def uneven(labels: int, rows: int = 160) -> Splits:
    """Validation with groups of unlike sizes: attribute 1 is a quarter of each label."""
    label = torch.arange(rows) % labels
    return splits_with(grouped(label, torch.arange(rows) // labels % 4 == 0, labels=labels, seed=4), labels)


def refitted(outcome: Outcome, labels: int) -> tuple[Tensor, Tensor]:
    """The last layer of a run's weights: coefficients and intercepts."""
    tail = torch.from_numpy(outcome.weights)[-labels * (WIDTH + 1) :].double()
    return tail[: labels * WIDTH].view(labels, WIDTH), tail[labels * WIDTH :]


def features_at(splits: Splits, outcome: Outcome) -> np.ndarray:
    """Penultimate features of validation, which no last layer changes."""
    validation = splits.validation
    model = build_model("mlp", (4,), validation.num_labels, torch.Generator())
    model.load(torch.from_numpy(outcome.weights))
    return features_of(model, validation, torch.arange(len(validation))).double().numpy()


def balanced(splits: Splits, draw: int, quota: int) -> np.ndarray:
    """Rows of a draw's subset, by brute force: of each group the quota with the smallest numbers."""
    numbers, group = drawn(splits.validation.id, 0, [draw])[0], splits.validation.group
    own = [torch.nonzero(group == each).flatten() for each in range(splits.validation.num_groups)]
    return torch.cat([rows[numbers[rows].argsort()][:quota] for rows in own]).sort().values.numpy()


def oracle(x: np.ndarray, label: np.ndarray, penalty: float) -> LogisticRegression:
    fit = LogisticRegression(l1_ratio=1.0, C=penalty, solver="saga", tol=1e-10, max_iter=100_000, random_state=0)
    return fit.fit(x, label)


def test_the_last_layer_is_the_mean_of_scikit_learns_fits_on_the_same_subsets() -> None:
    """Two labels, where coefficients are unique: standardise, fit, average, fold back; to 1e-4 of the largest."""
    splits, penalty = uneven(2), 0.3
    outcome = run(splits, dfr_penalty=penalty)
    scaler = StandardScaler().fit(features_at(splits, outcome))
    x, label = scaler.transform(features_at(splits, outcome)), splits.validation.label.numpy()
    rows = [balanced(splits, draw, 20) for draw in (1, 2, 3)]
    assert np.bincount(splits.validation.group[rows[0]]).tolist() == [20] * 4
    fits = [oracle(x[own], label[own], penalty) for own in rows]
    coefficients = np.mean([fit.coef_[0] for fit in fits], axis=0) / scaler.scale_
    intercept = np.mean([fit.intercept_[0] for fit in fits]) - coefficients @ scaler.mean_
    weight, bias = refitted(outcome, 2)
    np.testing.assert_allclose(weight[1] - weight[0], coefficients, rtol=0, atol=1e-4 * np.abs(coefficients).max())
    assert float(bias[1] - bias[0]) == pytest.approx(intercept, abs=1e-3)
    head = outcome.result["head"]
    assert (head["penalty"], head["fits"], head["rows"]) == (penalty, 3, 80)
    assert head["nonzero"] == int((weight != 0).sum()) == 2 * int((np.abs(coefficients) > 1e-7).sum())


def test_several_labels_have_scikit_learns_probabilities() -> None:
    """One fit of three labels: its coefficients are not unique, its probabilities are."""
    splits = uneven(3, rows=180)
    outcome = run(splits, dfr_penalty=0.1, dfr_fits=1, dfr_tolerance=1e-9)
    found = features_at(splits, outcome)
    scaler = StandardScaler().fit(found)
    rows = balanced(splits, 1, int(splits.validation.group_counts().min()))
    fit = oracle(scaler.transform(found)[rows], splits.validation.label.numpy()[rows], 0.1)
    weight, bias = refitted(outcome, 3)
    ours = (torch.from_numpy(found) @ weight.T + bias).softmax(dim=1)
    np.testing.assert_allclose(ours, fit.predict_proba(scaler.transform(found)), rtol=0, atol=1e-6)


def test_the_penalty_is_the_one_that_scikit_learn_finds_best() -> None:
    """Fitted on the half with the smaller numbers, cut to its smallest group; judged by the rest's worst group."""
    splits = uneven(2)
    outcome = run(splits)
    head = outcome.result["head"]
    found = features_at(splits, outcome)
    x, label, group = StandardScaler().fit_transform(found), splits.validation.label.numpy(), splits.validation.group
    numbers = drawn(splits.validation.id, 0, [0])[0]
    halves = [torch.nonzero(group == each).flatten() for each in range(4)]
    inner = torch.cat([rows[numbers[rows].argsort()][: (len(rows) + 1) // 2] for rows in halves])
    outer = np.setdiff1d(np.arange(160), inner.numpy())
    rows = balanced(splits, 0, 10)
    worst = []
    for penalty in PENALTIES:
        right = oracle(x[rows], label[rows], penalty).predict(x[outer]) == label[outer]
        worst.append(min(right[group[outer].numpy() == each].mean() for each in range(4)))
    assert [line["penalty"] for line in head["tuning"]] == list(PENALTIES)
    assert [line["worst"] for line in head["tuning"][:5]] == pytest.approx(worst[:5])  # the last ones are all 0
    assert head["tuning-worst-group-accuracy"] == max(line["worst"] for line in head["tuning"])
    assert head["penalty"] == max(head["tuning"], key=lambda line: (line["worst"], line["average"]))["penalty"]


def test_the_rest_of_the_model_is_erms() -> None:
    splits = tiny_splits()
    erm = fedjtt.simulate(tiny_config(method="erm"), splits)
    dfr = run(splits)
    layer = 2 * (WIDTH + 1)
    assert np.array_equal(erm.weights[:-layer], dfr.weights[:-layer])
    assert not np.array_equal(erm.weights[-layer:], dfr.weights[-layer:])
    assert dfr.result["selected-round"] == erm.result["selected-round"]
    assert erm.result["head"] is None
    assert any("trains on validation's groups" in note for note in dfr.result["notes"])


class Standing:
    """A server whose machines answer, and who is handed weights that were trained before."""

    def __init__(self, splits: Splits, **changes: Any) -> None:
        self.strategy, grid = parts_of_a_run(tiny_config(method="dfr", dfr_fits=3, **changes), splits)
        self.strategy.talk.machines_grid = grid
        self.strategy.ask("machines", "census", Payload())

    def reorder(self, order: list[int]) -> None:
        """Let the machines' replies come in another order."""
        ask = self.strategy.talk.ask

        def reordered(*request: Any) -> list[Payload]:
            replies = ask(*request)
            return [replies[place] for place in order] if request[0] == "machines" else replies

        self.strategy.talk.ask = reordered  # type: ignore[method-assign]

    def refit(self, weights: np.ndarray) -> np.ndarray:
        return refit(self.strategy, weights)[0]


@pytest.mark.parametrize(("labels", "machines"), [(2, 1), (2, 5), (2, 24), (3, 1), (3, 4)])
def test_over_machines_the_last_layer_is_the_same_given_the_same_weights(labels: int, machines: int) -> None:
    """One machine to the last bit; several to 1e-5 of the largest coefficient, for sums are rounded by machine."""
    splits, settings = uneven(labels), {} if labels == 2 else {"dfr_penalty": 0.1}
    weights = fedjtt.simulate(tiny_config(method="erm"), splits).weights
    central = Standing(splits, **settings).refit(weights)
    federated = Standing(splits, machines=machines, evaluation_at="machines", **settings).refit(weights)
    if machines == 1:
        assert np.array_equal(central, federated)
    scale = float(np.abs(central).max())
    assert np.abs(central - weights).max() > 0.1 * scale
    np.testing.assert_allclose(federated, central, rtol=0, atol=1e-5 * scale)


def test_sums_do_not_depend_on_the_machines_order() -> None:
    """To the last bit: numbers are sorted before they are added."""
    splits = uneven(2)
    weights = fedjtt.simulate(tiny_config(method="erm"), splits).weights
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        standing = Standing(splits, machines=3, evaluation_at="machines", dfr_penalty=0.3)
        standing.reorder(order)
        found.append(standing.refit(weights))
    assert np.array_equal(*found)


@pytest.mark.parametrize("place", ["server", "machines"])
def test_a_group_that_validation_does_not_have(place: str) -> None:
    """Label 1 never comes with attribute 0: subsets are as large as the smallest of the others."""
    data = grouped([0] * 20 + [1] * 10, [0, 1] * 10 + [1] * 10)
    outcome = run(splits_with(data), evaluation_at=place)
    assert outcome.result["head"]["rows"] == 30
    assert np.isfinite(outcome.weights).all()


def test_a_group_that_lies_on_one_machine_alone() -> None:
    splits = uneven(2)
    outcome = run(splits, machines=40, evaluation_at="machines", robust="federated")  # four rows each
    assert outcome.result["missing"] == []
    assert outcome.result["head"]["rows"] == 80


@pytest.mark.parametrize(
    ("validation", "line"),
    [
        (grouped([], []), "method dfr fits the last layer on validation, which has no example; use another method"),
        (grouped([0, 0, 0], [0, 1, 1]), "on validation, which has no example of label 1; use another method"),
        (grouped([0, 1], [0, 1]), "validation has no group of two examples to tune dfr-penalty on; set it to a number"),
        (grouped([0, 1, 0]), "no attribute of validation is known; set groups to class, or method to erm"),
    ],
    ids=["empty", "a label is absent", "one of each", "no attribute"],
)
@pytest.mark.parametrize("place", ["server", "machines"])
def test_validation_that_does_not_do_is_one_line(validation: GroupedDataset, line: str, place: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        run(splits_with(validation), evaluation_at=place, selection="last")
    assert "\n" not in str(caught.value)


def test_what_does_not_do_is_seen_before_anything_is_trained() -> None:
    strategy, grid = parts_of_a_run(
        tiny_config(method="dfr", robust="federated", evaluation_at="machines"), splits_with(grouped([0, 0], [0, 1]))
    )
    seen = asked(grid)
    with pytest.raises(ConfigError, match="no example of label 1"):
        strategy.run(grid)
    assert {action for action, *_ in seen} == {"features"}


def test_a_number_for_the_penalty_needs_no_half_and_no_tuning() -> None:
    outcome = run(splits_with(grouped([0, 1, 0, 1], [0, 1, 0, 1])), dfr_penalty=2.0)
    head = outcome.result["head"]
    assert "tuning" not in head
    assert (head["penalty"], head["rows"]) == (2.0, 4)


def test_a_larger_tolerance_costs_fewer_exchanges() -> None:
    heads = [run(uneven(2), dfr_penalty=1.0, dfr_tolerance=each).result["head"] for each in (1e-3, 1e-8)]
    assert heads[0]["fits-exchanges"] < heads[1]["fits-exchanges"] / 2
    assert 1e-8 < heads[0]["residual"] <= 1e-3
    assert heads[1]["residual"] <= 1e-8


def test_one_attribute_is_balancing_by_label_and_one_label_leaves_nothing_to_learn() -> None:
    one = run(splits_with(grouped([0, 1, 1, 1] * 5, [0] * 20)), dfr_penalty=1.0)
    other = run(splits_with(grouped([0, 1, 1, 1] * 5)), dfr_penalty=1.0, groups="class", selection="last")
    assert one.result["head"]["rows"] == other.result["head"]["rows"] == 10
    alone = Splits(*(grouped([0] * 12, [0, 1] * 6, labels=1) for _ in range(3)), ("0",), ("0", "1"))
    outcome = run(alone)
    assert outcome.result["head"]["nonzero"] == 0
    assert outcome.result["test"]["average-accuracy"] == 1.0


def test_feature_that_never_varies_gets_no_weight() -> None:
    """Of the tiny network's 128 ReLUs some are dead on validation; their coefficients are 0, not noise."""
    splits = uneven(2)
    outcome = run(splits, dfr_penalty=3.0, dfr_fits=1)
    dead = features_at(splits, outcome).std(axis=0) == 0
    assert dead.any()
    assert not refitted(outcome, 2)[0][:, dead].any()


class Odd(nn.Module):
    """A network whose linear layer is not what ends it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.last = nn.Linear(4, 2, bias=kind != "no bias")
        if kind == "followed":
            self.inner = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(x)
        return 2 * logits if self.kind == "scaled" else logits


@pytest.mark.parametrize("kind", ["no bias", "followed", "scaled"])
def test_a_model_without_a_last_linear_layer_is_one_line(kind: str) -> None:
    config = tiny_config(method="dfr", dfr_fits=2)
    line = "outputs are not those of its last" if kind == "scaled" else "are not weight and bias of an nn.Linear"
    with pytest.raises(ConfigError, match=line):
        fedjtt.simulate(config, tiny_splits(), model_builder=lambda shape, labels: Odd(kind))  # noqa: ARG005


def test_a_model_of_the_users_own_is_refitted() -> None:
    outcome = fedjtt.simulate(
        tiny_config(method="dfr", dfr_fits=2),
        tiny_splits(),
        model_builder=lambda shape, labels: Odd("plain"),  # noqa: ARG005
    )
    assert outcome.result["head"]["coefficients"] == 8


def test_a_machine_that_restarts_in_the_middle_is_asked_for_its_features_again(monkeypatch: Any) -> None:
    splits = uneven(2)
    settings = {"machines": 2, "evaluation_at": "machines", "robust": "federated", "dfr_penalty": 0.3}
    whole = run(splits, **settings)
    strategy, grid = parts_of_a_run(tiny_config(method="dfr", dfr_fits=3, **settings), splits)
    slopes = 0
    original = grid.send_and_receive

    def restarting(messages: Any, **rest: Any) -> Any:
        nonlocal slopes
        listed = list(messages)
        slopes += any(message.metadata.message_type == "query.slope" for message in listed)
        if slopes == 3:
            for context in grid._contexts.values():
                context.state.clear()
        return original(listed, **rest)

    monkeypatch.setattr(grid, "send_and_receive", restarting)
    assert np.array_equal(strategy.run(grid).weights, whole.weights)
    assert slopes > 3


def test_train_on_validation_is_the_model_that_validation_alone_gives() -> None:
    """The comparison for what uses validation's labels: train's rows are not read at all."""
    splits = uneven(2)
    other = Splits(grouped([0, 1] * 30, [1, 0] * 30, seed=99), splits.validation, splits.test, ("0", "1"), ("0", "1"))
    for robust in ("central", "federated"):
        settings = {"method": "group-balanced", "train_on": "validation", "robust": robust}
        outcomes = [fedjtt.simulate(tiny_config(**settings), each) for each in (splits, other)]
        assert outcomes[0].result["digest"] == outcomes[1].result["digest"]
        assert any(note.startswith("train-on is validation") for note in outcomes[0].result["notes"])
    given = Splits(splits.validation, splits.validation, splits.test, ("0", "1"), ("0", "1"))
    assert np.array_equal(
        fedjtt.simulate(tiny_config(method="erm"), given).weights,
        fedjtt.simulate(tiny_config(method="erm", train_on="validation"), splits).weights,
    )


def test_the_result_says_what_was_chosen() -> None:
    """What results.md documents, as JSON has it."""
    head = json.loads(json.dumps(run(uneven(2)).result["head"]))
    assert set(head) == {
        "penalty", "tuning", "tuning-worst-group-accuracy", "tuning-exchanges", "groups", "fits", "rows",
        "coefficients", "nonzero", "fits-exchanges", "residual",
    }  # fmt: skip
    assert head["residual"] <= 1e-6
