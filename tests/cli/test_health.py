"""`user-gateway health` finds the running gateway by its settings, even if others are wrong."""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.examples.serving import free_port


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@contextmanager
def responding(status: int) -> Generator[tuple[int, Sequence[str]]]:
    """Send a status to each request; give the port and the requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Send the status."""
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"as it is")

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def health() -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["health"], prog_name="user-gateway")


def test_health_reads_the_port_of_the_file_even_if_other_settings_are_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("image.toml").write_text("host = '0.0.0.0'\nport = 1", "utf-8")
    monkeypatch.setenv("GATEWAY_DEFAULTS", "image.toml")
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.toml")

    with responding(200) as (port, paths):
        Path("gateway.toml").write_text(f"port = {port}\nworkers = 'x'\n[auth]", "utf-8")
        found = health()

    assert (found.exit_code, found.output, paths) == (0, "as it is\n", ["/healthz"])


def test_health_uses_the_admin_port_if_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with responding(503) as (port, paths):
        monkeypatch.setenv("GATEWAY_ADMIN__PORT", str(port))
        found = health()

    assert (found.exit_code, paths) == (1, ["/healthz"])
    assert f"127.0.0.1:{port} answers 503: as it is" in found.output


def test_a_gateway_that_is_not_running_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("GATEWAY_HOST", "::")
    monkeypatch.setenv("GATEWAY_PORT", str(port))

    found = health()

    assert found.exit_code == 1
    assert f"::1:{port} does not answer" in found.output


def test_an_invalid_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ADMIN__PORT", "x")

    found = health()

    assert (found.exit_code, "admin.port does not say" in found.output) == (2, True)
