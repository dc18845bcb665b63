"""The public schema: what was promised of it."""

from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLObjectType,
    is_non_null_type,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
)

import app
from app.graphql.schema import build_schema
from app.settings import SourcesSettings

EXPORTED = Path(app.__file__).parents[1] / "schema.graphql"


def test_the_exported_schema_is_that_of_the_code() -> None:
    assert EXPORTED.read_text(encoding="utf-8").rstrip("\n") == build_schema().as_str()


def test_every_type_field_argument_and_value_says_what_it_means() -> None:
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


def test_what_a_source_answers_is_nullable_and_the_objects_in_it_are_strict() -> None:
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


def test_the_fields_of_user_are_those_of_the_contract_in_their_order() -> None:
    user = build_schema().core.type_map["User"]
    assert isinstance(user, GraphQLObjectType)

    assert {name: str(field.type) for name, field in user.fields.items()} == {
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
    arguments = {name: str(one.type) for name, one in user.fields["invoices"].args.items()}
    assert arguments == {"first": "Int", "after": "String"}
    assert user.fields["invoices"].args["first"].default_value == 20  # the contract


def test_amounts_are_integers_of_their_own_kind() -> None:
    money = build_schema().core.type_map["Money"]
    assert isinstance(money, GraphQLObjectType)

    assert str(money.fields["amount"].type) == "SafeInt!"


def test_every_source_that_user_reads_has_settings_and_the_other_way_round() -> None:
    assert {reading.spec.name for reading in build_schema().readings.values()} == set(
        SourcesSettings.model_fields
    )
