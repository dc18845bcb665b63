"""A small bundle, and a client of an application that serves it."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from app.server.graphiql import GraphiQL

SCRIPT = b"export const page = 'page';\n" * 100


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A bundle as bundle.mjs writes it, with a private file next to the assets."""
    dist = tmp_path / "dist"
    assets = dist / "assets"
    assets.mkdir(parents=True)
    (dist / "manifest.json").write_text('{"script": "page-AB12.js", "style": "page-CD34.css"}')
    (dist / "private.js").write_text("not an asset")
    (assets / "page-AB12.js").write_bytes(SCRIPT)
    (assets / "page-AB12.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "page-CD34.css").write_text("body {}")
    (assets / "roboto-EF56.woff2").write_bytes(b"wOF2")
    (assets / "notes.txt").write_text("not of the bundle")
    return dist


@pytest.fixture
async def client(dist: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that serves the bundle."""
    graphiql = GraphiQL(dist)
    app = Starlette(routes=[Route("/graphql", graphiql.page), *graphiql.routes])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
