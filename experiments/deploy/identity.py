"""What runs here: the versions and the code that all hosts of a deployment must share for equal results."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fedjtt

APP_PACKAGES = ("fedjtt", "strategies")
PACKAGES = ("flwr", "torch")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, Flower, torch and fedjtt as installed here."""
    return {
        "python": platform.python_version(),
        "fedjtt": fedjtt.__version__,
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def same_version(name: str, one: str, other: str) -> bool:
    """Return whether two versions can work together: Flower, torch and fedjtt exactly, Python by its minor release."""
    if name != "python":
        return one == other
    return one.split(".")[:2] == other.split(".")[:2]


def code_digest(root: Path | None = None) -> str:
    """Return the SHA-256 over names and contents of the files that the apps consist of.

    Parameters
    ----------
    root : Path or None
        Folder that holds the packages; None: where fedjtt is installed.
    """
    root = Path(fedjtt.__file__).parents[1] if root is None else root
    digest = hashlib.sha256()
    for path in sorted(path for package in APP_PACKAGES for path in (root / package).rglob("*.py")):
        # A checkout on Windows may have other line ends; the code is the same.
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
