"""The keys of a deployment: an authority, the server's certificate, and a key pair a node; PEM and OpenSSH bytes.

The server proves itself by a certificate that only this deployment's authority signs; a node proves itself by its key,
which the server knows. Flower wants the node keys as OpenSSH keys on a NIST curve.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A host whose clock is behind must not find the certificate not yet valid.
CLOCK_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True)
class Signed:
    """A certificate and its private key.

    Attributes
    ----------
    certificate : Certificate
        Who it is for, and who signed it.
    key : EllipticCurvePrivateKey
        Its private half.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, not encrypted: a service that starts by itself has no one to ask for a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_authority(days: int, start: datetime | None = None) -> Signed:
    """Return a new authority: a self-signed certificate that may sign servers' certificates and nothing else.

    Parameters
    ----------
    days : int
        How long it is valid.
    start : datetime or None
        From when on; None: now.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedjtt deployment authority")])
    builder = (
        _builder(name, name, key, days, start)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Signed(builder.sign(key, hashes.SHA384()), key)


def server_certificate(authority: Signed, names: Sequence[str], days: int, start: datetime | None = None) -> Signed:
    """Return a certificate of the server's, signed by the authority.

    Parameters
    ----------
    names : sequence of str
        Host names and addresses that the server may be reached by.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedjtt server")])
    issuer = authority.certificate
    builder = (
        _builder(name, issuer.subject, key, days, start)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in dict.fromkeys(names)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )  # Python 3.13 insists on it
    )
    return Signed(builder.sign(authority.key, hashes.SHA384()), key)


def new_node_key() -> tuple[bytes, bytes]:
    """Return a node's private and public key in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"


def public_fingerprint(public: bytes) -> str:
    """Return a public OpenSSH key's fingerprint as ``ssh-keygen -l`` shows it."""
    raw = load_ssh_public_key(public).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(raw.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def private_fingerprint(private: bytes) -> str:
    """Return the fingerprint of the public key that belongs to a private OpenSSH key.

    Raises
    ------
    ValueError
        Where the bytes are no such key.
    """
    public = load_ssh_private_key(private, None).public_key()
    return public_fingerprint(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))


def is_address(name: str) -> bool:
    """Return whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, start: datetime | None
) -> x509.CertificateBuilder:
    first = start or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first - CLOCK_TOLERANCE)
        .not_valid_after(first + timedelta(days=days))
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
