"""Pages of invoices."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.demo.people import user_id
from app.demo.services import decode_cursor, demo_services, encode_cursor
from tests.demo.support import client_of
from tests.properties import examples

FIRST = user_id(1)
OF_FIRST = f"/invoices?userId={FIRST}"


async def pages(client: httpx.AsyncClient, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of the first user's invoices."""
    found: list[list[dict[str, Any]]] = []
    cursor = ""
    for _ in range(60):
        page = (await client.get(f"{OF_FIRST}&limit={limit}{cursor}")).json()
        found.append(page["items"])
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"
    pytest.fail("more pages than invoices")


async def test_a_page_has_the_fields_of_the_contract(billing: httpx.AsyncClient) -> None:
    page = (await billing.get(OF_FIRST)).json()
    assert set(page) == {"items", "nextCursor"}
    for item in page["items"]:
        assert set(item) == {"id", "number", "status", "issuedAt", "total"}
        assert set(item["total"]) == {"amount", "currency"}


async def test_a_page_has_twenty_invoices_newest_first_by_default(
    billing: httpx.AsyncClient,
) -> None:
    items = (await billing.get(OF_FIRST)).json()["items"]
    issued = [item["issuedAt"] for item in items]
    assert len(issued) == 20
    assert issued == sorted(issued, reverse=True)


@settings(deadline=None, max_examples=examples(25))
@given(limit=st.integers(1, 100))
async def test_pages_of_any_size_have_each_invoice_once_in_order(folder: Path, limit: int) -> None:
    with demo_services(folder) as services:
        async with client_of(services.billing) as client:
            (whole,) = await pages(client, 100)
            found = await pages(client, limit)
    assert [item for page in found for item in page] == whole
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


async def test_a_page_has_an_entity_tag(billing: httpx.AsyncClient) -> None:
    tag = (await billing.get(OF_FIRST)).headers["etag"]
    again = await billing.get(OF_FIRST, headers={"if-none-match": tag})
    assert again.status_code == 304


async def test_an_account_without_invoices_has_one_empty_page(billing: httpx.AsyncClient) -> None:
    response = await billing.get(f"/invoices?userId={user_id(4)}")
    assert response.json() == {"items": [], "nextCursor": None}


@pytest.mark.parametrize("owner", [user_id(17), "nobody"])
async def test_a_user_without_an_account_is_not_found(
    billing: httpx.AsyncClient, owner: str
) -> None:
    response = await billing.get(f"/invoices?userId={owner}")
    assert response.status_code == 404
    assert response.json()["detail"] == "this user has no account"


@pytest.mark.parametrize("query", ["", "?userId=", "?userId=a&userId=b", "?id=a"])
async def test_a_request_without_exactly_one_user_is_refused(
    billing: httpx.AsyncClient, query: str
) -> None:
    response = await billing.get(f"/invoices{query}")
    assert response.status_code == 400
    assert response.json()["detail"] == "name one user, as /invoices?userId=a"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1.5", "1e2", "%D9%A1", "007"])
async def test_a_limit_outside_1_to_100_is_refused(billing: httpx.AsyncClient, limit: str) -> None:
    response = await billing.get(f"{OF_FIRST}&limit={limit}")
    assert response.status_code == 400
    assert response.json()["detail"] == "limit is a whole number from 1 to 100"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "nonsense!",
        "%F0%9F%8D%B0",
        encode_cursor(user_id(2), 5),
        encode_cursor(FIRST, 0),
        encode_cursor(FIRST, 10**20),
        encode_cursor(FIRST, 5) + "=",
    ],
)
async def test_an_unknown_cursor_is_refused(billing: httpx.AsyncClient, cursor: str) -> None:
    response = await billing.get(f"{OF_FIRST}&cursor={cursor}")
    assert response.status_code == 400
    assert response.json()["detail"].startswith("cursor is a nextCursor of this user's")


@given(owner=st.text(st.characters(exclude_categories=["Cs"])), sequence=st.integers(1, 10**9 - 1))
def test_a_cursor_is_decoded_to_its_position(owner: str, sequence: int) -> None:
    assert decode_cursor(owner, encode_cursor(owner, sequence)) == sequence


@given(cursor=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_other_text_is_not_a_cursor(cursor: str) -> None:
    assert decode_cursor(FIRST, cursor) is None
