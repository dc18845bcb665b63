"""`serve` with certificates, as a real process."""

import os
import ssl
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from app.cli import main
from tests.certificates import Certificates
from tests.cli.refusals import start_refusal
from tests.examples.serving import free_port, program

ROOT = Path(__file__).parents[2]
NAMES = ("PROFILE", "BILLING", "ACTIVITY")
NEEDED = {
    **{f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9" for name in NAMES},
    "GATEWAY_AUTH__MODE": "none",
}
QUERY = {"query": "{ __typename }"}


@pytest.fixture(scope="module")
def variables(certificates: Certificates) -> dict[str, str]:
    """Give the variables with which `serve` uses https."""
    issued = certificates.authority.issue_cert("127.0.0.1")
    file = certificates.folder / "serve.pem"
    file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    return {**NEEDED, "PYTHONPATH": str(ROOT), "GATEWAY_TLS__CERTIFICATE": str(file)}


@pytest.fixture(scope="module")
def address(
    variables: dict[str, str],
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[str]:
    """Give the address of a gateway with https that requires certificates of clients."""
    port = free_port()
    serve = (sys.executable, "-m", "app", "serve", "--port", str(port))
    folder = tmp_path_factory.mktemp("serve")
    mutual = {**variables, "GATEWAY_TLS__CLIENT_CA": str(certificates.ca_file)}
    with program(serve, ready="Press CTRL+C", folder=folder, environment=mutual):
        yield f"https://127.0.0.1:{port}"


def context(certificates: Certificates, *, with_certificate: bool = True) -> ssl.SSLContext:
    """Make the TLS context of a client, with or without a certificate."""
    made = ssl.create_default_context(cafile=certificates.ca_file)
    if with_certificate:
        made.load_cert_chain(*certificates.client("caller"))
    return made


def test_https_is_served_to_clients_with_certificates(
    address: str, certificates: Certificates
) -> None:
    with httpx.Client(verify=context(certificates), trust_env=False) as client:
        response = client.post(f"{address}/graphql", json=QUERY)

    assert response.json() == {"data": {"__typename": "Query"}}
    assert response.headers.get_list("strict-transport-security") == ["max-age=86400"]


def test_a_client_without_a_certificate_is_refused(
    address: str, certificates: Certificates
) -> None:
    with (
        httpx.Client(
            verify=context(certificates, with_certificate=False), trust_env=False
        ) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(f"{address}/graphql", json=QUERY)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_2_is_the_oldest_accepted_version(address: str, certificates: Certificates) -> None:
    old = context(certificates)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=old, trust_env=False) as client:
        assert client.get(f"{address}/healthz").status_code == 200
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        httpx.Client(verify=old, trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match="SSL"),
    ):
        client.get(f"{address}/healthz")


def test_each_worker_serves_https(
    variables: dict[str, str], certificates: Certificates, tmp_path: Path
) -> None:
    port = free_port()
    serve = (sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", "2")
    with (
        program(
            serve,
            ready=f'"https://127.0.0.1:{port}/graphql"',
            folder=tmp_path,
            environment=variables,
        ),
        httpx.Client(
            verify=context(certificates, with_certificate=False), trust_env=False
        ) as client,
    ):
        response = client.get(f"https://127.0.0.1:{port}/healthz")

    assert response.status_code == 200


def test_certificates_that_do_not_fit_are_reported_like_other_mistakes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Certificates
) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    certificate, _ = certificates.client("caller")
    _, other = certificates.client("other")
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_TLS__CERTIFICATE", str(certificate))
    monkeypatch.setenv("GATEWAY_TLS__KEY", str(other))

    result = CliRunner().invoke(main, ["serve"])

    assert result.exit_code == 2
    [mistake] = start_refusal(result.stderr).mistakes
    assert "GATEWAY_TLS" in mistake
    assert "expected in certificate a certificate in PEM, and in key the key to it" in mistake


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_another_version_of_uvicorn_prevents_the_start(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "uvicorn-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.4\nName: uvicorn\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType] # its argument has no type
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(main, [command])

    assert result.exit_code == 2
    assert "an installed library" in result.stderr
    assert "written for uvicorn 0.54, found 9.9" in result.stderr
