"""Checks of a source, made from the recorded exchanges and rows. Pure.

A check lists each row field by field. Secrets are removed from all texts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from app.errors import Code
from app.probe.probe import ProbeResult
from app.probe.recorder import RecordedExchange
from app.settings.nested import as_table
from app.settings.response import AnswerSettings
from app.settings.source import OWN_ADDRESS, SourceSettings
from app.sources.failures import meaning_of
from app.sources.mapping.contract import FieldObservation, RowObservation
from app.sources.mapping.paging import lacks_total


class ProbeModel(BaseModel):
    """Base of the parts of a check. Values are immutable."""

    model_config = ConfigDict(frozen=True)


class FieldCheck(ProbeModel):
    """The check of one field of a row."""

    name: str = Field(
        description="Name of the field in the record; `key of billing` for the key of a source."
    )
    expression: str | None = Field(
        description="Expression that read the value; null if the row has the field itself."
    )
    value: JsonValue = Field(description="The value. It may be personal data.")
    type: str | None = Field(description="Type of the value; null if the value is wrong.")
    wrong: str | None = Field(description="Why the value cannot be used; null if it can.")


class RowCheck(ProbeModel):
    """The check of one row."""

    source: str = Field(description="Source of the row.")
    key: str = Field(description="Key for which the row was requested; of an item, its own key.")
    wrong: str | None = Field(description="Why the row is not a valid record; null if it is one.")
    fields: tuple[FieldCheck, ...] = Field(
        description="Checks of its fields, and of the keys of other sources in it."
    )


def row_check(row: RowObservation) -> RowCheck:
    """Check one row.

    Args:
        row: The row, with the values that were read from it.

    Returns:
        The check, with values and types of all fields.
    """
    return RowCheck(
        source=row.source,
        key=row.key,
        wrong=row.mistake,
        fields=tuple(map(_field_check, row.fields)),
    )


def _field_check(field: FieldObservation) -> FieldCheck:
    """Check one field of a row."""
    return FieldCheck(
        name=field.name,
        expression=field.expression,
        value=_plain(field.value),
        type=None if field.mistake is not None else _type_of(field.made),
        wrong=field.mistake,
    )


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 # decoded JSON, with decimal numbers
    """Convert a value to JSON types; a decimal number to a text with all its digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType] # JSON
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # JSON
    plain: JsonValue = value
    return plain


def _type_of(value: object) -> str:  # noqa: PLR0911 # a table
    """Return the type of a value in words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return "whole number"
        case float() | Decimal():
            return "number"
        case str():
            return "text"
        case datetime():
            return "time"
        case date():
            return "day"
        case list() | tuple():
            return f"list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType] # of any kind
        case _:
            return "object"


HIDDEN = "(secret)"

_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"}
)
_TOKEN = re.compile(r'("(?:access_token|refresh_token|id_token|client_secret)"\s*:\s*")[^"]*')
"""The secrets in the answer of a token endpoint (RFC 6749, section 5.1)."""

_LEAST = 4
"""Fewest characters of a secret that is hidden. Shorter ones occur in many texts by chance."""


class Redaction:
    """Hides secrets in texts.

    Args:
        settings: Settings whose secrets are hidden.
        others: Further secrets.
    """

    def __init__(self, settings: BaseModel, others: Sequence[str] = ()) -> None:
        secrets = {one for one in (*_secrets(settings), *others) if len(one) >= _LEAST}
        encoded = {written for one in secrets for written in (quote(one, safe=""), quote_plus(one))}
        # The longest first: one may be within another.
        self._secrets = sorted(secrets | encoded, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Hide the secrets in a text.

        Args:
            text: The text.

        Returns:
            The text with "(secret)" in the place of each secret.
        """
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _TOKEN.sub(rf"\1{HIDDEN}", text)

    def header(self, name: str, value: str) -> str:
        """Hide the secrets in the value of a header.

        Args:
            name: The name of the header.
            value: Its value.

        Returns:
            The value without secrets. In headers for credentials, only the scheme is kept.
        """
        if name.lower() not in _SECRET_HEADERS:
            return self.text(value)
        scheme, _, rest = value.partition(" ")
        return f"{scheme} {HIDDEN}" if rest and name.lower().endswith("authorization") else HIDDEN


def _secrets(value: object) -> Iterator[str]:
    """Find the secrets in settings: secret values, and the parameters of addresses."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and "://" in value:
        for parameter in value.partition("?")[2].split("&"):
            written = parameter.partition("=")[2]
            yield from (written, unquote_plus(written))
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from _secrets(inner)
    elif (table := as_table(value)) is not None:
        for inner in table.values():
            yield from _secrets(inner)
    elif isinstance(value, tuple | list):
        for inner in cast("Sequence[object]", value):
            yield from _secrets(inner)


_NO_ENTRY = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


_MISUNDERSTOOD = {Code.SOURCE_MALFORMED, Code.SOURCE_REJECTED}
"""Failures that may come from wrong settings of requests or answers."""


class SourceCheck(ProbeModel):
    """The check of one source. ``null`` means that the check could not find this out."""

    source: str = Field(description="Name of the source.")
    url: str = Field(description="Base address of its service.")
    called: bool = Field(description="Whether the service was called at all.")
    reachable: bool | None = Field(description="Whether the service sent an answer.")
    authenticated: bool | None = Field(description="Whether it accepted the credentials.")
    understood: bool | None = Field(
        description="Whether it understood the request, and its answers could be read."
    )
    asked: int = Field(description="Number of requested users.")
    found: int = Field(description="Number of requested users that the source knows.")
    expected: bool = Field(description="Whether it should know at least one of them.")
    calls: int = Field(description="Number of calls to the service.")
    seconds: float = Field(description="Time of the source, in seconds.")
    items: int | None = Field(
        default=None, description="Number of items on the first page of a list; null for a source."
    )
    wrong: tuple[str, ...] = Field(description="Mistakes, each as a sentence.")
    notes: tuple[str, ...] = Field(
        default=(), description="What works now and may fail one day, each as a sentence."
    )
    rows: tuple[RowCheck, ...] = Field(
        description="Checks of the rows in its answers; of a list, those of the first items."
    )

    @property
    def well(self) -> bool:
        """Whether the check found no mistake."""
        return not self.wrong and self.reachable is not False


def _fetches(probed: ProbeResult) -> Sequence[Mapping[str, Any]]:
    """Return the logged calls to a source that a module brings, which are no exchanges."""
    return [
        event
        for event in probed.events
        if event.get("event") == "source.fetch"
        and ".".join(str(event[one]) for one in ("source", "list") if one in event) == probed.source
    ]


def check_of(
    probed: ProbeResult,
    settings: SourceSettings,
    hiding: Redaction,
    *,
    expected: bool,
    stranger: ProbeResult | None = None,
) -> SourceCheck:
    """Check a source, or a list of one.

    Args:
        probed: The recorded result of its operation.
        settings: The settings of the source.
        hiding: Hides secrets.
        expected: Whether the source should know at least one of the requested users.
        stranger: The recorded result for a user who does not exist; ``None`` if there is none.

    Returns:
        The check.
    """
    # The server that issues tokens for a source is not the source.
    own = [one for one in probed.own if one.url.startswith(settings.base_url)]
    others = [one for one in probed.own if one not in own]
    fetches = _fetches(probed) if settings.base_url == OWN_ADDRESS else ()
    called = bool(probed.own or fetches)
    reachable = any(one.status is not None for one in own) if own else None
    if fetches:
        reachable = any(one.get("outcome") == "ok" for one in fetches)
    authenticated = None if not own else _authenticated(own, _answer_of(probed, settings))
    if any(map(_no_token, others)):
        authenticated = False
    codes = {error.get("extensions", {}).get("code") for error in probed.errors}
    strange = () if stranger is None else stranger.own
    sentences = dict.fromkeys(
        (*_failures(probed), *_notes(probed.events), *probed.notes, *_same_answers(own, strange))
    )
    wrong = [
        sentence.removeprefix(f"{probed.source}: ").removeprefix(f"{probed.service}: ")
        for sentence in sentences
    ]
    understood = None
    if reachable and authenticated is not False and (not codes or codes & _MISUNDERSTOOD):
        understood = not wrong
    failing = _failing(probed)
    is_list = probed.items is not None
    found = sum(
        user is not None
        and ((number not in failing and not is_list) or any(map(_is_there, user.values())))
        for number, user in enumerate(probed.users)
    )
    if expected and called and not found and not wrong:
        by_http, by_module = _UNKNOWN_LIST if is_list else _UNKNOWN_USERS
        wrong.append(by_module if settings.base_url == OWN_ADDRESS else by_http)
    rows = [row_check(row) for one in own for row in one.rows]
    return SourceCheck(
        source=probed.source,
        url=settings.base_url,
        called=called,
        reachable=reachable,
        authenticated=authenticated,
        understood=understood,
        asked=len(probed.ids),
        found=found,
        expected=expected,
        calls=len(own) + len(fetches),
        seconds=probed.seconds,
        wrong=tuple(hiding.text(one) for one in wrong),
        notes=tuple(
            hiding.text(one)
            for one in (*probed.unchecked, *_unbounded(own, _answer_of(probed, settings)))
        ),
        items=None if probed.items is None else len(probed.items),
        rows=tuple(shown_rows(rows) if is_list else rows),
    )


_UNKNOWN_USERS = (
    (
        "none of the requested users is known: check the ids, how requests name them (`request`)"
        " and where rows have them (`answer.key`)"
    ),
    "none of the requested users is known: check the ids, and by which keys the module gives rows",
)
"""What is wrong with a service, and with a source of a module."""

_UNKNOWN_LIST = (
    (
        "the service does not know the user there, by the status of its answer: check `path`, where"
        " the user is in it, and `status`"
    ),
    (
        "the module gives None in the place of the page, which means that it does not know the"
        " user: expected a page without items if the list is empty"
    ),
)
"""The same for a list."""

MAX_ITEMS = 5
"""Most items of a list that are shown, without those that are wrong."""


def shown_rows(rows: Sequence[RowCheck]) -> Sequence[RowCheck]:
    """Choose the items of a list that are shown.

    Args:
        rows: The checks of all items.

    Returns:
        Those of the first items, and of those that are wrong.
    """
    return [row for number, row in enumerate(rows) if number < MAX_ITEMS or row.wrong is not None]


def _answer_of(probed: ProbeResult, settings: SourceSettings) -> AnswerSettings | None:
    """Return the settings for the answers of a source, or of a list of one."""
    if probed.items is None:
        return settings.answer
    own = settings.lists.get(probed.source.partition(".")[2])
    return None if own is None else own.answer


def _is_there(value: object) -> bool:
    """Return whether a field has a value."""
    return value is not None


def _same_answers(
    own: Sequence[RecordedExchange], strange: Sequence[RecordedExchange]
) -> Iterator[str]:
    """Find rows that are the same for all users.

    A row that does not say whose it is belongs to the user of its request. If the service ignores
    the user in the request, each user gets the same row. Two users may be the same in everything
    that a service says of them; a user who does not exist is not. What is around the rows does not
    count, because it may have the time or an id of the request.
    """
    users_of: dict[str, list[str]] = {}
    for exchange in (*own, *strange):
        rows = exchange.rows if exchange.status == HTTPStatus.OK else ()
        keys = {row.key for row in rows}
        for row in rows if strange or len(keys) == 1 else ():
            users = users_of.setdefault(repr(row.row), [])
            if row.key not in users and row.row not in ({}, []):  # no row at all
                users.append(row.key)
    unknown = {row.key for exchange in strange for row in exchange.rows}
    if len(users_of) != 1:
        return
    [users] = users_of.values()
    if len(users) > 1 and (not strange or not unknown.isdisjoint(users)):
        named = [f"{one} (who does not exist)" if one in unknown else one for one in users]
        yield (
            f"the answers for {' and '.join(named)} are the same: check that `request` names"
            " the user as the service expects it"
        )


def _unbounded(own: Sequence[RecordedExchange], answer: AnswerSettings | None) -> Iterator[str]:
    """Find an answer that looks complete, and of which the service does not say that it is."""
    settings = answer or AnswerSettings()
    for exchange in own if settings.many else ():
        if exchange.status == HTTPStatus.OK and lacks_total(exchange.answer_headers, settings.more):
            found = exchange.answer_headers["content-range"]
            yield (
                f"the service does not say how many rows there are (`Content-Range: {found}`), so"
                " an answer that it cuts off looks complete: request the number, for example with"
                ' `headers = { Prefer = "count=exact" }` in `request`, or set'
                " `more.offset_parameter` in `answer`"
            )
            return


def _no_token(exchange: RecordedExchange) -> bool:
    """Return whether the server that issues tokens has refused one."""
    return exchange.status is not None and exchange.status >= HTTPStatus.BAD_REQUEST


def _authenticated(own: Sequence[RecordedExchange], answer: AnswerSettings | None) -> bool | None:
    """Return whether a source accepted the credentials; ``None`` if that is not known."""
    statuses = [one.status for one in own if one.status is not None]
    meanings = {status: meaning_of(status, answer) for status in statuses}
    if any(
        meaning == "auth" or (meaning is None and status in _NO_ENTRY)
        for status, meaning in meanings.items()
    ):
        return False
    # A service sends 404 or 400 after it has accepted the credentials; 500 may come before.
    accepted = [status for status in statuses if status < HTTPStatus.INTERNAL_SERVER_ERROR]
    return True if accepted else None


def _failing(probed: ProbeResult) -> Mapping[int, Mapping[str, Any]]:
    """Return the first error of each user whose fields failed, by the user's position."""
    failing: dict[int, Mapping[str, Any]] = {}
    for error in probed.errors:
        path: list[object] = error.get("path") or []
        match path:
            case ["users", int(number), *_]:
                failing.setdefault(number, error)
            case _:
                pass
    return failing


def _failures(probed: ProbeResult) -> Iterator[str]:
    """Write the failures, with the messages in the gateway's response."""
    failing = _failing(probed)
    by_message: dict[str, list[str]] = {}
    for number, error in failing.items():
        code = error.get("extensions", {}).get("code", "")
        by_message.setdefault(f"{code}: {error['message']}", []).append(probed.ids[number])
    for message, ids in by_message.items():
        whose = "" if len(ids) == len(probed.ids) else f" ({', '.join(ids)})"
        yield message + whose
    for error in probed.errors:
        if not failing and error.get("message"):
            yield str(error["message"])


def _notes(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write the warnings and errors in the gateway's log."""
    for event in events:
        if event.get("level") not in {"warning", "error"} or event["event"] == "graphql.operation":
            continue
        match event:
            case {"event": "source.fetch", "detail": detail, "source": source}:
                yield f"{source}: {detail}"
            case {"event": "source.question_ignored", "hint": hint, "source": source}:
                yield f"{source}: {hint}"
            case {"event": "source.odd_page", "detail": detail, "source": source}:
                yield f"{source}: {detail}"
            case {"event": "source.odd_rows"}:
                yield from _odd(event)
            case _:
                omitted = {"event", "level", "request_id", "requests", "shared_by"}
                details = ", ".join(
                    f"{name} = {one}" for name, one in event.items() if name not in omitted
                )
                yield f"{event['event']}: {details}"


def _odd(event: Mapping[str, Any]) -> Iterator[str]:
    """Write the mistakes in rows that do not fit the request or the record."""
    source = event["source"]
    if event["malformed"]:
        rows = "1 row does" if event["malformed"] == 1 else f"{event['malformed']} rows do"
        yield f"{source}: {rows} not fit: {event['first_malformed']}"
    if event["duplicate"]:
        yield f"{source}: {event['duplicate']} rows repeat a user"
    if event["unasked"]:
        yield f"{source}: {event['unasked']} rows are of users that were not requested"
