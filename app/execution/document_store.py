"""Document stores: they find the text of a document in the request, or by the name in it.

- ``InlineDocuments``: the text is in the request.
- ``PersistedDocumentStore``: clients have sent the text before.
- ``TrustedDocumentStore``: the operator has provided the text (``trusted.py``).

Automatic persisted queries follow the protocol of Apollo's clients. The client first sends the hash
alone, by POST or GET. If the hash is unknown, an error says so; the client then sends the whole
document with the hash, and the gateway keeps both. This saves bandwidth and keeps GETs short. It
is no access control (``trusted.py`` is).
"""

import hashlib
import sys
from collections.abc import Awaitable, Iterable
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import Code, RequestError, what_is_wrong
from app.execution.bounded_cache import BoundedCache
from app.execution.documents import MAX_CACHED
from app.execution.request import GraphQLRequest
from app.execution.shared_documents import SharedDocuments


class DocumentStore(Protocol):
    """Finds the text of a request's document."""

    def search(self, request: GraphQLRequest) -> Awaitable[None] | None:
        """Search for a document elsewhere, before ``text_of``, if this process does not have it.

        Args:
            request: The request.

        Returns:
            The search, to await; ``None`` if there is nothing to search for, the common case.

        Raises:
            RequestError: The name of the document is malformed.
        """
        ...

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text of a request's document.

        Args:
            request: The request.

        Returns:
            The text of the document.

        Raises:
            RequestError: There is no text, or it may not be executed.
        """
        ...

    def is_trusted(self, text: str) -> bool:
        """Return whether the operator has provided a document.

        Args:
            text: The text of the document.

        Returns:
            Whether it is a trusted document.
        """
        ...

    def keep(self, request: GraphQLRequest) -> None:
        """Keep the document of a request for later requests, after its caller has paid for it.

        Args:
            request: The request; ``text_of`` has found its text.
        """
        ...


class InlineDocuments:
    """Finds the text in the request only."""

    def search(self, request: GraphQLRequest) -> Awaitable[None] | None:
        """Search nowhere.

        Args:
            request: The request.

        Returns:
            ``None``.
        """
        del request
        return None

    def text_of(self, request: GraphQLRequest) -> str:
        """Return the text in the request.

        Args:
            request: The request.

        Returns:
            The text of the document.

        Raises:
            RequestError: There is no text. If the request only names its document, the code asks
                the client to send the text.
        """
        if request.query:
            return request.query
        if request.names_document:
            # Apollo's clients look for this message and code, and then send the whole document.
            # They expect status 200.
            raise RequestError(
                Code.PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported", status=200
            )
        raise no_document_error()

    def is_trusted(self, text: str) -> bool:
        """Return that no document is trusted.

        Args:
            text: The text of the document.

        Returns:
            ``False``.
        """
        del text
        return False

    def keep(self, request: GraphQLRequest) -> None:
        """Keep nothing.

        Args:
            request: The request.
        """


def no_document_error() -> RequestError:
    """Make the error of a request that neither has nor names a document.

    Returns:
        The error.
    """
    return RequestError(Code.BAD_REQUEST, 'there is no document: expected its text as "query"')


PREFIX = "sha256:"
"""The prefix of hashes (the specification's appendix on persisted documents)."""


class PersistedQuery(BaseModel):
    """``extensions.persistedQuery`` of a request."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    version: int = Field(default=1, ge=1, le=1, description="Version of the protocol.")
    sha256_hash: str = Field(
        alias="sha256Hash", min_length=1, max_length=256, description="SHA-256 of the document."
    )


_EXTENSION = TypeAdapter(PersistedQuery)


def name_of(request: GraphQLRequest) -> str | None:
    """Return the name by which a request names its document.

    Args:
        request: The request.

    Returns:
        The name: a hash, or an id of a manifest. ``None`` if the request names no document.

    Raises:
        RequestError: ``extensions.persistedQuery`` is malformed.
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
    """Compute the hash that names a document.

    Args:
        text: The text of the document.

    Returns:
        SHA-256 of the text in UTF-8, in lower-case hex.
    """
    return hashlib.sha256(text.encode()).hexdigest()


class PersistedDocumentStore:
    """Keeps the documents that clients have sent with their hash, those that were used last.

    Attributes:
        size: The most documents that it keeps.
    """

    def __init__(self, size: int, *, max_bytes: int, shared: SharedDocuments | None = None) -> None:
        """Make a store.

        Args:
            size: The most documents that it keeps; none that is longer than ``MAX_CACHED``.
            max_bytes: The most bytes that all documents may have together.
            shared: The documents in the shared store; ``None`` if there are none.
        """
        self.size = size
        self._shared = shared if size else None
        self._kept = BoundedCache[str, str](max_bytes, max_entries=size)

    def search(self, request: GraphQLRequest) -> Awaitable[None] | None:
        """Search in the shared store for a document that this process does not have.

        Args:
            request: The request.

        Returns:
            The search, to await; ``None`` if there is nothing to search for.

        Raises:
            RequestError: ``extensions.persistedQuery`` is malformed.
        """
        if self._shared is None or request.query or (name := name_of(request)) is None:
            return None
        if name in self._kept or not self._shared.may_have(name):
            return None
        return self._find_shared(self._shared, name)

    @property
    def bytes(self) -> int:
        """The bytes of all kept documents."""
        return self._kept.bytes

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text in the request, or by the document's name.

        Args:
            request: The request.

        Returns:
            The text of the document.

        Raises:
            RequestError: There is no text, its name is unknown, or its hash is not the name.
        """
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

    def is_trusted(self, text: str) -> bool:
        """Return that no document is trusted: any client may keep one.

        Args:
            text: The text of the document.

        Returns:
            ``False``.
        """
        del text
        return False

    def keep(self, request: GraphQLRequest) -> None:
        """Keep the text of a request that also names its document.

        Args:
            request: The request.
        """
        if request.query and (name := name_of(request)) is not None:
            if self._shared is not None and name not in self._kept:
                self._shared.put(name, request.query)
            self._keep(name, request.query)

    def keep_all_of(self, before: "PersistedDocumentStore") -> None:
        """Keep what another store has, as far as there is room.

        Args:
            before: The other store.
        """
        for name, text in before.texts():
            self._keep(name, text)

    def texts(self) -> Iterable[tuple[str, str]]:
        """List the documents.

        Returns:
            The name and the text of each; the one that was used last is the last.
        """
        return self._kept.items()

    async def _find_shared(self, shared: SharedDocuments, name: str) -> None:
        """Keep a document that the shared store has."""
        if (text := await shared.get(name)) is not None:
            self._keep(name, text)

    def _find(self, name: str | None) -> str:
        """Find a text by its name."""
        if name is None:
            raise no_document_error()
        if (text := self._kept.get(name)) is None:
            # Apollo's clients look for this message and code, and expect status 200.
            raise RequestError(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound", status=200)
        return text

    def _keep(self, name: str, text: str) -> None:
        """Keep a text under its name."""
        if len(text) <= MAX_CACHED:
            self._kept.put(name, text, sys.getsizeof(name) + sys.getsizeof(text))
