"""What the code imports is what the project says that it needs, and the lock has a version of each that fits."""

import ast
import re
import sys
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tiny import REPO

# How a package is called where it is imported, if not as where it is installed from.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "trak": "traker"}
OWN = {"fedjtt", "strategies", "experiments"}


def imported() -> set[str]:
    """The top-level packages that the code imports, wherever in a file, other than Python's and its own."""
    found = set()
    for path in (path for package in OWN for path in (REPO / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in found - OWN - set(sys.stdlib_module_names)}


def required() -> dict[str, Requirement]:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(each.name): each for each in map(Requirement, project["dependencies"])}


def extra() -> set[str]:
    groups = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {canonicalize_name(Requirement(each).name) for group in groups.values() for each in group}


def locked() -> dict[str, str]:
    lines = (REPO / "requirements.lock").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lines, flags=re.MULTILINE))


# Typer's own errors are click's, and whoever has the one has the other. Benchmarks hold us against traker, which the
# extra for tests has; transformers comes with the extra for pretrained networks, captum with that for pictures.
def test_every_import_is_declared() -> None:
    assert imported() - set(required()) == {"captum", "click", "traker", "transformers"}
    assert {"captum", "traker", "transformers"} <= extra()


@pytest.mark.parametrize("name", sorted(required()))
def test_the_locked_and_the_installed_version_fit(name: str) -> None:
    assert required()[name].specifier.contains(locked()[name])
    assert required()[name].specifier.contains(version(name))
