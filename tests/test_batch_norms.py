"""Batch norms: their running statistics are the end of a network's vector, and are joined, kept and hashed with it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fedjtt
from fedjtt.attribution.gradients import Gradients
from fedjtt.checkpoint import Checkpoints
from fedjtt.client_app import app
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError
from fedjtt.evaluation import features_of, outputs_of
from fedjtt.methods.averaging import normalised
from fedjtt.models import FlatModel, build_model, digest
from fedjtt.simulation import InProcessGrid
from fedjtt.spectrum import group_moments
from fedjtt.training import Span, Trainer, TrainSettings, train
from strategies.aggregators import Aggregator, _Terms
from tests.methods.test_exact_over_machines import NOT_EXACT, SAME, VARIANTS
from tests.tiny import tiny_config, tiny_splits

# 4*6+6 weights of the first layer, 2*6 of its norm, 6*2+2 of the last; 6 means and 6 variances.
WEIGHTS, RUNNING = 56, 12
DIVERSE = [name for name in (*VARIANTS, *NOT_EXACT) if VARIANTS.get(name, {}).get("method") != "rest"]


def normed(shape: tuple[int, ...], labels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, labels))


def built(seed: int = 0) -> FlatModel:
    return build_model(normed, (4,), 2, torch.Generator().manual_seed(seed))


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings(**{"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, **changes})


def statistics(vector: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = np.split(np.asarray(vector)[WEIGHTS:], 2)
    return mean, variance


def run(robust: str = "federated", **changes: Any) -> Any:
    own = {**SAME, "averaging": "none", "robust": robust, **changes}
    return fedjtt.simulate(tiny_config(**own), tiny_splits(), model_builder=normed)


def test_a_step_is_torchs() -> None:
    """Three steps by torch's own module and optimiser, from the same values, give the same weights and statistics."""
    model, data = built(), tiny_splits().train
    plain = normed((4,), 2)
    plain.load_state_dict(model.module.state_dict(), strict=False)
    batches = torch.arange(60).view(3, 20)
    optimiser = torch.optim.SGD(plain.parameters(), 0.1, 0.9, weight_decay=0.01)
    for rows in batches:
        optimiser.zero_grad()
        functional.cross_entropy(plain(gather(data.x, rows)), data.label[rows]).backward()
        optimiser.step()
    train(model, data, batches, settings(), Span(0, 3, 3))
    for key, value in model.module.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[key], rtol=1e-6, atol=1e-7)
    norm = plain[1]
    assert isinstance(norm, nn.BatchNorm1d)
    mean, variance = statistics(model.vector)
    np.testing.assert_allclose(mean, norm.running_mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(variance, norm.running_var, rtol=1e-6)


def test_the_vector_is_parameters_then_statistics() -> None:
    model = built()
    assert (len(model.vector), len(model.weights), len(model.gradient), model.running) == (68, 56, 56, 12)
    assert statistics(model.vector)[0].tolist() == [0.0] * 6
    assert statistics(model.vector)[1].tolist() == [1.0] * 6
    model.load(torch.arange(68.0))
    assert model.module.get_buffer("1.running_mean").tolist() == list(range(56, 62))
    assert model.module.get_buffer("1.running_var").tolist() == list(range(62, 68))
    assert model.weights.tolist() == list(range(56))


def test_a_variance_is_never_negative() -> None:
    model = built()
    model.load(torch.full((68,), -2.0))
    mean, variance = statistics(model.vector)
    assert mean.tolist() == [-2.0] * 6
    assert variance.tolist() == [0.0] * 6
    assert torch.isfinite(outputs_of(model, tiny_splits().test, torch.arange(4))).all()


def test_training_follows_batches_and_evaluation_changes_nothing() -> None:
    """The mode is the step's: whatever evaluated the network in between."""
    model, data = built(), tiny_splits().train
    trainer = Trainer(model, settings(), Span(0, 2, 2))
    rows = torch.arange(20)
    for _ in range(2):
        before = model.vector.clone()
        trainer.step(gather(data.x, rows), lambda logits: functional.cross_entropy(logits, data.label[rows]))
        after = model.vector.clone()
        assert (before[WEIGHTS:] != after[WEIGHTS:]).all()
        first = outputs_of(model, data, rows)
        one_by_one = torch.cat([outputs_of(model, data, row.view(1)) for row in rows])
        torch.testing.assert_close(first, one_by_one, rtol=1e-5, atol=1e-6)  # of no other example in the batch
        features_of(model, data, rows)
        group_moments(model, data, rows)
        assert torch.equal(model.vector, after)


@pytest.mark.parametrize("changes", [{"clip_norm": 1e-9}, {"weight_decay": 5.0, "clip_norm": 1e-9}])
def test_optimiser_and_clipping_see_no_statistic(changes: dict[str, Any]) -> None:
    """The statistics after a step are those of the batch, .9 of the old and .1 of the batch's."""
    model, data = built(), tiny_splits().train
    seen: list[Tensor] = []
    model.module[0].register_forward_hook(lambda *of: seen.append(of[2].detach()))  # type: ignore[operator]
    train(model, data, torch.arange(20).view(1, 20), settings(**changes), Span(0, 1, 1))
    mean, variance = statistics(model.vector)
    np.testing.assert_allclose(mean, 0.1 * seen[0].mean(dim=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * seen[0].var(dim=0), rtol=1e-5)


def test_a_pull_to_the_start_leaves_statistics_alone() -> None:
    data, batches = tiny_splits().train, torch.arange(60).view(3, 20)
    model = built()
    train(model, data, batches, settings(learning_rate=1e-12, proximal_mu=5.0), Span(0, 3, 3))
    other = built()
    train(other, data, batches, settings(learning_rate=1e-12), Span(0, 3, 3))
    assert torch.equal(model.vector[WEIGHTS:], other.vector[WEIGHTS:])


def test_the_average_of_weights_has_an_average_of_statistics() -> None:
    """At step t the past weighs (1 + t) / (10 + t): 1/10, then 2/11."""
    model, data = built(), tiny_splits().train
    start, vectors = model.vector.clone(), []
    batches = torch.arange(40).view(2, 20)
    trainer = Trainer(model, settings(averaging="ema"), Span(0, 2, 2))
    for rows in batches:
        label = data.label[rows]
        trainer.step(gather(data.x, rows), lambda logits, label=label: functional.cross_entropy(logits, label))  # type: ignore[misc]
        vectors.append(model.vector.clone())
    average = trainer.average()
    assert average is not None
    expected = 0.1 * start + 0.9 * vectors[0]
    expected = 2 / 11 * expected + 9 / 11 * vectors[1]
    torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_example_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"a batch of one example has no variance .* two examples or more, or use"):
        train(built(), tiny_splits().train, torch.zeros(1, 1, dtype=torch.int64), settings(), Span(0, 1, 1))


def test_an_error_of_the_networks_own_stays_what_it_is() -> None:
    class Broken(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
            raise ValueError("its own")

    model = build_model(lambda *_: nn.Sequential(nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 2))), (4,), 2, None)
    model.module[1] = Broken(4, 2)  # type: ignore[operator]
    with pytest.raises(ValueError, match="its own"):
        train(model, tiny_splits().train, torch.zeros(1, 2, dtype=torch.int64), settings(), Span(0, 1, 1))


def test_normalised_updates_do_not_carry_a_variance_beyond_0() -> None:
    """Machines of 2 and 8 steps without momentum: the first one's change of weights counts (2 + 8)/2/2 = 2.5 times."""
    current = np.array([1.0, 1.0], np.float32)
    updates = [(np.array([2.0, 0.2], np.float32), 1.0), (np.array([2.0, 0.2], np.float32), 1.0)]
    (first, _), (second, _) = normalised(current, updates, [2, 8], 0.0, running=1)
    np.testing.assert_allclose(first, [3.5, 0.2], rtol=1e-6)
    np.testing.assert_allclose(second, [1.625, 0.2], rtol=1e-6)
    (whole, _), _ = normalised(current, updates, [2, 8], 0.0)
    assert whole[1] < 0


@pytest.mark.parametrize("name", ["fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_an_optimiser_of_the_servers_steps_with_the_weights_alone(name: str) -> None:
    """Two rounds: the statistics are each round's mean by size, the weights what the rule makes of them alone."""
    InProcessGrid(app, RunConfig(), 1)  # gives this process an identity, which messages ask for
    whole, alone = (Aggregator(name, _Terms(5.0, 2, 0.0)) for _ in range(2))
    current = np.array([1.0, 2.0, 3.0, 0.5], np.float32)
    for number in (1, 2):
        updates = [(current + np.float32(number), 1.0), (current - np.float32(0.4), 3.0)]
        joined = whole.combine(number, current, updates, running=2)
        weights = alone.combine(number, current[:2], [(each[:2], size) for each, size in updates])
        np.testing.assert_array_equal(joined[:2], weights)
        np.testing.assert_allclose(joined[2:], current[2:] + (number - 3 * 0.4) / 4, rtol=1e-6)
        current = joined
    kept, expected = whole.state(), alone.state()
    assert kept.keys() == expected.keys() != set()
    for moment, value in kept.items():
        np.testing.assert_array_equal(value, expected[moment])


@pytest.mark.parametrize("aggregator", ["fednova", "fedavgm", "fedyogi", "fedmedian", "fedtrimmedavg", "krum"])
def test_a_run_with_any_rule_ends_with_variances_above_0(aggregator: str) -> None:
    outcome = run(method="erm", aggregator=aggregator, machines=5, server_learning_rate=0.5, robust_rounds=4)
    assert (statistics(outcome.weights)[1] > 0).all()
    assert outcome.result["missing"] == []


@pytest.mark.parametrize("name", DIVERSE)
def test_one_machine_is_central_to_the_last_bit(name: str) -> None:
    variant = {**VARIANTS, **NOT_EXACT}[name]
    if variant.get("projection") == "factored":
        variant = {**variant, "projection": "dense"}
    outcomes = [
        run(robust, **{**variant, "machines": 1, "robust_epochs": 2, "robust_rounds": 3})
        for robust in ("central", "federated")
    ]
    assert len({outcome.result["digest"] for outcome in outcomes}) == 1
    assert len(outcomes[0].weights) == WEIGHTS + RUNNING
    assert (statistics(outcomes[0].weights)[0] != 0).all()


def test_workers_give_the_same_bits() -> None:
    assert run(method="jtt").result["digest"] == run(method="jtt", workers=2).result["digest"]


def test_the_statistics_of_a_round_are_the_machines_mean_by_size() -> None:
    """One round of one step on whole batches, from means of 0: the joined mean is .1 of all examples' mean."""
    changes = {"batch_size": 0, "robust_epochs": 1, "robust_rounds": 1, "selection": "last", "machines": 4}
    outcome = run(method="erm", **changes)
    start = run(method="erm", learning_rate=1e-9, **changes).weights
    with torch.no_grad():
        first = functional.linear(
            tiny_splits().train.x, torch.tensor(start[:24]).view(6, 4), torch.tensor(start[24:30])
        )
    np.testing.assert_allclose(statistics(outcome.weights)[0], 0.1 * first.mean(dim=0), rtol=1e-3, atol=1e-4)


def test_secure_sums_are_the_plain_ones_to_rounding() -> None:
    plain, summed = (run(method="erm", secure_aggregation=secure).weights for secure in (False, True))
    np.testing.assert_allclose(summed, plain, rtol=0, atol=1e-6)
    assert np.abs(statistics(plain)[0]).max() > 0.01


def test_a_resumed_run_has_the_same_bits(tmp_path: Any) -> None:
    class KilledError(Exception):
        pass

    class Killer:
        def progress(self, stage: str, server_round: int, rounds: int, figures: Any) -> None:  # noqa: ARG002
            if stage == "robust" and server_round == 2:
                raise KilledError

    config = tiny_config(
        **{**SAME, "method": "jtt", "robust": "federated", "robust_rounds": 4, "aggregator": "fedavgm"}
    )
    checkpoints = Checkpoints(tmp_path, config.run_id)
    with pytest.raises(KilledError):
        fedjtt.simulate(config, tiny_splits(), observer=Killer(), model_builder=normed, checkpoints=checkpoints)
    resumed = fedjtt.simulate(config, tiny_splits(), model_builder=normed, checkpoints=checkpoints)
    assert any("went on from its checkpoint" in note for note in resumed.result["notes"])
    whole = fedjtt.simulate(config, tiny_splits(), model_builder=normed)
    assert resumed.result["digest"] == whole.result["digest"] == digest(torch.from_numpy(resumed.weights))


def test_the_result_counts_weights_and_statistics_apart() -> None:
    result = run(method="erm").result
    assert (result["parameters"], result["running-statistics"]) == (WEIGHTS, RUNNING)


def test_dfr_changes_the_last_layer_and_nothing_else() -> None:
    """The last layer stands before the statistics: 12 weights and 2 biases."""
    erm, dfr = (run(method=method, selection="last").weights for method in ("erm", "dfr"))
    np.testing.assert_array_equal(dfr[: WEIGHTS - 14], erm[: WEIGHTS - 14])
    np.testing.assert_array_equal(dfr[WEIGHTS:], erm[WEIGHTS:])
    assert (dfr[WEIGHTS - 14 : WEIGHTS] != erm[WEIGHTS - 14 : WEIGHTS]).any()


def test_gradients_of_examples_are_those_in_evaluation_mode() -> None:
    """By vmap and by torch's own backward, one example after the other; in float64 too, and not of later values."""
    model, data = built(), tiny_splits().train
    train(model, data, torch.arange(60).view(3, 20), settings(), Span(0, 3, 3))
    for dtype in (torch.float32, torch.float64):
        gradients = Gradients(model, dtype=dtype)
        found, f = gradients.of(data.x[:5], data.label[:5])
        plain = normed((4,), 2).to(dtype).eval()
        plain.load_state_dict(model.module.state_dict(), strict=False)
        for place in range(5):
            plain.zero_grad()
            logits = plain(data.x[place : place + 1].to(dtype))[0]
            label = int(data.label[place])
            margin = logits[label] - logits[1 - label]
            margin.backward()
            expected = torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None])
            torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(f[place], margin.detach())
    assert gradients.size == WEIGHTS
    before = gradients.of(data.x[:5], data.label[:5])[1]
    model.load(torch.zeros(WEIGHTS + RUNNING))
    assert torch.equal(gradients.of(data.x[:5], data.label[:5])[1], before)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"method": "rest"},
            "method is rest, which has no mask for the running statistics of batch norms; use a model",
        ),
        ({"noise_multiplier": 0.5, "clip_update_norm": 1.0}, "noise-multiplier is 0.5, but the running variances"),
    ],
)
def test_what_does_not_go_with_them_is_refused_before_anything_starts(changes: dict[str, Any], line: str) -> None:
    class Never:
        def progress(self, *told: Any) -> None:
            raise AssertionError(told)

    own = tiny_config(**{**SAME, "robust": "federated", "averaging": "none", **changes})
    with pytest.raises(ConfigError, match=line):
        fedjtt.simulate(own, tiny_splits(), observer=Never(), model_builder=normed)
    named = {"model": "torchvision-resnet18", "averaging": "none", "robust": "federated", "dataset": "celeba"}
    with pytest.raises(ConfigError, match=line):
        RunConfig.parse({**named, **{key.replace("_", "-"): value for key, value in changes.items()}})


def test_training_on_arrays_gives_a_module_with_its_statistics() -> None:
    splits = tiny_splits()
    data = [(part.x, part.label, part.attribute) for part in (splits.train, splits.test, splits.validation)]
    done = fedjtt.train(*data, model=normed, method="erm", machines=2, robust="federated", robust_min_steps=20)
    own: GroupedDataset = splits.test
    predicted = done.model(own.x).argmax(dim=1)
    assert float((predicted == own.label).double().mean()) == done.result["test"]["average-accuracy"]
    assert not torch.equal(done.model.get_buffer("1.running_mean"), torch.zeros(6))
