"""The rows of docs/operations/log-events.md: levels and keys are read from the code.

The meaning of an event, and what to do about it, is written by hand.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.docs.pages import ROOT

EVENT = re.compile(
    r"(?:gateway|admin|worker|http|graphql|auth|source|extension|fastpath|cache|store)\.[a-z_]+"
)
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| (.*?) ?\| (.*) \|$", re.MULTILINE)
"""A row of an event: name, levels, keys and meaning."""

LEVELS = ("debug", "info", "warning", "error")
LEVEL_WORDS = re.compile(r"\b(debug|info|warning|error|warn)\b", re.IGNORECASE)

ALWAYS_SEVERE = {"source.question_ignored": {"error"}}
"""Events of which only one of the levels in the code is used."""

OF_THE_CALL = {"request_id"}
"""Keys that the page names once, for all events of a request."""


@dataclass(slots=True)
class LoggedEvent:
    """The levels and keys of one event, on the page or in the code.

    Attributes:
        levels: Its levels.
        keys: The names of its values.
    """

    levels: set[str] = field(default_factory=set[str])
    keys: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class LoggingCode:
    """The log events of the code.

    Attributes:
        events: The events by name, without keys that are composed in other places.
        words: All names and texts of the code; each key of an event is one of them.
    """

    events: Mapping[str, LoggedEvent]
    words: frozenset[str]


@cache
def logging_code() -> LoggingCode:
    """Read all calls that log an event. The result is cached, because parsing takes long.

    Returns:
        The events.
    """
    found: dict[str, LoggedEvent] = defaultdict(LoggedEvent)
    words: set[str] = set()
    for file in (ROOT / "app").rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        words.update(_words_in(tree))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            names = [one.value for one in call.args if isinstance(one, ast.Constant)]
            for name in names:
                if isinstance(name, str) and EVENT.fullmatch(name):
                    where = ast.unparse(call.func) + " ".join(map(ast.unparse, call.args[:2]))
                    if levels := LEVEL_WORDS.findall(where.replace(name, "")):
                        found[name].levels |= {_level_of(one) for one in levels}
                        found[name].keys |= _keys_of(call) - OF_THE_CALL
    for event, severe in ALWAYS_SEVERE.items():
        found[event].levels = severe
    return LoggingCode(found, frozenset(words))


def events_of(page: str) -> Mapping[str, LoggedEvent]:
    """Read the rows of the page.

    Args:
        page: The page.

    Returns:
        The events by name.
    """
    rows: list[tuple[str, str, str, str]] = ROW.findall(page)
    return {
        name: LoggedEvent({*levels.split(", ")}, {*_names(keys)}) for name, levels, keys, _ in rows
    }


def log_events_page(page: str) -> str:
    """Write the levels and keys of the rows again. The events and the order of rows do not change.

    Args:
        page: The page as it is.

    Returns:
        The page with the levels and keys of the code. A key that the code does not have anywhere is
        left out. Rows of events that do not exist stay: a test finds them, and events without a
        row.
    """
    code = logging_code()

    def row(found: re.Match[str]) -> str:
        name, _, keys, meaning = found.groups()
        event = code.events.get(name)
        if event is None:
            return found[0]
        known = [one for one in _names(keys) if one in code.words]
        every = ", ".join(f"`{one}`" for one in (*known, *sorted(event.keys - {*known})))
        levels = ", ".join(one for one in LEVELS if one in event.levels)
        return f"| `{name}` | {levels} | {f'{every} ' if every else ''}| {meaning} |"

    return ROW.sub(row, page)


def _names(keys: str) -> Collection[str]:
    """Return the names in a column of keys."""
    return re.findall(r"`(\w+)`", keys)


def _words_in(tree: ast.AST) -> Iterator[str]:
    """List the names and texts of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg


def _level_of(word: str) -> str:
    """Return the level that a word in the code means."""
    return {"warn": "warning"}.get(word.lower(), word.lower())


def _keys_of(call: ast.Call) -> set[str]:
    """Return the names of the values: keywords, and the keys of dicts that are unpacked."""
    names = {one.arg for one in call.keywords if one.arg is not None}
    for one in call.keywords:
        if one.arg is None:
            dicts = [node for node in ast.walk(one.value) if isinstance(node, ast.Dict)]
            keys = [key for node in dicts for key in node.keys]
            names |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return names - {"severe"}
