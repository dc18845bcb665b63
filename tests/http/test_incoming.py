"""The head of a request is read as Starlette reads it."""

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from app.http.incoming import first_of, text_of

NAMES = st.sampled_from([b"accept", b"x-request-id", b"traceparent"])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=8)


@given(headers=HEADERS, name=NAMES)
def test_of_several_headers_with_one_name_it_is_the_same_that_counts(
    headers: list[tuple[bytes, bytes]], name: bytes
) -> None:
    assert text_of(first_of(headers), name) == Headers(raw=headers).get(name.decode())
