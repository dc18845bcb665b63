"""The list of variables."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.settings.models import Settings
from app.settings.variables import CONFIG, name_of, variables_of
from tests.settings.models import Bearer, Frozen, NoAuthModel, Paging, TestSettings

OWN = {
    one.name.removeprefix("GATEWAY_SERVICES__USERS__"): one for one in variables_of(TestSettings)
}


def test_each_value_has_a_variable_and_each_list_has_one() -> None:
    assert set(OWN) == {
        "URL",
        *("REQUEST__PARAMETER", "REQUEST__FILTER"),
        *("AUTH__KIND", "AUTH__TOKEN", "AUTH__REALM", "AUTH__USER", "AUTH__PASSWORD"),
        *("RULES", "FIELDS", "HEADERS", "ROWS", "LIMIT"),
        *("PAGING__SIZE", "PAGING__CURSOR"),
        *("PLAN__SIZE", "PLAN__CURSOR", "PLAN__STATUS", "PLAN__SINCE"),
        *("GATEWAY_EXTRA", "GATEWAY_PORT"),
    }


def test_defaults_are_written_as_values_of_variables() -> None:
    assert OWN["URL"].default is None
    assert OWN["RULES"].default == "[]"
    assert OWN["FIELDS"].default == "{}"
    assert OWN["ROWS"].default == '["items"]'
    assert OWN["AUTH__KIND"].default == "none"
    assert OWN["GATEWAY_PORT"].default == "80"


def test_only_a_value_without_a_default_is_required() -> None:
    assert [name for name, one in OWN.items() if one.required] == ["URL"]
    dependent = {name for name, one in OWN.items() if one.dependent}
    assert dependent == {name for name in OWN if name.startswith(("AUTH", "PAGING", "PLAN"))} - {
        "AUTH__KIND"
    }


def test_variables_of_secrets_are_marked() -> None:
    assert {name for name, one in OWN.items() if one.secret} == {
        "AUTH__TOKEN",
        "AUTH__PASSWORD",
    }


def test_the_default_of_a_table_wins_over_those_of_its_values() -> None:
    class Outer(Frozen):
        paging: Paging = Paging(size=3, cursor="mine")

    listed = {one.name: one for one in variables_of(Outer)}

    assert listed["GATEWAY_PAGING__SIZE"].default == "3"
    assert listed["GATEWAY_PAGING__CURSOR"].default == "mine"
    assert not listed["GATEWAY_PAGING__SIZE"].dependent


def test_the_tag_of_a_union_has_the_default_of_its_table() -> None:
    class Outer(Frozen):
        chosen: Annotated[NoAuthModel | Bearer, Field(discriminator="kind")] = NoAuthModel()
        optional: Annotated[NoAuthModel | Bearer, Field(discriminator="kind")] | None = None
        needed: Annotated[NoAuthModel | Bearer, Field(discriminator="kind")]

    listed = {one.name: one for one in variables_of(Outer)}

    assert listed["GATEWAY_CHOSEN__KIND"].default == "none"
    assert listed["GATEWAY_OPTIONAL__KIND"].default == ""
    assert listed["GATEWAY_NEEDED__KIND"].required


def test_a_recursive_model_has_a_finite_list_of_variables() -> None:
    class Tree(BaseModel):
        name: str
        left: "Tree | None" = None

    assert [one.name for one in variables_of(Tree)] == ["GATEWAY_NAME"]


def test_the_variable_of_the_configuration_file_is_not_a_setting() -> None:
    assert CONFIG.name == name_of(("config",)) == "GATEWAY_CONFIG"
    assert "config" not in Settings.model_fields
