"""What a host can tell of the server by connecting to it as a node would: reachable, the right one, and Flower."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from experiments.deploy.finding import Finding, ok, wrong
from experiments.deploy.layout import Address

TIMEOUT_SECONDS = 5.0
SOON = timedelta(days=14)
# OpenSSL's numbers (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64


def check_certificate(subject: str, path: Path, key: Path | None = None) -> Finding:
    """Check a certificate's dates, and that a private key is its own.

    Parameters
    ----------
    key : Path or None
        The private key's file; None: not looked at.
    """
    again = "copy the folder again"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None) if key is not None else None
    except (OSError, ValueError):
        return wrong(subject, f"{path.name} or its key is not here or cannot be read", again)
    if private is not None and private.public_key() != certificate.public_key():
        return wrong(subject, f"{path.name} does not belong to the key beside it", again)
    now = datetime.now(UTC)
    until = certificate.not_valid_after_utc
    if now > until:
        return wrong(subject, f"{path.name} expired on {until:%Y-%m-%d}", "make the deployment anew, or set the clock")
    if now < certificate.not_valid_before_utc:
        return wrong(subject, f"{path.name} is not valid before {certificate.not_valid_before_utc}", "set the clock")
    soon = ", which is soon: make the deployment anew before" if until - now < SOON else ""
    return ok(subject, f"{path.name} is valid until {until:%Y-%m-%d}{soon}")


def check_server(server: Address, authority: Path, at_home: bool = False) -> Iterator[Finding]:
    """Connect to the server: is it there, does it prove itself, is it Flower's SuperLink.

    Parameters
    ----------
    authority : Path
        The certificate that the server's must be signed by.
    at_home : bool
        Whether this is the server's own host, which need not know the name that others reach it by.
    """
    target = "127.0.0.1" if at_home else server.host
    try:
        connection = socket.create_connection((target, server.port), TIMEOUT_SECONDS)
    except OSError as error:
        yield _unreachable(server, error, at_home)
        return
    with connection:
        yield ok("server", f"{server} can be reached")
        try:
            # No system authority is trusted here: a node does not either.
            context = ssl.create_default_context(cafile=str(authority))
            secure = context.wrap_socket(connection, server_hostname=server.host)
        except OSError as error:
            yield _untrusted(server, error)
            return
        with secure:
            yield ok("certificate", f"signed by this deployment's authority, for {server.host}")
            yield _check_flower(server, secure)


def _unreachable(server: Address, error: OSError, at_home: bool) -> Finding:
    if at_home:
        return wrong("server", f"nothing listens at port {server.port} here", "./start.sh")
    if isinstance(error, socket.gaierror):
        return wrong("server", f"this host does not know the name {server.host}", "correct DNS or /etc/hosts")
    reason = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
    return wrong(
        "server",
        f"{server} cannot be reached ({reason})",
        f"start it, and let this host through to port {server.port}/tcp in the firewall",
    )


def _untrusted(server: Address, error: OSError) -> Finding:
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        return wrong("certificate", f"{server} does not speak TLS ({reason})", "start the server by its start.sh")
    code = error.verify_code
    if code in (_EXPIRED, _NOT_YET_VALID):
        what = "has expired" if code == _EXPIRED else "is not valid yet"
        return wrong("certificate", f"the server's {what}", "make the deployment anew, or set this host's clock")
    if code in (_NAME_MISMATCH, _ADDRESS_MISMATCH):
        return wrong("certificate", f"the server's is not for {server.host}", "init with --server as hosts reach it")
    return wrong(
        "certificate",
        f"the server's is not signed by this deployment's authority ({error.verify_message})",
        "server and host are of different deployments, or this is another server",
    )


def _check_flower(server: Address, secure: ssl.SSLSocket) -> Finding:
    """Ask for what a SuperLink answers to anyone."""
    client = http.client.HTTPConnection(server.host, server.port)
    client.sock = secure
    try:
        client.request("GET", "/health", headers={"Connection": "close"})
        status = client.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return wrong("flower", f"{server} is no SuperLink ({error!r})", "start the server by its start.sh")
    if status != http.client.OK:
        return wrong("flower", f"{server} answers {status}: no SuperLink", "start the server by its start.sh")
    return ok("flower", "a SuperLink answers")
