"""The audit suite of the GraphQL over HTTP specification."""

import io
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from app.observability.logs import make_log
from app.server.graphiql.build import NodePrograms
from tests.apps import make_app
from tests.fakes import FakeServices, settings_for_fakes
from tests.npm import node_with, running
from tests.ways import ALSO_BY_FILE, Ways
from tests.wire import served

FOLDER = Path(__file__).parent

KNOWN_NOTICES = frozenset(
    {
        # A GET without a header that needs a preflight is refused, because of CSRF.
        *("5A70", "D6D5", "6A70"),
        # JSON that is no GraphQL request has status 422 since the September 2026 edition of the
        # specification; the suite is older.
        *("423L", "LKJ0", "LKJ1", "LKJ2", "LKJ3", "6C00", "6C01", "6C02", "6C03"),
        *("4760", "4761", "4762", "4763", "58B0", "58B1", "58B2", "58B3", "3E3A"),
    }
)
"""Audits with MAY that the gateway does not follow."""


class Audit(BaseModel):
    """The result of one audit."""

    id: str = Field(description="Its name in the suite.")
    name: str = Field(description="The rule, with MUST, SHOULD or MAY.")
    status: str = Field(description="ok, notice (a MAY), warn (a SHOULD) or error (a MUST).")
    reason: str | None = Field(default=None, description="The difference from the rule.")


_AUDITS = TypeAdapter(list[Audit])


@pytest.fixture
def node() -> NodePrograms:
    """Return Node with the suite installed."""
    return node_with(FOLDER)


@pytest.mark.parametrize("ways", ALSO_BY_FILE, ids=str)
async def test_the_gateway_follows_every_must_and_every_should(
    node: NodePrograms, services: FakeServices, ways: Ways
) -> None:
    settings = ways.of(settings_for_fakes(introspection=True))  # the suite reads types
    log = make_log(settings.log, stream=io.StringIO())
    app = make_app(settings, log, transports=services.transport)
    async with (
        served(app, settings) as address,
        running(node, FOLDER, "audit.mjs", address.url) as printed,
    ):
        pass

    audits = _AUDITS.validate_json(printed)
    failed = [one for one in audits if one.status in {"warn", "error"}]
    notices = {one.id for one in audits if one.status == "notice"}
    assert not failed
    assert notices == KNOWN_NOTICES
    assert Counter(one.status for one in audits)["ok"] >= 40
