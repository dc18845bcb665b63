"""Markers: texts like no others, planted in what comes in and looked for in what comes out.

A marker is of a kind (``header.cookie``), and so is each place where something comes out: a header
of an answer, its data, a message of its errors, a value of an event in the log.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast, get_args
from urllib.parse import quote

import httpx
import orjson
from pydantic import BaseModel, SecretStr

_MARKER = re.compile(r"zq7([a-z_]+)7qz")


def marker(kind: str) -> str:
    """Make the marker of a kind: it can stand as a name, an id, a token, a key."""
    return f"zq7{kind}7qz"


@lru_cache(maxsize=10_000)
def kinds_in(text: str) -> frozenset[str]:
    """Find which markers a text has in it, plain or in any encoding that something here writes.

    Most texts come again and again: the same error for each field of each user.
    """
    found = {kind.lower() for kind in _MARKER.findall(text.lower())}
    for word in re.findall(r"[A-Za-z0-9+/_-]{16,}={0,2}", text):
        raw = word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4)
        try:
            decoded = base64.b64decode(raw)
        except ValueError:
            continue
        found |= set(_MARKER.findall(decoded.decode("latin-1")))
    return frozenset(found | set(_MARKER.findall(quote(text))))


def outlets_of(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """List where something comes out in an answer, and what does."""
    yield "reason", response.reason_phrase
    for name, value in response.headers.multi_items():
        yield f"header {name}", f"{name}: {value}"
    if response.headers.get("content-type", "").partition(";")[0].endswith("json"):
        answers: list[Any] | dict[str, Any] = orjson.loads(response.content)
        for answer in answers if isinstance(answers, list) else [answers]:
            yield from _outlets_of_answer(answer)
    else:
        yield "body", response.text


def _outlets_of_answer(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """List where something comes out in the JSON of an answer."""
    for name, value in answer.items():
        if name == "errors":
            for error in value:
                for part, told in error.items():
                    yield f"errors {part}", str(told)
        elif name == "extensions":
            for part, told in value.items():
                yield f"extensions {part}", str(told)
        elif name == "data":
            yield name, str(value)
        else:
            yield f"answer {name}", str(value)


def outlets_of_log(log: str) -> Iterator[tuple[str, str]]:
    """List where something comes out in the log."""
    for line in log.splitlines():
        event: Mapping[str, object] = orjson.loads(line)
        for name, value in event.items():
            # The ids of requests are in every event that is of one.
            own = name not in {"request_id", "requests"}
            where = f"log {event['event']} {name}" if own else "log request_id"
            yield where, f"{name}: {value}"


def secret_places(model: type[BaseModel]) -> set[str]:
    """Find every field of settings, in whatever they are made of, that holds a secret."""
    found: set[str] = set()
    seen: set[object] = set()

    def visit(annotation: object, place: str) -> None:
        if annotation is SecretStr:
            found.add(place)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in seen:
                seen.add(annotation)
                for name, field in annotation.model_fields.items():
                    visit(field.annotation, f"{annotation.__name__}.{name}")
        else:
            for part in get_args(annotation):
                visit(part, place)

    visit(model, "")
    return found


def secrets_of(settings: object) -> Iterator[tuple[str, str]]:
    """List the secrets that settings have, with the fields in which they are."""
    if isinstance(settings, BaseModel):
        for name, value in settings:
            if isinstance(value, SecretStr):
                yield f"{type(settings).__name__}.{name}", value.get_secret_value()
            yield from secrets_of(value)
    elif isinstance(settings, Mapping):
        for value in cast("Mapping[object, object]", settings).values():
            yield from secrets_of(value)
    elif isinstance(settings, list | tuple):
        for value in cast("list[object]", settings):
            yield from secrets_of(value)
