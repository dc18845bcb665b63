"""Checks and validates documents, each one once.

The steps in order: the length; the tokens, by the parser; the counts, by one walk; the validity, by
the rules of the specification. Each step is safe for documents that passed the steps before it. The
rule that compares each field with all others has a bound.
"""

import re
from collections.abc import Callable, Iterator

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    Visitor,
    specified_rules,
    visit,
)
from graphql.language.lexer import Lexer
from graphql.language.parser import MAX_NESTING_DEPTH, Parser
from graphql.validation.validate import (
    FragmentNestingVisitor,
    ValidationAbortedError,
    query_document_keys_to_validate,
)
from graphql.validation.validation_context import VariableUsage, VariableUsageVisitor

from app.errors import Code, LimitError, RequestError, bare
from app.execution.limits.counts import IndexedSource, count, unlink_tokens
from app.settings.limits import LimitsSettings

MAX_ERRORS = 100
"""The most errors of a document; validation stops there."""

MAX_COMPARISONS = 15_000
"""The most comparisons of fields and fragments that may have to be merged, in graphql-core's units
of 2 µs or less. Documents of people and of their tools need some hundreds."""

_INTROSPECTION = re.compile(r"\b(?:__schema|__type)\b")
_SCHEMA_FIELD = re.compile(r"\b(?:__schema|__type|_service)\b")
"""The fields of ``Query`` that return the schema."""

_TOO_MANY_ERRORS = "Too many validation errors, error limit reached. Validation aborted."
"""The message of graphql-core."""

_COUNTLESS = 10**9
"""Numbers from here on are written as "countless"."""

_TOO_MANY = re.compile(r"contains more than \d+ tokens\. Parsing aborted\.$")


class BoundedMergingRule(OverlappingFieldsCanBeMergedRule):
    """The rule on fields that have to be merged, with a much lower bound than the default.

    Args:
        context: The context of the validation.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = MAX_COMPARISONS


RULES = tuple(
    BoundedMergingRule if rule is OverlappingFieldsCanBeMergedRule else rule
    for rule in specified_rules
)
"""The rules of the specification."""


class _Context(ValidationContext):
    """The context that rules share; its visitors leave no reference cycles."""

    def __init__(
        self,
        core: GraphQLSchema,
        tree: DocumentNode,
        types: TypeInfo,
        note: Callable[[GraphQLError], None],
        *,
        hide_suggestions: bool,
    ) -> None:
        super().__init__(core, tree, types, note, hide_suggestions)
        self._types = types
        self._usages: dict[int, list[VariableUsage]] = {}

    def get_variable_usages(
        self, node: OperationDefinitionNode | FragmentDefinitionNode
    ) -> list[VariableUsage]:
        """Find where variables are used in a definition, without the fragments that it spreads.

        Args:
            node: The definition.

        Returns:
            The uses of variables.
        """
        usages = self._usages.get(id(node))  # the tree keeps its nodes alive
        if usages is None:
            fragment = node if isinstance(node, FragmentDefinitionNode) else None
            visitor = VariableUsageVisitor(self._types, fragment)
            outermost = TypeInfoVisitor(self._types, visitor)
            visit(node, outermost)
            for one in (visitor, outermost):
                one.enter_leave_map.clear()
            usages = self._usages[id(node)] = visitor.usages
        return usages


def validated(
    core: GraphQLSchema, tree: DocumentNode, *, max_errors: int, suggestions: bool
) -> list[GraphQLError]:
    """Validate a document as ``graphql.validate`` does, without leaving reference cycles.

    Each visitor of graphql-core keeps its own methods in a table (``enter_leave_map``). This is a
    reference cycle: each new document left some 1,400 objects to the garbage collector, which runs
    rarely (``server/collector.py``). Here the tables are cleared at the end.

    Args:
        core: The schema, valid.
        tree: The document.
        max_errors: The most errors; one more says that there are others.
        suggestions: Whether errors suggest similar names.

    Returns:
        The errors of the document.
    """
    errors: list[GraphQLError] = []

    def note(error: GraphQLError) -> None:
        if len(errors) >= max_errors:
            raise ValidationAbortedError(_TOO_MANY_ERRORS)
        errors.append(error)

    types = TypeInfo(core)
    context = _Context(core, tree, types, note, hide_suggestions=not suggestions)
    visitors: list[Visitor] = [rule(context) for rule in RULES]
    fragments = {
        one.name.value: one for one in tree.definitions if isinstance(one, FragmentDefinitionNode)
    }
    if fragments:
        visitors.insert(0, FragmentNestingVisitor(fragments))
    together = ParallelVisitor(visitors)
    outermost = TypeInfoVisitor(types, together)
    try:
        visit(tree, outermost, query_document_keys_to_validate)
    except ValidationAbortedError as error:
        errors.append(bare(error))
    except RecursionError:
        errors.append(ValidationAbortedError("Validation aborted."))
    finally:
        for visitor in (*visitors, together, outermost):
            visitor.enter_leave_map.clear()
    return errors


class DocumentChecks:
    """Checks documents. Shared by all documents; keeps no state of any."""

    def __init__(
        self,
        core: GraphQLSchema,
        limits: LimitsSettings,
        *,
        introspection: bool,
        suggestions: bool,
        service: bool = False,
    ) -> None:
        """Make the checks.

        Args:
            core: The schema.
            limits: The limits of a document.
            introspection: Whether documents may ask for the schema.
            suggestions: Whether errors suggest similar names.
            service: Whether documents may ask for the schema by ``_service``, as routers do, even
                without introspection.
        """
        self._core = core
        self._limits = limits
        self._refused = None if introspection else _INTROSPECTION if service else _SCHEMA_FIELD
        self._suggestions = suggestions

    def parse(self, text: str, size: int) -> DocumentNode:
        """Parse a document, and check its size and its counts.

        Args:
            text: The text of the document.
            size: The length of the text, in bytes.

        Returns:
            The syntax tree.

        Raises:
            RequestError: The document exceeds a limit, or asks for the schema without permission.
            GraphQLSyntaxError: The text is not GraphQL.
        """
        limits = self._limits
        _check("document_bytes", limits.document_bytes, size, "the document has {} bytes")
        if limits.tokens:
            # The parser does not count comments. Each takes a line, so lines are limited, too.
            lines = 1 + text.count("\n") + text.count("\r") - text.count("\r\n")
            _check("tokens", limits.tokens, lines, "the document has {} lines")
        tree = _parse(text, limits.tokens)
        try:
            if self._refused is not None and self._refused.search(text):
                _refuse_introspection(tree, self._refused)
            self._check_counts(tree)
        except RequestError:
            if tree.loc is not None:
                unlink_tokens(tree.loc.start_token)
            raise
        return tree

    def validate(self, tree: DocumentNode) -> list[GraphQLError]:
        """Validate a document.

        Args:
            tree: The syntax tree of the document.

        Returns:
            The errors of the document.

        Raises:
            LimitError: Validation takes too much work.
        """
        errors = validated(
            self._core,
            tree,
            max_errors=MAX_ERRORS - 1,  # plus one that says that there are more
            suggestions=self._suggestions,
        )
        last = errors[-1] if errors else None
        if isinstance(last, ValidationAbortedError) and not last.message.startswith("Too many"):
            found = "the document repeats fields, or spreads fragments in fragments, too often"
            raise LimitError("comparisons", MAX_COMPARISONS, found)
        return errors

    def _check_counts(self, tree: DocumentNode) -> None:
        """Check the counts of each operation."""
        limits = self._limits
        operations = count(tree)
        _check("operations", limits.operations, len(operations), "the document has {} operations")
        for one in operations:
            _check("depth", limits.depth, one.depth, "the operation is {} fields deep")
            _check("aliases", limits.aliases, one.aliases, "the operation has {} aliases")
            fields = "the operation selects {} fields of Query"
            _check("root_fields", limits.root_fields, one.root_fields, fields)
            _check(
                "directives", limits.directives, one.directives, "the operation has {} directives"
            )


def _parse(text: str, max_tokens: int) -> DocumentNode:
    """Parse a document with a limit of tokens, as ``graphql.parse`` does.

    ``graphql.parse`` does not return the tokens. They have to be unlinked even if parsing fails.
    Unlike it, this refuses ``{ }``: a selection set has a selection (specification, section 2.4).
    """
    source = IndexedSource(text)
    lexer = Lexer(source)
    try:
        return Parser(
            source,
            lexer=lexer,
            max_lexical_tokens=max_tokens or None,
            allow_empty_selection_sets=False,
        ).parse_document()
    except GraphQLSyntaxError as error:
        unlink_tokens(lexer.token)
        if not _TOO_MANY.search(error.message):
            raise
    except RecursionError:
        unlink_tokens(lexer.token)
        found = "the document has more levels of brackets"
        raise LimitError("nesting", MAX_NESTING_DEPTH, found) from None
    raise LimitError("tokens", max_tokens, "the document has more tokens")


def _check(limit: str, allowed: int, number: int, found: str) -> None:
    """Check a number against a limit; 0 is no limit."""
    if 0 < allowed < number:
        raise LimitError(limit, allowed, found.format(count_of(number)))


def count_of(number: int) -> str:
    """Write a number for people.

    Args:
        number: The number; fragments can make it hundreds of digits long.

    Returns:
        The number, or ``countless``.
    """
    return f"{number:,}" if number < _COUNTLESS else "countless"


def _refuse_introspection(tree: DocumentNode, refused: re.Pattern[str]) -> None:
    """Refuse a document that asks for the schema."""
    for node in _fields(tree):
        if refused.fullmatch(node.name.value):
            raise RequestError(
                Code.INTROSPECTION_DISABLED,
                f"{node.name.value} is switched off here: ask the operator for the schema, or for"
                " the setting introspection",
            )


def _fields(tree: DocumentNode) -> Iterator[FieldNode]:
    """Yield all fields of a document."""
    rest = [
        one.selection_set
        for one in tree.definitions
        if isinstance(one, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while rest:
        for node in rest.pop().selections:
            if isinstance(node, FieldNode):
                yield node
            if isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
                rest.append(node.selection_set)
