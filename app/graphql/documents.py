"""Documents: parsed, checked and validated once, whatever number of requests brings them.

A plain cache of values in the order of their last use; it needs no lock, since only the event
loop's thread uses it, and nothing in it waits.
"""

import hashlib
from collections import OrderedDict
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

from app.errors import Code, LimitError, RequestError, shown
from app.graphql.limits.checks import DocumentChecks
from app.graphql.limits.price import Pricing
from app.graphql.operation import Operation
from app.settings import Settings

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
    """

    hash: str
    tree: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    code: Code = Code.GRAPHQL_VALIDATION_FAILED
    operations: Mapping[str | None, Operation] = field(
        default_factory=dict[str | None, Operation], compare=False
    )

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
                wrong = f"there is no operation {shown(name)}"
            raise RequestError(
                Code.OPERATION_RESOLUTION_FAILURE,
                f"{wrong}: the document has {names or 'none with a name'}",
            )
        return found

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
    """

    def __init__(self, checks: DocumentChecks, pricing: Pricing, *, size: int) -> None:
        self.hits = 0
        self.misses = 0
        self._checks = checks
        self._pricing = pricing
        self._size = size
        self._kept: OrderedDict[str, Document] = OrderedDict()

    @classmethod
    def of(
        cls, core: GraphQLSchema, settings: Settings, *, size: int, router: bool = False
    ) -> Self:
        """Make what prepares documents as the settings say.

        Args:
            core: The schema.
            settings: All settings.
            size: How many documents are kept.
            router: Whether they are a router's, which may read the schema by ``_service``.
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
        return cls(checks, pricing, size=size)

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
            self._kept.move_to_end(text)
            self.hits += 1
            return ready
        self.misses += 1
        document = self._prepare(text)
        if len(text) <= MAX_CACHED and self._size:
            self._kept[text] = document
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return document

    def _prepare(self, text: str) -> Document:
        """Parse and validate a document, within its limits."""
        encoded = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(encoded).hexdigest()
        tree: DocumentNode | None = None
        try:
            tree = self._checks.parse(text, len(encoded))
            errors = tuple(self._checks.validate(tree))
            return Document(digest, tree, errors, operations={} if errors else self._ready(tree))
        except GraphQLError as error:
            return Document(digest, None, (error,), Code.GRAPHQL_PARSE_FAILED)
        except RequestError as error:
            return _refused(digest, error)
        except RecursionError:  # of any step: whatever is deeper than its bounds is too deep
            found = "the document has more levels of selections and values"
            return _refused(digest, LimitError("nesting", MAX_NESTING_DEPTH, found))
        finally:
            if tree is not None:
                _untie(tree)

    def _ready(self, tree: DocumentNode) -> Mapping[str | None, Operation]:
        """Make the operations of a valid document ready to be run."""
        prices = self._pricing.prices(tree)
        return {
            name: Operation(tree, node, price)
            for node, (name, price) in zip(_operations(tree), prices.items(), strict=True)
        }


def _refused(digest: str, error: RequestError) -> Document:
    """Keep why a document is refused."""
    refused = GraphQLError(error.message, original_error=error.with_traceback(None))
    return Document(digest, None, (refused,), error.code)


def _operations(tree: DocumentNode | None) -> list[OperationDefinitionNode]:
    """List the operations of a document."""
    definitions = tree.definitions if tree is not None else ()
    return [one for one in definitions if isinstance(one, OperationDefinitionNode)]


def _untie(tree: DocumentNode) -> None:
    """Take the tokens of a document out of the chain in which the parser leaves them.

    Each knows the one before and the one after it: a document that is dropped would be freed by
    nothing but a full run of the garbage collector, which is rare (``process.py``).
    """
    token = tree.loc.start_token if tree.loc is not None else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following
