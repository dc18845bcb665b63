"""The gateway of the demo: by which names it may be called."""

import httpx
import pytest

from app.cli.demo import demo_gateway
from app.demo.run import SourceUrls

NOWHERE = SourceUrls(*["http://127.0.0.1:9"] * 3)


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("127.0.0.1", "rebound.example", 421),
        ("0.0.0.0", "demo.internal:8000", 200),  # noqa: S104 # as text
    ],
)
async def test_where_it_listens_for_others_they_may_call_it_by_any_name(
    host: str, name: str, status: int
) -> None:
    app = demo_gateway(host, NOWHERE)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
        response = await client.get("/graphql", headers={"Accept": "text/html"})

    assert response.status_code == status
