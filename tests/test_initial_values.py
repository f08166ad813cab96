"""Networks built as shapes: room, first values, and which buffers may stand beside the parameters."""

import pytest
import torch
from torch import nn

from fedjtt.errors import ConfigError
from fedjtt.initial_values import initialise, keep_statistics, make_room, start_norm


def shapes_only(*layers: type[nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3), *(layer(4) for layer in layers))  # type: ignore[call-arg]


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d])
def test_a_batch_norm_keeps_its_means_and_variances_and_no_count(layer: type[nn.Module]) -> None:
    model = shapes_only(layer, layer)
    keep_statistics(model)
    assert [name for name, _ in model.named_buffers()] == [
        "1.running_mean", "1.running_var", "2.running_mean", "2.running_var"
    ]  # fmt: skip
    make_room(model)
    with torch.no_grad():
        initialise(model, torch.Generator().manual_seed(0))
    for own, torchs in zip(list(model)[1:], [layer(4), layer(4)], strict=True):  # type: ignore[call-overload, call-arg]
        expected = torchs.state_dict()
        del expected["num_batches_tracked"]
        assert own.state_dict().keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in own.state_dict().items())


def test_a_norm_without_parameters_or_statistics() -> None:
    plain = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
    model = nn.Sequential(plain)
    keep_statistics(model)
    initialise(model, torch.Generator())
    assert start_norm(plain)
    assert not list(model.named_buffers())
    assert not start_norm(nn.Linear(2, 2))


def test_a_mean_over_all_batches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"momentum None, .* give a number, such as torch's \.1"):
        keep_statistics(nn.Sequential(nn.BatchNorm2d(4, momentum=None)))


@pytest.mark.parametrize("layer", [nn.InstanceNorm2d(4, track_running_stats=True), nn.SyncBatchNorm(4)])
def test_other_running_statistics_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"buffer '0\.\w+': only parameters and batch norms' running statistics"):
        keep_statistics(nn.Sequential(layer))


def test_drawn_values_are_those_of_the_generator_and_in_torchs_bounds() -> None:
    model = shapes_only()
    make_room(model)
    with torch.no_grad():
        initialise(model, torch.Generator().manual_seed(3))
    drawn = torch.cat([p.detach().flatten() for p in model.parameters()])
    # 4 x 3 x 3 x 3 weights, then 4 biases, evenly between -1/sqrt(27) and 1/sqrt(27)
    expected = torch.rand(4 * 27 + 4, generator=torch.Generator().manual_seed(3))
    assert (drawn.abs() <= 27**-0.5).all()
    torch.testing.assert_close(drawn[:108], (2 * expected[:108] - 1) * 27**-0.5)
