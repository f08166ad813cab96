"""What a run configuration may not say of a dataset: keys and networks that mean nothing for its kind of example."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedjtt.automatic import model_of
from fedjtt.choices import (
    OF_IMAGES,
    OF_TEXT,
    PICTURES,
    TABLES,
    TEXTS,
    TORCHVISION,
    TRANSFORMERS,
    UNPAINTED,
    WHOLE_IMAGES,
)  # fmt: skip

if TYPE_CHECKING:
    from fedjtt.config import RunConfig

# Keys that say how a dataset is made or spread, with the value that says nothing.
OF_PAINTED_DATA = {
    "difficulty": "auto", "spurious-strength": "auto", "class-imbalance": 1.0, "core-noise": 0.0, "corner": "top-right",
    "download": False,
}  # fmt: skip
OF_THE_RECIPE = ("difficulty", "corner", "core-noise", "class-imbalance")
OF_MADE_DATA = {"partition": "iid", "label-noise": 0.0, **OF_PAINTED_DATA}


def own_data_contradiction(config: "RunConfig") -> str | None:
    """Return what does not go with machines that have rows of their own, or with those that have not, or None."""
    values = config.flat()
    if not config.own_data:
        given = [key for key in ("schema-file", "host-files") if values[key]]
        if given:
            return f"{given[0]} is {values[given[0]]!r}, but dataset is {config.dataset}; set dataset to csv"
        for key in OF_THE_RECIPE if config.dataset in WHOLE_IMAGES else ():
            if values[key] != OF_PAINTED_DATA[key]:
                return f"{key} is {values[key]}, but dataset {config.dataset} changes whole images; leave {key} out"
        return unpainted_contradiction(config) if config.dataset in UNPAINTED else None
    about = f"but with dataset {config.dataset}"
    for key, nothing in OF_MADE_DATA.items():
        if values[key] != nothing and not (key == "download" and _fetches_weights(config)):
            return f"{key} is {values[key]}, {about} every machine has rows of its own; leave {key} out"
    if config.robust == "central":
        return f"robust is central, {about} the server holds no data; set robust to federated"
    if config.evaluation_at == "server":
        return (
            f"evaluation-at is server, {about} the server holds no data; set evaluation-at to machines, or leave it out"
        )
    if config.dataset == "heart4":
        if config.schema_file or config.host_files:
            return "schema-file and host-files are for dataset csv; heart4 knows its own: leave them out"
        if config.machines != 4:
            return f"machines is {config.machines}, but heart4 has four hospitals; set machines to 4"
    elif not config.schema_file:
        return f"dataset is {config.dataset}, but schema-file is empty; name the TOML file that says what columns mean"
    if config.model in OF_IMAGES and config.dataset != "image-folder":
        return f"model is {config.model}, which needs images, {about} there are columns; set model to mlp or logistic"
    return None


def _fetches_weights(config: "RunConfig") -> bool:
    """Return whether a network's pretrained weights are what may be downloaded."""
    if config.model in TORCHVISION:
        return config.pretrained in ("auto", "imagenet")
    return config.dataset in TEXTS and config.model in TRANSFORMERS


KINDS = {
    **dict.fromkeys(TABLES, "a table"),
    **dict.fromkeys(PICTURES, "made of photographs"),
    **dict.fromkeys(TEXTS, "text"),
}


def unpainted_contradiction(config: "RunConfig") -> str | None:
    """Return what is about painted digits where the dataset is a published table, photographs or texts, or None."""
    values = config.flat()
    for key, nothing in OF_PAINTED_DATA.items():
        if values[key] != nothing and not (key == "download" and _fetches_weights(config)):
            return f"{key} is {values[key]}, but dataset {config.dataset} is {KINDS[config.dataset]}; leave {key} out"
    if config.model in OF_IMAGES and config.dataset in TABLES:
        return (
            f"model is {config.model}, which needs images, but dataset is {config.dataset}; set model to mlp or "
            "logistic"
        )
    return None


def picture_contradiction(config: "RunConfig") -> str | None:
    """Return what is about photographs where the dataset has none, or None."""
    if config.dataset in PICTURES:
        return None
    for key, value, nothing in (("image-size", config.image_size, "auto"), ("image-cache", config.image_cache, "")):
        if value != nothing:
            return (
                f"{key} is {value}, but dataset is {config.dataset}; {key} is for {', '.join(PICTURES)}: leave it out"
            )
    return None


def text_contradiction(config: "RunConfig") -> str | None:
    """Return what is about texts where there are none, or about other networks where there are, or None."""
    values, model = config.flat(), model_of(config)
    if config.dataset not in TEXTS:
        if model in OF_TEXT:
            return f"model is {model}, which needs texts, but dataset is {config.dataset}; set dataset to {_or(TEXTS)}"
        given = [key for key in ("max-length", "text-model") if values[key] != "auto"]
        about = f"but dataset {config.dataset} has no texts; leave it out"
        return f"{given[0]} is {values[given[0]]}, {about}" if given else None
    if model not in OF_TEXT:
        return f"model is {model}, but dataset {config.dataset} is text; set model to {_or(OF_TEXT)}"
    if config.text_model != "auto" and model not in TRANSFORMERS:
        return f"text-model is {config.text_model}, but model is {model}; set model to {_or(TRANSFORMERS)}"
    return None


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
