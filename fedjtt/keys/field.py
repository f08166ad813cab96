"""What the families of keys are declared with."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Auto = Literal["auto"]


def kebab(name: str) -> str:
    """Return the key as users write it: ``batch_size`` is ``batch-size``."""
    return name.replace("_", "-")


def choice(default: str, allowed: tuple[str, ...], text: str) -> Any:
    """Return a key whose value is one of a few names."""
    return Field(default, description=text, json_schema_extra={"allowed": list(allowed)})


class Keys(BaseModel):
    """A family of keys. Attribute names are the keys with ``_`` for ``-``."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=kebab, populate_by_name=True, allow_inf_nan=False
    )
