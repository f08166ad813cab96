"""Distributed Just Train Twice: group inference over many machines, robust training centrally or federatedly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedjtt.api import TrainedModel, simulate, spectra, train
    from fedjtt.config import RunConfig
    from fedjtt.errors import ConfigError, DataError, DivergedError, EngineError, FedJTTError, RunError, UserError

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "DataError",
    "DivergedError",
    "EngineError",
    "FedJTTError",
    "RunConfig",
    "RunError",
    "TrainedModel",
    "UserError",
    "simulate",
    "spectra",
    "train",
]
_HOMES = {"TrainedModel": "api", "simulate": "api", "spectra": "api", "train": "api", "RunConfig": "config"}


def __getattr__(name: str) -> Any:
    """Import on first use: ``fedjtt --help`` and a bad option need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'fedjtt' has no attribute {name!r}")
    return getattr(import_module(f"fedjtt.{_HOMES.get(name, 'errors')}"), name)
