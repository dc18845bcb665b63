"""The page of log events and the code have the same events, levels and keys."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import pytest

from tests.conftest import APP

PAGE = APP.parent / "docs" / "operations" / "log-events.md"
EVENT = re.compile(
    r"(?:gateway|admin|worker|http|graphql|auth|source|extension|fastpath|cache|store)\.[a-z_]+"
)
LEVEL_WORDS = re.compile(r"\b(debug|info|warning|error|warn)\b", re.IGNORECASE)
BEYOND_CODE = {"log.dropped", "server.message", "telemetry.message"}
"""Events of the page whose names are not written where they are logged."""

OF_THE_CALL = {"request_id"}
"""Keys that the page names once, for all events of a request."""


@dataclass(slots=True)
class LoggedEvent:
    """What one event has, by the page or by the code.

    Attributes:
        levels: Its levels.
        keys: The names of its values.
    """

    levels: set[str] = field(default_factory=set[str])
    keys: set[str] = field(default_factory=set[str])


def events_of_page() -> Mapping[str, LoggedEvent]:
    """Read the tables of the page."""
    row = re.compile(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| (.*?) \|", re.MULTILINE)
    rows: list[tuple[str, str, str]] = row.findall(PAGE.read_text("utf-8"))
    return {
        name: LoggedEvent(set(levels.split(", ")), set(re.findall(r"`(\w+)`", keys)))
        for name, levels, keys in rows
    }


@cache
def events_of_code() -> Mapping[str, LoggedEvent]:
    """Read the calls that log an event, once: parsing all of the code takes long."""
    found: dict[str, LoggedEvent] = defaultdict(LoggedEvent)
    for file in APP.rglob("*.py"):
        for call in calls_in(ast.parse(file.read_text("utf-8"))):
            names = [one.value for one in call.args if isinstance(one, ast.Constant)]
            for name in names:
                if isinstance(name, str) and EVENT.fullmatch(name):
                    where = ast.unparse(call.func) + " ".join(map(ast.unparse, call.args[:2]))
                    if levels := LEVEL_WORDS.findall(where.replace(name, "")):
                        found[name].levels |= {level_of(one) for one in levels}
                        found[name].keys |= keys_of(call) - OF_THE_CALL
    return found


def calls_in(tree: ast.AST) -> Iterator[ast.Call]:
    """List the calls of a file."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def level_of(word: str) -> str:
    """Return the level that a word in the code means."""
    return {"warn": "warning"}.get(word.lower(), word.lower())


def keys_of(call: ast.Call) -> set[str]:
    """Return the names of the values: keywords, and the keys of dicts that are unpacked."""
    names = {one.arg for one in call.keywords if one.arg is not None}
    for one in call.keywords:
        if one.arg is None:
            dicts = [node for node in ast.walk(one.value) if isinstance(node, ast.Dict)]
            keys = [key for node in dicts for key in node.keys]
            names |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    if "severe" in names:
        names.remove("severe")
    return names


def test_the_page_has_the_events_of_the_code() -> None:
    assert events_of_page().keys() - BEYOND_CODE == events_of_code().keys()


@pytest.mark.parametrize("name", sorted(events_of_page().keys() - BEYOND_CODE))
def test_an_event_has_the_levels_and_keys_that_the_page_says(name: str) -> None:
    on_page, in_code = events_of_page()[name], events_of_code()[name]

    severe = {"error"} if name == "source.question_ignored" else in_code.levels
    assert on_page.levels == severe
    assert in_code.keys <= on_page.keys
