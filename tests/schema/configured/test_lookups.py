"""Lookups: configured root fields that find users by another key than their ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import ConfigurationError
from app.execution.schema import schema_for
from app.main import load_settings
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.callers import by_headers, headers_of
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, json_response, settings_for_fakes, user_id
from tests.ways import BOTH, Ways

LOOKUP: Mapping[str, Any] = {
    "source": "profile",
    "key": "email",
    "request": {"form": "list", "path": "/by-mail", "parameter": "mail"},
    "answer": {"key": ["mail"]},
    "value": "user.id",
    "description": "The user with this mail address.",
    "may": "profile:read",
}


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def settings(**changes: Any) -> Settings:  # noqa: ANN401 # any setting of the lookup
    """Add the lookup to the default schema."""
    tables = {"schema": {"lookups": {"userByEmail": {**LOOKUP, **changes}}}}
    return Settings.model_validate({**settings_in(settings_for_fakes()), **tables})


class Directory:
    """A service that knows users by their mail addresses.

    Attributes:
        users: The id of each user, by mail address.
        asked: The addresses of each call.
        status: The status of its answers.
    """

    def __init__(self, services: FakeServices) -> None:
        self.users: dict[str, object] = {}
        self.asked: list[list[str]] = []
        self.status = 200
        services.others["profile"] = self.answer
        self._services = services

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a lookup, or a request for users by their ids."""
        if request.url.path != "/by-mail":
            return self._services.profile.answer(request)
        mails = request.url.params["mail"].split(",")
        self.asked.append(mails)
        rows = [
            {"mail": mail, "user": {"id": self.users[mail]}} for mail in mails if mail in self.users
        ]
        return json_response(rows, self.status)


@pytest.fixture
def directory(services: FakeServices) -> Directory:
    """Make a service that knows three users."""
    services.know(1, 2, 3)
    directory = Directory(services)
    directory.users = {f"{number}@example.com": user_id(number) for number in (1, 2, 3)}
    return directory


async def test_a_user_found_by_a_lookup_has_the_same_fields_as_by_its_id(
    open_gateway: OpenGateway, directory: Directory, services: FakeServices
) -> None:
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(
            "query($mail: String!) { userByEmail(email: $mail) { id username plan } }",
            mail="2@example.com",
        )

    assert not reply.errors
    assert reply.data == {"userByEmail": {"id": user_id(2), "username": "user2", "plan": "pro"}}
    assert directory.asked == [["2@example.com"]]
    assert services.billing.batches == [[user_id(2)]]


async def test_keys_of_several_root_fields_are_looked_up_by_one_call(
    open_gateway: OpenGateway, directory: Directory, services: FakeServices
) -> None:
    mails = ["3@example.com", "nobody@example.com", "1@example.com", "3@example.com"]
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(
            "query($mails: [String!]!) {"
            " usersByEmails(emails: $mails) { username }"
            ' two: userByEmail(email: "2@example.com") { username } }',
            mails=mails,
        )

    assert not reply.errors
    assert reply.data == {
        "usersByEmails": [
            {"username": "user3"},
            None,
            {"username": "user1"},
            {"username": "user3"},
        ],
        "two": {"username": "user2"},
    }
    assert directory.asked == [[*mails[:3], "2@example.com"]]
    assert sorted(map(sorted, services.profile.batches)) == [[user_id(1), user_id(2), user_id(3)]]


async def test_a_failed_lookup_fails_only_its_users(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    directory.status = 503
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(
            '{ userByEmail(email: "1@example.com") { username }'
            ' usersByEmails(emails: ["2@example.com"]) { username }'
            f' user(id: "{user_id(3)}") {{ username }} }}'
        )

    assert reply.data == {
        "userByEmail": None,
        "usersByEmails": [None],
        "user": {"username": "user3"},
    }
    assert reply.codes == {
        "userByEmail": "SOURCE_UNAVAILABLE",
        "usersByEmails.0": "SOURCE_UNAVAILABLE",
    }


@pytest.mark.parametrize(
    ("found", "code"),
    [(7, "SOURCE_MALFORMED"), ({}, "SOURCE_MALFORMED"), ("not an id", "SOURCE_MALFORMED")],
)
async def test_an_invalid_user_id_from_a_lookup_is_reported(
    open_gateway: OpenGateway, directory: Directory, found: object, code: str
) -> None:
    directory.users["1@example.com"] = found
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(
            '{ usersByEmails(emails: ["1@example.com", "2@example.com"]) { username } }'
        )

    assert reply.data == {"usersByEmails": [None, {"username": "user2"}]}
    assert reply.codes == {"usersByEmails.0": code}


async def test_a_row_without_an_id_is_an_unknown_user(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    directory.users["1@example.com"] = None
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query('{ userByEmail(email: "1@example.com") { username } }')

    assert (reply.data, reply.errors) == ({"userByEmail": None}, [])


async def test_a_lookup_without_the_scope_is_forbidden_without_a_call(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    query = '{ userByEmail(email: "1@example.com") { id username email plan } }'
    async with open_gateway(settings(), by_headers) as gateway:
        refused = await gateway.query_as(headers_of(user_id(1)), query)
        assert not directory.asked
        own = await gateway.query_as(headers_of(user_id(9), "profile:read"), query)

    assert refused.data == {"userByEmail": None}
    assert refused.codes == {"userByEmail": "FORBIDDEN"}
    assert own.data["userByEmail"] == {
        "id": user_id(1),
        "username": "user1",
        "email": "user1@example.com",
        "plan": None,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ userByEmail(email: "") { id } }', "userByEmail takes keys of 1 to 1000 characters"),
        (
            f"{{ usersByEmails(emails: {['a'] * 101}) {{ id }} }}".replace("'", '"'),
            "usersByEmails takes at most 100 keys, got 101",
        ),
    ],
)
async def test_keys_of_a_lookup_are_checked_before_any_call(
    open_gateway: OpenGateway, directory: Directory, query: str, message: str
) -> None:
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(query)

    [error] = reply.errors
    assert (error["message"], error["extensions"]["code"]) == (message, "BAD_USER_INPUT")
    assert not directory.asked


async def test_an_empty_list_of_keys_causes_no_call(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query("{ usersByEmails(emails: []) { id } }")

    assert (reply.data, reply.errors, directory.asked) == ({"usersByEmails": []}, [], [])


async def test_a_lookup_finds_the_user_of_each_value_of_a_variable(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    query = "query($mail: String!) { userByEmail(email: $mail) { username } }"
    async with open_gateway(settings()) as gateway:
        for number in (1, 2, 3):
            reply = await gateway.query(query, mail=f"{number}@example.com")
            assert reply.data == {"userByEmail": {"username": f"user{number}"}}

    assert len(directory.asked) == 3


async def test_the_calls_of_a_lookup_are_explained(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    explained = settings().model_copy(update={"explain": True})
    async with open_gateway(explained) as gateway:
        reply = await gateway.query_as(
            {"X-Gateway-Explain": "1"}, '{ userByEmail(email: "1@example.com") { plan } }'
        )

    explanation = reply.body["extensions"]["explain"]
    [field] = explanation["fields"]
    assert field["lookup"] == "profile.userByEmail"
    lookup, billing = explanation["sources"]
    assert (lookup["name"], lookup["lookup"]) == ("profile.userByEmail", True)
    assert (lookup["path"], lookup["parameter"]) == ("/by-mail", "mail")
    assert (lookup["keys"], lookup["calls"]) == (["1@example.com"], 1)
    assert (billing["name"], billing["lookup"], explanation["calls"]) == ("billing", False, 2)
    assert not directory.asked


async def test_a_lookup_with_missing_keys_is_explained(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    explained = settings().model_copy(update={"explain": True})
    query = "query ($mails: [String!]!) { usersByEmails(emails: $mails) { plan } }"
    async with open_gateway(explained) as gateway:
        reply = await gateway.query_as({"X-Gateway-Explain": "1"}, query)

    assert not reply.errors, reply.errors
    explanation = reply.body["extensions"]["explain"]
    lookup, billing = explanation["sources"]
    assert (lookup["name"], lookup["calls"]) == ("profile.userByEmail", None)
    assert lookup["moreAtRunTime"]
    assert billing["calls"] is None
    assert not directory.asked


def test_the_names_and_policies_of_lookups_are_in_the_schema() -> None:
    schema, _ = schema_for(settings(), security_directives=True)

    text = schema.as_str()
    assert '  ): User @requiresScopes(scopes: [["profile:read"]])' in text
    assert "  userByEmail(" in text
    assert "    emails: [String!]!" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": "profil"}, "source is profil, which is not known: did you mean profile?"),
        ({"several": "users"}, "makes a root field users, which is there already: expected"),
        ({"several": "me"}, "makes a root field me, which is there already: expected another name"),
    ],
)
def test_an_invalid_lookup_is_reported(changes: Mapping[str, str], expected: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        schema_for(settings(**changes))

    [mistake] = raised.value.mistakes
    assert expected in mistake


FILE = """
auth = { mode = "none" }
hosts = ["gateway"]

[schema]
extends = "none"
type = "Employee"

[sources.hr]
base_url = "http://profile"
request = { form = "list", path = "/employees", parameter = "ids" }

[user.name]
source = "hr"
type = "String"
description = "Name."
may = "public"

[schema.lookups.employeeByEmail]
source = "hr"
key = "email"
request = { form = "list", path = "/by-mail", parameter = "mail" }
answer = { key = ["mail"] }
value = "user.id"
description = "The employee with this mail address."
may = "public"
"""


async def test_a_lookup_in_a_file_has_its_own_request_beside_the_source_s(
    open_gateway: OpenGateway, services: FakeServices, tmp_path: Path
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/by-mail":
            return json_response([{"mail": "a@example.com", "user": {"id": user_id(1)}}])
        assert request.url.path == "/employees"
        return json_response([{"id": user_id(1), "name": "Ada"}])

    services.others["profile"] = answer
    file = tmp_path / "gateway.toml"
    file.write_text(FILE, encoding="utf-8")

    async with open_gateway(load_settings(None, config=file, serving=True)) as gateway:
        reply = await gateway.query('{ employeeByEmail(email: "a@example.com") { id name } }')

    assert reply.body == {"data": {"employeeByEmail": {"id": user_id(1), "name": "Ada"}}}


@pytest.mark.parametrize(
    ("wrong", "right", "mistake"),
    [
        (
            'form = "list", path = "/by-mail"',
            'form = "lst", path = "/by-mail"',
            "[schema.lookups.employeeByEmail.request] form",
        ),
        ('value = "user.id"', 'value = "user."', "[schema.lookups.employeeByEmail] value"),
        (
            '{ key = ["mail"] }',
            "{ }",
            "[schema.lookups.employeeByEmail.answer] has no key: expected the path of the value by",
        ),
    ],
)
def test_a_mistake_in_a_lookup_in_a_file_is_reported_at_its_table(
    tmp_path: Path, wrong: str, right: str, mistake: str
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(FILE.replace(wrong, right), encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, config=file, serving=True)

    assert any(mistake in one for one in caught.value.mistakes), caught.value.mistakes


async def test_a_key_that_cannot_be_written_is_rejected_without_a_call(
    open_gateway: OpenGateway, directory: Directory
) -> None:
    query = '{ userByEmail(email: "a,b@example.com") { username } }'
    async with open_gateway(settings()) as gateway:
        reply = await gateway.query(query)

    [error] = reply.errors
    assert error["message"] == "The profile source cannot be asked for this key."
    assert error["extensions"] == {"code": "SOURCE_REJECTED", "source": "profile"}
    assert not directory.asked
