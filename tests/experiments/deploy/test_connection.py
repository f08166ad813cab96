"""Planted faults between a host and its server, each found and named."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from experiments.deploy.certificates import Signed, new_authority, server_certificate
from experiments.deploy.connection import check_certificate, check_server
from experiments.deploy.finding import Finding
from experiments.deploy.layout import Address
from experiments.flower_process import free_port
from tests.experiments.deploy.serving import serving

LONG_AGO = datetime.now(UTC) - timedelta(days=100)
LATER = datetime.now(UTC) + timedelta(days=100)


@pytest.fixture(scope="module")
def authority() -> Signed:
    return new_authority(365, LONG_AGO)


def findings(tmp_path: Path, authority: Signed, port: int, host: str = "127.0.0.1") -> list[Finding]:
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    return list(check_server(Address(host, port), tmp_path / "ca.crt"))


def test_the_right_server_is_fine(tmp_path: Path, authority: Signed) -> None:
    with serving(tmp_path, server_certificate(authority, ["localhost"], 30)) as port:
        found = findings(tmp_path, authority, port, "localhost")
    assert [(finding.subject, finding.good) for finding in found] == [
        ("server", True),
        ("certificate", True),
        ("flower", True),
    ]


def test_what_is_wrong_with_a_certificate(tmp_path: Path, authority: Signed) -> None:
    me = ["127.0.0.1"]
    planted = {
        "the server's has expired": server_certificate(authority, me, 50, LONG_AGO),
        "the server's is not valid yet": server_certificate(authority, me, 50, LATER),
        "not signed by this deployment's authority": server_certificate(new_authority(30), me, 30),
        "the server's is not for 127.0.0.1": server_certificate(authority, ["other.example.org", "10.0.0.1"], 30),
        "deployment's authority (self": new_authority(30),
    }
    for text, signed in planted.items():
        with serving(tmp_path, signed) as port:
            last = findings(tmp_path, authority, port)[-1]
        assert last.subject == "certificate", text
        assert not last.good
        assert text in last.text
        assert last.advice


def test_a_name_that_the_certificate_does_not_have(tmp_path: Path, authority: Signed) -> None:
    with serving(tmp_path, server_certificate(authority, ["other.example.org"], 30)) as port:
        assert "is not for localhost" in findings(tmp_path, authority, port, "localhost")[-1].text


def test_a_server_without_tls_and_one_that_is_no_superlink(tmp_path: Path, authority: Signed) -> None:
    with serving(tmp_path, None) as port:
        assert "does not speak TLS" in findings(tmp_path, authority, port)[-1].text
    signed = server_certificate(authority, ["127.0.0.1"], 30)
    for answer, text in ((b"HTTP/1.1 404 No\r\n\r\n", "answers 404"), (b"SSH-2.0\r\n", "is no SuperLink")):
        with serving(tmp_path, signed, answer) as port:
            assert text in findings(tmp_path, authority, port)[-1].text


def test_no_server(tmp_path: Path, authority: Signed) -> None:
    port = free_port()
    (found,) = findings(tmp_path, authority, port)
    assert str(found).startswith(f"server      wrong: 127.0.0.1:{port} cannot be reached (connection refused); ")
    assert f"port {port}/tcp" in found.advice
    (found,) = findings(tmp_path, authority, port, "no-such-host.invalid")
    assert "does not know the name no-such-host.invalid" in found.text
    (found,) = check_server(Address("fl.example.org", port), tmp_path / "ca.crt", at_home=True)
    assert found.text == f"nothing listens at port {port} here"


def test_a_certificate_by_itself(tmp_path: Path, authority: Signed) -> None:
    path, key = tmp_path / "server.crt", tmp_path / "server.key"
    assert not check_certificate("key", path).good
    for signed, good, text in (
        (server_certificate(authority, ["a"], 200), True, "is valid until"),
        (server_certificate(authority, ["a"], 3), True, "which is soon"),
        (server_certificate(authority, ["a"], 50, LONG_AGO), False, "expired on"),
        (server_certificate(authority, ["a"], 50, LATER), False, "is not valid before"),
    ):
        path.write_bytes(signed.certificate_pem)
        key.write_bytes(signed.key_pem)
        found = check_certificate("key", path, key)
        assert found.good == good
        assert text in found.text
    path.write_bytes(authority.certificate_pem)
    assert "does not belong to the key" in check_certificate("key", path, key).text
