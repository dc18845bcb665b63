"""Calls a service in the common ways, as the gateway does, until one of them finds users.

A way counts only if the service understood it. Many services ignore a parameter that they do not
know, and answer with all users, or with the same one each time. So a user who does not exist is
requested, too, alone and beside the others.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus

import httpx
from msgspec import Struct
from msgspec.structs import replace

from app.execution.schema import GatewaySchema, schema_for
from app.probe.probe import probe
from app.probe.recorder import RecordedExchange
from app.probe.verdict import Redaction
from app.settings.auth import OpenCallers
from app.settings.credentials import AuthSettings
from app.settings.models import Settings
from app.settings.nested import Table
from app.settings.public_schema import SchemaSettings, UserFieldSettings
from app.settings.request import EachRequest, RequestSettings
from app.settings.response import AnswerSettings
from app.settings.source import SourceSettings
from app.starting.address import GivenAddress
from app.starting.found import FoundService
from app.starting.rows import FoundRows, find_rows, row_without_key
from app.starting.users import TriedUsers
from app.starting.ways import UserCollection, Way, collections_of
from app.transport.client import client_transport
from app.transport.transport import TransportFactory


class TrialOutcome(StrEnum):
    """What became of a request. The value says it in words."""

    FOUND = "finds the user"
    IGNORED = "answers the same for every user"
    SEVERAL = "has several rows of the user"
    EMPTY = "has no row with the id"
    ABSENT = "does not exist there"
    REFUSED = "is refused"
    DENIED = "needs credentials"
    MOVED = "leads to another address"
    FAILING = "fails"
    NOT_JSON = "is no JSON"
    HTML = "is a page in HTML, not JSON"
    SILENT = "has no answer"


class TrialRequest(Struct, frozen=True):
    """A request that was tried.

    Attributes:
        request: Its method and address, without secrets.
        status: The status of its answer; ``None`` without an answer.
        outcome: What became of it.
        found: The rows, if it found users.
        detail: Where it leads, or why there is no answer; may be empty.
    """

    request: str
    status: int | None
    outcome: TrialOutcome
    found: FoundRows | None = None
    detail: str = ""


class NotFoundError(Exception):
    """No way finds the users at a service.

    Attributes:
        attempts: All requests that were tried.
    """

    def __init__(self, attempts: Sequence[TrialRequest]) -> None:
        super().__init__("no way finds the users")
        self.attempts = attempts


_MAY_BE_UNKNOWN = frozenset({TrialOutcome.EMPTY, TrialOutcome.ABSENT})
"""What becomes of a request for a user that the service does not know."""

_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


class _KeptTransport(httpx.AsyncBaseTransport):
    """Sends requests by a transport that stays open: opening one takes longer than a request."""

    def __init__(self, opened: httpx.AsyncBaseTransport) -> None:
        self._opened = opened

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and receive its answer."""
        return await self._opened.handle_async_request(request)


class _TrialPlace(Struct, frozen=True):
    """A place where users are looked for, and the transport to it."""

    collection: UserCollection
    opened: httpx.AsyncBaseTransport


class ServiceTrial:
    """Finds out how a service is asked for users.

    Args:
        source: The name of the source.
        auth: The credentials.
        users: The users to request.
        transports: Makes the transport to the service.
    """

    def __init__(
        self,
        source: str,
        auth: AuthSettings,
        users: TriedUsers,
        transports: TransportFactory = client_transport,
    ) -> None:
        self._source = source
        self._auth = auth
        self._users = users
        self._transports = transports
        self._attempts: list[TrialRequest] = []
        self._all = True  # whether a way has to find all users, or at least one
        self._schema: GatewaySchema | None = None  # built once: attempts differ in their requests

    async def run(self, address: GivenAddress) -> FoundService:
        """Try the ways at an address, the likeliest first.

        Args:
            address: What the operator says of the service.

        Returns:
            The best way that finds all users: one that finds several with one call, if there is
            one. If no way finds all, the best one that finds some.

        Raises:
            NotFoundError: No way does, or the service cannot be called.
        """
        self._all = True
        try:
            return await self._run(address)
        except NotFoundError as error:
            outcomes = {one.outcome for one in error.attempts}
            if len(self._users.ids) == 1 or not outcomes & _MAY_BE_UNKNOWN:
                raise
            self._all, self._attempts = False, []
            try:
                return await self._run(address)
            except NotFoundError:
                raise error from None

    async def _run(self, address: GivenAddress) -> FoundService:
        """Try the ways at an address."""
        where = SourceSettings(base_url=address.origin, auth=self._auth)
        async with self._transports(where) as opened:
            for number, place in enumerate(collections_of(address, self._source)):
                found = await self._at(place, opened)
                if found is not None:
                    return found
                last = self._attempts[-1]
                may_be_index = number == 0 and last.outcome is TrialOutcome.EMPTY
                if last.status not in _NOT_THERE and not may_be_index:
                    break  # the service has something there: users are not looked for elsewhere
        raise NotFoundError(self._attempts)

    async def _at(
        self, collection: UserCollection, opened: httpx.AsyncBaseTransport
    ) -> FoundService | None:
        """Try the ways at one place."""
        place = _TrialPlace(collection, opened)
        single = None if collection.by_path is None else await self._one(place, collection.by_path)
        for way in collection.by_query:
            found = await self._one(place, way)
            if found is None:
                if self._attempts[-1].status in _NOT_THERE:
                    break
                continue
            several = await self._several(place, way, found)
            if several is not None:
                return several
            single = single or (found if isinstance(found.request, EachRequest) else None)
        return single

    async def _one(self, place: "_TrialPlace", way: Way) -> FoundService | None:
        """Try the request for one user, for each user, and for one who does not exist."""
        by_path = way is place.collection.by_path
        attempts: list[TrialRequest] = []
        for user in self._users.ids:
            attempt = await self._try(place, way.one, [user], [user], by_path=by_path)
            if attempt.found is not None:
                attempts.append(attempt)
            elif self._all or attempt.outcome not in _MAY_BE_UNKNOWN:
                return None
        known = [user for one in attempts if one.found is not None for user in one.found.rows]
        if not known:
            return None
        keyless = attempts[0].found is not None and attempts[0].found.settings.key is None
        stranger = await self._try(
            place, way.one, [self._users.stranger], known[:1], by_path=by_path and keyless
        )
        self._attempts.pop()  # it is not expected to find anybody
        if stranger.outcome in {TrialOutcome.FOUND, TrialOutcome.IGNORED, TrialOutcome.SEVERAL}:
            self._attempts[-1] = replace(attempts[-1], outcome=TrialOutcome.IGNORED, found=None)
            return None
        status = {404: "absent"} if stranger.status == HTTPStatus.NOT_FOUND and not by_path else {}
        return self._found(place, way.one, attempts, status)

    async def _several(
        self, place: "_TrialPlace", way: Way, single: FoundService
    ) -> FoundService | None:
        """Try the requests for several users, with one who does not exist before or after them."""
        ids = single.users
        for request in way.several:
            before = await self._try(place, request, [self._users.stranger, *ids], ids)
            if before.found is None:
                continue
            after = await self._try(place, request, [*ids, self._users.stranger], ids)
            if after.found is not None:
                found = self._found(place, request, [after], single.answer.status)
                return replace(found, shown=single.shown)
        return None

    def _found(
        self,
        place: "_TrialPlace",
        request: RequestSettings,
        attempts: Sequence[TrialRequest],
        status: Mapping[int, object],
    ) -> FoundService:
        """Put together what was found."""
        found = [one.found for one in attempts if one.found is not None]
        rows: dict[str, Table] = {}
        for one in found:
            rows.update(one.rows)
        settings = found[0].settings.model_dump(exclude_defaults=True) | (
            {"status": dict(status)} if status else {}
        )
        known = [user for user in self._users.ids if user in rows]
        return FoundService(
            source=self._source,
            base_url=place.collection.base_url,
            request=request,
            answer=AnswerSettings.model_validate(settings),
            users=known,
            rows=[rows[user] for user in known],
            missing=[user for user in self._users.ids if user not in rows],
            shown=attempts[0].request,
            around=found[0].around,
        )

    async def _try(
        self,
        place: "_TrialPlace",
        request: RequestSettings,
        requested: Sequence[str],
        expected: Sequence[str],
        *,
        by_path: bool = False,
    ) -> TrialRequest:
        """Send one request, and judge its answer.

        Raises:
            NotFoundError: No request to the service can succeed.
        """
        source = SourceSettings(
            base_url=place.collection.base_url, auth=self._auth, request=request
        )
        field = UserFieldSettings(
            source=self._source, type="ID", value="id", description="Unused.", may="public"
        )
        settings = Settings(
            auth=OpenCallers(),
            user_id_pattern=self._users.pattern,
            schema=SchemaSettings(extends="none"),
            user={"requested": field},
            sources={self._source: source},
        )
        if self._schema is None:
            self._schema, _ = schema_for(settings)
        [result] = await probe(
            settings,
            requested,
            transports=lambda _: _KeptTransport(place.opened),
            schema=self._schema,
        )
        hiding = Redaction(settings)
        own = [one for one in result.exchanges if one.url.startswith(source.base_url)]
        if own:
            attempt = _judged(own[0], hiding, expected, by_path=by_path)
        else:
            why = "; ".join(str(error.get("message")) for error in result.errors)
            attempt = TrialRequest(
                place.collection.base_url, None, TrialOutcome.REFUSED, detail=hiding.text(why)
            )
        self._attempts.append(attempt)
        if attempt.outcome is TrialOutcome.SILENT or attempt.status == HTTPStatus.UNAUTHORIZED:
            raise NotFoundError(self._attempts)
        return attempt


def _judged(
    exchange: RecordedExchange, hiding: Redaction, expected: Sequence[str], *, by_path: bool
) -> TrialRequest:
    """Judge an answer by the rows of the users that are expected in it."""
    sent = TrialRequest(
        f"{exchange.method} {hiding.text(exchange.url)}", exchange.status, TrialOutcome.FOUND
    )
    if exchange.status is None:
        return replace(sent, outcome=TrialOutcome.SILENT, detail=_why_silent(exchange.failure))
    if exchange.status != HTTPStatus.OK:
        detail = exchange.answer_headers.get("location", "")
        return replace(sent, outcome=_outcome_of(exchange.status), detail=hiding.text(detail))
    try:
        answer: object = json.loads(exchange.answer)
    except (ValueError, RecursionError):
        is_page = exchange.answer.lstrip()[:1] == b"<"
        return replace(sent, outcome=TrialOutcome.HTML if is_page else TrialOutcome.NOT_JSON)
    found = find_rows(answer, expected)
    if found is None and by_path:
        found = row_without_key(answer, expected[0])
    return _with_rows(sent, found)


def _with_rows(sent: TrialRequest, found: FoundRows | None) -> TrialRequest:
    """Judge the rows in an answer."""
    if found is None:
        return replace(sent, outcome=TrialOutcome.EMPTY)
    if found.others:
        return replace(sent, outcome=TrialOutcome.IGNORED)
    if found.most > 1:
        return replace(sent, outcome=TrialOutcome.SEVERAL)
    return replace(sent, found=found)


def _why_silent(failure: str | None) -> str:
    """Say why there is no answer, by the type of the error."""
    if failure is None:
        return "no answer in time"
    # httpx-aiohttp calls a refused connection ``ConnectTimeout``, so its name says too much.
    return "no connection" if failure.startswith("Connect") else f"no answer ({failure})"


def _outcome_of(status: int) -> TrialOutcome:
    """Return what a status other than 200 means."""
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return TrialOutcome.DENIED
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return TrialOutcome.ABSENT
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return TrialOutcome.FAILING
    return TrialOutcome.MOVED if 300 <= status < 400 else TrialOutcome.REFUSED  # noqa: PLR2004 # RFC 9110, 15.4
