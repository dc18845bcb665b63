"""The supergraph that Hive Gateway serves."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.errors import UnavailableError
from benchmarks.peer import Kit, PeerAddress
from benchmarks.places import PEERS, WORK

_LONGEST: Final = 120.0


def supergraph(node: str, address: PeerAddress) -> Path:
    """Compose the three sources into one supergraph.

    Args:
        node: Path of Node.js.
        address: Where the gateway listens, and whom it asks.

    Returns:
        The file that it is in: one for each gateway, since a gateway reads it anew when it changes.

    Raises:
        UnavailableError: It cannot be composed.
    """
    folder = WORK / "hive"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"supergraph-{address.port}.graphql"
    try:
        subprocess.run(
            [node, "node_modules/.bin/mesh-compose", "-c", "compose.ts", "-o", str(file)],
            cwd=PEERS / Kit.HIVE,
            env={**os.environ, "UPSTREAM": address.upstream},
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"mesh-compose: {error}") from error
    file.write_text(with_ids(file.read_text("utf-8")), encoding="utf-8")
    return file


def with_ids(schema: str) -> str:
    """Give the ids of a supergraph the types that the other peers have.

    The sources are described to the composer by JSON Schema, which knows strings only, and so
    would have clients declare ``$ids: [String]``.
    """
    schema = schema.replace("(ids: [String]) :", "(ids: [ID!]!) :")
    schema = schema.replace("user(id: String!) :", "user(id: ID!) :")
    return re.sub(
        r'^  id: String! @source.*name: "userId".*$',
        lambda line: line[0].replace("String!", "ID!"),
        schema,
        flags=re.MULTILINE,
    )
