"""Everything that can go wrong here, its code and what clients are told of it.

    GatewayError                 has a public code and a public message
    ├── RequestError             the request cannot be executed at all
    │   └── LimitError           it would cost more than it may
    ├── BadUserInputError        a value that the client sent is wrong
    ├── ForbiddenError           the caller may not see a field
    ├── UnauthenticatedError     nobody has said who asks
    └── SourceError        a field's source failed; raised when the field is read
    ConfigurationError           the settings are wrong; stops the start
    MalformedError               an answer is not the contract; never leaves ``sources/``
    StoreError                   a cache's store does not work (``sources/cache/store.py``); a miss

    SourceFailure                  a value, not an exception: what a source gave instead of a record

What a source could not do travels as a ``SourceFailure`` beside the records of the other sources,
and turns into an exception only where a field that needs it is read. Foreign exceptions are
translated once, where they enter (``sources/failures.py``). Whatever is no ``GatewayError`` is a
bug of ours, and clients see it masked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError


class Code(StrEnum):
    """The public ``extensions.code`` of an error. Clients rely on these words."""

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


_MESSAGES = {
    Code.SOURCE_TIMEOUT: "did not answer in time",
    Code.SOURCE_UNAVAILABLE: "is unavailable",
    Code.SOURCE_CIRCUIT_OPEN: "is not asked for the moment, since it kept failing",
    Code.SOURCE_REJECTED: "rejected the request",
    Code.SOURCE_MALFORMED: "gave an answer that does not fit its contract",
    Code.SOURCE_OVERLOADED: "is overloaded",
}


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """What a source gave instead of a record: a failure as a value, never raised.

    Attributes:
        source: Name of the source (``profile``), or of an endpoint of one (``billing.balance``).
        code: Which of the ``SOURCE_…`` codes it is.
        detail: What exactly happened, for the log alone; it may quote the source.
        retryable: Whether the same call may succeed when it is made again soon.
        retry_after: Seconds that the source wants to be left alone before that.
        divisible: Whether it may be the fault of one key alone, so that a call with fewer may
            succeed.
        unauthorized: Whether the source does not take what the gateway shows that it may ask.
    """

    source: str
    code: Code
    detail: str
    retryable: bool = False
    retry_after: float | None = None
    divisible: bool = False
    unauthorized: bool = False

    @property
    def public_source(self) -> str:
        """Name of the source, as clients know it: endpoints are no business of theirs."""
        return self.source.partition(".")[0]

    @property
    def message(self) -> str:
        """What clients are told; nothing in it comes from the source."""
        return f"The {self.public_source} source {_MESSAGES[self.code]}."


class GatewayError(Exception):
    """An error whose code and message are meant for clients.

    Attributes:
        code: The public code.
        message: The public message: what is wrong and what would be right.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RequestError(GatewayError):
    """The request cannot be executed: unreadable, not valid GraphQL, no such operation.

    Attributes:
        status: HTTP status for it, as "GraphQL over HTTP" has it.
        retry_after: Seconds after which the same request may be executed.
        headers: Further headers that the status calls for.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int = 400,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.retry_after = retry_after
        self.headers = headers


class LimitError(RequestError):
    """The request would cost more than it may.

    Attributes:
        limit: Name of the limit, as the settings have it.
        allowed: Its value.
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
    ) -> None:
        """Say so.

        Args:
            limit: Name of the limit.
            allowed: Its value.
            found: What has how much of it: ``the document has 12,345 tokens``.
            code: The public code.
            status: HTTP status.
            headers: Further headers that the status calls for.
        """
        message = f"{found}: at most {allowed:,} are allowed ({limit})"
        super().__init__(code, message, status=status, headers=headers)
        self.limit = limit
        self.allowed = allowed


class BadUserInputError(GatewayError):
    """An argument has a value that cannot be right. Nothing was called for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.BAD_USER_INPUT, message)


class ForbiddenError(GatewayError):
    """The caller may not see a field. Its source was not called for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.FORBIDDEN, message)


class UnauthenticatedError(GatewayError):
    """A field asks about the caller, and nobody has said who that is."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.UNAUTHENTICATED, message)


class SourceError(GatewayError):
    """The field that was read comes from a source that failed.

    Attributes:
        failure: How it failed. (An attribute named ``source`` would be taken for the document's
            text by graphql-core, which looks for one when it locates an error.)
    """

    def __init__(self, error: SourceFailure) -> None:
        super().__init__(error.code, error.message)
        self.failure = error


class MalformedError(ValueError):
    """An answer of a source does not fit its contract; becomes a ``SourceFailure`` at once."""


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        mistakes: One sentence a mistake: the variable, what it got, what would be right.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


MAX_QUOTED = 64
"""How much of a wrong value, in characters, a message repeats."""


def quote(value: str, *, most: int = MAX_QUOTED) -> str:
    """Quote what a client sent, for a message.

    Args:
        value: What it sent, of any length.
        most: How many characters of it are repeated.

    Returns:
        It as JSON, cut where it is long. What a terminal would not print is escaped.
    """
    text = json.dumps(value if len(value) <= most else value[:most] + "…", ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


_OF_JSON = {
    "dict_type": "Input should be an object",
    "mapping_type": "Input should be an object",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "list_type": "Input should be a list",
    "tuple_type": "Input should be a list",
    "none_required": "Input should be null",
}
"""What pydantic says in words of Python, in those of JSON."""

_WORDS = frozenset({"literal_error", "enum"})
"""Where pydantic lists words, which it quotes as Python does."""


def what_is_wrong(error: ValidationError) -> str:
    """Say where data does not fit its model, without quoting it: it may be personal or secret.

    Args:
        error: What pydantic found.

    Returns:
        The first place and what is wrong there, and how many more there are.
    """
    first, *more = error.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(str(part) for part in first["loc"]) or "all of it"
    message = _OF_JSON.get(first["type"], first["msg"])
    if first["type"] in _WORDS:
        message = message.replace("'", '"')
    return f"{place}: {message}" + (f" (and {len(more)} more)" if more else "")


E = TypeVar("E", bound=BaseException)


def bare(error: E) -> E:
    """Take from an exception what it was raised through, before it is kept as a value.

    Its traceback has the frames, each with all of its variables: they would live as long as the
    exception, and where one of these variables leads back to the exception, until the garbage
    collector comes. The same goes for the exceptions that it was raised from.

    Args:
        error: The exception, which is not raised again.

    Returns:
        The same.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
