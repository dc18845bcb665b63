"""The page with and without its bundle."""

import json
import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Route

from app.server.graphiql import GraphiQL


async def test_the_page_links_its_script_and_style(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/graphql")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>User gateway · GraphiQL</title>" in response.text
    for address in _addresses(response.text):
        asset = await client.get(urljoin("/graphql", address))
        assert asset.status_code == 200, address


async def test_links_of_the_page_work_under_a_path_prefix_of_a_proxy(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/graphql")
    assert [
        urljoin("https://example.org/users/v1/graphql", address)
        for address in _addresses(response.text)
    ] == [
        "https://example.org/users/v1/graphiql/assets/page-CD34.css",
        "https://example.org/users/v1/graphiql/assets/page-AB12.js",
    ]


async def test_the_policy_of_the_page_allows_its_own_host_and_no_inline_scripts(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/graphql")
    policy = {
        name: values
        for name, *values in map(str.split, response.headers["content-security-policy"].split(";"))
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == ["'self'"]
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == ["'none'"]
    allowed = {value for values in policy.values() for value in values}
    assert allowed == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert re.findall(r"<script(?![^>]* src=)", response.text) == []


@pytest.mark.parametrize("built", [True, False])
async def test_the_page_is_revalidated_and_isolated_from_other_origins(
    client: httpx.AsyncClient, dist: Path, *, built: bool
) -> None:
    if not built:
        shutil.rmtree(dist)
    headers = (await client.get("/graphql")).headers
    assert headers["cache-control"] == "no-cache"
    assert headers["vary"] == "Accept"
    assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_the_page_without_a_bundle_shows_how_to_build_it(
    client: httpx.AsyncClient, dist: Path
) -> None:
    shutil.rmtree(dist)
    response = await client.get("/graphql")
    assert response.status_code == 200
    assert "GraphiQL was not built here" in response.text
    assert "make graphiql" in response.text
    assert "python -m app.server.graphiql.build" in response.text
    assert _addresses(response.text) == []
    assert "$" not in response.text


async def test_a_bundle_that_is_built_later_is_found_without_a_restart(
    client: httpx.AsyncClient, dist: Path
) -> None:
    elsewhere = shutil.move(dist, dist.with_name("elsewhere"))
    assert "was not built" in (await client.get("/graphql")).text
    shutil.move(elsewhere, dist)
    assert "page-AB12.js" in (await client.get("/graphql")).text


async def test_a_manifest_cannot_write_markup_into_the_page(
    client: httpx.AsyncClient, dist: Path
) -> None:
    (dist / "manifest.json").write_text('{"script": "\\"><script>x.js", "style": "page.css"}')
    with pytest.raises(ValidationError):
        await client.get("/graphql")


def _addresses(html: str) -> list[str]:
    """All addresses of the page except data addresses."""
    return re.findall(r'(?:src|href)="(?!data:)([^"]+)"', html)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("explain", [True, False])
async def test_the_page_lists_the_reports_that_are_allowed(
    dist: Path, *, trace: bool, explain: bool
) -> None:
    graphiql = GraphiQL(dist, trace=trace, explain=explain)
    app = Starlette(routes=[Route("/graphql", graphiql.page), *graphiql.routes])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        html = (await client.get("/graphql")).text
    [allowed] = re.findall(r'data-allowed="([^"]+)"', html)
    assert json.loads(unescape(allowed)) == {"trace": trace, "explain": explain}
