"""Keys of other sources in a row: valid keys, and records that keep them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.expressions.expression import compile_expression
from app.sources.base import Record, UserId
from app.sources.mapping.fields import ForeignKey
from app.sources.mapping.row_mapper import (
    HasForeignKeys,
    foreign_key_of,
    with_foreign_keys,
    wrong_foreign_keys,
)
from app.sources.records import PROFILE, ProfileRecord
from tests.fakes import profile_row
from tests.sources.mapping.test_row_mapper import mapper_of

USER = UserId("ann")
STRIPE = compile_expression("app_metadata.stripe")


def record(row: object, **expressions: str) -> Record:
    """Make the record of a row, with keys of other sources."""
    made = mapper_of(PROFILE, None, expressions).record(row, USER)
    assert isinstance(made, Record)
    return made


def key(answer: Record | SourceFailure | None) -> UserId | SourceFailure | None:
    """Find the key of a user at billing."""
    return foreign_key_of(answer, source="billing", parent="profile")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("cus_1", "cus_1"),
        ("日本", "日本"),
        (" ", " "),
        (0, "0"),
        (-7, "-7"),
        (2**80, str(2**80)),
        (None, None),
        ("", None),
    ],
)
def test_text_and_whole_numbers_are_keys_and_empty_values_are_no_key(
    value: object, found: str | None
) -> None:
    assert ForeignKey.of({"app_metadata": {"stripe": value}}, STRIPE) == ForeignKey(key=found)


@pytest.mark.parametrize("row", [None, 7, "text", [], {}, {"app_metadata": None}])
def test_a_row_without_the_path_has_no_key(row: object) -> None:
    assert ForeignKey.of(row, STRIPE) == ForeignKey()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "expected text or a whole number, got true or false"),
        (Decimal("1.0"), "expected text or a whole number, got a number with a fraction"),
        (["secret"], "expected text or a whole number, got a list"),
        ({"secret": 1}, "expected text or a whole number, got an object"),
        ("secret \ud800", "expected text, got half a character"),
    ],
)
def test_other_values_are_reported_without_their_content(value: object, kind: str) -> None:
    found = ForeignKey.of({"app_metadata": {"stripe": value}}, STRIPE)

    assert found == ForeignKey(wrong=f"app_metadata.stripe: {kind}")


def test_a_failed_expression_is_reported() -> None:
    found = ForeignKey.of({"ids": 7}, compile_expression("join('-', ids)"))

    assert found == ForeignKey(wrong="join('-', ids): join() got number for array-string")


def test_a_record_with_foreign_keys_keeps_its_own_fields() -> None:
    row = {**profile_row(1), "stripe": "cus_1", "crm": 7, "foreign keys": {"billing": "spoofed"}}
    made = record(row, billing="stripe", activity="crm", other="nothing")
    plain = mapper_of(PROFILE, None).record(row, USER)

    assert isinstance(made, HasForeignKeys)
    assert ProfileRecord in type(made).mro()  # mypy would not believe ``isinstance`` of both
    assert isinstance(plain, ProfileRecord)
    assert HasForeignKeys not in type(plain).mro()
    assert made.model_dump(exclude={"foreign_keys"}) == plain.model_dump()
    assert made.foreign_keys == {
        "billing": ForeignKey(key="cus_1"),
        "activity": ForeignKey(key="7"),
        "other": ForeignKey(),
    }


def test_foreign_keys_are_in_the_json_of_a_record() -> None:
    made = record({**profile_row(1), "stripe": "cus_1", "crm": []}, billing="stripe", crm="crm")
    kind = with_foreign_keys(ProfileRecord)

    again = kind.model_validate_json(made.model_dump_json(by_alias=True))

    assert again.model_dump() == made.model_dump()
    assert key(again) == "cus_1"


def test_wrong_foreign_keys_are_listed() -> None:
    made = record({**profile_row(1), "a": [], "b": "x"}, billing="a", activity="b")

    assert wrong_foreign_keys(made) == ["a: expected text or a whole number, got a list"]
    assert (
        wrong_foreign_keys(ProfileRecord.model_validate_json(made.model_dump_json(by_alias=True)))
        == ()
    )


def test_the_key_is_found_in_the_result_of_the_other_source() -> None:
    failure = SourceFailure("profile", Code.SOURCE_TIMEOUT, "slow")
    wrong = SourceFailure(
        "profile",
        Code.SOURCE_MALFORMED,
        "the key of billing: stripe: expected text or a whole number, got a list",
    )

    assert key(record({**profile_row(1), "stripe": "cus_1"}, billing="stripe")) == "cus_1"
    assert key(record(profile_row(1), billing="stripe")) is None
    assert key(None) is None
    assert key(failure) is failure
    assert key(record({**profile_row(1), "stripe": []}, billing="stripe")) == wrong


def test_a_record_without_foreign_keys_raises_an_error() -> None:
    plain = mapper_of(PROFILE, None).record(profile_row(1), USER)
    assert isinstance(plain, Record)

    with pytest.raises(TypeError, match="a record of profile without foreign keys"):
        key(plain)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=True),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_value_is_a_key_no_key_or_reported(value: object) -> None:
    found = ForeignKey.of({"app_metadata": {"stripe": value}}, STRIPE)

    if type(value) is int or (isinstance(value, str) and value):
        assert (found.key, found.wrong) == (str(value), None)
    else:
        assert found.key is None
        assert (found.wrong is None) == (value is None or value == "")
