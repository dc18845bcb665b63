"""The specification's edition of September 2026 in graphql-core and in the gateway.

``docs/reference/specification.md`` says the same in words.
"""

import pytest
from graphql import (
    DirectiveLocation,
    GraphQLSyntaxError,
    build_schema,
    graphql_sync,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
    parse,
    print_schema,
    validate,
    validate_schema,
)

from tests.conftest import OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.ways import BOTH

QUERY_TYPE = "type Query { a(x: A): Int } "
ONE_OF = build_schema(QUERY_TYPE + "input A @oneOf { a: Int b: Int }")
EXACTLY_ONE = "exactly one field must be specified, and the value for that field must be non-null"


def test_a_directive_may_be_on_a_directive() -> None:
    text = 'directive @a @deprecated(reason: "Use @b.") on FIELD'
    schema = build_schema(f"type Query {{ a: Int }} {text}")

    assert text in print_schema(schema)
    assert DirectiveLocation.DIRECTIVE_DEFINITION in DirectiveLocation
    assert len(parse("directive @a on FIELD extend directive @a @b").definitions) == 2


def test_a_directive_without_the_location_is_refused_on_a_directive() -> None:
    text = 'type Query { a: Int } directive @a @specifiedBy(url: "x") on FIELD'

    with pytest.raises(TypeError, match="may not be used on directive definition"):
        build_schema(text)


def test_graphql_core_accepts_a_directive_on_itself_unlike_the_specification() -> None:
    text = "type Query { a: Int } directive @a @a on FIELD | DIRECTIVE_DEFINITION"

    assert not validate_schema(build_schema(text))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ("a: Int!", "OneOf input field A.a must be nullable"),
        ("a: Int = 1", "OneOf input field A.a cannot have a default value"),
        ("a: A", "cannot be provided a finite value"),
    ],
)
def test_the_fields_of_a_one_of_input_are_validated(fields: str, complaint: str) -> None:
    schema = build_schema(f"{QUERY_TYPE} input A @oneOf {{ {fields} }}", assume_valid_sdl=True)

    [error] = validate_schema(schema)

    assert complaint in error.message


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("{ a(x: {a: 1}) }", None),
        ("query($v: Int!) { a(x: {a: $v}) }", None),
        ("{ a(x: {}) }", EXACTLY_ONE),
        ("{ a(x: {a: 1, b: 2}) }", EXACTLY_ONE),
        ("{ a(x: {a: null}) }", EXACTLY_ONE),
        ("query($v: Int!) { a(x: {a: $v, b: $v}) }", EXACTLY_ONE),
        ("query($v: Int) { a(x: {a: $v}) }", "must be non-nullable"),
    ],
)
def test_a_one_of_value_in_a_document_has_exactly_one_field(
    query: str, complaint: str | None
) -> None:
    errors = [error.message for error in validate(ONE_OF, parse(query))]

    assert len(errors) == (complaint is not None)
    assert all((complaint or "") in one for one in errors)


@pytest.mark.parametrize(
    ("value", "good"),
    [({"a": 1}, True), ({}, False), ({"a": None}, False), ({"a": 1, "b": 2}, False)],
)
def test_a_one_of_value_in_a_variable_has_exactly_one_field(value: object, *, good: bool) -> None:
    result = graphql_sync(ONE_OF, "query($v: A) { a(x: $v) }", variable_values={"v": value})

    assert (result.errors is None) == good


def test_graphql_core_allows_empty_selection_sets_by_default() -> None:
    parse("{ a { } }")
    with pytest.raises(GraphQLSyntaxError):
        parse("{ a { } }", allow_empty_selection_sets=False)


@pytest.mark.parametrize("ways", BOTH, ids=str)
@pytest.mark.parametrize("query", ["{ }", "{ user(id: $id) { } }", "{ ... { } __typename }"])
async def test_the_gateway_refuses_empty_selection_sets(
    open_gateway: OpenGateway, query: str
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        reply = await gateway.query(query)

    assert reply.errors[0]["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}


@pytest.mark.parametrize("ways", BOTH, ids=str)
async def test_a_selection_whose_fields_are_all_skipped_is_an_empty_object(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    query = f'"Of a page." {{ user(id: "{user_id(1)}") {{ username @skip(if: true) }} }}'

    async with open_gateway(settings_for_fakes()) as gateway:
        reply = await gateway.query(query.replace('"Of a page." {', '"Of a page." query A {'))

    assert reply.body == {"data": {"user": {}}}
