"""``fedjtt deploy init``: every file of a deployment, written all at once or not at all."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.deploy import texts
from experiments.deploy.certificates import (
    is_address,
    new_authority,
    new_node_key,
    public_fingerprint,
    server_certificate,
)
from experiments.deploy.identity import code_digest, installed_versions
from experiments.flower_engine import write_app
from fedjtt.config import RunConfig
from fedjtt.errors import ConfigError

MANIFEST = "deployment.json"
FORMAT = 1
SERVER = "server"
RESERVED = (SERVER, "authority", "app", "nodes")
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
DEFAULT_PORT = 9092
DEFAULT_DAYS = 825
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """Where the server is.

    Attributes
    ----------
    host : str
        Name or IP address, an IPv6 one without brackets.
    port : int
        TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class _File:
    content: bytes
    mode: int


def parse_address(text: str) -> Address:
    """Return the address that a text names: ``host``, ``host:port`` or ``[IPv6]:port``.

    Raises
    ------
    ConfigError
        Where it names none.
    """
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", text)
    plain = re.fullmatch(r"([^:]+)(?::(\d+))?", text)
    match = bracketed or plain
    host, port = (match.group(1), match.group(2)) if match else (text, None)
    known = is_address(host) if bracketed or not match else is_address(host) or HOST_NAME.fullmatch(host)
    # A name of digits and dots only is a mistyped address.
    if not known or (not is_address(host) and re.fullmatch(r"[\d.]+", host)):
        raise ConfigError(f"server is {text!r}; write a host name or an address, with or without :port")
    number = int(port) if port else DEFAULT_PORT
    if not 1 <= number <= 65535:
        raise ConfigError(f"server is {text!r}; a port is a number from 1 to 65535")
    return Address(host, number)


def check_names(hosts: Sequence[str]) -> None:
    """Refuse names of hosts that are no good as folders and as keys' names, or that stand for two hosts.

    Raises
    ------
    ConfigError
        Names the first bad one.
    """
    if not hosts:
        raise ConfigError("a deployment needs at least one host; write --hosts NAME NAME …")
    seen: dict[str, str] = {}
    for name in hosts:
        if not NAME.fullmatch(name):
            raise ConfigError(f"host {name!r}: a name has 1 to 63 letters, digits, '-' or '_', the ends without '-'")
        if name.lower() in RESERVED:
            raise ConfigError(f"host {name!r}: this name is taken; taken are {', '.join(RESERVED)}")
        if name.lower() in seen:  # some file systems take them for the same folder
            raise ConfigError(f"host {name!r} stands twice (as {seen[name.lower()]!r}); give every host its own name")
        seen[name.lower()] = name


def init(directory: Path, hosts: Sequence[str], server: str = "localhost", days: int = DEFAULT_DAYS) -> Address:
    """Write a deployment's folders and return the server's address.

    Parameters
    ----------
    directory : Path
        New, or empty.
    hosts : sequence of str
        Names of the hosts; their partition ids are their places in this order.
    server : str
        Name or address, with or without a port, by which the hosts reach the server.
    days : int
        How long the certificates are valid.

    Raises
    ------
    ConfigError
        For a bad name or address, or a folder that is not empty; nothing is written then.
    """
    check_names(hosts)
    address = parse_address(server)
    if not 1 <= days <= 36500:
        raise ConfigError(f"days is {days}; allowed are 1 to 36500")
    _check_directory(directory)
    parent = directory.absolute().parent
    _check_parent(parent)
    parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=parent))  # of mode 0700
    try:
        for name, file in _files(hosts, address, days).items():
            _write(beside / name, file)
        # Not parsed: an auto default must stay one, or it would contradict the dataset that a run names.
        write_app(beside / SERVER / "app", RunConfig.model_validate({"machines": len(hosts), "engine": "flower"}))
        beside.replace(directory)  # over an empty folder, or to where nothing is
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return address


def _check_directory(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise ConfigError(f"{directory} is not a folder; name a new one")
    if directory.is_dir() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new folder, keys are never written over")


def _check_parent(parent: Path) -> None:
    place = next(each for each in (parent, *parent.parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{place} is no folder that can be written into; name a place that is")


def _write(path: Path, file: _File) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with its mode: a private key must not be readable for others even for a moment.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "wb") as opened:
        os.fchmod(opened.fileno(), file.mode)  # whatever the umask
        opened.write(file.content)


def _files(hosts: Sequence[str], address: Address, days: int) -> dict[str, _File]:
    authority = new_authority(days)
    keys = {name: new_node_key() for name in hosts}
    shared: dict[str, Any] = {
        "format": FORMAT,
        "server": {"host": address.host, "port": address.port},
        "keys": {name: public_fingerprint(public) for name, (_, public) in keys.items()},
        "versions": installed_versions(),
        "code": code_digest(),
    }
    files = {
        "README.md": _text(texts.readme(hosts, address.host, address.port, days)),
        "authority/ca.crt": _File(authority.certificate_pem, 0o644),
        "authority/ca.key": _File(authority.key_pem, 0o600),
    }
    signed = server_certificate(authority, [address.host, *LOOPBACK], days)
    own = {
        "ca.crt": _File(authority.certificate_pem, 0o644),
        "server.crt": _File(signed.certificate_pem, 0o644),
        "server.key": _File(signed.key_pem, 0o600),
        MANIFEST: _manifest({**shared, "name": SERVER}),
        **{f"nodes/{name}.pub": _File(public, 0o644) for name, (_, public) in keys.items()},
        **_server_texts(address.port),
    }
    files |= {f"{SERVER}/{name}": file for name, file in own.items()}
    for partition_id, name in enumerate(hosts):
        mine = {
            "ca.crt": _File(authority.certificate_pem, 0o644),
            "node.key": _File(keys[name][0], 0o600),
            "node.toml": _text(texts.node_config(partition_id, len(hosts))),
            "settings.env": _text(texts.HOST_SETTINGS),
            "start.sh": _text(texts.host_start(str(address)), 0o755),
            f"fedjtt-{name}.service": _text(texts.service(f"node {name}", name)),
            MANIFEST: _manifest({**shared, "name": name}),
        }
        files |= {f"{name}/{file_name}": file for file_name, file in mine.items()}
    return files


def _server_texts(port: int) -> dict[str, _File]:
    return {
        "settings.env": _text(texts.SERVER_SETTINGS),
        "start.sh": _text(texts.server_start(port), 0o755),
        "register.sh": _text(texts.register(port), 0o755),
        "run.sh": _text(texts.start_run(), 0o755),
        "fedjtt-server.service": _text(texts.service("server", SERVER)),
    }


def _text(content: str, mode: int = 0o644) -> _File:
    return _File(content.encode(), mode)


def _manifest(values: Mapping[str, Any]) -> _File:
    return _text(json.dumps(values, indent=2) + "\n")
