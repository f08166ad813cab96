"""How much faster ten machines identify than the original's setting does on one: CPU seconds of the slowest machine."""

from typing import Any

from experiments.benchmarks.harness import Row, Setting, interleaved, medians_of, one_thread, ratios_of, spuco_mnist
from fedjtt.api import simulate
from fedjtt.config import RunConfig

AIM = 6.0
# Identification only: of robust training no more than a step.
COMMON: dict[str, Any] = {
    "dataset": "spuco-mnist", "machines": 10, "robust-epochs": 1e-5, "robust-min-steps": 1, "robust-rounds": 1,
    "selection": "last",
}  # fmt: skip
ORIGINAL: dict[str, Any] = {
    "machines": 1, "identify": "local", "identify-stop": "last", "identify-guard": False, "identify-min-steps": 0,
    "identify-epochs": 2, "identify-batch-size": 64, "identify-learning-rate": 0.01, "identify-weight-decay": 0.0,
    "identify-clip-norm": 0.0, "identify-optimizer": "sgd", "identify-averaging": "none",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "original, one machine": ORIGINAL,
    "original, ten machines": {**ORIGINAL, "machines": 10},
    "default (federated, stable)": {},
    "federated, 2 epochs in 2 rounds": {"identify-stop": "last", "identify-min-steps": 0, "identify-rounds": 2},
    "federated, 2 epochs in 5 rounds": {"identify-stop": "last", "identify-min-steps": 0, "identify-rounds": 5},
    "local": {"identify": "local"},
    "local, 2 epochs": {"identify": "local", "identify-stop": "last", "identify-min-steps": 0},
    "3 peers": {"identify": "peers"},
}


def run(setting: Setting) -> list[Row]:
    """Measure every variant's ratio; one seed, so the number of rounds that ``stable`` makes is that seed's."""
    one_thread()
    splits = spuco_mnist(setting.data_dir, 2_000 if setting.quick else None)
    reports: dict[str, dict[str, Any]] = {}

    def side(name: str) -> float:
        result = simulate(RunConfig.parse({**COMMON, **VARIANTS[name]}), splits).result
        reports[name] = {**result["identification"], "bytes": result["bytes"]["identify"]}
        return float(result["seconds"]["identify"]["slowest"])

    figures = interleaved([lambda name=name: side(name) for name in VARIANTS], setting.pairs)  # type: ignore[misc]
    seconds = medians_of(figures)
    rows = []
    for position, name in enumerate(list(VARIANTS)[1:], start=1):
        found = reports[name]
        megabytes = (found["bytes"]["sent"] + found["bytes"]["received"]) / 1e6
        how = (
            f"slowest of ten machines {seconds[position]:.2f} CPU s, the original's setting on one {seconds[0]:.2f}; "
            f"precision {found['precision'] or 0:.2f}, recall {found['recall'] or 0:.2f}, {megabytes:.1f} MB"
        )
        target = AIM if name.startswith(("default", "federated")) else None
        rows.append(Row(f"identification: {name}", ratios_of(figures, 0, position), target, how, at_least=True))
    return rows
