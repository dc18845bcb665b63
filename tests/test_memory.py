"""The memory of cached documents stays within its bounds, by a correct estimate."""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.auth.policies import EVERYBODY, Policies
from app.execution.bounded_cache import ENTRY_BYTES, BoundedCache
from app.execution.document_store import PersistedDocumentStore, hash_of
from app.execution.documents import Document, Documents
from app.execution.keys import InputLimits
from app.execution.planner import Planner
from app.execution.request import GraphQLRequest
from app.execution.schema import build_schema
from app.fastpath.compiled import Compiler
from app.fastpath.kept_users import KeptUsers
from app.fastpath.rows import struct_decoder
from app.settings.limits import LimitsSettings, MemorySettings
from app.settings.models import Settings
from app.sources.base import SourceSpec, UserId
from app.sources.endpoints import endpoints_of
from app.sources.records import ACTIVITY, BILLING, PROFILE
from tests.fakes import (
    Row,
    account_row,
    activity_row,
    json_response,
    profile_row,
    settings_for_fakes,
    user_id,
)

pytestmark = pytest.mark.usefixtures("only_what_is_new")

SETTINGS = settings_for_fakes()
SCHEMA = build_schema()
READS = SCHEMA.reads(endpoints_of(SCHEMA.definition.sources.values(), dict(SETTINGS.sources)), {})
PLANNER = Planner(SCHEMA.core, READS, InputLimits.from_settings(SETTINGS))
COMPILER = Compiler(SCHEMA)
RIGHTS = Policies(SCHEMA.definition.policies).rights(EVERYBODY)

SWITCHES = 6
SELECTED = (
    "username",
    "displayName",
    "plan",
    "balance { amount currency }",
    "events(first: 2) { id type }",
    "lastSeenAt",
    "billingStatus",
    "events { id type occurredAt }",
)


def aliased(count: int, number: int) -> str:
    """Write a selection with aliases that no other selection has."""
    fields = (SELECTED[(place + number) % len(SELECTED)] for place in range(count))
    return " ".join(f"a{number}_{place}: {field}" for place, field in enumerate(fields))


def of_one(selection: str, variables: str = "") -> str:
    """Write a document with one operation."""
    return f"query Q($id: ID!{variables}) {{ user(id: $id) {{ {selection} }} }}"


def switched(number: int) -> str:
    """Write a document with six switches."""
    variables = "".join(f", $s{place}: Boolean!" for place in range(SWITCHES))
    parts = (
        f"... @include(if: $s{place}) {{ {aliased(6, SWITCHES * number + place)} }}"
        for place in range(SWITCHES)
    )
    return of_one(" ".join(parts), variables)


DOCUMENTS: dict[str, Callable[[int], str]] = {
    "tiny": lambda number: f'{{ user(id: "{number}") {{ id }} }}',
    "everyday": lambda number: of_one(aliased(8, number)),
    "large": lambda number: of_one(aliased(45, number)),
    "switches": switched,
    "fragment": lambda number: of_one("...F") + f" fragment F on User {{ {aliased(20, number)} }}",
    "operations": lambda number: " ".join(
        of_one(aliased(2, number)).replace("Q(", f"Q{place}(") for place in range(20)
    ),
    "roots": lambda number: " ".join(
        ("{", *(f'r{place}: user(id: "1") {{ {aliased(2, number)} }}' for place in range(15)), "}")
    ),
    "bound": lambda number: of_one(
        " ".join(f"b{number}_{place}: events(first: {place + 1}) {{ id }}" for place in range(30))
    ),
    "enums": lambda number: of_one(
        " ".join(f"b{number}_{place}: billingStatus" for place in range(30))
    ),
    "long aliases": lambda number: of_one(
        " ".join(f"b{number}_{place}_{'x' * 500}: username" for place in range(10))
    ),
    "long text": lambda number: f'{{ user(id: "{number}{"x" * 20_000}") {{ id }} }}',
    "comment": lambda number: f'{{ user(id: "{number}") {{ id }} }} #{"ü" * 20_000}',
    "emoji": lambda number: f'{{ user(id: "{number}") {{ id }} }} #{"😀" * 5_000}',
    "ids": lambda number: "{{ users(ids: [{}]) {{ id }} }}".format(
        " ".join(f'"{number}-{place}"' for place in range(100))
    ),
    "syntax error": lambda number: f'{{ user(id: "{number}") {{ id ',
    "invalid": lambda number: of_one(" ".join(f"n{number}_{place}" for place in range(20))),
    "too many errors": lambda number: of_one(
        " ".join(f"n{number}_{place}" for place in range(150))
    ),
    "refused": lambda number: of_one(aliased(60, number)),
}
"""Documents of many kinds; documents of different numbers have nothing in common."""

COMPILED = frozenset(DOCUMENTS) - {"syntax error", "invalid", "too many errors", "refused"}
COUNT = 4


def records_of(spec: SourceSpec[Any], row: Callable[[int], Row]) -> Callable[[int], list[Any]]:
    """Make a function that makes records as a source returns them."""
    decode = struct_decoder(spec.record)
    return lambda number: decode(json_response([row(number)]).content)


RECORDS = {
    "profile": records_of(PROFILE, profile_row),
    "billing": records_of(BILLING, account_row),
    "activity": records_of(ACTIVITY, activity_row),
}


def bounded(**bytes_of: int) -> Settings:
    """Make settings with bounds of memory."""
    return settings_for_fakes(
        introspection=True, limits=LimitsSettings(memory=MemorySettings(**bytes_of))
    )


def documents(size: int = 1_000_000, **bytes_of: int) -> Documents:
    """Make a cache of documents."""
    return Documents.from_settings(SCHEMA.core, bounded(**bytes_of), size=size)


def run(document: Document, combination: int = 0) -> None:
    """Prepare the operations of a document for their execution."""
    for operation in document.operations.values():
        switches = {f"s{place}": bool(combination >> place & 1) for place in range(SWITCHES)}
        variables = operation.coerce(SCHEMA.core, {"id": "1", **switches})
        assert not isinstance(variables, list)
        operation.variant(PLANNER, COMPILER, variables, RIGHTS)


def prepare_and_run(cache: Documents, make: Callable[[int], str], number: int) -> None:
    """Prepare a document that is not cached, and its operations."""
    run(cache.get(make(number)))


def measured(work: Sequence[Callable[[], object]], count: Callable[[], int]) -> tuple[int, int]:
    """Return how many bytes the second half of some work keeps, and the growth of a count.

    The first half makes the objects that are made only once.
    """
    half = len(work) // 2
    tracemalloc.start()
    try:
        for one in work[:half]:
            one()
        gc.collect()
        before, counted = tracemalloc.get_traced_memory()[0], count()
        for one in work[half:]:
            one()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before, count() - counted
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_estimated_bytes_of_a_document_are_within_a_factor_of_two(kind: str) -> None:
    cache, make = documents(compiled=0), DOCUMENTS[kind]

    real, estimated = measured(
        [partial(prepare_and_run, cache, make, number) for number in range(2 * COUNT)],
        lambda: cache.bytes,
    )

    assert real / 2 <= estimated <= real * 2


@pytest.mark.parametrize("kind", sorted(COMPILED))
def test_the_estimated_bytes_of_a_variant_are_within_a_factor_of_two(kind: str) -> None:
    cache, make = documents(), DOCUMENTS[kind]
    ready = [cache.get(make(number)) for number in range(2 * COUNT)]
    for document in ready:
        for operation in document.operations.values():
            operation.coerce(SCHEMA.core, {})

    real, estimated = measured(
        [partial(run, document, 63) for document in ready],
        lambda: cache.variants.bytes,
    )

    assert real / 2 <= estimated <= real * 2


@pytest.mark.parametrize("most", [200_000, 500_000])
def test_the_variants_of_all_documents_stay_within_their_bound(most: int) -> None:
    cache = documents(compiled=most)
    for number in range(4):
        document = cache.get(switched(number))
        for combination in range(0, 64, 3):
            run(document, combination)

            assert cache.variants.bytes <= most
    assert len(cache.variants) > 1


def test_documents_stay_within_their_bound_and_their_variants_are_dropped() -> None:
    cache = documents(documents=100_000)
    for number in range(30):
        run(cache.get(of_one(aliased(8, number))))

        assert cache.bytes <= 100_000
        assert len(cache.variants) <= 100_000 // 20_000

    assert len(cache.variants) > 1


def test_a_document_that_is_not_cached_leaves_no_variant() -> None:
    kept, not_kept = documents(), documents(size=0)
    long = of_one("id") + " " * 40_000

    run(kept.get(long))
    run(not_kept.get(of_one("id")))

    assert [len(kept.variants), len(not_kept.variants)] == [0, 0]


def test_a_variant_of_an_evicted_document_is_not_cached() -> None:
    cache = documents(size=1)
    first = cache.get(of_one("id"))
    cache.get(of_one("plan"))

    run(first)

    assert len(cache.variants) == 0


def test_persisted_documents_stay_within_their_bound() -> None:
    texts = PersistedDocumentStore(1_000, max_bytes=50_000)
    for number in range(100):
        text = of_one(aliased(45, number))
        named = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}
        texts.keep(GraphQLRequest(query=text, extensions=named))

        assert texts.bytes <= 50_000
    assert texts.bytes > 40_000


@pytest.mark.parametrize(
    "selection", ["username", "plan balance { amount }", aliased(8, 0), aliased(40, 0)]
)
def test_the_estimated_bytes_of_kept_users_are_within_a_factor_of_two(selection: str) -> None:
    kept = KeptUsers({*RECORDS}, max_bytes=10_000_000)
    operation = documents().get(of_one(selection)).operations["Q"]
    variables = operation.coerce(SCHEMA.core, {"id": "1"})
    assert not isinstance(variables, list)
    [root] = operation.variant(PLANNER, None, variables, RIGHTS).roots
    writer = Compiler(SCHEMA, kept).compile([root], variables).roots[root.key].others
    assert root.others is not None
    assert writer is not None
    makers = [RECORDS[name] for name in root.others.needs.sources]

    def keep(number: int) -> None:
        kept.users(writer, [UserId(user_id(number))], [make(number) for make in makers])

    real, estimated = measured([partial(keep, one) for one in range(200)], lambda: kept.bytes)

    assert real / 2 <= estimated <= real * 2


entries = some.lists(
    some.tuples(some.integers(0, 9), some.integers(0, 1_500), some.sampled_from("pgr")),
    max_size=60,
)


@given(entries, some.integers(0, 6_000), some.none() | some.integers(0, 5))
def test_a_bounded_cache_keeps_the_most_recently_used_entries(
    steps: Sequence[tuple[int, int, str]], max_bytes: int, max_entries: int | None
) -> None:
    dropped: list[int] = []
    cache = BoundedCache[int, int](
        max_bytes, max_entries=max_entries, dropped=lambda key, _: dropped.append(key)
    )
    model: list[tuple[int, int]] = []  # keys and sizes, the most recently used at the end
    gone: list[int] = []
    for key, size, step in steps:
        known = [one for one in model if one[0] == key]
        model = [one for one in model if one[0] != key]
        if step == "p":
            cache.put(key, size, size)
            model.append((key, size))
            if size + ENTRY_BYTES > max_bytes or max_entries == 0:
                gone.append(model.pop()[0])
            while sum(one + ENTRY_BYTES for _, one in model) > max_bytes or len(model) > (
                max_entries if max_entries is not None else len(model)
            ):
                gone.append(model.pop(0)[0])
        elif step == "g":
            assert cache.get(key) == (known[0][1] if known else None)
            model += known
        else:
            cache.remove(key)

        assert cache.bytes == sum(one + ENTRY_BYTES for _, one in model) <= max_bytes
        assert [number in cache for number in range(10)] == [
            number in dict(model) for number in range(10)
        ]
    assert len(cache) == len(model)
    assert dropped == gone
