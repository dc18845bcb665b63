"""Runs a planned operation: compiled where that is possible, and else by Strawberry's executor.

It is async because it waits for sources.
"""

from inspect import isawaitable

from graphql import (
    ExecutionResult,
    GraphQLSchema,
    experimental_execute_incrementally,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
)
from graphql.execution import ExperimentalIncrementalExecutionResults
from graphql.execution.values import VariableValues

from app.errors import Code, ExtensionError, RequestError, bare
from app.execution.context import Context
from app.execution.deferral import DeferredAnswer
from app.execution.error_reports import ErrorReports
from app.execution.executor import Executor
from app.execution.fetching import RunningFetches
from app.execution.incremental import LaterPayloads
from app.execution.operation import Operation
from app.execution.operation_run import OperationRun
from app.execution.outcome import bugs_in
from app.execution.payloads import pending_of, public_payloads
from app.execution.render import ExecutorReason, PageResults, RenderRequest
from app.execution.request import Delivery, GraphQLRequest, GraphQLResponse
from app.execution.response_errors import in_answer_order
from app.execution.variants import Variant
from app.sources.base import RequestContext


class OperationRunner:
    """Runs planned operations. Shared by all requests.

    Args:
        schema: The schema.
        errors: Reports errors.
    """

    def __init__(self, schema: GraphQLSchema, errors: ErrorReports) -> None:
        self._schema = schema
        self._errors = errors

    async def run(
        self,
        operation: Operation,
        variant: Variant,
        variables: VariableValues,
        context: Context,
        run: OperationRun,
    ) -> GraphQLResponse:
        """Run a planned operation.

        Args:
            operation: The operation.
            variant: Its variant for these variables.
            variables: The coerced values of its variables.
            context: Its plan, and what its resolvers may use.
            run: The run. Its report says how the answer was made.

        Returns:
            The whole answer, or the first payload with those after it.

        Raises:
            RequestError: The answer would come in several payloads, which the request cannot get.
        """
        request, report = run.request, run.report
        if variant.delays and run.delivery is not Delivery.WHOLE:
            context.running = _begun(context, run.delivery)
        compiled = await self._compiled(variant, request, variables, context, run.context)
        report.compiled = compiled is not None
        if compiled is not None:
            return compiled
        report.executor = _reason_of(request, variant, context)
        return await self._execute(operation, request, context, run.context)

    async def _compiled(
        self,
        variant: Variant,
        request: GraphQLRequest,
        variables: VariableValues,
        context: Context,
        call: RequestContext,
    ) -> GraphQLResponse | None:
        """Run an operation compiled; ``None`` when only the executor can do it."""
        on_error = request.on_error or "NULL"
        in_parts = context.running is not None
        if variant.compiled is None or variant.not_compiled_for(on_error, in_parts=in_parts):
            return None
        if in_parts:
            return await self._compiled_in_parts(variant, variables, context, call)
        fetches, loaders = context.plan.fetches, context.loaders
        results = await loaders.fetch(fetches)
        try:
            of_request = RenderRequest(
                context.plan, results, variables, context.required, on_error, call.request_id
            )
            pages: PageResults = {}
            if variant.compiled.has_lists:
                if loaders.has_keyed_lists:
                    loaders.remember(fetches, results)
                pages = await loaders.fetch_pages(variant.compiled.pages(of_request))
            rendered = variant.compiled.render(of_request, pages)
        except Exception as error:  # noqa: BLE001 # the executor finds the field that has the bug
            if isinstance(error, ExtensionError):  # the executor logs that once for each field
                bare(error)
            else:
                self._errors.log_bug(error)
            loaders.remember(fetches, results)
            return None
        self._errors.log_bugs(rendered.bugs)
        if rendered.bugs:
            for bug in bugs_in(results):
                bare(bug)
        return GraphQLResponse(executed=True, data=rendered.data, errors=rendered.errors)

    async def _compiled_in_parts(
        self,
        variant: Variant,
        variables: VariableValues,
        context: Context,
        call: RequestContext,
    ) -> GraphQLResponse | None:
        """Run a compiled operation whose answer comes in several payloads."""
        if variant.parts is None or context.running is None:
            return None
        plan, running = context.plan, context.running
        of_request = RenderRequest(
            plan, running.results, variables, context.required, "NULL", call.request_id
        )
        answer = DeferredAnswer(
            variant.parts, of_request, running, context.loaders, self._errors.log_bugs
        )
        try:
            first = await answer.first()
        except Exception as error:  # noqa: BLE001 # the executor finds the field that has the bug
            self._errors.log_bug(error)
            return None
        response = GraphQLResponse(executed=True, data=first.data, errors=first.errors)
        if answer.pending:
            response.later = LaterPayloads(answer.pending, answer.begin())
        return response

    async def _execute(
        self,
        operation: Operation,
        request: GraphQLRequest,
        context: Context,
        call: RequestContext,
    ) -> GraphQLResponse:
        """Run an operation by Strawberry's executor."""
        on_error = request.on_error or "NULL"
        result = experimental_execute_incrementally(
            self._schema,
            operation.tree,
            context_value=context,
            variable_values=request.variables,
            operation_name=operation.name,
            enable_early_execution=True,
            executor_class=Executor,
            on_error=on_error,
            in_parts=context.running is not None,
        )
        done: ExecutionResult | ExperimentalIncrementalExecutionResults = (
            await result if isawaitable(result) else result
        )
        if isinstance(done, ExperimentalIncrementalExecutionResults):
            return self._first_payload(done, call)
        errors = done.errors or []
        if done.data is None and on_error != "HALT" and all(error.path is None for error in errors):
            # Errors without a path are not errors of fields: the request is invalid.
            return self._errors.refusal(errors, Code.BAD_USER_INPUT, call)
        ordered = in_answer_order(self._errors.public(errors, call), done.data)
        return GraphQLResponse(executed=True, data=done.data, errors=ordered)

    def _first_payload(
        self, results: ExperimentalIncrementalExecutionResults, call: RequestContext
    ) -> GraphQLResponse:
        """Make the first payload of an answer, with those after it."""
        first = results.initial_result
        errors = in_answer_order(self._errors.public(first.errors or (), call), first.data)
        pending = pending_of(first.pending)
        payloads = public_payloads(
            results.subsequent_results, pending, lambda later: self._errors.public(later, call)
        )
        return GraphQLResponse(
            executed=True, data=first.data, errors=errors, later=LaterPayloads(pending, payloads)
        )


def _reason_of(request: GraphQLRequest, variant: Variant, context: Context) -> ExecutorReason:
    """Return why the executor renders an answer."""
    in_parts = context.running is not None
    why = variant.not_compiled_for(request.on_error or "NULL", in_parts=in_parts)
    return ExecutorReason.BUG if why is None else why.reason


def _begun(context: Context, delivery: Delivery) -> RunningFetches:
    """Begin all fetches of an operation whose answer comes in several payloads."""
    if delivery is Delivery.REFUSED:
        raise RequestError(
            Code.BAD_REQUEST,
            "the answer to a batch is one piece, and @defer and @stream ask for several: expected"
            " the operation alone in its request, or Accept: application/json",
        )
    return context.loaders.begin(context.plan.fetches)
