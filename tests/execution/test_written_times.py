"""Times are written in the same way by orjson and by the scalar."""

from datetime import datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, TypeAdapter

from app.schema.scalars import write_time

TIMES = TypeAdapter(AwareDatetime)


@given(moment=st.datetimes(timezones=st.timezones() | st.none()), minutes=st.integers(-1439, 1439))
def test_orjson_writes_the_times_of_records_as_the_scalar_does(
    moment: datetime, minutes: int
) -> None:
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{moment.replace(tzinfo=None).isoformat()}{sign}{offset // 60:02}:{offset % 60:02}"
    parsed = TIMES.validate_json(orjson.dumps(text), strict=True)

    written = orjson.loads(orjson.dumps(parsed, option=orjson.OPT_UTC_Z))

    assert written == write_time(parsed)
