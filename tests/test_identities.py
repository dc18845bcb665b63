"""No two callers who differ in anything that a source is sent share a call, a key or an entry.

The fakes answer with what they were sent, so that an answer shows for whom it was made.
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

SENT_ON = frozenset({"authorization", *HEADERS})
NEVER_SENT_ON = frozenset({"cookie", "x-other"})

SHARED = user_id(1)
"""The user whom all callers ask for."""

USERS = "query ($ids: [ID!]!) { users(ids: $ids) { id username email plan events { type } } }"
"""What can be compiled."""
PAGES = """query ($ids: [ID!]!) { users(ids: $ids) {
  invoices(first: 1) { edges { node { number } } }
} }"""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Asker:
    """A caller.

    Attributes:
        headers: What it sends beside its token.
        subject: Which user it is; ``None`` for one without a token.
        scopes: What its token lets it do.
        number: Which of several tokens that say the same it has.
    """

    headers: Pairs = ()
    subject: int | None = None
    scopes: tuple[str, ...] = ()
    number: int = 0

    def sends(self, issuer: FakeIssuer) -> Pairs:
        """Write all of its headers."""
        if self.subject is None:
            return self.headers
        claims = {"sub": user_id(self.subject), "scope": " ".join(self.scopes)}
        token = signed(issuer.claims(**claims, jti=str(self.number)), KEY, "HS256")
        return (*self.headers, ("authorization", f"Bearer {token}"))

    def sees(self, user: str, scope: str) -> bool:
        """Tell whether it may see what is for the user itself and for who has a scope."""
        if self.subject is None:
            return False
        return user == user_id(self.subject) or scope in self.scopes


NAMES = st.sampled_from([*HEADERS, "X-TENANT", "cookie", "x-other", "connection", "x-request-id"])
VALUES = st.sampled_from(["a", "b", "ab", "a, b", "x-a", "X-Tenant, close", "de", "\xe4", "A"])

HEADER = st.tuples(NAMES, VALUES)

ASKERS = st.builds(
    Asker,
    st.lists(HEADER, max_size=3).map(tuple),
    st.none() | st.integers(1, 3),
    st.sampled_from([(), ("profile:read",), ("billing:read", "activity:read")]),
    st.integers(0, 1),
)


@st.composite
def companies(draw: st.DrawFn) -> Sequence[Asker]:
    """Make callers, some of whom differ in one thing alone."""
    several = draw(st.lists(ASKERS, min_size=1, max_size=3))
    for one in tuple(several):
        other = draw(ASKERS)
        several.append(
            draw(
                st.sampled_from(
                    [
                        Asker(one.headers, one.subject, one.scopes, 1 - one.number),
                        Asker(one.headers, one.subject, other.scopes, one.number),
                        Asker(one.headers, other.subject, one.scopes, one.number),
                        Asker(other.headers, one.subject, one.scopes, one.number),
                        Asker(one.headers[::-1], one.subject, one.scopes, one.number),
                        Asker(one.headers[1:], one.subject, one.scopes, one.number),
                        Asker((*one.headers, draw(HEADER)), one.subject, one.scopes, one.number),
                        Asker(one.headers[:-1] + other.headers[-1:], one.subject, one.scopes),
                        one,
                    ]
                )
            )
        )
    return several


@dataclass(frozen=True)
class SentIdentity:
    """What a source is sent of the caller's.

    Attributes:
        kind: How it knows who asks.
        forwards: The headers that it is sent.
        cached: Whether its answers are kept.
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

    def is_sent(self, sends: Pairs) -> str:
        """Write what it should be sent of a caller, who sends these headers."""
        lower = [(name.lower(), value) for name, value in sends]
        alone = {
            one.strip().lower()
            for name, value in lower
            if name == "connection"
            for one in value.split(",")
        }
        names = {*self.forwards, *(["authorization"] if self.kind == "forward" else [])} - alone
        own = [("authorization", "Bearer own")] if self.kind == "bearer" else []
        return written([*own, *((name, one) for name, one in lower if name in names)])


def written(pairs: Sequence[tuple[str, str]]) -> str:
    """Write headers so that two callers' are equal just where they mean the same."""
    values = [(name, value) for name, value in pairs if value.isascii()]
    return json.dumps(sorted(values, key=lambda one: one[0]))


def seen_in(request: httpx.Request) -> str:
    """Write what a request has of the caller's."""
    return written([one for one in request.headers.multi_items() if one[0] in SENT_ON])


def echoing(name: str) -> Behaviour:
    """Make a service put what it was sent into its rows."""

    def answer(request: httpx.Request) -> httpx.Response:
        said, query = seen_in(request), request.url.params
        if request.url.path == "/invoices":
            return json_response({"items": [{**invoice(1), "number": said}]})
        keys = query.get_list("id" if name == "profile" else "userId")
        happened = {"id": "1", "type": said, "occurredAt": "2026-01-01T00:00:00Z"}
        return json_response(
            [
                {
                    "profile": profile_row(1, id=key, username=said, email=said),
                    "billing": account_row(1, userId=key, plan=said),
                    "activity": activity_row(1, userId=key, events=[happened]),
                }[name]
                for key in keys
            ]
        )

    return answer


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
    askers=companies(),
    compiled=st.booleans(),
)
@example(
    sources={
        "profile": SentIdentity("none", ("x-a", "x-ab"), cached=True),
        "billing": SentIdentity("forward", (), cached=True),
        "activity": SentIdentity(cached=True),
    },
    askers=[
        Asker((("x-a", "bz"),), 1),
        Asker((("x-ab", "z"),), 1),  # the same, where names and values run together
        Asker((("x-a", "bz"), ("cookie", "a")), 1, (), 1),
        Asker((("x-a", "b"), ("x-a", "z")), 2, ("billing:read",)),
        Asker((("x-a", "b"), ("x-ab", "z")), 2, ("profile:read",)),
        Asker((("x-a", "b"), ("x-ab", "y")), 2, ("profile:read",)),  # differs in the second alone
        Asker((("x-a", "b"), ("connection", "X-A")), 2),
    ],
    compiled=True,
)
async def test_callers_share_nothing_of_a_source_that_tells_them_apart(
    open_gateway: OpenGateway,
    services: FakeServices,
    clock: ManualClock,
    sources: Mapping[str, SentIdentity],
    askers: Sequence[Asker],
    *,
    compiled: bool,
) -> None:
    for name, service in services.by_name.items():
        service.behaviour = echoing(name)
        service.requests.clear()
    own = {number: user_id(100 + number) for number in range(len(askers))}
    sends = [one.sends(FakeIssuer(clock)) for one in askers]
    callers = {
        "mode": "jwt",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "secret": SECRET,
        "anonymous": True,
    }
    chosen = settings_for_fakes(
        sources={name: one.settings(name) for name, one in sources.items()},
        auth=JwtCallers.model_validate(callers),
        fastpath=FastpathSettings(compiled=compiled),
    )
    release = asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        await release.wait()

    async with open_gateway(chosen) as gateway:
        services.before = hold
        asking = [
            asyncio.create_task(users_of(gateway, sent, SHARED, own[number]))
            for number, sent in enumerate(sends)
        ]
        await clock.settle()  # the calls of all are under way, or wait for these
        release.set()
        answers = [*enumerate(await asyncio.gather(*asking))]
        calls = {name: [*service.requests] for name, service in services.by_name.items()}
        for number, sent in enumerate(sends):  # and of what was kept, each finds its own
            answers.append((number, await users_of(gateway, sent, SHARED, *own.values())))

    for number, users in answers:
        for user in users:
            check(user, askers[number], sends[number], sources)
    for name, requests in calls.items():
        for request in requests:
            assert NEVER_SENT_ON.isdisjoint(request.headers)
            keys = {*request.url.params.get_list("id"), *request.url.params.get_list("userId")}
            for number, key in own.items():
                assert key not in keys or seen_in(request) == sources[name].is_sent(sends[number])


async def users_of(gateway: GatewayClient, sent: Pairs, *ids: str) -> Sequence[Mapping[str, Any]]:
    """Ask for users and their invoices as a caller."""
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
    user: Mapping[str, Any], asker: Asker, sends: Pairs, sources: Mapping[str, SentIdentity]
) -> None:
    """See that an answer was made for who got it, and has what that one may see."""
    profile, billing, activity = (
        sources[name].is_sent(sends) for name in ("profile", "billing", "activity")
    )
    assert user["username"] == profile
    assert user["email"] == (profile if asker.sees(user["id"], "profile:read") else None)
    if not asker.sees(user["id"], "billing:read"):
        assert user["plan"] is user["invoices"] is None
    else:
        assert user["plan"] == billing
        assert user["invoices"]["edges"] == [{"node": {"number": billing}}]
    if not asker.sees(user["id"], "activity:read"):
        assert user["events"] is None
    else:
        assert [one["type"] for one in user["events"]] == [activity]
