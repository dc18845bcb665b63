"""How long hostile documents hold the event loop: ``python -m benchmarks.hostile``.

Milliseconds of CPU from the text of a document to the answer, or to its refusal, with the default
limits; and for documents that are let through, what each token costs: by that the default limit on
tokens was chosen.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from app.graphql.documents import Documents
from app.graphql.schema import build_schema
from app.settings import Settings, SourceSettings, SourcesSettings
from benchmarks.console import say
from tests.hostile import SIZES, documents

ROUNDS = 3
WORST = 20


@dataclass(frozen=True, slots=True)
class Held:
    """How long one document held the event loop.

    Attributes:
        kind: What it consists of.
        size: Its length in characters.
        ms: Milliseconds of CPU, the least of some rounds.
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
    sources = SourcesSettings(profile=nowhere, billing=nowhere, activity=nowhere)
    core = build_schema().core
    prepared = Documents.of(core, Settings(sources=sources, introspection=True), size=0)
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


def main() -> None:
    """Print the documents that took longest."""
    held = sorted(measure(), key=lambda one: -one.ms)
    say(f"{len(held)} documents; the {WORST} that hold the event loop longest:")
    for one in held[:WORST]:
        say(f"{one.ms:8.1f} ms {one.size:9,} characters  {one.kind:30} {one.outcome}")


if __name__ == "__main__":
    main()
