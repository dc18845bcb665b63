"""The caller's request id comes back."""

import httpx
import pytest


@pytest.mark.parametrize("path", ["/healthz", "/users", "/nowhere"])
async def test_a_request_id_is_given_back_whatever_the_answer_is(
    profile: httpx.AsyncClient, path: str
) -> None:
    answered = await profile.get(path, headers={"X-Request-ID": "from-the-test"})
    assert answered.headers["x-request-id"] == "from-the-test"


async def test_no_request_id_is_made_up(profile: httpx.AsyncClient) -> None:
    assert "x-request-id" not in (await profile.get("/healthz")).headers
