"""The HR directory of examples/hr: scim2-server, and a fake of PostgREST."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from tests.conftest import GatewayClient
from tests.examples import tables
from tests.examples.conftest import OpenPage
from tests.examples.page import ExampleFolder
from tests.examples.scim import TOKEN, create, scim_server
from tests.examples.serving import address_of, serving
from tests.examples.tables import Tables
from tests.examples.users import Json, with_times

FOLDER = ExampleFolder("hr")
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
COUNT = 20
WITHOUT_NUMBER, WITHOUT_CONTRACT, FREELANCER = 5, 7, 11
"""Employees with missing values; the contract of the last has an unknown word."""

PHONES = {"work": "WORK", "mobile": "MOBILE", "pager": "MOBILE", "fax": "OTHER"}
CONTRACTS = {"permanent": "PERMANENT", "tenured": "PERMANENT", "fixed_term": "FIXED_TERM"}
ABSENCES = {"holiday": "HOLIDAY", "Sick": "SICK", "accident": "SICK", "strike": "OTHER"}

DIRECTORY = (
    "id userName displayName title department managerId active profileUrl"
    " phones { number kind } office { city country }"
)
PEOPLE = (
    "hiredOn contract weeklyHours salary { amount currency }"
    " absences { id kind firstDay lastDay approvedAt }"
)


def employee(number: int, manager: str | None) -> Json:
    """Write the request that creates an employee; some have no optional values."""
    kinds = [*PHONES][: number % 5]
    numbers = [{"value": f"tel:+43-1-{number}{place}", "type": kind}
               for place, kind in enumerate(kinds)]  # fmt: skip
    work = {
        "department": ("Research", "Sales")[number % 2],
        **({} if number == WITHOUT_NUMBER else {"employeeNumber": f"E-{number}"}),
        **({} if manager is None else {"manager": {"value": manager}}),
    }
    more = {
        "displayName": f"Ünal {number}",
        "title": "Engineer",
        "profileUrl": f"https://people.example.com/{number}",
        "addresses": [
            {"type": "home", "locality": "Nowhere", "country": "XX"},
            {"type": "work", "locality": "Wien", "country": "AT"},
        ],
    }
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "userName": f"user-{number}",
        "name": {"formatted": f"U. {number}"},
        "active": number % 7 != 0,
        **({"phoneNumbers": numbers} if numbers else {}),
        **(more if number % 3 else {}),
        ENTERPRISE: work,
    }


def contract(number: int) -> Json:
    """Write the contract of an employee in the form of the table."""
    kind = "freelance" if number == FREELANCER else [*CONTRACTS][number % 3]
    return {
        "employee": f"E-{number}",
        "hired_on": f"20{number:02}-02-28",
        "kind": kind,
        "weekly_hours": 38.5 if number % 2 else 20,
        "salary": 3100.25 + number,
        "currency": "EUR",
    }


def absences_of(number: int) -> Sequence[Json]:
    """Write the absences of an employee in the form of the table; some have none."""
    return [
        {
            "id": number * 10 + place,
            "employee": f"E-{number}",
            "kind": kind,
            "first_day": f"2026-0{place + 1}-01",
            "last_day": f"2026-0{place + 1}-10",
            "approved_at": None if place % 2 else "2026-01-01T09:00:00+01:00",
        }
        for place, kind in enumerate([*ABSENCES][: number % 5])
    ]


@dataclass(frozen=True)
class Staff:
    """The two systems, and the expected values of each employee.

    Attributes:
        resources: The directory's response about each employee, by id.
        database: The tables.
        variables: The variables of the gateway.
    """

    resources: Mapping[str, Json]
    database: Tables
    variables: Mapping[str, str]

    @property
    def ids(self) -> Sequence[str]:
        """All employees."""
        return [*self.resources]

    def directory(self, employee: str) -> Json:
        """Return the expected values of an employee from the directory."""
        row = self.resources[employee]
        work = row[ENTERPRISE]
        offices = [one for one in row.get("addresses", []) if one["type"] == "work"]
        phones = [
            {"number": one["value"].removeprefix("tel:"), "kind": PHONES[one["type"]]}
            for one in row.get("phoneNumbers", [])
        ]
        return {
            "id": employee,
            "userName": row["userName"],
            "displayName": row.get("displayName", row["name"]["formatted"]),
            "title": row.get("title"),
            "department": work["department"],
            "managerId": work.get("manager", {}).get("value"),
            "active": row["active"],
            "profileUrl": row.get("profileUrl"),
            "phones": phones or None,
            "office": {"city": offices[0]["locality"], "country": offices[0]["country"]}
            if offices
            else None,
        }

    def people(self, employee: str) -> Json:
        """Return the expected values of an employee from the tables."""
        number = self.resources[employee][ENTERPRISE].get("employeeNumber")
        rows = {
            name: [row for row in self.database.tables[name] if row["employee"] == number]
            for name in ("contracts", "absences")
        }
        nothing: Json = dict.fromkeys(("hiredOn", "contract", "weeklyHours", "salary"))
        terms: list[Json] = [
            {
                "hiredOn": row["hired_on"],
                "contract": CONTRACTS.get(row["kind"]),
                "weeklyHours": row["weekly_hours"],
                "salary": {
                    "amount": int(Decimal(str(row["salary"])) * 100),
                    "currency": row["currency"],
                },
            }
            for row in rows["contracts"]
        ]
        absences = [
            {
                "id": str(row["id"]),
                "kind": ABSENCES[row["kind"]],
                "firstDay": row["first_day"],
                "lastDay": row["last_day"],
                "approvedAt": row["approved_at"],
            }
            for row in reversed(rows["absences"])
        ]
        absent = None if number is None else with_times(absences)
        return {**[*terms, nothing][0], "absences": absent}


@pytest.fixture(scope="module")
def resources(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[str, Mapping[str, Json]]]:
    """Run a directory of 20 employees."""
    with scim_server(tmp_path_factory.mktemp("hr")) as client:
        ids: list[str] = []
        for number in range(COUNT):
            ids.append(create(client, employee(number, ids[number // 3] if number else None)))
        found = {one: client.get(f"/Users/{one}").raise_for_status().json() for one in ids}
        yield address_of(client), found


@pytest.fixture
async def staff(resources: tuple[str, Mapping[str, Json]]) -> AsyncGenerator[Staff]:
    """Run both systems."""
    address, found = resources
    contracts = [contract(number) for number in range(COUNT) if number != WITHOUT_CONTRACT]
    absences = [one for number in range(COUNT) for one in absences_of(number)]
    database = Tables({"contracts": contracts, "absences": absences})
    async with serving("PostgREST", database.app) as people:
        variables = {
            "GATEWAY_SOURCES__DIRECTORY__BASE_URL": address,
            "GATEWAY_SOURCES__PEOPLE__BASE_URL": people,
            "SCIM_TOKEN": TOKEN,
            "POSTGREST_TOKEN": tables.TOKEN,
        }
        yield Staff(found, database, variables)


def calls(gateway: GatewayClient) -> Mapping[str, int]:
    """Count the calls to each source."""
    return Counter(str(event["source"]) for event in gateway.events("source.fetch"))


async def test_each_employee_has_the_values_of_both_systems(
    staff: Staff, open_page: OpenPage
) -> None:
    query = f"query($ids: [ID!]!) {{ employees(ids: $ids) {{ {DIRECTORY} {PEOPLE} }} }}"
    async with open_page(FOLDER, staff.variables) as gateway:
        reply = await gateway.query(query, ids=staff.ids)

    expected = [{**staff.directory(one), **staff.people(one)} for one in staff.ids]
    assert with_times(reply.data["employees"]) == expected
    assert reply.codes == {f"employees.{FREELANCER}.contract": "SOURCE_MALFORMED"}
    assert calls(gateway) == {"directory": 1, "people.contract": 1, "people.absences": 1}
    assert len(staff.database.queries) == 2


@pytest.mark.parametrize(
    ("fields", "sources"),
    [
        ("title department", {"directory"}),
        ("salary { amount }", {"directory", "people.contract"}),
        ("absences { kind }", {"directory", "people.absences"}),
    ],
)
async def test_only_sources_of_selected_fields_are_called(
    staff: Staff, open_page: OpenPage, fields: str, sources: set[str]
) -> None:
    query = f"query($ids: [ID!]!) {{ employees(ids: $ids) {{ {fields} }} }}"
    async with open_page(FOLDER, staff.variables) as gateway:
        reply = await gateway.query(query, ids=staff.ids)

    assert not reply.errors
    assert calls(gateway) == dict.fromkeys(sources, 1)


async def test_a_failure_of_the_tables_affects_only_their_fields(
    staff: Staff, open_page: OpenPage
) -> None:
    query = f"query($id: ID!) {{ employee(id: $id) {{ {DIRECTORY} hiredOn }} }}"
    variables = {**staff.variables, "POSTGREST_TOKEN": "another"}
    async with open_page(FOLDER, variables) as gateway:
        reply = await gateway.query(query, id=staff.ids[1])

    assert reply.data["employee"] == {**staff.directory(staff.ids[1]), "hiredOn": None}
    assert reply.codes == {"employee.hiredOn": "SOURCE_REJECTED"}


async def test_the_query_of_the_page_gets_the_response_of_the_page(
    staff: Staff, open_page: OpenPage
) -> None:
    async with open_page(FOLDER, staff.variables) as gateway:
        reply = await gateway.query(FOLDER.query, id=staff.ids[2])

    assert reply.body == FOLDER.answer
