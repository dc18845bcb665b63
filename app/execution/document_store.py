"""Where the text of a document comes from: the request, or a hash (persisted queries).

Where the text of a document comes from: the request itself, or what it names one by.

Texts                            finds the text ├── InlineDocuments                   in the
request, and nowhere else ├── PersistedDocumentStore               among those that clients have
sent before (``document_store.py``) └── TrustedDocumentStore                 among those that the
operator has given (``trusted.py``)

Automatic persisted queries: a client sends a document once, and its hash from then on.

The protocol is that of Apollo's clients. The hash alone comes first, by POST or GET; where it is
unknown the client is told so and sends the whole document with the hash, which is kept. It saves
bandwidth and makes GETs short; it allows and forbids nothing (``trusted.py`` does).
"""

import hashlib
import sys
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import Code, RequestError, what_is_wrong
from app.execution.bounded_cache import BoundedCache
from app.execution.documents import MAX_CACHED
from app.execution.request import GraphQLRequest


class DocumentStore(Protocol):
    """Finds the text of a request's document."""

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text.

        Args:
            request: What the client asks for.

        Returns:
            The text of its document.

        Raises:
            RequestError: There is none, or it may not be executed.
        """
        ...

    def keep(self, request: GraphQLRequest) -> None:
        """Keep what a request brings for others, once its caller has paid for it.

        Args:
            request: What the client asks for; ``of`` has found its text.
        """
        ...


class InlineDocuments:
    """Finds the text in the request."""

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text; a request that only names its document is told to send it."""
        if request.query:
            return request.query
        if request.names_document:
            # Apollo's clients look for this message and code, and then send the whole document.
            # They expect it as an answer, not as a failure of the request.
            raise RequestError(
                Code.PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported", status=200
            )
        raise no_document_error()

    def keep(self, request: GraphQLRequest) -> None:
        """Keep nothing."""


def no_document_error() -> RequestError:
    """Say that a request neither has nor names a document."""
    return RequestError(Code.BAD_REQUEST, 'there is no document: expected its text as "query"')


PREFIX = "sha256:"
"""What the specification's appendix on persisted documents has before a hash."""


class PersistedQuery(BaseModel):
    """``extensions.persistedQuery`` of a request."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = Field(default=1, ge=1, le=1, description="Version of the protocol.")
    sha256_hash: str = Field(
        alias="sha256Hash", min_length=1, max_length=256, description="SHA-256 of the document."
    )


_EXTENSION = TypeAdapter(PersistedQuery)


def name_of(request: GraphQLRequest) -> str | None:
    """Find by which name a request names its document.

    Args:
        request: What the client asks for.

    Returns:
        The name: a hash, or whatever a manifest calls it. ``None`` when it names none.

    Raises:
        RequestError: ``extensions.persistedQuery`` is not what it should be.
    """
    if request.document_id is not None:
        return request.document_id.removeprefix(PREFIX)
    if not request.names_document:
        return None
    try:
        named = _EXTENSION.validate_python((request.extensions or {})["persistedQuery"])
    except ValidationError as error:
        raise RequestError(
            Code.BAD_REQUEST,
            f"extensions.persistedQuery is wrong: {what_is_wrong(error)};"
            ' expected {"version": 1, "sha256Hash": "…"}',
        ) from error
    return named.sha256_hash


def hash_of(text: str) -> str:
    """Compute the name of a document.

    Args:
        text: Its text.

    Returns:
        SHA-256 of its UTF-8, in lower-case hex.
    """
    return hashlib.sha256(text.encode()).hexdigest()


class PersistedDocumentStore:
    """Keeps the documents that clients have sent with their hash, those that were used last."""

    def __init__(self, size: int, *, max_bytes: int) -> None:
        """Make a store.

        Args:
            size: How many documents it keeps; none that is longer than ``MAX_CACHED``.
            max_bytes: How many bytes they may have together.
        """
        self._kept = BoundedCache[str, str](max_bytes, max_entries=size)

    @property
    def bytes(self) -> int:
        """How many bytes the documents have."""
        return self._kept.bytes

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text in the request, or by its name."""
        name = name_of(request)
        text = request.query
        if not text:
            return self._find(name)
        if name is None:
            return text
        if hash_of(text) != name:
            raise RequestError(
                Code.BAD_REQUEST,
                "provided sha does not match query: expected the SHA-256 of the document, in hex",
            )
        return text

    def keep(self, request: GraphQLRequest) -> None:
        """Keep the text of a request that names it, too."""
        if request.query and (name := name_of(request)) is not None:
            self._keep(name, request.query)

    def _find(self, name: str | None) -> str:
        """Find a text by its name."""
        if name is None:
            raise no_document_error()
        if (text := self._kept.get(name)) is None:
            # Apollo's clients look for this message and code, and expect it as an answer.
            raise RequestError(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound", status=200)
        return text

    def _keep(self, name: str, text: str) -> None:
        """Keep a text, and let go of the one that was not used for longest."""
        if len(text) <= MAX_CACHED:
            self._kept.put(name, text, sys.getsizeof(name) + sys.getsizeof(text))
