"""The certificate of the gateway: mistakes in its files are reported at the start."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from app.settings.server import ServerTlsSettings
from tests.certificates import Certificates

SECRET = "canary-secret"

Files = dict[str, Path]


@pytest.fixture
def files(certificates: Certificates, tmp_path: Path) -> Files:
    """Give a certificate and its key, the key encrypted, another key, and a file without PEM."""
    certificate, key = certificates.client("server")
    _, other = certificates.client("other")
    encrypted, text = tmp_path / "encrypted.key", tmp_path / "text.pem"
    loaded = load_pem_private_key(key.read_bytes(), None)
    encrypted.write_bytes(
        loaded.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET.encode())
        )
    )
    text.write_text("no PEM")
    return {
        "certificate": certificate,
        "key": key,
        "encrypted": encrypted,
        "other": other,
        "text": text,
        "ca": certificates.ca_file,
        "nowhere": tmp_path / "nowhere.pem",
    }


@pytest.mark.parametrize(
    "chosen",
    [
        {"certificate": "certificate", "key": "key"},
        {"certificate": "certificate", "key": "encrypted", "key_password": SECRET},
        {"certificate": "certificate", "key": "key", "client_ca": "ca"},
    ],
    ids=["a key", "an encrypted key", "clients with certificates"],
)
def test_a_certificate_with_its_key_is_accepted(files: Files, chosen: dict[str, str]) -> None:
    settings = ServerTlsSettings.model_validate(
        {name: files.get(value, value) for name, value in chosen.items()}
    )

    assert SECRET not in repr(settings)


def test_one_file_may_have_certificate_and_key(files: Files, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(files["key"].read_bytes() + files["certificate"].read_bytes())

    ServerTlsSettings(certificate=both)


KEY_TO_IT = "in key the key to it, with its password in key_password"


@pytest.mark.parametrize(
    ("chosen", "right"),
    [
        ({}, "Field required"),
        ({"certificate": "nowhere"}, "expected a file that can be read: No such file"),
        ({"certificate": "relative.pem"}, "expected an absolute path"),
        ({"certificate": "certificate"}, KEY_TO_IT),
        ({"certificate": "certificate", "key": "other"}, KEY_TO_IT),
        ({"certificate": "certificate", "key": "encrypted"}, KEY_TO_IT),
        ({"certificate": "certificate", "key": "encrypted", "key_password": "x"}, KEY_TO_IT),
        ({"certificate": "text", "key": "key"}, "a certificate in PEM"),
        ({"certificate": "certificate", "key": "text"}, KEY_TO_IT),
        (
            {"certificate": "certificate", "key": "key", "client_ca": "text"},
            "expected certificates in PEM in client_ca",
        ),
    ],
)
def test_files_that_do_not_fit_together_are_reported(
    files: Files, chosen: dict[str, str], right: str
) -> None:
    with pytest.raises(ValidationError, match=right):
        ServerTlsSettings.model_validate(
            {name: files.get(value, value) for name, value in chosen.items()}
        )
