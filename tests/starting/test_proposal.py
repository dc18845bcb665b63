"""The proposed schema for rows: names, types, expressions, and members that are left out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.settings.request import RepeatRequest
from app.settings.response import AnswerSettings
from app.starting.found import FoundService
from app.starting.proposal import ProposedSource, propose
from app.starting.public_names import public_name, type_name_of

Row = dict[str, Any]


def service(*rows: Row, source: str = "hr") -> FoundService:
    """Make a service with rows."""
    return FoundService(
        source=source,
        base_url="http://hr",
        request=RepeatRequest(form="repeat", path="/users", parameter="id"),
        answer=AnswerSettings(key=("id",)),
        rows=rows,
        shown="",
    )


def types_of(source: ProposedSource) -> Mapping[str, tuple[str, str | None]]:
    """Return the type and the expression of each field of a user."""
    return {one.name: (one.type, one.value) for one in source.fields}


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("department", "department"),
        ("firstName", "firstName"),
        ("first_name", "firstName"),
        ("FirstName", "firstName"),
        ("FIRST_NAME", "firstName"),
        ("first name", "firstName"),
        ("avatarURL", "avatarURL"),
        ("AvatarURL", "avatarUrl"),
        ("URLPath", "urlPath"),
        ("_id", "id"),
        ("__typename", "typename"),
        ("line_2", "line2"),
        ("2fa", "_2Fa"),
        ("créé_le", "creeLe"),
        ("名前", None),
        ("x" * 61, None),
    ],
)
def test_a_public_name_is_in_camel_case(name: str, public: str | None) -> None:
    assert public_name(name) == public


@pytest.mark.parametrize(
    ("name", "of_item", "made"),
    [
        ("manager", False, "Manager"),
        ("recentEvents", True, "RecentEvent"),
        ("addresses", True, "Address"),
        ("status", True, "Status"),
        ("_2Fa", False, "Type2Fa"),
    ],
)
def test_the_type_of_an_object_is_named_after_its_field(
    name: str, *, of_item: bool, made: str
) -> None:
    assert type_name_of(name, of_item=of_item) == made


@pytest.mark.parametrize(
    ("name", "values", "type_", "value"),
    [
        ("name", ["Ada"], "String", None),
        ("name", [None, "Ada"], "String", None),
        ("age", [40], "Int", None),
        ("views", [2**31], "SafeInt", None),
        ("rate", [1, 1.5], "Float", None),
        ("active", [True], "Boolean", None),
        ("teamId", [7], "ID", None),
        ("teamId", [7, "x"], "ID", None),
        ("uuid", ["x"], "ID", None),
        ("born", ["1990-02-28"], "Date", None),
        ("born", ["1990-02-30"], "String", None),
        ("seen", ["2026-06-01T09:30:00+02:00"], "DateTime", None),
        ("seen", ["2026-06-01 09:30"], "DateTime", "iso_time_utc(seen)"),
        ("seen", ["2026-06-01T09:30:00Z", "never"], "String", None),
        ("seenAt", [1_700_000_000], "DateTime", "unix_seconds(seenAt)"),
        ("seenAt", [1_700_000_000_000], "DateTime", "unix_millis(seenAt)"),
        ("seenAt", [12], "Int", None),
        ("bytes", [1_700_000_000], "Int", None),
        ("site", ["https://example.com/~ada"], "URL", None),
        ("site", ["https://example.com", ""], "String", None),
        ("skills", [["a"], []], "[String!]", None),
        ("skills", [["a", None]], "[String]", None),
        ("grid", [[[1], [2]]], "[[Int!]!]", None),
        ("times", [["2026-06-01 09:30"]], "[String!]", None),
        ("balance", [{"amount": 5, "currency": "EUR"}], "Money", None),
        (
            "balance",
            [{"value": "5.10", "currency_code": "EUR"}],
            "Money",
            "money_decimal(balance.value, balance.currency_code)",
        ),
        (
            "balance",
            [{"cents": 510, "currency": "EUR"}],
            "Money",
            "money_minor(balance.cents, balance.currency)",
        ),
        ("balance", [{"amount": 5, "currency": "points"}], "Balance", None),
        ("balance", [{"amount": "5.105", "currency": "EUR"}], "Balance", None),
        ("balance", [{"amount": 5, "currency": "EUR", "note": "x"}], "Balance", None),
        ("orders", [[{"n": 1}, {"m": 2}]], "[Order!]", None),
    ],
)
def test_the_type_of_a_field_fits_all_its_values(
    name: str, values: Sequence[object], type_: str, value: str | None
) -> None:
    [source] = propose([service(*({"id": "a", name: one} for one in values))])

    assert types_of(source) == {name: (type_, value)}
    assert not source.left_out


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "null in all rows"),
        ([], "an empty list"),
        ([None], "a list: null in all rows"),
        ({}, "an empty object"),
        ({"x": None}, "an object without any known value"),
        ([1, "x"], "a list: values of several kinds"),
        (2**53, "a whole number beyond 2^53, which not every client reads"),
        ([[[[[[[["deep"]]]]]]]], "nested too deep"),
    ],
)
def test_a_member_without_a_known_type_is_left_out_and_reported(value: object, why: str) -> None:
    [source] = propose([service({"id": "a", "odd": value})])

    assert not source.fields
    assert source.left_out["odd"].endswith(why)


def test_a_duplicate_name_gets_the_name_of_its_source_or_a_number() -> None:
    hr = service({"id": "a", "user_name": "x", "userName": "y", "user name": "z"})
    crm = service({"id": "a", "userName": "x", "crmUserName": "y"}, source="crm")

    one, other = propose([hr, crm])

    assert types_of(one) == {
        "userName": ("String", "user_name"),
        "hrUserName": ("String", "userName"),
        "hrUserName2": ("String", '"user name"'),
    }
    assert types_of(other) == {
        "crmUserName": ("String", "userName"),
        "crmCrmUserName": ("String", "crmUserName"),
    }


def test_an_id_that_is_not_the_key_gets_the_name_of_its_source() -> None:
    billing = service({"id": "acc-1", "userId": "a"}, source="billing")
    [source] = propose(
        [
            FoundService(
                "billing",
                "http://b",
                billing.request,
                AnswerSettings(key=("userId",)),
                billing.rows,
                "",
            )
        ]
    )

    assert types_of(source) == {"billingId": ("ID", "id")}


def test_equal_objects_share_a_type_and_others_get_longer_names() -> None:
    place = {"city": "Graz"}
    row = {
        "id": "a",
        "address": place,
        "company": {"address": {"street": "x"}, "Money": {"a": 1}},
        "billing": {"address": place},
        "query": {"x": 1},
    }

    [source] = propose([service(row)])

    types = {one.name: {field.name: field.type for field in one.fields} for one in source.types}
    assert types == {
        "Address": {"city": "String"},
        "CompanyAddress": {"street": "String"},
        "MoneyDetails": {"a": "Int"},
        "Company": {"address": "CompanyAddress", "money": "MoneyDetails"},
        "Billing": {"address": "Address"},
        "QueryDetails": {"x": "Int"},
    }


def test_the_members_of_a_wrapper_are_fields_of_the_user() -> None:
    [source] = propose([service({"id": "a", "attributes": {"full_name": "Ada", "left": None}})])

    assert types_of(source) == {"fullName": ("String", "attributes.full_name")}
    assert source.left_out == {"attributes.left": "null in all rows"}
