"""The contract of the public schema."""

import re
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLObjectType,
    find_breaking_changes,
    is_non_null_type,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
    print_schema,
)
from graphql import build_schema as build_core
from pydantic import SecretStr

import app
from app.execution.schema import build_schema, schema_for
from app.schema.export import client_text
from app.settings.auth import JwtCallers
from app.settings.field_schema import settings_in
from app.settings.models import DEFAULT_SOURCES, Settings
from tests.conftest import OpenGateway
from tests.fakes import settings_for_fakes

EXPORTED = Path(app.__file__).parents[1] / "schema.graphql"


def test_the_exported_schema_is_the_schema_of_the_code() -> None:
    assert EXPORTED.read_text(encoding="utf-8").rstrip("\n") == build_schema().as_str()


def names_of_directives(text: str) -> set[str]:
    """Find every directive that a schema applies, defines or imports."""
    return set(re.findall(r"@(\w+)", re.sub(r'"""[\s\S]*?"""', "", text)))


SECURITY = {"authenticated", "requiresScopes", "owner"}


def test_the_exported_schema_has_the_security_directives() -> None:
    assert names_of_directives(EXPORTED.read_text(encoding="utf-8")) >= SECURITY


def test_without_security_directives_the_rest_of_the_schema_is_the_same() -> None:
    whole, without = build_schema(), build_schema(security_directives=False)

    names = names_of_directives(without.as_str())
    assert names == names_of_directives(whole.as_str()) - SECURITY
    assert [one.name for one in without.core.directives] == [
        one.name for one in whole.core.directives if one.name not in SECURITY
    ]
    assert print_schema(build_core(without.as_str(), assume_valid_sdl=True)) == print_schema(
        build_core(owner_left_out(whole.as_str()), assume_valid_sdl=True)
    )
    assert without.definition == whole.definition
    assert client_text(without.core) == client_text(whole.core)


def owner_left_out(text: str) -> str:
    """Remove the definition of `@owner`, the only security directive that a subgraph defines."""
    return re.sub(r'"""[^"]*"""\ndirective @owner.*\n', "", text)


def test_a_schema_without_security_directives_does_not_change_another_schema() -> None:
    before = build_schema().as_str()
    build_schema(security_directives=False)

    assert build_schema().as_str() == before


def test_the_schema_for_clients_has_no_parts_of_federation() -> None:
    text = client_text(build_schema().core)
    built = build_core(text)

    assert names_of_directives(text) == {"specifiedBy", "defer", "stream"}
    assert not [name for name in built.type_map if name.startswith("_") and name[:2] != "__"]
    assert built.query_type is not None
    assert set(built.query_type.fields) == {"user", "users", "me", "node", "nodes"}
    assert print_schema(built) == text


def test_the_schema_for_clients_lacks_only_parts_of_federation() -> None:
    whole = build_schema().core
    client = build_core(client_text(whole))

    assert not find_breaking_changes(client, whole)  # what is valid for it is valid here
    assert {change.description for change in find_breaking_changes(whole, client)} == {
        "Field Query._entities was removed.",
        "Field Query._service was removed.",
        "_Any was removed.",
        "_Entity was removed.",
        "_FieldSet was removed.",
        "_Service was removed.",
        "link__Import was removed.",
        "link__Purpose was removed.",
        *(f"Directive @{name} was removed." for name in FEDERATION_S),
    }


FEDERATION_S = SECURITY | {"key", "link", "shareable", "cost", "listSize"}


def test_the_schema_for_clients_keeps_all_types_that_are_reachable() -> None:
    core = build_core(
        """
        type Query { node: Node _service: _Service! }
        type Mutation { rename(to: Name!): Thing @deprecated(reason: "no more") }
        type Subscription { renamed: Thing! }
        interface Node { id: ID! }
        type Thing implements Node { id: ID! }
        type Other implements Node { id: ID! }
        input Name { text: String! = "a" }
        type _Service { sdl: String! }
        """
    )

    built = build_core(client_text(core))

    assert {name for name in built.type_map if name[0] != "_"} >= {
        *("Query", "Mutation", "Subscription", "Node", "Thing", "Other", "Name"),
    }
    assert built.get_type("_Service") is None
    assert '@deprecated(reason: "no more")' in client_text(core)


def test_a_schema_without_queries_is_refused_for_clients() -> None:
    with pytest.raises(ValueError, match="without queries"):
        client_text(build_core("type Thing { id: ID! }"))


@pytest.mark.parametrize(
    ("changes", "has_directives"),
    [
        ({}, False),
        ({"auth": "jwt"}, True),
        ({"security_directives": "always"}, True),
        ({"security_directives": "never"}, False),
        ({"auth": "jwt", "security_directives": "never"}, False),
        ({"auth": "jwt", "security_directives": "always"}, True),
    ],
)
async def test_the_sdl_for_routers_and_introspection_have_the_same_directives(
    open_gateway: OpenGateway,
    changes: dict[str, Any],
    has_directives: bool,  # noqa: FBT001 # a column
) -> None:
    if changes.get("auth") == "jwt":
        secret = SecretStr("a secret for development, of more than 32 bytes")
        own = JwtCallers(mode="jwt", issuer="issuer", audience="us", secret=secret, anonymous=True)
        changes = {**changes, "auth": own}
    async with open_gateway(settings_for_fakes(introspection=True, **changes)) as gateway:
        service = await gateway.query("{ _service { sdl } }")
        names = await gateway.query("{ __schema { directives { name } } }")

    schema = build_schema(security_directives=has_directives)
    assert service.data["_service"]["sdl"] == schema.as_str()
    introspected = [one["name"] for one in names.data["__schema"]["directives"]]
    assert introspected == [one.name for one in schema.core.directives]
    assert (set(introspected) >= SECURITY) is has_directives


def test_every_type_field_argument_and_value_has_a_description() -> None:
    silent: list[str] = []
    for name, kind in build_schema().core.type_map.items():
        if name.startswith("_") or "__" in name:  # federation's and introspection's own
            continue
        if not kind.description:
            silent.append(name)
        if isinstance(kind, GraphQLEnumType):
            silent += [f"{name}.{v}" for v, one in kind.values.items() if not one.description]
        if isinstance(kind, GraphQLObjectType):
            for field_name, field in kind.fields.items():
                if field_name.startswith("_"):
                    continue
                if not field.description:
                    silent.append(f"{name}.{field_name}")
                silent += [
                    f"{name}.{field_name}({argument})"
                    for argument, one in field.args.items()
                    if not one.description
                ]

    assert silent == []


def test_fields_of_user_are_nullable_and_fields_of_its_objects_are_not() -> None:
    types = build_schema().core.type_map
    user = types["User"]
    assert isinstance(user, GraphQLObjectType)

    strict_in_user = [name for name, field in user.fields.items() if is_non_null_type(field.type)]
    lax = [
        f"{name}.{field_name}"
        for name in ("Money", "Event", "Invoice", "InvoiceConnection", "InvoiceEdge")
        for field_name, field in getattr(types[name], "fields").items()  # noqa: B009 # object types
        if not is_non_null_type(field.type)
    ]
    assert strict_in_user == ["id"]
    assert lax == []


def test_the_fields_of_user_have_the_types_and_order_of_the_contract() -> None:
    user = build_schema().core.type_map["User"]
    assert isinstance(user, GraphQLObjectType)

    contract = {
        "id": "ID!",
        "username": "String",
        "displayName": "String",
        "email": "String",
        "avatarUrl": "String",
        "locale": "String",
        "createdAt": "DateTime",
        "plan": "String",
        "billingStatus": "BillingStatus",
        "balance": "Money",
        "renewsAt": "DateTime",
        "invoices": "InvoiceConnection",
        "lastSeenAt": "DateTime",
        "loginCount": "Int",
        "events": "[Event!]",
    }
    # Other fields may be added anywhere.
    types = {name: str(field.type) for name, field in user.fields.items() if name in contract}
    assert [*types.items()] == [*contract.items()]
    arguments = {name: str(one.type) for name, one in user.fields["invoices"].args.items()}
    assert arguments == {"first": "Int", "after": "String"}
    assert user.fields["invoices"].args["first"].default_value == 20  # the contract


def test_amounts_have_the_type_safe_int() -> None:
    money = build_schema().core.type_map["Money"]
    assert isinstance(money, GraphQLObjectType)

    assert str(money.fields["amount"].type) == "SafeInt!"


def test_the_sources_of_the_schema_are_those_of_the_default_settings() -> None:
    assert {*build_schema().definition.sources} == set(DEFAULT_SOURCES)


LOOKUP = {
    "source": "profile",
    "key": "email",
    "request": {"form": "list", "path": "/users", "parameter": "email"},
    "answer": {"key": ["email"]},
    "description": "The one with this mail address.",
    "may": "profile:read",
}


def named(**schema: object) -> str:
    """Print the default schema with other names, a lookup and a configured field."""
    settings = settings_for_fakes()
    added = {
        "schema": {"lookups": {"findByEmail": LOOKUP}, **schema},
        "user": {
            "open": {
                "source": "profile",
                "type": "Int",
                "description": "Tickets of the user.",
                "may": "self",
            }
        },
    }
    wanted = Settings.model_validate({**settings_in(settings), **added})
    return schema_for(wanted, security_directives=True)[0].as_str()


def test_descriptions_have_the_configured_word_for_users() -> None:
    usual, other = named(), named(type="Employee")

    texts = re.findall(r'"""(.*?)"""', other, re.DOTALL)
    assert [one for one in texts if "user" in one.lower().replace("username", "")] == [
        "Tickets of the user. Only for the employee itself."
    ]
    # Nothing else of the schema differs.
    words = (("An employee", "A user"), ("an employee", "a user"), ("employee", "user"))
    for word, user in (*words, ("Employee", "User")):
        other = other.replace(word, user)
    assert sorted(other.replace('"""', " ").split()) == sorted(usual.replace('"""', " ").split())


@pytest.mark.parametrize(
    ("names", "one", "several"),
    [
        ({"type": "Employee", "plural": "staff"}, "The employee", "The staff with"),
        ({"type": "TeamMember"}, "The team member", "The team members with"),
        ({"type": "HRPerson", "plural": "hr_people"}, "The HR person", "The hr people with"),
        ({"plural": "people"}, "The user", "The people with"),
        ({"type": "Customer"}, "A customer, merged", "The customers with"),
    ],
)
def test_a_type_name_of_several_words_is_split_in_descriptions(
    names: dict[str, str], one: str, several: str
) -> None:
    text = named(**names)

    assert one in text
    assert several in text
