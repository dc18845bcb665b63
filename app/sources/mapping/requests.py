"""How keys become the requests for them, as the settings of sources say. Pure.

One request to a service, ready to be sent.

How keys become the requests for them. Pure.

A form is what stands before, between and after keys, and a way to write a key that cannot leave its
place there (``expressions/escapes.py``). Where the request is escaped as a whole, as a URL is, all
of these
are: the escaping of a text is that of its parts.

The forms of requests, as the settings of sources say them. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from string import ascii_letters, digits
from typing import Any, assert_never
from urllib.parse import quote

from app.expressions import escapes
from app.expressions.escapes import Write
from app.expressions.template import KEY, KEYS, cut_template
from app.readonly import readonly
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


@readonly(frozen=True, slots=True)
class UpstreamRequest:
    """One request to a service, ready to be sent. It only reads, so that it can be made again.

    Attributes:
        keys: The users it is about.
        path: Where it goes, below the base URL, without any of them: for the log.
        target: Path and query below the base URL, percent-encoded.
        method: The HTTP method.
        headers: Those that the service wants beside the usual ones; they win over them.
        body: The body, if it has one.
    """

    keys: Sequence[UserId]
    path: str
    target: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


UNRESERVED = (ascii_letters + digits + "-._~").encode()
"""The characters that are never escaped (RFC 3986, section 2.3)."""


@readonly(frozen=True, slots=True)
class EncodedRequests:
    """The requests for some keys.

    Attributes:
        sent: The requests; together their keys are those that can be written, in their order.
        refused: The keys that cannot be written in the form.
    """

    sent: Sequence[UpstreamRequest]
    refused: Sequence[UserId]


@dataclass(frozen=True, slots=True)
class RequestEncoder:
    """How keys are written into requests to one source.

    Attributes:
        request: The settings that it is of.
        before: What stands before the first key.
        between: What stands between two keys.
        after: What stands behind the last key.
        write: Writes a key.
        everyday: Whether keys of unreserved characters are all written as they are.
        target: Path and query where the keys are in the body; otherwise they are in these.
        headers: What is sent with each request.
        max_keys: Most keys of a request.
        max_bytes: Most bytes of all keys of a request, and what stands between them.
        at_a_time: Most requests for one batch of keys at the same time.
        absent: Statuses that say "no such user".
    """

    request: RequestSettings
    before: str
    between: str
    after: str
    write: Write
    everyday: bool
    target: str | None
    headers: tuple[tuple[str, str], ...]
    max_keys: int
    max_bytes: int
    at_a_time: int
    absent: frozenset[int] = frozenset()

    @property
    def method(self) -> str:
        """The HTTP method of the requests."""
        return "GET" if self.target is None else "POST"

    @property
    def parameter(self) -> str | None:
        """The query parameter for keys; ``None`` where they are elsewhere."""
        return None if isinstance(self.request, BodyRequest) else self.request.parameter

    @property
    def max_body_bytes(self) -> int | None:
        """The longest body of a request; ``None`` where it has none."""
        request = self.request
        return request.max_body_bytes if isinstance(request, BodyRequest) else None

    def encode(self, keys: Sequence[UserId]) -> EncodedRequests:
        """Write the requests for some keys.

        Args:
            keys: The keys, each once.

        Returns:
            As few requests as the limits allow. A key that does not fit even alone gets one of its
            own: whether it is too long is for the service to say.
        """
        kept, written, refused = self._written(keys)
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

    def _written(
        self, keys: Sequence[UserId]
    ) -> tuple[Sequence[UserId], Sequence[str], Sequence[UserId]]:
        """Write keys: those that can be, how, and those that cannot."""
        if self.everyday and not "".join(keys).encode("utf-8", "replace").translate(
            None, UNRESERVED
        ):
            return keys, keys, ()
        kept: list[UserId] = []
        written: list[str] = []
        refused: list[UserId] = []
        for key in keys:
            text = self._one(key)
            if text is None:
                refused.append(key)
            else:
                kept.append(key)
                written.append(text)
        return kept, written, refused

    def _one(self, key: UserId) -> str | None:
        """Write a key; ``None`` where it cannot be."""
        try:
            key.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no service could read
            return None
        return self.write(key)

    def _fitting(self, written: Sequence[str]) -> int:
        """Count the keys that fit into one request, at least one."""
        sizes = accumulate(len(self.between) + len(one) for one in written)
        room = self.max_bytes + len(self.between)  # one less stands between them
        return max(1, sum(1 for _ in takewhile(lambda size: size <= room, sizes)))

    def _request(self, keys: Sequence[UserId], text: str) -> UpstreamRequest:
        """Write the request for keys that are written."""
        whole = f"{self.before}{text}{self.after}"
        if self.target is None:
            return UpstreamRequest(keys, self.request.path, whole, headers=self.headers)
        return UpstreamRequest(
            keys, self.request.path, self.target, "POST", self.headers, whole.encode("ascii")
        )


_NOT_FOUND = frozenset({404})


def encoder_of(spec: SourceSpec[Any], settings: SourceSettings) -> RequestEncoder:
    """Make the form in which a source is asked.

    Args:
        spec: The source, which tells it where the settings do not.
        settings: How it is reached.

    Returns:
        The form.
    """
    request = settings.request or RepeatRequest(
        form="repeat", path=spec.path, parameter=spec.parameter
    )
    match request:
        case RepeatRequest():
            name = f"{_fixed(request.parameter)}="
            write = escapes.in_query(escapes.as_it_is)
            return _queried(
                request,
                settings,
                before=name,
                between=f"&{name}",
                after="",
                write=write,
                everyday=True,
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


def pair(parameter: str, value: str) -> str:
    """Write one query parameter; whatever is in the value stays in it.

    Args:
        parameter: Its name, which needs no escaping.
        value: Any text.

    Returns:
        The pair, percent-encoded (RFC 3986, section 2.1).
    """
    return f"{parameter}={quote(value, safe='')}"


def _fixed(text: str) -> str:
    """Write what is no key into a query.

    What a query may have as it is stays so (RFC 3986, section 3.4): some services look for commas
    before they decode.
    """
    return quote(text, safe="!$'()*,:@/")


def _fixed_parameters(request: RequestSettings) -> str:
    """Write the query of parameters that are always sent; empty when there are none."""
    every: Mapping[str, str | tuple[str, ...]] = request.parameters
    if request.page_size_parameter is not None:
        every = {**every, request.page_size_parameter: str(request.page_size)}
    pairs = (
        (name, value)
        for name, values in every.items()
        for value in ((values,) if isinstance(values, str) else values)
    )
    return "&".join(f"{_fixed(name)}={_fixed(value)}" for name, value in pairs)


def _max_keys(request: RequestSettings, settings: SourceSettings) -> int:
    """Find the most keys of a request: no more than rows fit into its answer."""
    return min(settings.max_keys, request.page_size or settings.max_keys)


def _room(settings: SourceSettings) -> int:
    """Count the bytes of a URL that are left for path and query."""
    return settings.max_url_bytes - len(settings.base_url) - len(query_of(settings.auth))


def _queried(
    request: RepeatRequest | ListRequest | FilterRequest,
    settings: SourceSettings,
    *,
    before: str,
    between: str,
    after: str,
    write: Write,
    everyday: bool,
) -> RequestEncoder:
    """Make a form whose keys are in a query, from the parts of that."""
    fixed = _fixed_parameters(request)
    start = f"{request.path}?{fixed}&{before}" if fixed else f"{request.path}?{before}"
    return RequestEncoder(
        request=request,
        before=start,
        between=between,
        after=after,
        write=write,
        everyday=everyday,
        target=None,
        headers=tuple(request.headers.items()),
        max_keys=_max_keys(request, settings),
        max_bytes=_room(settings) - len(start) - len(after),
        at_a_time=settings.max_calls,
    )


def _list(request: ListRequest, settings: SourceSettings) -> RequestEncoder:
    """Make the form of a list of keys."""
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
        everyday=bool(mark),
    )


def _filter(request: FilterRequest, settings: SourceSettings) -> RequestEncoder:
    """Make the form of an expression for each key."""
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
        everyday=bool(mark),
    )


def _body(request: BodyRequest, settings: SourceSettings) -> RequestEncoder:
    """Make the form of a JSON body."""
    cut = cut_template(request.template, numbers=request.numbers)
    fixed = _fixed_parameters(request)
    headers = tuple(request.headers.items())
    if not any(name.lower() == "content-type" for name in request.headers):
        headers = (("Content-Type", "application/json"), *headers)
    return RequestEncoder(
        request=request,
        before=cut.before,
        between=cut.between,
        after=cut.after,
        write=escapes.as_number if request.numbers else escapes.in_json,
        everyday=not request.numbers,
        target=f"{request.path}?{fixed}" if fixed else request.path,
        headers=headers,
        max_keys=_max_keys(request, settings),
        max_bytes=request.max_body_bytes - len(cut.before) - len(cut.after),
        at_a_time=settings.max_calls,
    )


def _each(request: EachRequest, settings: SourceSettings) -> RequestEncoder:
    """Make the form of one call a key."""
    fixed = _fixed_parameters(request)
    if request.parameter is None:
        start, _, end = request.path.partition(KEY)
        before, after = start, f"{end}?{fixed}" if fixed else end
        write = escapes.in_path(start.rpartition("/")[2] + end.partition("/")[0])
    else:
        query = f"{fixed}&{_fixed(request.parameter)}" if fixed else _fixed(request.parameter)
        before, after = f"{request.path}?{query}=", ""
        write = escapes.in_query(escapes.not_empty)
    return RequestEncoder(
        request=request,
        before=before,
        between="",
        after=after,
        write=write,
        everyday=False,  # a dot is written as it is elsewhere
        target=None,
        headers=tuple(request.headers.items()),
        max_keys=1,
        max_bytes=_room(settings) - len(before) - len(after),
        at_a_time=min(request.max_concurrent_calls, settings.max_calls),
        # Where the table of statuses has a word for it, that is what it means.
        absent=_NOT_FOUND
        if settings.answer is None
        else _NOT_FOUND - settings.answer.status.keys(),
    )
