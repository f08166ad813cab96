"""The run configuration as command-line options: one option a key, made from the schema, so that they cannot differ."""

import inspect
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fedjtt.config import RunConfig, kebab
from fedjtt.errors import ConfigError

PANEL = "Run configuration"


def _option(name: str, many: bool) -> inspect.Parameter:
    field = RunConfig.model_fields[name]
    extra = field.json_schema_extra
    allowed = extra.get("allowed") if isinstance(extra, dict) else None
    shown = f"allowed: {', '.join(str(item) for item in allowed)}; " if isinstance(allowed, list) else ""
    text = f"{field.description} ({shown}default: {'empty' if field.default == '' else field.default})"
    flag = field.annotation is bool
    annotation = bool | None if flag else str | None
    names = [f"--{kebab(name)}/--no-{kebab(name)}" if flag else f"--{kebab(name)}"]
    option = typer.Option(
        *names, help=text, rich_help_panel=PANEL, metavar=None if flag else ("VALUE[,VALUE…]" if many else "VALUE")
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
    )


def with_config_options(
    many: bool, leave_out: Iterable[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for every key of the run configuration.

    The command takes them as keyword arguments, None where the user said nothing; as text, for the schema to judge.

    Parameters
    ----------
    many : bool
        Whether an option takes a comma-separated list (a sweep's axes).
    leave_out : iterable of str
        Attribute names that the command has options of its own for.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = [name for name in RunConfig.model_fields if name not in leave_out]
        parameters = [*own, *(_option(name, many) for name in names)]
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {p.name: p.annotation for p in parameters}
        return function

    return decorate


def read_toml(path: Path | None) -> dict[str, Any]:
    """Return a config file's tables.

    Raises
    ------
    ConfigError
        Where the file is missing or is not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"config file {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"config file {path} is not TOML: {error}") from None


def parse_settings(settings: Iterable[str]) -> dict[str, str]:
    """Return ``key=value`` texts as a dict."""
    pairs = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r} has no '='; write --set key=value")
        pairs[key.strip()] = value.strip()
    return pairs


def split_texts(texts: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Return the TOML files and the ``key=value`` pairs in texts; a text may hold several pairs, quoted as for a shell.

    Raises
    ------
    ConfigError
        Where a quotation has no end.
    """
    files, pairs = [], []
    for text in texts:
        if text.endswith(".toml") and "=" not in text:
            files.append(Path(text))
            continue
        try:
            pairs += shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"{text!r} cannot be read ({error}); write key=value") from None
    return files, pairs


def merged(file: Mapping[str, Any], settings: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the user gave: options over ``--set`` over the config file."""
    given = {kebab(name): value for name, value in options.items() if value is not None}
    return {**file, **parse_settings(settings), **given}


def check_place(place: Path) -> None:
    """Refuse a place for results that is, or lies in, a file."""
    for each in (place, *place.parents):
        if each.is_file():
            raise ConfigError(f"--to is {place}, but {each} is a file; name a folder")


def configuration_page() -> str:
    """Return docs/configuration.md: every key with its default, from the schema itself."""
    rows = []
    for name, field in RunConfig.model_fields.items():
        extra = field.json_schema_extra
        allowed = extra.get("allowed") if isinstance(extra, dict) else None
        values = ", ".join(f"`{item}`" for item in allowed) if isinstance(allowed, list) else _limits(field.metadata)
        default = "empty" if field.default == "" else f"`{str(field.default).lower()}`"
        rows.append(f"| `{kebab(name)}` | {default} | {values} | {_cell(field.description)} |")
    return "\n".join(
        (
            "# Run configuration",
            "",
            "One schema for TOML files (`--config`), `--set key=value`, command-line options (`--key value`) and",
            "Flower's run config (`--run-config`). Options win over `--set`, which wins over the file. In a sweep a",
            "value may be a list. Made by `python -m experiments.options > docs/configuration.md`.",
            "",
            "| key | default | allowed | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


def _cell(text: str | None) -> str:
    return (text or "").replace("|", r"\|")


def _limits(metadata: Iterable[Any]) -> str:
    """Return pydantic's bounds (objects Ge, Gt, Le, Lt with an attribute of that name) as a person writes them."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    names = [(type(bound).__name__.lower(), bound) for bound in metadata]
    return " and ".join(f"{signs[name]} {getattr(bound, name)}" for name, bound in names)


if __name__ == "__main__":
    print(configuration_page(), end="")
