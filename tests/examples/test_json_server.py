"""json-server, as docs/sources/json-server.md has it, against json-server itself."""

from collections.abc import Generator, Mapping, Sequence
from uuid import UUID

import pytest

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.tracker import Tracker, create, json_server
from tests.examples.users import ACTIVITY, users_of

PAGE = ExamplePage("json-server")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Generator[Tracker]:
    """Give a tracker of 20 users."""
    with json_server(tmp_path_factory.mktemp("json-server")) as client:
        ids = tuple(str(UUID(int=number)) for number in range(20))
        for number, user in enumerate(ids):
            create(client, user, number)
        yield Tracker(client, ids)


def calls(fetches: Sequence[Mapping[str, object]]) -> Sequence[object]:
    """List how many users each call was for."""
    return [fetch["keys"] for fetch in fetches]


async def test_each_field_of_each_user_is_what_the_server_says(
    tracker: Tracker, open_page: OpenPage
) -> None:
    async with open_page(PAGE, tracker.variables) as gateway:
        users = await users_of(gateway, ACTIVITY, tracker.ids)

    expected = [tracker.activity(user) for user in tracker.ids]
    assert users == expected
    assert {len(user["events"]) for user in expected} == {0, 1, 2, 3, 4}
    assert calls(gateway.events("source.fetch")) == [20]


async def test_a_user_that_the_server_does_not_have_is_null(
    tracker: Tracker, open_page: OpenPage
) -> None:
    async with open_page(PAGE, tracker.variables) as gateway:
        users = await users_of(gateway, "loginCount", [str(UUID(int=99)), tracker.ids[1]])

    assert users == [None, {"loginCount": 7}]


async def test_a_misspelt_parameter_is_a_failure_that_says_so(
    tracker: Tracker, open_page: OpenPage
) -> None:
    variables = {
        **tracker.variables,
        "GATEWAY_SOURCES__ACTIVITY__REQUEST__PARAMETER": "user",
    }
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{UUID(int=99)}") {{ loginCount }} }}')

    assert reply.codes == {"user.loginCount": "SOURCE_MALFORMED"}
