"""Rows by id: several in one request, or one."""

import httpx
import pytest

from app.demo.people import user_id
from app.demo.services import MOST_IDS

UNKNOWN = "00000000-0000-4000-8000-999999999999"


async def test_rows_of_several_ids_are_in_one_array(profile: httpx.AsyncClient) -> None:
    response = await profile.get(f"/users?id={user_id(3)}&id={user_id(1)}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert {row["id"] for row in response.json()} == {user_id(1), user_id(3)}


async def test_unknown_ids_are_left_out(profile: httpx.AsyncClient) -> None:
    rows = (await profile.get(f"/users?id={UNKNOWN}&id={user_id(1)}&id=x'y%22z")).json()
    assert [row["id"] for row in rows] == [user_id(1)]


async def test_only_unknown_ids_get_an_empty_array(profile: httpx.AsyncClient) -> None:
    response = await profile.get(f"/users?id={UNKNOWN}")
    assert (response.status_code, response.json()) == (200, [])


async def test_a_duplicate_id_gets_one_row(profile: httpx.AsyncClient) -> None:
    assert len((await profile.get(f"/users?id={user_id(1)}&id={user_id(1)}")).json()) == 1


@pytest.mark.parametrize("count", [1, 50, 100, MOST_IDS])
async def test_many_ids_get_all_their_rows(activity: httpx.AsyncClient, count: int) -> None:
    wanted = [n for n in range(1, 2 * MOST_IDS) if n % 23][:count]
    query = "&".join(f"userId={user_id(n)}" for n in wanted)
    rows = (await activity.get(f"/summaries?{query}")).json()
    assert {row["userId"] for row in rows} == {user_id(n) for n in wanted}


@pytest.mark.parametrize(
    "query", ["", "?id=", f"?id={user_id(1)}&id=", f"?userId={user_id(1)}", "?" + "id=a&" * 201]
)
async def test_no_id_an_empty_id_or_too_many_ids_are_refused(
    profile: httpx.AsyncClient, query: str
) -> None:
    response = await profile.get(f"/users{query}")
    assert response.status_code == 400
    assert "name 1 to 200 users, as /users?id=a&id=b" in response.json()["detail"]


async def test_one_row_is_found_by_its_path(profile: httpx.AsyncClient) -> None:
    response = await profile.get(f"/users/{user_id(1)}")
    assert response.status_code == 200
    assert response.json()["id"] == user_id(1)


async def test_head_gets_the_response_of_get_without_a_body(profile: httpx.AsyncClient) -> None:
    path = f"/users/{user_id(1)}"
    head, get = await profile.head(path), await profile.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize("key", [UNKNOWN, "x", "%27%20OR%201=1"])
async def test_an_unknown_row_is_not_found(profile: httpx.AsyncClient, key: str) -> None:
    response = await profile.get(f"/users/{key}")
    assert response.status_code == 404
    assert response.json()["title"] == "Not Found"
