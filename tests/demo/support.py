"""Helpers of the tests of the demo: a client without sockets, and a running demo."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.demo.faults import DemoOptions
from app.demo.run import DemoAddresses, SourceUrls, run_demo


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    """A client of one application, without sockets."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def greeting_gateway(_sources: SourceUrls) -> ASGIApp:
    """A gateway that responds with a greeting."""

    async def greet(_request: Request) -> Response:
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/", greet)])


@asynccontextmanager
async def running(
    options: DemoOptions, gateway: Callable[[SourceUrls], ASGIApp] = greeting_gateway
) -> AsyncGenerator[DemoAddresses]:
    """A demo that has announced its addresses. At the end it is cancelled, and awaited."""
    announced: asyncio.Future[DemoAddresses] = asyncio.get_running_loop().create_future()
    demo = asyncio.create_task(run_demo(options, gateway, announced.set_result))
    try:
        async with asyncio.timeout(10):
            await asyncio.wait((demo, announced), return_when=asyncio.FIRST_COMPLETED)
        if demo.done():
            await demo
        yield announced.result()
    finally:
        demo.cancel()
        with suppress(asyncio.CancelledError):
            await demo
