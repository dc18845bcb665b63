"""The limits of a document: tokens as graphql-core counts them, and little work."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import pytest
from graphql import Lexer, Source, TokenKind
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, LimitError
from app.execution.documents import Documents
from app.execution.limits.checks import DocumentChecks
from app.execution.schema import build_schema
from app.settings.limits import LimitsSettings
from tests.fakes import settings_for_fakes
from tests.hostile import SIZES, documents

CORE = build_schema().core

MOST_CALLS = 400_000
"""The most function calls for one document, about 50 ms; the costliest one needs 300,000."""


def tokens_of(text: str) -> int:
    """Count tokens one by one with the lexer."""
    lexer, count = Lexer(Source(text)), 0
    while lexer.advance().kind is not TokenKind.EOF:
        count += 1
    return count


@given(
    st.lists(st.sampled_from(["a", "b: c", "d { e }", 'f(g: "h i")', "#j\n", "k @l"]), max_size=8)
)
def test_the_limit_on_tokens_counts_the_tokens_of_the_lexer(parts: list[str]) -> None:
    text = f"{{ x {' '.join(parts)} }}"
    most = tokens_of(text)

    def parses(tokens: int) -> bool:
        limits = LimitsSettings(tokens=tokens)
        checks = DocumentChecks(CORE, limits, introspection=True, suggestions=False)
        try:
            checks.parse(text, len(text))
        except LimitError as error:
            assert error.limit == "tokens"  # noqa: PT017 # both outcomes are right
            return False
        return True

    lines = 1 + text.count("\n")
    assert parses(max(most, lines))
    assert not parses(most - 1)


class CountedCalls:
    """The number of function calls."""

    calls = 0


@contextmanager
def counted() -> Generator[CountedCalls]:
    """Count the function calls within the context."""
    work = CountedCalls()

    def called(_: FrameType, event: str, __: object) -> None:
        if event in {"call", "c_call"}:
            work.calls += 1

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield work
    finally:
        sys.setprofile(before)


@pytest.mark.timeout(300)  # counting every call is slow
@pytest.mark.parametrize("size", SIZES)
def test_a_hostile_document_takes_little_work(size: int) -> None:
    prepared = Documents.from_settings(CORE, settings_for_fakes(introspection=True), size=0)

    too_dear: dict[str, int] = {}
    for kind, text in documents(size).items():
        with counted() as work:
            prepared.get(text)
        if work.calls > MOST_CALLS:
            too_dear[kind] = work.calls

    assert not too_dear


def test_a_hostile_document_takes_much_work_without_limits() -> None:
    none = {
        name: 0 for name, field in LimitsSettings.model_fields.items() if field.annotation is int
    }
    off = Documents.from_settings(
        CORE, settings_for_fakes(limits=LimitsSettings.model_validate(none)), size=0
    )

    with counted() as work:
        off.get(documents(60_000)["many aliases"])

    assert work.calls > MOST_CALLS


@pytest.mark.parametrize("kind", ["one object again and again", "many fragments"])
def test_a_document_that_repeats_fields_too_often_is_refused(kind: str) -> None:
    document = Documents.from_settings(CORE, settings_for_fakes(), size=0).get(
        documents(6_000)[kind]
    )

    assert document.code is Code.QUERY_TOO_COMPLEX
    assert "repeats fields" in document.errors[0].message
