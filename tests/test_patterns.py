"""Every pattern takes a whole text: none that only begins or ends as a right one does."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.errors import BadUserInputError, UnauthenticatedError
from app.execution.keys import InputLimits
from app.expressions.escapes import as_number, in_expression, in_list
from app.expressions.functions import exact
from app.expressions.ids import UUID_PATTERN, folded
from app.expressions.money import InexactError
from app.expressions.times import from_iso, from_rfc3339
from app.fastpath.rows import struct_decoder
from app.resilience.clock import read_duration
from app.resilience.pace import read_retry_after, read_signal
from app.schema.connection import decode_cursor, encode_cursor
from app.server.correlation import read_correlation
from app.settings import auth as callers
from app.settings import base, credentials
from app.settings import base as parts
from app.settings import server as edge
from app.settings import server as hosts
from app.settings import source as endpoint
from app.settings.response import MoreSettings
from app.sources.base import Position, Record, UserId
from app.sources.cache.lifetime import read_lifetime
from app.sources.credentials import read_forwarded
from app.sources.mapping.contract import RowContract
from app.sources.mapping.paging import extent_of
from app.sources.mapping.scan import ScannedDocument
from app.sources.records import EventRecord, MoneyRecord
from tests.clock import ManualClock
from tests.fakes import settings_for_fakes
from tests.poison import END_OF_LINE, POISON, poisoned

Takes = Callable[[str], bool]
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def by_setting(kind: Any) -> Takes:  # noqa: ANN401 # any type of a setting
    """Tell whether a setting of a type takes a text."""
    adapter: TypeAdapter[object] = TypeAdapter(kind)

    def takes(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return takes


def returns(read: Callable[[str], object]) -> Takes:
    """Tell whether a function takes a text, by its returning something."""
    return lambda text: read(text) is not None


def raises_not(read: Callable[[str], object]) -> Takes:
    """Tell whether a function takes a text, by its not raising what it raises for others."""

    def takes(text: str) -> bool:
        try:
            read(text)
        except (InexactError, BadUserInputError, UnauthenticatedError):
            return False
        return True

    return takes


def guards(pattern: re.Pattern[str] = UUID_PATTERN) -> InputLimits:
    """Make the checks of users' ids by a pattern."""
    return InputLimits.from_settings(settings_for_fakes(user_id_pattern=pattern))


def by_header(name: bytes, of: Callable[[Any], object]) -> Takes:
    """Tell whether a request's header is believed."""

    def takes(text: str) -> bool:
        value = text.encode("utf-8", "surrogatepass")
        known = read_correlation({"type": "http", "headers": [(name, value)]}, frozenset())
        return of(known) == value.decode("latin-1")

    return takes


def by_record(record: type[Record], name: str, others: Mapping[str, object]) -> Mapping[str, Takes]:
    """Tell whether the readers of a record take a text in a field."""

    def written(text: str) -> bytes:
        return json.dumps({**others, name: text}).encode()

    def quick(text: str) -> bool:
        try:
            return bool(struct_decoder(record)(b"[" + written(text) + b"]"))
        except ValidationError:
            return False

    def plain(text: str) -> bool:
        return isinstance(RowContract(record).read(json.loads(written(text))), record)

    return {f"{name} of {record.__name__}, quick": quick, f"{name}, by its contract": plain}


def kept_for(text: str) -> float | None:
    """Tell how long an answer is kept that says so in a text; ``None`` for no time that it says."""
    fresh = read_lifetime({"cache-control": f"max-age={text}"}, at=NOW, took=0).fresh
    return fresh or None


def older(text: str) -> bool:
    """Tell whether the age of an answer is believed."""
    told = read_lifetime({"cache-control": "max-age=600", "age": text}, at=NOW, took=0)
    return told.fresh == 300


def pages_on(text: str) -> bool:
    """Tell whether a ``Content-Range`` is believed."""
    document = ScannedDocument((), None, ended=True)
    headers = {"content-range": text}
    found = extent_of(document, headers, MoreSettings(), partial=False, limit=None)
    return found.more is not None


DOORS: Mapping[str, tuple[Takes, str]] = {
    "a user's id": (raises_not(guards().user_id), UUID),
    "one of several users' ids": (
        raises_not(lambda text: guards().user_ids([UUID, text], "users")),
        UUID,
    ),
    "an id of another pattern": (raises_not(guards(re.compile("[0-9]+|[a-z]{2}")).user_id), "12"),
    "the subject of a token": (raises_not(guards().own_id), UUID),
    "a key in capitals": (lambda text: folded(text) != text, UUID.upper()),
    "a cursor": (
        raises_not(lambda text: decode_cursor(UserId("a"), "invoices", text)),
        encode_cursor(UserId("a"), "invoices", Position("c", "i")),
    ),
    "a time": (raises_not(from_rfc3339), "2024-02-29T12:00:00.5Z"),
    "a time of many forms": (
        raises_not(lambda text: from_iso(text, without_offset_is_utc=True)),
        "20240229 120000,5+0100",
    ),
    "a number": (raises_not(exact), "12.50"),
    "a duration": (returns(read_duration), "1.5s"),
    "a time to come again": (
        returns(lambda text: read_retry_after(text, ManualClock())),
        "120",
    ),
    "a rate": (
        returns(lambda text: read_signal(200, {"ratelimit-remaining": text}, ManualClock())),
        "5",
    ),
    "how long an answer is kept": (returns(kept_for), "600"),
    "the age of an answer": (older, "300"),
    "a range of rows": (pages_on, "items 0-24/100"),
    "an id of a request": (by_header(b"x-request-id", lambda known: known.request_id), "abc-1"),
    "a trace": (
        by_header(b"traceparent", lambda known: known.trace and known.trace.traceparent),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "a header that is sent on": (
        lambda text: bool(read_forwarded([("x-tenant", text)], frozenset({"x-tenant"}))),
        "tenant 1",
    ),
    "a header's name of the settings": (by_setting(base.PlainHeaderName), "X-Deadline"),
    "a key in an expression": (returns(in_expression), UUID),
    "a number in an expression": (returns(in_expression), "12"),
    "a key as a number": (returns(as_number), "12"),
    "a path": (by_setting(parts.UrlPath), "/users/1"),
    "a parameter's name": (by_setting(parts.ParameterName), "filter[id]"),
    "a header's name": (by_setting(parts.HeaderName), "X-Tenant"),
    "a header's value": (by_setting(parts.HeaderValue), "tenant 1"),
    "a token": (by_setting(credentials.BearerToken), "abc.def-123=="),
    "a key": (by_setting(credentials.ApiKey), "key 1"),
    "a header of a key": (by_setting(credentials.KeyHeader), "X-Api-Key"),
    "a header's name that is sent on": (by_setting(credentials.ForwardedName), "X-Tenant"),
    "a prefix": (by_setting(credentials.Prefix), "Token "),
    "a router's token": (by_setting(callers.SharedToken), "0123456789abcdef" * 4),
    "an origin": (by_setting(edge.Origin), "https://app.example.com:8443"),
    "an endpoint's name": (by_setting(endpoint.EndpointName), "latest_1"),
    "a host's name": (by_setting(hosts.HostName), "*.example.com"),
    **{
        name: (takes, "EUR")
        for name, takes in by_record(MoneyRecord, "currency", {"amount": 1}).items()
    },
    **{
        name: (takes, "2024-02-29T12:00:00Z")
        for name, takes in by_record(
            EventRecord, "occurredAt", {"id": "e", "type": "login"}
        ).items()
    },
}
"""What takes a text of a pattern, and a text that is right."""

WITH_BLANKS = {
    *("a duration", "a time to come again", "a rate", "the age of an answer", "a range of rows"),
    *("an id of a request", "how long an answer is kept"),
}
"""What may have blanks around it, as values of headers may."""


@pytest.mark.parametrize("name", DOORS)
def test_what_is_right_is_taken(name: str) -> None:
    takes, good = DOORS[name]

    assert takes(good)


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_taken_that_only_begins_or_ends_as_what_is_right_does(name: str) -> None:
    takes, good = DOORS[name]

    wrong = [text for text in poisoned(good) if takes(text)]
    if name in WITH_BLANKS:
        wrong = [text for text in wrong if not any(map(str.isspace, text.replace(" ", "")))]

    assert not wrong


CONTROLS = [one for one in POISON if one.isascii()]


@pytest.mark.parametrize(
    ("kind", "good"), [(credentials.Secret, "secret"), (credentials.UserName, "ann")]
)
@pytest.mark.parametrize("control", CONTROLS)
def test_no_secret_has_a_control_character_anywhere(
    kind: Any,  # noqa: ANN401 # any type of a setting
    good: str,
    control: str,
) -> None:
    takes = by_setting(kind)

    assert takes(good)
    assert not any(map(takes, (good + control, control + good, good[:1] + control + good[1:])))


@pytest.mark.parametrize(
    "path",
    [
        *("/a/../b", "/a/..", "/../b", "/a%2f..", "/a%2F..%2fb", "/%2e%2e/b", "/a/%2e", "/a/./b"),
        *("/a?x=", "/a?x=1", "/a#", "/a#b", "/a b", "/a\\b", "/a%", "/a%2", "/a%zz", "a", ""),
        *("/{key}/..", "/..{key}", "/.{key}.", "/a%2f..{key}", "//evil?", "/\uff0e\uff0e/b"),
    ],
)
def test_a_path_of_the_settings_leads_nowhere_else(path: str) -> None:
    assert not by_setting(parts.UrlPath)(path)


@pytest.mark.parametrize("end", END_OF_LINE)
def test_a_trace_of_a_later_version_goes_on_with_what_a_header_can_have(end: str) -> None:
    takes, good = DOORS["a trace"]
    later = good.replace("00-", "01-", 1)

    assert takes(later)
    assert takes(f"{later}-what comes later")
    assert not takes(f"{later}-x{end}x")
    assert not takes(f"{later}-x{end}")


@pytest.mark.parametrize(
    "poison", [" or id gt 0", "'", '"', ",b", " b", "\tb", ";b", "(b)", "*", "%", "\n"]
)
def test_no_key_in_a_list_without_quotes_is_followed_or_preceded_by_an_operator(
    poison: str,
) -> None:
    write = in_list(",", ")")

    assert write("abc-1") == "abc-1"
    assert write(f"abc-1{poison}") is write(f"{poison}abc-1") is write(f"abc{poison}1") is None
