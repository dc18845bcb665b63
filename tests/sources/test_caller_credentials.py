"""The credentials of a caller are sent to sources, and its results to no other caller."""

import asyncio
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.settings.resilience import CacheSettings, CoalesceSettings
from app.sources.base import Headers, RequestContext
from app.sources.credentials import identity_of, read_forwarded
from tests.fakes import user_id
from tests.sources.mirrors import mirrored_gateway

FORWARD = {"kind": "forward", "forward_headers": ["X-Tenant"]}
IDS = [user_id(1), user_id(2)]
QUERY = f'{{ users(ids: ["{IDS[0]}", "{IDS[1]}"]) {{ username plan events {{ type }} }} }}'
CALLERS = [
    {"Authorization": "Bearer ann"},
    {"Authorization": "Bearer bob"},
    {"Authorization": "Bearer ann", "X-Tenant": "t1"},
    {"Authorization": "Bearer ann", "X-Tenant": "t2"},
    {"X-Tenant": "t1"},
    {},
]


def told(caller: dict[str, str]) -> str:
    """Return the headers of a caller that a service is sent, as text."""
    return " ".join(f"{name.lower()}={value}" for name, value in caller.items())


WAYS = [
    pytest.param(compiled, coalesced, cached, id=f"{compiled=} {coalesced=} {cached=}")
    for compiled, coalesced, cached in product((True, False), repeat=3)
]


@pytest.mark.parametrize(("compiled", "coalesced", "cached"), WAYS)
async def test_no_caller_gets_the_results_of_another_caller(
    *, compiled: bool, coalesced: bool, cached: bool
) -> None:
    async with mirrored_gateway(
        dict.fromkeys(("profile", "billing", "activity"), FORWARD),
        compiled=compiled,
        coalesce=CoalesceSettings(enabled=coalesced),
        cache=CacheSettings(enabled=cached, ttl=60),
    ) as gateway:
        gateway.hold_until(
            "profile", len(CALLERS)
        )  # the calls of all callers are in flight together
        for _ in range(3):
            answers = await asyncio.gather(
                *[gateway.ask(QUERY, caller) for caller in CALLERS for _ in range(3)]
            )
            for number, answer in enumerate(answers):
                sent = told(CALLERS[number // 3])
                row = {"username": sent, "plan": sent, "events": [{"type": sent}]}
                assert answer == {"users": [row, row]}

    calls = [len(mirror.requests) for mirror in gateway.mirrors.values()]
    if cached:
        assert calls == [len(CALLERS)] * 3
    for caller in CALLERS:
        for value in caller.values():
            assert value not in gateway.log.getvalue()


@pytest.mark.parametrize(("compiled", "coalesced", "cached"), WAYS)
async def test_a_source_without_caller_credentials_shares_calls_between_all_callers(
    *, compiled: bool, coalesced: bool, cached: bool
) -> None:
    async with mirrored_gateway(
        {"profile": FORWARD, "activity": {"kind": "bearer", "token": "of-the-gateway"}},
        compiled=compiled,
        coalesce=CoalesceSettings(enabled=coalesced),
        cache=CacheSettings(enabled=cached, ttl=60),
    ) as gateway:
        gateway.hold_until("profile", len(CALLERS))
        answers = await asyncio.gather(*[gateway.ask(QUERY, caller) for caller in CALLERS])

    for answer, caller in zip(answers, CALLERS, strict=True):
        own = {"type": "authorization=Bearer of-the-gateway"}
        row = {"username": told(caller), "plan": "", "events": [own]}
        assert answer == {"users": [row, row]}
    assert len(gateway.mirrors["profile"].requests) == len(CALLERS)
    for name in ("billing", "activity"):
        seen = gateway.mirrors[name].requests
        assert not any(one.header("x-tenant") for one in seen)
        assert len(seen) == (1 if cached or coalesced else len(CALLERS))


async def test_requests_for_pages_have_the_credentials_of_the_caller() -> None:
    query = f'{{ user(id: "{IDS[0]}") {{ invoices {{ edges {{ node {{ number }} }} }} }} }}'
    async with mirrored_gateway({"billing": FORWARD}) as gateway:
        answers = await asyncio.gather(*[gateway.ask(query, caller) for caller in CALLERS])

    for answer, caller in zip(answers, CALLERS, strict=True):
        assert answer == {"user": {"invoices": {"edges": [{"node": {"number": told(caller)}}]}}}


async def test_a_token_of_the_gateway_can_go_with_a_header_of_the_caller() -> None:
    auth = {"kind": "bearer", "token": "own", "forward_headers": ["X-Tenant"]}
    async with mirrored_gateway({"profile": auth}) as gateway:
        for tenant in ("t1", "t2"):
            headers = {"Authorization": "Bearer ann", "X-Tenant": tenant}
            answer = await gateway.ask(QUERY, headers)
            sent = f"authorization=Bearer own x-tenant={tenant}"
            assert [user["username"] for user in answer["users"]] == [sent, sent]


async def test_each_source_separates_callers_only_by_the_headers_that_it_is_sent() -> None:
    tenant = {"kind": "none", "forward_headers": ["X-Tenant"]}
    async with mirrored_gateway({"profile": tenant, "billing": {"kind": "forward"}}) as gateway:
        gateway.hold_until("billing", 2)
        callers = [{"Authorization": f"Bearer {name}", "X-Tenant": "t"} for name in ("ann", "bob")]
        answers = await asyncio.gather(*[gateway.ask(QUERY, caller) for caller in callers])

    for answer, caller in zip(answers, callers, strict=True):
        plan = f"authorization={caller['Authorization']}"
        row = {"username": "x-tenant=t", "plan": plan, "events": [{"type": ""}]}
        assert answer == {"users": [row, row]}
    assert [len(mirror.requests) for mirror in gateway.mirrors.values()] == [1, 2, 1]


async def test_no_other_headers_of_the_caller_are_forwarded() -> None:
    headers = [
        ("Authorization", "Bearer ann"),
        ("Cookie", "session=ann"),
        ("X-Tenant", "t1"),
        ("X-Other", "other"),
        ("Proxy-Authorization", "Basic YTpi"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
        ("User-Agent", "curl"),
        ("Accept-Language", "de"),
    ]
    async with mirrored_gateway({"profile": FORWARD}) as gateway:
        await gateway.ask(QUERY, headers)

    [seen] = gateway.mirrors["profile"].requests
    [other] = gateway.mirrors["billing"].requests
    ours = {name for name, _ in other.headers}
    assert {name for name, _ in seen.headers} == ours | {"authorization", "x-tenant"}
    assert not ours & {"authorization", "cookie", "x-tenant", "x-other", "te", "accept-language"}
    assert seen.header("user-agent") == other.header("user-agent") != ["curl"]


async def test_a_source_gets_the_time_that_is_left_and_not_also_the_caller_s_own_header() -> None:
    auth = {"kind": "none", "forward_headers": ["X-Tenant", "X-Time-Left"]}
    async with mirrored_gateway({"profile": auth}, time_header="X-Time-Left") as gateway:
        await gateway.ask(QUERY, {"X-Time-Left": "of-the-caller", "X-Tenant": "t1"})

    [seen] = gateway.mirrors["profile"].requests
    [left] = seen.header("x-time-left")
    assert left.endswith("ms")
    assert seen.header("x-tenant") == ["t1"]


NAMES = frozenset({"authorization", "x-tenant"})


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ([("x-tenant", "b"), ("authorization", "a")], (("x-tenant", "b"), ("authorization", "a"))),
        ([("x-tenant", "a"), ("x-tenant", "b")], (("x-tenant", "a"), ("x-tenant", "b"))),
        ([("x-tenant", "a"), ("connection", "close, X-Tenant")], ()),
        ([("x-tenant", "ü")], ()),
        ([("x-tenant", "a\x00b")], ()),
        ([("x-tenant", "")], ()),
        ([("x-other", "a")], ()),
    ],
)
def test_connection_headers_and_invalid_values_are_not_forwarded(
    headers: list[tuple[str, str]], sent: Headers
) -> None:
    assert read_forwarded(headers, NAMES) == sent


PAIRS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ab", "x"]), st.text(alphabet="ab:1 ", max_size=3)),
    max_size=4,
)


@example(one=[("a", "1"), ("a", "b")], other=[("a", "b"), ("a", "1")])
@example(one=[("a", "1"), ("b", "2")], other=[("b", "2"), ("a", "1")])
@given(one=PAIRS, other=PAIRS)
def test_two_callers_have_one_identity_only_if_they_send_the_same_headers(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    names = frozenset({"a", "b", "ab"})
    sent = [
        {name: [value for of, value in pairs if of == name] for name in names}
        for pairs in (one, other)
    ]

    same = identity_of(RequestContext("1", forwarded=tuple(one)), names) == identity_of(
        RequestContext("2", forwarded=tuple(other)), names
    )

    assert same == (sent[0] == sent[1])


def test_neither_a_context_nor_an_identity_shows_the_credentials() -> None:
    call = RequestContext("1", forwarded=(("authorization", "Bearer canary"),))

    assert "canary" not in repr(call)
    assert "canary" not in identity_of(call, NAMES)
