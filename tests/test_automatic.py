"""What auto becomes; the cases one by one stand in tests/test_config.py."""

import pytest

from fedjtt.automatic import automatic, model_of
from fedjtt.config import RunConfig


def test_only_what_is_auto_is_filled_in() -> None:
    config = RunConfig.parse({"robust-rounds": 7})
    assert automatic(config) == {}
    raw = RunConfig.model_validate({"robust-rounds": 7, "model": "mlp"})
    assert not {"robust_rounds", "model"} & set(automatic(raw))
    assert automatic(raw)["evaluation_at"] == "server"


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({"dataset": "digits"}, "lenet"),
        ({"dataset": "adult"}, "mlp"),
        ({"dataset": "adult", "model": "logistic"}, "logistic"),
    ],
)
def test_the_network_is_known_before_auto_is_filled_in(values: dict[str, str], model: str) -> None:
    assert model_of(RunConfig.model_validate(values)) == model_of(RunConfig.parse(values)) == model
