"""Payloads over real connections, also with clients that do not read or disconnect."""

import asyncio
import io
from collections.abc import Mapping

import orjson
import pytest

from app.observability.logs import make_log
from app.settings.limits import LimitsSettings
from app.settings.server import ConnectionSettings
from tests.apps import make_app
from tests.fakes import FakeServices, activity_row, event, settings_for_fakes, user_id
from tests.incremental.gates import Gates
from tests.incremental.reading import CURRENT, EVENTS, OF_2022
from tests.incremental.test_delivery import ID, PAGE
from tests.server.connection import RawClient, listening
from tests.server.test_protocol import connect_without_reading
from tests.wire import served

SOON = 0.3
"""The write timeout and the idle time in seconds."""


def request(query: str, variables: Mapping[str, object], accept: str = CURRENT) -> bytes:
    """Write a request."""
    body = orjson.dumps({"query": query, "variables": variables})
    head = (
        "POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def chunk(client: RawClient) -> bytes:
    """Read a chunk of a body."""
    size = int(await client.until(b"\r\n"), 16)
    data = await asyncio.wait_for(client.reader.readexactly(size + 2), 10)
    return data[:-2]


@pytest.mark.parametrize("accept", [CURRENT, OF_2022, EVENTS])
async def test_each_payload_is_sent_as_soon_as_it_is_ready(
    services: FakeServices, accept: str
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with listening(services) as connect:
        client = await connect()
        await client.send(request(PAGE, ID, accept))
        head = await client.until(b"\r\n\r\n")
        first = await chunk(client)
        gates.open("billing")
        second = await chunk(client)
        end = await chunk(client)
        await client.send(request("{ __typename }", {}))
        again = await client.until(b'{"data":{"__typename":"Query"}}')

    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert b'"username":"user1"' in first
    assert b'"plan":"pro"' in second
    assert end == b""
    assert again.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_reset_connection_between_payloads_cancels_the_calls(
    services: FakeServices,
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with listening(services) as connect:
        client = await connect()
        await client.send(request(PAGE, ID))
        await client.until(b"hasNext")
        await client.leave(reset=True)
        async with asyncio.timeout(5):
            while not gates.cancelled:
                await connect.settle()

    assert gates.cancelled == ["billing"]


async def test_a_client_that_reads_nothing_does_not_block_other_operations(
    services: FakeServices,
) -> None:
    numbers = range(1, 101)
    services.know(*numbers)
    many = [event(1 + number % 28) for number in range(200)]
    for number in numbers:
        services.activity.rows[user_id(number)] = activity_row(number, events=many)
    query = """query($ids: [ID!]!) { users(ids: $ids) {
        username ... @defer { events { id type occurredAt } } } }"""
    ids = {"ids": [user_id(number) for number in numbers]}
    settings = settings_for_fakes(
        max_operations=1,
        limits=LimitsSettings(cost=0),
        connections=ConnectionSettings(write_timeout=SOON),
    )
    log = io.StringIO()
    app = make_app(settings, make_log(settings.log, stream=log), transports=services.transport)

    async with (
        served(app, settings) as address,
        connect_without_reading(address.port, request(query, ids)),
    ):
        async with asyncio.timeout(30):
            while b'"payloads":' not in log.getvalue().encode():
                await address.exchange(request("{ __typename }", {}), idle=SOON / 10)
        answer = await address.exchange(request("{ __typename }", {}), idle=SOON)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
