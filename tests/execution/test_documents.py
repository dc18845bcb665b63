"""Documents are parsed and validated once for all requests that send them."""

import hashlib

import pytest

from app.errors import Code, RequestError
from app.execution.documents import MAX_CACHED, Document, Documents
from app.execution.schema import build_schema
from tests.fakes import settings_for_fakes

CORE = build_schema().core

TWO = "query A { __typename } query B { __typename }"


def documents(size: int = 10) -> Documents:
    """Make a cache of documents."""
    return Documents.from_settings(CORE, settings_for_fakes(introspection=True), size=size)


def text(number: int) -> str:
    """Write a document with a number in it."""
    return f'{{ user(id: "{number}") {{ id }} }}'


def messages(document: Document) -> list[str]:
    """List the messages of a document's errors."""
    return [error.message for error in document.errors]


def test_a_document_is_prepared_once_and_then_comes_from_the_cache() -> None:
    cache = documents()

    first, second, third = (cache.get(text(1)) for _ in range(3))

    assert first.errors == ()
    assert first.tree is not None
    assert first is second is third
    assert (cache.hits, cache.misses) == (2, 1)


def test_documents_that_differ_in_one_character_are_different_documents() -> None:
    cache = documents()

    assert cache.get("{ __typename }") is not cache.get("{ __typename  }")
    assert (cache.hits, cache.misses) == (0, 2)


def test_the_cache_keeps_no_more_documents_than_its_size() -> None:
    cache = documents(size=3)
    for number in range(10):
        cache.get(text(number))
    for number in (9, 8, 7):
        cache.get(text(number))
    assert (cache.hits, cache.misses) == (3, 10)

    cache.get(text(6))

    assert (cache.hits, cache.misses) == (3, 11)


def test_the_least_recently_used_document_is_dropped_first() -> None:
    cache = documents(size=2)
    kept = cache.get(text(1))
    cache.get(text(2))
    cache.get(text(1))
    cache.get(text(3))

    assert cache.get(text(1)) is kept
    assert cache.hits == 2
    cache.get(text(2))
    assert cache.misses == 4


def test_a_cache_of_size_zero_keeps_nothing() -> None:
    cache = documents(size=0)
    for _ in range(3):
        assert cache.get(text(1)).errors == ()

    assert (cache.hits, cache.misses) == (0, 3)


@pytest.mark.parametrize(("length", "hits"), [(MAX_CACHED, 1), (MAX_CACHED + 1, 0)])
def test_a_document_longer_than_the_limit_is_served_but_not_kept(length: int, hits: int) -> None:
    cache = documents()
    long = text(1).ljust(length)

    for _ in range(2):
        assert cache.get(long).errors == ()
    assert cache.hits == hits


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ("{ user", Code.GRAPHQL_PARSE_FAILED, "Syntax Error: Expected Name, found <EOF>."),
        ("", Code.GRAPHQL_PARSE_FAILED, "Syntax Error: Unexpected <EOF>."),
        (
            "{ nobody }",
            Code.GRAPHQL_VALIDATION_FAILED,
            "Cannot query field 'nobody' on type 'Query'.",
        ),
        (
            "query A { __typename } mutation M { x }",
            Code.GRAPHQL_VALIDATION_FAILED,
            "The mutation operation is not supported by the schema.",
        ),
        (
            "subscription S { x }",
            Code.GRAPHQL_VALIDATION_FAILED,
            "The subscription operation is not supported by the schema.",
        ),
    ],
)
def test_a_document_with_errors_is_kept_with_its_errors(
    wrong: str, code: Code, message: str
) -> None:
    cache = documents()

    first, second = cache.get(wrong), cache.get(wrong)

    assert messages(first) == [message]
    assert first.code is code
    assert second is first
    assert cache.hits == 1


def test_a_document_is_named_by_the_hash_of_its_text() -> None:
    for one in (text(1), "{ ü", "", "\ud800"):
        expected = hashlib.sha256(one.encode("utf-8", "surrogatepass")).hexdigest()
        assert documents().get(one).hash == expected


DEEP = {
    "selections": "{ user(id: 1) " + "{ a " * 5000 + "}" * 5000 + " }",
    "inline fragments": "{ user(id: 1) { " + "... { " * 5000 + "id" + " }" * 5000 + " } }",
    "lists": "{ users(ids: " + "[" * 5000 + "1" + "]" * 5000 + ") { id } }",
    "objects": "{ users(ids: " + "{a: " * 5000 + "1" + "}" * 5000 + ") { id } }",
    "types": "query($v: " + "[" * 5000 + "ID" + "]" * 5000 + ") { __typename }",
    "unclosed": "{ a " * 5000,
    "fragments": "{ user(id: 1) { ...F0 } } "
    + " ".join(f"fragment F{n} on User {{ ...F{n + 1} }}" for n in range(5000))
    + " fragment F5000 on User { id }",
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_a_document_that_is_nested_too_deeply_is_an_error(deep: str) -> None:
    document = documents().get(deep)

    assert document.errors
    assert document.code is Code.QUERY_TOO_COMPLEX


def test_the_only_operation_is_executed_with_or_without_its_name() -> None:
    cache = documents()

    assert cache.get("{ __typename }").operation(None).name is None
    named = cache.get("query A { __typename }")
    assert named.operation(None) is named.operation("A")


def test_the_named_operation_of_several_is_executed() -> None:
    document = documents().get(TWO)

    chosen = document.operation("B")

    assert chosen.name == "B"


@pytest.mark.parametrize(
    ("document", "name", "message"),
    [
        (TWO, None, "operationName is needed: the document has A, B"),
        (TWO, "C", 'there is no operation "C": the document has A, B'),
        (TWO, "", 'there is no operation "": the document has A, B'),
        (TWO, "a", 'there is no operation "a": the document has A, B'),
        (
            "{ __typename }",
            "A",
            'there is no operation "A": the document has none with a name',
        ),
        (
            "fragment F on User { id }",
            None,
            "operationName is needed: the document has none with a name",
        ),
    ],
)
def test_an_unknown_operation_is_an_error_that_lists_the_operations(
    document: str, name: str | None, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        documents().get(document).operation(name)

    assert caught.value.code is Code.OPERATION_RESOLUTION_FAILURE
    assert caught.value.message == message
    assert caught.value.status == 400


def test_an_unknown_operation_name_is_shortened_to_one_line_in_the_message() -> None:
    with pytest.raises(RequestError) as caught:
        documents().get(TWO).operation("evil\r\n\x1b[31m" + "x" * 10_000)

    assert len(caught.value.message) < 200
    assert caught.value.message.isprintable()


def test_a_document_has_no_reference_cycles_of_tokens() -> None:
    document = documents().get("{ __typename }")

    assert document.tree is not None
    location = document.tree.loc
    assert location is not None
    # The parser links its tokens in both directions, so that each refers to both neighbours.
    assert location.start_token.next is None
    assert location.end_token.prev is None
