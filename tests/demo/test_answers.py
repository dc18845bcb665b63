"""Entity tags and problem details in the responses of the demo's services."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.people import user_id
from app.demo.responses import problem, server_problem

USERS = f"/users?id={user_id(1)}&id={user_id(2)}"


async def test_a_response_has_a_strong_entity_tag(profile: httpx.AsyncClient) -> None:
    tag = (await profile.get(USERS)).headers["etag"]
    assert tag[0] == tag[-1] == '"'
    assert len(tag) == 34


async def test_the_same_rows_have_the_same_entity_tag(
    profile: httpx.AsyncClient,
) -> None:
    tags = [
        (await profile.get(url)).headers["etag"]
        for url in (USERS, USERS, f"/users?id={user_id(2)}&id={user_id(1)}", f"/users/{user_id(1)}")
    ]
    assert tags[0] == tags[1] == tags[2] != tags[3]


@pytest.mark.parametrize("if_none_match", ["{tag}", '"other", {tag}', "W/{tag}", "*"])
async def test_a_matching_entity_tag_gets_304(
    profile: httpx.AsyncClient, if_none_match: str
) -> None:
    tag = (await profile.get(USERS)).headers["etag"]
    again = await profile.get(USERS, headers={"if-none-match": if_none_match.format(tag=tag)})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert "content-type" not in again.headers


@pytest.mark.parametrize("if_none_match", ['"other"', "", 'W/"other"', "nonsense"])
async def test_another_entity_tag_gets_the_rows(
    profile: httpx.AsyncClient, if_none_match: str
) -> None:
    again = await profile.get(USERS, headers={"if-none-match": if_none_match})
    assert again.status_code == 200
    assert len(again.json()) == 2


async def test_an_unknown_path_gets_a_problem_in_json(profile: httpx.AsyncClient) -> None:
    response = await profile.get("/nowhere")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {"title": "Not Found", "status": 404, "detail": "Not Found"}


async def test_a_wrong_method_gets_the_allowed_ones(profile: httpx.AsyncClient) -> None:
    response = await profile.post("/users")
    assert response.status_code == 405
    assert response.json()["title"] == "Method Not Allowed"
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_a_bug_of_a_service_gets_a_problem_without_details() -> None:
    async def broken(_request: Request) -> Response:
        raise RuntimeError("secret")

    app = Starlette(routes=[Route("/", broken)], exception_handlers={Exception: server_problem})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        response = await client.get("/")
    assert response.status_code == 500
    assert response.json()["title"] == "Internal Server Error"
    assert "secret" not in response.text


def test_a_status_without_a_name_has_a_title() -> None:
    assert b'"title":"Error","status":599' in bytes(problem(599, "odd").body)
