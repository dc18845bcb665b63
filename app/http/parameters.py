"""From an HTTP request to the parameters of a GraphQL request. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import Code, RequestError, what_is_wrong
from app.graphql.request import GraphQLRequest, OnError

_OBJECT = TypeAdapter(dict[str, Any])
_ON_ERROR: TypeAdapter[OnError | None] = TypeAdapter(OnError | None)


def from_body(content_type: str | None, body: bytes) -> GraphQLRequest:
    """Read the parameters of a POST.

    Args:
        content_type: The ``Content-Type`` header, if there is one.
        body: The body.

    Returns:
        The parameters.

    Raises:
        RequestError: It is no JSON, or not the JSON of a GraphQL request.
    """
    media_type = (content_type or "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            Code.BAD_REQUEST,
            f"the body is {media_type or 'of no type'}: expected Content-Type: application/json",
            status=415,
        )
    try:
        request = GraphQLRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the body is no GraphQL request: {what_is_wrong(error)};"
            ' expected a JSON object such as {"query": "{ … }", "variables": {}}',
        ) from error
    return _with_document(request)


def from_query(parameters: Mapping[str, str]) -> GraphQLRequest:
    """Read the parameters of a GET.

    Args:
        parameters: Those of the URL.

    Returns:
        The parameters.

    Raises:
        RequestError: One of them cannot be read.
    """
    variables, extensions = parameters.get("variables"), parameters.get("extensions")
    try:
        request = GraphQLRequest(
            query=parameters.get("query"),
            operation_name=parameters.get("operationName") or None,
            variables=_OBJECT.validate_json(variables) if variables else None,
            on_error=_ON_ERROR.validate_python(parameters.get("onError") or None),
            extensions=_OBJECT.validate_json(extensions) if extensions else None,
        )
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the URL is no GraphQL request: {what_is_wrong(error)};"
            " expected ?query=…&variables=… with variables as a JSON object",
        ) from error
    return _with_document(request)


def _with_document(request: GraphQLRequest) -> GraphQLRequest:
    """Let only requests through that bring a document, or name one by its hash."""
    if not request.query and not request.names_persisted_query:
        raise RequestError(Code.BAD_REQUEST, 'there is no document: expected its text as "query"')
    return request
