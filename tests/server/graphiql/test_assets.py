"""The files of the bundle over HTTP."""

import shutil
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.graphiql.conftest import SCRIPT


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page-AB12.js", "text/javascript; charset=utf-8"),
        ("page-CD34.css", "text/css; charset=utf-8"),
        ("roboto-EF56.woff2", "font/woff2"),
    ],
)
async def test_a_file_is_served_with_its_type_and_cached_for_a_year(
    client: httpx.AsyncClient, dist: Path, name: str, media_type: str
) -> None:
    response = await client.get(f"/graphiql/assets/{name}", headers={"Accept-Encoding": "identity"})
    assert response.status_code == 200
    assert response.content == (dist / "assets" / name).read_bytes()
    assert response.headers["content-type"] == media_type
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'"


async def test_the_gzipped_file_is_sent_if_the_client_accepts_gzip(
    client: httpx.AsyncClient,
) -> None:
    plain = await _script(client, "br, gzip;q=0, *")
    packed = await _script(client, "br, GZIP;q=0.8")
    assert plain.content == packed.content == SCRIPT
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert int(packed.headers["content-length"]) < len(SCRIPT)
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]


async def test_accept_encoding_and_if_none_match_may_have_several_lines(
    client: httpx.AsyncClient,
) -> None:
    accepts = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    packed = await client.get("/graphiql/assets/page-AB12.js", headers=accepts)
    known = [("If-None-Match", '"other"'), ("If-None-Match", packed.headers["etag"])]
    again = await client.get("/graphiql/assets/page-AB12.js", headers=[*accepts, *known])
    assert packed.headers["content-encoding"] == "gzip"
    assert again.status_code == 304


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_client_with_a_current_etag_gets_304(
    client: httpx.AsyncClient, encoding: str
) -> None:
    etag = (await _script(client, encoding)).headers["etag"]
    again = await _script(client, encoding, f'"other", W/{etag}')
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == etag
    changed = await _script(client, encoding, '"other"')
    assert changed.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "../private.js",
        "..%2fprivate.js",
        "%2e%2e/private.js",
        "%2e%2e%2fprivate.js",
        "..%5cprivate.js",
        "x/../../private.js",
        "%2fetc%2fpasswd",
        "page-AB12.js%00",
        "%00.js",
        "page-AB12.js.gz",
        "notes.txt",
        "unknown-0000.js",
        f"{'x' * 5000}.js",
        ".js",
        "..",
        "",
    ],
)
async def test_names_outside_the_bundle_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/graphiql/assets/{path}")
    assert response.status_code == 404
    assert b"asset" not in response.content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1).map(lambda text: f"{text}private.js"))
async def test_no_name_leaves_the_folder(client: httpx.AsyncClient, name: str) -> None:
    address = httpx.URL("http://gateway/").copy_with(
        raw_path=b"/graphiql/assets/" + "".join(f"%{byte:02x}" for byte in name.encode()).encode()
    )
    assert (await client.get(address)).status_code == 404


async def test_every_name_is_not_found_without_a_bundle(
    client: httpx.AsyncClient, dist: Path
) -> None:
    shutil.rmtree(dist)
    assert (await _script(client, "gzip")).status_code == 404


async def _script(client: httpx.AsyncClient, encoding: str, known: str = "") -> httpx.Response:
    """Fetches the script with values of Accept-Encoding and If-None-Match."""
    headers = {"Accept-Encoding": encoding, "If-None-Match": known}
    return await client.get("/graphiql/assets/page-AB12.js", headers=headers)
