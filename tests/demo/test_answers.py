"""Entity tags and problems, as every service of the demo answers them."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.people import user_id
from app.demo.responses import problem, server_problem

USERS = f"/users?id={user_id(1)}&id={user_id(2)}"


async def test_an_answer_has_a_strong_entity_tag(profile: httpx.AsyncClient) -> None:
    tag = (await profile.get(USERS)).headers["etag"]
    assert tag[0] == tag[-1] == '"'
    assert len(tag) == 34


async def test_the_same_rows_have_the_same_tag_and_others_another(
    profile: httpx.AsyncClient,
) -> None:
    tags = [
        (await profile.get(url)).headers["etag"]
        for url in (USERS, USERS, f"/users?id={user_id(2)}&id={user_id(1)}", f"/users/{user_id(1)}")
    ]
    assert tags[0] == tags[1] == tags[2] != tags[3]


@pytest.mark.parametrize("held", ["{tag}", '"other", {tag}', "W/{tag}", "*"])
async def test_a_caller_that_has_the_rows_already_gets_304(
    profile: httpx.AsyncClient, held: str
) -> None:
    tag = (await profile.get(USERS)).headers["etag"]
    again = await profile.get(USERS, headers={"if-none-match": held.format(tag=tag)})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert "content-type" not in again.headers


@pytest.mark.parametrize("held", ['"other"', "", 'W/"other"', "nonsense"])
async def test_a_caller_that_has_other_rows_gets_these(
    profile: httpx.AsyncClient, held: str
) -> None:
    again = await profile.get(USERS, headers={"if-none-match": held})
    assert again.status_code == 200
    assert len(again.json()) == 2


async def test_a_path_that_is_not_there_is_a_problem_in_json(profile: httpx.AsyncClient) -> None:
    answered = await profile.get("/nowhere")
    assert answered.status_code == 404
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.json() == {"title": "Not Found", "status": 404, "detail": "Not Found"}


async def test_a_method_that_is_not_allowed_says_which_are(profile: httpx.AsyncClient) -> None:
    answered = await profile.post("/users")
    assert answered.status_code == 405
    assert answered.json()["title"] == "Method Not Allowed"
    assert set(answered.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_a_mistake_of_the_service_is_a_problem_that_shows_nothing_of_it() -> None:
    async def broken(_request: Request) -> Response:
        raise RuntimeError("secret")

    app = Starlette(routes=[Route("/", broken)], exception_handlers={Exception: server_problem})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answered = await client.get("/")
    assert answered.status_code == 500
    assert answered.json()["title"] == "Internal Server Error"
    assert "secret" not in answered.text


def test_a_status_without_a_name_has_a_title_too() -> None:
    assert b'"title":"Error","status":599' in bytes(problem(599, "odd").body)
