"""Documents: parsed, checked and validated once, whatever number of requests brings them.

They are kept by their text, in the order of their last use, as many as fit into some bytes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from graphql.language.parser import MAX_NESTING_DEPTH

from app.errors import Code, LimitError, RequestError, bare, quote
from app.execution.bounded_cache import BoundedCache
from app.execution.limits.checks import DocumentChecks
from app.execution.limits.counts import untie
from app.execution.limits.price import Pricing
from app.execution.operation import Operation
from app.execution.variants import Variants, document_bytes
from app.settings.models import Settings

MAX_CACHED = 32_768
"""The longest document, in characters, that is kept: longer ones are no one's everyday query."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document, ready to be executed, or what is wrong with it.

    Attributes:
        hash: SHA-256 of its text, in hex: its name in logs.
        tree: Its syntax tree; ``None`` when it could not be parsed.
        errors: What parsing or validation found.
        code: The code of those errors.
        operations: Its operations by name, where nothing is wrong with it.
        tokens: How many tokens its syntax tree was made of.
    """

    hash: str
    tree: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    code: Code = Code.GRAPHQL_VALIDATION_FAILED
    operations: Mapping[str | None, Operation] = field(
        default_factory=dict[str | None, Operation], compare=False
    )
    tokens: int = 0

    def operation(self, name: str | None) -> Operation:
        """Find the operation to execute (GraphQL specification, section 6.1, GetOperation).

        Args:
            name: Its name; needed when there are several.

        Returns:
            The operation; validation has let no other kind than queries through.

        Raises:
            RequestError: There is no such operation.
        """
        is_alone = name is None and len(self.operations) == 1
        found = next(iter(self.operations.values())) if is_alone else self.operations.get(name)
        if found is None:
            names = ", ".join(one for one in self.operations if one is not None)
            wrong = "operationName is needed"
            if name is not None:
                wrong = f"there is no operation {quote(name)}"
            raise RequestError(
                Code.OPERATION_RESOLUTION_FAILURE,
                f"{wrong}: the document has {names or 'none with a name'}",
            )
        return found

    def size(self, text: str) -> int:
        """Estimate how many bytes it has.

        Args:
            text: Its text.

        Returns:
            The estimate.
        """
        definitions = (one.node.variable_definitions or () for one in self.operations.values())
        return document_bytes(
            text,
            tokens=self.tokens,
            errors=len(self.errors),
            variables=sum(map(len, definitions)),
        )

    def forget_variants(self) -> None:
        """Keep nothing more of what its operations are compiled to, since it is not kept."""
        for one in self.operations.values():
            one.forget_variants()

    def check_safe(self, name: str | None) -> None:
        """Let only queries through, where the HTTP method may change nothing.

        Args:
            name: Name of the operation; none where there is one only.

        Raises:
            RequestError: It is no query, whether such a thing is served or not.
        """
        for one in _operations(self.tree):
            is_it = name is None or (one.name is not None and one.name.value == name)
            if is_it and one.operation is not OperationType.QUERY:
                raise RequestError(
                    Code.OPERATION_RESOLUTION_FAILURE,
                    f"a GET is for queries only, and this is a {one.operation.value}",
                    status=405,
                    headers={"Allow": "POST"},
                )


class Documents:
    """Prepares documents, and keeps those that were used last.

    Attributes:
        hits: How many were found ready.
        misses: How many had to be prepared.
        variants: What their operations were compiled to.
    """

    def __init__(
        self,
        checks: DocumentChecks,
        pricing: Pricing,
        variants: Variants,
        *,
        size: int,
        max_bytes: int,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.variants = variants
        self._checks = checks
        self._pricing = pricing
        self._kept = BoundedCache[str, Document](max_bytes, max_entries=size, dropped=_dropped)

    @classmethod
    def of(
        cls,
        core: GraphQLSchema,
        settings: Settings,
        *,
        size: int,
        router: bool = False,
        variants: Variants | None = None,
    ) -> Self:
        """Make what prepares documents as the settings say.

        Args:
            core: The schema.
            settings: All settings.
            size: How many documents are kept.
            router: Whether they are a router's, which may read the schema by ``_service``.
            variants: Keeps what they are compiled to, together with that of other documents; by
                default apart.
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
        return cls(checks, pricing, variants, size=size, max_bytes=memory.documents)

    @property
    def bytes(self) -> int:
        """How many bytes the documents have that are kept, by estimate."""
        return self._kept.bytes

    def __contains__(self, text: str) -> bool:
        """Tell whether a document is kept ready."""
        return text in self._kept

    def get(self, text: str) -> Document:
        """Prepare a document, or find it ready.

        Args:
            text: Its text.

        Returns:
            The document; what is wrong with it is kept as well.
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
        encoded = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(encoded).hexdigest()
        try:
            tree = self._checks.parse(text, len(encoded))
        except GraphQLError as error:
            return Document(digest, None, (bare(error),), Code.GRAPHQL_PARSE_FAILED)
        except RequestError as error:
            return _refused(digest, error)
        try:
            errors = tuple(map(bare, self._checks.validate(tree)))
            operations: Mapping[str | None, Operation] = {}
            if not errors:
                operations = self._ready(tree)
        except RequestError as error:
            return _refused(digest, error)
        except RecursionError:  # of any step: whatever is deeper than its bounds is too deep
            found = "the document has more levels of selections and values"
            return _refused(digest, LimitError("nesting", MAX_NESTING_DEPTH, found))
        finally:
            tokens = untie(tree.loc.start_token) if tree.loc is not None else 0
        return Document(digest, tree, errors, operations=operations, tokens=tokens)

    def _ready(self, tree: DocumentNode) -> Mapping[str | None, Operation]:
        """Make the operations of a valid document ready to be run."""
        prices = self._pricing.prices(tree)
        return {
            name: Operation(tree, node, price, self.variants)
            for node, (name, price) in zip(_operations(tree), prices.items(), strict=True)
        }


def _dropped(_: str, document: Document) -> None:
    """Let go of what belongs to a document that makes room."""
    document.forget_variants()


def _refused(digest: str, error: RequestError) -> Document:
    """Keep why a document is refused."""
    refused = GraphQLError(error.message, original_error=bare(error))
    return Document(digest, None, (refused,), error.code)


def _operations(tree: DocumentNode | None) -> list[OperationDefinitionNode]:
    """List the operations of a document."""
    definitions = tree.definitions if tree is not None else ()
    return [one for one in definitions if isinstance(one, OperationDefinitionNode)]
