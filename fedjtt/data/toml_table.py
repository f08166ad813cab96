"""A TOML table read key by key, so that every key has the announced type and none is left unread."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedjtt.errors import ConfigError, nearest


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's content; ConfigError in one line where there is none to read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; write it, or name the file where it is") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {' '.join(str(error).split())}") from None


@contextmanager
def about(where: str) -> Iterator[None]:
    """Put the file, or the place in it, before the text of a ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


class TomlTable:
    """The keys of one table; every method takes its key off the list of those still unread.

    Parameters
    ----------
    raw : mapping
        What the TOML file says.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._left = dict(raw)
        self._known: list[str] = []

    def text(self, key: str) -> str | None:
        """Return a string, or None where the key is absent."""
        value = self._take(key)
        if value is not None and not isinstance(value, str):
            raise _error(key, value, "write a text in quotes")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of strings; numbers are taken as their text."""
        value = self._take(key)
        return None if value is None else self._texts(key, value)

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Return a list of numbers."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(_is_number(each) for each in value):
            raise _error(key, value, "write a list of numbers such as [0.6, 0.2, 0.2]")
        return tuple(float(each) for each in value)

    def table(self, key: str) -> dict[str, Any]:
        """Return a table, empty where the key is absent."""
        value = self._take(key)
        if value is not None and not isinstance(value, dict):
            raise _error(key, value, f"write a table: [{key}]")
        return value or {}

    def table_of_texts(self, key: str) -> dict[str, str]:
        """Return a table of strings; numbers are taken as their text."""
        return {name: self._texts(f"{key}.{name}", [value])[0] for name, value in self.table(key).items()}

    def table_of_lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a table of lists of strings."""
        return {name: self._texts(f"{key}.{name}", value) for name, value in self.table(key).items()}

    def close(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._left:
            raise ConfigError(f"unknown key {key!r}{nearest(key, self._known)}; allowed are {', '.join(self._known)}")

    def _take(self, key: str) -> Any:
        self._known.append(key)
        return self._left.pop(key, None)

    def _texts(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) or _is_number(each) for each in value):
            raise _error(key, value, "write texts or numbers: 'a', or ['a', 'b'] where several are allowed")
        return tuple(str(each).strip() for each in value)


def _error(key: str, value: object, advice: str) -> ConfigError:
    return ConfigError(f"{key} is {value!r}; {advice}")


def _is_number(value: object) -> bool:
    """Return whether TOML says a number; True and False are whole numbers to Python and not to the user."""
    return isinstance(value, int | float) and not isinstance(value, bool)
