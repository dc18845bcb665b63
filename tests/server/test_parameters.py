"""The fast reader of requests gives the same results as pydantic."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import RequestError, what_is_wrong
from app.execution.request import GraphQLRequest
from app.server.parameters import Parameters, from_json, parse_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
TEXTS = st.text(max_size=5) | VALUES
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3) | VALUES
BODIES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "query": TEXTS,
        "operationName": TEXTS,
        "variables": OBJECTS,
        "extensions": OBJECTS,
        "onError": st.sampled_from(["NULL", "PROPAGATE", "HALT"]) | TEXTS,
        "documentId": TEXTS,
        "doc_id": TEXTS,
        "document_id": TEXTS,
        "operation_name": TEXTS,
        "more": VALUES,
    },
)


def by_pydantic(value: object) -> GraphQLRequest | str:
    """Read a request by its pydantic model; return the mistake if it is invalid."""
    try:
        found = Parameters.model_validate(value)
    except ValidationError as error:
        return what_is_wrong(error).replace("Parameters", "GraphQLRequest")
    request = GraphQLRequest(
        found.query,
        found.document_id,
        found.operation_name,
        found.variables,
        found.on_error,
        found.extensions,
    )
    if not request.query and not request.names_document:
        return "there is no document"
    return request


@given(body=BODIES)
def test_requests_and_mistakes_are_the_same_as_by_pydantic(
    body: object,
) -> None:
    value = parse_json(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))
    expected = by_pydantic(value)

    if isinstance(expected, GraphQLRequest):
        assert from_json(value) == expected
    else:
        with pytest.raises(RequestError) as raised:
            from_json(value)
        assert expected in raised.value.message
        assert raised.value.status == 422


def test_the_doc_id_of_relay_is_a_document_id() -> None:
    assert from_json({"doc_id": "a"}) == from_json({"documentId": "a"})


@pytest.mark.parametrize("value", [7, None, "{ __typename }", True])
def test_a_body_that_is_not_an_object_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(RequestError) as raised:
        from_json(value)

    assert raised.value.message == (
        "the body is not a GraphQL request: all of it: Input should be an object;"
        ' expected a JSON object such as {"query": "{ … }", "variables": {}}'
    )
