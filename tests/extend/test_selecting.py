"""A source of a module that gets the needed fields: the same answers with fewer values."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from tests.conftest import GatewayClient, OpenGateway
from tests.extend.modules import ModuleFolder, imported
from tests.extend.test_mistakes import found
from tests.extend.test_own_sources import LEDGER, ONE, THREE, TWO, settings
from tests.fakes import FakeServices
from tests.ways import BOTH, Ways

SELECTS = (
    LEDGER.replace('"user", opened)', '"user", opened, selects=True)')
    .replace("points: int | None = None", "points: int | None = None\n    note: str | None = None")
    .replace(
        "            computed(",
        '            shows("note", "String", "ledger", "Note.", may=PUBLIC, value="note"),\n'
        "            computed(",
    )
    .replace(
        "        return {key: self.rows[key] for key in keys if key in self.rows}",
        """        return {
            key: {
                name: value
                for name, value in self.rows[key].items()
                if not self.narrow or call.needs(name)
            }
            for key in keys
            if key in self.rows
        }""",
    )
    .replace("        self.asked = []\n", "        self.asked = []\n        self.narrow = True\n")
)

FIELDS: Mapping[str, frozenset[str]] = {
    "points": frozenset({"points"}),
    "note": frozenset({"note"}),
    "rank": frozenset({"level", "points"}),
}
"""The record fields that each field reads."""


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def requested_fields(place: str) -> Sequence[frozenset[str] | None]:
    """List the requested fields of each call to the source."""
    return [call.fields for call in imported(place).LEDGER.calls]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_source_with_selects_gets_the_fields_that_the_selection_reads(
    folder: ModuleFolder, open_gateway: OpenGateway, field: str
) -> None:
    place = folder.write(SELECTS)

    async with open_gateway(settings(place)) as gateway:
        await gateway.query(f"query($id: ID!) {{ user(id: $id) {{ {field} }} }}", id=ONE)

    assert requested_fields(place) == [FIELDS[field]]


async def test_a_source_without_selects_gets_no_fields(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(LEDGER)

    async with open_gateway(settings(place)) as gateway:
        await gateway.query("query($id: ID!) { user(id: $id) { points } }", id=ONE)

    assert requested_fields(place) == [None]


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "points": st.one_of(st.none(), st.integers(0, 9), st.just("seven")),
        "level": st.one_of(st.none(), st.sampled_from(["low", "high"]), st.just(7)),
        "note": st.one_of(st.none(), st.text(max_size=3), st.just(b"?")),
    },
)
SELECTIONS = st.lists(
    st.lists(st.sampled_from([*FIELDS, "username"]), min_size=1, unique=True),
    min_size=1,
    max_size=4,
)


@given(rows=st.lists(st.one_of(st.none(), VALUES), min_size=3, max_size=3), asked=SELECTIONS)
@example_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=8,
)
async def test_answers_are_the_same_with_and_without_unneeded_values(
    folder: ModuleFolder,
    services: FakeServices,
    open_gateway: OpenGateway,
    rows: Sequence[Mapping[str, object] | None],
    asked: Sequence[Sequence[str]],
) -> None:
    services.know(1, 2, 3)
    ids = [ONE, TWO, THREE]
    known = {key: row for key, row in zip(ids, rows, strict=True) if row is not None}
    cache = {"cache": {"enabled": True, "ttl": 60}}

    async def answers(gateway: GatewayClient, ledger: object) -> Sequence[object]:
        vars(ledger).update(rows=known)
        queries = [f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {' '.join(x)} }} }}" for x in asked]
        replies = [await gateway.query(query, ids=ids) for query in queries]
        return [(one.data, one.codes) for one in replies]

    seen: list[Sequence[object]] = []
    for text, narrow, more in (
        (SELECTS, True, {}),
        (SELECTS, False, {}),
        (SELECTS, True, cache),
        (SELECTS.replace("selects=True", "selects=False"), True, {}),
    ):
        place = folder.write(text)
        async with open_gateway(settings(place, **more)) as gateway:
            ledger = imported(place).LEDGER
            ledger.narrow = narrow
            seen.append(await answers(gateway, ledger))

    assert seen[1:] == seen[:1] * 3


async def test_a_value_that_was_not_requested_is_fetched_when_it_is_needed(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SELECTS)
    cache = {"enabled": True, "ttl": 60}
    query = "query($id: ID!) {{ user(id: $id) {{ {} }} }}"

    async with open_gateway(settings(place, cache=cache)) as gateway:
        imported(place).LEDGER.rows = {ONE: {"points": 3, "note": "hi", "level": "low"}}
        replies = [
            await gateway.query(query.format(fields), id=ONE)
            for fields in ("points", "note", "note points", "rank")
        ]

    assert [one.data["user"] for one in replies] == [
        {"points": 3},
        {"note": "hi"},
        {"note": "hi", "points": 3},
        {"rank": "low:3"},
    ]
    every = ["points"], ["note"], ["level", "points"]
    assert requested_fields(place) == [frozenset(fields) for fields in every]


async def test_explain_shows_the_fields_that_are_requested_from_a_module(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    made = settings(folder.write(SELECTS)).model_copy(update={"explain": True})
    body = {"query": "query($id: ID!) { user(id: $id) { rank } }", "variables": {"id": ONE}}

    async with open_gateway(made) as gateway:
        headers = {"X-Gateway-Explain": "1"}
        response = await gateway.client.post("/graphql", json=body, headers=headers)

    [source] = response.json()["extensions"]["explain"]["sources"]
    assert source["selects"] == ["user", "level", "points"]


CHECKED = SELECTS.replace(
    "    level: str | None = None\n",
    """    level: str | None = None

    @pydantic.field_validator("level")
    @classmethod
    def in_capitals(cls, value: str | None) -> str | None:
        return None if value is None else value.upper()
""",
).replace("import asyncio\n", "import asyncio\nimport pydantic\n")


async def test_validators_of_fields_hold_for_a_part_of_a_record(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(CHECKED)

    async with open_gateway(settings(place)) as gateway:
        imported(place).LEDGER.rows = {ONE: {"points": 3, "level": "low"}}
        reply = await gateway.query("query($id: ID!) { user(id: $id) { rank } }", id=ONE)

    assert reply.data == {"user": {"rank": "LOW:3"}}


def test_a_validator_of_the_whole_record_is_refused_with_selects(folder: ModuleFolder) -> None:
    text = CHECKED.replace(
        '@pydantic.field_validator("level")', "@pydantic.model_validator(mode='before')"
    )

    assert found(folder, text)[0] == (
        "the source ledger cannot be used: Entry has a validator of the whole record, and selects"
        " asks for some fields: expected validators of fields alone."
    )
