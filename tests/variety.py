"""Requests of a hostile client, no two alike: whatever is remembered of them, it is for nothing."""

import hashlib
from collections.abc import Callable, Mapping
from random import Random

import orjson
from pydantic import SecretStr

from app.settings.auth import JwtCallers
from app.settings.limits import LimitsSettings, MemorySettings, RateSettings
from app.settings.models import Settings
from app.settings.server import BatchSettings, PersistedSettings
from tests.asgi import Sent
from tests.fakes import settings_for_fakes, user_id

USERS = 50
SWITCHES = 6
FIELDS = (
    "username",
    "plan",
    "balance { amount currency }",
    "events(first: 2) { id type }",
    "events { id type occurredAt }",
    "billingStatus",
    "lastSeenAt",
)
INVOICES = "invoices(first: 3) { edges { node { id total { amount } } } }"


def hostile_settings(memory: MemorySettings) -> Settings:
    """Make settings in which all is on that remembers something of clients."""
    return settings_for_fakes(
        batch=BatchSettings(enabled=True),
        persisted=PersistedSettings(enabled=True, max_documents=1_000_000),
        document_cache=100_000,
        introspection=True,
        auth=JwtCallers(
            mode="jwt", issuer="us", audience="us", secret=SecretStr("x" * 64), anonymous=True
        ),
        limits=LimitsSettings(
            memory=memory, rate=RateSettings(trusted_proxies=1, quota=1_000_000_000)
        ),
    )


def selection(number: int, count: int) -> str:
    """Select fields by names that no other request has."""
    fields = (FIELDS[(place + number) % len(FIELDS)] for place in range(count))
    return " ".join(f"a{number}_{place}: {field}" for place, field in enumerate(fields))


def of_one(selected: str, **members: object) -> dict[str, object]:
    """Ask for one user."""
    query = f"query($id: ID!) {{ user(id: $id) {{ {selected} }} }}"
    return {"query": query, "variables": {"id": user_id(1)}, **members}


def switched(number: int, random: Random) -> dict[str, object]:
    """Ask with another combination of the switches of one of a few large documents."""
    document = number % 40
    variables = "".join(f", $s{place}: Boolean!" for place in range(SWITCHES))
    parts = " ".join(
        f"... @include(if: $s{place}) {{ {selection(SWITCHES * document + place, 7)} }}"
        for place in range(SWITCHES)
    )
    switches = {f"s{place}": random.random() < 0.5 for place in range(SWITCHES)}
    return {
        "query": f"query($id: ID!{variables}) {{ user(id: $id) {{ {parts} }} }}",
        "variables": {"id": user_id(1), **switches},
    }


def persisted(number: int, *, known: bool) -> dict[str, object]:
    """Name a document by its hash, and send it with that or not."""
    query = f"{{ user(id: 1) {{ {selection(number, 40)} }} }}"
    name = hashlib.sha256(query.encode()).hexdigest()
    sent = {"query": query} if known else {}
    return {**sent, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": name}}}


def entities(number: int) -> dict[str, object]:
    """Ask as a router does."""
    users = [{"__typename": "User", "id": user_id(1 + place)} for place in range(number % 20)]
    return {
        "query": "query($of: [_Any!]!) { _entities(representations: $of) { ... on User"
        f" {{ a{number % 5_000}: plan }} }} }}",
        "variables": {"of": users},
    }


BODIES: tuple[Callable[[int, Random], object], ...] = (
    lambda number, random: of_one(selection(number, random.randint(1, 45))),
    switched,
    switched,
    switched,
    lambda _, random: of_one("id username", onError=random.choice(["HALT", "PROPAGATE"])),
    lambda number, _: of_one(f"i{number}: {INVOICES}"),
    lambda number, _: of_one("id", variables={"id": f"nobody {number}" * 1_000}),
    lambda number, _: of_one("id", variables={"id": {"a": [number] * 1_000}}),
    lambda number, _: of_one(" ".join(f"n{number}_{place}" for place in range(200))),
    lambda number, _: of_one(" ".join(f"a{number}_{place}: id" for place in range(60))),
    lambda number, _: {"query": f"{{ user(id: {number}) {{ " + "x " * 500},
    lambda number, _: {"query": f"subscription {{ x{number} }}"},
    lambda number, _: {"query": f"{{ user(id: 1) {{ id }} }} #{number}{'ü' * 20_000}"},
    lambda number, _: {"query": f'{{ user(id: "{number}{"y" * 20_000}") {{ id }} }}'},
    lambda number, _: {"query": f"{{ __schema {{ types {{ a{number}: name }} }} }}"},
    lambda number, _: persisted(number, known=True),
    lambda number, _: persisted(number, known=False),
    lambda number, _: entities(number),
    lambda number, _: [of_one("id"), of_one(f"b{number}: plan"), {"query": "{"}],
    lambda number, _: f'{{"query": "{number}'.encode(),
    lambda number, _: {f"k{number}_{place}": place for place in range(200)},
)
"""What requests have in their bodies, by a number that no two of them share."""

HEADERS: tuple[Callable[[int], Mapping[str, str]], ...] = (
    lambda _: {},
    lambda number: {
        "x-forwarded-for": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    },
    lambda number: {"x-forwarded-for": f"2001:db8:{number & 65535:x}::1{' ' * 8_000}"},
    lambda number: {"x-forwarded-for": f"{number}{'z' * 20_000}"},
    lambda number: {"authorization": f"Bearer {number}.{'t' * 20_000}"},
    lambda number: {"accept": f"application/json, a/b{number}"},
    lambda number: {"accept": f"application/json, a/b{number}{'c' * 20_000}"},
    lambda number: {"content-type": f"application/json; a{number}={'d' * 20_000}"},
    lambda number: {"x-request-id": f"{number}{'e' * 100}"},
    lambda number: {"x-request-id": f"{number}{'f' * 20_000}"},
    lambda number: {"traceparent": f"00-{number:032x}-{number + 1:016x}-01"},
    lambda number: {"host": f"h{number}.example.com"},
    lambda number: {"host": f"h{number}{'g' * 20_000}"},
)
"""What they have in their heads."""


def hostile(number: int) -> Sent:
    """Make a request.

    Args:
        number: Its number; the same gives the same request.

    Returns:
        The request.
    """
    random = Random(number)  # noqa: S311 # no secret, and the same each time
    body = random.choice(BODIES)(number, random)
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    # Half of them have plain heads, or few bodies would be read.
    return Sent(data, random.choice(HEADERS)(number) if random.random() < 0.5 else {})
