"""Documents: parsed, checked and validated once, however many requests send them.

They are kept by their text in an LRU cache that is bounded by bytes.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from graphql.language.parser import MAX_NESTING_DEPTH
from msgspec import Struct

from app.errors import Code, LimitError, RequestError, bare, quote
from app.execution.bounded_cache import BoundedCache
from app.execution.limits.checks import DocumentChecks
from app.execution.limits.counts import unlink_tokens
from app.execution.limits.price import Pricing
from app.execution.operation import Operation
from app.execution.variants import Variants, document_bytes
from app.settings.models import Settings

MAX_CACHED = 32_768
"""The longest document, in characters, that is kept: everyday queries are shorter."""


class Preparation(Struct, frozen=True):
    """When a document was prepared, by ``clock.monotonic()``.

    Attributes:
        started: When it began to be parsed.
        parsed: When it was parsed; ``None`` if it could not be.
        ended: When it was validated, or refused.
    """

    started: float
    parsed: float | None
    ended: float


@dataclass(frozen=True, slots=True)
class Document:
    """A document, ready to be executed, or its errors.

    Attributes:
        hash: SHA-256 of the text, in hex: the document's name in logs.
        tree: The syntax tree; ``None`` if the text could not be parsed.
        errors: The errors of parsing or validation.
        code: The code of those errors.
        operations: The operations by name; empty if there are errors.
        tokens: The number of tokens in the text.
        preparation: When it was prepared.
    """

    hash: str
    tree: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    code: Code = Code.GRAPHQL_VALIDATION_FAILED
    operations: Mapping[str | None, Operation] = field(
        default_factory=dict[str | None, Operation], compare=False
    )
    tokens: int = 0
    preparation: Preparation | None = field(default=None, compare=False)

    def operation(self, name: str | None) -> Operation:
        """Find the operation to execute (GraphQL specification, section 6.1, GetOperation).

        Args:
            name: The name of the operation; needed if there are several.

        Returns:
            The operation. It is a query: validation refuses other kinds.

        Raises:
            RequestError: There is no such operation.
        """
        is_alone = name is None and len(self.operations) == 1
        found = next(iter(self.operations.values())) if is_alone else self.operations.get(name)
        if found is None:
            names = ", ".join(one for one in self.operations if one is not None)
            problem = "operationName is needed"
            if name is not None:
                problem = f"there is no operation {quote(name)}"
            raise RequestError(
                Code.OPERATION_RESOLUTION_FAILURE,
                f"{problem}: the document has {names or 'none with a name'}",
            )
        return found

    def size(self, text: str) -> int:
        """Estimate how many bytes the document takes in memory.

        Args:
            text: The text of the document.

        Returns:
            The estimate, in bytes.
        """
        definitions = (one.node.variable_definitions or () for one in self.operations.values())
        return document_bytes(
            text,
            tokens=self.tokens,
            errors=len(self.errors),
            variables=sum(map(len, definitions)),
        )

    def forget_variants(self) -> None:
        """Remove all variants of its operations, and keep none from now on."""
        for one in self.operations.values():
            one.forget_variants()

    def check_safe(self, name: str | None) -> None:
        """Refuse operations other than queries, for safe HTTP methods (RFC 9110, section 9.2.1).

        Args:
            name: The name of the operation; ``None`` if the document has one only.

        Raises:
            RequestError: The operation is not a query.
        """
        for one in _operations(self.tree):
            is_named = name is None or (one.name is not None and one.name.value == name)
            if is_named and one.operation is not OperationType.QUERY:
                raise RequestError(
                    Code.OPERATION_RESOLUTION_FAILURE,
                    f"a GET is for queries only, and this is a {one.operation.value}",
                    status=405,
                    headers={"Allow": "POST"},
                )


class Documents:
    """Prepares documents, and keeps those that were used last.

    Args:
        checks: Parses, checks and validates documents.
        pricing: Computes what operations cost.
        variants: Keeps the variants of operations.
        size: The most documents that are kept.
        max_bytes: The most bytes that all kept documents may have.
        monotonic: Returns the time, in seconds from any moment.

    Attributes:
        hits: How many documents were found ready.
        misses: How many documents had to be prepared.
        variants: The variants of their operations.
    """

    def __init__(
        self,
        checks: DocumentChecks,
        pricing: Pricing,
        variants: Variants,
        *,
        size: int,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.variants = variants
        self._checks = checks
        self._pricing = pricing
        self._monotonic = monotonic
        self._kept = BoundedCache[str, Document](max_bytes, max_entries=size, dropped=_dropped)

    @classmethod
    def from_settings(
        cls,
        core: GraphQLSchema,
        settings: Settings,
        *,
        size: int,
        monotonic: Callable[[], float] = time.monotonic,
        router: bool = False,
        variants: Variants | None = None,
    ) -> Self:
        """Make a cache of documents by the settings.

        Args:
            core: The schema.
            settings: All settings.
            size: The most documents that are kept.
            monotonic: Returns the time, in seconds from any moment.
            router: Whether a federation router sends them, which may read the schema by
                ``_service``.
            variants: Keeps their variants together with those of other documents; ``None`` for a
                cache of their own.

        Returns:
            The documents.
        """
        checks = DocumentChecks(
            core,
            settings.limits,
            introspection=settings.introspection,
            suggestions=settings.suggestions,
            service=router,
        )
        pricing = Pricing(
            core,
            max_ids=settings.max_ids,
            max_representations=settings.max_representations,
            max_schemas=settings.limits.introspection,
        )
        memory = settings.limits.memory
        if variants is None:
            variants = Variants(memory.compiled)
        return cls(
            checks,
            pricing,
            variants,
            size=size,
            max_bytes=memory.documents,
            monotonic=monotonic,
        )

    @property
    def bytes(self) -> int:
        """The bytes of all kept documents, by estimate."""
        return self._kept.bytes

    def __contains__(self, text: str) -> bool:
        """Return whether the document with this text is kept."""
        return text in self._kept

    def get(self, text: str) -> Document:
        """Return a document: a kept one, or prepared now.

        Args:
            text: The text of the document.

        Returns:
            The document, or its errors: those are kept, too.
        """
        if (ready := self._kept.get(text)) is not None:
            self.hits += 1
            return ready
        self.misses += 1
        document = self._prepare(text)
        if len(text) <= MAX_CACHED:
            self._kept.put(text, document, document.size(text))
        else:
            document.forget_variants()
        return document

    def _prepare(self, text: str) -> Document:
        """Parse and validate a document, within its limits."""
        started = self._monotonic()
        tree = self._parse(text)
        if isinstance(tree, Document):
            return replace(tree, preparation=Preparation(started, None, self._monotonic()))
        parsed = self._monotonic()
        document = self._validate(tree, _digest(text))
        return replace(document, preparation=Preparation(started, parsed, self._monotonic()))

    def _parse(self, text: str) -> DocumentNode | Document:
        """Parse a document within its limits; return a refused document if that fails."""
        try:
            return self._checks.parse(text, len(text.encode("utf-8", "surrogatepass")))
        except GraphQLError as error:
            return Document(_digest(text), None, (bare(error),), Code.GRAPHQL_PARSE_FAILED)
        except RequestError as error:
            return _refused(_digest(text), error)

    def _validate(self, tree: DocumentNode, digest: str) -> Document:
        """Validate a document within its limits."""
        try:
            errors = tuple(map(bare, self._checks.validate(tree)))
            operations: Mapping[str | None, Operation] = {}
            if not errors:
                operations = self._make_operations(tree)
        except RequestError as error:
            return _refused(digest, error)
        except RecursionError:  # any step may raise it, if the document is too deep for it
            found = "the document has more levels of selections and values"
            return _refused(digest, LimitError("nesting", MAX_NESTING_DEPTH, found))
        finally:
            tokens = unlink_tokens(tree.loc.start_token) if tree.loc is not None else 0
        return Document(digest, tree, errors, operations=operations, tokens=tokens)

    def _make_operations(self, tree: DocumentNode) -> Mapping[str | None, Operation]:
        """Make the operations of a valid document."""
        prices = self._pricing.prices(tree)
        return {
            name: Operation(tree, node, price, self.variants)
            for node, (name, price) in zip(_operations(tree), prices.items(), strict=True)
        }


def _dropped(_: str, document: Document) -> None:
    """Remove the variants of a document that was evicted."""
    document.forget_variants()


def _digest(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _refused(digest: str, error: RequestError) -> Document:
    """Make a document that holds only the reason why it is refused."""
    refused = GraphQLError(error.message, original_error=bare(error))
    return Document(digest, None, (refused,), error.code)


def _operations(tree: DocumentNode | None) -> list[OperationDefinitionNode]:
    """List the operations of a document."""
    definitions = tree.definitions if tree is not None else ()
    return [one for one in definitions if isinstance(one, OperationDefinitionNode)]
