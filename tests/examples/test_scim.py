"""SCIM 2.0 with the configuration of docs/sources/scim.md, against scim2-server."""

from collections.abc import Generator

import pytest

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.scim import Directory, create, person, scim_server
from tests.examples.users import PROFILE, users_of

PAGE = ExamplePage("scim")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Generator[Directory]:
    """Give a directory of 20 users."""
    with scim_server(tmp_path_factory.mktemp("scim")) as client:
        ids = tuple(create(client, person(number)) for number in range(20))
        yield Directory(client, ids)


async def test_each_user_has_the_values_of_the_server(
    directory: Directory, open_page: OpenPage
) -> None:
    async with open_page(PAGE, directory.variables) as gateway:
        users = await users_of(gateway, PROFILE, directory.ids)

    assert users == [directory.profile(user) for user in directory.ids]
    assert [event["keys"] for event in gateway.events("source.fetch")] == [20]


async def test_an_unknown_user_is_null(directory: Directory, open_page: OpenPage) -> None:
    async with open_page(PAGE, directory.variables) as gateway:
        users = await users_of(gateway, "username", ["0" * 32, directory.ids[0]])

    assert users == [None, {"username": "user-0"}]


async def test_a_wrong_token_is_a_failure_of_profile(
    directory: Directory, open_page: OpenPage
) -> None:
    variables = {**directory.variables, "SCIM_TOKEN": "another"}
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{directory.ids[0]}") {{ username }} }}')

    assert reply.codes == {"user.username": "SOURCE_REJECTED"}


async def test_a_hostile_id_cannot_change_the_filter(
    directory: Directory, open_page: OpenPage
) -> None:
    variables = {**directory.variables, "GATEWAY_USER_ID_PATTERN": "(?s).+"}
    hostile = ['" or userName pr or id eq "', '\\" or userName pr or id eq \\"', "\\", '"']
    async with open_page(PAGE, variables) as gateway:
        for user in hostile:
            reply = await gateway.query("query($id: ID!) { user(id: $id) { username } }", id=user)
            assert reply.body == {"data": {"user": None}}
