"""Explains an operation: the calls to sources that it would make, without making any.

It is not async, since it waits for nothing. It uses the same parts as a run: documents, limits,
planner, compiler, and the split into calls. A test compares it with the calls of real runs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLFormattedError,
    NonNullTypeNode,
    OperationDefinitionNode,
    located_error,
)
from msgspec import Struct

from app.auth.policies import Caller
from app.errors import Code, LimitError, RequestError
from app.execution.document_store import DocumentStore
from app.execution.documents import Documents
from app.execution.explained_calls import ExplainedGroup, SourcesExplainer, explained_groups
from app.execution.explanation import Explanation, FieldExplanation, SourceReading
from app.execution.keys import InputLimits
from app.execution.limits.budget import check_cost, check_introspection, check_variables
from app.execution.operation import deciding_variables
from app.execution.plan import PlannedRoot, SourceNeeds
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.request import GraphQLRequest, GraphQLResponse
from app.execution.response_errors import public_error
from app.execution.schema import GatewaySchema, policies_of
from app.execution.variables import Coercion
from app.settings.models import Settings
from app.sources.endpoints import endpoints_of, keys_of, sources_of_keys


class ExplainResult(Struct, frozen=True):
    """The result of a request to explain an operation.

    Attributes:
        explanation: The explanation; ``None`` if the request could not be executed.
        errors: The errors of the request, as a run would report them.
        status: HTTP status of a request that could not be executed.
    """

    explanation: Explanation | None
    errors: Sequence[GraphQLFormattedError]
    status: int = 200

    def answer(self) -> GraphQLResponse:
        """Make a GraphQL response: no data, and the explanation as an extension.

        Returns:
            The response.
        """
        if self.explanation is None:
            return GraphQLResponse(
                executed=False, data=None, errors=self.errors, status=self.status
            )
        extensions = {"explain": self.explanation.model_dump(mode="json")}
        return GraphQLResponse(executed=True, data=None, errors=self.errors, extensions=extensions)


class Explainer:
    """Explains operations. Shared by all requests; calls no source and keeps no request state."""

    def __init__(
        self,
        *,
        schema: GatewaySchema,
        documents: Documents,
        store: DocumentStore,
        settings: Settings,
        compiler: OperationCompiler | None,
    ) -> None:
        """Make an explainer.

        Args:
            schema: The schema.
            documents: Prepares documents, and keeps them.
            store: Finds the texts of documents.
            settings: All settings.
            compiler: Compiles operations; ``None`` if compiling is switched off.
        """
        limits = InputLimits.from_settings(settings)
        self._core = schema.core
        endpoints = endpoints_of(schema.definition.sources.values(), settings.sources)
        keys = keys_of(endpoints, settings.key_from, settings.sources)
        self._key_from = sources_of_keys(keys)
        reads = schema.reads(endpoints, self._key_from)
        self._planner = Planner(schema.core, reads, limits)
        self._sources = SourcesExplainer(schema, endpoints, keys)
        self._documents = documents
        self._document_store = store
        self._limits = settings.limits
        self._compiler = compiler
        self._policies = policies_of(schema.definition, fold_case=limits.fold_case)

    def text(self, request: GraphQLRequest) -> str:
        """Find the document of a request; its length decides what the explanation costs.

        Args:
            request: The request.

        Returns:
            The text of the document; empty if there is none.
        """
        try:
            return self._document_store.text_of(request)
        except RequestError:
            return ""

    def explain(self, request: GraphQLRequest, caller: Caller, *, request_id: str) -> ExplainResult:
        """Explain an operation.

        Variables that only name users may be missing: these users are then known only at run time.
        Any other missing variable is an error, as in a run.

        Args:
            request: The request.
            caller: The caller.
            request_id: Written into masked errors.

        Returns:
            The explanation, or the errors of the request; both if only ids are invalid.
        """
        try:
            text = self._document_store.text_of(request)
            self._document_store.keep(request)
            document = self._documents.get(text)
            if document.errors:
                return _refused(document.errors, document.code, request_id)
            operation = document.operation(request.operation_name)
            check_variables(request.variables or {}, self._limits)
        except RequestError as error:
            wrapped = GraphQLError(error.message, original_error=error)
            return _refused([wrapped], error.code, request_id, status=error.status)
        tree, given = operation.tree, request.variables or {}
        missing = left_to_run_time(tree, operation.node, given, self._planner.user_roots)
        variables = Coercion(self._core, operation.node, without=missing).coerce(given)
        if isinstance(variables, list):
            return _refused(variables, Code.BAD_USER_INPUT, request_id)
        rights = self._policies.rights(caller)
        variant = operation.variant(self._planner, self._compiler, variables, rights)
        plan = self._planner.plan(variant.roots, variables, rights, missing)
        not_compiled = variant.not_compiled_for(request.on_error or "NULL")
        groups = [group for root in plan.roots.values() for group in explained_groups(root)]
        lookups = self._planner.lookups(variant.roots, variables, rights)
        sources = (
            *self._sources.explain_lookups([*plan.roots.values()], lookups),
            *self._sources.explain(groups, variables),
        )
        cost = None if missing else operation.price.cost_for(given)
        explanation = Explanation(
            operation=operation.name,
            missing_variables=missing,
            compiled=not_compiled is None,
            interpreted_because=None if not_compiled is None else not_compiled.detail,
            fields=tuple(self._field(group) for group in groups),
            sources=sources,
            calls=_sum(n for one in sources for n in (one.calls, *(p.calls for p in one.pages))),
            cost=cost,
            max_cost=self._limits.cost or None,
        )
        errors = [error for root in plan.roots.values() for error in _errors_of(root)]
        try:
            check_cost(cost or 0, self._limits)
            check_introspection(operation.price.schemas, self._limits)
        except LimitError as error:
            errors.append(GraphQLError(error.message, original_error=error))
        return ExplainResult(explanation, _public(errors, Code.BAD_USER_INPUT, request_id))

    def _field(self, group: ExplainedGroup) -> FieldExplanation:
        """Explain a root field for some of its users."""
        selection, root = group.selection, group.root
        fields = () if selection is None else selection.fields
        visible = {one.name: one.sources for one in fields if not one.hidden}
        needs = None if selection is None else selection.needs
        return FieldExplanation(
            key=root.selection.key,
            field=root.selection.name,
            is_list=root.selection.is_list,
            lookup=root.lookup,
            ids=group.count,
            distinct_ids=None if group.count is None else len(set(group.keys)),
            missing_variables=root.missing,
            wrong=() if group.is_own else tuple(error.message for error in _errors_of(root)),
            sources=()
            if needs is None
            else tuple(self._reading(one, needs, visible) for one in needs.needed),
            existence_only=needs is not None and needs.existence_only,
            sourceless=tuple(name for name, sources in visible.items() if not sources),
            hidden=tuple(dict.fromkeys(one.name for one in fields if one.hidden)),
            deferred=tuple(dict.fromkeys(one.name for one in fields if one.deferred)),
        )

    def _reading(
        self, source: str, needs: SourceNeeds, reads: Mapping[str, Collection[str]]
    ) -> SourceReading:
        """Explain what one source is needed for, by the sources that each field reads."""
        return SourceReading(
            source=source,
            fields=tuple(name for name, sources in reads.items() if source in sources),
            keys_of=tuple(one for one in needs.needed if source in self._key_from.get(one, ())),
            for_keys_only=source not in needs.sources,
            fallback=source in needs.fallbacks,
        )


def _errors_of(root: PlannedRoot) -> Sequence[GraphQLError]:
    """List the errors in the users that a root field names, with their paths."""
    nodes, key = root.selection.nodes, root.selection.key
    if root.error is not None:
        return [located_error(root.error, nodes, [key])]
    return [located_error(error, nodes, [key, place]) for place, error in root.wrong.items()]


def left_to_run_time(
    tree: DocumentNode,
    operation: OperationDefinitionNode,
    given: Mapping[str, object],
    user_roots: Collection[str],
) -> tuple[str, ...]:
    """List the variables that need a value, have none, and only name users.

    Args:
        tree: The document.
        operation: One of its operations.
        given: Values of the operation's variables, by name.
        user_roots: The root fields whose arguments name users.

    Returns:
        Names of the variables. The operation needs the same sources for all of their values.
    """
    deciding = deciding_variables(tree, user_roots)
    return tuple(
        name
        for one in operation.variable_definitions or ()
        if (name := one.variable.name.value) not in given
        and name not in deciding
        and isinstance(one.type, NonNullTypeNode)
        and one.default_value is None
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Add numbers; ``None`` if one is unknown."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _public(
    errors: Sequence[GraphQLError], code: Code, request_id: str
) -> list[GraphQLFormattedError]:
    """Return errors as clients see them."""
    return [public_error(one, otherwise=code, request_id=request_id) for one in errors]


def _refused(
    errors: Sequence[GraphQLError], code: Code, request_id: str, *, status: int = 400
) -> ExplainResult:
    """Make the result of a request that could not be executed."""
    return ExplainResult(None, _public(errors, code, request_id), status)
