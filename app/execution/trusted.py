"""Trusted documents: known by their hash; and how requests may name documents.

Trusted documents: those that the operator has given, known by their hash.

Where nothing else is executed (``only``), no client can ask what nobody has written down: neither a
stranger's costly query nor a look at the schema.

How requests may name their documents, by the settings.
"""

from collections.abc import Iterable, Iterator, Mapping
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
from app.settings.models import Settings

DOCUMENT_SUFFIXES = frozenset({".graphql", ".gql"})
MANIFEST_SUFFIX = ".json"


class ManifestOperation(BaseModel):
    """A document of Apollo's manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1, description="How clients name it; its hash by default.")
    body: str = Field(min_length=1, description="Its text.")


class ApolloManifest(BaseModel):
    """What ``generate-persisted-query-manifest`` writes for Apollo's clients."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["apollo-persisted-query-manifest"] = Field(description="What it is.")
    version: Literal[1] = Field(description="Version of the format.")
    operations: tuple[ManifestOperation, ...] = Field(description="The documents.")


_APOLLO = TypeAdapter(ApolloManifest)
_Text = Annotated[str, Field(min_length=1)]
_RELAY = TypeAdapter(dict[_Text, _Text])
"""What Relay's compiler writes (``persistConfig.file``): texts by their MD5."""


class TrustedDocuments:
    """The documents that the operator has given.

    Attributes:
        texts: Their texts.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        """Make it.

        Args:
            named: Texts by their names. Each is known by its SHA-256, too.
        """
        self.texts = frozenset[str](named.values())
        self._named = {**{hash_of(text): text for text in self.texts}, **named}

    def get(self, name: str) -> str | None:
        """Find a text.

        Args:
            name: What a client names it by.

        Returns:
            The text, if there is one of that name.
        """
        return self._named.get(name)


class TrustedDocumentStore:
    """Finds the text among trusted documents."""

    def __init__(self, documents: TrustedDocuments, otherwise: DocumentStore | None) -> None:
        """Make it.

        Args:
            documents: The documents.
            otherwise: Finds the text of what is none of them; ``None`` to refuse it.
        """
        self._documents = documents
        self._otherwise = otherwise

    def text_of(self, request: GraphQLRequest) -> str:
        """Find the text: by its name, or in the request where it is that of a trusted document."""
        text = request.query
        if not text and (name := name_of(request)) is not None:
            text = self._documents.get(name)
        if text in self._documents.texts:
            return text
        if self._otherwise is not None:
            return self._otherwise.text_of(request)
        raise RequestError(
            Code.DOCUMENT_NOT_TRUSTED,
            "only trusted documents are executed here, and this is none of them:"
            " expected the hash of one, or its very text",
        )

    def keep(self, request: GraphQLRequest) -> None:
        """Keep what is no trusted document, where others are executed, too."""
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
        ConfigurationError: Something there cannot be read, or there is nothing.
    """
    named: dict[str, str] = {}
    mistakes: list[str] = []
    for file in _files(path):
        try:
            found = _read(file)
        except (OSError, ValueError) as error:
            mistakes.append(f"{file} cannot be read: {_reason(error)}")
            continue
        for name, text in found:
            if named.setdefault(name, text) != text:
                mistakes.append(f"{file} has {quote(name)}, which is the name of another document")
    if not named and not mistakes:
        mistakes.append(
            f"{path} has no documents: expected a manifest (.json), a document (.graphql), or a"
            " folder of them"
        )
    if mistakes:
        raise ConfigurationError(tuple(mistakes))
    return TrustedDocuments(named)


def _files(path: Path) -> Iterable[Path]:
    """List the files to read."""
    if not path.is_dir():
        return (path,)
    suffixes = {*DOCUMENT_SUFFIXES, MANIFEST_SUFFIX}
    return sorted(file for file in path.rglob("*") if file.suffix in suffixes and file.is_file())


def _read(file: Path) -> list[tuple[str, str]]:
    """Read the documents of a file, with their names."""
    if file.suffix == MANIFEST_SUFFIX:
        return list(_manifest(jiter.from_json(file.read_bytes(), catch_duplicate_keys=True)))
    text = file.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("expected the text of a document")
    # Editors end a file with a line break, which clients do not send.
    return [(hash_of(one), one) for one in (text, text.strip())]


def _manifest(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 # any JSON
    """Read a manifest of either format."""
    if isinstance(value, dict) and "operations" in value:
        for operation in _APOLLO.validate_python(value).operations:
            yield operation.id, operation.body
    else:
        yield from _RELAY.validate_python(value, strict=True).items()


def _reason(error: OSError | ValueError) -> str:
    """Say why a file cannot be read."""
    if isinstance(error, ValidationError):
        return f"{what_is_wrong(error)}; expected a manifest of Apollo's or Relay's format"
    return str(error) if isinstance(error, OSError) else f"{error}; expected UTF-8 text or JSON"


NOTHING_TRUSTED = (
    "GATEWAY_TRUSTED__MODE is only, and GATEWAY_TRUSTED__PATH is missing: expected a manifest, a"
    " document or a folder of them"
)


def document_store_of(settings: Settings) -> DocumentStore:
    """Choose where the texts of documents come from.

    Args:
        settings: All settings.

    Returns:
        What finds them.

    Raises:
        ConfigurationError: Trusted documents cannot be read, or there are none and nothing else is
            to be executed.
    """
    size = settings.persisted.max_documents if settings.persisted.enabled else 0
    automatic = PersistedDocumentStore(size, max_bytes=settings.limits.memory.persisted)
    if settings.trusted.path is None:
        if settings.trusted.mode == "only":
            raise ConfigurationError((NOTHING_TRUSTED,))
        return automatic if size else InlineDocuments()
    # Beside trusted documents even a store that keeps nothing: it tells clients to send the text.
    otherwise = automatic if settings.trusted.mode == "also" else None
    return TrustedDocumentStore(load_trusted(settings.trusted.path), otherwise)
