"""Datasette, as docs/sources/datasette.md has it, against Datasette itself."""

import json
import sqlite3
import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.serving import free_port, installed, program
from tests.examples.users import ACTIVITY, BILLING, PROFILE, Json, users_of

PAGE = ExamplePage("datasette")
IDS = (
    *(
        "o'neil",
        'quote"s',
        "a,b",
        "[1]",
        "back\\slash",
        "per%cent",
        "pl+us",
        "am&p",
        "ha#sh",
        "sp ace",
    ),
    *("ünïcode", "名前", "😀", "null", "1", "01", '"]', "id__in", "' or 1=1 --", "x" * 100),
)
TABLES = """
create table users (id text primary key, name, email, picture, lang, country, created);
create table accounts (user_id text primary key, plan, state integer, balance, currency, renews_on);
create table usage (user_id text primary key, last_seen integer, logins integer, events);
"""
STATES = ("TRIALING", "ACTIVE", "PAST_DUE", "CANCELLED")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def midnight(day: str) -> datetime:
    """Tell when a day begins."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Database:
    """A Datasette, and what it says of each user.

    Attributes:
        address: Where it is.
        client: Asks it.
    """

    address: str
    client: httpx.Client

    @property
    def variables(self) -> Mapping[str, str]:
        """What the gateway's environment has."""
        names = ("PROFILE", "BILLING", "ACTIVITY")
        return {f"GATEWAY_SOURCES__{name}__BASE_URL": self.address for name in names}

    def row(self, table: str, column: str, user: str) -> Json:
        """Read a row by a query of one's own, as Datasette has it, too."""
        sql = f"select * from {table} where {column} = :id"  # noqa: S608 # names of this file
        answer = self.client.get(
            f"{self.address}.json", params={"sql": sql, "id": user, "_shape": "array"}
        )
        rows: list[Json] = answer.raise_for_status().json()
        return rows[0]

    def user(self, user: str) -> Json:
        """Tell what the gateway should say of a user."""
        profile = self.row("users", "id", user)
        account = self.row("accounts", "user_id", user)
        usage = self.row("usage", "user_id", user)
        places = {"EUR": 2, "JPY": 0, "KWD": 3}[account["currency"]]
        events: list[dict[str, Any]] = json.loads(usage["events"])
        return {
            "id": user,
            "username": user,
            "displayName": profile["name"],
            "email": profile["email"],
            "avatarUrl": profile["picture"],
            "locale": "-".join(filter(None, (profile["lang"], profile["country"]))),
            "createdAt": midnight(profile["created"]),
            "plan": account["plan"],
            "billingStatus": STATES[account["state"]],
            "balance": {
                "amount": int(Decimal(str(account["balance"])).scaleb(places)),
                "currency": account["currency"],
            },
            "renewsAt": account["renews_on"] and midnight(account["renews_on"]),
            "lastSeenAt": usage["last_seen"] and datetime.fromtimestamp(usage["last_seen"], UTC),
            "loginCount": usage["logins"],
            "events": [
                {
                    "id": str(event["id"]),
                    "type": event["type"],
                    "occurredAt": datetime.fromtimestamp(event["at"], UTC),
                }
                for event in events
            ],
        }


def fill(path: Path) -> None:
    """Write the database."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(TABLES)
        for number, user in enumerate(IDS):
            at = START + timedelta(days=number)
            balance, currency = (
                (f"{number}.05", "EUR"),
                (number + 0.5, "EUR"),
                (number * 1000, "JPY"),
                (f"-{number}.125", "KWD"),
            )[number % 4]
            country = "AT" if number % 2 else None
            email = f"{number}@example.com"
            created = f"{at:%Y-%m-%d %H:%M:%S}"
            database.execute(
                "insert into users values (?, ?, ?, ?, ?, ?, ?)",
                (user, f"Nº {number}", email, None, "de", country, created),
            )
            renews = f"{at:%Y-%m-%d}" if number % 3 else None
            database.execute(
                "insert into accounts values (?, ?, ?, ?, ?, ?)",
                (user, "pro", number % 4, balance, currency, renews),
            )
            seconds = int(at.timestamp())
            events = [{"id": index, "type": "did", "at": seconds - index} for index in range(2)]
            seen = seconds if number % 3 else None
            database.execute(
                "insert into usage values (?, ?, ?, ?)",
                (user, seen, number, json.dumps(events)),
            )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Generator[Database]:
    """Give a database of 20 users."""
    installed("datasette")
    folder = tmp_path_factory.mktemp("datasette")
    fill(folder / "team.db")
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port))
    address = f"http://127.0.0.1:{port}/team"
    with (
        program(
            (sys.executable, "-m", "datasette", "serve", "team.db", *options),
            ready="Uvicorn running",
            folder=folder,
        ),
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        yield Database(address, client)


async def test_each_field_of_each_user_is_what_the_server_says(
    database: Database, open_page: OpenPage
) -> None:
    async with open_page(PAGE, database.variables) as gateway:
        users = await users_of(gateway, f"{PROFILE} {BILLING} {ACTIVITY}", IDS)

    assert users == [database.user(user) for user in IDS]
    assert [event["keys"] for event in gateway.events("source.fetch")] == [20, 20, 20]


async def test_a_user_that_the_server_does_not_have_is_null(
    database: Database, open_page: OpenPage
) -> None:
    async with open_page(PAGE, database.variables) as gateway:
        users = await users_of(gateway, "username plan loginCount", ["nobody", "a", "b"])

    assert users == [None, None, None]
