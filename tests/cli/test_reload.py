"""Reload, rotation of certificates and the stop of `serve`, as real processes under load."""

import asyncio
import os
import re
import shutil
import signal
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from tests.certificates import Certificates
from tests.cli.test_end_to_end import NOWHERE, SEVERAL, WAIT, Program, program
from tests.docs.pages import DOCS
from tests.examples.serving import clean_environment, free_port

BODY = orjson.dumps({"query": "{ __typename }"})
REQUEST = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
TOKEN = "0123456789abcdef"
PAGE = DOCS / "operations" / "reload.md"


class Load:
    """Clients that send requests one after the other, by connections that stay open.

    Attributes:
        answered: The number of requests with a response.
        lost: The number of requests without a response.
        waiting: The number of running requests.
    """

    def __init__(self, port: int) -> None:
        self.answered = self.lost = self.waiting = 0
        self._port = port
        self._ended = False

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncGenerator[None]:
        """Send requests until the end of the context."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._send())
            try:
                yield
            finally:
                self._ended = True

    async def wait_for(self, count: int) -> None:
        """Wait for responses to a number of further requests."""
        wanted = self.answered + count
        async with asyncio.timeout(WAIT):
            while self.answered < wanted:  # noqa: ASYNC110 # several tasks count
                await asyncio.sleep(0.01)

    async def _send(self) -> None:
        """Send requests."""
        while not self._ended:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            is_open = True
            while is_open and not self._ended:
                self.waiting += 1
                try:
                    writer.write(REQUEST)
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200 ")
                    await reader.readexactly(len(b'{"data":{"__typename":"Query"}}'))
                    self.answered += 1
                    is_open = b"connection: close" not in head.lower()
                except (OSError, asyncio.IncompleteReadError):
                    self.lost += 1
                    is_open = False
                finally:
                    self.waiting -= 1
                await asyncio.sleep(0.001)
                is_open = is_open and not reader.at_eof()
            writer.close()


async def wait_until_started(running: Program) -> None:
    """Wait until a gateway has started."""
    async with asyncio.timeout(3 * WAIT):
        await running.wait_for(r"gateway\.started")


def workers_of(running: Program) -> list[int]:
    """Return the ids of the worker processes, in the order in which they opened their sources."""
    opened = [one["pid"] for one in running.events() if one["event"] == "gateway.opened"]
    return [*dict.fromkeys(opened)]


def descriptors_of(running: Program) -> int:
    """Return how many files and connections the process that was started has open."""
    folder = Path(f"/proc/{running.process.pid}/fd")
    if not folder.exists():
        pytest.skip("the system has no /proc")
    return len(list(folder.iterdir()))


async def run_command_of_page(command: str, running: Program, admin: int) -> bytes:
    """Run a command of docs/operations/reload.md, by its first word, and return its output."""
    [block] = re.findall(r"```sh\n(kill -HUP .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [line] = [one for one in block.splitlines() if one.startswith(command)]
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", line.replace("9464", str(admin))),
        env=clean_environment({"PID": str(running.process.pid), "TOKEN": TOKEN}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, line
    return output


async def test_reloads_and_worker_restarts_lose_no_request(
    tmp_path: Path,
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl (Debian's package curl)")
    port, admin = free_port(), free_port()
    environment = {
        **NOWHERE,
        "GATEWAY_PORT": str(port),
        "GATEWAY_ADMIN__PORT": str(admin),
        "GATEWAY_ADMIN__TOKEN": TOKEN,
        "GATEWAY_LIMITS__RATE__ENABLED": "false",
        "GATEWAY_LOG__SAMPLE": "0",
    }
    load = Load(port)
    async with program(
        "serve", "--workers", "2", folder=tmp_path, environment=environment
    ) as served:
        await wait_until_started(served)
        async with load.running(8):
            await load.wait_for(100)
            # Both commands that request a reload, in turn.
            for count in range(1, 4):
                await run_command_of_page("kill", served, admin)
                await served.wait_for(rf"(?s)(gateway\.reloaded.*){{{2 * count - 1}}}")
                answer = await run_command_of_page("curl", served, admin)
                assert orjson.loads(answer)["outcome"] == "reloaded"
                await load.wait_for(50)
            for worker in workers_of(served):
                os.kill(worker, signal.SIGTERM)
                await served.wait_for(rf'worker\.restarted","worker":{worker}')
                await load.wait_for(50)
            await served.wait_for(r"(?s)(gateway\.opened.*){16}")
            lost = load.lost
            os.kill(workers_of(served)[-1], signal.SIGKILL)
            await served.wait_for(r"worker\.died")
            await load.wait_for(50)
        killed = load.lost - lost

    assert lost == 0
    assert killed <= 8
    assert "error" not in {one["level"] for one in served.events() if one["event"] != "worker.died"}


async def test_a_certificate_is_rotated_while_connections_are_open(
    tmp_path: Path, certificates: Certificates
) -> None:
    port, file = free_port(), tmp_path / "server.pem"
    config = tmp_path / "gateway.toml"

    def issue(name: str) -> None:
        issued = certificates.authority.issue_cert("127.0.0.1", common_name=name)
        file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())

    context = ssl.create_default_context(cafile=certificates.ca_file)

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        shown = writer.get_extra_info("peercert")["subject"]
        return reader, writer, {key: value for part in shown for key, value in part}["commonName"]

    issue("before")
    config.write_text(f'[tls]\ncertificate = "{file}"\n', encoding="utf-8")
    environment = {**NOWHERE, "GATEWAY_PORT": str(port), "GATEWAY_RELOAD__WATCH": "true"}
    async with program(
        "serve", "--config", str(config), folder=tmp_path, environment=environment
    ) as served:
        await wait_until_started(served)
        reader, writer, before = await connect()
        issue("after")
        await served.wait_for(r"gateway\.reloaded")
        _, other, after = await connect()
        writer.write(REQUEST)
        answer = await reader.readuntil(b"\r\n\r\n")
        file.write_text("no certificate", encoding="utf-8")
        await served.wait_for(r"gateway\.reload_refused")
        _, third, still = await connect()
        for one in (writer, other, third):
            one.close()

    assert (before, after, still) == ("before", "after", "after")
    assert answer.startswith(b"HTTP/1.1 200 ")
    [reloaded] = [one for one in served.events() if one["event"] == "gateway.reloaded"]
    assert (reloaded["trigger"], reloaded["changed"]) == ("files", ["tls.certificate"])
    [refused] = [one for one in served.events() if one["event"] == "gateway.reload_refused"]
    assert "expected in certificate a certificate in PEM" in refused["mistakes"][0]


async def test_a_worker_reports_a_certificate_whose_key_is_not_replaced_yet(
    tmp_path: Path, certificates: Certificates
) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    [before, after] = [certificates.authority.issue_cert("127.0.0.1") for _ in range(2)]
    for file, blob in ((certificate, before.cert_chain_pems[0]), (key, before.private_key_pem)):
        file.write_bytes(blob.bytes())
    environment = {
        **NOWHERE,
        "GATEWAY_TLS__CERTIFICATE": str(certificate),
        "GATEWAY_TLS__KEY": str(key),
    }
    async with program(
        "serve", "--port", "0", "--workers", "2", folder=tmp_path, environment=environment
    ) as served:
        await wait_until_started(served)
        certificate.write_bytes(after.cert_chain_pems[0].bytes())
        os.kill(workers_of(served)[0], signal.SIGKILL)
        await served.wait_for(r"gateway\.unusable")
        key.write_bytes(after.private_key_pem.bytes())
        await served.wait_for(r"(?s)gateway\.unusable.*gateway\.reloaded")

    [unusable, *_] = [one for one in served.events() if one["event"] == "gateway.unusable"]
    [mistake] = unusable["mistakes"]
    assert mistake.startswith("the certificates in GATEWAY_TLS__… cannot be used: expected in")
    assert "Traceback" not in served.output
    deaths = [one for one in served.events() if one["event"] == "worker.died"]
    assert [one["reason"] for one in deaths][:2] == ["SIGKILL", "exit code 3"]


async def test_a_worker_with_changed_documents_reloads_the_other_workers(
    tmp_path: Path,
) -> None:
    port, trusted = free_port(), tmp_path / "trusted.graphql"
    trusted.write_text("{ __typename }", encoding="utf-8")
    environment = {
        **NOWHERE,
        "GATEWAY_PORT": str(port),
        "GATEWAY_TRUSTED__PATH": str(trusted),
        "GATEWAY_TRUSTED__MODE": "only",
    }
    async with program(
        "serve", "--workers", "2", folder=tmp_path, environment=environment
    ) as served:
        await wait_until_started(served)
        trusted.write_text("{ kind: __typename }", encoding="utf-8")
        os.kill(workers_of(served)[0], signal.SIGKILL)
        await served.wait_for(r"gateway\.reloaded")
        answers: list[str] = []
        for _ in range(20):  # each by its own connection
            async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
                answer = await client.post(
                    f"http://127.0.0.1:{port}/graphql", json={"query": "{ kind: __typename }"}
                )
            answers.append(answer.text)

    assert answers == ['{"data":{"kind":"Query"}}'] * 20
    [reloaded] = [one for one in served.events() if one["event"] == "gateway.reloaded"]
    assert (reloaded["trigger"], reloaded["workers"]) == ("a process that started meanwhile", 2)


async def test_workers_stop_if_the_supervisor_is_killed(
    tmp_path: Path,
) -> None:
    async with program(*SEVERAL, folder=tmp_path, environment=NOWHERE) as served:
        await wait_until_started(served)
        served.process.kill()
        await served.ended()  # all writers of the log's pipe have ended

    names = [one["event"] for one in served.events()]
    assert (names.count("gateway.supervisor_died"), names.count("gateway.stopped")) == (2, 2)


async def test_reloads_open_nothing_in_the_supervisor(tmp_path: Path) -> None:
    async with program(*SEVERAL, folder=tmp_path, environment=NOWHERE) as served:
        await wait_until_started(served)
        opened: list[int] = []
        for count in range(1, 7):
            served.process.send_signal(signal.SIGHUP)
            await served.wait_for(rf"(?s)(gateway\.reloaded.*){{{count}}}")
            opened.append(descriptors_of(served))

    assert opened[-1] <= opened[0]


async def test_waiting_reloads_hold_up_neither_metrics_nor_the_end(tmp_path: Path) -> None:
    admin, config = free_port(), tmp_path / "gateway.toml"
    config.write_text('auth = { mode = "none" }\n', encoding="utf-8")
    environment = {name: value for name, value in NOWHERE.items() if "SOURCES" in name} | {
        "GATEWAY_ADMIN__PORT": str(admin),
        "GATEWAY_ADMIN__TOKEN": TOKEN,
        "GATEWAY_CONFIG": str(config),
    }
    url = f"http://127.0.0.1:{admin}"
    async with (
        program(*SEVERAL, folder=tmp_path, environment=environment) as served,
        httpx.AsyncClient(timeout=3 * WAIT, trust_env=False) as client,
    ):
        await wait_until_started(served)
        # The keys cannot be fetched, so that the first reload waits for half a minute.
        config.write_text(
            '[auth]\nmode = "jwt"\nissuer = "http://127.0.0.1:9"\naudience = "gateway"\n',
            encoding="utf-8",
        )
        async with asyncio.TaskGroup() as group:
            headers = {"authorization": f"Bearer {TOKEN}"}
            waiting = [
                group.create_task(client.post(f"{url}/reload", headers=headers)) for _ in range(12)
            ]
            await served.wait_for(r"auth\.keys")
            metrics = await client.get(f"{url}/metrics", timeout=WAIT)
            were_waiting = not any(one.done() for one in waiting)
            took = await served.stop(signal.SIGTERM)

    assert (metrics.status_code, were_waiting) == (200, True)
    assert took < WAIT
    assert [one.result().status_code for one in waiting] == [422] * 12
    assert "exception" not in {name for one in served.events() for name in one}


async def test_serve_drains_after_sigterm_and_ends_at_the_second_one(tmp_path: Path) -> None:
    port = free_port()
    environment = {**NOWHERE, "GATEWAY_PORT": str(port), "GATEWAY_DRAIN__SECONDS": "300"}
    url = f"http://127.0.0.1:{port}"
    async with (
        program("serve", folder=tmp_path, environment=environment) as served,
        httpx.AsyncClient(timeout=WAIT, trust_env=False) as client,
    ):
        await wait_until_started(served)
        ready = await client.get(f"{url}/readyz")
        served.process.send_signal(signal.SIGTERM)
        await served.wait_for(r"gateway\.draining")
        draining = await client.get(f"{url}/readyz")
        answer = await client.post(
            f"{url}/graphql", content=BODY, headers={"content-type": "application/json"}
        )
        took = await served.stop(signal.SIGTERM)

    assert (ready.status_code, draining.status_code) == (200, 503)
    assert draining.json() == {"status": "draining"}
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert took < WAIT
