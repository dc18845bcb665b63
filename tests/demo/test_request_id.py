"""The request id of the caller is in the response."""

import httpx
import pytest


@pytest.mark.parametrize("path", ["/healthz", "/users", "/nowhere"])
async def test_a_request_id_is_returned_in_every_response(
    profile: httpx.AsyncClient, path: str
) -> None:
    response = await profile.get(path, headers={"X-Request-ID": "from-the-test"})
    assert response.headers["x-request-id"] == "from-the-test"


async def test_a_response_has_no_request_id_if_the_request_has_none(
    profile: httpx.AsyncClient,
) -> None:
    assert "x-request-id" not in (await profile.get("/healthz")).headers
