"""The names that a run configuration may choose from."""

OWN_DATA = ("csv", "heart4", "image-folder")
"""Datasets of which every machine has rows of its own."""

TABLES = ("adult", "compas")
"""Published tables: nothing is painted on them."""

TEXTS = ("sick", "civilcomments", "multinli")
"""Texts, and pairs of them: what a network sees is tokens."""

DATASETS = ("digits", "spuco-mnist", *TABLES, *TEXTS, *OWN_DATA)
DATA_KEYS = (
    "dataset", "difficulty", "corner", "spurious-strength", "class-imbalance", "label-noise", "core-noise",
    "max-length", "text-model",
)  # fmt: skip
"""Keys that say what data a run is about, beside the seed, the hosts' own files and who holds which part."""

DIFFICULTIES = ("auto", "large", "medium", "small", "variance-low", "variance-medium", "variance-high")
PARTITIONS = ("iid", "label-dirichlet", "group-dirichlet", "minority-on-few")
METHODS = ("erm", "jtt", "group-balanced", "balance", "group-dro", "cvar-dro", "agnostic", "lff", "dfr")
WITH_GROUPS = ("balance", "group-dro")
"""Methods that work with the groups that the key ``groups`` names."""

FIXED_GROUPS = {"group-balanced": "true", "agnostic": "machine"}
"""Methods that work with groups of their own, whatever ``groups`` says."""

TRANSFORMERS = ("bert", "distilbert")
"""Networks that the extra ``text`` is needed for: pretrained ones, each with a tokenizer of its own."""

OF_TEXT = ("bag-of-embeddings", *TRANSFORMERS)
"""Networks that take tokens only."""

SIZED_BY: dict[str, tuple[str, ...]] = {
    "lenet": ("width",),
    "mlp": ("width", "depth"),
    "logistic": (),
    "bag-of-embeddings": ("width",),
    **dict.fromkeys(TRANSFORMERS, ()),
}
"""Networks, each with what can make it larger or smaller: the keys ``model-width`` and ``model-depth``."""

GROUPS = ("true", "inferred", "class")
BALANCES = ("subset", "upsample", "upweight", "mixture")
AGGREGATORS = (
    "fedavg", "fedavgm", "fedprox", "fedadagrad", "fedadam", "fedyogi",
    "fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan", "fednova",
)  # fmt: skip

# FedNova normalises by the robust stage's weighted sizes, which identification does not have.
IDENTIFY_AGGREGATORS = tuple(name for name in AGGREGATORS if name != "fednova")
