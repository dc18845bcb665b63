"""Callers with different identities for a source share no call, no key and no cache entry of it.

The fakes return the headers that they got, so a response shows for which caller it was made.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from app.settings.auth import JwtCallers
from app.settings.fastpath import FastpathSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    account_row,
    activity_row,
    calm_source,
    invoice,
    json_response,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.issuer import AUDIENCE, ISSUER, FakeIssuer, signed
from tests.properties import examples

EXAMPLES = examples(40, "FUZZ_EXAMPLES")

SECRET = "a secret of some thirty-two bytes"
KEY = OctKey.import_key(SECRET.encode())

HEADERS = ("x-a", "x-ab", "x-tenant", "accept-language")
"""Headers that a source may be sent."""

FORWARDED = frozenset({"authorization", *HEADERS})
NEVER_FORWARDED = frozenset({"cookie", "x-other"})

SHARED = user_id(1)
"""The user that all callers query."""

USERS = "query ($ids: [ID!]!) { users(ids: $ids) { id username email plan events { type } } }"
"""A query that can be compiled."""
PAGES = """query ($ids: [ID!]!) { users(ids: $ids) {
  invoices(first: 1) { edges { node { number } } }
} }"""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FakeCaller:
    """A caller.

    Attributes:
        headers: Its headers, except for the token.
        subject: The number of its user. ``None`` for a caller without a token.
        scopes: The scopes of its token.
        number: Distinguishes its token from others with the same claims.
    """

    headers: Pairs = ()
    subject: int | None = None
    scopes: tuple[str, ...] = ()
    number: int = 0

    def all_headers(self, issuer: FakeIssuer) -> Pairs:
        """Return all of its headers."""
        if self.subject is None:
            return self.headers
        claims = {"sub": user_id(self.subject), "scope": " ".join(self.scopes)}
        token = signed(issuer.claims(**claims, jti=str(self.number)), KEY, "HS256")
        return (*self.headers, ("authorization", f"Bearer {token}"))

    def may_see(self, user: str, scope: str) -> bool:
        """Return whether it may see a field for the user itself and for callers with a scope."""
        if self.subject is None:
            return False
        return user == user_id(self.subject) or scope in self.scopes


NAMES = st.sampled_from([*HEADERS, "X-TENANT", "cookie", "x-other", "connection", "x-request-id"])
VALUES = st.sampled_from(["a", "b", "ab", "a, b", "x-a", "X-Tenant, close", "de", "\xe4", "A"])

HEADER = st.tuples(NAMES, VALUES)

CALLERS = st.builds(
    FakeCaller,
    st.lists(HEADER, max_size=3).map(tuple),
    st.none() | st.integers(1, 3),
    st.sampled_from([(), ("profile:read",), ("billing:read", "activity:read")]),
    st.integers(0, 1),
)


@st.composite
def groups_of_callers(draw: st.DrawFn) -> Sequence[FakeCaller]:
    """Make callers, some of which differ in one thing only."""
    several = draw(st.lists(CALLERS, min_size=1, max_size=3))
    for one in tuple(several):
        other = draw(CALLERS)
        several.append(
            draw(
                st.sampled_from(
                    [
                        FakeCaller(one.headers, one.subject, one.scopes, 1 - one.number),
                        FakeCaller(one.headers, one.subject, other.scopes, one.number),
                        FakeCaller(one.headers, other.subject, one.scopes, one.number),
                        FakeCaller(other.headers, one.subject, one.scopes, one.number),
                        FakeCaller(one.headers[::-1], one.subject, one.scopes, one.number),
                        FakeCaller(one.headers[1:], one.subject, one.scopes, one.number),
                        FakeCaller(
                            (*one.headers, draw(HEADER)), one.subject, one.scopes, one.number
                        ),
                        FakeCaller(one.headers[:-1] + other.headers[-1:], one.subject, one.scopes),
                        one,
                    ]
                )
            )
        )
    return several


@dataclass(frozen=True)
class SentIdentity:
    """The identity of the caller, as a source gets it.

    Attributes:
        kind: The kind of its authentication.
        forwards: The headers that are forwarded to it.
        cached: Whether its results are cached.
        coalesced: Whether requests share its calls.
    """

    kind: str = "none"
    forwards: tuple[str, ...] = ()
    cached: bool = False
    coalesced: bool = True

    def settings(self, name: str) -> Any:  # noqa: ANN401 # a source's settings
        """Make the settings of a source."""
        auth: dict[str, object] = {"kind": self.kind, "forward_headers": self.forwards}
        if self.kind == "bearer":
            auth["token"] = "own"
        return calm_source(
            base_url=f"http://{name}",
            auth=auth,
            cache={"enabled": self.cached, "ttl": 60},
            coalesce={"enabled": self.coalesced},
        )

    def expected_headers(self, sent_headers: Pairs) -> str:
        """Return the headers that it should get from a caller with these headers."""
        lower = [(name.lower(), value) for name, value in sent_headers]
        alone = {
            one.strip().lower()
            for name, value in lower
            if name == "connection"
            for one in value.split(",")
        }
        names = {*self.forwards, *(["authorization"] if self.kind == "forward" else [])} - alone
        own = [("authorization", "Bearer own")] if self.kind == "bearer" else []
        return normalized([*own, *((name, one) for name, one in lower if name in names)])


def normalized(pairs: Sequence[tuple[str, str]]) -> str:
    """Write headers so that two texts are equal exactly if the headers mean the same."""
    values = [(name, value) for name, value in pairs if value.isascii()]
    return json.dumps(sorted(values, key=lambda one: one[0]))


def headers_in(request: httpx.Request) -> str:
    """Return the headers of the caller in a request."""
    return normalized([one for one in request.headers.multi_items() if one[0] in FORWARDED])


def echoing(name: str) -> Behaviour:
    """Make a service that writes the headers of its request into its rows."""

    def respond(request: httpx.Request) -> httpx.Response:
        headers, query = headers_in(request), request.url.params
        if request.url.path == "/invoices":
            return json_response({"items": [{**invoice(1), "number": headers}]})
        keys = query.get_list("id" if name == "profile" else "userId")
        happened = {"id": "1", "type": headers, "occurredAt": "2026-01-01T00:00:00Z"}
        return json_response(
            [
                {
                    "profile": profile_row(1, id=key, username=headers, email=headers),
                    "billing": account_row(1, userId=key, plan=headers),
                    "activity": activity_row(1, userId=key, events=[happened]),
                }[name]
                for key in keys
            ]
        )

    return respond


SOURCES = st.builds(
    SentIdentity,
    st.sampled_from(["none", "bearer", "forward"]),
    st.lists(st.sampled_from(HEADERS), unique=True, max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sources=st.fixed_dictionaries(dict.fromkeys(("profile", "billing", "activity"), SOURCES)),
    callers=groups_of_callers(),
    compiled=st.booleans(),
)
@example(
    sources={
        "profile": SentIdentity("none", ("x-a", "x-ab"), cached=True),
        "billing": SentIdentity("forward", (), cached=True),
        "activity": SentIdentity(cached=True),
    },
    callers=[
        FakeCaller((("x-a", "bz"),), 1),
        FakeCaller((("x-ab", "z"),), 1),  # the same text, if names and values are joined
        FakeCaller((("x-a", "bz"), ("cookie", "a")), 1, (), 1),
        FakeCaller((("x-a", "b"), ("x-a", "z")), 2, ("billing:read",)),
        FakeCaller((("x-a", "b"), ("x-ab", "z")), 2, ("profile:read",)),
        FakeCaller((("x-a", "b"), ("x-ab", "y")), 2, ("profile:read",)),  # the second differs
        FakeCaller((("x-a", "b"), ("connection", "X-A")), 2),
    ],
    compiled=True,
)
async def test_callers_with_different_identities_share_nothing_of_a_source(
    open_gateway: OpenGateway,
    services: FakeServices,
    clock: ManualClock,
    sources: Mapping[str, SentIdentity],
    callers: Sequence[FakeCaller],
    *,
    compiled: bool,
) -> None:
    for name, service in services.by_name.items():
        service.behaviour = echoing(name)
        service.requests.clear()
    own = {number: user_id(100 + number) for number in range(len(callers))}
    sent_headers = [one.all_headers(FakeIssuer(clock)) for one in callers]
    auth = {
        "mode": "jwt",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "secret": SECRET,
        "anonymous": True,
    }
    chosen = settings_for_fakes(
        sources={name: one.settings(name) for name, one in sources.items()},
        auth=JwtCallers.model_validate(auth),
        fastpath=FastpathSettings(compiled=compiled),
    )
    release = asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        await release.wait()

    async with open_gateway(chosen) as gateway:
        services.before = hold
        queries = [
            asyncio.create_task(users_of(gateway, sent, SHARED, own[number]))
            for number, sent in enumerate(sent_headers)
        ]
        await clock.settle()  # all calls have begun, or wait for others
        release.set()
        results = [*enumerate(await asyncio.gather(*queries))]
        calls = {name: [*service.requests] for name, service in services.by_name.items()}
        # From the cache, each caller gets its own entries.
        for number, sent in enumerate(sent_headers):
            results.append((number, await users_of(gateway, sent, SHARED, *own.values())))

    for number, users in results:
        for user in users:
            check(user, callers[number], sent_headers[number], sources)
    for name, requests in calls.items():
        for request in requests:
            assert NEVER_FORWARDED.isdisjoint(request.headers)
            keys = {*request.url.params.get_list("id"), *request.url.params.get_list("userId")}
            for number, key in own.items():
                assert key not in keys or headers_in(request) == sources[name].expected_headers(
                    sent_headers[number]
                )


async def users_of(gateway: GatewayClient, sent: Pairs, *ids: str) -> Sequence[Mapping[str, Any]]:
    """Query users and their invoices as a caller."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in sent]

    async def ask(query: str) -> Sequence[Mapping[str, Any]]:
        body = {"query": query, "variables": {"ids": ids}}
        response = await gateway.client.post("/graphql", json=body, headers=headers)
        users: Sequence[Mapping[str, Any]] = response.json()["data"]["users"]
        return users

    users, pages = await asyncio.gather(ask(USERS), ask(PAGES))
    assert [one["id"] for one in users] == list(ids)
    return [{**user, **page} for user, page in zip(users, pages, strict=True)]


def check(
    user: Mapping[str, Any],
    caller: FakeCaller,
    sent_headers: Pairs,
    sources: Mapping[str, SentIdentity],
) -> None:
    """Check that a user was fetched for this caller, and has the fields that it may see."""
    profile, billing, activity = (
        sources[name].expected_headers(sent_headers) for name in ("profile", "billing", "activity")
    )
    assert user["username"] == profile
    assert user["email"] == (profile if caller.may_see(user["id"], "profile:read") else None)
    if not caller.may_see(user["id"], "billing:read"):
        assert user["plan"] is user["invoices"] is None
    else:
        assert user["plan"] == billing
        assert user["invoices"]["edges"] == [{"node": {"number": billing}}]
    if not caller.may_see(user["id"], "activity:read"):
        assert user["events"] is None
    else:
        assert [one["type"] for one in user["events"]] == [activity]
