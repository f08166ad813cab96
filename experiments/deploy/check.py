"""``fedjtt deploy check``: what is wrong with a host of a deployment, before a run finds out."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.deploy.certificates import private_fingerprint, public_fingerprint
from experiments.deploy.connection import check_certificate, check_server
from experiments.deploy.finding import Finding, ok, wrong
from experiments.deploy.identity import code_digest, installed_versions, same_version
from experiments.deploy.layout import FORMAT, MANIFEST, SERVER, Address
from fedjtt.client_app import held_by
from fedjtt.config import RunConfig
from fedjtt.data.options import DATA_VARIABLE
from fedjtt.errors import ConfigError, UserError
from fedjtt.methods.base import NodeData
from fedjtt.provide import provide_server_data


@dataclass(frozen=True)
class Place:
    """A folder of a deployment, as it stands on its host.

    Attributes
    ----------
    folder : Path
        The server's or a host's folder.
    name : str
        The host's name; ``server`` for the server.
    server : Address
        Where the hosts reach the server.
    keys : dict
        Fingerprints of all nodes' public keys by host.
    versions : dict
        Versions where the deployment was made.
    code : str
        Digest of the apps' code there.
    """

    folder: Path
    name: str
    server: Address
    keys: dict[str, str]
    versions: dict[str, str]
    code: str


def read_place(folder: Path) -> Place:
    """Return what a host's folder says about the deployment.

    Raises
    ------
    ConfigError
        Where it is no such folder.
    """
    advice = f"name a host's folder that 'fedjtt deploy init' wrote, such as DIR/{SERVER}"
    try:
        held: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if held["format"] != FORMAT:
            raise ConfigError(f"{folder / MANIFEST} has format {held['format']}, this fedjtt reads {FORMAT}")
        address = Address(str(held["server"]["host"]), int(held["server"]["port"]))
        return Place(folder, held["name"], address, held["keys"], held["versions"], held["code"])
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{folder} holds no {MANIFEST}; {advice}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / MANIFEST} cannot be read ({error!r}); {advice}") from None


def check(place: Place, config: RunConfig) -> Iterator[Finding]:
    """Check one host, a finding at a time.

    Parameters
    ----------
    config : RunConfig
        Of the run that is meant: it says which data the host needs.
    """
    yield from check_settings(place)
    yield from check_server_key(place) if place.name == SERVER else check_node_key(place)
    yield check_certificate("authority", place.folder / "ca.crt")
    yield from check_server(place.server, place.folder / "ca.crt", at_home=place.name == SERVER)
    yield check_versions(place.versions, installed_versions())
    yield check_code(place.code, code_digest())
    yield check_data(place, config)


def check_settings(place: Place) -> Iterator[Finding]:
    """Check that the start command uses the Python that this check runs under, whose versions it tells."""
    python = _setting(place.folder, "FEDJTT_PYTHON")
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):  # noqa: PTH100 (a venv's python is a link)
        yield wrong("settings", f"start.sh uses {python}", f"check with it: {python} -m experiments.cli deploy check .")


def check_node_key(place: Place) -> Iterator[Finding]:
    """Check a node's key, as far as this side can know it: that it is the one the deployment has for this host."""
    path = place.folder / "node.key"
    if (problem := _secret(path)) is not None:
        yield problem
        return
    try:
        found = private_fingerprint(path.read_bytes())
    except ValueError:
        yield wrong("key", f"{path.name} is not a private key in OpenSSH's format", "copy the host's folder again")
        return
    owners = [name for name, fingerprint in place.keys.items() if fingerprint == found]
    if not owners:
        yield wrong(
            "key", f"unknown: {path.name} belongs to no host of this deployment", "the server turns it away; copy again"
        )
    elif place.name not in owners:
        yield wrong(
            "key", f"{path.name} is the key of {owners[0]}, not of {place.name}", "copy the host's folder again"
        )
    else:
        yield ok("key", f"{place.name}'s own, {found}")


def check_server_key(place: Place) -> Iterator[Finding]:
    """Check the server's key and certificate, and that it knows the nodes' keys and has been told them."""
    problem = _secret(place.folder / "server.key")
    yield problem or check_certificate("key", place.folder / "server.crt", place.folder / "server.key")
    changed, new = [], []
    for name, fingerprint in place.keys.items():
        public = place.folder / "nodes" / f"{name}.pub"
        with contextlib.suppress(OSError, ValueError):
            if public_fingerprint(public.read_bytes()) == fingerprint:
                registered = place.folder / "state" / f"{name}.registered"
                if not registered.exists() or registered.read_bytes() != public.read_bytes():
                    new.append(name)
                continue
        changed.append(name)
    if changed:
        yield wrong(
            "nodes", f"nodes/ has no key, or another one, of {', '.join(changed)}", "copy the server's folder again"
        )
    if new:
        yield wrong("nodes", f"not registered: {', '.join(new)}", "start the server, then ./register.sh")
    if not changed and not new:
        yield ok("nodes", f"{len(place.keys)} registered")


def check_versions(wanted: dict[str, str], here: dict[str, str]) -> Finding:
    """Compare the versions that results depend on."""
    other = [
        f"{name} {here.get(name, 'not installed')}, not {version}"
        for name, version in wanted.items()
        if not same_version(name, version, here.get(name, "not installed"))
    ]
    if other:
        return wrong("versions", "; ".join(other), "install what the deployment was made with")
    return ok("versions", ", ".join(f"{name} {version}" for name, version in here.items()))


def check_code(wanted: str, here: str) -> Finding:
    """Compare the apps' code, which a version number does not tell."""
    if wanted != here:
        return wrong(
            "code", f"fedjtt's files have digest {here[:12]}, not {wanted[:12]}", "install the same fedjtt everywhere"
        )
    return ok("code", f"digest {here[:12]}")


def check_data(place: Place, config: RunConfig) -> Finding:
    """Load what this host has of a run's data."""
    if place.name == SERVER and config.own_data:
        return ok("data", f"{config.dataset}: the hosts hold all rows, the server none")
    with _environment(DATA_VARIABLE, _setting(place.folder, DATA_VARIABLE)):
        try:
            if place.name == SERVER:
                data: Any = provide_server_data(config, 0, 1)
            else:
                data = held_by(tomllib.loads((place.folder / "node.toml").read_text()), config)
        except UserError as error:
            return wrong("data", str(error), "or name the run's config by --config or its options")
        except (OSError, ValueError, KeyError, IndexError) as error:
            return wrong("data", f"node.toml or the data cannot be read ({error!r})", "copy the host's folder again")
    # of a host's own rows the moments know how many there are
    count = len(data.train.rows) if isinstance(data, NodeData) else data.moments(1).count
    return ok("data", f"{config.dataset}, {count} train examples") if count else _no_examples(config)


def _no_examples(config: RunConfig) -> Finding:
    return wrong("data", f"{config.dataset} has no train example for this host", "another partition, or other data")


def _secret(path: Path) -> Finding | None:
    """Return what is wrong with a private key's file: absent, or open to others."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return wrong("key", f"{path.name} is not here", "copy the folder again, with its modes (scp -p)")
    if mode & 0o077:
        return wrong("key", f"{path.name} has mode {mode:04o}: others may read it", f"chmod 600 {path.name}")
    if not os.access(path, os.R_OK):
        return wrong("key", f"{path.name} cannot be read by this user", "run as the user who owns it")
    return None


def _setting(folder: Path, name: str) -> str:
    """Return a variable as the start command sees it: from ``settings.env``, or from the environment."""
    command = ["/bin/sh", "-c", f'[ ! -e ./settings.env ] || . ./settings.env; printf %s "${{{name}:-}}"']
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        elif value:
            del os.environ[name]
