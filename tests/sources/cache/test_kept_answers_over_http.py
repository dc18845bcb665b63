"""The cache obeys the cache headers of a service, over real connections."""

import pytest

from tests import faults
from tests.fakes import user_id
from tests.outage import outage
from tests.ways import BOTH, Ways

PLAN = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'

KEEPING = {
    "billing": {
        "cache": {"enabled": True, "ttl": 100.0, "stale_if_error": 1000.0},
        "contract": "stale_ok",
    }
}


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


@pytest.mark.parametrize(
    ("headers", "calls", "code"),
    [
        ({}, [1, 1, 2], None),
        ({"Cache-Control": "max-age=7"}, [1, 2, 3], None),
        ({"Cache-Control": "max-age=7", "Age": "6"}, [2, 3, 4], None),
        ({"Cache-Control": "max-age=7, stale-if-error=3"}, [1, 2, 3], "SOURCE_UNAVAILABLE"),
        ({"Cache-Control": "max-age=7, must-revalidate"}, [1, 2, 3], "SOURCE_UNAVAILABLE"),
        ({"Cache-Control": "no-store"}, [2, 3, 4], "SOURCE_UNAVAILABLE"),
        ({"Cache-Control": "private"}, [2, 3, 4], "SOURCE_UNAVAILABLE"),
        ({"Expires": "0"}, [2, 3, 4], None),
        ({"Cache-Control": "max-age=999999"}, [1, 1, 2], None),
    ],
)
async def test_responses_are_cached_and_cover_failures_as_their_headers_allow(
    headers: dict[str, str], calls: list[int], code: str | None, ways: Ways
) -> None:
    async with outage(KEEPING, ways=ways) as gateway:
        made: list[int] = []
        gateway.server.fail("billing", faults.telling(200, **headers))
        await gateway.ask(PLAN)
        for seconds in (5.0, 5.0):
            gateway.clock.advance(seconds)
            await gateway.ask(PLAN)
            made.append(len(gateway.server.calls("billing")))
        gateway.server.fail("billing", faults.status(500))
        gateway.clock.advance(200.0)
        reply = await gateway.ask(PLAN)
        made.append(len(gateway.server.calls("billing")))

        assert reply.codes == ({} if code is None else {"user.plan": code})
        assert reply.data == {"user": {"plan": "pro" if code is None else None}}
        assert made == calls
