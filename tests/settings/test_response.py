"""The settings of how responses of sources are read."""

import pytest
from pydantic import ValidationError

from app.settings.response import AnswerSettings
from app.settings.source import SourceSettings

WHOLE = {
    "rows": ["data", 0, "urn:a.b:c"],
    "key": ["user", "id"],
    "fold_case": True,
    "status": {"404": "absent", "207": "rows", "403": "auth", "409": "retry"},
    "more": {"has_more": ["has_more"], "row_cursor": ["id"], "cursor_parameter": "starting_after"},
}


def test_all_settings_of_a_response_are_read_from_a_table() -> None:
    settings = AnswerSettings.model_validate(WHOLE)

    assert settings.rows == ("data", 0, "urn:a.b:c")
    assert settings.key == ("user", "id")
    assert settings.status == {404: "absent", 207: "rows", 403: "auth", 409: "retry"}
    assert settings.more.has_more == ("has_more",)


def test_a_response_is_a_list_of_rows_by_default() -> None:
    settings = AnswerSettings()

    assert settings.rows == ()
    assert settings.many
    assert settings.key is None
    assert settings.more.max_pages == 10


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"row": ["a"]}, ("row",), "Extra inputs"),
        ({"rows": "data"}, ("rows",), "valid tuple"),
        ({"rows": [-1]}, ("rows", 0), "greater than or equal to 0"),
        ({"rows": [True]}, ("rows", 0), "valid string"),
        ({"rows": ["a"] * 17}, ("rows",), "at most 16"),
        ({"key": []}, ("key",), "at least 1"),
        ({"status": {"404": "gone"}}, ("status",), "'absent'"),
        ({"status": {"200": "absent"}}, ("status",), "201"),
        ({"status": {"none": "absent"}}, ("status",), "valid integer"),
        ({"many": False, "by_key": True}, (), "many = true"),
        ({"by_key": True}, (), "no key beside by_key"),
        ({"max_rows": 0}, ("max_rows",), "greater than or equal to 1"),
        ({"more": {"next_url": ["a"], "next_cursor": ["b"]}}, ("more",), "at most"),
        ({"more": {"row_cursor": ["id"]}}, ("more",), "has_more beside row_cursor"),
        ({"rows": [], "more": {"next_cursor": ["n"]}}, (), "expected rows beside next_cursor"),
        ({"rows": [], "more": {"next_url": ["n"]}}, (), "expected rows beside next_url"),
        ({"rows": [], "more": {"has_more": ["n"]}}, (), "expected rows beside has_more"),
        ({"rows": ["d"], "more": {"total": ["d", "t"]}}, (), "expected total outside of rows"),
        ({"more": {"cursor_parameter": "a b"}}, ("more", "cursor_parameter"), "ASCII"),
    ],
)
def test_a_mistake_in_a_response_setting_has_its_place(
    changes: dict[str, object], place: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        AnswerSettings.model_validate({**WHOLE, **changes})

    first = caught.value.errors()[0]
    assert first["loc"][: len(place)] == place
    assert message in str(caught.value)


def test_all_bad_expressions_are_reported_with_their_places() -> None:
    fields = {"email": "emails[", "locale": "locale", "username": "frist(a)"}
    with pytest.raises(ValidationError) as caught:
        SourceSettings.model_validate({"base_url": "http://a", "fields": fields})

    assert [one["loc"] for one in caught.value.errors()] == [
        ("fields", "email"),
        ("fields", "username"),
    ]
    assert "column 8: expected more, got the end" in str(caught.value)


def test_a_source_has_the_default_contract_by_default() -> None:
    settings = SourceSettings.model_validate({"base_url": "http://a"})

    assert settings.answer is None
    assert settings.fields is None
