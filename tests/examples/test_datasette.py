"""Datasette with the configuration of docs/sources/datasette.md, against Datasette itself."""

import sqlite3
import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.examples.conftest import OpenPage
from tests.examples.crowd import ERRORS, MAX_CALLS, Person, calls, crowd, query_users
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
PEOPLE = crowd(IDS)
TABLES = """
create table users (id text primary key, name, email, picture, lang, country, created, deleted);
create table accounts (user_id text primary key, plan, state integer, balance, currency, renews_on);
create table events (id integer primary key, user_id text, kind text, at integer);
"""
STATES = ("TRIALING", "ACTIVE", "PAST_DUE", "CANCELLED")


def midnight(day: str) -> datetime:
    """Return the start of a day."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Database:
    """A Datasette, and the expected values of each user.

    Attributes:
        address: Its address.
        client: A client of it.
    """

    address: str
    client: httpx.Client

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        names = ("PROFILE", "BILLING", "ACTIVITY")
        return {f"GATEWAY_SOURCES__{name}__BASE_URL": self.address for name in names}

    def row(self, table: str, column: str, user: str) -> Json:
        """Read a row by an SQL query, which Datasette also accepts."""
        sql = f"select * from {table} where {column} = :id"  # noqa: S608 # names of this file
        answer = self.client.get(
            f"{self.address}.json", params={"sql": sql, "id": user, "_shape": "array"}
        )
        rows: list[Json] = answer.raise_for_status().json()
        return rows[0]

    def user(self, person: Person) -> Json | None:
        """Return the expected values of a user."""
        expected = person.expected
        if expected is None:
            return None
        profile = self.row("users", "id", person.id)
        account = self.row("accounts", "user_id", person.id)
        places = {"EUR": 2, "JPY": 0, "KWD": 3}[account["currency"]]
        return {
            **expected,
            "username": person.id,
            "avatarUrl": profile["picture"],
            "locale": "-".join(filter(None, (profile["lang"], profile["country"]))),
            "plan": account["plan"],
            "billingStatus": STATES[account["state"]],
            "balance": {
                "amount": int(Decimal(str(account["balance"])).scaleb(places)),
                "currency": account["currency"],
            },
            "renewsAt": account["renews_on"] and midnight(account["renews_on"]),
        }


def fill(path: Path) -> None:
    """Write the database: accounts and events of all users, and rows of all users except one."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(TABLES)
        for person in PEOPLE:
            number = person.number
            balance, currency = (
                (f"{number}.05", "EUR"),
                (number + 0.5, "EUR"),
                (number * 1000, "JPY"),
                (f"-{number}.125", "KWD"),
            )[number % 4]
            renews = f"2026-04-{number + 1:02}" if number % 3 else None
            database.execute(
                "insert into accounts values (?, ?, ?, ?, ?, ?)",
                (person.id, "pro", number % 4, balance, currency, renews),
            )
            database.executemany(
                "insert into events values (?, ?, ?, ?)",
                [(one.id, one.user, one.kind, round(one.at.timestamp())) for one in person.events],
            )
            if person.is_missing:
                continue
            created = "soon" if person.created is None else f"{person.created:%Y-%m-%d %H:%M:%S}"
            country = "AT" if number % 2 else None
            database.execute(
                "insert into users values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(person.id, person.name, person.email, None, "de", country, created),
                    int(person.is_deleted),
                ),
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


async def test_all_users_are_read_by_one_call_to_each_table(
    database: Database, open_page: OpenPage
) -> None:
    async with open_page(PAGE, database.variables) as gateway:
        users, errors = await query_users(gateway, IDS, f"{PROFILE} {BILLING} {ACTIVITY}")

    assert users == [database.user(person) for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "billing": 1, "activity": 1}
    assert sum(calls(gateway).values()) == PAGE.figures.calls


async def test_events_on_several_pages_are_counted_completely(
    database: Database, open_page: OpenPage
) -> None:
    pages = {"GATEWAY_SOURCES__ACTIVITY__REQUEST__PAGE_SIZE": "50"}
    async with open_page(PAGE, {**database.variables, **pages}) as gateway:
        users, errors = await query_users(gateway, IDS, f"{PROFILE} {BILLING} {ACTIVITY}")

    assert users == [database.user(person) for person in PEOPLE]
    assert errors == ERRORS
    assert sum(calls(gateway).values()) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


async def test_an_unknown_user_is_null(database: Database, open_page: OpenPage) -> None:
    async with open_page(PAGE, database.variables) as gateway:
        users = await users_of(gateway, "username plan loginCount", ["nobody", "a", "b"])

    assert users == [None, None, None]
