"""Trusted documents: those that the operator has provided, named by their hash.

If only these are executed (setting ``only``), no client can run any other document: neither an
expensive query nor an introspection. ``document_store_of`` chooses the document store by the
settings.
"""

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jiter
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import Code, ConfigurationError, RequestError, quote, what_is_wrong
from app.execution.document_store import (
    DocumentStore,
    InlineDocuments,
    PersistedDocumentStore,
    hash_of,
    name_of,
)
from app.execution.request import GraphQLRequest
from app.execution.shared_documents import SharedDocuments
from app.settings.files import files_in
from app.settings.models import Settings
from app.settings.nested import NOTHING, Keys, value_at

DOCUMENT_SUFFIXES = frozenset({".graphql", ".gql"})
MANIFEST_SUFFIX = ".json"


class ManifestOperation(BaseModel):
    """A document in Apollo's manifest."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    id: str = Field(min_length=1, description="The name that clients send; the hash by default.")
    body: str = Field(min_length=1, description="The text of the document.")


class ApolloManifest(BaseModel):
    """The manifest that ``generate-persisted-query-manifest`` writes for Apollo's clients."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    format: Literal["apollo-persisted-query-manifest"] = Field(description="Name of the format.")
    version: Literal[1] = Field(description="Version of the format.")
    operations: tuple[ManifestOperation, ...] = Field(description="The documents.")


_APOLLO = TypeAdapter(ApolloManifest)
_Text = Annotated[str, Field(min_length=1)]
_RELAY = TypeAdapter(dict[_Text, _Text])
"""The file that Relay's compiler writes (``persistConfig.file``): texts by their MD5."""


class TrustedDocuments:
    """The documents that the operator has provided.

    Attributes:
        texts: The texts of the documents.
    """

    def __init__(self, texts_by_name: Mapping[str, str]) -> None:
        """Make a set of documents.

        Args:
            texts_by_name: Texts by name. A document's SHA-256 is a further name of it.
        """
        self.texts = frozenset[str](texts_by_name.values())
        self._by_name = {**{hash_of(text): text for text in self.texts}, **texts_by_name}

    def get(self, name: str) -> str | None:
        """Find a text by its name.

        Args:
            name: The name that a client sent.

        Returns:
            The text; ``None`` if no document has this name.
        """
        return self._by_name.get(name)


class TrustedDocumentStore:
    """Finds the text among trusted documents."""

    def __init__(self, documents: TrustedDocuments, otherwise: DocumentStore | None) -> None:
        """Make a store.

        Args:
            documents: The trusted documents.
            otherwise: Finds the text of other documents; ``None`` to refuse them.
        """
        self._documents = documents
        self._otherwise = otherwise

    def search(self, request: GraphQLRequest) -> Awaitable[None] | None:
        """Search elsewhere for a document that is not trusted, if such documents are executed.

        Args:
            request: The request.

        Returns:
            The search, to await; ``None`` if there is nothing to search for.

        Raises:
            RequestError: ``extensions.persistedQuery`` is malformed.
        """
        if self._otherwise is None:
            return None
        if request.query or (name := name_of(request)) is None:
            return None
        return None if self._documents.get(name) is not None else self._otherwise.search(request)

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text by its name, or in the request if it is a trusted document's text.

        Args:
            request: The request.

        Returns:
            The text of the document.

        Raises:
            RequestError: The document is not trusted and others are refused, or there is none.
        """
        text = request.query
        if not text and (name := name_of(request)) is not None:
            text = self._documents.get(name)
        if text in self._documents.texts:
            return text
        if self._otherwise is not None:
            return self._otherwise.text_of(request)
        raise RequestError(
            Code.DOCUMENT_NOT_TRUSTED,
            "only trusted documents are executed here:"
            " expected the hash of one, or exactly its text",
        )

    def is_trusted(self, text: str) -> bool:
        """Return whether a document is trusted.

        Args:
            text: The text of the document.

        Returns:
            Whether the operator has provided it.
        """
        return text in self._documents.texts

    def keep(self, request: GraphQLRequest) -> None:
        """Keep a document that is not trusted, if such documents are executed.

        Args:
            request: The request.
        """
        if self._otherwise is not None and request.query not in self._documents.texts:
            self._otherwise.keep(request)


def load_trusted(path: Path) -> TrustedDocuments:
    """Read trusted documents.

    Args:
        path: A manifest (``.json``) of Apollo's or Relay's format, a document (``.graphql``,
            ``.gql``), or a folder of such files, which may have folders in it.

    Returns:
        The documents.

    Raises:
        ConfigurationError: A file cannot be read, or there is no document.
    """
    texts_by_name: dict[str, str] = {}
    mistakes: list[str] = []
    for file in _files(path):
        try:
            found = _read(file)
        except (OSError, ValueError) as error:
            mistakes.append(f"{file} cannot be read: {_reason(error)}")
            continue
        for name, text in found:
            if texts_by_name.setdefault(name, text) != text:
                mistakes.append(f"{file} has {quote(name)}, which is the name of another document")
    if not texts_by_name and not mistakes:
        mistakes.append(
            f"{path} has no documents: expected a manifest (.json), a document (.graphql), or a"
            " folder of them"
        )
    if mistakes:
        raise ConfigurationError(tuple(mistakes))
    return TrustedDocuments(texts_by_name)


def _files(path: Path) -> Iterable[Path]:
    """List the files to read."""
    if not path.is_dir():
        return (path,)
    suffixes = {*DOCUMENT_SUFFIXES, MANIFEST_SUFFIX}
    return [file for file in files_in(path) if file.suffix in suffixes]


def _read(file: Path) -> list[tuple[str, str]]:
    """Read the documents of a file, with their names."""
    if file.suffix == MANIFEST_SUFFIX:
        return list(_manifest(jiter.from_json(file.read_bytes(), catch_duplicate_keys=True)))
    text = file.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("expected the text of a document")
    # Editors end a file with a line break, which clients do not send.
    return [(hash_of(variant), variant) for variant in (text, text.strip())]


def _manifest(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 # any JSON
    """Read a manifest of either format."""
    if isinstance(value, dict) and "operations" in value:
        for operation in _APOLLO.validate_python(value).operations:
            yield operation.id, operation.body
    else:
        yield from _RELAY.validate_python(value, strict=True).items()


def _reason(error: OSError | ValueError) -> str:
    """Return the reason why a file cannot be read."""
    if isinstance(error, ValidationError):
        return f"{what_is_wrong(error)}; expected a manifest of Apollo's or Relay's format"
    if isinstance(error, OSError):
        return f"{error.strerror}; expected a manifest, a document, or a folder of them"
    what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return f"{what}; expected UTF-8 text or JSON"


_PATH: Keys = ("trusted", "path")

_NO_PATH = (
    "is missing: expected a manifest, a document or a folder of them, because"
    " GATEWAY_TRUSTED__MODE is only"
)


def misfits_of_documents(values: object) -> Iterator[tuple[Keys, str]]:
    """Find what is wrong with trusted documents. A ``SettingsCheck``, for those who serve.

    Args:
        values: All settings, nested as in the file.

    Yields:
        The setting of the documents, and what is wrong; once for each file that cannot be used.
    """
    path = value_at(values, _PATH)
    if isinstance(path, str):
        try:
            load_trusted(Path(path))
        except ConfigurationError as error:
            for mistake in error.mistakes:
                yield _PATH, f"cannot be used: {mistake}."
    elif (path is NOTHING or path is None) and value_at(values, ("trusted", "mode")) == "only":
        yield _PATH, f"{_NO_PATH}."


def persisted_documents_of(
    settings: Settings, shared: SharedDocuments | None = None
) -> PersistedDocumentStore:
    """Make the store of documents that clients have sent with their hash.

    Args:
        settings: All settings.
        shared: The documents in the shared store; ``None`` if there are none.

    Returns:
        The store. It keeps nothing if the settings do not allow it.
    """
    size = settings.persisted.max_documents if settings.persisted.enabled else 0
    memory = settings.limits.memory.persisted
    return PersistedDocumentStore(size, max_bytes=memory, shared=shared)


def document_store_of(
    settings: Settings, automatic: PersistedDocumentStore | None = None
) -> DocumentStore:
    """Choose the document store by the settings.

    Args:
        settings: All settings.
        automatic: The documents that clients have sent, from ``persisted_documents_of``; a new
            store by default.

    Returns:
        The document store.

    Raises:
        ConfigurationError: Trusted documents cannot be read, or only trusted documents are executed
            and there are none.
    """
    automatic = automatic or persisted_documents_of(settings)
    if settings.trusted.path is None:
        if settings.trusted.mode == "only":
            raise ConfigurationError((f"GATEWAY_TRUSTED__PATH {_NO_PATH}",))
        return automatic if automatic.size else InlineDocuments()
    # Beside trusted documents, a store of size 0 is useful: it asks clients to send the text.
    otherwise = automatic if settings.trusted.mode == "also" else None
    return TrustedDocumentStore(load_trusted(settings.trusted.path), otherwise)
