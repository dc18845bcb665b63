"""The interface of renderers that may replace Strawberry's executor.

The reference is the executor with its resolvers. A compiled renderer may replace it for the
operations that it covers, and has to give the same answer.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from graphql import DocumentNode, GraphQLError, GraphQLFormattedError
from graphql.execution.values import VariableValues
from msgspec import Struct

from app.execution.outcome import Results
from app.execution.plan import Plan, RootSelection
from app.execution.request import OnError
from app.sources.base import PageRequest, PageResult, PageSpec


class ExecutorReason(StrEnum):
    """Why the executor renders an answer."""

    SWITCHED_OFF = "switched_off"
    """Compiling is switched off."""
    INTROSPECTION = "introspection"
    """A root field gives the schema, and no users: ``__schema``, ``__type``, ``_service``."""
    DIRECTIVE = "directive"
    """The operation itself has a directive, or a directive has a variable that is ``null``."""
    ARGUMENT = "argument"
    """An argument of a field is wrong."""
    HALT = "halt"
    """``onError`` is ``HALT``, and the first error of several root fields ends the others."""
    LONG_VALUES = "long_values"
    """The variables that decide what is compiled are too long to be kept."""
    PAYLOADS = "payloads"
    """The answer comes in several payloads, and not only by fragments that can be compiled."""
    BUG = "bug"
    """The compiled operation has a bug of ours."""


class NotCompiled(Struct, frozen=True):
    """Why an operation is not compiled.

    Attributes:
        reason: Why, as one of few words.
        detail: Why, in words for people.
    """

    reason: ExecutorReason
    detail: str


class NotCoveredError(Exception):
    """The operation needs something that only the executor can do.

    Args:
        why: What it needs.

    Attributes:
        why: What it needs.
    """

    def __init__(self, why: NotCompiled) -> None:
        super().__init__(why.detail)
        self.why = why


class PageFetch(Struct, frozen=True):
    """The pages of one list that an answer needs.

    Attributes:
        spec: The list.
        requests: The pages, each once.
    """

    spec: PageSpec[Any]
    requests: Sequence[PageRequest]


PagesOfList: TypeAlias = Mapping[PageRequest, PageResult[Any]]
"""The result of each page of one list, by its request."""

PageResults: TypeAlias = Mapping[PageSpec[Any], PagesOfList]
"""The results of all pages, by their lists."""


class RenderRequest(Struct, frozen=True):
    """What an answer is rendered of, besides pages of lists.

    Attributes:
        plan: The plan of the request; its root fields select what was compiled.
        results: The source results.
        variables: The coerced values of the operation's variables.
        required: Names of the sources whose failure fails the user.
        on_error: What an error does to the answer.
        request_id: Written into masked errors.
    """

    plan: Plan
    results: Results
    variables: VariableValues
    required: Collection[str]
    on_error: OnError
    request_id: str


class Rendered(Struct, frozen=True):
    """An answer.

    Attributes:
        data: The data, as JSON values except for times, and users perhaps as encoded JSON
            (``msgspec.Raw``); ``None`` if an error propagated to it.
        errors: The errors, as clients see them.
        bugs: Errors that may be bugs of ours, for the log.
    """

    data: dict[str, Any] | None
    errors: Sequence[GraphQLFormattedError]
    bugs: Sequence[GraphQLError]


class CompiledOperation(Protocol):
    """An operation, compiled for one selection."""

    @property
    def bytes(self) -> int:
        """The bytes that it takes in memory, by estimate."""
        ...

    @property
    def has_lists(self) -> bool:
        """Whether it has lists that are read page by page."""
        ...

    @property
    def is_computed(self) -> bool:
        """Whether functions of operators make some of its values. They may raise anything."""
        ...

    def pages(self, request: RenderRequest) -> Sequence[PageFetch]:
        """List the pages that the answer needs.

        Args:
            request: What the answer is rendered of.

        Returns:
            The pages, by list.
        """
        ...

    def render(self, request: RenderRequest, pages: PageResults) -> Rendered:
        """Write the answer.

        Args:
            request: What the answer is rendered of.
            pages: The results of all pages that ``pages`` lists.

        Returns:
            The answer.

        Raises:
            Exception: A bug of ours. The executor will also find it, and in which field it is.
        """
        ...


class OperationCompiler(Protocol):
    """Compiles operations. Shared by all requests."""

    def deciding_variables(
        self, document: DocumentNode, user_roots: Collection[str]
    ) -> tuple[str, ...]:
        """List the variables that decide what an operation selects and how it is compiled.

        Args:
            document: The document.
            user_roots: The root fields whose arguments name users.

        Returns:
            Names of the variables. The values of all others may differ in each request.
        """
        ...

    def compile(
        self,
        roots: Sequence[RootSelection],
        variables: VariableValues,
        *,
        in_parts: bool = False,
    ) -> CompiledOperation:
        """Compile the selection of an operation.

        Args:
            roots: The root fields of the operation.
            variables: The coerced values of its variables.
            in_parts: Whether the data are merged with other data of the same users. Else users may
                be encoded JSON.

        Returns:
            The compiled operation.

        Raises:
            NotCoveredError: Only the executor can run it.
        """
        ...
