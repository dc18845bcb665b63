"""The whole demo over real sockets, in this event loop or as a process with signals."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from msgspec.structs import astuple
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.demo.errors import DemoError
from app.demo.faults import DemoOptions, Fault, FaultKind, Latency, SourceName
from app.demo.people import user_id
from app.demo.run import DemoAddresses, SourceUrls, run_demo
from app.demo.server import listen
from tests.demo.support import greeting_gateway, running

ROOT = Path(__file__).parents[2]
ID = user_id(1)


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    """A client with real connections."""
    async with httpx.AsyncClient(timeout=5) as opened:
        yield opened


def port_of(url: str | None) -> int:
    """The port of a URL."""
    port = urlsplit(url or "").port
    assert port is not None
    return port


async def test_the_services_and_the_gateway_respond_over_http(
    folder: Path, client: httpx.AsyncClient
) -> None:
    passed: list[SourceUrls] = []

    def gateway(sources: SourceUrls) -> ASGIApp:
        passed.append(sources)
        return greeting_gateway(sources)

    async with running(DemoOptions(port=0, data=folder), gateway) as at:
        assert (await client.get(f"{at.gateway}/")).text == "hello"
        user = await client.get(f"{at.sources.profile}/users?id={ID}")
        account = await client.get(f"{at.sources.billing}/accounts?userId={ID}")
        invoices = await client.get(f"{at.sources.billing}/invoices?userId={ID}&limit=1")
        summary = await client.get(f"{at.sources.activity}/summaries?userId={ID}")
    assert user.json()[0]["id"] == ID
    assert account.json()[0]["userId"] == ID
    assert len(invoices.json()["items"]) == 1
    assert summary.json()[0]["userId"] == ID
    assert passed == [at.sources]
    assert at.data == folder
    assert at.graphiql == f"{at.gateway}/graphql"


async def test_the_lifespan_of_the_gateway_is_run(folder: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        seen.append("opened")
        yield
        seen.append("closed")

    options = DemoOptions(port=0, data=folder)
    async with running(options, lambda _sources: Starlette(lifespan=lifespan)):
        assert seen == ["opened"]
    assert seen == ["opened", "closed"]


async def test_ports_in_use_are_replaced_by_the_next_free_ones(
    folder: Path, client: httpx.AsyncClient
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        options = DemoOptions(port=port, data=folder)
        async with running(options) as one, running(options) as other:
            assert port < port_of(one.gateway) < port_of(other.gateway) < port + 100
            assert 8001 <= port_of(one.sources.profile) < port_of(other.sources.profile)
            assert len({*astuple(one.sources), *astuple(other.sources)}) == 6
            for at in (one, other):
                assert (await client.get(f"{at.gateway}/")).text == "hello"
                assert (await client.get(f"{at.sources.activity}/healthz")).status_code == 200


async def test_the_ports_of_the_services_can_be_chosen(
    folder: Path, client: httpx.AsyncClient
) -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        options = DemoOptions(port=0, data=folder, ports=(port, port + 20, 0))
        async with running(options) as at:
            assert port < port_of(at.sources.profile) < port + 20
            assert port + 20 <= port_of(at.sources.billing) < port + 40
            assert (await client.get(f"{at.sources.activity}/healthz")).status_code == 200


async def test_the_demo_has_no_gateway_with_sources_only(
    folder: Path, client: httpx.AsyncClient
) -> None:
    def gateway(_sources: SourceUrls) -> ASGIApp:
        pytest.fail("made a gateway")

    async with running(DemoOptions(port=0, data=folder, sources_only=True), gateway) as at:
        assert (at.gateway, at.graphiql) == (None, None)
        response = await client.get(f"{at.sources.profile}/healthz")
    assert response.status_code == 200


async def test_data_without_a_folder_is_removed_at_the_end(
    client: httpx.AsyncClient,
) -> None:
    async with running(DemoOptions(port=0)) as at:
        response = await client.get(f"{at.sources.profile}/users/{ID}")
        assert at.data.is_dir()
    assert response.json()["id"] == ID
    assert not at.data.exists()


async def test_a_refusing_service_does_not_affect_the_others(
    folder: Path, client: httpx.AsyncClient
) -> None:
    faults = (Fault(SourceName.BILLING, FaultKind.REFUSE),)
    async with running(DemoOptions(port=0, data=folder, faults=faults)) as at:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{at.sources.billing}/accounts?userId={ID}")
        assert (await client.get(f"{at.sources.profile}/users?id={ID}")).status_code == 200
        assert (await client.get(f"{at.sources.activity}/healthz")).status_code == 200


async def test_a_demo_without_any_running_part_is_refused(folder: Path) -> None:
    faults = tuple(Fault(name, FaultKind.REFUSE) for name in SourceName)
    options = DemoOptions(port=0, data=folder, faults=faults, sources_only=True)
    with pytest.raises(DemoError, match="nothing is left to run"):
        async with running(options):
            pytest.fail("announced")


async def test_faults_and_latencies_apply_to_their_services(
    folder: Path, client: httpx.AsyncClient
) -> None:
    options = DemoOptions(
        port=0,
        data=folder,
        latency=(Latency(SourceName.BILLING, 0.05), Latency(SourceName.ACTIVITY, 0.05)),
        faults=(Fault(SourceName.PROFILE, 503), Fault(SourceName.ACTIVITY, FaultKind.MALFORMED)),
    )
    async with running(options) as at:
        profile = await client.get(f"{at.sources.profile}/users?id={ID}")
        billing = await client.get(f"{at.sources.billing}/accounts?userId={ID}")
        activity = await client.get(f"{at.sources.activity}/summaries?userId={ID}")
    assert profile.status_code == 503
    assert billing.json()[0]["userId"] == ID
    assert activity.json() == {"rows": "on the next page"}
    assert billing.elapsed.total_seconds() >= 0.05
    assert activity.elapsed.total_seconds() >= 0.05


async def test_a_gateway_that_does_not_start_is_reported_and_stops_the_demo(
    folder: Path, client: httpx.AsyncClient
) -> None:
    passed: list[SourceUrls] = []

    def lifespan(_app: Starlette) -> AbstractAsyncContextManager[None]:
        raise ValueError("no such setting")

    def gateway(sources: SourceUrls) -> ASGIApp:
        passed.append(sources)
        return Starlette(lifespan=lifespan)

    def announce(addresses: DemoAddresses) -> None:
        pytest.fail(f"announced {addresses}")

    with pytest.raises(DemoError, match=r"the gateway did not start: .*no such setting") as failed:
        await run_demo(DemoOptions(port=0, data=folder), gateway, announce)
    assert isinstance(failed.value.__cause__, ValueError)
    with pytest.raises(httpx.ConnectError):
        await client.get(f"{passed[0].profile}/healthz")


async def test_a_failed_announcement_stops_the_demo(
    folder: Path, client: httpx.AsyncClient
) -> None:
    announced: list[DemoAddresses] = []

    def announce(addresses: DemoAddresses) -> None:
        announced.append(addresses)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run_demo(DemoOptions(port=0, data=folder), greeting_gateway, announce)
    with pytest.raises(httpx.ConnectError):
        await client.get(f"{announced[0].gateway}/")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_demo_and_the_handlers_are_restored(
    folder: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)

    def announce(_addresses: DemoAddresses) -> None:
        signal.raise_signal(number)

    async with asyncio.timeout(2):
        await run_demo(DemoOptions(port=0, data=folder), greeting_gateway, announce)
    assert signal.getsignal(number) is before


async def test_a_signal_during_the_start_stops_the_demo(folder: Path) -> None:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        signal.raise_signal(signal.SIGINT)
        while not demo.cancelling():  # noqa: ASYNC110 - a cancellation sets no event
            await asyncio.sleep(0)
        yield

    def gateway(_sources: SourceUrls) -> ASGIApp:
        return Starlette(lifespan=lifespan)

    def announce(addresses: DemoAddresses) -> None:
        pytest.fail(f"announced {addresses}")

    demo = asyncio.create_task(run_demo(DemoOptions(port=0, data=folder), gateway, announce))
    async with asyncio.timeout(2):
        await demo


async def test_a_second_signal_does_not_wait_for_running_requests(
    folder: Path, client: httpx.AsyncClient
) -> None:
    called = asyncio.Event()

    async def hang(_request: Request) -> Response:
        called.set()
        await asyncio.Event().wait()
        return Response()

    def gateway(_sources: SourceUrls) -> ASGIApp:
        return Starlette(routes=[Route("/", hang)])

    async with (
        running(DemoOptions(port=0, data=folder), gateway) as at,
        asyncio.TaskGroup() as all_,
    ):
        request = all_.create_task(client.get(f"{at.gateway}/"))
        await called.wait()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        async with asyncio.timeout(0.4):  # after a first signal alone, requests have half a second
            response = await request
    assert response.status_code == 503
    assert response.json()["detail"] == "the demo has been stopped"


@asynccontextmanager
async def demo_process(folder: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The demo of `process.py`, with a minute of latency in billing; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.demo.process", str(folder), "60"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def connect(url: str, request: bytes, stack: AsyncExitStack) -> asyncio.StreamReader:
    """Open a connection, send a request, and keep the connection open until the stack ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    stack.push_async_callback(writer.wait_closed)
    stack.callback(writer.close)
    writer.write(request)
    await writer.drain()
    return reader


async def test_a_process_with_unfinished_requests_stops_within_two_seconds(
    folder: Path,
) -> None:
    def get(path: str, *more: bytes) -> bytes:
        return b"\r\n".join((f"GET {path} HTTP/1.1".encode(), b"Host: demo", *more, b"", b""))

    async with demo_process(folder) as process, AsyncExitStack() as stack:
        assert process.stdout
        assert process.stderr
        async with asyncio.timeout(10):
            at = orjson.loads(await process.stdout.readline())
            sources = at["sources"]
            silent = await connect(sources["profile"], b"", stack)
            await connect(sources["profile"], b"GET /users?id=", stack)
            kept = await connect(sources["profile"], get("/healthz"), stack)
            await kept.readuntil(b'{"status":"ok"}')
            await connect(sources["billing"], get(f"/accounts?userId={ID}"), stack)
            # "100 Continue" is sent when the application waits for the request's body.
            expecting = get(f"/summaries?userId={ID}", b"Expect: 100-continue")
            hanging = await connect(sources["activity"], expecting, stack)
            await hanging.readuntil(b"100 Continue\r\n\r\n")
            await connect(at["gateway"], get("/"), stack)
            assert await process.stdout.readline() == b"called\n"
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(2):
            assert await process.wait() == 0
        assert await process.stderr.read() == b""
        assert b"HTTP/1.1 503" in await hanging.read()
        assert await silent.read() == b""
