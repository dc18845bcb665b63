"""Random documents, batches and URLs: each gets a valid response, and never an internal error.

``make fuzz`` does the same for longer.
"""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.errors import Code
from app.execution.response_errors import MAX_ERROR_BYTES, MAX_ERRORS
from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.server import BatchSettings, PersistedSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.execution.documents import REQUESTS, as_json
from tests.fakes import FakeServices, account_row, failing, invoice, settings_for_fakes, user_id
from tests.properties import examples

EXAMPLES = examples(75, "FUZZ_EXAMPLES")
"""The number of requests that are made."""

PYTHON = re.compile(
    r"Traceback|<class '|<function|<\w+ instance>|object at 0x|\b(?:Type|Key|Value|Attribute"
    r"|Recursion|Assertion|Unicode\w+|Overflow)Error\b|\bapp\.|site-packages|strawberry|pydantic"
    r"|\b(?:None|NoneType|True|False|inf|nan|Infinity|NaN|Undefined|str|dict|dictionary|tuple"
    r"|instance|digits)\b|\{'[^']*': |\['[^']*'[,\]]|(?<=[\s:\[({])b'|\\x[0-9a-f]{2}"
    r"|(?:value|found): '"
)
"""Words that only Python uses."""

MOST_CALLS = 30
"""The most calls that a request here may cause: it has few users, and there are no retries."""

JSON, GRAPHQL = "application/json", "application/graphql-response+json"


@pytest.fixture
async def gateways(
    open_gateway: OpenGateway, services: FakeServices
) -> AsyncGenerator[Mapping[bool, GatewayClient]]:
    """Open a gateway that compiles and one that does not, with all optional features on."""
    services.know(1, 2)
    services.billing.rows[user_id(2)] = account_row(2, plan=7)
    services.billing.invoices = {user_id(1): [invoice(1), invoice(2), invoice(3)]}
    services.activity.behaviour = failing(503)
    async with AsyncExitStack() as stack:
        opened = {
            compiles: await stack.enter_async_context(
                open_gateway(
                    settings_for_fakes(
                        fastpath=FastpathSettings(compiled=compiles),
                        introspection=True,
                        suggestions=True,
                        explain=True,
                        trace="asked",
                        persisted=PersistedSettings(enabled=True),
                        batch=BatchSettings(enabled=True),
                        # A long run sends more than the rate limit of one caller.
                        limits=LimitsSettings(rate=RateSettings(enabled=False)),
                    )
                )
            )
            for compiles in (True, False)
        }
        yield opened


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
async def test_any_document_gets_a_valid_response(
    gateways: Mapping[bool, GatewayClient],
    services: FakeServices,
    request: dict[str, Any],
    how: tuple[str, str, bool],
) -> None:
    accept, asks, compiles = how
    gateway = gateways[compiles]
    for service in services.by_name.values():
        service.requests.clear()

    gateway.forget()
    response = await gateway.client.post(
        "/graphql",
        content=as_json(request),
        headers={"Content-Type": JSON, "Accept": accept, f"X-Gateway-{asks}": "1"},
    )
    answer = orjson.loads(response.content)

    event(f"{response.status_code} {'data' if answer.get('data') else 'none'}")
    assert response.headers["content-type"] == f"{accept}; charset=utf-8"
    check_shape(answer)
    check_status(answer, response.status_code, accept)
    check_messages(answer, request)
    check_log(gateway)
    assert sum(services.calls.values()) <= MOST_CALLS


@settings(
    max_examples=max(1, EXAMPLES // 5),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=3),
    asks=st.sampled_from(["None", "None", "Explain", "Cost"]),
    compiles=st.booleans(),
)
async def test_any_batch_gets_a_valid_response_for_each_operation(
    gateways: Mapping[bool, GatewayClient],
    requests: list[dict[str, Any]],
    asks: str,
    compiles: bool,  # noqa: FBT001 # drawn
) -> None:
    gateway = gateways[compiles]
    gateway.forget()

    response = await gateway.client.post(
        "/graphql",
        content=as_json(requests),
        headers={"Content-Type": JSON, f"X-Gateway-{asks}": "1"},
    )
    answered: Any = orjson.loads(response.content)

    check_log(gateway)
    assert response.status_code < 500
    # A single answer: the body is not JSON, or the whole batch is refused.
    answers: list[Any] = [answered] * len(requests)
    if isinstance(answered, list):
        answers = cast("list[object]", answered)
    for answer, request in zip(answers, requests, strict=True):
        check_shape(answer)
        check_messages(answer, request)


@settings(
    max_examples=max(1, EXAMPLES // 5),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=REQUESTS, compiles=st.booleans())
async def test_any_url_gets_a_valid_response(
    gateways: Mapping[bool, GatewayClient],
    request: dict[str, Any],
    compiles: bool,  # noqa: FBT001 # drawn
) -> None:
    gateway = gateways[compiles]
    gateway.forget()
    parameters = {
        name: value if isinstance(value, str) else as_json(value) for name, value in request.items()
    }
    try:
        url = httpx.URL("/graphql", params=parameters)
    except httpx.InvalidURL:
        return  # longer than this client sends

    response = await gateway.client.get(url, headers={"GraphQL-Require-Preflight": "1"})
    answer = orjson.loads(response.content)

    check_log(gateway)
    assert response.status_code < 500
    check_shape(answer)
    check_messages(answer, request)


def check_log(gateway: GatewayClient) -> None:
    """Check that the log has no event of level error."""
    assert '"level":"error"' not in gateway.log


def check_messages(answer: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Check that the errors for clients are no bugs and have no words of Python's."""
    assert set(codes_of(answer)) <= {*Code} - {Code.INTERNAL_SERVER_ERROR}
    messages = [error["message"] for error in answer.get("errors", [])]
    assert not [one for one in messages if PYTHON.search(one) and not has_words_of(one, request)]


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
    elif status != 200:  # the body is not a GraphQL request, or not JSON
        assert status in {400, 422}
        assert codes_of(answer) == ["BAD_REQUEST"]


def codes_of(answer: Mapping[str, Any]) -> list[str]:
    """List the codes of errors."""
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def has_words_of(message: str, request: Mapping[str, Any]) -> bool:
    """Return whether all words of Python's in a message come from the client's request."""
    sent = json.dumps(request, ensure_ascii=False) + as_json(request)
    return all(found[0] in sent for found in PYTHON.finditer(message))
