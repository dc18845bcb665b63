"""The kinds of values that each setting accepts, derived from the models."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Discriminator, Field, SecretStr
from typing_extensions import TypeAliasType

from app.settings.field_schema import FieldSchema, field_schema_of
from tests.settings.models import Basic, Bearer, NoAuthModel, Paging, Rule, ServiceSettings

PLAIN = FieldSchema(plain=True)
SECRET = FieldSchema(secret=True)
RULE = FieldSchema(tables=(Rule,))
AUTH = FieldSchema(tables=(Bearer, Basic), tag="kind", united=True)
Auth = Annotated[Bearer | Basic, Field(discriminator="kind")]
Alias = TypeAliasType("Alias", dict[str, int])


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (int, PLAIN),
        (str, PLAIN),
        (bytes, PLAIN),
        (Any, PLAIN),
        (Literal["a", "b"], PLAIN),
        (int | None, PLAIN),
        (SecretStr, SECRET),
        (Annotated[SecretStr | None, "x"], SECRET),
        (str | SecretStr, FieldSchema(secret=True, plain=True, united=True)),
        (Rule, RULE),
        (Rule | None, RULE),
        (list[Rule], FieldSchema(items=RULE)),
        (tuple[Rule, ...], FieldSchema(items=RULE)),
        (Sequence[SecretStr], FieldSchema(items=SECRET)),
        (tuple[int, str], FieldSchema(items=PLAIN)),
        (list, FieldSchema(items=PLAIN)),
        (dict, FieldSchema(entries=PLAIN)),
        (Mapping[str, Rule], FieldSchema(entries=RULE)),
        (dict[str, list[Rule]], FieldSchema(entries=FieldSchema(items=RULE))),
        (Alias, FieldSchema(entries=PLAIN)),
        (Auth, AUTH),
        (Auth | None, AUTH),
        (Annotated[Bearer | Basic, Discriminator("kind")], AUTH),
        (list[Auth], FieldSchema(items=AUTH)),
        (Paging | Rule, FieldSchema(tables=(Paging, Rule), united=True)),
        (
            dict[str, str] | list[str] | dict[str, SecretStr],
            FieldSchema(entries=FieldSchema(plain=True, secret=True), items=PLAIN, united=True),
        ),
    ],
)
def test_a_type_has_a_field_schema(annotation: object, shape: FieldSchema) -> None:
    assert field_schema_of(annotation) == shape


def test_a_table_has_a_schema_below_each_of_its_names_only() -> None:
    service = FieldSchema(tables=(ServiceSettings,))

    assert service.below("url").meaning == "Its address."
    assert service.below("url").required
    assert service.below("rules").schema.below(0).schema == RULE
    assert service.below("fields").schema.below("anything").schema == PLAIN
    assert service.below("nothing").schema == FieldSchema()
    assert service.below("auth").default == NoAuthModel()


def test_the_tag_of_a_table_selects_its_model() -> None:
    assert AUTH.of({"kind": "basic"}) == FieldSchema(tables=(Basic,))
    assert AUTH.of({"kind": "other"}) == AUTH
    assert AUTH.of({}) == AUTH
    assert list(AUTH.kinds()) == ["bearer", "basic"]
    assert AUTH.names() == ("kind", "token", "realm", "user", "password")
    assert AUTH.below("kind").meaning == "That it is a token. That it is a password."
    assert not RULE.kinds()


def test_a_recursive_model_has_a_field_schema() -> None:
    class Tree(BaseModel):
        left: "Tree | None" = None

    assert FieldSchema(tables=(Tree,)).below("left").schema == FieldSchema(tables=(Tree,))
