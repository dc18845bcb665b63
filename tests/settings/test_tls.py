"""The settings of certificates: mistakes are reported at the start."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from tests.certificates import Certificates

SECRET = "canary-secret"


def refused(base_url: str = "https://users", **tls: object) -> str:
    """Return the message about TLS settings that are refused."""
    with pytest.raises(ValidationError) as caught:
        SourceSettings.model_validate({"base_url": base_url, "tls": tls})
    assert SECRET not in str(caught.value)
    return str(caught.value)


def encrypted(key: Path) -> Path:
    """Encrypt a key."""
    plain = load_pem_private_key(key.read_bytes(), None)
    lock = BestAvailableEncryption(SECRET.encode())
    path = key.with_suffix(".locked")
    path.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, lock))
    return path


def test_the_certificate_and_host_name_are_always_verified() -> None:
    context = TlsSettings().context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert "verify" not in str(TlsSettings.model_fields)


def test_a_client_key_may_be_in_the_file_of_its_certificate_or_encrypted(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.client()
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())

    TlsSettings(client_certificate=both)
    given = {
        "client_certificate": certificate,
        "client_key": encrypted(key),
        "client_key_password": SECRET,
    }
    assert SECRET not in repr(TlsSettings.model_validate(given))


def test_a_missing_file_or_a_relative_path_is_reported(tmp_path: Path) -> None:
    assert "expected an absolute path, such as /etc/ssl/ca.pem" in refused(ca_file="ca.pem")
    assert "can be read: No such file" in refused(ca_file=tmp_path / "ca.pem")
    assert "can be read: Is a directory" in refused(client_certificate=tmp_path)
    assert "no path has a NUL in it" in refused(ca_file="/a\0b")


def test_a_file_with_the_wrong_content_is_reported(
    certificates: Certificates, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    certificate, key = certificates.client("one")
    _, other = certificates.client("other")

    assert "certificates in PEM in ca_file" in refused(ca_file=empty)
    assert "certificates in PEM in ca_file" in refused(ca_file=key)
    several: list[dict[str, Any]] = [
        {"client_certificate": empty},
        {"client_certificate": certificate},
        {"client_certificate": certificate, "client_key": other},
        {"client_certificate": certificate, "client_key": encrypted(key)},
        {
            "client_certificate": certificate,
            "client_key": encrypted(key),
            "client_key_password": f"{SECRET}-of-old",
        },
    ]
    for wrong in several:
        assert "expected in client_certificate a certificate in PEM" in refused(**wrong)


def test_a_setting_without_effect_is_reported(certificates: Certificates) -> None:
    _, key = certificates.client()

    assert "expected client_certificate beside client_key" in refused(client_key=key)
    assert "client_certificate beside client_key_password" in refused(client_key_password=SECRET)
    assert "expected https in base_url beside tls" in refused("http://users")
