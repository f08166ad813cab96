"""What ``auto`` stands for: values that depend on other keys, filled in once when a configuration is parsed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedjtt.config import RunConfig

AUTO_STRENGTH = {"digits": 0.9, "spuco-mnist": 0.995}
# Rules that step along the mean update with an optimiser of the server's, and their rates in Flower.
AUTO_SERVER_RATE = {"fedavgm": 1.0, "fedadagrad": 0.1, "fedadam": 0.1, "fedyogi": 0.01}
AUTO_EPOCHS = {"jtt": 0.4}
AUTO_ROUNDS = {"central": 10, "federated": 50}
AUTO_MACHINES_A_ROUND = 10
AUTO_DIFFICULTY = {"digits": "large", "spuco-mnist": "medium"}


def resolved(config: "RunConfig") -> dict[str, Any]:
    """Return the fields that are ``auto``, with their values."""
    update: dict[str, Any] = {}
    if config.spurious_strength == "auto":
        update["spurious_strength"] = AUTO_STRENGTH[config.dataset]
    if config.difficulty == "auto":
        update["difficulty"] = AUTO_DIFFICULTY[config.dataset]
    if config.server_learning_rate == "auto":
        update["server_learning_rate"] = AUTO_SERVER_RATE.get(config.aggregator, 1.0)
    if config.identify_server_learning_rate == "auto":
        update["identify_server_learning_rate"] = AUTO_SERVER_RATE.get(config.identify_aggregator, 1.0)
    if config.robust_epochs == "auto":
        update["robust_epochs"] = AUTO_EPOCHS.get(config.method, 2.0)
    if config.robust_rounds == "auto":
        update["robust_rounds"] = AUTO_ROUNDS[config.robust]
    if config.fraction_train == "auto":
        update["fraction_train"] = min(1.0, AUTO_MACHINES_A_ROUND / config.machines)
    return update
