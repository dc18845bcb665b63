"""What may stand at each place of the settings, read off their models."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Discriminator, Field, SecretStr
from typing_extensions import TypeAliasType

from app.configuration.shape import Shape, shape_of
from tests.configuration.models import Basic, Bearer, NoAuth, Paging, Rule, ServiceSettings

PLAIN = Shape(plain=True)
SECRET = Shape(secret=True)
RULE = Shape(tables=(Rule,))
AUTH = Shape(tables=(Bearer, Basic), tag="kind", united=True)
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
        (str | SecretStr, Shape(secret=True, plain=True, united=True)),
        (Rule, RULE),
        (Rule | None, RULE),
        (list[Rule], Shape(items=RULE)),
        (tuple[Rule, ...], Shape(items=RULE)),
        (Sequence[SecretStr], Shape(items=SECRET)),
        (tuple[int, str], Shape(items=PLAIN)),
        (list, Shape(items=PLAIN)),
        (dict, Shape(entries=PLAIN)),
        (Mapping[str, Rule], Shape(entries=RULE)),
        (dict[str, list[Rule]], Shape(entries=Shape(items=RULE))),
        (Alias, Shape(entries=PLAIN)),
        (Auth, AUTH),
        (Auth | None, AUTH),
        (Annotated[Bearer | Basic, Discriminator("kind")], AUTH),
        (list[Auth], Shape(items=AUTH)),
        (Paging | Rule, Shape(tables=(Paging, Rule), united=True)),
        (
            dict[str, str] | list[str] | dict[str, SecretStr],
            Shape(entries=Shape(plain=True, secret=True), items=PLAIN, united=True),
        ),
    ],
)
def test_a_type_says_what_may_stand_at_its_place(annotation: object, shape: Shape) -> None:
    assert shape_of(annotation) == shape


def test_a_table_says_what_is_below_its_names_and_nothing_else() -> None:
    service = Shape(tables=(ServiceSettings,))

    assert service.below("url").meaning == "Its address."
    assert service.below("url").required
    assert service.below("rules").shape.below(0).shape == RULE
    assert service.below("fields").shape.below("anything").shape == PLAIN
    assert service.below("nothing").shape == Shape()
    assert service.below("auth").default == NoAuth()


def test_what_a_table_says_that_it_is_tells_which_of_several_it_is() -> None:
    assert AUTH.of({"kind": "basic"}) == Shape(tables=(Basic,))
    assert AUTH.of({"kind": "other"}) == AUTH
    assert AUTH.of({}) == AUTH
    assert list(AUTH.kinds()) == ["bearer", "basic"]
    assert AUTH.names() == ("kind", "token", "realm", "user", "password")
    assert AUTH.below("kind").meaning == "That it is a token. That it is a password."
    assert not RULE.kinds()


def test_settings_within_themselves_have_a_shape_too() -> None:
    class Tree(BaseModel):
        left: "Tree | None" = None

    assert Shape(tables=(Tree,)).below("left").shape == Shape(tables=(Tree,))
