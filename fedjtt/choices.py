"""The names that a run configuration may choose from, and what stands for ``auto``."""

DATASETS = ("digits", "spuco-mnist")
DIFFICULTIES = ("auto", "large", "medium", "small", "variance-low", "variance-medium", "variance-high")
PARTITIONS = ("iid", "label-dirichlet", "group-dirichlet", "minority-on-few")
METHODS = ("erm", "jtt", "group-balanced")
AGGREGATORS = (
    "fedavg", "fedavgm", "fedprox", "fedadagrad", "fedadam", "fedyogi",
    "fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan", "fednova",
)  # fmt: skip

# FedNova normalises by the robust stage's weighted sizes, which identification does not have.
IDENTIFY_AGGREGATORS = tuple(name for name in AGGREGATORS if name != "fednova")

AUTO_STRENGTH = {"digits": 0.9, "spuco-mnist": 0.995}
# Rules that step along the mean update with an optimiser of the server's, and their rates in Flower.
AUTO_SERVER_RATE = {"fedavgm": 1.0, "fedadagrad": 0.1, "fedadam": 0.1, "fedyogi": 0.01}
AUTO_EPOCHS = {"jtt": 0.4}
AUTO_ROUNDS = {"central": 10, "federated": 50}
AUTO_MACHINES_A_ROUND = 10
AUTO_DIFFICULTY = {"digits": "large", "spuco-mnist": "medium"}

# What cannot change a result (another place, another way to compute the same bits) stays out of a run's id.
NOT_IN_ID = frozenset(
    {"engine", "workers", "device", "out", "data-dir", "download", "on-restart", "round-timeout", "connect-timeout"}
)
