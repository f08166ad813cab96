"""D3M and Auto-D3M: against their definition by brute force, over machines, and where something is absent."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

import fedjtt
from fedjtt.attribution.gradients import Gradients
from fedjtt.cache import StageCache
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.errors import ConfigError
from fedjtt.methods.attribute import SCORES
from fedjtt.models import build_model
from fedjtt.provide import spread
from fedjtt.records import read_memo
from fedjtt.server_app import Outcome
from tests.tiny import asked, grouped, parts_of_a_run, tiny_config, tiny_splits

# A network of 10 weights is not projected: what is exact is compared exactly.
SMALL: dict[str, Any] = {"model": "logistic", "projection_dtype": "float64", "attribution_ridge": 0.05,
                         "d3m_alignment": "paper"}  # fmt: skip
STEPWISE: dict[str, Any] = {"batch_size": 0, "learning_rate_schedule": "constant", "machines": 1, "learning_rate": 0.2,
                            "robust_epochs": 6}  # fmt: skip
BOTH = pytest.mark.parametrize("robust", ["central", "federated"])
METHODS = pytest.mark.parametrize("method", ["d3m", "auto-d3m"])


def run(splits: Splits, **changes: Any) -> Outcome:
    return fedjtt.simulate(tiny_config(**{"method": "d3m", "projection_dimension": 48, **changes}), splits)


def removed_ids(splits: Splits, **changes: Any) -> list[int]:
    """The ids that machines name under central, as they are heard."""
    config = tiny_config(**{"method": "d3m", "projection_dimension": 48, "robust": "central", **changes})
    strategy, grid = parts_of_a_run(config, splits)
    seen = asked(grid)
    strategy.run(grid)
    return sorted(int(each) for action, _, _, reply in seen if action == "drop" for each in reply.arrays["ids"])


def parts_by_hand(splits: Splits, **changes: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of train and validation at ERM's weights, 1 - p of train and losses of validation."""
    outcome = fedjtt.simulate(tiny_config(**{**SMALL, **changes, "method": "erm", "selection": "last"}), splits)
    model = build_model("logistic", (4,), splits.train.num_labels, torch.Generator())
    model.load(torch.from_numpy(outcome.weights))
    gradients = Gradients(model, dtype=torch.float64)
    (g, f), (h, e) = (gradients.of(data.x, data.label) for data in (splits.train, splits.validation))
    return g, h, torch.sigmoid(-f), torch.nn.functional.softplus(-e)


def alignment_by_hand(splits: Splits, group: Tensor, kind: str) -> Tensor:
    """The examples' scores for each validation example, their means by group, and the weights of methods.md."""
    g, h, residual, losses = parts_by_hand(splits)
    gram = g.T @ g
    inverse = torch.linalg.inv(gram + 0.05 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype))
    tau = (g @ inverse @ h.T) * residual.unsqueeze(1)
    present = group.unique()
    by_group = torch.stack([tau[:, group == each].mean(dim=1) for each in present])
    mean = torch.stack([losses[group == each].mean() for each in present])
    if kind == "released":
        return (mean.unsqueeze(1) * by_group).mean(dim=0)
    return (mean.exp().unsqueeze(1) * by_group).sum(dim=0) / mean.exp().sum()


@pytest.mark.parametrize("kind", ["paper", "released"])
@pytest.mark.parametrize("machines", [1, 4])
def test_what_goes_is_what_the_definition_says(kind: str, machines: int) -> None:
    splits = tiny_splits()
    alignment = alignment_by_hand(splits, splits.validation.group, kind)
    settings = {**SMALL, "d3m_alignment": kind, "machines": machines}
    assert removed_ids(splits, d3m_remove=9, **settings) == sorted(alignment.argsort()[:9].tolist())
    assert removed_ids(splits, **settings) == torch.nonzero(alignment < 0).flatten().tolist()
    assert removed_ids(splits, d3m_remove=0.25, **settings) == sorted(alignment.argsort()[:15].tolist())


@pytest.mark.parametrize("machines", [1, 3])
@pytest.mark.parametrize("place", ["server", "machines"])
def test_auto_d3m_s_groups_are_sides_of_the_first_component_of_score_vectors(machines: int, place: str) -> None:
    splits = tiny_splits()
    g, h, residual, _ = parts_by_hand(splits)
    gram = g.T @ g
    inverse = torch.linalg.inv(gram + 0.05 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype))
    vectors = torch.nn.functional.normalize(h @ inverse @ g.T * residual, dim=1)
    label, group = splits.validation.label, torch.zeros(24, dtype=torch.int64)
    for each in (0, 1):
        side = PCA(1).fit_transform(vectors[label == each].numpy())[:, 0] > 0
        group[label == each] = 2 * each + torch.from_numpy(side).long()
    alignment = alignment_by_hand(splits, group, "paper")
    settings = {**SMALL, "method": "auto-d3m", "machines": machines, "evaluation_at": place}
    assert removed_ids(splits, d3m_remove=11, **settings) == sorted(alignment.argsort()[:11].tolist())
    told = run(splits, d3m_remove=11, **settings).result["removal"]
    assert sorted(t["count"] for t in told["targets"]) == sorted(group.bincount(minlength=4).tolist())


@METHODS
@pytest.mark.parametrize("projection", ["factored", "dense"])
@pytest.mark.parametrize("partition", ["iid", "label-dirichlet", "minority-on-few"])
def test_the_same_go_however_train_and_validation_lie(method: str, projection: str, partition: str) -> None:
    """Two models of 17,410 weights, projected to 48 numbers, fewer than examples; ERM is central in all cases."""
    settings = {"method": method, "projection": projection, "d3m_models": 2, "d3m_remove": 13}
    central = removed_ids(tiny_splits(), machines=1, **settings)
    assert len(central) == 13
    for place in ("server", "machines"):
        spread = {**settings, "machines": 5, "partition": partition, "evaluation_at": place}
        assert removed_ids(tiny_splits(), **spread) == central


def test_scores_over_machines_are_the_central_ones() -> None:
    """To 1e-4 of the largest, from the machines' own memos, with fewer examples than dimensions."""
    found = []
    for machines in (1, 4):
        config = tiny_config(method="d3m", machines=machines, projection_dimension=256, robust="central")
        strategy, grid = parts_of_a_run(config, tiny_splits())
        strategy.run(grid)
        found.append(scores_in(grid, config))
    assert len(found[0]) == 60
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-4 * np.abs(found[0]).max())


def scores_in(grid: Any, config: RunConfig) -> np.ndarray:
    """The machines' scores, in the order of ids: from what they keep between messages."""
    by_id = {}
    for context, part in zip(grid._contexts.values(), spread(tiny_splits(), config), strict=True):
        by_id |= dict(zip(part.train.id.tolist(), read_memo(context)[SCORES].tolist(), strict=True))
    return np.array([by_id[each] for each in sorted(by_id)])


@BOTH
@METHODS
def test_the_model_is_erm_s_on_what_is_left(method: str, robust: str) -> None:
    """With all examples in every step and constant steps: ERM's of a train set without those, to rounding."""
    splits, stepwise = tiny_splits(), STEPWISE
    outcome = run(splits, method=method, robust=robust, d3m_remove=10, **stepwise)
    ids = removed_ids(splits, method=method, d3m_remove=10, **stepwise)
    kept = [row for row in range(60) if row not in ids]
    left = Splits(splits.train.take(kept), splits.validation, splits.test, ("0", "1"), ("0", "1"))
    erm = fedjtt.simulate(tiny_config(method="erm", robust=robust, **stepwise), left)
    whole = fedjtt.simulate(tiny_config(method="erm", robust=robust, **stepwise), splits)
    np.testing.assert_allclose(outcome.weights, erm.weights, atol=1e-5)
    assert np.abs(outcome.weights - whole.weights).max() > 1e-3


@pytest.mark.parametrize("by", ["random", "majority"])
def test_other_removals_train_nothing_first_and_take_who_they_say(by: str) -> None:
    splits = tiny_splits()
    outcome = run(splits, d3m_remove_by=by, d3m_remove=12, robust="federated")
    assert outcome.result["removal"]["removed"] == 12
    assert outcome.result["seconds"]["identify"] == {"sum": 0.0, "slowest": 0.0}
    groups = outcome.result["removal"]["group-removed"]
    assert sum(groups) == 12
    if by == "majority":  # the 8 minority examples are of groups 1 and 2
        assert groups[1] == groups[2] == 0
        beyond = run(splits, d3m_remove_by=by, d3m_remove=55, robust="federated").result["removal"]["group-removed"]
        assert beyond[0] + beyond[3] == 52
    ids = removed_ids(splits, d3m_remove_by=by, d3m_remove=12)
    assert ids == removed_ids(splits, d3m_remove_by=by, d3m_remove=12, machines=1)
    assert ids != removed_ids(splits, d3m_remove_by=by, d3m_remove=12, seed=1)


def test_several_models_are_not_the_same_and_the_first_is_erm_s() -> None:
    config = tiny_config(method="d3m", d3m_models=3, projection_dimension=48, d3m_remove=5)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    seen = asked(grid)
    strategy.run(grid)
    weights = next(request.arrays["weights"] for action, _, request, _ in seen if action == "align")
    assert weights.shape[0] == 3
    assert np.array_equal(
        weights[0], fedjtt.simulate(tiny_config(method="erm", selection="last"), tiny_splits()).weights
    )
    assert min(np.abs(weights[a] - weights[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01


def changed(validation: GroupedDataset) -> Splits:
    splits = tiny_splits()
    return Splits(splits.train, validation, splits.test, ("0", "1"), ("0", "1"))


@METHODS
@BOTH
def test_a_group_that_validation_does_not_have_has_no_say(method: str, robust: str) -> None:
    lacking = changed(grouped([0] * 20 + [1] * 10, [0, 1] * 10 + [1] * 10))
    outcome = run(lacking, method=method, robust=robust, d3m_alignment="paper")  # whose weights are a share
    removal = outcome.result["removal"]
    if method == "d3m":
        assert removal["targets"][2] == {"group": 2, "count": 0, "loss": None, "weight": 0.0}
        assert any("no example of 1 groups: they have no say" in note for note in outcome.result["notes"])
    assert sum(target["weight"] for target in removal["targets"]) == pytest.approx(1.0)
    one_label = run(changed(grouped([0] * 20, [0, 1] * 10)), method=method, robust=robust, selection="last")
    assert one_label.result["removal"]["removed"] > 0


@pytest.mark.parametrize(
    ("splits", "changes", "line"),
    [
        (tiny_splits(), {"d3m_remove": 60}, "d3m-remove is 60, and there are 60 train examples; leave some"),
        (tiny_splits(), {"d3m_remove": 1000, "d3m_remove_by": "random"}, "d3m-remove is 1000, and there are 60"),
        (tiny_splits(known=False), {}, "no attribute of validation is known; set method to auto-d3m, or groups to cla"),
        (tiny_splits(known=False), {"d3m_remove": 5, "d3m_remove_by": "majority"}, "no attribute of train is known"),
        (changed(grouped([], [])), {"selection": "last"}, "measures effects on validation, which has no example"),
        (changed(grouped([], [])), {"selection": "last", "method": "auto-d3m"}, "method auto-d3m measures effects on"),
    ],
)  # fmt: skip
@BOTH
def test_what_does_not_do_is_one_line_before_anything_is_trained(
    splits: Splits, changes: dict[str, Any], line: str, robust: str
) -> None:
    settings = {"method": "d3m", "robust": robust, "selection": "val-worst-class", **changes}
    strategy, grid = parts_of_a_run(tiny_config(**settings), splits)
    seen = asked(grid)
    with pytest.raises(ConfigError, match=line) as caught:
        strategy.run(grid)
    assert "\n" not in str(caught.value)
    assert {action for action, *_ in seen} <= {"census", "assess"}


def test_one_label_has_no_margin() -> None:
    alone = Splits(*(grouped([0] * 12, [0, 1] * 6, labels=1) for _ in range(3)), ("0",), ("0", "1"))
    with pytest.raises(ConfigError, match="method d3m needs two labels; there is one"):
        run(alone)


def test_removing_all_of_a_label_is_said() -> None:
    """Two examples have label 1, both where the removal by majority comes to them last: 58 of 60 go."""
    label = torch.tensor([0] * 58 + [1] * 2)
    train = grouped(label, torch.zeros(60))
    splits = Splits(train, tiny_splits().validation, tiny_splits().test, ("0", "1"), ("0", "1"))
    outcome = run(splits, d3m_remove_by="random", d3m_remove=59)
    assert any("every train example of label" in note for note in outcome.result["notes"])


@BOTH
def test_without_attributes_there_are_pseudo_groups_and_classes(robust: str) -> None:
    for changes in ({"method": "auto-d3m"}, {"groups": "class"}):
        outcome = run(tiny_splits(known=False), robust=robust, selection="val-worst-class", **changes)
        removal = outcome.result["removal"]
        assert removal["group-removed"] is None
        assert sum(removal["label-removed"]) == removal["removed"] == removal["negative"]
        assert len(removal["targets"]) == (4 if "method" in changes else 2)


@pytest.mark.parametrize("action", ["align", "rank", "fit", "target"])
@METHODS
def test_machines_that_restart_are_told_again(method: str, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"method": method, "robust": "federated", "evaluation_at": "machines", "d3m_remove": 9, "machines": 2,
                "projection_dimension": 48}  # fmt: skip
    whole = run(tiny_splits(), **settings)
    strategy, grid = parts_of_a_run(tiny_config(**settings), tiny_splits())
    times, original = 0, grid.send_and_receive

    def restarting(messages: Any, **rest: Any) -> Any:
        nonlocal times
        listed = list(messages)
        times += any(message.metadata.message_type.endswith(f".{action}") for message in listed)
        if times == (3 if action == "fit" else 1):  # the third round is the second model's first
            for context in grid._contexts.values():
                context.state.clear()
            times = 100
        return original(listed, **rest)

    monkeypatch.setattr(grid, "send_and_receive", restarting)
    assert np.array_equal(strategy.run(grid).weights, whole.weights)
    assert times >= 100


def test_stage_1_is_computed_once_for_all_numbers_that_are_removed(tmp_path: Any) -> None:
    """In a sweep's cache: the second run trains on what is left alone, and ERM, whose rounds they are, not at all."""
    cache = StageCache(tmp_path)
    for removed in (5, 9):
        config = tiny_config(method="d3m", projection_dimension=48, d3m_remove=removed, machines=1)
        cached = fedjtt.simulate(config, tiny_splits(), cache=cache)
        assert cached.result["digest"] == fedjtt.simulate(config, tiny_splits()).result["digest"]
    before = len(list(tmp_path.iterdir()))
    config = tiny_config(method="erm", machines=1, selection="last")
    erm = fedjtt.simulate(config, tiny_splits(), cache=cache)
    assert erm.result["digest"] == fedjtt.simulate(config, tiny_splits()).result["digest"]
    assert len(list(tmp_path.iterdir())) == before == 6  # ERM's rounds, kernel, target, scores, two sets of rounds


@BOTH
def test_the_result_says_what_was_removed_and_why(robust: str) -> None:
    result = json.loads(json.dumps(run(tiny_splits(), robust=robust, d3m_models=2).result))
    removal = result["removal"]
    assert set(removal) == {
        "by", "examples", "removed", "label-removed", "group-removed", "models", "parameters", "width", "groups",
        "targets", "scored", "negative",
    }  # fmt: skip
    assert (removal["by"], removal["models"], removal["parameters"], removal["width"]) == ("score", 2, 17410, 48)
    assert (removal["examples"], removal["scored"], removal["removed"]) == (60, 60, removal["negative"])
    assert [target["count"] for target in removal["targets"]] == [6, 6, 6, 6]
    assert result["seconds"]["identify"]["sum"] > 0
    assert result["bytes"]["attribute"]["received"] > 0
    assert fedjtt.simulate(tiny_config(method="erm"), tiny_splits()).result["removal"] is None
