"""Documents: parsed and validated once, whatever number of requests brings them."""

import hashlib

import pytest

from app.errors import Code, RequestError
from app.execution.documents import MAX_CACHED, Document, Documents
from app.execution.schema import build_schema
from tests.fakes import settings_for_fakes

CORE = build_schema().core

TWO = "query A { __typename } query B { __typename }"


def documents(size: int = 10) -> Documents:
    """Make a cache."""
    return Documents.from_settings(CORE, settings_for_fakes(introspection=True), size=size)


def text(number: int) -> str:
    """Write one of many documents."""
    return f'{{ user(id: "{number}") {{ id }} }}'


def messages(document: Document) -> list[str]:
    """List what is wrong with a document."""
    return [error.message for error in document.errors]


def test_a_document_is_prepared_once_and_found_ready_ever_after() -> None:
    cache = documents()

    first, second, third = (cache.get(text(1)) for _ in range(3))

    assert first.errors == ()
    assert first.tree is not None
    assert first is second is third
    assert (cache.hits, cache.misses) == (2, 1)


def test_documents_are_told_apart_by_every_character_of_their_text() -> None:
    cache = documents()

    assert cache.get("{ __typename }") is not cache.get("{ __typename  }")
    assert (cache.hits, cache.misses) == (0, 2)


def test_no_more_documents_are_kept_than_there_is_room_for() -> None:
    cache = documents(size=3)
    for number in range(10):
        cache.get(text(number))
    for number in (9, 8, 7):
        cache.get(text(number))
    assert (cache.hits, cache.misses) == (3, 10)

    cache.get(text(6))

    assert (cache.hits, cache.misses) == (3, 11)


def test_the_one_that_was_used_longest_ago_makes_room() -> None:
    cache = documents(size=2)
    kept = cache.get(text(1))
    cache.get(text(2))
    cache.get(text(1))
    cache.get(text(3))

    assert cache.get(text(1)) is kept
    assert cache.hits == 2
    cache.get(text(2))
    assert cache.misses == 4


def test_without_room_nothing_is_kept() -> None:
    cache = documents(size=0)
    for _ in range(3):
        assert cache.get(text(1)).errors == ()

    assert (cache.hits, cache.misses) == (0, 3)


@pytest.mark.parametrize(("length", "hits"), [(MAX_CACHED, 1), (MAX_CACHED + 1, 0)])
def test_a_document_that_is_no_everyday_query_is_served_but_not_kept(
    length: int, hits: int
) -> None:
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
def test_what_is_wrong_with_a_document_is_kept_as_well(
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
def test_a_document_that_is_too_deep_to_be_read_is_wrong_and_breaks_nothing(deep: str) -> None:
    document = documents().get(deep)

    assert document.errors
    assert document.code is Code.QUERY_TOO_COMPLEX


def test_the_only_operation_is_executed_named_or_not() -> None:
    cache = documents()

    assert cache.get("{ __typename }").operation(None).name is None
    named = cache.get("query A { __typename }")
    assert named.operation(None) is named.operation("A")


def test_of_several_operations_the_named_one_is_executed() -> None:
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
def test_without_an_operation_to_execute_the_client_learns_which_there_are(
    document: str, name: str | None, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        documents().get(document).operation(name)

    assert caught.value.code is Code.OPERATION_RESOLUTION_FAILURE
    assert caught.value.message == message
    assert caught.value.status == 400


def test_a_name_that_is_not_one_of_ours_is_shown_cut_and_on_one_line() -> None:
    with pytest.raises(RequestError) as caught:
        documents().get(TWO).operation("evil\r\n\x1b[31m" + "x" * 10_000)

    assert len(caught.value.message) < 200
    assert caught.value.message.isprintable()


def test_a_document_that_is_dropped_needs_no_garbage_collector() -> None:
    document = documents().get("{ __typename }")

    assert document.tree is not None
    location = document.tree.loc
    assert location is not None
    # The parser leaves its tokens as a chain of which each knows both neighbours.
    assert location.start_token.next is None
    assert location.end_token.prev is None
