"""The custom scalars of the schema."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from graphql import GraphQLScalarType
from hypothesis import given
from hypothesis import strategies as st

from app.execution.schema import build_schema
from app.schema.scalars import write_safe_int, write_time
from app.sources.base import MAX_SAFE_INTEGER
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, account_row, profile_row, user_id

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 6, 1, 9, 30, tzinfo=UTC), "2026-06-01T09:30:00Z"),
        (datetime(2026, 6, 1, 9, 30, 0, 500, tzinfo=UTC), "2026-06-01T09:30:00.000500Z"),
        (
            datetime(2026, 6, 1, 9, 30, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
            "2026-06-01T09:30:00-03:30",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_by_rfc_3339_with_z_for_utc(moment: datetime, text: str) -> None:
    assert write_time(moment) == text


@given(moment=st.datetimes(timezones=st.just(UTC) | OFFSETS))
def test_a_written_time_keeps_its_moment_and_its_offset(moment: datetime) -> None:
    back = datetime.fromisoformat(write_time(moment))

    assert back == moment
    assert back.utcoffset() == moment.utcoffset()


@given(value=st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER))
def test_an_integer_within_2_to_the_53_is_written_unchanged(value: int) -> None:
    assert write_safe_int(value) == value
    assert int(float(value)) == value


@pytest.mark.parametrize("value", [MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, 10**30])
def test_an_integer_beyond_2_to_the_53_is_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="2\\^53"):
        write_safe_int(value)


@pytest.mark.parametrize("name", ["DateTime", "SafeInt"])
def test_each_scalar_has_a_description(name: str) -> None:
    scalar = build_schema().core.type_map[name]

    assert isinstance(scalar, GraphQLScalarType)
    assert scalar.description


def test_the_time_scalar_has_the_url_of_its_specification() -> None:
    scalar = build_schema().core.type_map["DateTime"]

    assert isinstance(scalar, GraphQLScalarType)
    assert scalar.specified_by_url == "https://www.rfc-editor.org/rfc/rfc3339#section-5.6"


async def test_clients_get_times_and_integers_in_plain_json(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.rows[user_id(1)] = profile_row(1, createdAt="2024-02-29T12:00:00+05:30")
    services.billing.rows[user_id(1)] = account_row(
        1, balance={"amount": -MAX_SAFE_INTEGER, "currency": "JPY"}, renewsAt=None
    )

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ createdAt renewsAt balance {{ amount currency }} }} }}'
    )

    assert reply.body == {
        "data": {
            "user": {
                "createdAt": "2024-02-29T12:00:00+05:30",
                "renewsAt": None,
                "balance": {"amount": -MAX_SAFE_INTEGER, "currency": "JPY"},
            }
        }
    }
