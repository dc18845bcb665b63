"""What a renderer gives, and how the engine takes another one than Strawberry's executor.

The reference is the executor with its resolvers. A compiled renderer may take its place where it
covers an operation, and has to give the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import GraphQLError, GraphQLFormattedError
from graphql.execution.values import VariableValues

from app.execution.outcome import Results
from app.execution.plan import Plan, RootSelection


class NotCoveredError(Exception):
    """The operation has something that only the executor can do; the message says what."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer.

    Attributes:
        data: Its data, as JSON has them but for times.
        errors: What went wrong, as clients see it.
        bugs: Errors that may be bugs of ours, for the log.
    """

    data: dict[str, Any]
    errors: Sequence[GraphQLFormattedError]
    bugs: Sequence[GraphQLError]


class CompiledOperation(Protocol):
    """An operation that was compiled for one selection."""

    @property
    def bytes(self) -> int:
        """How many bytes it has in memory, by estimate."""
        ...

    def render(
        self, plan: Plan, results: Results, *, required: Collection[str], request_id: str
    ) -> Rendered:
        """Write the answer.

        Args:
            plan: The plan of the request; its root fields select what was compiled.
            results: What the sources said.
            required: Names of the sources without which there is no user.
            request_id: Shown with what is masked.

        Returns:
            The answer.

        Raises:
            Exception: A bug of ours. The executor finds it, too, in the field that has it.
        """
        ...


class OperationCompiler(Protocol):
    """Compiles operations. Shared by all requests."""

    def compile(
        self, roots: Sequence[RootSelection], variables: VariableValues
    ) -> CompiledOperation:
        """Compile what an operation selects.

        Args:
            roots: Its root fields.
            variables: Values of its variables, coerced.

        Returns:
            The operation, compiled.

        Raises:
            NotCoveredError: Only the executor can do it.
        """
        ...
