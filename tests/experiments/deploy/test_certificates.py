"""The keys of a deployment, judged by ``cryptography`` and by ssl, not by the code that made them."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from experiments.deploy.certificates import (
    Signed,
    is_address,
    new_authority,
    new_node_key,
    private_fingerprint,
    public_fingerprint,
    server_certificate,
)


@pytest.fixture(scope="module")
def authority() -> Signed:
    return new_authority(30)


def verify(signed: Signed, authority: Signed, name: str, at: datetime | None = None) -> None:
    subject = x509.DNSName(name)
    store = Store([authority.certificate])
    PolicyBuilder().store(store).time(at or datetime.now(UTC)).build_server_verifier(subject).verify(
        signed.certificate, []
    )


def test_the_servers_certificate_holds_for_its_names_only(authority: Signed) -> None:
    signed = server_certificate(authority, ["example.org", "localhost", "10.1.2.3", "::1", "localhost"], 30)
    verify(signed, authority, "example.org")
    verify(signed, authority, "localhost")
    with pytest.raises(VerificationError):
        verify(signed, authority, "example.com")
    names = signed.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.1.2.3", "::1"]
    assert names.get_values_for_type(x509.DNSName) == ["example.org", "localhost"]


def test_another_authoritys_certificate_does_not_hold(authority: Signed) -> None:
    signed = server_certificate(new_authority(30), ["localhost"], 30)
    with pytest.raises(VerificationError):
        verify(signed, authority, "localhost")


def test_it_is_valid_from_an_hour_ago_for_so_many_days(authority: Signed) -> None:
    now = datetime.now(UTC)
    signed = server_certificate(authority, ["localhost"], 20)
    verify(signed, authority, "localhost", now - timedelta(minutes=59))
    verify(signed, authority, "localhost", now + timedelta(days=20, minutes=-1))
    for moment in (now - timedelta(minutes=61), now + timedelta(days=20, minutes=1)):
        with pytest.raises(VerificationError):
            verify(signed, authority, "localhost", moment)


def test_a_server_cannot_sign(authority: Signed) -> None:
    server = server_certificate(authority, ["localhost"], 30)
    forged = server_certificate(server, ["localhost"], 30)
    with pytest.raises(VerificationError):
        PolicyBuilder().store(Store([authority.certificate])).build_server_verifier(x509.DNSName("localhost")).verify(
            forged.certificate, [server.certificate]
        )


def test_a_nodes_key_is_openssh_on_flowers_curve() -> None:
    private, public = new_node_key()
    key = load_ssh_private_key(private, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp384r1"
    assert key.public_key() == load_ssh_public_key(public)
    assert private_fingerprint(private) == public_fingerprint(public)
    assert new_node_key()[1] != public


def test_the_fingerprint_is_ssh_keygens(tmp_path: Path) -> None:
    _, public = new_node_key()
    (tmp_path / "key.pub").write_bytes(public)
    try:
        answer = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not here")
    assert answer.stdout.split()[1] == public_fingerprint(public)


@pytest.mark.parametrize("name", ["localhost", "1.2.3", "a:b"])
def test_a_name_is_no_address(name: str) -> None:
    assert not is_address(name)
    assert is_address("::1")
