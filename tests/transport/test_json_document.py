"""Reading documents of which only a few members matter."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.transport.body import read_document


def test_an_odd_member_spoils_no_other() -> None:
    text = b'\xef\xbb\xbf{"a": "\\ud800", "b": "\xff", "c": %b, "d": -1e999, "e": "\xc3\xa9"}'

    document = read_document(text % (b"1" * 5_000))

    assert document == {"a": "\ud800", "b": "\udcff", "c": math.inf, "d": -math.inf, "e": "é"}


def test_of_two_members_with_one_name_the_last_counts() -> None:
    assert read_document(b'{"a": 1, "a": 2}') == {"a": 2.0}


@given(body=st.binary(max_size=40) | st.text(alphabet='{}[]":,1e+-.nulltrue ').map(str.encode))
@example(b"")
@example(b"[]")
@example(b"null")
@example(b'{"a": 1} x')
@example(b'{"a": ' * 10_000)
@example('{"a": 1}'.encode("utf-16"))
def test_what_is_no_object_is_malformed_and_nothing_else(body: bytes) -> None:
    try:
        document = read_document(body)
    except MalformedError as error:
        assert str(error) in {"Invalid JSON", "all of it: Input should be an object"}  # noqa: PT017
    else:
        assert body.strip().startswith(b"{")
        assert isinstance(document, dict)
