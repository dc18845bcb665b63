"""Running compiled operations: all users of all fields at once, and the answer from records."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError, GraphQLFormattedError, located_error
from graphql.execution.values import VariableValues, get_argument_values

from app.errors import Code, GatewayError, SourceError
from app.federation.loaders import Loaders
from app.graphql.compiler import RootField
from app.graphql.context import Guards
from app.graphql.masking import public_error
from app.graphql.schema import GatewaySchema
from app.sources.base import FieldSet, UserId

Found = Mapping[UserId, object]
"""What a source said, by user: a record, ``None`` or a ``SourceError``."""


class CompiledRun:
    """One run of a compiled operation.

    Attributes:
        errors: What went wrong, as clients see it.
        bugs: Errors of ours, for the log.
    """

    def __init__(
        self,
        schema: GatewaySchema,
        guards: Guards,
        required: frozenset[str],
        loaders: Loaders,
        request_id: str,
    ) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.bugs: list[GraphQLError] = []
        self._schema = schema
        self._guards = guards
        self._required = required
        self._loaders = loaders
        self._request_id = request_id

    async def run(self, roots: Sequence[RootField], variables: VariableValues) -> dict[str, Any]:
        """Run the operation.

        Args:
            roots: Its fields.
            variables: Values of its variables.

        Returns:
            The answer's data.
        """
        keys = {root.key: self._keys(root, variables) for root in roots}
        wanted: dict[str, dict[UserId, None]] = {}
        fields: dict[str, FieldSet] = {}
        for root in roots:
            for source in root.plan.needed if keys[root.key] else ():
                wanted.setdefault(source, {}).update(dict.fromkeys(keys[root.key] or ()))
                if (some := root.plan.fields.get(source)) is not None:
                    fields[source] = some | fields.get(source, frozenset())
        users = {name: list(keys) for name, keys in wanted.items()}
        found = await self._loaders.fetch(users, fields)
        return {root.key: self._write(root, keys[root.key], found) for root in roots}

    def _keys(self, root: RootField, variables: VariableValues) -> Sequence[UserId] | None:
        """Find whom a field asks about; ``None`` when it cannot be asked."""
        if root.name == "__typename":
            return None
        if root.variable is not None and (ids := variables.coerced.get(root.variable)) is not None:
            return self._checked(root, ids)
        try:
            definition = self._schema.core.query_type.fields[root.name]  # type: ignore[union-attr] # there is one
            arguments = get_argument_values(definition, root.nodes[0], variables)
        except GraphQLError as error:
            self._fail(root, error)
            return None
        return self._checked(root, arguments["id" if root.name == "user" else "ids"])

    def _checked(self, root: RootField, ids: str | Sequence[str]) -> Sequence[UserId] | None:
        """Check the ids that a field asks about; ``None`` when they cannot be right."""
        try:
            if isinstance(ids, str):
                return [self._guards.user_id(ids)]
            self._guards.count(len(ids), "users")
            return [self._guards.user_id(one) for one in ids]
        except GatewayError as error:
            self._fail(root, error)
            return None

    def _write(
        self, root: RootField, keys: Sequence[UserId] | None, found: Mapping[str, Found | Exception]
    ) -> object:
        """Write the value of a field."""
        if root.name == "__typename":
            return "Query"
        if keys is None:
            return None
        said: list[Found] = []
        for name in root.plan.sources:
            answers = found[name]
            if isinstance(answers, Exception):
                self._fail(root, answers)
                return None
            said.append(answers)
        columns = [[found[key] for key in keys] for found in said]
        failed = any(SourceError in map(type, column) for column in columns)
        users: list[dict[str, Any] | None] = []
        for index, row in enumerate(zip(keys, *columns, strict=True)):
            if row[1] is None and not any(row[1:]):
                users.append(None)
            elif failed or root.always_wrong:
                users.append(self._failing(root, index, *row))
            else:
                users.append(root.write(*row))
        return users if root.name == "users" else users[0]

    def _failing(
        self, root: RootField, index: int, key: UserId, *answers: object
    ) -> dict[str, Any] | None:
        """Write one user with whom something may be wrong."""
        path: list[str | int] = [root.key, index] if root.name == "users" else [root.key]
        failures = {
            name: answer
            for name, answer in zip(root.plan.sources, answers, strict=True)
            if isinstance(answer, SourceError)
        }
        needed = root.plan.sources if root.plan.existence_only else self._required
        for name, failure in failures.items():
            if name in needed:
                self._tell_source(failure, root.locations, path)
                return None
        for field in root.fields:
            if field.wrong is not None:
                place = [*path, field.key]
                self._tell(field.wrong.message, field.locations, place, field.wrong.code)
            elif failed := [failures[name] for name in field.sources if name in failures]:
                self._tell_source(failed[0], field.locations, [*path, field.key])
        return root.write(
            key, *(None if isinstance(answer, SourceError) else answer for answer in answers)
        )

    def _tell_source(
        self, failure: SourceError, locations: Sequence[Any], path: list[str | int]
    ) -> None:
        """Tell of a failed source at a position."""
        self._tell(failure.message, locations, path, failure.code, failure.public_source)

    def _tell(
        self,
        message: str,
        locations: Sequence[Any],
        path: list[str | int],
        code: Code,
        source: str | None = None,
    ) -> None:
        """Tell of an error at a position."""
        extensions = {"code": code.value} | ({"source": source} if source is not None else {})
        self.errors.append(
            {
                "message": message,
                "locations": list(locations),
                "path": path,
                "extensions": extensions,
            }
        )

    def _fail(self, root: RootField, error: Exception) -> None:
        """Tell of an error at a field of the operation."""
        located = located_error(error, root.nodes, [root.key])
        self.bugs.append(located)
        self.errors.append(
            public_error(located, otherwise=Code.BAD_USER_INPUT, request_id=self._request_id)
        )
