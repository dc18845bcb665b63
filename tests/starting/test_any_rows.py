"""For any rows, the written file loads, and the gateway returns the values of the rows."""

import json
import string
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from app.execution.schema import schema_for
from app.main import create_app, load_settings
from app.observability.logs import make_log
from app.probe.operations import fields_of, operation
from app.settings.models import LogSettings
from app.settings.nested import value_at
from app.settings.request import RepeatRequest
from app.starting.found import FoundService
from app.starting.proposal import ProposedField, ProposedSource, ProposedType, propose
from app.starting.rows import find_rows
from app.starting.toml_file import starting_toml
from app.starting.users import tried_users
from tests.fakes import FakeTransport, json_response
from tests.properties import examples
from tests.starting.services import FILE

Json = dict[str, Any]

USER = "u1"
QUIET = LogSettings(level="error")

names = st.one_of(
    st.sampled_from(
        [
            *("id", "user_id", "name", "Name", "first name", "createdAt", "created_at", "URL"),
            *("amount", "currency", "value", "attributes", "data", "items", "2fa", "__typename"),
            *("Query", "User", "Money", "order", "orderEdge", "orders", "type", "source", "äpfel"),
            *(
                "class",
                "self",
                "None",
                "key",
                "field_key",
                "",
                "日本",
                "a.b",
                'a"b',
                "a\nb",
                "has_more",
            ),
        ]
    ),
    st.text(string.ascii_letters + string.digits + "_- ", max_size=12),
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["EUR", "12.50", "https://example.com/a", "http:", USER, "2026-13-01"]),
    st.dates().map(date.isoformat),
    st.datetimes(min_value=datetime(1970, 1, 1)).map(datetime.isoformat),  # noqa: DTZ001 # naive on purpose
    st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001 # the time zone is in the next argument
        timezones=st.just(UTC),
    ).map(datetime.isoformat),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.integers(-5, 5),
    st.just(1_700_000_000),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    texts,
)
money = st.fixed_dictionaries(
    {
        "amount": st.one_of(st.integers(-(10**9), 10**9), st.just("12.50"), st.just(0.1)),
        "currency": st.sampled_from(["EUR", "JPY", "eur", "XYZ"]),
    }
)
json_values = st.recursive(
    st.one_of(scalars, money),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
rows = st.dictionaries(names, json_values, max_size=8).map(lambda row: {**row, "id": USER})


class Expected:
    """The values that the gateway has to return for a row."""

    def __init__(self, sources: Sequence[ProposedSource]) -> None:
        self._types: Mapping[str, ProposedType] = {
            one.name: one for source in sources for one in source.types
        }

    def field(self, one: ProposedField, row: Json) -> object:
        """Return the value of a field."""
        found = value_at(row, one.place)
        return self._value(one.type, found if one.place[0] in row else None)

    def _value(self, kind: str, value: Any) -> object:  # noqa: ANN401, PLR0911 # JSON; a table
        """Return a value as the type shows it."""
        if value is None:
            return None
        if kind.startswith("["):
            return [self._value(kind[1:-1].removesuffix("!"), one) for one in value]
        if kind in self._types:
            fields = self._types[kind].fields
            return {one.name: self.field(one, value) for one in fields}
        match kind:
            case "ID":
                return str(value)
            case "DateTime":
                return _moment(value)
            case "Money":
                return _in_minor_units(value)
            case "Float":
                return float(value)
            case _:
                return value


def _moment(value: str | int) -> datetime:
    """Return the moment that a text or a number means."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _in_minor_units(value: Json) -> Json:
    """Return an amount in minor units."""
    currency = value["currency"]
    [amount] = (one for name, one in value.items() if name != "currency")
    if isinstance(amount, int):
        return {"amount": amount, "currency": currency}
    places = 0 if currency == "JPY" else 2
    return {"amount": int(Decimal(str(amount)).scaleb(places)), "currency": currency}


def is_equal(got: Any, expected: Any) -> bool:  # noqa: ANN401 # decoded JSON, and times in it
    """Compare a response with the expected one: times as moments."""
    if isinstance(expected, datetime):
        return isinstance(got, str) and datetime.fromisoformat(got) == expected
    if isinstance(expected, list):
        wanted: list[Any] = expected  # pyright: ignore[reportUnknownVariableType] # JSON
        return len(got) == len(wanted) and all(map(is_equal, got, wanted))
    if isinstance(expected, dict):
        members = cast("Json", expected)
        return got.keys() == members.keys() and all(
            is_equal(got[one], members[one]) for one in members
        )
    return got == expected and isinstance(got, bool) is isinstance(expected, bool)


@given(rows)
@settings(max_examples=examples(150))
@example({"id": USER, "order": {"a": 1}, "orderEdge": {"a": "x"}, "Query": {"b": [{"c": 1}]}})
@example({"id": USER, "first name": "A", "firstName": "B", "first_name": "C", "__x": 1})
@example({"id": USER, "attributes": {"id": 5, "name": "A"}, "name": None})
@example({"id": USER, "share": [2**53 + 1, 0.5]})
async def test_the_gateway_returns_the_values_of_the_row_by_the_written_file(
    tmp_path_factory: pytest.TempPathFactory, row: Json
) -> None:
    answer: Any = json.loads(json.dumps([row]))
    found = find_rows(answer, [USER])
    assert found is not None
    assert found.settings.key == ("id",)
    service = FoundService(
        source="hr",
        base_url="http://hr",
        request=RepeatRequest(form="repeat", path="/users", parameter="id"),
        answer=found.settings,
        rows=[found.rows[USER]],
        shown="",
    )
    sources = propose([service])
    text = starting_toml(sources, tried_users([USER]).pattern, FILE)
    file = Path(tmp_path_factory.mktemp("file")) / FILE
    file.write_text(text, encoding="utf-8")
    assert tomllib.loads(text)["sources"]["hr"]["request"]["path"] == "/users"

    loaded = load_settings(None, config=file, serving=True).model_copy(update={"log": QUIET})
    schema, _ = schema_for(loaded)
    transport = FakeTransport(lambda _: json_response(answer))
    app = create_app(loaded, make_log(loaded.log), transports=lambda _: transport)
    [fields] = fields_of(schema).values() or [()]
    event(f"fields: {min(len(fields), 5)}")
    assert {one.name for one in sources[0].fields} == set(fields)
    if not fields:
        return
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        query = {"query": operation(schema, fields), "variables": {"ids": [USER]}}
        response = await client.post("/graphql", json=query)
    body = response.json()

    assert "errors" not in body, body
    [user] = body["data"]["users"]
    expected = Expected(sources)
    for one in sources[0].fields:
        assert is_equal(user[one.name], expected.field(one, row)), (one, user)


@given(rows)
def test_each_member_of_a_row_is_a_field_or_reported_as_left_out(row: Json) -> None:
    service = FoundService(
        source="hr",
        base_url="http://hr",
        request=RepeatRequest(form="repeat", path="/users", parameter="id"),
        answer=find_rows([row], [USER]).settings,  # type: ignore[union-attr] # the row is found
        rows=[row],
        shown="",
    )
    [source] = propose([service])

    shown = {one.place[0] for one in source.fields} | {"id"}
    assert len(shown) + len(source.left_out) >= len(row)
