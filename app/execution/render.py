"""The interface of renderers that may replace Strawberry's executor.

The reference is the executor with its resolvers. A compiled renderer may replace it for the
operations that it covers, and has to give the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import GraphQLError, GraphQLFormattedError
from graphql.execution.values import VariableValues

from app.execution.outcome import Results
from app.execution.plan import Plan, RootSelection


class NotCoveredError(Exception):
    """The operation needs something that only the executor can do; the message says what."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer.

    Attributes:
        data: The data, as JSON values except for times.
        errors: The errors, as clients see them.
        bugs: Errors that may be bugs of ours, for the log.
    """

    data: dict[str, Any]
    errors: Sequence[GraphQLFormattedError]
    bugs: Sequence[GraphQLError]


class CompiledOperation(Protocol):
    """An operation, compiled for one selection."""

    @property
    def bytes(self) -> int:
        """The bytes that it takes in memory, by estimate."""
        ...

    def render(
        self, plan: Plan, results: Results, *, required: Collection[str], request_id: str
    ) -> Rendered:
        """Write the answer.

        Args:
            plan: The plan of the request; its root fields select what was compiled.
            results: The source results.
            required: Names of the sources whose failure fails the user.
            request_id: Written into masked errors.

        Returns:
            The answer.

        Raises:
            Exception: A bug of ours. The executor will also find it, and in which field it is.
        """
        ...


class OperationCompiler(Protocol):
    """Compiles operations. Shared by all requests."""

    def compile(
        self, roots: Sequence[RootSelection], variables: VariableValues
    ) -> CompiledOperation:
        """Compile the selection of an operation.

        Args:
            roots: The root fields of the operation.
            variables: The coerced values of its variables.

        Returns:
            The compiled operation.

        Raises:
            NotCoveredError: Only the executor can run it.
        """
        ...
