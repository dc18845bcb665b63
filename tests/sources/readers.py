"""Reads the forms of requests as servers do, independently of the code that writes them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote


class ReadableRequest(Protocol):
    """A request, made or seen."""

    @property
    def path(self) -> str:
        """Where it goes, without a query."""
        ...

    @property
    def target(self) -> str:
        """Path and query."""
        ...

    @property
    def body(self) -> bytes:
        """Its body."""
        ...


Reader = Callable[[ReadableRequest], list[str]]
"""Reads the keys out of a request, as a server would."""


def parameters(ask: ReadableRequest) -> list[tuple[str, str]]:
    """Read the query."""
    path, _, query = ask.target.partition("?")
    assert path == ask.path
    return parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=999)


def only(ask: ReadableRequest, name: str) -> str:
    """Read the only parameter."""
    [(found, value)] = parameters(ask)
    assert found == name
    return value


def literals(text: str, quote: str, escape: str, between: str) -> list[str]:
    """Read quoted literals, to the end of a text."""
    found: list[str] = []
    place = 0
    while True:
        assert text[place] == quote
        value, place = literal(text, place + 1, quote, escape)
        found.append(value)
        if place == len(text):
            return found
        assert text.startswith(between, place)
        place += len(between)


def literal(text: str, place: int, quote: str, escape: str) -> tuple[str, int]:
    """Read one literal, and find where it ends."""
    if escape == "json":
        return json.decoder.scanstring(text, place, True)  # type: ignore[attr-defined, no-any-return] # noqa: FBT003 # what json itself reads strings by
    value = ""
    while text[place] != quote or (escape == "double" and text.startswith(quote * 2, place)):
        if (escape == "backslash" and text[place] == "\\") or text[place] == quote:
            place += 1
        value += text[place]
        place += 1
    return value, place + 1


def within(text: str, start: str, end: str) -> str:
    """Remove the start and the end of a text."""
    assert text.startswith(start)
    assert text.endswith(end)
    return text[len(start) : len(text) - len(end)]


def read_repeated(ask: ReadableRequest) -> list[str]:
    """Read ``?id=a&id=b``."""
    assert {name for name, _ in parameters(ask)} == {"id"}
    return [value for _, value in parameters(ask)]


def read_comma_list(ask: ReadableRequest) -> list[str]:
    """Read ``?ids=a,b`` like services that trim the parts and drop empty ones."""
    return [one.strip() for one in only(ask, "ids").split(",") if one.strip()]


def read_bars(ask: ReadableRequest) -> list[str]:
    """Read ``?ids=<a|b>``."""
    return within(only(ask, "ids"), "<", ">").split("|")


def read_postgrest(ask: ReadableRequest) -> list[str]:
    """Read ``?id=in.("a","b")``."""
    return literals(within(only(ask, "id"), "in.(", ")"), '"', "backslash", ",")


def read_bare_postgrest(ask: ReadableRequest) -> list[str]:
    """Read ``?id=in.(a,b)``; a literal in quotes would be another one without them."""
    text = within(only(ask, "id"), "in.(", ")")
    assert '"' not in text
    assert "(" not in text
    assert ")" not in text
    return text.split(",")


def read_odata(ask: ReadableRequest) -> list[str]:
    """Read ``?$filter=id in ('a','b')``."""
    return literals(within(only(ask, "$filter"), "id in (", ")"), "'", "double", ",")


def read_csv(ask: ReadableRequest) -> list[str]:
    """Read ``?ids="a","b"``."""
    return literals(only(ask, "ids"), '"', "double", ",")


def read_scim(ask: ReadableRequest) -> list[str]:
    """Read ``?filter=id eq "a" or id eq "b"``, whose literals are those of JSON (RFC 7644)."""
    expression = within(only(ask, "filter"), "id eq ", "")
    return literals(expression, '"', "json", " or id eq ")


def read_lucene(ask: ReadableRequest) -> list[str]:
    """Read ``?q=user_id:("a" OR "b")``."""
    return literals(within(only(ask, "q"), "user_id:(", ")"), '"', "backslash", " OR ")


def read_plain_filter(ask: ReadableRequest) -> list[str]:
    """Read a filter whose literals have nothing to escape."""
    expression = within(only(ask, "filter"), "(id eq '", "')")
    assert not set("\\\r\n\x00") & set(expression)
    found = expression.split("' or id eq '")
    assert not [one for one in found if "'" in one]
    return found


def read_bare_filter(ask: ReadableRequest) -> list[str]:
    """Read ``?filter=id eq 1 or id eq 2``, in which a word would be the name of an attribute."""
    found = within(only(ask, "filter"), "id eq ", "").split(" or id eq ")
    assert all(
        re.fullmatch(r"0|[1-9][0-9]*|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4,12}){4}", one) for one in found
    )
    return found


def read_ids(ask: ReadableRequest) -> list[str]:
    """Read ``{"ids": ["a", "b"], "active": true}``."""
    body = json.loads(ask.body)
    assert body.keys() == {"ids", "active"}
    assert body["active"] is True
    return list(body["ids"])


def read_inputs(ask: ReadableRequest) -> list[str]:
    """Read ``{"inputs": [{"id": "a", "ref": "a"}, {"id": "b", "ref": "b"}]}``."""
    body = json.loads(ask.body)
    assert body.keys() == {"inputs"}
    assert all(one.keys() == {"id", "ref"} for one in body["inputs"])
    assert all(one["id"] == one["ref"] for one in body["inputs"])
    return [one["id"] for one in body["inputs"]]


def read_urls(ask: ReadableRequest) -> list[str]:
    """Read ``{"requests": [{"id": "a", "url": "/users/a/card?of=a&all=1"}]}``."""
    found: list[str] = []
    for one in json.loads(ask.body)["requests"]:
        path, _, query = one["url"].partition("?")
        empty, users, key, card = unquote(path).replace("\\", "/").split("/")
        assert (empty, users, card) == ("", "users", "card")
        assert parse_qsl(query, keep_blank_values=True) == [("of", key), ("all", "1")]
        assert one == {"id": key, "url": one["url"]}
        found.append(key)
    return found


def read_quoted_text(ask: ReadableRequest) -> list[str]:
    """Read ``[{"filter": "id eq 'a'"}]``."""
    texts = [within(one["filter"], "id eq ", "") for one in json.loads(ask.body)]
    return [literals(text, "'", "double", "nothing")[0] for text in texts]


def read_equals(ask: ReadableRequest) -> list[str]:
    """Read ``?user_id=eq.a``."""
    return [within(only(ask, "user_id"), "eq.", "")]


def read_terms(ask: ReadableRequest) -> list[str]:
    """Read ``?q=id:a&q=id:b``."""
    found = [within(value, "id:", "") for _, value in parameters(ask)]
    assert not any(":" in key for key in found)
    return found


def read_twice(ask: ReadableRequest) -> list[str]:
    """Read ``/users/a/of/a?by=a``."""
    path, _, query = ask.target.partition("?")
    empty, users, key, of, again = unquote(path).replace("\\", "/").split("/")
    assert (empty, users, of, again) == ("", "users", "of", key)
    assert parse_qsl(query, keep_blank_values=True) == [("by", key)]
    return [key]


def read_requests(ask: ReadableRequest) -> list[str]:
    """Read ``{"requests": [{"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "b", …}, …]}``."""
    body = json.loads(ask.body)
    assert body.keys() == {"requests"}
    keys = [one["id"] for one in body["requests"][::2]]
    assert body["requests"] == [{"id": key, "n": number} for key in keys for number in (1, 2)]
    return keys


def read_numbers(ask: ReadableRequest) -> list[str]:
    """Read ``[{"id": 1}, {"id": 2}]``."""
    found = [one["id"] for one in json.loads(ask.body)]
    assert all(isinstance(one, int) for one in found)
    return [str(one) for one in found]


def read_path(ask: ReadableRequest) -> list[str]:
    """Read ``/users/a/card`` like a server that decodes a path before it splits it."""
    assert "?" not in ask.target
    empty, users, key, card = unquote(ask.target).replace("\\", "/").split("/")
    assert (empty, users, card) == ("", "users", "card")
    assert key not in {"", ".", ".."}
    return [key]


def read_odata_path(ask: ReadableRequest) -> list[str]:
    """Read ``/Users('a')``."""
    key = within(unquote(ask.target), "/Users('", "')")
    assert not set("'()/") & set(key)
    return [key]


def read_one(ask: ReadableRequest) -> list[str]:
    """Read ``?email=a``."""
    return [only(ask, "email")]


@dataclass(frozen=True)
class EncoderCase:
    """A form, and its reader.

    Attributes:
        request: The settings of the form, without the usual path.
        read: Reads it.
        cannot: Returns whether a key cannot be written, beside keys that are not text.
    """

    request: dict[str, Any] | None
    read: Reader
    cannot: Callable[[str], bool] = lambda _: False

    @property
    def settings(self) -> dict[str, Any] | None:
        """The settings, with the usual path unless they have another."""
        return None if self.request is None else {"path": "/users", **self.request}

    def refuses(self, key: str) -> bool:
        """Return whether a key cannot be written."""
        return re.search(r"[\ud800-\udfff]", key) is not None or self.cannot(key)


def has(pattern: str) -> Callable[[str], bool]:
    """Return a function that finds a pattern in keys."""
    return lambda key: re.search(pattern, key) is not None


def is_not(pattern: str) -> Callable[[str], bool]:
    """Return a function that finds keys that do not match a pattern."""
    return lambda key: re.fullmatch(pattern, key) is None


UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
NUMBER = "0|[1-9][0-9]{0,19}"
CONTROL = r"\x00-\x1f\x7f-\x9f"

CASES = {
    "default": EncoderCase(None, read_repeated),
    "repeat": EncoderCase({"form": "repeat", "parameter": "id"}, read_repeated),
    "comma list": EncoderCase(
        {"form": "list", "parameter": "ids"}, read_comma_list, is_not(r"\w[\w\-.~@:+/=|]*")
    ),
    "bar list": EncoderCase(
        {"form": "list", "parameter": "ids", "separator": "|", "wrap": "<{keys}>"},
        read_bars,
        is_not(r"\w[\w\-.~@:+/=]*"),
    ),
    "postgrest": EncoderCase(
        {
            "form": "list",
            "parameter": "id",
            "quote": '"',
            "escape": "backslash",
            "wrap": "in.({keys})",
        },
        read_postgrest,
    ),
    "bare postgrest": EncoderCase(
        {"form": "list", "parameter": "id", "wrap": "in.({keys})"},
        read_bare_postgrest,
        is_not(r"\w[\w\-.~@:+/=|]*"),
    ),
    "odata in": EncoderCase(
        {
            "form": "list",
            "parameter": "$filter",
            "quote": "'",
            "escape": "double",
            "wrap": "id in ({keys})",
        },
        read_odata,
    ),
    "csv": EncoderCase(
        {"form": "list", "parameter": "ids", "quote": '"', "escape": "double"}, read_csv
    ),
    "refusing list": EncoderCase(
        {"form": "list", "parameter": "ids", "quote": '"'}, read_csv, has(rf'["\\{CONTROL}]')
    ),
    "scim": EncoderCase({"form": "filter", "parameter": "filter", "escape": "json"}, read_scim),
    "lucene": EncoderCase(
        {
            "form": "filter",
            "parameter": "q",
            "each": '"{key}"',
            "join": " OR ",
            "wrap": "user_id:({keys})",
            "escape": "backslash",
        },
        read_lucene,
    ),
    "refusing filter": EncoderCase(
        {"form": "filter", "parameter": "filter", "each": "id eq '{key}'", "wrap": "({keys})"},
        read_plain_filter,
        has(rf"['\\{CONTROL}]"),
    ),
    "bare filter": EncoderCase(
        {"form": "filter", "parameter": "filter", "each": "id eq {key}"},
        read_bare_filter,
        is_not(f"{NUMBER}|{UUID}"),
    ),
    "ids in a body": EncoderCase(
        {"form": "body", "template": '{"ids": "{keys}", "active": true}'}, read_ids
    ),
    "inputs in a body": EncoderCase(
        {
            "form": "body",
            "method": "QUERY",
            "template": '{"inputs": [{"id": "{key}", "ref": "{key}"}]}',
        },
        read_inputs,
    ),
    "several items in a body": EncoderCase(
        {
            "form": "body",
            "template": '{"requests": [{"id": "{key}", "n": 1}, {"id": "{key}", "n": 2}]}',
        },
        read_requests,
    ),
    "numbers in a body": EncoderCase(
        {"form": "body", "template": '[{"id": "{key}"}]', "numbers": True},
        read_numbers,
        is_not(NUMBER),
    ),
    "path": EncoderCase(
        {"form": "each", "path": "/users/{key}/card"},
        read_path,
        lambda key: key in {"", ".", ".."} or "/" in key or "\\" in key,
    ),
    "quoted path": EncoderCase(
        {"form": "each", "path": "/Users('{key}')"},
        read_odata_path,
        lambda key: key in {".", ".."} or re.fullmatch(r"[A-Za-z0-9\-._~]+", key) is None,
    ),
    "urls in a body": EncoderCase(
        {
            "form": "body",
            "template": '{"requests": [{"id": "{key}",'
            ' "url": "/users/{key}/card?of={key}&all=1"}]}',
        },
        read_urls,
        lambda key: key in {"", ".", ".."} or "/" in key or "\\" in key,
    ),
    "text in a body": EncoderCase(
        {
            "form": "body",
            "template": """[{"filter": "id eq '{key}'"}]""",
            "escape": "double",
        },
        read_quoted_text,
    ),
    "text around a parameter": EncoderCase(
        {"form": "each", "parameter": "user_id", "value": "eq.{key}"},
        read_equals,
        is_not(r"\w[\w\-.~@:+/=|]*"),
    ),
    "text around each parameter": EncoderCase(
        {"form": "repeat", "parameter": "q", "value": "id:{key}"},
        read_terms,
        is_not(r"\w[\w\-.~@+/=|]*"),
    ),
    "a key twice": EncoderCase(
        {"form": "each", "path": "/users/{key}/of/{key}", "parameters": {"by": "{key}"}},
        read_twice,
        lambda key: key in {"", ".", ".."} or "/" in key or "\\" in key,
    ),
    "one parameter": EncoderCase(
        {"form": "each", "parameter": "email"}, read_one, lambda key: not key
    ),
}
