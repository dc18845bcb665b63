"""SCIM 2.0, as docs/sources/scim.md has it, against scim2-server."""

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


async def test_each_field_of_each_user_is_what_the_server_says(
    directory: Directory, open_page: OpenPage
) -> None:
    async with open_page(PAGE, directory.variables) as gateway:
        users = await users_of(gateway, PROFILE, directory.ids)

    assert users == [directory.profile(user) for user in directory.ids]
    assert [event["keys"] for event in gateway.events("source.fetch")] == [20]


async def test_a_user_that_the_server_does_not_have_is_null(
    directory: Directory, open_page: OpenPage
) -> None:
    async with open_page(PAGE, directory.variables) as gateway:
        users = await users_of(gateway, "username", ["0" * 32, directory.ids[0]])

    assert users == [None, {"username": "user-0"}]


async def test_without_the_right_token_the_profile_fails_and_says_so(
    directory: Directory, open_page: OpenPage
) -> None:
    variables = {**directory.variables, "SCIM_TOKEN": "another"}
    async with open_page(PAGE, variables) as gateway:
        reply = await gateway.query(f'{{ user(id: "{directory.ids[0]}") {{ username }} }}')

    assert reply.codes == {"user.username": "SOURCE_REJECTED"}


async def test_an_id_cannot_leave_its_place_in_the_filter(
    directory: Directory, open_page: OpenPage
) -> None:
    variables = {**directory.variables, "GATEWAY_USER_ID_PATTERN": "(?s).+"}
    hostile = ['" or userName pr or id eq "', '\\" or userName pr or id eq \\"', "\\", '"']
    async with open_page(PAGE, variables) as gateway:
        for user in hostile:
            reply = await gateway.query("query($id: ID!) { user(id: $id) { username } }", id=user)
            assert reply.body == {"data": {"user": None}}
