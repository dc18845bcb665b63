"""JSON objects of which only a few members are used."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.transport.body import read_document


def test_an_invalid_member_does_not_affect_the_others() -> None:
    text = b'\xef\xbb\xbf{"a": "\\ud800", "b": "\xff", "c": %b, "d": -1e999, "e": "\xc3\xa9"}'

    document = read_document(text % (b"1" * 5_000))

    assert document == {"a": "\ud800", "b": "\udcff", "c": math.inf, "d": -math.inf, "e": "é"}


def test_the_last_of_two_members_with_the_same_name_is_used() -> None:
    assert read_document(b'{"a": 1, "a": 2}') == {"a": 2.0}


@given(body=st.binary(max_size=40) | st.text(alphabet='{}[]":,1e+-.nulltrue ').map(str.encode))
@example(b"")
@example(b"[]")
@example(b"null")
@example(b'{"a": 1} x')
@example(b'{"a": ' * 10_000)
@example('{"a": 1}'.encode("utf-16"))
def test_any_body_is_read_as_an_object_or_is_malformed(body: bytes) -> None:
    try:
        document = read_document(body)
    except MalformedError as error:
        assert str(error) in {"Invalid JSON", "all of it: Input should be an object"}  # noqa: PT017
    else:
        assert body.strip().startswith(b"{")
        assert isinstance(document, dict)
