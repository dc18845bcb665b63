"""How long hostile requests hold the event loop: ``python -m benchmarks.hostile``.

First documents: milliseconds of CPU from the text of a document to its being ready, or to its
refusal, with the default limits; by that the default limit on tokens was chosen. Then answers: the
largest that the default limits let through, compiled and interpreted, from sources that answer at
once or fail; of these, the longest time for which nothing else had a turn.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import httpx

from app.execution.documents import Documents
from app.execution.schema import build_schema
from app.main import create_app
from app.observability.logs import make_log
from app.server.collector import tune_collector
from app.settings.fastpath import FastpathSettings
from app.settings.models import DEFAULT_SOURCES, Settings
from app.settings.source import SourceSettings
from benchmarks.console import say
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.hostile import SIZES, documents

ROUNDS = 3
WORST = 20

USERS = [user_id(number) for number in range(1, 101)]
ALL = (
    "id username displayName email avatarUrl locale createdAt plan billingStatus renewsAt"
    " balance { amount currency } lastSeenAt loginCount"
)
LISTS = f"""query($ids: [ID!]!) {{
    {" ".join(f"l{number}: users(ids: $ids) {{ ...F }}" for number in range(20))}
}} fragment F on User {{ {ALL} }}"""
ALIASES = f"""query($ids: [ID!]!) {{
    users(ids: $ids) {{ {" ".join(f"a{number}: plan" for number in range(50))} }}
}}"""
ENTITIES = f"""query($some: [_Any!]!) {{
    _entities(representations: $some) {{
        ... on User {{ {" ".join(f"a{number}: plan" for number in range(50))} }}
    }}
}}"""
IDS = {"ids": USERS}
SOME = {"some": [{"__typename": "User", "id": user} for user in USERS]}
REQUESTS: dict[str, dict[str, Any]] = {
    "20 lists of 100 users": {"query": LISTS, "variables": IDS},
    "20 lists, PROPAGATE": {"query": LISTS, "variables": IDS, "onError": "PROPAGATE"},
    "100 users, 50 aliases": {"query": ALIASES, "variables": IDS},
    "100 entities, 50 aliases": {"query": ENTITIES, "variables": SOME},
}
"""The largest requests of their kinds."""


@dataclass(frozen=True, slots=True)
class Held:
    """How long one request held the event loop.

    Attributes:
        kind: What it consists of.
        size: Length of the document, or of the answer, in characters.
        ms: Milliseconds, the least of some rounds.
        outcome: What was found wrong with it.
    """

    kind: str
    size: int
    ms: float
    outcome: str


def measure() -> Iterator[Held]:
    """Prepare every document.

    Yields:
        How long each took.
    """
    nowhere = SourceSettings(base_url="http://127.0.0.1:9")
    sources = dict.fromkeys(DEFAULT_SOURCES, nowhere)
    core = build_schema().core
    prepared = Documents.from_settings(core, Settings(sources=sources, introspection=True), size=0)
    for size in SIZES:
        for kind, text in documents(size).items():
            times: list[float] = []
            document = prepared.get(text)
            for _ in range(ROUNDS):
                start = time.process_time()
                document = prepared.get(text)
                times.append((time.process_time() - start) * 1000)
            outcome = f"{document.code}: {document.errors[0].message}" if document.errors else ""
            yield Held(kind, len(text), min(times), outcome[:90])


async def measure_answers() -> AsyncIterator[Held]:
    """Answer the largest requests.

    Yields:
        For how long at most each gave nobody else a turn.
    """
    for compiled, fails in product((True, False), repeat=2):
        services = FakeServices()
        services.know(*range(1, 101))
        for service in services.by_name.values() if fails else ():
            service.behaviour = failing(503)
        settings = settings_for_fakes(fastpath=FastpathSettings(compiled=compiled))
        log = make_log(settings.log, stream=io.StringIO())
        app = create_app(settings, log, transports=services.transport)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            for kind, body in REQUESTS.items():
                post = partial(client.post, "/graphql", json=body)
                answer = await post()
                times = [await _longest_hold(post) for _ in range(ROUNDS)]
                way = f"{'compiled' if compiled else 'interpreted'}, {'failing' if fails else 'ok'}"
                errors = len(answer.json().get("errors", ()))
                yield Held(kind, len(answer.content), min(times), f"{way}: {errors} errors")


async def _longest_hold(post: "partial[Any]") -> float:
    """Make a request; give the most milliseconds for which a task beside it had no turn."""
    longest, last = 0.0, time.perf_counter()
    working = asyncio.create_task(post())
    while not working.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await working
    return longest * 1000


def show(held: list[Held], what: str) -> None:
    """Print the requests that held the event loop longest."""
    say(f"{len(held)} {what}; those that hold the event loop longest:")
    for one in sorted(held, key=lambda one: -one.ms)[:WORST]:
        say(f"{one.ms:8.1f} ms {one.size:9,} characters  {one.kind:30} {one.outcome}")


async def _answers() -> list[Held]:
    return [one async for one in measure_answers()]


def main() -> None:
    """Print how long what is hostile holds the event loop."""
    show(list(measure()), "documents")
    tune_collector()
    show(asyncio.run(_answers()), "answers")


if __name__ == "__main__":
    main()
