"""The fakes do what their page says, and fail on what is not expected."""

import ast
import inspect
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import (
    FakeServices,
    FakeTransport,
    calm_source,
    json_response,
    nobody,
    profile_row,
    user_id,
)
from tests.fakes.http_server import HttpExchange, serving
from tests.fakes.raw_server import RawConnection, RawServer, answered

PAGE = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
EXAMPLES: list[str] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
NAMES: dict[str, Any] = {
    one.__name__: one
    for one in (
        *(FakeTransport, json_response, nobody, profile_row, user_id, HttpExchange, serving),
        *(RawConnection, RawServer, answered, suppress, httpx),
    )
}


@pytest.mark.parametrize("example", EXAMPLES, ids=["transport", "http", "raw"])
async def test_an_example_of_the_page_runs(example: str) -> None:
    code = compile(example, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, {**NAMES})  # noqa: S307 # it is ours

    assert inspect.iscoroutine(running)
    await running


async def test_a_transport_raises_and_keeps_what_is_unexpected() -> None:
    services = FakeServices()
    async with httpx.AsyncClient(transport=FakeTransport()) as client:
        with pytest.raises(AssertionError, match="nobody serves GET http://profile/"):
            await client.get("http://profile/")
    for url in ("http://profile/other", "http://somebody/"):
        async with httpx.AsyncClient(
            transport=services.transport(calm_source(base_url="http://a"))
        ) as client:
            with pytest.raises(AssertionError, match="nobody serves"):
                await client.get(url)

    assert len(services.unexpected) == 2


async def test_an_error_of_an_answer_ends_the_context_of_a_server() -> None:
    async def answer(exchange: HttpExchange) -> None:
        raise AssertionError(exchange.request.line)

    with pytest.raises(ExceptionGroup) as raised:
        async with serving(answer) as server, httpx.AsyncClient() as client:
            await client.get(server.base_url)
    assert raised.group_contains(AssertionError, match=r"GET / HTTP/1\.1")


async def test_an_error_of_a_behaviour_is_raised_at_the_end_of_the_context() -> None:
    def behave(peer: RawConnection) -> None:
        raise AssertionError(peer.target)

    async def ask() -> None:
        async with RawServer(behave).listening() as server, httpx.AsyncClient() as client:
            with suppress(httpx.TransportError):
                await client.get(f"{server.base_url}/7")

    with pytest.raises(AssertionError, match="/7"):
        await ask()
