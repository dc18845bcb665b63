"""The names in a request for only some fields of a record."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.endpoints import endpoints_of
from app.sources.field_selection import Selector
from app.sources.mapping.readers import reader_of
from app.sources.mapping.requests import encoder_of
from app.sources.mapping.row_mapper import MappingError
from app.sources.records import ACTIVITY, BILLING, PROFILE, ActivityRecord, ProfileRecord
from app.sources.records_in_parts import Endpoint
from tests.partial import BALANCE, ENDPOINTS
from tests.partial import PROFILE as SHAPE


def endpoint(**changes: Any) -> Endpoint[ProfileRecord]:  # noqa: ANN401 # any setting
    """Make a source that can be asked for some fields."""
    shape = {"base_url": "http://profile", **SHAPE, **changes}
    return Endpoint(PROFILE, SourceSettings.model_validate(shape))


def selector(select: Mapping[str, Any] | None = None, **changes: Any) -> Selector[ProfileRecord]:  # noqa: ANN401 # any setting
    """Make the selector of such a source."""
    request = {**SHAPE["request"], "select": {"parameter": "fields", **(select or {})}}
    return Selector(endpoint(**{"request": request, **changes}))


def target(one: Selector[ProfileRecord], *fields: str) -> str:
    """Write the request for some fields of one user."""
    narrowed = one.narrowed(frozenset(fields))
    [ask] = encoder_of(narrowed.spec, narrowed.settings).encode([UserId("a")]).sent
    return ask.target


def mistakes(**changes: Any) -> Mapping[str, str]:  # noqa: ANN401 # any setting
    """Return the mistakes in the settings of a source, by their places."""
    with pytest.raises(MappingError) as caught:
        selector(**changes)
    return {".".join(one.keys): one.what for one in caught.value.mistakes}


def test_the_names_are_the_key_and_the_first_names_of_the_expressions() -> None:
    one = selector()

    assert one.names(frozenset({"display_name", "locale"})) == ("id", "login", "name", "lang")
    assert one.names(frozenset({"display_name", "username"})) == ("id", "login", "name")
    assert one.names(frozenset()) == ("id",)
    assert one.names(None) == ("id", "login", "name", "mail", "picture", "lang", "created")


def test_the_names_are_those_of_the_record_without_expressions() -> None:
    one = selector(fields=None)

    assert one.names(frozenset({"display_name", "avatar_url"})) == (
        "id",
        "displayName",
        "avatarUrl",
    )


def test_the_names_can_be_configured() -> None:
    one = selector({"names": {"displayName": ["a", "b"], "id": ["x"]}, "always": ["z", "a"]})

    assert one.names(frozenset({"display_name"})) == ("z", "a", "x", "b")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"answer": {"key": ["uid", "value"]}}, ("uid",)),
        ({"answer": {"by_key": True}}, ()),
        ({"answer": {"many": False}}, ()),
        ({"fields": {**SHAPE["fields"], "id": "external.id || uid"}}, ("external", "uid")),
        (
            {
                "answer": {
                    "rows": ["data"],
                    "more": {"has_more": ["more"], "row_cursor": ["cursor"]},
                }
            },
            ("id", "cursor"),
        ),
    ],
)
def test_the_key_and_the_cursor_of_rows_are_always_requested(
    changes: Mapping[str, Any], names: tuple[str, ...]
) -> None:
    assert selector(**changes).names(frozenset()) == names


def test_a_field_without_an_expression_is_never_requested() -> None:
    fields = {name: text for name, text in SHAPE["fields"].items() if name != "locale"}

    assert selector(fields=fields).names(frozenset({"locale"})) == ("id",)


@pytest.mark.parametrize(
    ("select", "query"),
    [
        ({}, "fields=id,mail"),
        ({"parameter": "$select"}, "$select=id,mail"),
        ({"parameter": "fields[people]"}, "fields%5Bpeople%5D=id,mail"),
        ({"separator": " "}, "fields=id%20mail"),
        ({"wrap": "people({fields})"}, "fields=people(id,mail)"),
        ({"names": {"email": ["a&b=c#d"]}}, "fields=id,a%26b%3Dc%23d"),
    ],
)
def test_the_names_are_sent_in_one_parameter(select: Mapping[str, Any], query: str) -> None:
    assert target(selector(select), "email") == f"/people?{query}&ids=a"


def test_a_request_without_names_has_no_parameter_for_them() -> None:
    assert target(selector(answer={"by_key": True})) == "/people?ids=a"


def test_a_narrowed_source_has_the_record_and_expressions_of_its_fields() -> None:
    narrowed = selector(fields={**SHAPE["fields"], "id": "uid"}).narrowed(frozenset({"email"}))

    assert list(narrowed.spec.record.model_fields) == ["id", "email"]
    assert narrowed.settings.fields == {"id": "uid", "email": "mail"}


def test_a_field_whose_expression_reads_the_whole_row_needs_names() -> None:
    fields = {**SHAPE["fields"], "displayName": "values(@)[0]"}

    assert mistakes(fields=fields) == {
        "request.select.names": "lacks displayName, whose expression reads the whole row:"
        " expected what it needs."
    }
    told = selector({"names": {"displayName": ["a"]}}, fields=fields)
    assert told.names(frozenset({"display_name"})) == ("id", "a")


GROUPED = {
    "userId": "user.id",
    "lastSeenAt": "[0].at",
    "loginCount": "length([?kind == 'login'])",
    "events": "[:20].{id: id, type: kind, occurredAt: at}",
}


def of_activity(answer: Mapping[str, Any], fields: Mapping[str, str]) -> Selector[ActivityRecord]:
    """Make the selector of an activity source."""
    request = {**SHAPE["request"], "select": {"parameter": "fields"}}
    settings = {"base_url": "http://a", "request": request, "answer": answer, "fields": fields}
    return Selector(Endpoint(ACTIVITY, SourceSettings.model_validate(settings)))


def test_the_names_of_a_group_are_those_that_are_read_from_each_row() -> None:
    one = of_activity({"group": {}}, GROUPED)

    assert one.names(frozenset({"last_seen_at"})) == ("user", "at")
    assert one.names(frozenset({"login_count"})) == ("user", "kind")
    assert one.names(None) == ("user", "at", "kind", "id")


def test_the_names_for_a_batch_api_are_those_that_are_read_from_each_row() -> None:
    parts = {"key": "before(id, ':')", "per_user": 2}
    named = {**parts, "name": "after(id, ':')"}
    first, second = {"lastSeenAt": "[1].at"}, {"lastSeenAt": "seen.at"}

    assert of_activity({"parts": parts}, first).names(None) == ("at",)
    assert of_activity({"parts": named}, second).names(None) == ("at",)


def test_the_names_for_absence_and_order_are_always_requested() -> None:
    answer = {"group": {"order": "at"}, "absent": "deleted || state == 'gone'"}

    assert of_activity(answer, GROUPED).names(frozenset()) == ("user", "deleted", "state", "at")
    assert selector(answer={"absent": "deleted"}).names(frozenset()) == ("id", "deleted")
    assert mistakes(answer={"absent": "length(@) == `0`"}) == {
        "answer.absent": "reads the whole row: expected what it needs in request.select.always."
    }
    told = selector({"always": ["a"]}, answer={"absent": "length(@) == `0`"})
    assert told.names(frozenset()) == ("a", "id")


def test_a_narrowed_source_has_the_words_and_defaults_of_its_fields() -> None:
    words, defaults = {"username": {"a": "b"}, "locale": {"x": "y"}}, {"locale": "de", "email": "m"}
    narrowed = selector(words=words, defaults=defaults).narrowed(frozenset({"locale"}))

    reader_of(narrowed.spec, narrowed.settings)
    assert narrowed.settings.words == {"locale": {"x": "y"}}
    assert narrowed.settings.defaults == {"locale": "de"}


def test_names_for_unknown_fields_and_with_the_separator_are_mistakes() -> None:
    assert mistakes(select={"names": {"emial": ["a"]}}) == {
        "request.select.names.emial": "is no field of profile: did you mean email?"
    }
    assert mistakes(select={"names": {"email": ["a,b"]}}) == {
        "request.select.names": "have ',' in a,b: expected none within a name."
    }


def test_an_endpoint_can_select_some_of_its_fields() -> None:
    request = {**BALANCE["request"], "select": {"parameter": "fields"}}
    endpoints = {**ENDPOINTS, "balance": {**BALANCE, "request": request}}
    settings = SourceSettings.model_validate({"base_url": "http://a", "endpoints": endpoints})
    first, second = endpoints_of([BILLING], {"billing": settings})["billing"]

    assert (first.selects, second.selects) == (False, True)
    assert Selector(second).names(None) == ("userId", "balance")


def test_missing_names_of_an_endpoint_are_reported_at_its_place() -> None:
    request = {**BALANCE["request"], "select": {"parameter": "fields"}}
    balance = {"request": request, "fields": {"balance": "{amount: sum(values(@)), currency: c}"}}
    settings = SourceSettings.model_validate(
        {"base_url": "http://a", "endpoints": {**ENDPOINTS, "balance": balance}}
    )

    with pytest.raises(MappingError) as caught:
        endpoints_of([BILLING], {"billing": settings})

    [mistake] = caught.value.mistakes
    assert mistake.keys == ("endpoints", "balance", "request", "select", "names")


BODY = {"form": "body", "path": "/read", "template": '{"ids": "{keys}", "fields": "{fields}"}'}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({**SHAPE["request"], "select": {}}, "expected select.parameter"),
        ({**SHAPE["request"], "select": {"parameter": "ids"}}, "each query parameter once"),
        (BODY, "in template without select"),
        ({**BODY, "select": {"parameter": "f"}}, "in template beside select.parameter"),
        ({**SHAPE["request"], "select": {"parameter": "f", "wrap": "x"}}, "expected {fields} in"),
        ({**SHAPE["request"], "select": {"parameter": "f", "always": ["a b"]}}, "no spaces"),
        ({**SHAPE["request"], "select": {"parameter": "f", "always": ["{key}"]}}, "no braces"),
    ],
)
def test_settings_with_no_place_or_two_places_for_names_are_refused(
    request_: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        endpoint(request=request_)


def test_only_a_source_with_select_can_be_narrowed() -> None:
    plain = {**SHAPE["request"], "select": None}

    assert not endpoint(request=plain).selects
    with pytest.raises(TypeError):
        Selector(endpoint(request=plain))


def test_a_placeholder_as_a_name_is_a_mistake() -> None:
    template = '{"ids": "{keys}", "fields": "{fields}"}'
    request: Mapping[str, Any] = {
        "form": "body",
        "path": "/read",
        "template": template,
        "select": {},
    }
    fields = {**SHAPE["fields"], "email": '"{key}"'}

    assert mistakes(request=request, fields=fields) == {
        "request.select.names": "have '{' in {key}: expected none within a name."
    }
