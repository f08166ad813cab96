"""Every error that fedjtt raises on purpose.

::

    FedJTTError                    one clear line for the user, no traceback
    ├── UserError                  exit code 2: something to correct; nothing was written
    │   ├── ConfigError            a setting: unknown key, bad value, values that exclude each other
    │   └── DataError              a dataset: missing, damaged, or of the wrong shape
    └── RunError                   exit code 1: the run itself went wrong
        ├── DivergedError          a loss or a weight is not finite
        ├── ForgottenError         a machine restarted and must be told again what it knew
        └── EngineError            a machine, a worker or Flower's runtime failed
            └── ServerLostError    the process of the run's server ended without a word: what resuming is for
"""

from collections.abc import Iterable
from difflib import get_close_matches


class FedJTTError(Exception):
    """Root of all errors raised on purpose; its text is one line meant for the user."""

    exit_code = 1


class UserError(FedJTTError):
    """The user can correct this; nothing was computed or written."""

    exit_code = 2


class ConfigError(UserError):
    """A setting is unknown, out of range, or contradicts another."""


class DataError(UserError):
    """A dataset is missing, damaged, or not of the shape that was announced.

    Attributes
    ----------
    where : str
        What may be told to another host: the file without its folder, row and column. The text may quote cells.
    """

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(text)
        self.where = where


class RunError(FedJTTError):
    """The run started and could not be finished."""


class DivergedError(RunError):
    """A loss or a weight became NaN or infinite."""


class ForgottenError(RunError):
    """A machine has lost what an earlier message left in its memory; the server sends that message again."""


class EngineError(RunError):
    """A machine, a worker process or Flower's runtime failed."""


class ServerLostError(EngineError):
    """The run's ServerApp, or the SuperLink above it, was killed or died: nobody's mistake, and worth another start."""


def error_of(kind: str, text: str) -> FedJTTError:
    """Return the error that another process told of by the name of its class; an unknown name is an EngineError."""
    kinds = {error.__name__: error for error in (ConfigError, DataError, DivergedError, ForgottenError)}
    return kinds.get(kind, EngineError)(text)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
