"""Compiled operations: a generated function makes the response directly from the records.

Replaces: Strawberry's executor with its resolvers (``execution/executor.py``,
    ``execution/schema.py``).
Switch: ``GATEWAY_FASTPATH__COMPILED``.
Gains: docs/explanation/performance.md has the figures.
Proof: tests/fastpath/test_compiled.py checks that both give the same responses.

It covers all operations except those that ``docs/explanation/performance.md`` lists. The executor
renders these, and its resolvers define what is right.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from graphql import (
    DocumentNode,
    GraphQLFormattedError,
    GraphQLNonNull,
    GraphQLObjectType,
)
from graphql.execution.values import VariableValues, get_argument_values

from app.auth.policies import refusal
from app.errors import BadUserInputError, GatewayError, bare
from app.execution.plan import (
    PlannedField,
    RootSelection,
    UserSelection,
)
from app.execution.render import (
    ExecutorReason,
    NotCompiled,
    NotCoveredError,
    PageFetch,
    PageResults,
    Rendered,
    RenderRequest,
)
from app.execution.response_errors import in_answer_order
from app.execution.schema import GatewaySchema
from app.execution.selection import variables_in
from app.fastpath.code import FunctionWriter, function_bytes
from app.fastpath.kept_users import KeptUsers
from app.fastpath.lists import LIST_BYTES, CompiledList
from app.fastpath.rendering import Rendering, null_users
from app.fastpath.user_writer import CompiledRoot, FieldFailure, UserWriter
from app.schema.page_types import page_types
from app.sources.base import PageRequest, PageSpec

ROOT_BYTES = 500
"""Estimated bytes of a compiled root field, without its writers. A test checks all estimates."""

WRITER_BYTES = 700
"""Estimated bytes of a ``UserWriter``, without its fields and functions."""

FIELD_BYTES = 330
"""Estimated bytes of a field of users, with its locations in the document."""


class Compiler:
    """Compiles operations of the schema. An ``OperationCompiler``."""

    def __init__(self, schema: GatewaySchema, kept: KeptUsers | None = None) -> None:
        """Read the fields and policies of the schema.

        Args:
            schema: The schema.
            kept: Keeps the JSON of users whose records are cached; ``None`` to keep none.
        """
        self._kept = kept
        self._user = schema.user
        self._types = schema.core.type_map
        self._definition = schema.definition
        self._policies = schema.definition.policies
        objects = (*schema.definition.objects, *page_types(schema.definition))
        self._objects = {one.name: one for one in objects}
        self._lists = {one.name for one in schema.definition.fields if one.pages is not None}
        # The fields whose arguments become part of what is compiled.
        of_users = [one.name for one in schema.definition.fields if one.assumed_size is not None]
        inner = [one for kind in schema.definition.objects for one in kind.fields]
        self._compiled_in = {
            *of_users,
            *(one.name for one in inner if one.assumed_size is not None),
        }
        # The fields of a user that read no source, and the text of their values.
        self._own_fields = {"id": "key", "__typename": repr(schema.definition.names.type)}

    def compile(
        self,
        roots: Sequence[RootSelection],
        variables: VariableValues,
        *,
        in_parts: bool = False,
    ) -> "CompiledSelection":
        """Compile the selection of an operation.

        Args:
            roots: The root fields of the operation.
            variables: The coerced values of its variables.
            in_parts: Whether the data are merged with other data of the same users.

        Returns:
            The compiled selection, which renders responses.

        Raises:
            NotCoveredError: Only the executor can render the operation.
        """
        kept = None if in_parts else self._kept
        return CompiledSelection({root.key: self._root(root, variables) for root in roots}, kept)

    def deciding_variables(
        self, document: DocumentNode, user_roots: Collection[str]
    ) -> tuple[str, ...]:
        """List the variables that decide what an operation selects and how it is compiled.

        Args:
            document: The document.
            user_roots: The root fields whose arguments name users.

        Returns:
            Names of the variables that are used anywhere except in arguments that name users, and
            in those of lists that are read page by page.
        """
        return variables_in(document.definitions, {*user_roots, *self._lists} - self._compiled_in)

    def _root(self, root: RootSelection, variables: VariableValues) -> CompiledRoot:
        """Compile a root field."""
        if root.others is None or root.own is None:
            if root.name != "__typename":
                why = NotCompiled(ExecutorReason.INTROSPECTION, f"the field {root.name}")
                raise NotCoveredError(why)
            return CompiledRoot(root.locations)
        others = self._writer(root.others, variables)
        own = others if root.own is root.others else self._writer(root.own, variables)
        return CompiledRoot(root.locations, others, own)

    def _writer(self, selection: UserSelection, variables: VariableValues) -> UserWriter:
        """Compile a selection of users."""
        sources = selection.needs.sources
        records = [f"record{number}" for number in range(len(sources))]
        by_source = dict(zip(sources, records, strict=True))

        def arguments_of(kind: str, field: PlannedField) -> Mapping[str, Any]:
            in_schema = cast("GraphQLObjectType", self._types[kind]).fields[field.name]
            return get_argument_values(in_schema, field.nodes[0], variables)

        writer = FunctionWriter(self._definition, self._objects, arguments_of)
        fields: list[FieldFailure] = []
        whole: list[str] = []
        partial: list[str] = []
        lists: list[CompiledList] = []
        for field in selection.fields:
            if not field.hidden and (one := self._list(field)) is not None:
                wrong, value = None, self._connection(field, writer, f"page{len(lists)}")
                lists.append(one)
            else:
                wrong, value = self._field(field, variables, writer, by_source)
            failure = self._failure(field, wrong)
            fields.append(failure)
            unknown = [f"{by_source[source]} is None" for source in failure.sources]
            missing = " or ".join([f"{field.key!r} in failed", *unknown])
            item = f"{field.key!r}: {value}"
            whole.append(item)
            partial.append(f"{field.key!r}: None if {missing} else {value}" if unknown else item)
        values = [*records, *(f"page{number}" for number in range(len(lists)))]
        write_known = writer.function(["failed", "key", *values], f"{{{', '.join(partial)}}}")
        everywhere = " and ".join(f"{record} is not None" for record in records) or "True"
        rest = f"{writer.bind(write_known)}({', '.join(['()', 'key', *values])})"
        if not selection.needs.exists:
            nowhere = " and ".join(f"{record} is None" for record in records)
            rest = f"None if {nowhere} else {rest}"
        text = f"{{{', '.join(whole)}}} if {everywhere} else {rest}"
        computed = any(self._is_computed(field) for field in selection.fields)
        return UserWriter(
            fields=fields,
            write_user=writer.function(["key", *values], text),
            write_known=write_known,
            always_wrong=any(field.wrong is not None for field in fields),
            never_null=[field.key for field in fields if field.missing is not None],
            lists=lists,
            computed=computed,
            # A function of an operator may return another value for the same record.
            number=None if computed or self._kept is None else self._kept.number_for(sources),
        )

    def _is_computed(self, field: PlannedField) -> bool:
        """Return whether a function of an operator makes the value of a field."""
        definition = self._definition.by_name.get(field.name)
        return definition is not None and definition.computation is not None

    def _list(self, field: PlannedField) -> CompiledList | None:
        """Compile a list that is read page by page; ``None`` if the field is something else."""
        definition = self._definition.by_name.get(field.name)
        if definition is None or definition.pages is None:
            return None
        in_schema, node = self._user.fields[field.name], field.nodes[0]

        def coerce(variables: VariableValues) -> Mapping[str, Any]:
            return get_argument_values(in_schema, node, variables)

        return CompiledList(field.key, definition.pages, field.sources, coerce)

    def _connection(self, field: PlannedField, writer: FunctionWriter, page: str) -> str:
        """Compile a page of a list: the text of its value."""
        return writer.value(self._definition.by_name[field.name].shown, field.fields, page)

    def _failure(self, field: PlannedField, wrong: GatewayError | None) -> FieldFailure:
        """Collect the errors that a field of a user can have."""
        definition = self._definition.by_name.get(field.name)
        kind: object = self._user.fields[field.name].type if definition is not None else None
        is_list = definition is not None and definition.pages is not None
        return FieldFailure(
            key=field.key,
            # A list finds its own failures, because those of its arguments come first.
            sources=() if field.hidden or is_list else field.sources,
            reads=frozenset() if definition is None else definition.reads,
            wrong=wrong,
            missing=None if definition is None else definition.missing,
            nullable=not isinstance(kind, GraphQLNonNull),
            locations=field.locations,
        )

    def _field(
        self,
        field: PlannedField,
        variables: VariableValues,
        writer: FunctionWriter,
        records: Mapping[str, str],
    ) -> tuple[GatewayError | None, str]:
        """Compile a field of a user: the error that it always has, or the text of its value."""
        if field.hidden:
            return refusal(field.name, self._policies[field.name]), "None"
        if field.name in self._own_fields:
            return None, self._own_fields[field.name]
        definition = self._definition.by_name.get(field.name)
        if definition is None:
            why = NotCompiled(ExecutorReason.INTROSPECTION, f"the field {field.name}")
            raise NotCoveredError(why)
        record = writer.joined([records[source] for source in field.sources])
        value = f"{record}.{definition.attribute}"
        if definition.assumed_size is not None or definition.computation is not None:
            in_schema = self._user.fields[field.name]
            arguments = get_argument_values(in_schema, field.nodes[0], variables)
            try:
                value = f"{writer.bind(definition.reader(arguments))}({record})"
            except BadUserInputError as error:
                return bare(error), "None"
        return None, writer.value(definition.kind, field.fields, value)


class CompiledSelection:
    """The compiled selection of an operation. A ``CompiledOperation``.

    Attributes:
        roots: The compiled root fields, by response key.
    """

    def __init__(self, roots: Mapping[str, CompiledRoot], kept: KeptUsers | None) -> None:
        self.roots = roots
        self._kept = kept
        self._has_lists = any(writer.lists for writer in self._writers)

    @property
    def _writers(self) -> Collection[UserWriter]:
        """All writers, each once."""
        every = [writer for root in self.roots.values() for writer in (root.others, root.own)]
        return {id(writer): writer for writer in every if writer is not None}.values()

    @property
    def bytes(self) -> int:
        """Estimated size in memory, in bytes."""
        return ROOT_BYTES * len(self.roots) + sum(
            WRITER_BYTES
            + FIELD_BYTES * len(writer.fields)
            + LIST_BYTES * len(writer.lists)
            + function_bytes([writer.write_user, writer.write_known])
            for writer in self._writers
        )

    @property
    def has_lists(self) -> bool:
        """Whether it has lists that are read page by page."""
        return self._has_lists

    @property
    def is_computed(self) -> bool:
        """Whether functions of operators make some of its values."""
        return any(writer.computed for writer in self._writers)

    def pages(self, request: RenderRequest) -> Sequence[PageFetch]:
        """List the pages that the response needs.

        Args:
            request: What the response is rendered of.

        Returns:
            The pages, by list. A user, or an answer, that is ``null`` without any page needs none.
        """
        rendering = Rendering(request, {})
        null: Mapping[str, Collection[int]] = {}
        if request.on_error != "NULL":  # errors may propagate
            data = self.render(request, {}).data
            if data is None:
                return []
            null = {key: null_users(root, data[key]) for key, root in request.plan.roots.items()}
        wanted: dict[PageSpec[Any], dict[PageRequest, None]] = {}
        for key, root in request.plan.roots.items():
            for spec, requests in rendering.wanted_pages(root, self.roots[key], null.get(key, ())):
                wanted.setdefault(spec, {}).update(dict.fromkeys(requests))
        return [PageFetch(spec, [*requests]) for spec, requests in wanted.items() if requests]

    def render(self, request: RenderRequest, pages: PageResults) -> Rendered:
        """Render the response.

        Args:
            request: What the response is rendered of. The root fields of its plan are the compiled
                ones.
            pages: The results of all pages that ``pages`` lists.

        Returns:
            The data and the errors of the response.

        Raises:
            Exception: A bug of ours. The executor finds the same bug, and the field of it.
        """
        plan, on_error = request.plan, request.on_error
        rendering = Rendering(request, pages, self._kept)
        data: dict[str, Any] | None = {
            key: rendering.root(root, self.roots[key]) for key, root in plan.roots.items()
        }
        errors: Sequence[GraphQLFormattedError] = rendering.repeated or rendering.errors
        apart = any(len(root.groups) > 1 or root.wrong for root in plan.roots.values())
        if errors and (apart or on_error == "PROPAGATE"):
            # Some users of a field were rendered apart from the others, or are null now.
            errors = in_answer_order(errors, data)
        if on_error == "PROPAGATE" and rendering.ended is not None:
            data, errors = None, [rendering.ended]
        elif on_error == "HALT" and errors:
            data, errors = None, errors[:1]
        return Rendered(data, errors, rendering.bugs)
