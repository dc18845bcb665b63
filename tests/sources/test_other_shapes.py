"""Services with other shapes over real HTTP: complete responses and responses that are cut off."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from app.settings.resilience import RetrySettings
from app.settings.response import AnswerSettings
from tests.fakes import json_response, profile_row, user_id
from tests.fakes.http_server import HttpExchange, HttpRequest, HttpServer, serving
from tests.sources.test_rest import opened

ONE, TWO, THREE = map(user_id, (1, 2, 3))
CUT = "SOURCE_MALFORMED"


@dataclass(frozen=True)
class ServiceReply:
    """The response of a service to one request.

    Attributes:
        body: The JSON; ``None`` for an empty body.
        status: The status line.
        headers: The headers.
    """

    body: object = None
    status: str = "200 OK"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def rows(*numbers: int, **changes: object) -> list[Mapping[str, object]]:
    """Make rows that fit the record."""
    return [profile_row(number, **changes) for number in numbers]


def always(reply: ServiceReply) -> Callable[[HttpRequest, int], ServiceReply]:
    """Return the same response for each request."""

    def said(_: HttpRequest, __: int) -> ServiceReply:
        return reply

    return said


async def ask(
    reply: Callable[[HttpRequest, int], ServiceReply],
    keys: list[str],
    **settings: Any,  # noqa: ANN401 # any setting of a source
) -> tuple[list[str], HttpServer]:
    """Ask a real server for users; ``reply`` gets each request and its number."""

    async def answer(exchange: HttpExchange) -> None:
        said = reply(exchange.request, len(server.requests))
        body = b"" if said.body is None else json.dumps(said.body).encode()
        await exchange.say(body, said.status, said.headers)

    async with (
        serving(answer) as server,
        opened(None, server.base_url, **{"answer": {}, **settings}) as source,
    ):
        return await source.ask(keys), server


EACH = {"form": "each", "path": "/users/{key}"}
TABLE = {
    "204": "absent",
    "403": "absent",
    "404": "absent",
    "409": "retry",
    "418": "auth",
    "203": "rows",
    "299": "partial",
}


@pytest.mark.parametrize(
    ("status", "answers"),
    [
        ("204 No Content", ["nobody", "nobody"]),
        ("403 Forbidden", ["nobody", "nobody"]),
        ("404 Not Found", ["nobody", "nobody"]),
        ("409 Conflict", ["SOURCE_UNAVAILABLE"] * 2),
        ("418 I'm a teapot", ["SOURCE_REJECTED"] * 2),
        ("203 Non-Authoritative Information", ["user1", "nobody"]),
        ("206 Partial Content", ["user1", CUT]),
        ("299 Some", ["user1", CUT]),
        ("401 Unauthorized", ["SOURCE_REJECTED"] * 2),
        ("500 Internal Server Error", ["SOURCE_UNAVAILABLE"] * 2),
        ("202 Accepted", [CUT] * 2),
    ],
)
async def test_a_status_has_the_meaning_of_the_table(status: str, answers: list[str]) -> None:
    body = None if status.startswith("204") else rows(1)

    found, _ = await ask(always(ServiceReply(body, status)), [ONE, TWO], answer={"status": TABLE})

    assert found == answers


async def test_a_status_configured_as_retry_is_retried() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(409) if len(asked) == 1 else json_response(rows(1))

    retry = RetrySettings(max_retries=1)
    table = AnswerSettings.model_validate({"status": TABLE})
    async with opened(answer, answer=table, retry=retry) as source:
        assert await source.clock.run(source.ask([ONE])) == ["user1"]

    assert len(asked) == 2


@pytest.mark.parametrize(
    ("table", "answer"), [({}, "nobody"), ({"404": "auth"}, "SOURCE_REJECTED")]
)
async def test_the_table_has_priority_over_the_meaning_of_404_in_a_form(
    table: Mapping[str, str], answer: str
) -> None:
    shape = {"many": False, "status": table}

    found, _ = await ask(
        always(ServiceReply(None, "404 Not Found")), [ONE], request=EACH, answer=shape
    )

    assert found == [answer]


MORE = {"has_more": ["more"], "next_cursor": ["cursor"], "cursor_parameter": "after"}
PAGED = {"rows": ["data"], "more": MORE}


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ({}, ServiceReply(rows(1), headers={"Link": '</next>; rel="next"', "Content-Range": "x"})),
        ({}, ServiceReply(rows(1), headers={"Link": '<http://127.0.0.1:9/users>; rel="next"'})),
        ({}, ServiceReply(rows(1), headers={"Content-Range": "rows 0-0/2"})),
        ({}, ServiceReply(rows(1), "206 Partial Content", {"Content-Range": "rows 0-0/*"})),
        ({"more": {"limit": 1}}, ServiceReply(rows(1))),
        (PAGED, ServiceReply({"data": rows(1), "more": True})),
        (PAGED, ServiceReply({"data": rows(1), "more": True, "cursor": "c"})),
        (
            {"rows": ["data"], "more": {"total": ["n"], "offset_parameter": "o"}},
            ServiceReply({"data": rows(1), "n": 9}),
        ),
        (
            {"rows": ["data"], "more": {"has_more": ["m"], "offset_parameter": "o"}},
            ServiceReply({"data": [], "m": True}),
        ),
        ({"max_rows": 1}, ServiceReply(rows(1, 3))),
    ],
)
async def test_a_cut_off_response_never_means_absent_and_paging_always_ends(
    answer: Mapping[str, object], reply: ServiceReply
) -> None:
    found, server = await ask(always(reply), [ONE, TWO], answer=answer)

    assert found[1] == CUT
    assert found[0] in {"user1", CUT}
    assert len(server.requests) <= 10


async def test_endless_pages_are_read_up_to_the_configured_limit() -> None:
    def reply(_: HttpRequest, number: int) -> ServiceReply:
        return ServiceReply({"data": [], "more": True, "cursor": number})

    answer = {"rows": ["data"], "more": {**MORE, "max_pages": 4}}
    found, server = await ask(reply, [ONE], answer=answer)

    assert found == [CUT]
    assert [dict(one.parameters).get("after") for one in server.requests] == [None, "1", "2", "3"]


async def test_pages_are_read_only_until_all_users_are_found() -> None:
    def reply(seen: HttpRequest, number: int) -> ServiceReply:
        assert [value for name, value in seen.parameters if name == "id"] == [ONE, TWO]
        return ServiceReply({"data": rows(number), "more": True, "cursor": f"{number} &x=1"})

    found, server = await ask(reply, [ONE, TWO], answer=PAGED)

    assert found == ["user1", "user2"]
    assert len(server.requests) == 2


async def test_a_failed_page_keeps_the_users_of_earlier_pages() -> None:
    def reply(_: HttpRequest, number: int) -> ServiceReply:
        if number == 1:
            return ServiceReply({"data": rows(1), "more": True, "cursor": "c"})
        return ServiceReply(None, "403 Forbidden")

    found, _ = await ask(reply, [ONE, TWO], answer=PAGED)

    assert found == ["user1", "SOURCE_REJECTED"]


async def test_a_full_page_counts_as_cut_off_and_the_page_size_is_always_sent() -> None:
    request = {
        "form": "repeat",
        "path": "/users",
        "parameter": "id",
        "page_size_parameter": "limit",
        "page_size": 2,
    }

    found, server = await ask(always(ServiceReply(rows(1, 1))), [ONE, TWO], request=request)

    assert found == ["user1", CUT]
    assert all(("limit", "2") in one.parameters for one in server.requests)


async def test_number_keys_and_folded_case_work_over_http() -> None:
    numbered, _ = await ask(always(ServiceReply([profile_row(7, id=7)])), ["7", "8"])
    folded, _ = await ask(
        always(ServiceReply([profile_row(1, id="ADA@X.ORG")])),
        ["ada@x.org"],
        answer={"fold_case": True},
    )

    assert numbered == ["user7", "nobody"]
    assert folded == ["user1"]


@pytest.mark.parametrize("form", ["repeat", "list", "filter", "body", "each"])
async def test_a_service_that_ignores_the_filter_gives_only_failures(form: str) -> None:
    own: Mapping[str, Mapping[str, object]] = {
        "repeat": {"path": "/users", "parameter": "id"},
        "list": {"path": "/users", "parameter": "ids"},
        "filter": {"path": "/users", "parameter": "filter"},
        "body": {"path": "/users", "template": '{"ids": "{keys}"}'},
        "each": {"path": "/users/{key}"},
    }

    found, _ = await ask(
        always(ServiceReply(rows(*range(5, 50)))), [ONE, TWO], request={"form": form, **own[form]}
    )

    assert found == [CUT, CUT]
