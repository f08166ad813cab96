"""The run configuration: one schema with flat kebab-case keys for TOML, CLI options, ``--set`` and Flower's run config.

Validated here, once, at the edge; inside the library plain arguments travel.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError, model_validator

from fedjtt.automatic import automatic, groups_of
from fedjtt.choices import FIXED_GROUPS, OWN_DATA, WITH_GROUPS
from fedjtt.errors import ConfigError, nearest
from fedjtt.keys.attribution import AttributionKeys
from fedjtt.keys.data import DataKeys
from fedjtt.keys.field import kebab
from fedjtt.keys.identify import IdentifyKeys
from fedjtt.keys.machines import MachineKeys
from fedjtt.keys.methods import MethodKeys
from fedjtt.keys.privacy import PrivacyKeys
from fedjtt.keys.robust import RobustKeys
from fedjtt.keys.run import RunKeys
from fedjtt.rules import bad_value, contradiction

# What cannot change a result (another place, another way to compute the same bits) stays out of a run's id.
PLACES = ("engine", "workers", "device", "out", "data-dir", "image-cache", "feature-cache", "download")
NOT_IN_ID = frozenset({*PLACES, "on-restart", "round-timeout", "connect-timeout"})


# Pydantic lists the last family first.
class RunConfig(RunKeys, PrivacyKeys, AttributionKeys, MethodKeys, RobustKeys, IdentifyKeys, MachineKeys, DataKeys):
    """One run, fully said. Attribute names are the keys with ``_`` for ``-``; see docs/configuration.md."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            allowed = extra.get("allowed") if isinstance(extra, dict) else None
            value = getattr(self, name)
            if isinstance(allowed, list) and value not in allowed:
                names = [str(item) for item in allowed]
                raise ConfigError(f"{kebab(name)} is {value!r}; allowed are {', '.join(names)}{nearest(value, names)}")
        if (text := bad_value(self) or contradiction(self)) is not None:
            raise ConfigError(text)
        return self

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return every key, in the order of the documentation."""
        return tuple(kebab(name) for name in cls.model_fields)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Validate flat kebab-case values and fill the defaults, ``auto`` ones that depend on the dataset included.

        Raises
        ------
        ConfigError
            For an unknown key or a bad value, in one line that names what is allowed.
        """
        known = cls.keys()
        for key in values:
            if key not in known:
                raise ConfigError(f"unknown key {key!r}{nearest(key, known)}; 'fedjtt run --help' lists all keys")
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            meant = cls.model_fields[key.replace("-", "_")].description
            raise ConfigError(f"{key} is {first['input']!r}: {first['msg'].lower()} ({meant})") from None
        return config.model_copy(update=automatic(config))

    def flat(self) -> dict[str, str | int | float | bool]:
        """Return every key with its value: plain types only, as Flower's run config and TOML want them."""
        return self.model_dump(by_alias=True)

    def replace(self, **changes: Any) -> "RunConfig":
        """Return a validated copy with other values; keywords are attribute names."""
        return RunConfig.parse({**self.flat(), **{kebab(name): value for name, value in changes.items()}})

    @property
    def own_data(self) -> bool:
        """Whether every machine has rows of its own, and the server none."""
        return self.dataset in OWN_DATA

    @property
    def groups_kind(self) -> str:
        """Which groups the method works with: ``true``, ``inferred``, ``class`` or ``machine``."""
        return FIXED_GROUPS.get(self.method, groups_of(self))

    @property
    def identifies(self) -> bool:
        """Whether the method works with an error set, and so the run looks for one."""
        return self.method == "jtt" or (self.method in WITH_GROUPS and groups_of(self) == "inferred")

    @property
    def run_id(self) -> str:
        """16 hex digits over every key that can change the result."""
        return digest_of({key: value for key, value in self.flat().items() if key not in NOT_IN_ID})[:16]

    def subset(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the chosen keys with their values, for the key of a cached stage."""
        return {key: value for key, value in self.flat().items() if key in keys}


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


__all__ = ["RunConfig", "digest_of", "kebab"]
