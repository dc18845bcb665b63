"""The settings of requests to sources: valid ones and refused ones."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.settings.request import RequestSettings
from app.settings.source import SourceSettings

REQUEST: TypeAdapter[RequestSettings] = TypeAdapter(RequestSettings)

REPEAT = {"form": "repeat", "path": "/users", "parameter": "id"}
LIST = {**REPEAT, "form": "list"}
FILTER = {**REPEAT, "form": "filter"}
BODY = {"form": "body", "path": "/read", "template": '["{key}"]'}
EACH = {"form": "each", "path": "/users/{key}"}


def messages_about(request: dict[str, Any]) -> str:
    """Return the messages about settings that are refused."""
    with pytest.raises(ValidationError) as raised:
        REQUEST.validate_python(request)
    return "; ".join(error["msg"] for error in raised.value.errors())


@pytest.mark.parametrize("request_", [REPEAT, LIST, FILTER, BODY, EACH])
def test_each_form_of_request_needs_few_settings(
    request_: dict[str, Any],
) -> None:
    made = SourceSettings.model_validate({"base_url": "http://profile", "request": request_})

    assert made.request is not None
    assert made.request.form == request_["form"]
    assert SourceSettings.model_validate(made.model_dump()) == made


def test_a_source_without_request_settings_has_the_default_contract() -> None:
    assert SourceSettings.model_validate({"base_url": "http://profile"}).request is None


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"path": "/users"}, "form"),
        ({**REPEAT, "form": "other"}, "'repeat', 'list', 'filter', 'body', 'each'"),
        ({**REPEAT, "more": 1}, "Extra inputs"),
        ({**REPEAT, "separator": ","}, "Extra inputs"),
        ({"form": "repeat", "path": "/users"}, "Field required"),
        ({**REPEAT, "parameter": ""}, "at least 1"),
        ({**REPEAT, "parameter": "i d"}, "printable ASCII"),
        ({**REPEAT, "parameter": "ïd"}, "printable ASCII"),
        ({**REPEAT, "parameters": {"id": "1"}}, "each query parameter once"),
        ({**REPEAT, "page_size_parameter": "id", "page_size": 1}, "each query parameter once"),
        ({**REPEAT, "page_size": 1}, "both, or neither"),
        ({**REPEAT, "page_size_parameter": "limit"}, "both, or neither"),
        ({**REPEAT, "page_size_parameter": "limit", "page_size": 0}, "greater than or equal to 1"),
        ({**LIST, "separator": ""}, "at least 1"),
        ({**LIST, "quote": "`"}, "''"),
        ({**LIST, "wrap": "in.()"}, "{keys} in it, once"),
        ({**LIST, "wrap": "{keys}{keys}"}, "{keys} in it, once"),
        ({**LIST, "escape": "double"}, "not in quotes"),
        ({**LIST, "quote": "'", "escape": "json"}, '" as the quote'),
        ({**FILTER, "each": 'id eq "x"'}, "{key} in it, once"),
        ({**FILTER, "each": '"{key}" or "{key}"'}, "{key} in it, once"),
        ({**FILTER, "each": "id eq {key}", "escape": "backslash"}, "not in quotes"),
        ({**FILTER, "each": "'acct {key}'", "escape": "double"}, "not in quotes"),
        ({**FILTER, "each": "\"{key}'", "escape": "double"}, "not in quotes"),
        ({**FILTER, "each": "'x'{key}'y'", "escape": "double"}, "not in quotes"),
        ({**FILTER, "each": "id eq '{key}'", "escape": "json"}, '" as the quote'),
        ({**BODY, "template": "[]"}, "once"),
        ({**BODY, "template": "["}, "expected JSON"),
        ({**BODY, "template": '["u{key}"]', "numbers": True}, "alone in its string"),
        ({**BODY, "path": "/users/{key}"}, "no {key} in /users/{key}"),
        ({**REPEAT, "path": "/users/{key}"}, "no {key} in /users/{key}"),
        ({**REPEAT, "headers": {"X-User": "u {key}"}}, "no {key} in u {key}"),
        ({**REPEAT, "parameters": {"q": ["a", "{key}"]}}, "no {key} in {key}"),
        ({**EACH, "path": "/users"}, "expected parameter, or {key} in path, parameters or headers"),
        ({**EACH, "value": "eq.{key}"}, "expected parameter beside value"),
        ({**EACH, "max_concurrent_calls": 0}, "greater than or equal to 1"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_with_the_reason(
    request_: dict[str, Any], why: str
) -> None:
    assert why in messages_about(request_)


@pytest.mark.parametrize(
    "path", ["/", "/users", "/v1/users.json", "/a%20b/c:d;e=1/", "/Users('x')"]
)
def test_the_path_of_an_address_is_accepted(path: str) -> None:
    assert REQUEST.validate_python({**REPEAT, "path": path}).path == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "users", "http://x/users", "/a b", "/a?b=c", "/a#b", "/ü", "/a\n", "/%zz", "/{id}"),
        *("/../admin", "/a/..", "/./a", "/a/%2e%2E/b", '/a"b', "/a\\b", "/{", "/%2"),
    ],
)
def test_an_invalid_path_is_refused(path: str) -> None:
    assert "expected" in messages_about({**REPEAT, "path": path})


@given(path=st.text("/.%2eE{}keyab?#\\ ", max_size=12).map(lambda text: f"/{text}"))
def test_an_accepted_path_has_no_query_and_no_dot_segments(path: str) -> None:
    try:
        made = REQUEST.validate_python({**EACH, "path": path})
    except ValidationError:
        return
    assert re.fullmatch(r"[!-~]+", made.path)
    assert not {"?", "#"} & set(made.path)
    assert not {".", ".."} & set(re.sub("(?i)%2e", ".", made.path).split("/"))


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Authorization": "Bearer x"}, "its own settings"),
        ({"cookie": "a=b"}, "its own settings"),
        ({"Host": "other"}, "the gateway writes it"),
        ({"Content-Length": "1"}, "the gateway writes it"),
        ({"transfer-encoding": "chunked"}, "the gateway writes it"),
        ({"X-Request-ID": "1"}, "the gateway writes it"),
        ({"": "x"}, "a header name"),
        ({"X Y": "x"}, "a header name"),
        ({"X:Y": "x"}, "a header name"),
        ({"X\r\nY": "x"}, "a header name"),
        ({"X-Ü": "x"}, "a header name"),
        ({"X": ""}, "printable ASCII"),
        ({"X": " a"}, "printable ASCII"),
        ({"X": "a\r\nY: b"}, "printable ASCII"),
        ({"X": "a\n"}, "printable ASCII"),
        ({"X": "ü"}, "printable ASCII"),
        ({"X": "\x00"}, "printable ASCII"),
        ({"X-A": "1", "x-a": "2"}, "each header once"),
    ],
)
def test_a_header_with_another_use_or_form_is_refused(headers: dict[str, str], why: str) -> None:
    assert why in messages_about({**REPEAT, "headers": headers})


@pytest.mark.parametrize("headers", [{"Accept": "application/hal+json"}, {"X-Api-Version": "a b"}])
def test_any_other_header_can_be_sent(headers: dict[str, str]) -> None:
    assert REQUEST.validate_python({**REPEAT, "headers": headers}).headers == headers


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_a_lone_surrogate_is_refused_at_every_place(text: str) -> None:
    for request in (
        {**REPEAT, "path": f"/{text}"},
        {**REPEAT, "parameters": {"a": text}},
        {**REPEAT, "parameters": {text: "a"}},
        {**REPEAT, "headers": {"X": text}},
        {**LIST, "separator": text},
        {**LIST, "wrap": "{keys}" + text},
        {**FILTER, "each": "{key}" + text},
        {**FILTER, "join": text},
        {**BODY, "template": f'["{text}"]'},
    ):
        assert messages_about(request)
