"""From an HTTP request to the parameters of GraphQL requests: one, or a batch of them.

From an HTTP request to the parameters of a GraphQL request. Pure.

By "GraphQL over HTTP" (September 2026), what is no JSON is answered with status 400, and JSON that
is no GraphQL request with 422.

Several operations in one HTTP request: a JSON array of requests, answered by one of answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, cast
from urllib.parse import parse_qsl

import jiter
from graphql import GraphQLFormattedError
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from app.errors import Code, RequestError, what_is_wrong
from app.execution.request import GraphQLRequest, GraphQLResponse, OnError
from app.settings.server import BatchSettings


class Parameters(BaseModel):
    """The parameters of a request as a client writes them in JSON. Others are ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )

    query: str | None = Field(default=None, description="The document.")
    document_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("documentId", "doc_id"),
        description="Names a document that the gateway has (the specification's appendix on"
        " persisted documents; Relay's clients say `doc_id`).",
    )
    operation_name: str | None = Field(
        default=None, description="Which of the document's operations to execute."
    )
    variables: dict[str, Any] | None = Field(
        default=None, description="Values of the operation's variables."
    )
    on_error: OnError | None = Field(default=None, description="What an error does to the answer.")
    extensions: dict[str, Any] | None = Field(
        default=None, description="What a client has to say beyond the specification."
    )


_OBJECT = TypeAdapter(dict[str, Any])
_ON_ERROR: TypeAdapter[OnError | None] = TypeAdapter(OnError | None)

_NAMES = frozenset({"query", "operationName", "variables", "onError", "extensions", "documentId"})
_MAX_REASON = 200
_MAX_FIELDS = 100


def parse_json(data: bytes, *, what: str = "the body") -> object:
    """Parse JSON, and nothing that readers of JSON could understand differently.

    Args:
        data: The JSON.
        what: What it is, for the message.

    Returns:
        The value.

    Raises:
        RequestError: It is no JSON (RFC 8259) in UTF-8, is nested more than 200 deep, or an object
            in it has the same name twice: who reads the first would see another request than who
            reads the last.
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
    """Read the parameters of a POST.

    Args:
        value: The JSON of its body.

    Returns:
        The parameters.

    Raises:
        RequestError: It is not the JSON of a GraphQL request.
    """
    request = _everyday(value)
    if request is not None:
        return _with_document(request)
    try:
        request = GraphQLRequest(**dict(Parameters.model_validate(value)))
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"the body is no GraphQL request: {what_is_wrong(error)};"
            ' expected a JSON object such as {"query": "{ … }", "variables": {}}',
            status=422,
        ) from error
    return _with_document(request)


_EVERYDAY = frozenset({"query", "operationName", "variables", "extensions"})
_TEXT = frozenset({str, NoneType})
_OBJECTS = frozenset({dict, NoneType})


def _everyday(value: object) -> GraphQLRequest | None:
    """Read what nearly all clients send.

    Args:
        value: JSON that ``parse_json`` has read, so that texts and objects are of no other type.

    Returns:
        The parameters as ``Parameters`` would have them, at a fourth of the cost; ``None`` where
        there is anything in them that it has to look at, or to explain.
    """
    if not isinstance(value, dict) or not _EVERYDAY.issuperset(cast("dict[str, Any]", value)):
        return None
    find = cast("dict[str, Any]", value).get
    query, name = find("query"), find("operationName")
    variables, extensions = find("variables"), find("extensions")
    if not (
        type(query) in _TEXT
        and type(name) in _TEXT
        and type(variables) in _OBJECTS
        and type(extensions) in _OBJECTS
    ):
        return None
    return GraphQLRequest(query, None, name, variables, None, extensions)


def asks_something(query_string: bytes) -> bool:
    """Tell whether a URL names a document, or has one in it.

    Args:
        query_string: The query of the URL, as it came.

    Returns:
        Whether it does.
    """
    return any(name in query_string for name in (b"query=", b"documentId=", b"extensions="))


def from_query(query_string: bytes) -> GraphQLRequest:
    """Read the parameters of a GET.

    Args:
        query_string: The query of its URL, as it came.

    Returns:
        The parameters. An empty one is none.

    Raises:
        RequestError: One of them cannot be read, or is there twice.
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
            f"the URL is no GraphQL request: {what_is_wrong(error)};"
            " expected ?query=…&variables=… with variables as a JSON object",
            status=422,
        ) from error
    return _with_document(request)


def _parameters(query_string: bytes) -> dict[str, str]:
    """Read the parameters that mean something here; others may be there for others."""
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
        if name not in _NAMES:
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


def _with_document(request: GraphQLRequest) -> GraphQLRequest:
    """Let only requests through that bring a document, or name one."""
    if not request.query and not request.names_document:
        raise RequestError(
            Code.BAD_REQUEST, 'there is no document: expected its text as "query"', status=422
        )
    return request


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Several operations.

    Attributes:
        items: Each as it was asked for, or what is wrong with it.
    """

    items: Sequence[GraphQLRequest | RequestError]

    @property
    def requests(self) -> Sequence[GraphQLRequest]:
        """Those that can be run."""
        return [one for one in self.items if isinstance(one, GraphQLRequest)]

    def answers(self, ran: Sequence[GraphQLResponse]) -> Sequence[GraphQLResponse]:
        """Put the answers into the order of the operations.

        Args:
            ran: Those to ``requests``.

        Returns:
            One for each operation; what is wrong with it where it was not run.
        """
        rest = iter(ran)
        return [
            next(rest) if isinstance(one, GraphQLRequest) else refused(one) for one in self.items
        ]


def read_batch(values: Sequence[object], settings: BatchSettings) -> RequestBatch:
    """Read a batch.

    Args:
        values: The JSON of its operations.
        settings: Whether there may be one, and how long.

    Returns:
        The batch.

    Raises:
        RequestError: There may be none, or it is empty, too long, or of something else.
    """
    if not settings.enabled:
        raise _refusal("several operations in one request are not executed here: expected one")
    if not 1 <= len(values) <= settings.max_operations:
        raise _refusal(
            f"the body has {len(values)} operations:"
            f" expected 1 to {settings.max_operations} in one request"
        )
    if not all(isinstance(value, dict) for value in values):
        raise _refusal(
            "the body is a list of something else: expected a JSON object for each operation"
        )
    return RequestBatch([_read(value) for value in values])


def _read(value: object) -> GraphQLRequest | RequestError:
    """Read one operation; what is wrong with one does not concern the others."""
    try:
        return from_json(value)
    except RequestError as error:
        return error


def _refusal(message: str) -> RequestError:
    """Refuse a batch as a whole."""
    return RequestError(Code.BAD_REQUEST, message, status=422)


def refused(error: RequestError) -> GraphQLResponse:
    """Answer an operation that was not run.

    Args:
        error: Why it was not.

    Returns:
        The answer.
    """
    told: GraphQLFormattedError = {
        "message": error.message,
        "extensions": {"code": error.code.value},
    }
    return GraphQLResponse(
        executed=False, data=None, errors=[told], status=error.status, headers=error.headers
    )
