"""Every pattern matches a whole text: a text that is only partly correct is refused."""

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

Accepts = Callable[[str], bool]
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def by_setting(kind: Any) -> Accepts:  # noqa: ANN401 # any type of a setting
    """Make a check whether a setting of a type accepts a text."""
    adapter: TypeAdapter[object] = TypeAdapter(kind)

    def accepts(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return accepts


def returns(read: Callable[[str], object]) -> Accepts:
    """Make a check whether a function returns a value for a text."""
    return lambda text: read(text) is not None


def does_not_raise(read: Callable[[str], object]) -> Accepts:
    """Make a check whether a function raises no error for a text."""

    def accepts(text: str) -> bool:
        try:
            read(text)
        except (InexactError, BadUserInputError, UnauthenticatedError):
            return False
        return True

    return accepts


def input_limits(pattern: re.Pattern[str] = UUID_PATTERN) -> InputLimits:
    """Make the limits of inputs with a pattern of users' ids."""
    return InputLimits.from_settings(settings_for_fakes(user_id_pattern=pattern))


def by_header(name: bytes, of: Callable[[Any], object]) -> Accepts:
    """Make a check whether a header of a request is accepted."""

    def accepts(text: str) -> bool:
        value = text.encode("utf-8", "surrogatepass")
        known = read_correlation({"type": "http", "headers": [(name, value)]}, frozenset())
        return of(known) == value.decode("latin-1")

    return accepts


def by_record(
    record: type[Record], name: str, others: Mapping[str, object]
) -> Mapping[str, Accepts]:
    """Make checks whether the readers of a record accept a text in a field."""

    def written(text: str) -> bytes:
        return json.dumps({**others, name: text}).encode()

    def by_decoder(text: str) -> bool:
        try:
            return bool(struct_decoder(record)(b"[" + written(text) + b"]"))
        except ValidationError:
            return False

    def by_contract(text: str) -> bool:
        return isinstance(RowContract(record).read(json.loads(written(text))), record)

    return {
        f"{name} of {record.__name__}, fast path": by_decoder,
        f"{name}, by its contract": by_contract,
    }


def fresh_time(text: str) -> float | None:
    """Return how long a response with a ``max-age`` is fresh; ``None`` if it is not."""
    fresh = read_lifetime({"cache-control": f"max-age={text}"}, at=NOW, took=0).fresh
    return fresh or None


def age_is_read(text: str) -> bool:
    """Return whether the ``Age`` of a response is accepted."""
    lifetime = read_lifetime({"cache-control": "max-age=600", "age": text}, at=NOW, took=0)
    return lifetime.fresh == 300


def range_is_read(text: str) -> bool:
    """Return whether a ``Content-Range`` is accepted."""
    document = ScannedDocument((), None, ended=True)
    headers = {"content-range": text}
    found = extent_of(document, headers, MoreSettings(), partial=False, limit=None)
    return found.more is not None


READERS: Mapping[str, tuple[Accepts, str]] = {
    "a user's id": (does_not_raise(input_limits().user_id), UUID),
    "one of several users' ids": (
        does_not_raise(lambda text: input_limits().user_ids([UUID, text], "users")),
        UUID,
    ),
    "an id of another pattern": (
        does_not_raise(input_limits(re.compile("[0-9]+|[a-z]{2}")).user_id),
        "12",
    ),
    "the subject of a token": (does_not_raise(input_limits().own_id), UUID),
    "a key in capitals": (lambda text: folded(text) != text, UUID.upper()),
    "a cursor": (
        does_not_raise(lambda text: decode_cursor(UserId("a"), "invoices", text)),
        encode_cursor(UserId("a"), "invoices", Position("c", "i")),
    ),
    "a time": (does_not_raise(from_rfc3339), "2024-02-29T12:00:00.5Z"),
    "a time of many forms": (
        does_not_raise(lambda text: from_iso(text, without_offset_is_utc=True)),
        "20240229 120000,5+0100",
    ),
    "a number": (does_not_raise(exact), "12.50"),
    "a duration": (returns(read_duration), "1.5s"),
    "a time to retry after": (
        returns(lambda text: read_retry_after(text, ManualClock())),
        "120",
    ),
    "the rest of a rate limit": (
        returns(lambda text: read_signal(200, {"ratelimit-remaining": text}, ManualClock())),
        "5",
    ),
    "how long a response is fresh": (returns(fresh_time), "600"),
    "the age of a response": (age_is_read, "300"),
    "a range of rows": (range_is_read, "items 0-24/100"),
    "an id of a request": (by_header(b"x-request-id", lambda known: known.request_id), "abc-1"),
    "a trace": (
        by_header(b"traceparent", lambda known: known.trace and known.trace.traceparent),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "a forwarded header": (
        lambda text: bool(read_forwarded([("x-tenant", text)], frozenset({"x-tenant"}))),
        "tenant 1",
    ),
    "the name of a header of the gateway": (by_setting(base.PlainHeaderName), "X-Deadline"),
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
    "the name of a forwarded header": (by_setting(credentials.ForwardedName), "X-Tenant"),
    "a prefix": (by_setting(credentials.Prefix), "Token "),
    "a router's token": (by_setting(callers.SharedToken), "0123456789abcdef" * 4),
    "an origin": (by_setting(edge.Origin), "https://app.example.com:8443"),
    "an endpoint's name": (by_setting(endpoint.EndpointName), "latest_1"),
    "a host's name": (by_setting(hosts.HostName), "*.example.com"),
    **{
        name: (accepts, "EUR")
        for name, accepts in by_record(MoneyRecord, "currency", {"amount": 1}).items()
    },
    **{
        name: (accepts, "2024-02-29T12:00:00Z")
        for name, accepts in by_record(
            EventRecord, "occurredAt", {"id": "e", "type": "login"}
        ).items()
    },
}
"""The readers of texts with a pattern, each with a correct text."""

WITH_BLANKS = {
    *(
        "a duration",
        "a time to retry after",
        "the rest of a rate limit",
        "the age of a response",
        "a range of rows",
    ),
    *("an id of a request", "how long a response is fresh"),
}
"""Texts that may have blanks around them, as values of headers may."""


@pytest.mark.parametrize("name", READERS)
def test_a_correct_text_is_accepted(name: str) -> None:
    accepts, good = READERS[name]

    assert accepts(good)


@pytest.mark.parametrize("name", READERS)
def test_a_text_that_is_only_partly_correct_is_refused(name: str) -> None:
    accepts, good = READERS[name]

    wrong = [text for text in poisoned(good) if accepts(text)]
    if name in WITH_BLANKS:
        wrong = [text for text in wrong if not any(map(str.isspace, text.replace(" ", "")))]

    assert not wrong


CONTROLS = [one for one in POISON if one.isascii()]


@pytest.mark.parametrize(
    ("kind", "good"), [(credentials.Secret, "secret"), (credentials.UserName, "ann")]
)
@pytest.mark.parametrize("control", CONTROLS)
def test_a_secret_with_a_control_character_is_refused(
    kind: Any,  # noqa: ANN401 # any type of a setting
    good: str,
    control: str,
) -> None:
    accepts = by_setting(kind)

    assert accepts(good)
    assert not any(map(accepts, (good + control, control + good, good[:1] + control + good[1:])))


@pytest.mark.parametrize(
    "path",
    [
        *("/a/../b", "/a/..", "/../b", "/a%2f..", "/a%2F..%2fb", "/%2e%2e/b", "/a/%2e", "/a/./b"),
        *("/a?x=", "/a?x=1", "/a#", "/a#b", "/a b", "/a\\b", "/a%", "/a%2", "/a%zz", "a", ""),
        *("/{key}/..", "/..{key}", "/.{key}.", "/a%2f..{key}", "//evil?", "/\uff0e\uff0e/b"),
    ],
)
def test_a_configured_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert not by_setting(parts.UrlPath)(path)


@pytest.mark.parametrize("end", END_OF_LINE)
def test_a_trace_of_a_later_version_may_have_more_fields_without_line_ends(end: str) -> None:
    accepts, good = READERS["a trace"]
    later = good.replace("00-", "01-", 1)

    assert accepts(later)
    assert accepts(f"{later}-what comes later")
    assert not accepts(f"{later}-x{end}x")
    assert not accepts(f"{later}-x{end}")


@pytest.mark.parametrize(
    "poison", [" or id gt 0", "'", '"', ",b", " b", "\tb", ";b", "(b)", "*", "%", "\n"]
)
def test_a_key_with_an_operator_is_refused_in_a_list_without_quotes(
    poison: str,
) -> None:
    write = in_list(",", ")")

    assert write("abc-1") == "abc-1"
    assert write(f"abc-1{poison}") is write(f"{poison}abc-1") is write(f"abc{poison}1") is None
