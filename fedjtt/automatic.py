"""What ``auto`` means, key by key, where the run configuration alone can tell."""

from typing import TYPE_CHECKING, Any

from fedjtt.choices import AUTO_GROUPS, PICTURES, TEXTS, TORCHVISION, WHOLE_IMAGES

if TYPE_CHECKING:
    from fedjtt.config import RunConfig

AUTO_STRENGTH = {"digits": 0.9, "spuco-mnist": 0.995, **dict.fromkeys(WHOLE_IMAGES, 0.995)}
# Rules that step along the mean update with an optimiser of the server's, and their rates in Flower.
AUTO_SERVER_RATE = {"fedavgm": 1.0, "fedadagrad": 0.1, "fedadam": 0.1, "fedyogi": 0.01}
AUTO_EPOCHS = {"jtt": 0.4}
AUTO_ROUNDS = {"central": 10, "federated": 50}
AUTO_MACHINES_A_ROUND = 10
AUTO_DIFFICULTY = {"digits": "large", "spuco-mnist": "medium"}
AUTO_IMAGE_SIZE = 224
AUTO_MODEL = {
    **dict.fromkeys(("adult", "compas", "csv", "heart4"), "mlp"),
    **dict.fromkeys(TEXTS, "bag-of-embeddings"),
}
# Of a sentence for networks of our own, of all that is read for the others; the latter two as published.
AUTO_MAX_LENGTH = {"sick": 32, "multinli": 128, "civilcomments": 300}
AUTO_PRETRAINED = "imagenet"
AUTO_TEXT_MODEL = {"bert": "bert-base-uncased", "distilbert": "distilbert-base-uncased"}


def groups_of(config: "RunConfig") -> str:
    """Return the groups that the key ``groups`` names."""
    return AUTO_GROUPS.get(config.method, "true") if config.groups == "auto" else config.groups


def model_of(config: "RunConfig") -> str:
    """Return the network's name, also where the config has not been resolved yet."""
    return AUTO_MODEL.get(config.dataset, "lenet") if config.model == "auto" else config.model


def automatic(config: "RunConfig") -> dict[str, Any]:
    """Return the values of the keys that are ``auto``, by attribute name.

    Strength and difficulty mean nothing for published tables, texts and photographs and for machines' own rows, a size
    only for photographs, a length only for texts, and whether machines' own rows have an attribute is known once they
    have been asked: there ``auto`` stays.
    """
    found = {
        "server_learning_rate": AUTO_SERVER_RATE.get(config.aggregator, 1.0),
        "identify_server_learning_rate": AUTO_SERVER_RATE.get(config.identify_aggregator, 1.0),
        "groups": groups_of(config),
        "robust_epochs": AUTO_EPOCHS.get(config.method, 2.0),
        "robust_rounds": AUTO_ROUNDS[config.robust],
        "fraction_train": min(1.0, AUTO_MACHINES_A_ROUND / config.machines),
        "model": model_of(config),
        "evaluation_at": "machines" if config.own_data else "server",
    }
    if not config.own_data:
        found["selection"] = "val-worst-group"
    if config.dataset in PICTURES:
        found["image_size"] = AUTO_IMAGE_SIZE
    if config.dataset in AUTO_STRENGTH:
        found["spurious_strength"] = AUTO_STRENGTH[config.dataset]
    if config.dataset in AUTO_DIFFICULTY:
        found["difficulty"] = AUTO_DIFFICULTY[config.dataset]
    if config.dataset in TEXTS:
        found["max_length"] = AUTO_MAX_LENGTH[config.dataset]
    if found["model"] in TORCHVISION:
        found["pretrained"] = AUTO_PRETRAINED
    if found["model"] in AUTO_TEXT_MODEL:
        found["text_model"] = AUTO_TEXT_MODEL[found["model"]]
    return {name: value for name, value in found.items() if getattr(config, name) == "auto"}
