"""Whom the fields of an operation ask about, and what they need: read without asking anybody."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    NameNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values

from app.errors import BadUserInputError, GatewayError
from app.federation.plan import Plan, Planner
from app.graphql.context import Guards
from app.graphql.operation import deciding_variables, variables_in
from app.graphql.query import USER_TYPES, representation_key
from app.graphql.rights import Rights
from app.graphql.schema import GatewaySchema
from app.graphql.selection import grouped_fields
from app.sources.base import UserId


@dataclass(frozen=True, slots=True)
class Users:
    """Whom a field of the operation asks about.

    Attributes:
        keys: The users, each as often as it is named; without those that are wrong.
        given: How many are named, the wrong ones included; ``None`` where nobody can say.
        missing: Variables that name users and have no value.
        errors: What is wrong with those that are named.
    """

    keys: Sequence[UserId] = ()
    given: int | None = None
    missing: tuple[str, ...] = ()
    errors: Sequence[GraphQLError] = ()

    def split(self, rights: Rights) -> "Sequence[tuple[bool, Users]]":
        """Tell the caller itself from other users.

        Args:
            rights: What the caller may see.

        Returns:
            One or both of them, and of each whether it is the caller. What is wrong stays with
            the others.
        """
        own = [key for key in self.keys if rights.is_own(key)]
        if not own:
            return [(False, self)]
        rest = replace(
            self,
            keys=[key for key in self.keys if key not in own],
            given=(self.given or len(self.keys)) - len(own),
        )
        others = [(False, rest)] if rest.given or rest.missing else []
        return [(True, Users(keys=own, given=len(own))), *others]


@dataclass(frozen=True, slots=True)
class Asking:
    """One field of the operation, for users of whom the caller sees the same.

    Attributes:
        key: Its key in the answer.
        name: Its name in the schema.
        plan: Which sources its users need; ``None`` for a field that has no users.
        selected: The fields selected of its users that the caller sees, by response key.
        hidden: Names of the others.
        users: Whom it asks about.
    """

    key: str
    name: str
    plan: Plan | None
    selected: Mapping[str, Sequence[FieldNode]]
    hidden: tuple[str, ...]
    users: Users

    def asks(self, source: str) -> bool:
        """Tell whether it asks a source about anybody, be it only for keys."""
        named = self.users.keys or self.users.missing
        return self.plan is not None and source in self.plan.needed and bool(named)


_Find = Callable[[Mapping[str, Any], Rights], Sequence[UserId | BadUserInputError]]
"""Reads users from the coerced arguments of a field of the operation, and from who asks."""


class AskingReader:
    """Reads the fields of operations."""

    def __init__(self, schema: GatewaySchema, planner: Planner, guards: Guards) -> None:
        self._query = cast("GraphQLObjectType", schema.core.query_type)  # ours has one
        self._planner = planner
        self._guards = guards
        self._finders: Mapping[str, _Find] = {
            "user": self._of_user,
            "me": self._of_me,
            "users": self._of_users,
            "_entities": self._of_entities,
        }

    def read(
        self,
        tree: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        missing: tuple[str, ...],
        rights: Rights,
    ) -> list[Asking]:
        """Read the fields of an operation.

        Args:
            tree: The document that it is in, valid.
            operation: The operation.
            variables: Values of its variables, coerced.
            missing: Its variables that have none.
            rights: What the caller may see.

        Returns:
            Its fields, in the order of the answer; one twice where the caller sees more of itself
            than of others, and asks about both.
        """
        fragments = {
            one.name.value: one
            for one in tree.definitions
            if isinstance(one, FragmentDefinitionNode)
        }

        def below(nodes: Sequence[FieldNode], types: frozenset[str]) -> dict[str, list[FieldNode]]:
            return grouped_fields(
                nodes, types=types, fragments=fragments, variables=variables.coerced
            )

        top = FieldNode(name=NameNode(value=""), selection_set=operation.selection_set)
        fields: list[Asking] = []
        for key, nodes in below([top], frozenset({"Query"})).items():
            name = nodes[0].name.value
            if name not in self._finders:
                fields.append(Asking(key, name, None, {}, (), Users()))
                continue
            selected = below(nodes, USER_TYPES)
            users = self._users(key, nodes, variables, missing, rights)
            fields += [
                self._asking(key, name, selected, some, rights, own=own)
                for own, some in users.split(rights)
            ]
        return fields

    def _asking(
        self,
        key: str,
        name: str,
        selected: Mapping[str, Sequence[FieldNode]],
        users: Users,
        rights: Rights,
        *,
        own: bool,
    ) -> Asking:
        """Read a field as far as the caller sees what is selected of its users."""
        names = dict.fromkeys(group[0].name.value for group in selected.values())
        seen = rights.seen(names, own=own)
        return Asking(
            key,
            name,
            self._planner.plan(seen),
            {one: group for one, group in selected.items() if group[0].name.value in seen},
            tuple(one for one in names if one not in seen),
            users,
        )

    def _users(
        self,
        key: str,
        nodes: Sequence[FieldNode],
        variables: VariableValues,
        missing: tuple[str, ...],
        rights: Rights,
    ) -> Users:
        """Find whom a field asks about."""
        node = nodes[0]  # validation has seen that the others have the same arguments
        if unknown := tuple(name for name in _variables_of(node) if name in missing):
            return Users(missing=unknown)
        name = node.name.value
        try:
            arguments = get_argument_values(self._query.fields[name], node, variables)
            named = self._finders[name](arguments, rights)
        except (GatewayError, GraphQLError) as error:
            return Users(errors=[located_error(error, nodes, [key])])
        return Users(
            keys=[one for one in named if not isinstance(one, BadUserInputError)],
            given=len(named),
            errors=[
                located_error(one, nodes, [key, index])
                for index, one in enumerate(named)
                if isinstance(one, BadUserInputError)
            ],
        )

    def _of_user(self, arguments: Mapping[str, Any], _: Rights) -> Sequence[UserId]:
        """Read the arguments of ``user``."""
        return [self._guards.user_id(arguments["id"])]

    def _of_me(self, _: Mapping[str, Any], rights: Rights) -> Sequence[UserId]:
        """Read who asks."""
        return [self._guards.own_id(rights.subject)]

    def _of_users(self, arguments: Mapping[str, Any], _: Rights) -> Sequence[UserId]:
        """Read the arguments of ``users``."""
        return self._guards.user_ids(arguments["ids"])

    def _of_entities(
        self, arguments: Mapping[str, Any], _: Rights
    ) -> Sequence[UserId | BadUserInputError]:
        """Read the arguments of ``_entities``, of which each stands for itself."""
        representations = arguments["representations"]
        self._guards.check_representations(len(representations))
        return [representation_key(self._guards, one) for one in representations]


def left_to_run_time(
    tree: DocumentNode, operation: OperationDefinitionNode, given: Mapping[str, object]
) -> tuple[str, ...]:
    """Find the variables that have no value, though they have to, and do no more than name users.

    Args:
        tree: The document.
        operation: One of its operations.
        given: Values of the operation's variables.

    Returns:
        Names of variables. Whatever they will be, the operation needs the same sources.
    """
    deciding = deciding_variables(tree)
    return tuple(
        name
        for one in operation.variable_definitions or ()
        if (name := one.variable.name.value) not in given
        and name not in deciding
        and isinstance(one.type, NonNullTypeNode)
        and one.default_value is None
    )


def _variables_of(node: FieldNode) -> Sequence[str]:
    """List the variables in the arguments of a field."""
    return variables_in(node.arguments or ())
