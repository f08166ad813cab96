"""What auto becomes; the cases one by one stand in tests/test_config.py."""

from fedjtt.automatic import automatic
from fedjtt.config import RunConfig


def test_only_what_is_auto_is_filled_in() -> None:
    config = RunConfig.parse({"robust-rounds": 7})
    assert automatic(config) == {}
    raw = RunConfig.model_validate({"robust-rounds": 7, "model": "mlp"})
    assert not {"robust_rounds", "model"} & set(automatic(raw))
    assert automatic(raw)["evaluation_at"] == "server"
