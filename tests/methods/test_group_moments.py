"""Moments of the groups' features over machines: the numbers of one place, and only counts and sums in messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedjtt
from fedjtt.client_app import make_client_app
from fedjtt.config import RunConfig
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.host import NoRows
from fedjtt.errors import ConfigError
from fedjtt.hosts import encoding_of, hosts_of
from fedjtt.methods.base import Payload
from fedjtt.methods.group_moments import gather_spectra, length_of_sums, sum_features
from fedjtt.provide import provide_parts
from fedjtt.simulation import InProcessGrid
from fedjtt.spectrum import Spectra, group_moments, spectra_of
from strategies.staged import StagedStrategy
from tests.own_hosts import own_config, write_hosts
from tests.tiny import asked, node_of, parts_of_a_run, tiny_config, tiny_splits

WIDTH = 128


def trained() -> Any:
    return fedjtt.simulate(tiny_config(method="erm", robust="federated", machines=3), tiny_splits()).weights


def assert_alike(one: Spectra, other: Spectra, relative: float = 1e-10) -> None:
    """Eigenvalues by their group's largest: how exact the covariance is."""
    assert [(group.rows, group.n) for group in one.groups] == [(group.rows, group.n) for group in other.groups]
    for first, second in zip(one.groups, other.groups, strict=True):
        assert (first.eigenvalues is None) == (second.eigenvalues is None)
        mine, theirs = np.array(first.eigenvalues or [1.0]), np.array(second.eigenvalues or [1.0])
        np.testing.assert_allclose(mine, theirs, rtol=relative, atol=relative * mine[0])
    for here, there in zip(one.classes, other.classes, strict=True):
        assert (here.minority, here.majority, here.why) == (there.minority, there.majority, there.why)
        assert (here.rho or 1.0) == pytest.approx(there.rho or 1.0, rel=relative)


ALL_MINORITY_ON_ONE = [torch.arange(8), torch.arange(8, 40), torch.arange(40, 60)]


@pytest.mark.parametrize(
    ("machines", "rows"),
    [(1, None), (2, None), (7, None), (60, None), (3, ALL_MINORITY_ON_ONE), (3, ALL_MINORITY_ON_ONE[::-1])],
)
def test_machines_are_central(machines: int, rows: Any) -> None:
    """However train is cut, and in whatever order: sixty machines have a row each."""
    weights = trained()
    central = fedjtt.spectra(tiny_config(evaluation_at="server"), weights, tiny_splits())
    config = tiny_config(robust="federated", evaluation_at="machines", machines=machines)
    assert all(imbalance.rho is not None for imbalance in central.classes)
    assert_alike(central, fedjtt.spectra(config, weights, tiny_splits(), rows))


def test_of_a_machine_that_restarts_nothing_is_lost(tmp_path: Path) -> None:
    """What it must know is how rows are encoded, and it is told again; the sums are computed in one exchange."""
    config = own_config(write_hosts(tmp_path))
    hosts = hosts_of(config)
    grid = InProcessGrid(make_client_app(provide_parts(hosts)), config, 3)
    strategy = StagedStrategy(config, InProcessGrid(make_client_app(provide_parts([NoRows()])), config, 1))
    strategy.connect(grid)
    weights = initial_weights(strategy)
    before = gather_spectra(strategy, weights)
    grid._contexts[2].state.clear()
    assert_alike(before, gather_spectra(strategy, weights), relative=1e-15)


def initial_weights(strategy: StagedStrategy) -> Any:
    return strategy.ask("server", "initial", Payload())[0].arrays["weights"]


def test_a_message_holds_counts_and_sums_and_no_row() -> None:
    """What a machine with twenty rows sends is as long as what one with a row sends."""
    config = tiny_config(robust="federated", evaluation_at="machines", machines=3)
    strategy, grid = parts_of_a_run(config, tiny_splits(), [torch.arange(1), torch.arange(1, 40), torch.arange(40, 60)])
    seen = asked(grid)
    strategy.connect(grid)
    gather_spectra(strategy, trained())
    told = [reply for action, _, _, reply in seen if action == "spectrum"]
    assert {action for action, *_ in seen} == {"census", "spectrum"}
    assert [sum(reply.integers("count")) for reply in told] == [1, 39, 20]
    for reply in told:
        assert set(reply.numbers) == {"count", "width", "partition-id"}
        assert {name: array.shape for name, array in reply.arrays.items()} == {"sums": (4 * (WIDTH + 8256),)}
        assert len(reply.integers("count")) == 4
    assert length_of_sums(4, WIDTH) == 4 * (128 + 128 * 129 // 2)
    assert strategy.traffic["evaluate"].received > 3 * 8 * length_of_sums(4, WIDTH)


def pooled(config: RunConfig, least: int) -> tuple[GroupedDataset, list[int]]:
    """The train rows of all hosts, but for groups of which a host has fewer than `least`; all rows per group."""
    hosts = hosts_of(config)
    encoding = encoding_of(hosts, config.min_count)
    parts = [host.encoded(encoding).train for host in hosts]
    sizes = sum(part.group_counts() for part in parts)
    kept = [part.take(torch.nonzero(part.group_counts()[part.group] >= least).flatten()) for part in parts]
    columns = {name: torch.cat([getattr(part, name) for part in kept]) for name in ("x", "label", "attribute")}
    total = len(columns["label"])
    assert isinstance(sizes, torch.Tensor)
    return GroupedDataset(**columns, id=torch.arange(total), num_labels=2, num_attributes=2), sizes.tolist()


@pytest.mark.parametrize("least", [1, 3])
def test_of_rows_of_their_own_machines_send_no_sum_over_fewer_than_min_count(tmp_path: Path, least: int) -> None:
    """The numbers are those of the pooled rows that are left; the others are in no sum, and it is said how many."""
    config = own_config(write_hosts(tmp_path), min_count=least)
    weights = fedjtt.simulate(config).weights
    found = fedjtt.spectra(config, weights)
    data, sizes = pooled(config, least)
    left_out = sum(sizes) - len(data)
    assert (left_out > 0) == (least > 1)
    assert [group.rows for group in found.groups] == sizes
    assert sum(group.n for group in found.groups) == len(data)
    node = node_of(tiny_config(), data)
    model = node.load(weights)
    assert_alike(spectra_of(group_moments(model, data, torch.arange(len(data))), sizes, 2), found)


def test_under_secure_aggregation_the_server_sees_the_sum() -> None:
    """Numbers are multiples of 2^-28 there."""
    weights, settings = trained(), {"robust": "federated", "evaluation_at": "machines", "machines": 4}
    plain = fedjtt.spectra(tiny_config(**settings), weights, tiny_splits())
    config = tiny_config(**settings, secure_aggregation=True)
    assert_alike(plain, fedjtt.spectra(config, weights, tiny_splits()), relative=1e-6)
    strategy, grid = parts_of_a_run(config, tiny_splits())
    seen = asked(grid)
    strategy.connect(grid)
    gather_spectra(strategy, weights)
    assert not any("sums" in reply.arrays or "count" in reply.numbers for *_, reply in seen)


@pytest.mark.parametrize("noise", [{"count_noise": 2.0}, {"noise_multiplier": 1.0, "clip_update_norm": 1.0}])
def test_sums_would_say_what_noise_hides(noise: dict[str, Any]) -> None:
    settings = {"robust": "federated", "averaging": "none", **noise}
    weights = trained()
    with pytest.raises(ConfigError, match=f"{next(iter(noise)).replace('_', '-')} is .*would say what the noise hides"):
        fedjtt.spectra(tiny_config(**settings, evaluation_at="machines"), weights, tiny_splits())
    held = fedjtt.spectra(tiny_config(**settings, evaluation_at="server"), weights, tiny_splits())
    assert_alike(fedjtt.spectra(tiny_config(), weights, tiny_splits()), held)


@pytest.mark.parametrize("place", ["server", "machines"])
def test_without_attributes_there_is_nothing_to_compare(place: str) -> None:
    config = tiny_config(evaluation_at=place, robust="federated", selection="last")
    with pytest.raises(ConfigError, match="no attribute of train is known"):
        fedjtt.spectra(config, trained(), tiny_splits(known=False))


def test_a_node_refuses_what_has_no_groups_and_weights_of_another_model() -> None:
    splits = tiny_splits(known=False)
    with pytest.raises(ConfigError, match="no attribute of train is known"):
        sum_features(node_of(tiny_config(), splits.train), Payload({"weights": trained()}))
    with pytest.raises(ConfigError, match="the weights are 3 numbers, and model mlp has"):
        fedjtt.spectra(tiny_config(), np.zeros(3, np.float32), tiny_splits())


def test_where_validation_is_trained_on_it_is_what_is_looked_at() -> None:
    splits = tiny_splits()
    other = Splits(splits.validation, splits.train, splits.test, splits.label_names, splits.attribute_names)
    config = tiny_config(train_on="validation")
    weights = trained()
    assert_alike(fedjtt.spectra(config, weights, splits), fedjtt.spectra(tiny_config(), weights, other))
