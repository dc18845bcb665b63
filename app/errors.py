"""The exceptions of the gateway, and their public codes and messages.

    GatewayError                 has a public code and a public message
    ├── RequestError             the request cannot be executed at all
    │   └── LimitError           the request would exceed a limit
    ├── BadUserInputError        a value that the client sent is wrong
    ├── ForbiddenError           the caller may not see a field
    ├── UnauthenticatedError     the caller is unknown, and a field needs it
    └── SourceError              a field's source failed; raised when the field is read
    ConfigurationError           the settings are wrong; prevents the start
    LibraryError                 a library is of another version; prevents the start
    MalformedError               a response does not fit its contract; translated where it is read
    StoreError                   a cache's store does not work (``sources/cache/store.py``); a miss

    SourceFailure                a value, not an exception: the failure of a source

The failure of a source is a ``SourceFailure``, a value beside the records of the other sources. It
becomes an exception only when a field that needs the source is read. Exceptions of libraries are
translated once, where they enter (``sources/failures.py``). Every other exception than a
``GatewayError`` is a bug of ours, and is masked for clients.
"""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeVar

from msgspec import Struct
from pydantic import ValidationError


class Code(StrEnum):
    """The public ``extensions.code`` of an error. Clients depend on these words."""

    SOURCE_TIMEOUT = "SOURCE_TIMEOUT"
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"
    SOURCE_CIRCUIT_OPEN = "SOURCE_CIRCUIT_OPEN"
    SOURCE_REJECTED = "SOURCE_REJECTED"
    SOURCE_MALFORMED = "SOURCE_MALFORMED"
    SOURCE_OVERLOADED = "SOURCE_OVERLOADED"
    GATEWAY_OVERLOADED = "GATEWAY_OVERLOADED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    AUTHENTICATION_UNAVAILABLE = "AUTHENTICATION_UNAVAILABLE"
    RATE_LIMITED = "RATE_LIMITED"
    INTROSPECTION_DISABLED = "INTROSPECTION_DISABLED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_REQUEST = "BAD_REQUEST"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    DOCUMENT_NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class CodeMeaning(Struct, frozen=True):
    """The meaning of a code for clients.

    Attributes:
        about: What the error is about: ``field``, of an answer that has data; or ``request``, which
            has no data.
        meaning: What happened, in a sentence.
        again: Whether the same request may succeed later.
        members: Further members of ``extensions``.
    """

    about: Literal["field", "request", "field or request"]
    meaning: str
    again: bool = False
    members: tuple[str, ...] = ()


_OF_A_SOURCE = ("source",)

MEANINGS: Mapping[Code, CodeMeaning] = {
    Code.SOURCE_TIMEOUT: CodeMeaning(
        "field", "The source did not answer in time.", again=True, members=_OF_A_SOURCE
    ),
    Code.SOURCE_UNAVAILABLE: CodeMeaning(
        "field",
        "There is no connection to the source, or it answered with a status of 500 or more.",
        again=True,
        members=_OF_A_SOURCE,
    ),
    Code.SOURCE_CIRCUIT_OPEN: CodeMeaning(
        "field",
        "The source was not called, because earlier calls failed.",
        again=True,
        members=_OF_A_SOURCE,
    ),
    Code.SOURCE_REJECTED: CodeMeaning(
        "field",
        "The source refused the call: a status from 400 to 499, such as one for credentials.",
        members=_OF_A_SOURCE,
    ),
    Code.SOURCE_MALFORMED: CodeMeaning(
        "field",
        "The source answered with something that does not fit its contract.",
        members=_OF_A_SOURCE,
    ),
    Code.SOURCE_OVERLOADED: CodeMeaning(
        "field",
        "The source asked for fewer calls, or too many calls to it wait already.",
        again=True,
        members=_OF_A_SOURCE,
    ),
    Code.FORBIDDEN: CodeMeaning(
        "field", "The caller may not see the field. The message says who may see it."
    ),
    Code.UNAUTHENTICATED: CodeMeaning(
        "field or request",
        "The token is missing, invalid or expired (status 401); or the field is about the caller,"
        " and there is no token.",
    ),
    Code.BAD_USER_INPUT: CodeMeaning(
        "field or request", "An argument or a variable has an invalid value."
    ),
    Code.BAD_REQUEST: CodeMeaning(
        "request", "The HTTP request is not a GraphQL request. The message says what is expected."
    ),
    Code.GRAPHQL_PARSE_FAILED: CodeMeaning("request", "The document is not GraphQL."),
    Code.GRAPHQL_VALIDATION_FAILED: CodeMeaning("request", "The document does not fit the schema."),
    Code.OPERATION_RESOLUTION_FAILURE: CodeMeaning(
        "request",
        "The document has no operation with this name, or several and the request names none; or"
        " it came by GET and is no query (status 405).",
    ),
    Code.QUERY_TOO_COMPLEX: CodeMeaning(
        "request", "The operation exceeds a limit.", members=("limit", "allowed")
    ),
    Code.INTROSPECTION_DISABLED: CodeMeaning(
        "request", "The document selects the schema, which clients may not read here."
    ),
    Code.PERSISTED_QUERY_NOT_SUPPORTED: CodeMeaning(
        "request", "The request has only the hash of its document: send the document, too."
    ),
    Code.PERSISTED_QUERY_NOT_FOUND: CodeMeaning(
        "request",
        "The document of this hash is not known yet: send it with the hash. Apollo's clients do.",
    ),
    Code.DOCUMENT_NOT_TRUSTED: CodeMeaning(
        "request", "The document is none of those that the operator provides."
    ),
    Code.RATE_LIMITED: CodeMeaning(
        "request",
        "The caller has used its quota (status 429). `Retry-After` says when there is more.",
        again=True,
        members=("limit", "allowed"),
    ),
    Code.GATEWAY_OVERLOADED: CodeMeaning(
        "request",
        "Too many operations run at the moment, or too many connections are open (status 503).",
        again=True,
    ),
    Code.AUTHENTICATION_UNAVAILABLE: CodeMeaning(
        "request", "The keys of the identity provider cannot be had (status 503).", again=True
    ),
    Code.INTERNAL_SERVER_ERROR: CodeMeaning(
        "field or request",
        "The gateway has a bug. Its log has the details under the request id.",
        members=("requestId",),
    ),
}
"""What each code means. The reference for clients is generated of it."""


_MESSAGES = {
    Code.SOURCE_TIMEOUT: "did not answer in time",
    Code.SOURCE_UNAVAILABLE: "is unavailable",
    Code.SOURCE_CIRCUIT_OPEN: "is not called at the moment, because earlier calls failed",
    Code.SOURCE_REJECTED: "rejected the request",
    Code.SOURCE_MALFORMED: "gave an answer that does not fit its contract",
    Code.SOURCE_OVERLOADED: "is overloaded",
}


class SourceFailure(Struct, frozen=True):
    """The failure of a source, as a value. It is never raised.

    Attributes:
        source: Name of the source (``profile``), or of an endpoint of one (``billing.balance``).
        code: One of the ``SOURCE_…`` codes.
        detail: The exact cause, for the log only. It may quote the source.
        retryable: Whether the same call may succeed if it is repeated soon.
        retry_after: Seconds for which the source does not want to be called again.
        divisible: Whether one key may be the cause, so that a call with fewer keys may succeed.
        unauthorized: Whether the source does not accept the gateway's credentials.
        partial: Whether the same call gave good results for other keys.
        unwritten: Whether the source was not asked: the key cannot be written in a request to it.
    """

    source: str
    code: Code
    detail: str
    retryable: bool = False
    retry_after: float | None = None
    divisible: bool = False
    unauthorized: bool = False
    partial: bool = False
    unwritten: bool = False

    @property
    def public_source(self) -> str:
        """Name of the source for clients, without the endpoint."""
        return self.source.partition(".")[0]

    @property
    def message(self) -> str:
        """The public message. No part of it comes from the source."""
        what = "cannot be asked for this key" if self.unwritten else _MESSAGES[self.code]
        return f"The {self.public_source} source {what}."


class GatewayError(Exception):
    """An error with a public code and message.

    Attributes:
        code: The public code.
        message: The public message: what is wrong, and what was expected.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RequestError(GatewayError):
    """The request cannot be executed: unreadable, not valid GraphQL, no such operation.

    Attributes:
        status: The HTTP status, by "GraphQL over HTTP".
        retry_after: Seconds after which the same request may succeed.
        headers: Further headers that the status requires.
        limit: Name of the limit in the settings that it would exceed; ``None`` for none.
        caller: Kind of caller for which that limit counts, such as ``address``; ``None`` if it
            counts for none.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int = 400,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        caller: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.limit = limit
        self.caller = caller
        self.status = status
        self.retry_after = retry_after
        self.headers = headers


class LimitError(RequestError):
    """The request would exceed a limit.

    Attributes:
        allowed: Value of the limit.
    """

    def __init__(
        self,
        limit: str,
        allowed: int,
        found: str,
        *,
        code: Code = Code.QUERY_TOO_COMPLEX,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        caller: str | None = None,
    ) -> None:
        """Make the error, with a message that names the limit.

        Args:
            limit: Name of the limit in the settings.
            allowed: Value of the limit.
            found: The actual amount, in words: ``the document has 12,345 tokens``.
            code: The public code.
            status: The HTTP status.
            headers: Further headers that the status requires.
            caller: Kind of caller for which the limit counts; ``None`` if it counts for none.
        """
        message = f"{found}: at most {allowed:,} are allowed ({limit})"
        super().__init__(code, message, status=status, headers=headers, limit=limit, caller=caller)
        self.allowed = allowed


class BadUserInputError(GatewayError):
    """An argument has an invalid value. No source was called for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.BAD_USER_INPUT, message)


class ForbiddenError(GatewayError):
    """The caller may not see a field. Its source was not called for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.FORBIDDEN, message)


class UnauthenticatedError(GatewayError):
    """A field is about the caller, and the caller is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.UNAUTHENTICATED, message)


class SourceError(GatewayError):
    """The source of the field that is read has failed.

    Attributes:
        failure: The failure. (Not named ``source``: when graphql-core locates an error, it takes
            an attribute of that name for the document's text.)
    """

    def __init__(self, failure: SourceFailure) -> None:
        super().__init__(failure.code, failure.message)
        self.failure = failure


class MalformedError(ValueError):
    """A response does not fit its contract. It becomes a ``SourceFailure`` where it is read."""


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        mistakes: One sentence per mistake: the variable, its value, and what was expected.
        unreadable: Whether a file with settings cannot be read, so that any of them may be missing.
        settings: The settings, if each is valid by itself and they are wrong together.
    """

    def __init__(
        self, mistakes: tuple[str, ...], *, unreadable: bool = False, settings: object = None
    ) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
        self.unreadable = unreadable
        self.settings = settings


class ExtensionError(Exception):
    """A function of an extension failed, or its value does not fit: a bug of the extension.

    Attributes:
        module: The module of the extension.
        field: The public name of the field that the function computes.
    """

    def __init__(self, module: str, field: str) -> None:
        super().__init__(f"{field} of the module {module} failed")
        self.module = module
        self.field = field


class LibraryError(Exception):
    """An installed library is not the one that our code was written for."""


MAX_QUOTED = 64
"""Most characters of a wrong value that a message repeats."""


def quote(value: str, *, most: int = MAX_QUOTED) -> str:
    """Quote a value of a client for a message.

    Args:
        value: The value, of any length.
        most: The most characters of it that are repeated.

    Returns:
        The value as a JSON string, cut if it is too long. Unprintable characters are escaped.
    """
    text = json.dumps(value if len(value) <= most else value[:most] + "…", ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def without_quotes(message: str) -> str:
    """Leave out what a message quotes, for the log.

    Args:
        message: A message for a client. All words of the client in it are quoted by ``quote``.

    Returns:
        The message, with three dots between each pair of quotes.
    """
    return _QUOTED.sub('"…"', message)


_JSON_MESSAGES = {
    "dict_type": "Input should be an object",
    "mapping_type": "Input should be an object",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "list_type": "Input should be a list",
    "tuple_type": "Input should be a list",
    "none_required": "Input should be null",
}
"""Messages in the words of JSON for errors whose pydantic message has Python's words."""

_QUOTING_TYPES = frozenset({"literal_error", "enum"})
"""Types of errors whose pydantic message quotes words as Python does."""


def what_is_wrong(error: ValidationError) -> str:
    """Describe why data does not fit its model, without the data: it may be personal or secret.

    Args:
        error: The error of pydantic.

    Returns:
        The place and message of the first error, and the number of further errors.
    """
    (_, first), *more = mistakes_in(error)
    return first + (f" (and {len(more)} more)" if more else "")


def mistakes_in(error: ValidationError) -> list[tuple[str, str]]:
    """List why data does not fit its model, without the data: it may be personal or secret.

    Args:
        error: The error of pydantic.

    Returns:
        For each error, the name of the member in which it is (empty for the data as a whole), and
        its place with its message.
    """
    found: list[tuple[str, str]] = []
    details = error.errors(include_url=False, include_input=False, include_context=False)
    lists = {detail["loc"][:-1] for detail in details}
    for detail in details:
        if detail["type"] == "too_short" and detail["loc"] in lists:
            continue  # it counts only the items that fit, and those that do not are listed
        place = [str(part) for part in detail["loc"]]
        message = _JSON_MESSAGES.get(detail["type"], detail["msg"]).removeprefix("Value error, ")
        message = message.replace("Tuple should", "List should").replace(" after validation", "")
        if detail["type"] in _QUOTING_TYPES:
            message = message.replace("'", '"')
        found.append((place[0] if place else "", f"{'.'.join(place) or 'all of it'}: {message}"))
    return found


E = TypeVar("E", bound=BaseException)


def bare(error: E) -> E:
    """Remove traceback, cause and context from an exception that is kept as a value.

    The traceback refers to frames with all their variables. These would live as long as the
    exception; if one of them refers to the exception, they would live until the garbage collector
    runs. The same is true of the exceptions that it was raised from.

    Args:
        error: The exception. It is not raised again.

    Returns:
        The same exception.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
