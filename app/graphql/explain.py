"""Explaining an operation: what it would ask of the sources, found without asking any.

Plain, since nothing is waited for. It reads a request by the same parts as a run does: documents,
guards, planner, compiler, and the split into calls. A test holds it to what runs really ask.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphql import GraphQLError, GraphQLFormattedError
from graphql.execution.values import VariableValues

from app.errors import Code, LimitError, RequestError
from app.federation.plan import Plan
from app.graphql.asking import Asking, AskingReader, left_to_run_time
from app.graphql.caller import Caller
from app.graphql.compiler import Compiler
from app.graphql.context import Guards
from app.graphql.documents import Documents
from app.graphql.explain_sources import SourcesExplainer
from app.graphql.explanation import (
    Explanation,
    FieldExplanation,
    SourceReading,
)
from app.graphql.limits.allowance import check_cost, check_introspection
from app.graphql.limits.variables import check_variables
from app.graphql.masking import public_error
from app.graphql.operation import Operation
from app.graphql.request import Answer, GraphQLRequest
from app.graphql.rights import Policies, Rights
from app.graphql.schema import GatewaySchema
from app.graphql.texts import Texts
from app.graphql.variables import Coercion
from app.graphql.writer import NotCompiledError
from app.settings import Settings
from app.sources.endpoints import endpoints_of, keys_of


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of a request to explain an operation.

    Attributes:
        explanation: The explanation; ``None`` when the request could not be executed.
        errors: What is wrong with the request, as a run would tell it.
        status: HTTP status of a request that could not be executed.
    """

    explanation: Explanation | None
    errors: Sequence[GraphQLFormattedError]
    status: int = 200

    def answer(self) -> Answer:
        """Put it into the shape of an answer: no data, and the explanation as an extension."""
        if self.explanation is None:
            return Answer(executed=False, data=None, errors=self.errors, status=self.status)
        told = {"explain": self.explanation.model_dump(mode="json")}
        return Answer(executed=True, data=None, errors=self.errors, extensions=told)


class Explainer:
    """Explains operations. Shared by all requests; calls nothing and keeps nothing of any."""

    def __init__(
        self,
        *,
        schema: GatewaySchema,
        documents: Documents,
        texts: Texts,
        settings: Settings,
    ) -> None:
        guards = Guards.of(settings)
        self._core = schema.core
        endpoints = endpoints_of(schema.specs, dict(settings.sources))
        keys = keys_of(endpoints, settings.key_from)
        self._key_from = {name: one.source for name, one in keys.items()}
        self._planner = schema.planner(endpoints, self._key_from)
        self._sources = SourcesExplainer(schema, self._planner, endpoints, keys)
        self._reader = AskingReader(schema, self._planner, guards)
        self._documents = documents
        self._texts = texts
        self._limits = settings.limits
        self._compile = settings.compile
        self._compiler = Compiler(schema, self._planner)
        self._policies = Policies(schema.policies, fold_case=guards.fold_case)

    def text(self, request: GraphQLRequest) -> str:
        """Find the document that would be explained, by which an explanation is paid for.

        Args:
            request: What a client would ask for.

        Returns:
            Its text; empty where there is none.
        """
        try:
            return self._texts.of(request)
        except RequestError:
            return ""

    def explain(self, request: GraphQLRequest, caller: Caller, *, request_id: str) -> Explained:
        """Explain an operation.

        A variable that does no more than name users may be left out: who they are is then told at
        run time. Any other that is missing is an error, as it is when the request is run.

        Args:
            request: What a client would ask for.
            caller: Who would ask.
            request_id: Shown with what is masked.

        Returns:
            The explanation, or what is wrong with the request; both where only ids are wrong.
        """
        try:
            text = self._texts.of(request)
            self._texts.keep(request)
            document = self._documents.get(text)
            if document.errors:
                return _refused(document.errors, document.code, request_id)
            operation = document.operation(request.operation_name)
            check_variables(request.variables or {}, self._limits)
        except RequestError as error:
            wrapped = GraphQLError(error.message, original_error=error)
            return _refused([wrapped], error.code, request_id, status=error.status)
        tree, given = operation.tree, request.variables or {}
        missing = left_to_run_time(tree, operation.node, given)
        variables = Coercion(self._core, operation.node, without=missing).coerce(given)
        if isinstance(variables, list):
            return _refused(variables, Code.BAD_USER_INPUT, request_id)
        rights = self._policies.rights(caller)
        reason = (
            "compiling is switched off"
            if not self._compile
            else f"onError is {request.on_error}"
            if request.on_error not in {None, "NULL"}
            else self._not_compiled(operation, variables, rights)
        )
        fields = self._reader.read(tree, operation.node, variables, missing, rights)
        sources = self._sources.explain(fields, variables)
        cost = None if missing else operation.price.of(given)
        explanation = Explanation(
            operation=operation.name,
            missing_variables=missing,
            compiled=reason is None,
            interpreted_because=reason,
            fields=tuple(self._field(field) for field in fields),
            sources=sources,
            calls=_sum(n for one in sources for n in (one.calls, *(p.calls for p in one.pages))),
            cost=cost,
            max_cost=self._limits.cost or None,
        )
        errors = [error for field in fields for error in field.users.errors]
        try:
            check_cost(cost or 0, self._limits)
            check_introspection(operation.price.schemas, self._limits)
        except LimitError as error:
            errors.append(GraphQLError(error.message, original_error=error))
        return Explained(explanation, _told(errors, Code.BAD_USER_INPUT, request_id))

    def _not_compiled(
        self, operation: Operation, variables: VariableValues, rights: Rights
    ) -> str | None:
        """Say why the compiler leaves an operation to the resolvers; ``None`` when it does not."""
        try:
            operation.compiled(self._compiler, variables, rights)
        except NotCompiledError as error:
            return str(error)
        return None

    def _field(self, field: Asking) -> FieldExplanation:
        """Explain a field of the operation."""
        plan, users = field.plan, field.users
        names = dict.fromkeys(group[0].name.value for group in field.selected.values())
        reads = {name: self._planner.reads.get(name, ()) for name in names}
        return FieldExplanation(
            key=field.key,
            field=field.name,
            ids=users.given,
            distinct_ids=None if users.given is None else len(set(users.keys)),
            missing_variables=users.missing,
            wrong=tuple(error.message for error in users.errors),
            sources=()
            if plan is None
            else tuple(self._reading(one, plan, reads) for one in plan.needed),
            existence_only=plan is not None and plan.existence_only,
            sourceless=tuple(name for name in names if not reads[name]),
            hidden=field.hidden,
        )

    def _reading(
        self, source: str, plan: Plan, reads: Mapping[str, Collection[str]]
    ) -> SourceReading:
        """Explain what one source is needed for, given what each selected field reads."""
        return SourceReading(
            source=source,
            fields=tuple(name for name, some in reads.items() if source in some),
            keys_of=tuple(one for one in plan.needed if self._key_from.get(one) == source),
            for_keys_only=source in plan.for_keys,
        )


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Add numbers; ``None`` when one is not known."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _told(
    errors: Sequence[GraphQLError], code: Code, request_id: str
) -> list[GraphQLFormattedError]:
    """Write errors as clients see them."""
    return [public_error(one, otherwise=code, request_id=request_id) for one in errors]


def _refused(
    errors: Sequence[GraphQLError], code: Code, request_id: str, *, status: int = 400
) -> Explained:
    """Say that a request could not be executed."""
    return Explained(None, _told(errors, code, request_id), status)
