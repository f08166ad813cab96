"""``features = cached``: what a frozen network sees is computed once, as its own module gives it; a layer learns."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import fedjtt
from experiments.cli import app
from fedjtt import frozen, pretrained_text
from fedjtt.backbones import TorchvisionBuilder
from fedjtt.config import RunConfig
from fedjtt.data.feature_rows import FeatureRows
from fedjtt.data.grouped import Splits
from fedjtt.data.image_files import ImageFiles
from fedjtt.data.sampling import gather
from fedjtt.errors import ConfigError, FedJTTError
from fedjtt.frozen import Frozen
from fedjtt.hosts import hosts_of
from fedjtt.provide import provide_parts, splits_of, spread
from tests.data.made_texts import make_sick
from tests.data.pictures import write_waterbirds
from tests.test_backbones import SMALL, torchvisions
from tests.tiny import TINY, tiny_config

WIDTH, IMAGES, TRAIN = 512, 60, 36  # of resnet18, and of write_waterbirds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-dir with photographs and a file of weights, drawn and not learned."""
    made = tmp_path_factory.mktemp("frozen")
    write_waterbirds(made)
    torch.save(torchvisions(SMALL).state_dict(), made / "weights.pth")
    torch.save(torchvisions(SMALL, seed=8).state_dict(), made / "others.pth")
    return made


@pytest.fixture
def values(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """What a run on features says; each test has caches of its own."""
    return {
        "dataset": "waterbirds", "data_dir": str(folder), "image_size": 32, "model": SMALL, "pretrained": "weights.pth",
        "features": "cached", "feature_cache": str(tmp_path / "kept"), "image_cache": str(tmp_path / "images"),
        "learning_rate": 0.01,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


def forget() -> None:
    """As a new process: what is in memory of data and networks is gone."""
    from fedjtt import provide

    for cached in (provide._load, provide._seen, provide.machines_of, frozen._network):
        cached.cache_clear()


def seen(values: dict[str, Any], **changes: Any) -> Splits:
    forget()
    return splits_of(tiny_config(**{**values, **changes}))


def all_of(splits: Splits) -> list[Tensor]:
    return [gather(part.x, torch.arange(len(part))) for part in (splits.train, splits.validation, splits.test)]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that pass through the network."""
    rows: list[int] = []
    original = frozen._Seen._computed

    def noting(self: Any, asked: Any) -> Any:
        rows.extend(asked.tolist())
        return original(self, asked)

    monkeypatch.setattr(frozen._Seen, "_computed", noting)
    return rows


def test_features_are_the_modules_own(values: dict[str, Any]) -> None:
    """Of torchvision's network on all images at once, in evaluation mode; to rounding, for a batch is another sum."""
    module = torchvisions(SMALL)
    module.fc = nn.Identity()
    plain = seen({**values, "features": "none", "feature_cache": ""})
    with torch.no_grad():
        expected = [module(x) for x in all_of(plain)]
    for found, wanted in zip(all_of(seen(values)), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        assert found.std(dim=0).max() > 0.01


def test_a_second_run_reads_no_image_and_runs_no_network(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = all_of(seen(values))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a second run needs neither")

    monkeypatch.setattr(TorchvisionBuilder, "frozen", never)
    monkeypatch.setattr(ImageFiles, "decoded", never)
    assert all(torch.equal(one, other) for one, other in zip(first, all_of(seen(values)), strict=True))


def test_a_row_does_not_depend_on_what_is_computed_beside_it(values: dict[str, Any], tmp_path: Path) -> None:
    whole = all_of(seen(values))[0]
    other = seen(values, feature_cache=str(tmp_path / "other")).train.x
    assert isinstance(other, FeatureRows)
    for rows in torch.randperm(TRAIN, generator=torch.Generator().manual_seed(1)).split(7):
        assert torch.equal(other.read(rows), whole[rows])


def test_a_gpus_batches_are_filled_up(
    values: dict[str, Any], tmp_path: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here on the CPU: 36 rows of train in batches of 16 are 16, 16 and 4, and the network always sees 16."""
    expected, sizes = all_of(seen(values))[0], []
    monkeypatch.setitem(frozen.BATCH, "cpu", 16)
    other = seen(values, feature_cache=str(tmp_path / "other")).train.x
    network = frozen._network
    monkeypatch.setattr(frozen, "_network", lambda *of: lambda x: (sizes.append(len(x)), network(*of)(x))[1])
    computed.clear()
    torch.testing.assert_close(gather(other, torch.arange(TRAIN)), expected, rtol=1e-4, atol=1e-5)
    assert sizes == [16, 16, 16]
    assert len(computed) == TRAIN


def test_the_parts_share_a_file_and_others_have_their_own(values: dict[str, Any], tmp_path: Path) -> None:
    """Another network's weights, another size or another number of threads: other features."""
    kept = tmp_path / "kept"
    all_of(seen(values))
    (file,) = kept.iterdir()
    assert file.stat().st_size == IMAGES * (WIDTH * 4 + 4)
    assert file.name.startswith(f"{SMALL}-")
    seen(values, seed=3, label_noise=0.2)
    assert list(kept.iterdir()) == [file]
    for number, changes in enumerate(({"pretrained": "others.pth"}, {"image_size": 33}, {"threads": 2}), start=2):
        seen(values, **changes)
        assert len(list(kept.iterdir())) == number


def test_a_machine_computes_its_own_rows_only(values: dict[str, Any], computed: list[int]) -> None:
    config = tiny_config(**values, machines=3, robust="federated", evaluation_at="machines")
    part = spread(splits_of(config), config)[1]
    node_parts = (part.train, part.validation, part.test)
    for each in node_parts:
        gather(each.dataset.x, each.rows)
    own = {int(each.dataset.x.index[row]) for each in node_parts for row in each.rows}
    assert sorted(computed) == sorted(own)
    assert len(own) == IMAGES // 3


def test_a_damaged_file_is_made_anew_with_a_line(
    values: dict[str, Any], tmp_path: Path, computed: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    first = all_of(seen(values))
    (file,) = (tmp_path / "kept").iterdir()
    content = bytearray(file.read_bytes())
    for row in (0, 5):
        content[row * WIDTH * 4 + 9] ^= 1
    file.write_bytes(content)
    computed.clear()
    with caplog.at_level(logging.WARNING):
        again = all_of(seen(values))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert sorted(computed) == [0, 5]
    assert all("damaged, or of what has been replaced; they are made again" in line for line in caplog.messages)
    assert caplog.messages


def test_a_replaced_photograph_has_new_features(values: dict[str, Any], tmp_path: Path, computed: list[int]) -> None:
    write_waterbirds(tmp_path / "data")
    own = {**values, "data_dir": str(tmp_path / "data"), "pretrained": str(Path(values["data_dir"]) / "weights.pth")}
    first = torch.cat(all_of(seen(own)))
    photograph = next((tmp_path / "data").rglob("*_0007_*.jpg"))
    Image.new("RGB", (50, 40), (255, 0, 0)).save(photograph)
    computed.clear()
    second = torch.cat(all_of(seen(own)))
    assert computed == [7]
    assert int((first != second).any(dim=1).sum()) == 1


RUNS: dict[str, dict[str, Any]] = {
    "erm": {"method": "erm"},
    "jtt": {"method": "jtt"},
    "dfr": {"method": "dfr", "dfr_fits": 2, "dfr_penalty": 0.3, "dfr_tolerance": 1e-3},
    "balance": {"method": "balance", "balance": "mixture"},
    "group-dro": {"method": "group-dro"},
    "rest": {"method": "rest", "groups": "true", "rest_density": 0.2},
    "d3m": {"method": "d3m", "d3m_remove": 4, "projection_dimension": 32},
}


@pytest.mark.parametrize("name", RUNS)
def test_central_is_one_machine_federated_and_the_layer_on_the_features_alone(
    name: str, values: dict[str, Any]
) -> None:
    """As a run of the model logistic on a tensor of the features: nothing else of a run knows where they are from."""
    own = {**values, **RUNS[name], "machines": 1}
    digests = {
        fedjtt.simulate(tiny_config(**own, robust=robust)).result["digest"] for robust in ("central", "federated")
    }
    splits = splits_of(tiny_config(**own))
    plain = replace(
        splits, **{part: replace(getattr(splits, part), x=x) for part, x in zip(("train", "validation", "test"),
                                                                                 all_of(splits), strict=True)}
    )  # fmt: skip
    alone = tiny_config(**RUNS[name], machines=1, learning_rate=0.01, model="logistic")
    digests.add(fedjtt.simulate(alone, plain).result["digest"])
    assert len(digests) == 1


def test_the_digest_does_not_depend_on_who_computed_what(values: dict[str, Any], tmp_path: Path) -> None:
    """Over an empty cache, one that another number of machines filled, and in two processes at once."""
    own = {**values, "method": "jtt", "machines": 3, "robust": "federated"}
    first = fedjtt.simulate(tiny_config(**own)).result["digest"]
    forget()
    fedjtt.simulate(tiny_config(**{**own, "machines": 2, "feature_cache": str(tmp_path / "two")}))
    forget()
    second = fedjtt.simulate(tiny_config(**{**own, "feature_cache": str(tmp_path / "two")})).result["digest"]
    forget()
    third = fedjtt.simulate(tiny_config(**{**own, "feature_cache": str(tmp_path / "three"), "workers": 2}))
    assert first == second == third.result["digest"]


def test_the_result_and_its_explanation_say_so(values: dict[str, Any], tmp_path: Path) -> None:
    runner = CliRunner()
    settings = {**TINY, **{key.replace("_", "-"): value for key, value in values.items()}, "method": "erm"}
    options = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    assert runner.invoke(app, ["run", "--quiet", "--out", str(tmp_path / "run"), *options]).exit_code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    line = f"features is cached: only a linear layer was trained, on what the frozen {SMALL} (weights.pth) sees"
    assert [note for note in result["notes"] if note.startswith(line)]
    assert result["parameters"] == 2 * (WIDTH + 1)
    assert result["running-statistics"] == 0
    said = runner.invoke(app, ["explain", str(tmp_path / "run")])
    assert "only a linear layer was trained" in " ".join(said.output.replace("│", " ").split())


def test_arrays_and_the_whole_network_from_python(values: dict[str, Any]) -> None:
    chance = np.random.default_rng(0)
    x = chance.integers(0, 255, (24, 3, 32, 32), dtype=np.uint8)
    y = np.arange(24) % 2
    data = (x, y, y)
    kept = {key: values[key] for key in ("features", "feature_cache", "data_dir", "pretrained")}
    done = fedjtt.train(data, data, data, model=SMALL, method="erm", machines=2, robust="federated", **kept)
    with torch.no_grad():
        predicted = done.model(torch.from_numpy(x).float() / 255).argmax(dim=1)
    assert float((predicted.numpy() == y).mean()) == done.result["test"]["average-accuracy"]
    with pytest.raises(ConfigError, match="model is a function; name a model, or leave features out"):
        fedjtt.simulate(tiny_config(**values), model_builder=lambda shape, labels: nn.Linear(shape[0], labels))


@pytest.fixture
def hosts(tmp_path: Path) -> dict[str, Any]:
    """Two hosts with folders of images, and what a run over them says."""
    chance = np.random.default_rng(0)
    (tmp_path / "hosts").mkdir()
    schema = 'labels = ["no", "yes"]\nattributes = ["f", "m"]\nsize = [32, 32]\n'
    (tmp_path / "images.toml").write_text(schema)
    for host in "ab":
        lines = ["path,label,split,attribute"]
        for place in range(16):
            name = f"{host}{place}.png"
            Image.fromarray(chance.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "hosts" / name)
            split = ("train", "train", "validation", "test")[place // 4]
            lines.append(f"{name},{('no', 'yes')[place % 2]},{split},{'fm'[place // 2 % 2]}")
        (tmp_path / "hosts" / f"{host}.csv").write_text("\n".join(lines) + "\n")
    return {
        "dataset": "image-folder", "data_dir": str(tmp_path), "schema_file": "images.toml", "host_files": "hosts",
        "machines": 2, "robust": "federated", "min_count": 1, "evaluation_at": "machines",
    }  # fmt: skip


def test_hosts_with_images_of_their_own(values: dict[str, Any], hosts: dict[str, Any], folder: Path) -> None:
    on_features = {**hosts, "model": SMALL, "features": "cached", "feature_cache": values["feature_cache"],
                   "pretrained": str(folder / "weights.pth")}  # fmt: skip
    config = tiny_config(**on_features, method="dfr", dfr_fits=2, dfr_tolerance=1e-3)
    result = fedjtt.simulate(config).result
    assert result["parameters"] == 2 * (WIDTH + 1)
    assert len(list(Path(values["feature_cache"]).iterdir())) == 6  # three parts of two hosts
    plain = [host.splits.train for host in hosts_of(tiny_config(**hosts))]  # type: ignore[attr-defined]
    module = torchvisions(SMALL)
    module.fc = nn.Identity()
    for host, part in zip(hosts_of(config), plain, strict=True):
        found = gather(host.splits.train.x, torch.arange(8))  # type: ignore[attr-defined]
        with torch.no_grad():
            torch.testing.assert_close(found, module(gather(part.x, torch.arange(8))), rtol=1e-4, atol=1e-5)


def test_hosts_with_other_weights_do_not_train_together(
    values: dict[str, Any], hosts: dict[str, Any], folder: Path
) -> None:
    own = {**hosts, "model": SMALL, "features": "cached", "feature_cache": values["feature_cache"]}
    one, other = (hosts_of(tiny_config(**own, pretrained=str(folder / name)))[place]
                  for place, name in enumerate(("weights.pth", "others.pth")))  # fmt: skip
    assert one.form.fingerprint != other.form.fingerprint
    assert one.form.shape == other.form.shape == (WIDTH,)
    assert provide_parts([one])(RunConfig(), 0, 1) is one


class Body(nn.Module):
    """In the place of transformers' body, which is not installed everywhere: embeddings, and their mean for pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 6)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Tensor) -> Any:
        said = self.embedding(input_ids)
        pooled = (said * attention_mask.unsqueeze(-1)).mean(dim=1)
        return SimpleNamespace(last_hidden_state=said, pooler_output=pooled)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Body:
    """A made-up package; returns the body that it calls pretrained."""
    made = Body()

    def read(kind: str, name: str, download: bool, **rest: Any) -> Any:  # noqa: ARG001
        config = SimpleNamespace(model_type=name, max_position_embeddings=99, hidden_size=6)
        return (made, {"missing_keys": []}) if rest.get("output_loading_info") else {
            "AutoConfig": config, "AutoModel": made}[kind]  # fmt: skip

    package = SimpleNamespace(__version__="made up", AutoModel=SimpleNamespace(from_config=lambda _: Body()))
    monkeypatch.setattr(pretrained_text, "_read", read)
    monkeypatch.setattr(pretrained_text, "_package", lambda: package)
    tokenizer = SimpleNamespace(pad_token_id=0, sep_token_id=3)
    monkeypatch.setattr(pretrained_text, "tokenizer_of", lambda *_: tokenizer)

    def tokenised(texts: Any, name: str, length: int, download: bool) -> np.ndarray:  # noqa: ARG001
        rows = np.zeros((len(texts[0]), length), np.int32)
        for row, words in enumerate(zip(*texts, strict=True)):
            rows[row] = [1 + sum(map(ord, "".join(words))) * (place + 1) % 39 for place in range(length)]
        return rows

    monkeypatch.setattr("fedjtt.data.text_table.tokenised", tokenised)
    pretrained_text._values_digest.cache_clear()
    return made


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_texts(tmp_path: Path, transformers: Body, model: str) -> None:
    """What stands behind the pretrained body is drawn, and so no part of what is frozen."""
    make_sick(tmp_path)
    own = {"dataset": "sick", "data_dir": str(tmp_path), "model": model, "text_model": model, "max_length": 9,
           "features": "cached", "feature_cache": str(tmp_path / "kept"), "method": "erm", "machines": 1}  # fmt: skip
    digests = {
        fedjtt.simulate(tiny_config(**own, robust=robust)).result["digest"] for robust in ("central", "federated")
    }
    assert len(digests) == 1
    with torch.no_grad():
        tokens = gather(seen({**own, "features": "none", "feature_cache": ""}).test.x, torch.arange(5))
        said = transformers(tokens.long(), (tokens != 0).long())
        expected = said.pooler_output if model == "bert" else said.last_hidden_state[:, 0]
        torch.testing.assert_close(gather(seen(own).test.x, torch.arange(5)), expected)


def test_a_file_of_weights_that_is_missing_is_one_line_before_anything(values: dict[str, Any], tmp_path: Path) -> None:
    settings = {**TINY, **{key.replace("_", "-"): value for key, value in values.items()}, "pretrained": "gone.pth"}
    options = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    caught = CliRunner().invoke(app, ["run", "--quiet", "--out", str(tmp_path / "run"), *options]).exception
    assert isinstance(caught, FedJTTError)
    assert "gone.pth', and there is no such file" in str(caught)
    assert caught.exit_code == 2
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "kept").exists()


def test_inputs_that_it_cannot_take_are_refused_before_anything_is_computed(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs images of at least 32x32"):
        seen(values, image_size=31)


def test_without_the_key_nothing_is_frozen() -> None:
    assert Frozen.of_run(tiny_config()) is None
    assert Frozen.of_run(tiny_config(dataset="celeba", model=SMALL)) is None


def test_splits_of_features_stay_what_they_are(values: dict[str, Any]) -> None:
    splits, own = seen(values), Frozen.of_run(tiny_config(**values))
    assert own is not None
    assert own.seen(splits).train is splits.train
