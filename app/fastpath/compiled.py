"""Operations compiled: the answer is written straight from the records, by a function made for it.

Replaces: Strawberry's executor with its resolvers (``execution/executor.py``,
    ``execution/schema.py``).
Switch: ``GATEWAY_FASTPATH__COMPILED``.
Gains: docs/performance.md has the figures.
Proof: tests/fastpath/test_compiled.py holds both ways to the same answers.

It covers root fields that give users, with the fields that are read from a record alone. Whatever
it does not cover is left to the executor, and the resolvers stay the definition of what is right.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLFormattedError, located_error
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language.location import FormattedSourceLocation

from app.auth.policies import Policy, refusal
from app.errors import BadUserInputError, Code, GatewayError, SourceFailure, bare
from app.execution.outcome import Outcome, Results, bug_of, outcome_of
from app.execution.plan import (
    Plan,
    PlannedField,
    PlannedRoot,
    RootSelection,
    UserGroup,
    UserSelection,
)
from app.execution.render import NotCoveredError, Rendered
from app.execution.response_errors import in_answer_order, public_error
from app.execution.schema import GatewaySchema
from app.fastpath.code import FunctionWriter, function_bytes
from app.schema.fields import SourceField

_OWN_FIELDS = {"id": "key", "__typename": "'User'"}
"""The fields of a user that read no source, and the text of their values."""

ROOT_BYTES = 500
"""A compiled root field, without what writes its users. Estimates; a test holds them to be near."""

WRITER_BYTES = 700
"""What writes users, without fields and functions."""

FIELD_BYTES = 330
"""A field of users, with its places in the document."""

UserData = dict[str, Any]
"""A user as the answer has it."""


@dataclass(frozen=True, slots=True)
class FieldFailure:
    """One field of the users of a selection, as far as errors go.

    Attributes:
        key: Its response key.
        sources: The sources that it reads.
        wrong: Why it is always an error, if it is: the caller may not see it, or something is
            wrong with its arguments.
        locations: Where it stands in the document.
    """

    key: str
    sources: tuple[str, ...]
    wrong: GatewayError | None
    locations: Sequence[FormattedSourceLocation]


@dataclass(frozen=True, slots=True)
class UserWriter:
    """Writes the users of one selection.

    Attributes:
        fields: What is selected of them.
        write_user: Writes a user from its id and what each needed source said; ``None`` where none
            of them knows it.
        write_known: The same of one that is known somehow, if only by a source that failed.
        always_wrong: Whether a field of them is always an error.
    """

    fields: Sequence[FieldFailure]
    write_user: Callable[..., UserData | None]
    write_known: Callable[..., UserData]
    always_wrong: bool


@dataclass(frozen=True, slots=True)
class CompiledRoot:
    """One root field, compiled.

    Attributes:
        locations: Where it stands in the document.
        others: Writes other users than the caller; ``None`` where it gives no users.
        own: Writes the caller itself; the same where that is the same.
    """

    locations: Sequence[FormattedSourceLocation]
    others: UserWriter | None = None
    own: UserWriter | None = None


class Compiler:
    """Compiles operations against the schema. An ``OperationCompiler``."""

    def __init__(self, schema: GatewaySchema) -> None:
        """Make it.

        Args:
            schema: The schema.
        """
        self._user = schema.user
        self._readings: Mapping[str, SourceField] = schema.source_fields
        self._policies: Mapping[str, Policy] = schema.policies

    def compile(
        self, roots: Sequence[RootSelection], variables: VariableValues
    ) -> "CompiledSelection":
        """Compile what an operation selects.

        Args:
            roots: Its root fields.
            variables: Values of its variables, coerced.

        Returns:
            What writes its answer.

        Raises:
            NotCoveredError: Only the executor can do it.
        """
        return CompiledSelection({root.key: self._root(root, variables) for root in roots})

    def _root(self, root: RootSelection, variables: VariableValues) -> CompiledRoot:
        """Compile a root field."""
        if root.others is None or root.own is None:
            if root.name != "__typename":
                raise NotCoveredError(f"the field {root.name}")
            return CompiledRoot(root.locations)
        others = self._writer(root.others, variables)
        own = others if root.own is root.others else self._writer(root.own, variables)
        return CompiledRoot(root.locations, others, own)

    def _writer(self, selection: UserSelection, variables: VariableValues) -> UserWriter:
        """Compile what is selected of users."""
        sources = selection.needs.sources
        records = [f"record{number}" for number in range(len(sources))]
        by_source = dict(zip(sources, records, strict=True))
        writer = FunctionWriter()
        fields: list[FieldFailure] = []
        whole: list[str] = []
        partial: list[str] = []
        for one in selection.fields:
            wrong, value = self._field(one, variables, writer, by_source)
            reads = () if one.hidden else one.sources
            fields.append(FieldFailure(one.key, reads, wrong, one.locations))
            unknown = " or ".join(f"{by_source[source]} is None" for source in reads)
            whole.append(f"{one.key!r}: {value}")
            partial.append(f"{one.key!r}: None if {unknown} else {value}" if unknown else whole[-1])
        write_known = writer.function(["key", *records], f"{{{', '.join(partial)}}}")
        everywhere = " and ".join(f"{record} is not None" for record in records)
        nowhere = " and ".join(f"{record} is None" for record in records)
        rest = f"None if {nowhere} else {writer.bind(write_known)}(key, {', '.join(records)})"
        text = f"{{{', '.join(whole)}}} if {everywhere} else {rest}"
        return UserWriter(
            fields=fields,
            write_user=writer.function(["key", *records], text),
            write_known=write_known,
            always_wrong=any(one.wrong is not None for one in fields),
        )

    def _field(
        self,
        one: PlannedField,
        variables: VariableValues,
        writer: FunctionWriter,
        records: Mapping[str, str],
    ) -> tuple[GatewayError | None, str]:
        """Compile a field of a user: why it is always wrong, or the text of its value."""
        if one.hidden:
            return refusal(one.name, self._policies[one.name]), "None"
        if one.name in _OWN_FIELDS:
            return None, _OWN_FIELDS[one.name]
        reading, definition = self._readings.get(one.name), self._user.fields[one.name]
        if reading is None or (reading.showing is None and reading.bind is None):
            raise NotCoveredError(f"the field {one.name}, which asks on its own")
        record = writer.joined([records[source] for source in one.sources])
        if reading.showing is not None:
            return None, writer.shown(definition.type, one.fields, reading.showing, record)
        assert reading.bind is not None  # noqa: S101 # for the type checkers: looked at above
        try:
            read = reading.bind(get_argument_values(definition, one.nodes[0], variables))
        except BadUserInputError as error:
            return bare(error), "None"
        return None, writer.value(definition.type, one.fields, f"{writer.bind(read)}({record})")


class CompiledSelection:
    """What an operation selects, compiled. A ``CompiledOperation``.

    Attributes:
        roots: Its root fields by response key.
    """

    def __init__(self, roots: Mapping[str, CompiledRoot]) -> None:
        self.roots = roots

    @property
    def bytes(self) -> int:
        """How many bytes it has in memory, by estimate."""
        writers = [one for root in self.roots.values() for one in (root.others, root.own)]
        distinct = {id(one): one for one in writers if one is not None}.values()
        return ROOT_BYTES * len(self.roots) + sum(
            WRITER_BYTES
            + FIELD_BYTES * len(one.fields)
            + function_bytes([one.write_user, one.write_known])
            for one in distinct
        )

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
        rendering = _Rendering(results, required, request_id)
        data = {key: rendering.root(root, self.roots[key]) for key, root in plan.roots.items()}
        errors: Sequence[GraphQLFormattedError] = rendering.errors
        if errors and any(len(root.groups) > 1 or root.wrong for root in plan.roots.values()):
            # Of one field, some users were written apart from the others.
            errors = in_answer_order(errors, data)
        return Rendered(data, errors, rendering.bugs)


class _Rendering:
    """One run of a compiled operation: collects errors while users are written."""

    def __init__(self, results: Results, required: Collection[str], request_id: str) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.bugs: list[GraphQLError] = []
        self._results = results
        self._required = required
        self._request_id = request_id

    def root(self, root: PlannedRoot, compiled: CompiledRoot) -> object:
        """Write the value of a root field."""
        if compiled.others is None or compiled.own is None:
            return "Query"  # its name is __typename
        failed = root.error or self._bug(root.groups)
        if failed is not None:
            self._fail(root.selection, failed, [root.selection.key])
            return None
        users: list[UserData | None]
        if len(root.groups) == 1 and not root.wrong:  # the everyday operation
            [group] = root.groups
            writer = compiled.own if group.is_own else compiled.others
            users = self._users(root.selection, compiled, writer, group)
        else:
            users = [None] * (root.count or 0)
            for place, error in root.wrong.items():
                self._fail(root.selection, error, [root.selection.key, place])
            for group in root.groups:
                writer = compiled.own if group.is_own else compiled.others
                some = self._users(root.selection, compiled, writer, group)
                for place, user in zip(group.places, some, strict=True):
                    users[place] = user
        return users if root.selection.is_list else users[0]

    def _bug(self, groups: Sequence[UserGroup]) -> Exception | None:
        """Find the bug of ours that fails a root field."""
        return bug_of(groups, self._results)

    def _users(
        self, root: RootSelection, compiled: CompiledRoot, writer: UserWriter, group: UserGroup
    ) -> list[UserData | None]:
        """Write users of whom the caller sees the same."""
        said = [self._results[name] for name in group.selection.needs.sources]
        columns = [list(map(results.__getitem__, group.keys)) for results in said]
        if not writer.always_wrong and not any(SourceFailure in map(type, one) for one in columns):
            return list(map(writer.write_user, group.keys, *columns))
        users: list[UserData | None] = []
        for place, key, *row in zip(group.places, group.keys, *columns, strict=True):
            path: list[str | int] = [root.key, place] if root.is_list else [root.key]
            needs = group.selection.needs
            outcome = outcome_of(dict(zip(needs.sources, row, strict=True)), needs, self._required)
            if outcome.failure is not None:
                self._tell_source(outcome.failure, compiled.locations, path)
            elif outcome.known:
                self._tell_fields(writer, outcome, path)
            known = (None if isinstance(one, SourceFailure) else one for one in row)
            users.append(writer.write_known(key, *known) if outcome.known else None)
        return users

    def _tell_fields(self, writer: UserWriter, outcome: Outcome, path: list[str | int]) -> None:
        """Add the errors of the fields of one user."""
        for field in writer.fields:
            if field.wrong is not None:
                place = [*path, field.key]
                self._tell(field.wrong.message, field.locations, place, field.wrong.code)
            elif (failure := outcome.failure_of(field.sources)) is not None:
                self._tell_source(failure, field.locations, [*path, field.key])

    def _tell_source(
        self,
        failure: SourceFailure,
        locations: Sequence[FormattedSourceLocation],
        path: list[str | int],
    ) -> None:
        """Add the error of a failed source at a position."""
        self._tell(failure.message, locations, path, failure.code, failure.public_source)

    def _tell(
        self,
        message: str,
        locations: Sequence[FormattedSourceLocation],
        path: list[str | int],
        code: Code,
        source: str | None = None,
    ) -> None:
        """Add an error at a position."""
        extensions = {"code": code.value} | ({"source": source} if source is not None else {})
        self.errors.append(
            {
                "message": message,
                "locations": list(locations),
                "path": path,
                "extensions": extensions,
            }
        )

    def _fail(self, root: RootSelection, error: Exception, path: list[str | int]) -> None:
        """Add the error of a root field, or of one key that it names."""
        located = located_error(error, root.nodes, path)
        self.bugs.append(located)
        self.errors.append(
            public_error(located, otherwise=Code.BAD_USER_INPUT, request_id=self._request_id)
        )
