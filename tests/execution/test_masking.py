"""Errors as clients get them: bugs are masked."""

from collections.abc import Mapping

import pytest
from graphql import FieldNode, GraphQLError, NameNode, VariableNode, located_error

from app.errors import (
    BadUserInputError,
    Code,
    ConfigurationError,
    GatewayError,
    RequestError,
    SourceError,
    SourceFailure,
)
from app.execution.response_errors import MASKED, is_bug, public_error, root_cause
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, user_id
from tests.ways import BY_FILE, SHORT, Ways

FIELD = FieldNode(name=NameNode(value="plan"))
VARIABLE = VariableNode(name=NameNode(value="v"))


@pytest.fixture(params=(SHORT, BY_FILE[0]), ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test with both schemas."""
    ways: Ways = request.param
    return ways


def raised(error: Exception) -> GraphQLError:
    """Wrap an error of a resolver as graphql-core does."""
    return located_error(error, [FIELD], ["user", "plan"])


def public(error: GraphQLError) -> Mapping[str, object]:
    """Return an error as a client gets it."""
    return dict(public_error(error, otherwise=Code.BAD_USER_INPUT, request_id="req-1"))


@pytest.mark.parametrize("code", [code for code in Code if code.startswith("SOURCE_")])
def test_a_source_failure_has_its_code_and_source_and_no_details(
    code: Code,
) -> None:
    failure = SourceFailure("billing", code, "secret detail")

    error = raised(SourceError(failure))

    assert public(error) == {
        "message": failure.message,
        "path": ["user", "plan"],
        "extensions": {"code": code.value, "source": "billing"},
    }
    assert failure.message.startswith("The billing source ")
    assert "secret" not in failure.message
    assert not is_bug(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadUserInputError("first takes 1 to 100, got 0"), "BAD_USER_INPUT"),
        (RequestError(Code.BAD_REQUEST, "there is no document"), "BAD_REQUEST"),
        (GatewayError(Code.SOURCE_OVERLOADED, "try later"), "SOURCE_OVERLOADED"),
    ],
)
def test_an_error_for_clients_keeps_its_message_and_code(error: GatewayError, code: str) -> None:
    answer = public(raised(error))

    assert answer["message"] == error.message
    assert answer["extensions"] == {"code": code}
    assert not is_bug(raised(error))


@pytest.mark.parametrize(
    "bug",
    [
        ZeroDivisionError("secret"),
        KeyError("secret"),
        RuntimeError("secret"),
        OSError(2, "secret"),
        ConfigurationError(("secret",)),
        TimeoutError(),
        RecursionError("secret"),
    ],
)
def test_a_bug_is_masked_and_has_the_request_id(bug: Exception) -> None:
    error = raised(bug)

    assert is_bug(error)
    assert public(error) == {
        "message": MASKED,
        "path": ["user", "plan"],
        "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": "req-1"},
    }


def test_a_resolved_value_that_does_not_fit_the_schema_is_a_bug() -> None:
    error = GraphQLError("Int cannot represent: 'secret'", [FIELD], path=["user", "loginCount"])

    assert is_bug(error)
    assert public(error)["message"] == MASKED


def test_an_error_in_the_document_keeps_the_message_of_graphql_core() -> None:
    error = GraphQLError("Cannot query field 'x'", [FIELD])

    assert not is_bug(error)
    assert public(error) == {
        "message": "Cannot query field 'x'",
        "extensions": {"code": "BAD_USER_INPUT"},
    }
    refused = public_error(error, otherwise=Code.GRAPHQL_VALIDATION_FAILED, request_id="req-1")
    assert refused.get("extensions") == {"code": "GRAPHQL_VALIDATION_FAILED"}


def test_an_error_at_an_argument_is_an_error_of_the_client() -> None:
    error = GraphQLError("Argument 'id' must not be null.", [VARIABLE], path=["user"])

    assert not is_bug(error)
    assert public(error)["extensions"] == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_root_cause_of_an_error_is_found_through_all_its_wrappers(depth: int) -> None:
    cause = BadUserInputError("wrong")
    error: GraphQLError = GraphQLError("wrapped", original_error=cause)
    for _ in range(depth):
        error = GraphQLError("wrapped again", original_error=error)

    assert root_cause(error) is cause
    assert public(error)["message"] == "wrong"


def test_an_error_without_a_wrapped_error_is_its_own_cause() -> None:
    error = GraphQLError("by itself")

    assert root_cause(error) is error


def test_extensions_of_an_unknown_origin_are_not_returned() -> None:
    error = GraphQLError("x", [FIELD], extensions={"stack": "secret", "code": "OTHER"})
    wrapped = raised(GraphQLError("x", extensions={"secret": "secret"}))

    assert public(error)["extensions"] == {"code": "BAD_USER_INPUT"}
    assert "secret" not in str(public(wrapped))


@pytest.mark.parametrize(
    "query",
    [
        'query($v: ID = "x") { user(id: $v) { id } }',
        "query($v: [ID!] = []) { users(ids: $v) { id } }",
        f'query($v: Boolean = true) {{ user(id: "{user_id(1)}") {{ plan @skip(if: $v) }} }}',
        f'query($v: Boolean = true) {{ user(id: "{user_id(1)}") @include(if: $v) {{ id }} }}',
    ],
)
async def test_a_null_variable_found_during_execution_is_an_error_of_the_client(
    gateway: GatewayClient, services: FakeServices, query: str
) -> None:
    services.know(1)

    reply = await gateway.query(query, v=None)

    assert [error["extensions"]["code"] for error in reply.errors] == ["BAD_USER_INPUT"]
    assert "null" in reply.errors[0]["message"]
    assert not gateway.events("graphql.bug")


async def test_an_error_of_a_field_has_its_location_in_the_document(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    reply = await gateway.query(
        f'{{\n  user(id: "{user_id(1)}") {{\n    events(first: -1) {{ id }}\n  }}\n}}'
    )

    [error] = reply.errors
    assert error["path"] == ["user", "events"]
    assert error["locations"] == [{"line": 3, "column": 5}]
    assert error["message"] == "first takes 0 or more, got -1"
