"""Runs an operation: from a request to its response.

It is async because it waits for sources. Parsing, validating and executing run on the event loop's
thread: for the documents of real clients they take well under a few milliseconds, and the result of
the first two is kept.
"""

from asyncio import CancelledError, TaskGroup, current_task
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from graphql import GraphQLError, located_error
from graphql.execution.values import VariableValues
from structlog.typing import FilteringBoundLogger

from app.auth.policies import Caller, Policies, Rights
from app.errors import Code, RequestError, bare
from app.execution.context import Context
from app.execution.document_store import DocumentStore
from app.execution.documents import Documents
from app.execution.error_reports import ErrorReports
from app.execution.freshness import FreshnessRules
from app.execution.limits.budget import CostBudget
from app.execution.load import Loaders, OpenSources
from app.execution.operation_run import OperationRun
from app.execution.operation_runner import OperationRunner
from app.execution.outcome import ended_by
from app.execution.payloads import reported_payloads
from app.execution.planner import Planner
from app.execution.render import OperationCompiler
from app.execution.request import Delivery, GraphQLRequest, GraphQLResponse
from app.execution.response_errors import masked
from app.execution.schema import GatewaySchema
from app.execution.source_report import OperationTimes
from app.execution.telemetry import OperationTelemetry
from app.execution.variants import Variant
from app.resilience.clock import Clock
from app.sources.base import RequestContext


class Engine:
    """Runs operations against the schema. Shared by all requests; keeps no state of any request.

    Attributes:
        documents: The prepared documents.
    """

    def __init__(
        self,
        *,
        schema: GatewaySchema,
        sources: OpenSources,
        planner: Planner,
        documents: Documents,
        store: DocumentStore,
        policies: Policies,
        required: frozenset[str],
        compiler: OperationCompiler | None,
        freshness: FreshnessRules | None = None,
        clock: Clock,
        log: FilteringBoundLogger,
        telemetry: OperationTelemetry,
    ) -> None:
        """Make an engine.

        Args:
            schema: The schema.
            sources: The open sources.
            planner: Makes the plans of operations.
            documents: Prepares documents, and keeps them.
            store: Finds the texts of documents.
            policies: Who may see the fields of a user.
            required: Names of the sources whose failure fails the user.
            compiler: Compiles operations; ``None`` to run all of them by the executor.
            freshness: Decides how long caches may store answers; ``None`` for not at all.
            clock: Measures the duration of operations.
            log: The log of operations and bugs.
            telemetry: Where operations are counted, and their spans go.
        """
        self.documents = documents
        self._errors = ErrorReports(log)
        self._runner = OperationRunner(schema.core, self._errors)
        self._schema = schema
        self._sources = sources
        self._planner = planner
        self._document_store = store
        self._policies = policies
        self._required = required
        self._compiler = compiler
        self._freshness = freshness
        self._clock = clock
        self._telemetry = telemetry

    async def run(
        self,
        request: GraphQLRequest,
        call: RequestContext,
        caller: Caller,
        budget: CostBudget,
        *,
        report_sources: bool = False,
        safe: bool = False,
    ) -> GraphQLResponse:
        """Run one operation.

        Args:
            request: The request.
            call: The request context, for the calls to sources.
            caller: The caller.
            budget: What the operation may cost.
            report_sources: Whether the answer reports what became of the request at each source.
            safe: Whether the HTTP method is safe (RFC 9110, section 9.2.1), so that only queries
                may run.

        Returns:
            The response. Errors of clients, sources and resolvers are in it; none is raised.
        """
        context = self._telemetry.begin(call)
        async with Loaders(self._sources, context) as loaders:
            return await self._answer(
                OperationRun(
                    request,
                    context,
                    caller,
                    loaders,
                    budget,
                    call.trace,
                    self._times(call),
                    report_sources,
                    safe,
                )
            )

    @asynccontextmanager
    async def run_in_parts(
        self,
        request: GraphQLRequest,
        call: RequestContext,
        caller: Caller,
        budget: CostBudget,
        *,
        report_sources: bool = False,
        safe: bool = False,
    ) -> AsyncGenerator[GraphQLResponse]:
        """Run one operation whose answer may come in several payloads.

        Leaving the context ends everything that still runs for the operation.

        Args:
            request: The request.
            call: The request context, for the calls to sources.
            caller: The caller.
            budget: What the operation may cost.
            report_sources: Whether the last payload reports what became of the request at each
                source.
            safe: Whether the HTTP method is safe, so that only queries may run.

        Yields:
            The whole answer, or the first payload with those after it.
        """
        context = self._telemetry.begin(call)
        async with Loaders(self._sources, context) as loaders:
            run = OperationRun(
                request,
                context,
                caller,
                loaders,
                budget,
                call.trace,
                self._times(call),
                report_sources,
                safe,
                Delivery.IN_PARTS,
            )
            answer = await self._answer(run)
            try:
                yield answer
            finally:
                if answer.later is not None:
                    await answer.later.payloads.aclose()
                    self._telemetry.record(run, answer)

    async def run_batch(
        self,
        requests: Sequence[GraphQLRequest],
        call: RequestContext,
        caller: Caller,
        budget: CostBudget,
        *,
        report_sources: bool = False,
        delivery: Delivery = Delivery.WHOLE,
    ) -> list[GraphQLResponse]:
        """Run several operations at the same time; together they ask a source about a user once.

        Args:
            requests: The requests.
            call: The request context, for the calls to sources.
            caller: The caller.
            budget: What the operations may cost together.
            report_sources: Whether each answer reports what became of all of them at each source.
            delivery: Whether operations with ``@defer`` or ``@stream`` are refused.

        Returns:
            The responses, in the order of the requests.
        """
        async with Loaders(self._sources, call, shared=True) as loaders, TaskGroup() as group:
            runs = [
                OperationRun(
                    request,
                    self._telemetry.begin(call),
                    caller,
                    loaders,
                    budget,
                    call.trace,
                    self._times(call),
                    report_sources,
                    delivery=delivery,
                )
                for request in requests
            ]
            running = [group.create_task(self._answer(run)) for run in runs]
        return [one.result() for one in running]

    def failed(self, bug: BaseException, request_id: str) -> GraphQLResponse:
        """Log a bug of ours that ended an operation, and make the response.

        Args:
            bug: The exception. It is written to the log, with its traceback.
            request_id: The id of the request. The client sees it, and it leads to the log.

        Returns:
            The response: a masked error, and no data.
        """
        self._errors.log_bug(bug)
        return GraphQLResponse(executed=False, data=None, errors=[masked(request_id)], status=500)

    def _times(self, call: RequestContext) -> OperationTimes:
        """Make the times of an operation that begins now."""
        deadline = None if call.deadline is None else call.deadline.at
        return OperationTimes(self._clock.monotonic(), deadline)

    async def _answer(self, run: OperationRun) -> GraphQLResponse:
        """Run one operation; a bug of ours fails this operation only, not the others of a batch."""
        try:
            return await self._run(run)
        except CancelledError as error:
            task = current_task()
            if task is None or task.cancelling():
                raise  # the request itself was cancelled
            bug: BaseException = error  # it waited for something that was cancelled
        except Exception as error:  # noqa: BLE001 # any bug of ours is logged and masked
            bug = error
        answer = self.failed(bug, run.context.request_id)
        run.measure(self._clock.monotonic())
        run.report.count(answer.errors)
        self._telemetry.record(run, answer)
        return answer

    async def _run(self, run: OperationRun) -> GraphQLResponse:
        """Run one operation, and report it."""
        try:
            answer = await self._respond(run)
        except RequestError as error:
            wrapped = GraphQLError(error.message, original_error=bare(error))
            answer = self._errors.refusal([wrapped], error.code, run.context, status=error.status)
            answer.headers = error.headers
            run.report.refuse(error)
        answer.report = run.report
        self._report(run, answer)
        return answer

    def _report(self, run: OperationRun, answer: GraphQLResponse) -> None:
        """Add what is reported of an operation to its answer, or to the last payload of it."""
        run.measure(self._clock.monotonic())
        run.report.count(answer.errors)
        later, cost = answer.later, run.report.cost
        if later is not None:
            later.payloads = reported_payloads(
                later.payloads,
                later.pending,
                run,
                self._clock,
                lambda bug: self.failed(bug, run.context.request_id).errors,
            )
        else:
            answer.extensions = run.extensions()
            answer.timings = run.timings()
            self._telemetry.record(run, answer)
        if run.budget.reported and cost is not None:
            answer.extensions = {**(answer.extensions or {}), "cost": run.budget.report(cost)}
            answer.headers = run.budget.headers()

    async def _text_of(self, request: GraphQLRequest) -> str:
        """Find the text of a request's document, perhaps in the shared store."""
        if (search := self._document_store.search(request)) is not None:
            await search
        return self._document_store.text_of(request)

    async def _respond(self, run: OperationRun) -> GraphQLResponse:
        """Prepare, plan and execute one operation.

        Raises:
            RequestError: It cannot be executed.
        """
        request, call, budget, report = run.request, run.context, run.budget, run.report
        text = run.text = await self._text_of(request)
        report.document_kept = text in self.documents
        if not report.document_kept:
            await budget.charge_document(text)
        self._document_store.keep(request)
        document = run.document = self.documents.get(text)
        report.document = document.hash
        if run.safe:
            document.check_safe(request.operation_name)
        if document.errors:
            if (refusal := _refusal_among(document.errors)) is not None:
                report.refuse(refusal)
            return self._errors.refusal(document.errors, document.code, call)
        operation = document.operation(request.operation_name)
        report.name = operation.name
        report.trusted = self._document_store.is_trusted(text)
        report.cost = budget.count(operation.price, request.variables or {})
        variables = operation.coerce(self._schema.core, request.variables or {})
        if isinstance(variables, list):
            return self._errors.refusal(variables, Code.BAD_USER_INPUT, call)
        await budget.charge(report.cost, operation.price)
        run.times.planning = self._clock.monotonic()
        rights = self._policies.rights(run.caller)
        variant = operation.variant(self._planner, self._compiler, variables, rights)
        context = await self._planned(variant, variables, rights, run.loaders)
        run.times.executing = self._clock.monotonic()
        if (ended := ended_by(context.plan, request.on_error or "NULL")) is not None:
            root, error = ended
            located = located_error(error, root.selection.nodes, [root.selection.key])
            errors = self._errors.public([located], call)
            return GraphQLResponse(executed=True, data=None, errors=errors)
        answer = await self._runner.run(operation, variant, variables, context, run)
        if run.safe and self._freshness is not None and request.names_document:
            answer.freshness = self._freshness.freshness_of(
                answer, context.plan, run.loaders.trace, run.caller, self._clock.now()
            )
        return answer

    async def _planned(
        self, variant: Variant, variables: VariableValues, rights: Rights, loaders: Loaders
    ) -> Context:
        """Plan an operation, after the lookups that find its users."""
        lookups = self._planner.lookups(variant.roots, variables, rights)
        found = await loaders.look_up(lookups) if lookups else None
        plan = self._planner.plan(variant.roots, variables, rights, found=found)
        return Context(plan, self._planner, loaders, self._required, rights)


def _refusal_among(errors: Sequence[GraphQLError]) -> RequestError | None:
    """Return why a document is refused by a limit; ``None`` if it is not valid GraphQL."""
    found = (one.original_error for one in errors)
    return next((one for one in found if isinstance(one, RequestError)), None)
