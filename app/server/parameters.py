"""Reads GraphQL requests from HTTP requests: one, or a batch of them. Pure.

A body that is not JSON gets status 400, JSON that is not a GraphQL request 422 ("GraphQL over
HTTP", September 2026).

A batch is a JSON array of GraphQL requests. The response is a JSON array in the same order.
"""

from collections.abc import Sequence
from types import NoneType
from typing import Any, cast, get_args
from urllib.parse import parse_qsl

import jiter
from graphql import GraphQLFormattedError
from msgspec import Struct
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from app.errors import Code, RequestError, what_is_wrong, without_quotes
from app.execution.request import (
    ErrorForm,
    GraphQLRequest,
    GraphQLResponse,
    OnError,
    OperationReport,
)
from app.settings.server import BatchSettings


class Parameters(BaseModel):
    """The parameters of a GraphQL request in JSON. Unknown parameters are ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )

    query: str | None = Field(default=None, description="The document.")
    document_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("documentId", "doc_id"),
        description="Id of a document that the gateway stores (the specification's appendix on"
        " persisted documents; Relay's clients send `doc_id`).",
    )
    operation_name: str | None = Field(
        default=None, description="Which of the document's operations to execute."
    )
    variables: dict[str, Any] | None = Field(
        default=None, description="Values of the operation's variables."
    )
    on_error: OnError | None = Field(
        default=None, description="How far an error goes up in the response."
    )
    extensions: dict[str, Any] | None = Field(
        default=None, description="What the client adds beyond the specification."
    )


_OBJECT = TypeAdapter(dict[str, Any])
_ON_ERROR: TypeAdapter[OnError | None] = TypeAdapter(OnError | None)

_URL_PARAMETERS = frozenset(
    {"query", "operationName", "variables", "onError", "extensions", "documentId"}
)
_MAX_REASON = 200
_MAX_FIELDS = 100


def parse_json(data: bytes, *, what: str = "the body") -> object:
    """Parse JSON that every parser reads in the same way.

    Args:
        data: The JSON.
        what: The name of the data in messages.

    Returns:
        The value.

    Raises:
        RequestError: The data is not JSON (RFC 8259) in UTF-8, or is nested more than 200 deep, or
            an object in it has the same name twice: some parsers take the first, others the last.
    """
    try:
        return jiter.from_json(
            data, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
        )
    except ValueError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"{what} cannot be read as JSON: {str(error)[:_MAX_REASON]};"
            ' expected a JSON object such as {"query": "{ … }", "variables": {}}',
        ) from error


def from_json(value: object) -> GraphQLRequest:
    """Read the GraphQL request in the body of a POST.

    Args:
        value: The parsed JSON.

    Returns:
        The GraphQL request.

    Raises:
        RequestError: The JSON is not a GraphQL request.
    """
    request = _read_common(value)
    if request is not None:
        return _checked(request)
    try:
        request = GraphQLRequest(**dict(Parameters.model_validate(value)))
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the body is not a GraphQL request: {what_is_wrong(error)};"
            ' expected a JSON object such as {"query": "{ … }", "variables": {}}',
            status=422,
        ) from error
    return _checked(request)


_COMMON_PARAMETERS = frozenset({"query", "operationName", "variables", "extensions"})
_TEXT_TYPES = frozenset({str, NoneType})
_OBJECT_TYPES = frozenset({dict, NoneType})


def _read_common(value: object) -> GraphQLRequest | None:
    """Read the common parameters in a quarter of the time of ``Parameters``; else ``None``."""
    # `parse_json` makes no subclasses of str and dict, so comparing types is enough.
    if not isinstance(value, dict):
        return None
    if not _COMMON_PARAMETERS.issuperset(cast("dict[str, Any]", value)):
        return None
    get = cast("dict[str, Any]", value).get
    query, name = get("query"), get("operationName")
    variables, extensions = get("variables"), get("extensions")
    if not (
        type(query) in _TEXT_TYPES
        and type(name) in _TEXT_TYPES
        and type(variables) in _OBJECT_TYPES
        and type(extensions) in _OBJECT_TYPES
    ):
        return None
    return GraphQLRequest(query, None, name, variables, None, extensions)


def names_operation(query_string: bytes) -> bool:
    """Return whether a URL may have a document in it, or name one.

    Args:
        query_string: The query of the URL, still percent-encoded.

    Returns:
        Whether one of ``query=``, ``documentId=`` and ``extensions=`` occurs in it.
    """
    return any(name in query_string for name in (b"query=", b"documentId=", b"extensions="))


def from_query(query_string: bytes) -> GraphQLRequest:
    """Read the GraphQL request in the URL of a GET.

    Args:
        query_string: The query of the URL, still percent-encoded.

    Returns:
        The GraphQL request. Empty parameters count as absent.

    Raises:
        RequestError: A parameter cannot be read, or is there twice.
    """
    parameters = _parameters(query_string)
    try:
        request = GraphQLRequest(
            query=parameters.get("query"),
            document_id=parameters.get("documentId"),
            operation_name=parameters.get("operationName"),
            variables=_object("variables", parameters),
            on_error=_ON_ERROR.validate_python(parameters.get("onError")),
            extensions=_object("extensions", parameters),
        )
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the URL is not a GraphQL request: {what_is_wrong(error)};"
            " expected ?query=…&variables=… with variables as a JSON object",
            status=422,
        ) from error
    return _checked(request)


def _parameters(query_string: bytes) -> dict[str, str]:
    """Read the known parameters of a URL, and ignore all others."""
    try:
        pairs = parse_qsl(query_string.decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the URL cannot be read: expected at most {_MAX_FIELDS} parameters, percent-encoded"
            " in UTF-8",
        ) from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in _URL_PARAMETERS:
            continue
        if name in parameters:
            raise RequestError(
                Code.BAD_REQUEST, f"the URL has {name} twice: expected it once", status=422
            )
        parameters[name] = value
    return parameters


def _object(name: str, parameters: dict[str, str]) -> dict[str, Any] | None:
    """Read a parameter that is a JSON object."""
    text = parameters.get(name)
    if text is None:
        return None
    return _OBJECT.validate_python(parse_json(text.encode(), what=name), strict=True)


_ERROR_FORMS = frozenset(get_args(ErrorForm))


def _checked(request: GraphQLRequest) -> GraphQLRequest:
    """Refuse a request that names no document, or that wants errors in an unknown form."""
    if not request.query and not request.names_document:
        raise RequestError(
            Code.BAD_REQUEST, 'there is no document: expected its text as "query"', status=422
        )
    form = request.errors
    if form is not None and (not isinstance(form, str) or form not in _ERROR_FORMS):
        raise RequestError(
            Code.BAD_REQUEST,
            'extensions.errors is wrong: expected "grouped" for one error for each failed source'
            ' and root field, or "each" for one at each path',
            status=422,
        )
    return request


class RequestBatch(Struct, frozen=True):
    """The operations of one HTTP request.

    Attributes:
        items: For each operation the GraphQL request, or the error that it has.
    """

    items: Sequence[GraphQLRequest | RequestError]

    @property
    def requests(self) -> Sequence[GraphQLRequest]:
        """The valid GraphQL requests, which can be executed."""
        return [item for item in self.items if isinstance(item, GraphQLRequest)]

    def answers(self, executed: Sequence[GraphQLResponse]) -> Sequence[GraphQLResponse]:
        """Return the responses to all operations, in the order of the operations.

        Args:
            executed: The responses to ``requests``, in the same order.

        Returns:
            One response for each operation: an executed one, or one with the operation's error.
        """
        rest = iter(executed)
        return [
            next(rest) if isinstance(item, GraphQLRequest) else error_answer(item)
            for item in self.items
        ]


def read_batch(values: Sequence[object], settings: BatchSettings) -> RequestBatch:
    """Read a batch of GraphQL requests.

    Args:
        values: The parsed JSON of each operation.
        settings: Whether batches are allowed, and how many operations one may have.

    Returns:
        The batch. An error in one operation is kept in its place.

    Raises:
        RequestError: Batches are not allowed, or the batch is empty or too long, or an item of it
            is not a JSON object.
    """
    if not settings.enabled:
        raise _refusal("several operations in one request are not allowed here: expected one")
    if not 1 <= len(values) <= settings.max_operations:
        raise _refusal(
            f"the body has {len(values)} operations:"
            f" expected 1 to {settings.max_operations} in one request"
        )
    if not all(isinstance(value, dict) for value in values):
        raise _refusal(
            "the body is a list with other items: expected a JSON object for each operation"
        )
    return RequestBatch([_read(value) for value in values])


def _read(value: object) -> GraphQLRequest | RequestError:
    """Read one operation of a batch, and return its error instead of raising it."""
    try:
        return from_json(value)
    except RequestError as error:
        return error


def _refusal(message: str) -> RequestError:
    """Make the error that refuses a whole batch."""
    return RequestError(Code.BAD_REQUEST, message, status=422)


def error_answer(error: RequestError) -> GraphQLResponse:
    """Make the GraphQL response to an operation that was not executed.

    Args:
        error: Why it was not executed.

    Returns:
        A response with the error, and without data.
    """
    formatted: GraphQLFormattedError = {
        "message": error.message,
        "extensions": {"code": error.code.value},
    }
    return GraphQLResponse(
        executed=False,
        data=None,
        errors=[formatted],
        status=error.status,
        headers=error.headers,
        report=OperationReport(reason=without_quotes(error.message)),
    )
