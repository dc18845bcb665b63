"""Bodies are read, also those in several payloads."""

import json

import pytest

from benchmarks.client import Json
from benchmarks.payloads import read_body

FIRST: Json = {"data": {"users": [{"id": "1"}, {"id": "2"}]}, "hasNext": True}
WHOLE: Json = {"data": {"users": [{"id": "1", "plan": "pro"}, {"id": "2", "plan": "free"}]}}


def parts(*payloads: Json) -> bytes:
    """Write payloads as ``multipart/mixed``."""
    head = "Content-Type: application/json; charset=utf-8\r\n\r\n"
    text = "".join(f"\r\n---\r\n{head}{json.dumps(one)}" for one in payloads)
    return f"{text}\r\n-----\r\n".encode()


def test_a_json_body_is_read_unchanged() -> None:
    assert read_body(b'{"data": null}') == {"data": None}


def test_payloads_with_paths_are_merged() -> None:
    later: Json = {
        "incremental": [
            {"path": ["users", 0], "data": {"plan": "pro"}},
            {"path": ["users", 1], "data": {"plan": "free"}},
        ],
        "hasNext": False,
    }

    assert read_body(parts(FIRST, later)) == WHOLE


def test_payloads_with_ids_are_merged() -> None:
    pending: Json = [{"id": "a", "path": ["users", 0]}, {"id": "b", "path": ["users"]}]
    later: Json = {
        "incremental": [
            {"id": "a", "data": {"plan": "pro"}},
            {"id": "b", "subPath": [1], "data": {"plan": "free"}},
        ],
        "completed": [{"id": "a"}, {"id": "b"}],
        "hasNext": True,
    }
    users: Json = [{"id": "1"}, {"id": "2"}]
    first: Json = {"data": {"users": users}, "pending": pending, "hasNext": True}

    found = read_body(parts(first, later, {"hasNext": False}))

    assert found == WHOLE


def test_errors_of_all_payloads_are_in_the_merged_response() -> None:
    later: Json = {
        "incremental": [
            {"path": ["users", 0], "data": {"plan": None}, "errors": [{"message": "a"}]}
        ],
        "completed": [{"id": "b", "errors": [{"message": "b"}]}],
        "hasNext": False,
    }

    found = read_body(parts(FIRST, later))

    assert isinstance(found, dict)
    assert found["errors"] == [{"message": "a"}, {"message": "b"}]


@pytest.mark.parametrize(
    "body",
    [
        b"Bad Gateway",
        parts(FIRST),
        parts(FIRST, {"incremental": [{"path": ["missing"], "data": {}}], "hasNext": False}),
        parts(FIRST, {"incremental": [{"id": "?", "data": {}}], "hasNext": False}),
        b"--\r\n",
    ],
)
def test_a_body_that_cannot_be_merged_is_returned_as_text(body: bytes) -> None:
    assert read_body(body) == body.decode()
