"""How keys become requests, by the settings of a source. Pure.

An encoder has the texts before, between and after the keys, and escapes each key so that it cannot
change the meaning of the request (``expressions/escapes.py``). If a request is escaped as a whole,
as a URL is, then each part is escaped: the result is the same.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile
from string import ascii_letters, digits
from typing import Any, assert_never
from urllib.parse import quote

from msgspec import Struct

from app.expressions import escapes
from app.expressions.escapes import Escape, Write, in_text
from app.expressions.places import KEY, KeyPlaces, places_in
from app.expressions.places import fixed as places_fixed
from app.expressions.template import KEYS
from app.settings.request import (
    BodyRequest,
    EachRequest,
    FilterRequest,
    ListRequest,
    RepeatRequest,
    RequestSettings,
)
from app.settings.source import SourceSettings
from app.sources.base import SourceSpec, UserId
from app.sources.credentials import query_of


class UpstreamRequest(Struct):
    """One encoded request to a service. It only reads, so it can be repeated.

    Attributes:
        keys: The keys of users that it requests.
        path: Its path below the base URL, without keys, for the log.
        target: Path and query below the base URL, percent-encoded.
        method: The HTTP method.
        headers: Additional headers. They replace usual headers with the same names.
        body: The body; empty if there is none.
    """

    keys: Sequence[UserId]
    path: str
    target: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


UNRESERVED = (ascii_letters + digits + "-._~").encode()
"""The characters that are never escaped (RFC 3986, section 2.3)."""


class EncodedRequests(Struct, frozen=True):
    """The requests for some keys.

    Attributes:
        sent: The requests. Together they have all keys that can be encoded, in their order.
        refused: The keys that cannot be encoded in such a request.
    """

    sent: Sequence[UpstreamRequest]
    refused: Sequence[UserId]


class RequestEncoder(Struct, frozen=True):
    """Encodes keys into requests to one source.

    Attributes:
        request: The settings of the request.
        before: The text before the first key.
        between: The text between two keys.
        after: The text after the last key.
        write: Escapes a key; ``None`` if the key cannot be encoded.
        unreserved_as_is: Whether keys of unreserved characters need no escaping.
        target: Path and query, if the keys are in the body; ``None`` if they are in path or query.
        headers: The headers of each request.
        key_headers: The headers that have the key, if each request has one.
        max_keys: Maximum number of keys in a request.
        max_bytes: Maximum size of all keys in a request, with the texts between them.
        at_a_time: Maximum number of requests in flight for one batch.
        absent: Statuses that mean "no such user".
    """

    request: RequestSettings
    before: str
    between: str
    after: str
    write: Write
    unreserved_as_is: bool
    target: str | None
    headers: tuple[tuple[str, str], ...]
    max_keys: int
    max_bytes: int
    at_a_time: int
    absent: frozenset[int] = frozenset()
    key_headers: Mapping[str, KeyPlaces] = {}

    @property
    def method(self) -> str:
        """The HTTP method of the requests."""
        return self.request.method if isinstance(self.request, BodyRequest) else "GET"

    @property
    def parameter(self) -> str | None:
        """The query parameter for keys; ``None`` if they are elsewhere."""
        return None if isinstance(self.request, BodyRequest) else self.request.parameter

    @property
    def max_body_bytes(self) -> int | None:
        """Maximum size of the body of a request; ``None`` if it has none."""
        request = self.request
        return request.max_body_bytes if isinstance(request, BodyRequest) else None

    def encode(self, keys: Sequence[UserId]) -> EncodedRequests:
        """Encode the requests for some keys.

        Args:
            keys: The keys, without duplicates.

        Returns:
            As few requests as the limits allow. A key that is too long gets its own request: the
            service decides whether it accepts that.
        """
        kept, written, refused = self._encoded(keys)
        sent: list[UpstreamRequest] = []
        start = 0
        while start < len(kept):
            some = written[start : start + self.max_keys]
            text = self.between.join(some)
            if len(text) > self.max_bytes:
                some = some[: self._fitting(some)]
                text = self.between.join(some)
            sent.append(self._request(kept[start : start + len(some)], text))
            start += len(some)
        return EncodedRequests(sent, refused)

    def encode_one(self, key: UserId) -> UpstreamRequest | None:
        """Encode the request for one key.

        Args:
            key: The key.

        Returns:
            The request; ``None`` if the key cannot be encoded in it.
        """
        text = self._encoded_key(key)
        return None if text is None else self._request([key], text)

    def _encoded(
        self, keys: Sequence[UserId]
    ) -> tuple[Sequence[UserId], Sequence[str], Sequence[UserId]]:
        """Return the keys that can be encoded, their encoded texts, and the other keys."""
        if self.unreserved_as_is and not "".join(keys).encode("utf-8", "replace").translate(
            None, UNRESERVED
        ):
            return keys, keys, ()
        kept: list[UserId] = []
        written: list[str] = []
        refused: list[UserId] = []
        for key in keys:
            text = self._encoded_key(key)
            if text is None:
                refused.append(key)
            else:
                kept.append(key)
                written.append(text)
        return kept, written, refused

    def _encoded_key(self, key: UserId) -> str | None:
        """Return a key in encoded form; ``None`` if it cannot be encoded."""
        try:
            key.encode()
        except UnicodeEncodeError:  # a lone surrogate, which no service could read
            return None
        headers = self.key_headers
        if headers and any(places.written(key) is None for places in headers.values()):
            return None
        return self.write(key)

    def _fitting(self, written: Sequence[str]) -> int:
        """Return how many keys fit into one request, at least one."""
        sizes = accumulate(len(self.between) + len(text) for text in written)
        limit = self.max_bytes + len(self.between)  # n keys have n - 1 separators
        return max(1, sum(1 for _ in takewhile(lambda size: size <= limit, sizes)))

    def _request(self, keys: Sequence[UserId], text: str) -> UpstreamRequest:
        """Return the request for encoded keys."""
        whole, headers = f"{self.before}{text}{self.after}", self.headers
        for name, places in self.key_headers.items():  # one key, which ``_encoded_key`` has checked
            value = f"{places.before}{places.written(keys[0])}{places.after}"
            headers = (*headers, (name, value))
        if self.target is None:
            return UpstreamRequest(keys, self.request.path, whole, headers=headers)
        return UpstreamRequest(
            keys, self.request.path, self.target, self.method, headers, whole.encode("ascii")
        )


_NOT_FOUND = frozenset({404})


def encoder_of(spec: SourceSpec[Any], settings: SourceSettings) -> RequestEncoder:
    """Create the request encoder of a source.

    Args:
        spec: The source as data. Its path and parameter are the default.
        settings: Settings of the source.

    Returns:
        The encoder.
    """
    request = settings.request
    if request is None:
        request = RepeatRequest(form="repeat", path=spec.path, parameter=spec.parameter)
    return encoder_for(request, settings)


def encoder_for(request: RequestSettings, settings: SourceSettings) -> RequestEncoder:
    """Create the encoder of a request.

    Args:
        request: The settings of the request.
        settings: Settings of the source.

    Returns:
        The encoder.
    """
    match request:
        case RepeatRequest():
            name, whole = f"{_fixed(request.parameter)}=", request.value == KEY
            places = _value(request.value, request.escape)
            return _queried(
                request,
                settings,
                before=f"{name}{places.before}",
                between=f"{places.after}&{name}{places.before}",
                after=places.after,
                write=escapes.in_query(escapes.as_it_is) if whole else places.written,
                unreserved_as_is=whole,
            )
        case ListRequest():
            return _list(request, settings)
        case FilterRequest():
            return _filter(request, settings)
        case BodyRequest():
            return _body(request, settings)
        case EachRequest():
            return _each(request, settings)
        case _:
            assert_never(request)


def _fixed(text: str) -> str:
    """Encode a text of the settings for a query.

    Characters that a query may contain are not escaped (RFC 3986, section 3.4), because some
    services look for commas before they decode.
    """
    return quote(text, safe="!$'()*,:@/")


def _fixed_parameters(request: RequestSettings) -> str:
    """Return the query of parameters that are always sent; empty if there are none."""
    return "&".join(f"{_fixed(name)}={_fixed(value)}" for name, value in _pairs(request))


def _pairs(request: RequestSettings) -> Sequence[tuple[str, str]]:
    """Return the names and values of parameters that are always sent."""
    every: Mapping[str, str | tuple[str, ...]] = request.parameters
    if request.page_size_parameter is not None:
        every = {**every, request.page_size_parameter: str(request.page_size)}
    return [
        (name, value)
        for name, values in every.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]


def _max_keys(request: RequestSettings, settings: SourceSettings) -> int:
    """Return the maximum number of keys in a request: at most one page of rows."""
    return min(settings.max_keys, request.page_size or settings.max_keys)


def _max_target_bytes(settings: SourceSettings) -> int:
    """Return the maximum size of path and query in a URL."""
    return settings.max_url_bytes - len(settings.base_url) - len(query_of(settings.auth))


def _queried(
    request: RepeatRequest | ListRequest | FilterRequest,
    settings: SourceSettings,
    *,
    before: str,
    between: str,
    after: str,
    write: Write,
    unreserved_as_is: bool,
) -> RequestEncoder:
    """Create an encoder that writes keys into the query."""
    fixed = _fixed_parameters(request)
    start = f"{request.path}?{fixed}&{before}" if fixed else f"{request.path}?{before}"
    return RequestEncoder(
        request=request,
        before=start,
        between=between,
        after=after,
        write=write,
        unreserved_as_is=unreserved_as_is,
        target=None,
        headers=tuple(request.headers.items()),
        max_keys=_max_keys(request, settings),
        max_bytes=_max_target_bytes(settings) - len(start) - len(after),
        at_a_time=settings.max_calls,
    )


def _list(request: ListRequest, settings: SourceSettings) -> RequestEncoder:
    """Create the encoder for a list of keys in one parameter."""
    mark = request.quote
    start, _, end = request.wrap.partition(KEYS)
    return _queried(
        request,
        settings,
        before=f"{_fixed(request.parameter)}={_fixed(start + mark)}",
        between=_fixed(mark + request.separator + mark),
        after=_fixed(mark + end),
        write=escapes.in_query(
            escapes.in_quotes(mark, request.escape)
            if mark
            else escapes.in_list(request.separator, end)
        ),
        unreserved_as_is=bool(mark),
    )


def _filter(request: FilterRequest, settings: SourceSettings) -> RequestEncoder:
    """Create the encoder for a filter with an expression for each key."""
    start, _, end = request.wrap.partition(KEYS)
    lead, _, trail = request.each.partition(KEY)
    mark = request.quote
    return _queried(
        request,
        settings,
        before=f"{_fixed(request.parameter)}={_fixed(start + lead)}",
        between=_fixed(trail + request.join + lead),
        after=_fixed(trail + end),
        write=escapes.in_query(
            escapes.in_quotes(mark, request.escape) if mark else escapes.in_expression
        ),
        unreserved_as_is=bool(mark),
    )


def _body(request: BodyRequest, settings: SourceSettings) -> RequestEncoder:
    """Create the encoder for keys in a JSON body."""
    cut, fixed = request.cut, _fixed_parameters(request)
    one_key = cut.between is None
    headers = tuple(request.headers.items())
    if not any(name.lower() == "content-type" for name in request.headers):
        headers = (("Content-Type", "application/json"), *headers)
    return RequestEncoder(
        request=request,
        before=cut.before,
        between=cut.between or "",
        after=cut.after,
        write=cut.write,
        unreserved_as_is=cut.plain,
        target=f"{request.path}?{fixed}" if fixed else request.path,
        headers=headers,
        max_keys=1 if one_key else _max_keys(request, settings),
        max_bytes=request.max_body_bytes - len(cut.before) - len(cut.after),
        at_a_time=settings.max_calls,
    )


def _value(text: str, escape: Escape) -> KeyPlaces:
    """Return the value of a query parameter that has places for a key."""

    def writer(before: str, after: str) -> Write:
        return escapes.in_query(in_text(before, after, escape))

    return places_in(text, _fixed, writer)


def _each(request: EachRequest, settings: SourceSettings) -> RequestEncoder:
    """Create the encoder for one call per key, which may be at several places."""
    places = places_in(request.path, str, _in_path)
    parameters = [*_pairs(request)]
    if request.parameter is not None:
        parameters.append((request.parameter, request.value))
    for number, (name, value) in enumerate(parameters):
        start = places_fixed(f"{'&' if number else '?'}{_fixed(name)}=")
        places = places.followed_by(start).followed_by(_value(value, request.escape))

    def in_header(before: str, after: str) -> Write:
        return escapes.in_header(in_text(before, after, request.escape))

    headers = request.headers.items()
    # Without the key in the path, status 404 probably means that the path is wrong. If the settings
    # give it a meaning, that meaning counts.
    absent = _NOT_FOUND if KEY in request.path else frozenset[int]()
    known = frozenset[int]() if settings.answer is None else settings.answer.status.keys()
    return RequestEncoder(
        request=request,
        before=places.before,
        between="",
        after=places.after if places.writers else "",
        write=places.written,
        unreserved_as_is=False,  # in a path, a dot may need escaping
        target=None,
        headers=tuple((name, value) for name, value in headers if KEY not in value),
        key_headers={
            name: places_in(value, str, in_header) for name, value in headers if KEY in value
        },
        max_keys=1,
        max_bytes=_max_target_bytes(settings) - len(places.before) - len(places.after),
        at_a_time=min(request.max_concurrent_calls, settings.max_calls),
        absent=absent - known,
    )


def _in_path(before: str, after: str) -> Write:
    """Return the writer for a key in a path."""
    return escapes.in_path(before.rpartition("/")[2] + after.partition("/")[0])
