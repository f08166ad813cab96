"""The names that a run configuration may choose from."""

OWN_DATA = ("csv", "heart4", "image-folder")
"""Datasets of which every machine has rows of its own."""

TABLES = ("adult", "compas")
"""Published tables."""

WHOLE_IMAGES = ("coloured-mnist", "corrupted-cifar10", "bffhq")
"""Images of which more than the background tells the label."""

PICTURES = ("waterbirds", "celeba")
"""Published photographs, read from their files when a batch is made."""

TEXTS = ("sick", "civilcomments", "multinli")
"""Texts, and pairs of them: what a network sees is tokens."""

UNPAINTED = (*TABLES, *PICTURES, *TEXTS)
"""Published datasets on which nothing is painted."""

DATASETS = ("digits", "spuco-mnist", *WHOLE_IMAGES, *UNPAINTED, *OWN_DATA)
DATA_KEYS = (
    "dataset", "difficulty", "corner", "spurious-strength", "class-imbalance", "label-noise", "core-noise",
    "image-size", "max-length", "text-model",
)  # fmt: skip
"""Keys that say what data a run is about, beside the seed, the hosts' own files and who holds which part."""

DIFFICULTIES = ("auto", "large", "medium", "small", "variance-low", "variance-medium", "variance-high", "digit")
PARTITIONS = ("iid", "label-dirichlet", "group-dirichlet", "minority-on-few")
METHODS = (
    "erm", "jtt", "group-balanced", "balance", "group-dro", "cvar-dro", "agnostic", "lff", "dfr", "d3m", "auto-d3m",
    "rest",
)  # fmt: skip
REMOVING = ("d3m", "auto-d3m")
"""Methods that remove train examples by their effect."""

REMOVED_BY = ("score", "random", "majority")
ALIGNMENTS = ("paper", "released")
WITH_GROUPS = ("balance", "group-dro", "rest")
"""Methods that work with the groups that the key ``groups`` names."""

FIXED_GROUPS = {"group-balanced": "true", "agnostic": "machine"}
"""Methods that work with groups of their own, whatever ``groups`` says."""

TRANSFORMERS = ("bert", "distilbert")
"""Networks that the extra ``text`` is needed for: pretrained ones, each with a tokenizer of its own."""

TORCHVISION = ("torchvision-resnet18", "torchvision-resnet34", "torchvision-resnet50", "torchvision-convnext-tiny")
"""Networks of torchvision's, for photographs."""

NORMED = ("cmnist-cnn", "resnet18", *TORCHVISION)
"""Named networks with norms of any kind."""

BATCH_NORMED = TORCHVISION[:3]
"""Named networks with running statistics beside their weights."""

PRETRAINED = (*TORCHVISION, *TRANSFORMERS)
"""Networks that there are pretrained weights for."""

OF_TEXT = ("bag-of-embeddings", *TRANSFORMERS)
"""Networks that take tokens only."""

SIZED_BY: dict[str, tuple[str, ...]] = {
    "lenet": ("width",),
    "cmnist-cnn": ("width",),
    "resnet18": ("width",),
    "mlp": ("width", "depth"),
    "logistic": (),
    "bag-of-embeddings": ("width",),
    **dict.fromkeys(PRETRAINED, ()),
}
"""Networks, each with what can make it larger or smaller: the keys ``model-width`` and ``model-depth``."""

OF_IMAGES = ("lenet", "cmnist-cnn", "resnet18", *TORCHVISION)
"""Networks that take images only."""

GROUPS = ("true", "inferred", "class")
AUTO_GROUPS = {"rest": "inferred"}
"""What ``groups = auto`` means for a method; for the others it is ``true``."""
BALANCES = ("subset", "upsample", "upweight", "mixture")
AGGREGATORS = (
    "fedavg", "fedavgm", "fedprox", "fedadagrad", "fedadam", "fedyogi",
    "fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan", "fednova",
)  # fmt: skip

# FedNova normalises by the robust stage's weighted sizes, which identification does not have.
IDENTIFY_AGGREGATORS = tuple(name for name in AGGREGATORS if name != "fednova")
