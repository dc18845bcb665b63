"""All payloads of an operation, applied in order, equal the response without ``@defer``."""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from app.auth.callers import everybody
from app.settings.fastpath import FastpathSettings
from app.settings.models import Settings
from tests.callers import by_headers
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes
from tests.fastpath.test_compiled import (
    LEAVES,
    OBJECTS,
    CompiledCase,
    Writing,
    arrange,
    cases,
    parameters_of,
)
from tests.incremental.reading import CURRENT, EVENTS, OF_2022, Json, applied, applied_2022, asking
from tests.key_from import linked
from tests.partial import DividedBilling, SelectingActivity, SelectingProfile, in_parts
from tests.properties import examples

CASES = examples(60, "INCREMENTAL_CASES")
"""The number of operations that the property is tested with; many more before a release."""

HEAD = re.compile(r"(?:[.]{3} on User|[.]{3}F\d|[.]{3})(?= @| \{|$)")
"""The head of a fragment."""


class DelayedWriting(Writing):
    """Writes random operations with ``@defer`` and ``@stream``."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(draw)
        self._number = 0

    def _next(self) -> int:
        """Return a number that is unique in the operation."""
        self._number += 1
        return self._number

    def _stream(self) -> str:
        """Write the ``@stream`` of a list, or nothing."""
        way = self._draw(st.sampled_from(["", "()", "initialCount: 0", "initialCount: 2", "no"]))
        written = {"": "", "()": " @stream", "no": " @stream(if: false)"}
        return written.get(way, f" @stream({way})")

    def _root(self, number: int) -> str:
        text = super()._root(number)
        if text.count("users(") == 1:  # streamed fields cannot be merged
            text = re.sub(r"(users\([^)]*\))", rf"\1{self._stream()}", text)
        return f"... @defer {{ {text} }}" if self._draw(st.integers(0, 4)) == 0 else text

    def _part(self, depth: int) -> str:
        text = super()._part(depth)
        if text.startswith("invoices"):
            return f"s{self._next()}: {text.replace('edges', f'edges{self._stream()}')}"
        if "events" in text and not text.startswith("..."):
            text = text[text.index("events") :]
            streamed = re.sub(r"(events(?:\([^)]*\))?)", rf"\1{self._stream()}", text, count=1)
            return f"s{self._next()}: {streamed}"
        head = HEAD.match(text)
        if head is None or self._draw(st.integers(0, 2)) == 0:
            return text
        return f"{head[0]} {self._defer()}{text[head.end() :]}"

    def _defer(self) -> str:
        """Write the ``@defer`` of a fragment, also with a false condition."""
        arguments: list[str] = []
        if self._draw(st.booleans()):
            arguments.append(f'label: "l{self._next()}"')
        condition = self._draw(st.sampled_from(["", "", "true", "false", "$yes", "$no"]))
        if condition.startswith("$"):
            self.draft.variables[condition[1:]] = f"{condition}: Boolean!"
        if condition:
            arguments.append(f"if: {condition}")
        return f"@defer({', '.join(arguments)})" if arguments else "@defer"


class SimpleWriting(DelayedWriting):
    """Writes operations whose deferred fragments do not depend on each other: these are compiled.

    Each field has its own name, so no two fragments have the same field.
    """

    def _root(self, number: int) -> str:
        return Writing._root(self, number)  # noqa: SLF001 # the method of the base class of its base

    def _part(self, depth: int) -> str:
        if depth or self._draw(st.integers(0, 2)):
            return Writing._part(self, depth)  # noqa: SLF001 # the same
        fields = [self._named() for _ in range(self._draw(st.integers(1, 4)))]
        return f"... on User {self._defer()} {{ {' '.join(fields)} }}"

    def _named(self) -> str:
        """Write a field with its own name."""
        kind = self._draw(st.sampled_from(["leaf", "leaf", "object", "pages"]))
        if kind == "pages":
            return self._pages().replace("pages", f"d{self._next()}", 1)
        if kind == "object":
            name = self._draw(st.sampled_from(sorted(OBJECTS)))
            return f"d{self._next()}: {name} {{ {OBJECTS[name][0]} }}"
        return f"d{self._next()}: {self._draw(st.sampled_from(LEAVES))}"


async def response_of(gateway: GatewayClient, case: CompiledCase, accept: str) -> tuple[Json, int]:
    """Send a case; return the response, and its number of payloads."""
    headers = {"X-Request-ID": "same", **(case.caller or {})}
    async with asking(
        gateway.app, case.query, case.variables, accept=accept, headers=headers
    ) as talk:
        if await talk.is_whole():
            return await talk.whole(), 1
        payloads = await talk.all()
    merged = applied_2022(payloads) if "deferSpec" in accept else applied(payloads)
    return merged, len(payloads)


def in_order(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sort the errors: their order depends on the order of the payloads."""
    errors = sorted(answer.get("errors", ()), key=orjson.dumps)
    return {"data": answer.get("data", "none"), "errors": errors}


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=cases(DelayedWriting, bugs=False),
    accept=st.sampled_from([CURRENT, OF_2022, EVENTS]),
)
async def test_payloads_applied_in_order_equal_the_single_response(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase, accept: str
) -> None:
    wanted = settings_for_fakes(fastpath=FastpathSettings(compiled=False))
    await check(open_gateway, services, case, wanted, accept)


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    case=cases(SimpleWriting, bugs=False),
    accept=st.sampled_from([CURRENT, OF_2022, EVENTS]),
)
async def test_compiled_payloads_equal_the_single_response(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase, accept: str
) -> None:
    await check(open_gateway, services, case, settings_for_fakes(), accept)


@settings(
    max_examples=max(1, CASES // 2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=cases(DelayedWriting, bugs=False))
async def test_payloads_equal_the_single_response_when_records_come_in_parts(
    open_gateway: OpenGateway, services: FakeServices, case: CompiledCase
) -> None:
    services.billing = DividedBilling("")
    services.profile, services.activity = SelectingProfile(""), SelectingActivity("")

    await check(open_gateway, services, case, in_parts(), CURRENT)


async def check(
    open_gateway: OpenGateway,
    services: FakeServices,
    case: CompiledCase,
    wanted: Settings,
    accept: str,
) -> None:
    """Send a case for a single response and for payloads, and compare both."""
    contracts = {
        name: one.model_copy(update={"contract": "required"}) if name in case.required else one
        for name, one in wanted.sources.items()
    }
    wanted = wanted.model_copy(update={"sources": {**wanted.sources, **contracts}})
    wanted = linked(wanted, case.parents)
    authenticate = everybody if case.caller is None else by_headers
    found: list[tuple[Mapping[str, Any], Mapping[str, AbstractSet[object]]]] = []
    async with open_gateway(wanted, authenticate) as gateway:
        for way in ("application/json", accept):
            arrange(services, case)
            answer, number = await response_of(gateway, case, way)
            asked: dict[str, AbstractSet[object]] = {
                name: {
                    (one.url.path, pair)
                    for one in made.requests
                    for pair in parameters_of(one, case)
                }
                for name, made in services.by_name.items()
            }
            found.append((in_order(answer), asked))
        if operations := gateway.events("graphql.operation"):
            event(f"compiled: {operations[-1]['compiled']}")
    event(f"payloads: {min(number, 4)}")
    (single, single_calls), (parts, calls) = found
    # A bug fails a whole root field of a single response, but only its group in payloads.
    assume("INTERNAL_SERVER_ERROR" not in str(single))
    assert parts == single
    # If a required source fails, the calls to the user's other sources may be skipped.
    assert all(calls[name] <= single_calls[name] for name in calls)
