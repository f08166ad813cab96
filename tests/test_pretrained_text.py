"""BERT and DistilBERT: what is said where transformers is not installed, and the networks where it is."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from experiments.cli import app
from fedjtt.api import simulate
from fedjtt.data.text_table import tokens_of
from fedjtt.errors import ConfigError
from fedjtt.models import build_model
from fedjtt.pretrained_text import PretrainedBuilder, tokenised, tokenizer_of
from fedjtt.seeding import torch_generator
from fedjtt.workspace import builder_of
from tests.data.made_texts import make_sick, options_of
from tests.tiny import tiny_config

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "dog", "plays", "is", "not", "run", "##ning")
MODELS = {
    "bert": ("BertConfig", {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
                            "intermediate_size": 16}),
    "distilbert": ("DistilBertConfig", {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}),
}  # fmt: skip


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    tokenizer_of.cache_clear()
    make_sick(tmp_path)
    options = ["--dataset", "sick", "--model", model, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    caught = CliRunner().invoke(app, ["run", *options])
    assert isinstance(caught.exception, ConfigError)
    line = str(caught.exception)
    assert "need the package transformers, which is not installed; pip install 'fedjtt[text]'" in line
    assert "\n" not in line
    assert caught.exception.exit_code == 2
    assert not (tmp_path / "out").exists()


def made(folder: Path, model: str) -> str:
    """A pretrained model as transformers writes it, of two layers and random weights."""
    package = pytest.importorskip("transformers", reason="the extra text is not installed: pip install 'fedjtt[text]'")
    name, sizes = MODELS[model]
    config = getattr(package, name)(vocab_size=len(VOCABULARY), max_position_embeddings=16, **sizes)
    package.AutoModel.from_config(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return str(folder)


PAIR = (["a man plays", "a dog is not running"], ["a dog", "man"])


def test_tokens_are_those_of_the_models_own_tokenizer(tmp_path: Path) -> None:
    name = made(tmp_path, "bert")
    # [CLS] a man plays [SEP] a dog [SEP]; of the second pair the longer text is cut to fit: [CLS] a dog is not run …
    first = [2, 5, 6, 8, 3, 5, 7, 3]
    second = [2, 5, 7, 9, 10, 3, 6, 3]
    found = tokenised(PAIR, name, 8, download=False)
    assert found.dtype == np.int32
    assert found.tolist() == [first, second]
    assert tokenised((["a man"],), name, 6, download=False).tolist() == [[2, 5, 6, 3, 0, 0]]
    options = options_of("sick", tmp_path, length=8)
    assert tokens_of(PAIR, options).shape == (2, 2, 8)
    assert tokens_of(PAIR, options.__class__(**{**vars(options), "text_model": name})).tolist() == [first, second]


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_the_network_is_transformers_own_on_the_pretrained_weights(tmp_path: Path, model: str) -> None:
    name = made(tmp_path, model)
    built = build_model(PretrainedBuilder(model, name), (10,), 3, torch_generator(0, "weights"))
    module: Any = built.module
    package = pytest.importorskip("transformers")
    oracle = package.AutoModel.from_pretrained(name).eval()
    coded = package.AutoTokenizer.from_pretrained(name)(*PAIR, padding=True, return_tensors="pt")
    if model == "distilbert":
        coded.pop("token_type_ids", None)
    with torch.no_grad():
        said = oracle(**coded)
        if model == "bert":
            expected = module.out(said.pooler_output)
        else:
            expected = module.out(torch.relu(module.between(said.last_hidden_state[:, 0])))
        x = torch.from_numpy(tokenised(PAIR, name, 10, download=False))
        for mode in (module.eval(), module.train()):  # no dropout
            torch.testing.assert_close(mode(x), expected, rtol=1e-4, atol=1e-5)
    assert list(module.buffers()) == []
    again = build_model(PretrainedBuilder(model, name), (10,), 3, torch_generator(0, "weights"))
    assert torch.equal(built.vector, again.vector)


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_a_federated_run_ends_with_equal_weights(tmp_path: Path, model: str) -> None:
    name = made(tmp_path / "model", model)
    make_sick(tmp_path)
    config = tiny_config(
        dataset="sick", model=model, text_model=name, max_length=12, data_dir=str(tmp_path), robust="federated",
        method="jtt", machines=2, learning_rate=0.001, identify_learning_rate=0.001,
    )  # fmt: skip
    first, second = (simulate(config) for _ in range(2))
    assert first.result["digest"] == second.result["digest"]
    start = build_model(builder_of(config), (12,), 2, torch_generator(0, "weights"))
    assert not np.array_equal(first.weights, start.vector.numpy())


def test_what_is_no_such_model_is_one_line(tmp_path: Path) -> None:
    name = made(tmp_path, "bert")
    for builder, line in (
        (PretrainedBuilder("distilbert", name), "a model of type bert; set model to that type"),
        (PretrainedBuilder("bert", str(tmp_path / "none")), "cannot be read as a pretrained model"),
    ):
        with pytest.raises(ConfigError, match=line) as caught:
            builder((10,), 2)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"max-length is 17; .* has places for 16"):
        PretrainedBuilder("bert", name)((17,), 2)
