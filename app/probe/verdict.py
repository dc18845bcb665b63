"""What is right and wrong with a source, by the exchanges and rows that were recorded. Pure.

Rows are shown field by field. Secrets are removed from everything that is shown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from app.errors import Code
from app.probe.probe import ProbeResult
from app.probe.recorder import Exchange
from app.settings.nested import as_table
from app.settings.source import SourceSettings
from app.sources.failures import meaning_of
from app.sources.mapping.contract import FieldObservation, RowObservation


class ProbeModel(BaseModel):
    """Base of what is told."""

    model_config = ConfigDict(frozen=True)


class FieldCheck(ProbeModel):
    """A field of a record."""

    name: str = Field(description="What the record calls it.")
    expression: str | None = Field(description="What it is made by; null: the row has it so.")
    value: JsonValue = Field(description="What that gave. It may be personal.")
    type: str | None = Field(description="Of which type it is; null where it is wrong.")
    wrong: str | None = Field(description="Why it cannot be used.")


class RowCheck(ProbeModel):
    """A row, and the record that was made of it."""

    source: str = Field(description="Whose row it is.")
    key: str = Field(description="The key that it was asked for by.")
    wrong: str | None = Field(description="Why it is no record.")
    fields: tuple[FieldCheck, ...] = Field(description="Its fields.")


def row_check(row: RowObservation) -> RowCheck:
    """Tell what was made of a row.

    Args:
        row: The row.

    Returns:
        Its fields, with their values and types.
    """
    return RowCheck(
        source=row.source,
        key=row.key,
        wrong=row.mistake,
        fields=tuple(_field_check(one, row) for one in row.fields),
    )


def _field_check(field: FieldObservation, row: RowObservation) -> FieldCheck:
    """Tell what was made of a field."""
    made: object = field.value
    if row.record is not None:
        by_alias = {
            info.alias or name: name for name, info in type(row.record).model_fields.items()
        }
        made = getattr(row.record, by_alias[field.name])
    return FieldCheck(
        name=field.name,
        expression=field.expression,
        value=_plain(field.value),
        type=None if field.mistake is not None else _type_of(made),
        wrong=field.mistake,
    )


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 # decoded JSON, with decimal numbers
    """Write a value as JSON has it; a decimal number with all its digits, as text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType] # JSON
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # JSON
    plain: JsonValue = value
    return plain


def _type_of(value: object) -> str:  # noqa: PLR0911 # a table
    """Name the type of a value."""
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
        case list() | tuple():
            return f"list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType] # of any kind
        case _:
            return "object"


HIDDEN = "(secret)"

_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"}
)
_TOKEN = re.compile(r'("(?:access_token|refresh_token|id_token|client_secret)"\s*:\s*")[^"]*')
"""What a token endpoint answers (RFC 6749, section 5.1)."""

_LEAST = 4
"""Fewest characters of a secret that is looked for: what is shorter is in every text."""


class Redaction:
    """Hides secrets in texts.

    Args:
        settings: The settings, with the secrets in them.
        others: Secrets that are not in the settings.
    """

    def __init__(self, settings: BaseModel, others: Sequence[str] = ()) -> None:
        secrets = {one for one in (*_secrets(settings), *others) if len(one) >= _LEAST}
        encoded = {written for one in secrets for written in (quote(one, safe=""), quote_plus(one))}
        # The longest first: one may be within another.
        self._secrets = sorted(secrets | encoded, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Hide secrets in any text."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _TOKEN.sub(rf"\1{HIDDEN}", text)

    def header(self, name: str, value: str) -> str:
        """Hide what is secret in a header; all but the scheme where all of it is."""
        if name.lower() not in _SECRET_HEADERS:
            return self.text(value)
        scheme, _, rest = value.partition(" ")
        return f"{scheme} {HIDDEN}" if rest and name.lower().endswith("authorization") else HIDDEN


def _secrets(value: object) -> Iterator[str]:
    """Find the secrets in settings: those that are such, and what is in the query of an address."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and "://" in value:
        for parameter in value.partition("?")[2].split("&"):
            told = parameter.partition("=")[2]
            yield from (told, unquote_plus(told))
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
"""Failures that may be due to how a source is asked, or how its answers are read."""


class SourceCheck(ProbeModel):
    """How it is with a source. ``null`` stands for what could not be found out."""

    source: str = Field(description="Its name.")
    url: str = Field(description="Where it is.")
    called: bool = Field(description="Whether it was called at all.")
    reachable: bool | None = Field(description="Whether it answers.")
    authenticated: bool | None = Field(description="Whether it lets us in.")
    understood: bool | None = Field(description="Whether request and answer are as expected.")
    asked: int = Field(description="How many users were asked for.")
    found: int = Field(description="How many of them it knows.")
    expected: bool = Field(description="Whether it should know one of them at least.")
    calls: int = Field(description="How many calls that took.")
    seconds: float = Field(description="How long all of them took.")
    wrong: tuple[str, ...] = Field(description="What is wrong, in sentences.")
    rows: tuple[RowCheck, ...] = Field(description="What was made of its rows.")

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong and self.reachable is not False


def check_of(
    probed: ProbeResult, settings: SourceSettings, hiding: Redaction, *, expected: bool
) -> SourceCheck:
    """Judge a source.

    Args:
        probed: What came of asking it.
        settings: Its settings.
        hiding: Hides secrets.
        expected: Whether it should know one at least of the users that it was asked for.

    Returns:
        How it is.
    """
    # What gives the tokens for a source is not the source.
    own = [one for one in probed.own if one.url.startswith(settings.base_url)]
    others = [one for one in probed.own if one not in own]
    reachable = any(one.status is not None for one in own) if own else None
    authenticated = False if any(map(_no_token, others)) else _authenticated(own, settings)
    codes = {error.get("extensions", {}).get("code") for error in probed.errors}
    wrong = [
        sentence.removeprefix(f"{probed.source}: ")
        for sentence in dict.fromkeys((*_failures(probed), *_notes(probed.events)))
    ]
    understood = None
    if reachable and authenticated is not False and (not codes or codes & _MISUNDERSTOOD):
        understood = not wrong
    found = sum(user is not None for user in probed.users) - len(_failing(probed))
    if expected and probed.own and not found and not wrong:
        wrong.append(
            "none of the users asked for is known: check the ids, how they are asked for"
            " (`request`) and where rows have them (`answer.key`)"
        )
    return SourceCheck(
        source=probed.source,
        url=settings.base_url,
        called=bool(probed.own),
        reachable=reachable,
        authenticated=authenticated,
        understood=understood,
        asked=len(probed.ids),
        found=max(0, found),
        expected=expected,
        calls=len(own),
        seconds=probed.seconds,
        wrong=tuple(hiding.text(one) for one in wrong),
        rows=tuple(row_check(row) for one in own for row in one.rows),
    )


def _no_token(exchange: Exchange) -> bool:
    """Tell whether whoever gives tokens has refused one."""
    return exchange.status is not None and exchange.status >= HTTPStatus.BAD_REQUEST


def _authenticated(own: Sequence[Exchange], settings: SourceSettings) -> bool | None:
    """Tell whether a source let us in."""
    statuses = [one.status for one in own if one.status is not None]
    meanings = {status: meaning_of(status, settings.answer) for status in statuses}
    if any(
        meaning == "auth" or (meaning is None and status in _NO_ENTRY)
        for status, meaning in meanings.items()
    ):
        return False
    # 404 and 400 are what one who was let in is told, too.
    told = [status for status in statuses if status < HTTPStatus.INTERNAL_SERVER_ERROR]
    return True if told else None


def _failing(probed: ProbeResult) -> Mapping[int, Mapping[str, Any]]:
    """Find the users whose fields failed, by their place."""
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
    """Say what failed, as the gateway's clients are told."""
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
    """Say what the gateway would log as a warning or an error."""
    for event in events:
        if event.get("level") not in {"warning", "error"} or event["event"] == "graphql.operation":
            continue
        match event:
            case {"event": "source.fetch", "detail": detail, "source": source}:
                yield f"{source}: {detail}"
            case {"event": "source.question_ignored", "hint": hint, "source": source}:
                yield f"{source}: {hint}"
            case {"event": "source.odd_rows"}:
                yield from _odd(event)
            case _:
                left = {"event", "level", "request_id", "requests", "shared_by"}
                said = ", ".join(
                    f"{name} = {one}" for name, one in event.items() if name not in left
                )
                yield f"{event['event']}: {said}"


def _odd(event: Mapping[str, Any]) -> Iterator[str]:
    """Say what is odd about rows."""
    source = event["source"]
    if event["malformed"]:
        rows = "1 row does" if event["malformed"] == 1 else f"{event['malformed']} rows do"
        yield f"{source}: {rows} not fit: {event['first_malformed']}"
    if event["duplicate"]:
        yield f"{source}: {event['duplicate']} rows more than one for a user"
    if event["unasked"]:
        yield f"{source}: {event['unasked']} rows that nobody asked for"
