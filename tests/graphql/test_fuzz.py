"""Documents: whatever comes, the answer is an answer, and never a failure of our own.

``make fuzz`` does the same for longer.
"""

import json
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.errors import Code
from app.graphql.masking import MAX_ERROR_BYTES, MAX_ERRORS
from app.shapes.edge import PersistedSettings
from tests.conftest import Gateway, OpenGateway
from tests.fakes import FakeServices, account_row, failing, invoice, settings_for_fakes, user_id
from tests.graphql.documents import REQUESTS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
"""How many requests are made."""

PYTHON = re.compile(
    r"Traceback|<class '|<function|object at 0x|\b(?:Type|Key|Value|Attribute|Recursion|Assertion"
    r"|Unicode\w+|Overflow)Error\b|NoneType|\bapp\.|site-packages|strawberry|pydantic"
)
"""What only Python would say."""

MOST_CALLS = 30
"""Calls that a request here may cause: it asks for few users, and no call is repeated."""

JSON, GRAPHQL = "application/json", "application/graphql-response+json"


@pytest.fixture
async def gateways(
    open_gateway: OpenGateway, services: FakeServices
) -> AsyncGenerator[Mapping[bool, Gateway]]:
    """Give a gateway that compiles and one that does not, with all that can be switched on."""
    services.know(1, 2)
    services.billing.rows[user_id(2)] = account_row(2, plan=7)
    services.billing.invoices = {user_id(1): [invoice(1), invoice(2), invoice(3)]}
    services.activity.behaviour = failing(503)
    async with AsyncExitStack() as stack:
        opened = {
            compiles: await stack.enter_async_context(
                open_gateway(
                    settings_for_fakes(
                        compile=compiles,
                        introspection=True,
                        suggestions=True,
                        explain=True,
                        trace="asked",
                        persisted=PersistedSettings(enabled=True),
                    )
                )
            )
            for compiles in (True, False)
        }
        yield opened
    for one in opened.values():
        assert '"level":"error"' not in one.log


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    request=REQUESTS,
    how=st.tuples(
        st.sampled_from([JSON, GRAPHQL]),
        st.sampled_from(["None", "None", "Explain", "Trace", "Cost"]),
        st.booleans(),
    ),
)
async def test_whatever_document_comes_the_answer_is_one(
    gateways: Mapping[bool, Gateway],
    services: FakeServices,
    request: dict[str, Any],
    how: tuple[str, str, bool],
) -> None:
    accept, asks, compiles = how
    gateway = gateways[compiles]
    for service in services.by_name.values():
        service.requests.clear()

    response = await gateway.client.post(
        "/graphql",
        content=json.dumps(request),
        headers={"Content-Type": JSON, "Accept": accept, f"X-Gateway-{asks}": "1"},
    )
    answer = orjson.loads(response.content)

    event(f"{response.status_code} {'data' if answer.get('data') else 'none'}")
    assert response.headers["content-type"] == f"{accept}; charset=utf-8"
    check_shape(answer)
    check_status(answer, response.status_code, accept)
    assert set(codes_of(answer)) <= {*Code} - {Code.INTERNAL_SERVER_ERROR}
    own_words = [error["message"] for error in answer.get("errors", [])]
    assert not [one for one in own_words if PYTHON.search(one) and not quotes(one, request)]
    assert sum(services.calls.values()) <= MOST_CALLS


def check_shape(answer: Mapping[str, Any]) -> None:
    """Check an answer by the specification, sections 7.1 and 7.1.2."""
    assert set(answer) <= {"data", "errors", "extensions"}
    assert "data" in answer or answer["errors"]
    assert isinstance(answer.get("data"), dict | None)
    errors = answer.get("errors", [])
    assert errors or "errors" not in answer
    for error in errors:
        assert set(error) <= {"message", "locations", "path", "extensions"}
        assert isinstance(error["message"], str)
        assert error["message"]
        assert all(isinstance(part, str | int) for part in error.get("path", ()))
        for place in error.get("locations", ()):
            assert (place["line"], place["column"]) >= (1, 1)
    if "data" not in answer:
        assert len(errors) <= MAX_ERRORS
        assert len(orjson.dumps(errors)) <= MAX_ERROR_BYTES


def check_status(answer: Mapping[str, Any], status: int, accept: str) -> None:
    """Check the status by "GraphQL over HTTP", section 5.4."""
    if "data" in answer:
        assert status == 200
    elif accept == GRAPHQL:
        assert 400 <= status < 500
    elif status != 200:  # it was no request of GraphQL's, or no JSON
        assert status in {400, 422}
        assert codes_of(answer) == ["BAD_REQUEST"]


def codes_of(answer: Mapping[str, Any]) -> list[str]:
    """List the codes of errors."""
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def quotes(message: str, request: Mapping[str, Any]) -> bool:
    """Tell whether what sounds like Python in a message is what the client has sent."""
    found = PYTHON.search(message)
    return found is not None and found[0] in json.dumps(request, ensure_ascii=False)
