"""The forms in which an answer comes in several payloads, and how a client asks for them. Pure.

A client names a media type in ``Accept``, and by a parameter the form of the payloads:

- ``multipart/mixed`` (RFC 2046) or ``text/event-stream`` (HTML, "Server-sent events"), whose events
  are those of "GraphQL over Server-Sent Events", distinct connections mode.
- ``incrementalSpec=v0.2``: the payloads of the specification's draft and of graphql-js 17; the
  default. ``deferSpec=20220824``: the payloads of the draft of 24 August 2022.

The older form has no ids. Each part of the data has its whole path there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, cast

import msgspec
from graphql import GraphQLFormattedError
from msgspec import Struct
from starlette.responses import Response

from app.execution.incremental import (
    Completed,
    DeferredData,
    Payload,
    Pending,
    ResponsePath,
    StreamedItems,
)
from app.execution.request import GraphQLResponse
from app.server.responses import (
    BY_ACCEPT,
    LONGEST,
    OK,
    PRIVATE,
    EncodedResponse,
    answer_body,
    encoded_headers,
    json_quality,
)

Body: TypeAlias = dict[str, object]
"""A payload as JSON values."""


class PayloadForm(StrEnum):
    """The forms of payloads, by their parameter of the media type."""

    CURRENT = "incrementalSpec=v0.2"
    OF_2022 = "deferSpec=20220824"


class Framing(StrEnum):
    """The media types that frame several payloads."""

    MULTIPART = "multipart/mixed"
    EVENTS = "text/event-stream"


class IncrementalType(Struct, frozen=True):
    """A media type in which a client accepts several payloads.

    Attributes:
        framing: The media type.
        form: The form of the payloads.
        preferred: Whether the client does not prefer one whole answer.
    """

    framing: Framing
    form: PayloadForm
    preferred: bool

    @property
    def content_type(self) -> str:
        """The value of ``Content-Type``."""
        if self.framing is Framing.EVENTS:
            return f"{self.framing}; charset=utf-8"
        return f'{self.framing}; boundary="{BOUNDARY}"; {self.form}'


BOUNDARY = "-"
"""The boundary of parts. No line of JSON begins with it."""

_SPECS = ("incrementalspec", "deferspec", "subscriptionspec")
"""The parameters that name a form, in lower case. One that is not known here is not accepted."""


def accepted_type(accept: str | None) -> IncrementalType | None:
    """Choose the media type for several payloads.

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        The type with the highest quality, the first of several; ``None`` if the client names none.
        A wildcard does not count: a client that understands payloads says so.
    """
    if accept is None:
        return None
    return _chosen(accept) if len(accept) <= LONGEST else _choose(accept)


def _choose(accept: str) -> IncrementalType | None:
    """Choose the media type, without the cache."""
    best, chosen = 0.0, None
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name not in set(Framing):
            continue
        given = dict(_pair(one) for one in parameters)
        specs = {f"{one}={given[one]}" for one in _SPECS if one in given}
        known = {one.lower(): one for one in PayloadForm}
        if not specs <= known.keys():
            continue
        quality = _quality(given.get("q", "1"))
        if quality > best:
            form = known[specs.pop()] if specs else PayloadForm.CURRENT
            preferred = quality >= json_quality(accept)
            best, chosen = quality, IncrementalType(Framing(name), form, preferred)
    return chosen


_chosen = lru_cache(maxsize=256)(_choose)
"""``_choose`` with a cache: clients send few different values, and one with every request."""


def _pair(parameter: str) -> tuple[str, str]:
    """Split a parameter into its name and its value without quotes."""
    name, _, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    """Read a quality."""
    try:
        return float(text)
    except ValueError:
        return 0.0


class PayloadWriter(Protocol):
    """Writes the payloads of one answer in one form."""

    def first(self, answer: GraphQLResponse, pending: Sequence[Pending]) -> Body:
        """Write the first payload.

        Args:
            answer: The first payload.
            pending: What is pending.

        Returns:
            The JSON values.
        """
        ...

    def later(self, payload: Payload) -> Body | None:
        """Write a later payload.

        Args:
            payload: The payload.

        Returns:
            The JSON values; ``None`` if the form has nothing to say of it.
        """
        ...


class CurrentWriter:
    """Writes payloads as the specification's draft has them. A ``PayloadWriter``."""

    def first(self, answer: GraphQLResponse, pending: Sequence[Pending]) -> Body:
        """Write the first payload."""
        return {**answer_body(answer), "pending": [*map(_pending, pending)], "hasNext": True}

    def later(self, payload: Payload) -> Body:
        """Write a later payload."""
        body: Body = {"hasNext": payload.has_next}
        if payload.pending:
            body["pending"] = [*map(_pending, payload.pending)]
        if payload.incremental:
            body["incremental"] = [*map(_incremental, payload.incremental)]
        if payload.completed:
            body["completed"] = [
                _with_errors({"id": one.id}, one.errors) for one in payload.completed
            ]
        if payload.extensions is not None:
            body["extensions"] = payload.extensions
        return body


def _pending(one: Pending) -> Body:
    """Write what is pending."""
    label: Body = {} if one.label is None else {"label": one.label}
    return {"id": one.id, "path": one.path, **label}


def _incremental(one: DeferredData | StreamedItems) -> Body:
    """Write data of what is pending."""
    if isinstance(one, StreamedItems):
        return _with_errors({"id": one.id, "items": one.items}, one.errors)
    sub_path: Body = {"subPath": one.sub_path} if one.sub_path else {}
    return _with_errors({"id": one.id, **sub_path, "data": one.data}, one.errors)


def _with_errors(body: Body, errors: Sequence[GraphQLFormattedError]) -> Body:
    """Add errors, if there are any."""
    return {**body, "errors": errors} if errors else body


class Writer2022(Struct):
    """Writes payloads as the draft of August 2022 has them. A ``PayloadWriter``.

    A list that is streamed needs the number of its next item. So this writer keeps the answer as
    the client has it so far.

    Attributes:
        data: The answer so far.
        pending: What is pending, by id.
    """

    data: Any = None
    pending: dict[str, Pending] = {}

    def first(self, answer: GraphQLResponse, pending: Sequence[Pending]) -> Body:
        """Write the first payload."""
        self.data = answer.data
        self.pending = {one.id: one for one in pending}
        return {**answer_body(answer), "hasNext": True}

    def later(self, payload: Payload) -> Body | None:
        """Write a later payload."""
        self.pending |= {one.id: one for one in payload.pending}  # data of it may be here already
        incremental = [self._incremental(one) for one in payload.incremental]
        incremental += [*self._failed(payload.completed)]
        body: Body = {"hasNext": payload.has_next}
        if incremental:
            body["incremental"] = incremental
        if payload.extensions is not None:
            body["extensions"] = payload.extensions
        return body if incremental or not payload.has_next else None

    def _incremental(self, one: DeferredData | StreamedItems) -> Body:
        """Write data at its path, and add it to the answer so far."""
        pending = self.pending[one.id]
        if isinstance(one, StreamedItems):
            items = cast("list[object]", self._at(pending.path))
            path = [*pending.path, len(items)]
            items += one.items
            return _with_errors({"items": one.items, "path": path, **_label(pending)}, one.errors)
        path = [*pending.path, *one.sub_path]
        cast("dict[str, object]", self._at(path)).update(one.data)
        return _with_errors({"data": one.data, "path": path, **_label(pending)}, one.errors)

    def _failed(self, completed: Sequence[Completed]) -> Iterator[Body]:
        """Write what has failed as a whole."""
        for one in completed:
            pending = self.pending.pop(one.id)
            if not one.errors:
                continue
            value = self._at(pending.path)
            if isinstance(value, list):
                number = len(cast("list[object]", value))
                body: Body = {"items": None, "path": [*pending.path, number]}
            else:
                body = {"data": None, "path": pending.path}
            yield _with_errors({**body, **_label(pending)}, one.errors)

    def _at(self, path: ResponsePath) -> object:
        """Return the value at a path in the answer so far."""
        value = self.data
        for part in path:
            value = value[part]
        return value


def _label(pending: Pending) -> Body:
    """Write the label, if there is one."""
    return {} if pending.label is None else {"label": pending.label}


_WRITERS: Mapping[PayloadForm, Callable[[], PayloadWriter]] = {
    PayloadForm.CURRENT: CurrentWriter,
    PayloadForm.OF_2022: Writer2022,
}


class PayloadEncoder:
    """Encodes the payloads of one answer as pieces of the response's body."""

    def __init__(self, accepted: IncrementalType) -> None:
        """Begin an answer.

        Args:
            accepted: The media type.
        """
        self._framing = accepted.framing
        self._writer = _WRITERS[accepted.form]()

    def whole(self, answer: GraphQLResponse) -> bytes:
        """Encode a whole answer as the only payload.

        Args:
            answer: The answer.

        Returns:
            The body of the response.
        """
        return self._opening() + self._framed(answer_body(answer), is_last=True)

    def first(self, answer: GraphQLResponse, pending: Sequence[Pending]) -> bytes:
        """Encode the first payload.

        Args:
            answer: The first payload.
            pending: What is pending.

        Returns:
            The beginning of the body.
        """
        return self._opening() + self._framed(self._writer.first(answer, pending), is_last=False)

    def later(self, payload: Payload) -> bytes:
        """Encode a later payload.

        Args:
            payload: The payload.

        Returns:
            The next piece of the body; empty if the form has nothing to say of it.
        """
        body = self._writer.later(payload)
        return b"" if body is None else self._framed(body, is_last=not payload.has_next)

    def _opening(self) -> bytes:
        """Return what is before the first payload."""
        return b"" if self._framing is Framing.EVENTS else b"\r\n--%b\r\n" % BOUNDARY.encode()

    def _framed(self, body: Mapping[str, object], *, is_last: bool) -> bytes:
        """Frame a payload, so that clients see its end without waiting for the next one."""
        encoded = msgspec.json.encode(body)
        if self._framing is Framing.EVENTS:
            end = b"event: complete\ndata:\n\n" if is_last else b""
            return b"event: next\ndata: %b\n\n%b" % (encoded, end)
        end = b"--" if is_last else b""
        head = b"Content-Type: application/json; charset=utf-8\r\n\r\n"
        return b"%b%b\r\n--%b%b\r\n" % (head, encoded, BOUNDARY.encode(), end)


def whole_response(answer: GraphQLResponse, accepted: IncrementalType) -> Response:
    """Make the response with one whole answer, for a client that accepts only payloads.

    The status is always 200: "GraphQL over Server-Sent Events" demands it, since browsers do not
    show the body of any other.

    Args:
        answer: The GraphQL response.
        accepted: The media type.

    Returns:
        The HTTP response.
    """
    body = PayloadEncoder(accepted).whole(answer)
    length = (b"content-length", b"%d" % len(body))
    more = encoded_headers({"Content-Type": accepted.content_type, **(answer.headers or {})})
    return EncodedResponse(body, OK, [PRIVATE, BY_ACCEPT, *more, length])
