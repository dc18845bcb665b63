"""The choice of the reader for the responses of a source."""

import json
from typing import Any

import msgspec
import pytest

from app.settings.source import SourceSettings
from app.sources.base import UserId
from app.sources.mapping.decoding import values_of
from app.sources.mapping.readers import reader_of
from app.sources.mapping.row_mapper import MappingError, MappingMistake
from app.sources.mapping.rows import NOTHING, RawAnswer, RowReader
from app.sources.records import PROFILE, ProfileRecord
from tests.fakes import profile_row
from tests.sources.mapping.test_rows import told

FIELDS = {"username": "a", "email": "b", "displayName": "c", "createdAt": "d"}


def settings(**changes: object) -> SourceSettings:
    """Make settings of a source."""
    return SourceSettings.model_validate({"base_url": "http://a", **changes})


def test_the_default_contract_is_read_directly_from_bytes() -> None:
    body = json.dumps([profile_row(1, id="a")]).encode()
    keys = [UserId("a"), UserId("b")]
    rows = reader_of(PROFILE, settings()).read(RawAnswer(200, {}, body), keys)

    record, straight = rows.answers[0], RowReader(PROFILE).read(body, keys).answers[0]
    assert isinstance(record, ProfileRecord | msgspec.Struct)
    assert isinstance(straight, ProfileRecord | msgspec.Struct)
    assert values_of(record) == values_of(straight)
    assert rows.remainder is NOTHING
    assert told(rows) == ["a", None]
    assert rows.remainder.more is None
    assert rows.found == 1


@pytest.mark.parametrize("changes", [{}, {"answer": {}}], ids=["default contract", "settings"])
def test_a_link_header_marks_a_response_as_cut_off(changes: dict[str, Any]) -> None:
    body = json.dumps([profile_row(1, id="a")]).encode()
    answer = RawAnswer(200, {"link": "</2>; rel=next"}, body)
    rows = reader_of(PROFILE, settings(**changes)).read(answer, [UserId("a"), UserId("b")])

    assert told(rows) == ["a", "SOURCE_MALFORMED"]


@pytest.mark.parametrize("answer", [{"key": ["uid"]}, {"by_key": True}])
def test_a_key_that_is_configured_twice_is_a_mistake(answer: dict[str, object]) -> None:
    with pytest.raises(MappingError) as caught:
        reader_of(PROFILE, settings(answer=answer, fields={**FIELDS, "id": "uid"}))

    [mistake] = caught.value.mistakes
    assert mistake == MappingMistake(
        ("answer", next(iter(answer))),
        "is given twice: expected answer.key or fields.id, not both.",
    )


@pytest.mark.parametrize(
    ("page_size", "limit", "cut"),
    [
        (None, None, False),
        (2, None, True),
        (None, 2, True),
        (2, 9, True),
        (9, 2, True),
        (9, 9, False),
    ],
)
def test_a_response_with_as_many_rows_as_the_limit_counts_as_cut_off(
    page_size: int | None,
    limit: int | None,
    cut: bool,  # noqa: FBT001 # parametrized
) -> None:
    request: dict[str, object] = {"form": "repeat", "path": "/users", "parameter": "id"}
    if page_size is not None:
        request |= {"page_size": page_size, "page_size_parameter": "limit"}
    reader = reader_of(PROFILE, settings(request=request, answer={"more": {"limit": limit}}))
    body = json.dumps([profile_row(1, id="a"), profile_row(1, id="b")]).encode()

    rows = reader.read(RawAnswer(200, {}, body), [UserId("c")])
    assert (rows.remainder.more is not None) == cut
