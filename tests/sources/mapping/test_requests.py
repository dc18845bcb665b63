"""Keys are escaped: a server reads exactly the keys that were sent."""

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.settings.request import RequestSettings
from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.mapping.requests import RequestEncoder, UpstreamRequest, encoder_of
from app.sources.records import PROFILE
from tests.fakes import calm_source
from tests.sources.hostile import HOSTILE, ids, many_ids
from tests.sources.readers import CASES, EncoderCase

BASE = "http://profile"
CALM = calm_source(base_url=BASE)
REQUEST: TypeAdapter[RequestSettings] = TypeAdapter(RequestSettings)


def form(request: dict[str, Any] | None, **changes: Any) -> RequestEncoder:  # noqa: ANN401 # any setting
    """Make a form of settings."""
    return encoder_of(PROFILE, settings_of(request, **changes))


@cache
def form_of(name: str) -> RequestEncoder:
    """Make the form of a case; an encoder keeps nothing of what it has encoded."""
    return form(CASES[name].request)


@cache
def form_alone(name: str) -> RequestEncoder:
    """Make the form of a case, for as many keys as there are."""
    return form(CASES[name].request, max_keys=100, max_url_bytes=10**9)


def settings_of(
    request: dict[str, Any] | None,
    **changes: Any,  # noqa: ANN401 # any setting
) -> SourceSettings:
    """Make settings of a source."""
    shape = REQUEST.validate_python({"path": "/users", **request}) if request is not None else None
    return CALM.model_copy(update={"request": shape, **changes})


# Drawing keys takes longer than encoding them: each example is tried with every form.
@example(keys=[UserId(key) for key in HOSTILE])
@given(keys=many_ids)
def test_a_server_reads_exactly_the_keys_that_were_sent(keys: list[UserId]) -> None:
    for name, case in CASES.items():
        asks = form_of(name).encode(keys)

        refused = [key for key in keys if case.refuses(key)]
        kept = [key for key in keys if not case.refuses(key)]
        assert [key for ask in asks.sent for key in case.read(ask)] == kept, name
        assert list(asks.refused) == refused, name
        assert [key for ask in asks.sent for key in ask.keys] == kept, name


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("letter", ["x", "1", '"', "'", "/", "ü", "\x00"])
def test_a_key_of_64_kilobytes_is_sent_like_any_other(case: EncoderCase, letter: str) -> None:
    long, short = UserId(letter * 65_536), UserId("1")

    asks = form(case.request).encode([long, short])

    refused = case.refuses(long)
    assert list(asks.refused) == ([long] if refused else [])
    read = [key for ask in asks.sent for key in case.read(ask)]
    assert read == ([short] if refused else [long, short])


@example(keys=[UserId(key) for key in HOSTILE])
@given(keys=many_ids)
def test_a_request_is_printable_ascii_without_spaces(keys: list[UserId]) -> None:
    for name in CASES:
        for ask in form_of(name).encode(keys).sent:
            assert re.fullmatch(r"/[!-~]+", ask.target), name
            assert not set('"<>\\^`{|}#') & set(ask.target), name  # RFC 3986 has no place for these
            assert ask.body.isascii(), name


@given(key=ids)
def test_the_path_for_the_log_has_no_key(key: UserId) -> None:
    paths = {ask.path for name in CASES for ask in form_of(name).encode([key]).sent}

    assert paths <= {"/users", "/users/{key}/card", "/users/{key}/of/{key}", "/Users('{key}')"}


@given(keys=many_ids, max_keys=st.integers(1, 6), max_bytes=st.integers(60, 400))
def test_requests_are_as_large_as_the_limits_allow_and_no_larger(
    keys: list[UserId], max_keys: int, max_bytes: int
) -> None:
    for name in CASES:
        check_limits(name, keys, max_keys, max_bytes)


def check_limits(name: str, keys: Sequence[UserId], max_keys: int, max_bytes: int) -> None:
    """Check that each request of a form is as large as the limits allow, and no larger."""
    case = CASES[name]
    made = form(case.request, max_keys=max_keys, max_url_bytes=max_bytes)
    if case.request is not None and case.request["form"] == "body":
        request = made.request.model_copy(update={"max_body_bytes": max_bytes})
        settings = settings_of(None, max_keys=max_keys).model_copy(update={"request": request})
        made = encoder_of(PROFILE, settings)

    def size(ask: UpstreamRequest) -> int:
        return len(ask.body) or len(BASE + ask.target)

    sent = made.encode(keys).sent
    for ask in sent:
        assert 1 <= len(ask.keys) <= made.max_keys <= max_keys, name
        assert size(ask) <= max_bytes or len(ask.keys) == 1, name
    alone = form_alone(name)
    for ask, following in pairwise(sent):
        if len(ask.keys) < made.max_keys:
            assert size(alone.encode([*ask.keys, following.keys[0]]).sent[0]) > max_bytes, name


def test_no_keys_give_no_request() -> None:
    for case in CASES.values():
        asks = form(case.request).encode([])
        assert (list(asks.sent), list(asks.refused)) == ([], [])


def test_each_form_is_written_as_its_services_document_it() -> None:
    targets = {
        name: unquote(form(case.request).encode([UserId("1"), UserId("2")]).sent[0].target)
        for name, case in CASES.items()
    }

    assert targets == {
        "default": "/users?id=1&id=2",
        "repeat": "/users?id=1&id=2",
        "comma list": "/users?ids=1,2",
        "bar list": "/users?ids=<1|2>",
        "postgrest": '/users?id=in.("1","2")',
        "bare postgrest": "/users?id=in.(1,2)",
        "odata in": "/users?$filter=id in ('1','2')",
        "csv": '/users?ids="1","2"',
        "refusing list": '/users?ids="1","2"',
        "scim": '/users?filter=id eq "1" or id eq "2"',
        "lucene": '/users?q=user_id:("1" OR "2")',
        "refusing filter": "/users?filter=(id eq '1' or id eq '2')",
        "bare filter": "/users?filter=id eq 1 or id eq 2",
        "ids in a body": "/users",
        "inputs in a body": "/users",
        "several items in a body": "/users",
        "numbers in a body": "/users",
        "path": "/users/1/card",
        "quoted path": "/Users('1')",
        "one parameter": "/users?email=1",
        "urls in a body": "/users",
        "text in a body": "/users",
        "text around a parameter": "/users?user_id=eq.1",
        "text around each parameter": "/users?q=id:1&q=id:2",
        "a key twice": "/users/1/of/1?by=1",
    }


def test_commas_between_keys_are_not_escaped() -> None:
    [ask] = form({"form": "list", "parameter": "ids"}).encode([UserId("a"), UserId("b")]).sent

    assert ask.target == "/users?ids=a,b"


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        ({"form": "repeat", "parameter": "id"}, "/users?a=1%262&%2B=&limit=7&id=x"),
        ({"form": "list", "parameter": "ids"}, "/users?a=1%262&%2B=&limit=7&ids=x"),
        ({"form": "filter", "parameter": "q", "each": "{key}"}, "/users?a=1%262&%2B=&limit=7&q=0"),
        ({"form": "body", "template": '["{key}"]'}, "/users?a=1%262&%2B=&limit=7"),
        ({"form": "each", "path": "/u/{key}"}, "/u/x?a=1%262&%2B=&limit=7"),
        ({"form": "each", "parameter": "id"}, "/users?a=1%262&%2B=&limit=7&id=x"),
    ],
)
def test_fixed_parameters_and_the_page_size_are_in_every_request(
    request_: dict[str, Any], target: str
) -> None:
    fixed = {"parameters": {"a": "1&2", "+": ""}, "page_size_parameter": "limit", "page_size": 7}

    [ask] = (
        form({**request_, **fixed}).encode([UserId(target[-1] if "&q=" in target else "x")]).sent
    )

    assert ask.target == target


def test_a_fixed_parameter_with_several_values_is_repeated() -> None:
    request = {"form": "each", "path": "/u/{key}", "parameters": {"x[]": ["a", "b"], "y": "c"}}

    [ask] = form(request).encode([UserId("x")]).sent

    assert ask.target == "/u/x?x%5B%5D=a&x%5B%5D=b&y=c"


def test_a_request_has_no_more_keys_than_the_page_size() -> None:
    paged = {"form": "list", "parameter": "ids", "page_size_parameter": "limit", "page_size": 2}

    asks = form(paged, max_keys=5).encode([UserId(key) for key in "abcde"])

    assert [ask.keys for ask in asks.sent] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_body_has_a_content_type_unless_one_is_configured() -> None:
    body = {"form": "body", "template": '["{key}"]'}
    version = {"X-Version": "1"}
    other = {"content-type": "application/vnd.api+json"}

    headers = [
        form({**body, "headers": fixed}).encode([UserId("a")]).sent[0].headers
        for fixed in (version, other)
    ]

    assert headers == [
        (("Content-Type", "application/json"), ("X-Version", "1")),
        (("content-type", "application/vnd.api+json"),),
    ]


def test_an_escaped_byte_counts_as_three_bytes_of_the_url() -> None:
    keys = [UserId("ü"), UserId("ü2")]
    whole = len(f"{BASE}/users?id=%C3%BC&id=%C3%BC2")

    assert sizes(form(None, max_url_bytes=whole), keys) == [2]
    assert sizes(form(None, max_url_bytes=whole - 1), keys) == [1, 1]


def sizes(made: RequestEncoder, keys: Sequence[UserId]) -> list[int]:
    """Count the keys of each request."""
    return [len(ask.keys) for ask in made.encode(keys).sent]


@pytest.mark.parametrize(
    ("value", "key", "sent"),
    [
        ("{key}", "ann", "ann"),
        ("{key}", "a b", "a b"),
        ("{key}", " a", None),
        ("{key}", "a\r\nX-Evil: 1", None),
        ("{key}", "ä", None),
        ("user={key}; scope=read", "ann", "user=ann; scope=read"),
        ("user={key}; scope=read", "ann; scope=all", None),
        ('user="{key}"', "a b", 'user="a b"'),
        ('user="{key}"', 'a"b', None),
    ],
)
def test_a_key_in_a_header_must_not_change_the_rest_of_the_header(
    value: str, key: str, sent: str | None
) -> None:
    request = {"form": "each", "path": "/me", "headers": {"X-User": value, "X-Api": "2"}}
    settings = calm_source(base_url="http://a", request=request)
    encoded = encoder_of(PROFILE, settings).encode([UserId(key)])

    if sent is None:
        assert (list(encoded.sent), list(encoded.refused)) == ([], [key])
    else:
        [made] = encoded.sent
        assert made.target == "/me"
        assert dict(made.headers) == {"X-User": sent, "X-Api": "2"}


def test_a_body_without_a_list_is_sent_once_for_each_user() -> None:
    query = "query($id: ID!) { user(id: $id) { name } }"
    template = json.dumps({"query": query, "variables": {"id": "{key}"}})
    request = {"form": "body", "path": "/graphql", "template": template}
    encoded = encoder_of(PROFILE, calm_source(base_url="http://a", request=request)).encode(
        [UserId("a"), UserId('b"')]
    )

    bodies = [json.loads(made.body)["variables"] for made in encoded.sent]
    assert bodies == [{"id": "a"}, {"id": 'b"'}]
