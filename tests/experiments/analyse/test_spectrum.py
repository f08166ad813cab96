"""The numbers of real runs against dense ones, and rows by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.analyse.finished import finished_runs
from experiments.analyse.spectrum import Names, analyse_runs, class_rows, group_rows, points_of, settings_of
from fedjtt.errors import ConfigError
from fedjtt.models import MLP
from fedjtt.provide import splits_of
from fedjtt.spectrum import Imbalance
from tests.experiments.analyse.made_runs import DIGITS, analysed, group, really_run, two_classes
from tests.own_hosts import own_config, own_values, write_hosts


def test_a_real_run_against_all_its_features_at_once(made_sweep: Path) -> None:
    told: list[str] = []
    runs = finished_runs([made_sweep])
    found = analyse_runs(runs, lambda name, *_: told.append(name))
    assert sorted(told) == sorted(run.folder.name for run in runs)
    for run, each in zip(runs, found, strict=True):
        train = splits_of(run.config).train
        network = MLP(tuple(train.x.shape[1:]), train.num_labels)
        torch.nn.utils.vector_to_parameters(torch.from_numpy(run.weights()), network.parameters())
        network.fc3 = torch.nn.Identity()  # type: ignore[assignment]
        with torch.no_grad():
            features = network.double()((train.x.float() / 255).double()).numpy()
        for own in each.spectra.groups:
            rows = features[train.group.numpy() == own.label * train.num_attributes + own.attribute]
            dense = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))[::-1]
            assert own.n == len(rows)
            assert own.eigenvalues is not None
            np.testing.assert_allclose(own.eigenvalues, dense, rtol=1e-6, atol=1e-10 * dense[0])


def test_accuracies_are_apart_by_the_results_own_counts() -> None:
    run = two_classes((1.5, 0.5), (0.4, -0.1))
    assert [run.difference(each) for each in run.spectra.classes] == [pytest.approx(0.4), pytest.approx(-0.1)]
    assert points_of([run]) == [(0, 1.5, pytest.approx(0.4)), (1, 0.5, pytest.approx(-0.1))]


def test_a_class_without_rho_or_without_test_examples_is_no_point() -> None:
    groups = [group(0, 0, 9, 1.0), group(0, 1, 3, 2.0), group(1, 0, 5, 1.0), group(1, 1, 0)]
    classes = {0: Imbalance(0, 1, 0, 2.0), 1: Imbalance(1, None, None, None, "one group")}
    run = analysed(classes, groups, {(0, 0): 0.5, (1, 0): 0.5})
    assert run.difference(classes[0]) is None
    assert run.difference(classes[1]) is None
    assert points_of([run]) == []
    assert run.group(0, 1) == groups[1]
    assert run.group(0, None) is None


def test_rows_by_setting_and_seed() -> None:
    runs = [two_classes((1.5, 0.5), (0.4, 0.0), seed=seed, method=m) for m in ("group-balanced", "erm")
            for seed in (1, 0)]  # fmt: skip
    settings = settings_of(runs, {})
    assert [[each.seed for each in own] for own in settings.values()] == [[0, 1], [0, 1]]
    of_groups, of_classes = group_rows(settings, 3), class_rows(settings)
    assert len(of_groups) == 4 * 4
    assert len(of_classes) == 4 * 2
    assert of_groups[2] == {
        "run-id": runs[1].run.result["run-id"], "seed": 0, "method": "group-balanced",
        "setting": "oracle (group-balanced), central, 1 machine", "label": 1, "attribute": 0, "rows": 7, "n": 7,
        "eigenvalue-1": 2.0, "eigenvalue-2": 0.0, "eigenvalue-3": None,
    }  # fmt: skip
    assert {key: of_classes[0][key] for key in ("label", "minority", "majority", "rho", "why-no-rho")} == {
        "label": 0, "minority": 1, "majority": 0, "rho": 1.5, "why-no-rho": ""
    }  # fmt: skip
    assert of_classes[0]["accuracy-difference"] == pytest.approx(0.4)


def test_own_rows_are_asked_where_they_lie_and_named_by_their_schema(tmp_path: Path) -> None:
    folder = write_hosts(tmp_path)
    values = {name.replace("-", "_"): value for name, value in own_values(folder).items()}
    run = really_run(tmp_path / "run", **values | {"method": "erm", "machines": 3})
    (found,) = analyse_runs(finished_runs([run]))
    assert sum(each.n for each in found.spectra.groups) > 60
    assert Names.of_data(own_config(folder)) == Names(("no", "yes"), ("f", "m"))
    (folder / "hosts" / "a.csv").unlink()
    with pytest.raises(ConfigError, match=r"run: machines is 3, but host-files \(hosts\) has 2 CSV files"):
        analyse_runs(finished_runs([run]))


def test_hosts_that_named_their_own_files_cannot_be_asked_afterwards() -> None:
    own = {"dataset": "csv", "schema_file": "s.toml", "robust": "federated", "machines": 3}
    run = two_classes((1.0, 1.0), (0.0, 0.0), **own).run
    with pytest.raises(ConfigError, match="hosts cannot be asked after their run"):
        analyse_runs([run])


def test_names_are_the_datasets() -> None:
    config = two_classes((1.0, 1.0), (0.0, 0.0)).run.config
    names, splits = Names.of_data(config), splits_of(config)
    assert config.dataset == DIGITS["dataset"]
    assert (names.labels, names.attributes) == (splits.label_names, splits.attribute_names)
