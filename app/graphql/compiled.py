"""Running compiled operations: all users of all fields at once, and the answer from records."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphql import GraphQLError, GraphQLFormattedError, located_error
from graphql.execution.values import VariableValues, get_argument_values

from app.errors import Code, GatewayError, SourceError, bare
from app.federation.steps import PartlySaid
from app.graphql.compiler import RootField, View
from app.graphql.context import Context
from app.graphql.masking import public_error
from app.graphql.ordering import in_answer_order
from app.graphql.schema import GatewaySchema
from app.sources.base import FieldSet, UserId

Found = Mapping[UserId, object]
"""What a source said, by user: a record, ``None`` or a ``SourceError``."""


class Seen(NamedTuple):
    """Users of whom a caller sees the same."""

    view: View
    keys: Sequence[UserId]
    places: Sequence[int]


class CompiledRun:
    """One run of a compiled operation.

    Attributes:
        errors: What went wrong, as clients see it.
        bugs: Errors of ours, for the log.
        raised: What kept sources from being asked, whether it is among those or not.
    """

    def __init__(
        self,
        schema: GatewaySchema,
        context: Context,
        request_id: str,
    ) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.bugs: list[GraphQLError] = []
        self.raised: Sequence[Exception] = ()
        self._schema = schema
        self._context = context
        self._guards = context.guards
        self._rights = context.rights
        self._request_id = request_id

    async def run(self, roots: Sequence[RootField], variables: VariableValues) -> dict[str, Any]:
        """Run the operation.

        Args:
            roots: Its fields.
            variables: Values of its variables.

        Returns:
            The answer's data.

        Raises:
            Exception: A bug of ours, which the executor finds too: in the field that has it, and
                without asking the sources again.
        """
        asked = [self._asked(root, variables) for root in roots]
        every = [one for seen in asked if not isinstance(seen, Exception) for one in seen]
        wanted: Mapping[str, Sequence[UserId]]
        if len(every) == 1:  # the everyday case: all sources are asked about the same
            [(view, keys, _)] = every
            wanted = dict.fromkeys(view.plan.needed, tuple(dict.fromkeys(keys)))
            fields = view.plan.fields
        else:
            wanted, fields = _wanted(asked), _fields(every)
        found = await self._context.loaders.fetch(wanted, fields)
        self.raised = [one for one in found.values() if isinstance(one, Exception)]
        try:
            data = {
                root.key: self._write(root, seen, found)
                for root, seen in zip(roots, asked, strict=True)
            }
        except Exception:
            self._context.loaders.remember(found, fields)
            raise
        if self.errors and any(len(seen) > 1 for seen in asked if isinstance(seen, list)):
            # Of one field, the caller itself and other users were written apart.
            self.errors = [*in_answer_order(self.errors, data)]
        return data

    def _asked(self, root: RootField, variables: VariableValues) -> list[Seen] | Exception:
        """Find the users of a field; what is wrong with them is told when its turn comes."""
        if root.name == "__typename":
            return []
        try:
            return self._seen(root, self._keys(root, variables))
        except (GatewayError, GraphQLError) as error:
            return bare(error)

    def _keys(self, root: RootField, variables: VariableValues) -> Sequence[UserId]:
        """Find the users that a field names."""
        if root.name == "me":
            return [self._guards.own_id(self._rights.subject)]
        # One id or a list of them, as the schema has it: coerced, so of the right type.
        ids: Any = variables.coerced.get(root.variable) if root.variable is not None else None
        if ids is None:
            definition = self._schema.core.query_type.fields[root.name]  # type: ignore[union-attr] # there is one
            arguments = get_argument_values(definition, root.nodes[0], variables)
            ids = arguments["id" if root.name == "user" else "ids"]
        if isinstance(ids, str):
            return [self._guards.user_id(ids)]
        return self._guards.user_ids(ids)

    def _seen(self, root: RootField, keys: Sequence[UserId]) -> list[Seen]:
        """Tell the caller itself from other users, where it sees more of itself."""
        if not keys:  # nobody is asked about, so that no source is either
            return []
        if root.own is root.others or self._rights.subject is None:
            return [Seen(root.others, keys, range(len(keys)))]
        places: dict[bool, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(self._rights.is_own(key), []).append(place)
        return [
            Seen(root.own if own else root.others, [keys[place] for place in some], some)
            for own, some in places.items()
        ]

    def _write(
        self,
        root: RootField,
        seen: list[Seen] | Exception,
        found: Mapping[str, Found | Exception],
    ) -> object:
        """Write the value of a field."""
        if root.name == "__typename":
            return "Query"
        if isinstance(seen, Exception):
            self._fail(root, seen)
            return None
        for view, keys, _ in seen:
            for name in view.plan.sources:
                if (bug := _bug_of(found[name], keys)) is not None:
                    self._fail(root, bug)
                    return None
        if len(seen) == 1:
            written = self._users(root, seen[0], found)
            return written if root.name == "users" else written[0]
        users: list[dict[str, Any] | None] = [None] * sum(len(one.keys) for one in seen)
        for one in seen:
            for place, user in zip(one.places, self._users(root, one, found), strict=True):
                users[place] = user
        return users

    def _users(
        self, root: RootField, seen: Seen, found: Mapping[str, Any]
    ) -> list[dict[str, Any] | None]:
        """Write users of whom the caller sees the same."""
        view = seen.view
        said: list[Found] = [found[name] for name in view.plan.sources]
        columns = [list(map(answers.__getitem__, seen.keys)) for answers in said]
        if not view.always_wrong and not any(SourceError in map(type, one) for one in columns):
            return list(map(view.write_user, seen.keys, *columns))
        users: list[dict[str, Any] | None] = []
        rows = zip(seen.keys, *columns, strict=True)
        for place, row in zip(seen.places, rows, strict=True):
            path: list[str | int] = [root.key, place] if root.name == "users" else [root.key]
            known = any(one is not None for one in row[1:])
            users.append(self._failing(root, view, path, *row) if known else None)
        return users

    def _failing(
        self,
        root: RootField,
        view: View,
        path: list[str | int],
        key: UserId,
        *answers: object,
    ) -> dict[str, Any] | None:
        """Write one user with whom something may be wrong."""
        failures = {
            name: answer
            for name, answer in zip(view.plan.sources, answers, strict=True)
            if isinstance(answer, SourceError)
        }
        needed = view.plan.sources if view.plan.existence_only else self._context.required
        for name, failure in failures.items():
            if name in needed:
                self._tell_source(failure, root.locations, path)
                return None
        for field in view.fields:
            if field.wrong is not None:
                place = [*path, field.key]
                self._tell(field.wrong.message, field.locations, place, field.wrong.code)
            elif failed := [failures[name] for name in field.sources if name in failures]:
                self._tell_source(failed[0], field.locations, [*path, field.key])
        return view.write_known(
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


def _bug_of(answers: Found | Exception, keys: Sequence[UserId]) -> Exception | None:
    """Find the bug of ours that kept a source from being asked about one of some users."""
    if isinstance(answers, Exception):
        return answers
    if isinstance(answers, PartlySaid):
        return next((bug for key in keys if (bug := answers.bugs.get(key)) is not None), None)
    return None


def _wanted(asked: Sequence[list[Seen] | Exception]) -> Mapping[str, Sequence[UserId]]:
    """Find which source is to be asked about whom: each user once, in the order of the fields."""
    wanted: dict[str, dict[UserId, None]] = {}
    for seen in asked:
        if isinstance(seen, Exception):
            continue
        named = sorted(
            (place, key, number)
            for number, one in enumerate(seen)
            for place, key in zip(one.places, one.keys, strict=True)
        )
        for _, key, number in named:
            for source in seen[number].view.plan.needed:
                wanted.setdefault(source, {})[key] = None
    return {source: list(users) for source, users in wanted.items()}


def _fields(every: Sequence[Seen]) -> Mapping[str, FieldSet]:
    """Find the fields that are wanted, of the sources that can be asked for some alone."""
    fields: dict[str, FieldSet] = {}
    for view, _, _ in every:
        for source, some in view.plan.fields.items():
            fields[source] = some | fields.get(source, frozenset())
    return fields
