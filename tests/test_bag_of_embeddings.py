"""The text network beside its formula, and what it does not depend on."""

import pytest
import torch
from torch.nn import functional

from fedjtt.bag_of_embeddings import BagOfEmbeddings
from fedjtt.data.tokens import BUCKETS
from fedjtt.errors import ConfigError
from fedjtt.models import SizedModel, build_model
from fedjtt.seeding import torch_generator


def net(shape: tuple[int, ...], width: float = 1.0) -> BagOfEmbeddings:
    model = build_model(SizedModel("bag-of-embeddings", width), shape, 2, torch_generator(0, "weights"))
    assert isinstance(model.module, BagOfEmbeddings)
    return model.module


@pytest.mark.parametrize(
    ("shape", "width", "parameters"),
    [
        # 2^14 embeddings of 32; a pair is 4 of them, 64 hidden units, 2 labels
        ((2, 5), 1.0, 2**14 * 32 + (4 * 32 + 1) * 64 + 65 * 2),
        ((5,), 1.0, 2**14 * 32 + 33 * 64 + 65 * 2),
        ((5,), 0.25, 2**14 * 8 + 9 * 16 + 17 * 2),
        ((5,), 1e-9, 2**14 + 2 + 2 * 2),
    ],
)
def test_parameters(shape: tuple[int, ...], width: float, parameters: int) -> None:
    model = build_model(SizedModel("bag-of-embeddings", width), shape, 2, torch_generator(0, "weights"))
    assert len(model.vector) == parameters


def test_a_pair_is_both_means_their_distance_and_their_product() -> None:
    module = net((2, 4))
    x = torch.tensor([[[7, 9, 9, 0], [5, 0, 0, 0]]], dtype=torch.int32)
    weight = module.embedding.weight
    u, v = (weight[7] + 2 * weight[9]) / 3, weight[5]
    hidden = functional.relu(module.fc1(torch.cat([u, v, (u - v).abs(), u * v])))
    torch.testing.assert_close(module(x)[0], module.fc2(hidden))


def test_a_text_is_the_mean_of_its_words_whatever_their_order_and_the_padding() -> None:
    module = net((4,))
    texts = [[3, 8, 0, 0], [8, 3, 0, 0], [8, 3, 8, 3], [0, 3, 0, 8]]
    said = module(torch.tensor(texts, dtype=torch.int32))
    expected = module.fc2(functional.relu(module.fc1(module.embedding.weight[[3, 8]].mean(dim=0))))
    torch.testing.assert_close(said, expected.expand(4, 2))


def test_a_text_without_words_is_finite_and_padding_learns_nothing() -> None:
    module = net((3,))
    module(torch.tensor([[0, 0, 0], [4, 0, 0]], dtype=torch.int32)).square().sum().backward()
    gradient = module.embedding.weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 5)])
def test_what_is_no_text_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"bag-of-embeddings needs tokens of texts or of pairs, not inputs of shape"):
        net(shape)


def test_the_largest_number_has_an_embedding() -> None:
    assert net((1,))(torch.tensor([[BUCKETS - 1]], dtype=torch.int32)).shape == (1, 2)
