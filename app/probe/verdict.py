"""What is right and what is wrong with a source, by what came of asking it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import Field

from app.errors import Code
from app.probe.exchange import Exchange
from app.probe.fields import RowCheck, Told, row_check
from app.probe.hiding import Hiding
from app.probe.probe import Probed
from app.shapes.source import SourceSettings
from app.sources.statuses import meaning_of

_NO_ENTRY = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


_MISUNDERSTOOD = {Code.SOURCE_MALFORMED, Code.SOURCE_REJECTED}
"""Failures that may be due to how a source is asked, or how its answers are read."""


class SourceCheck(Told):
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
    probed: Probed, settings: SourceSettings, hiding: Hiding, *, expected: bool
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


def _failing(probed: Probed) -> Mapping[int, Mapping[str, Any]]:
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


def _failures(probed: Probed) -> Iterator[str]:
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
