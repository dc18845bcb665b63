"""Running operations: what the log says of them, and what it does not."""

import hashlib

from tests.conftest import Gateway
from tests.fakes import FakeServices, failing, user_id

QUERY = "query Page($id: ID!) { user(id: $id) { username email plan balance { amount } } }"


async def test_an_operation_is_logged_by_name_hash_duration_errors_and_sources(
    gateway: Gateway, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    await gateway.query(QUERY, id=user_id(1))

    [event] = gateway.events("graphql.operation")
    assert event["name"] == "Page"
    assert event["hash"] == hashlib.sha256(QUERY.encode()).hexdigest()
    assert event["duration_ms"] >= 0
    assert event["errors"] == {"SOURCE_UNAVAILABLE": 2}
    assert event["sources"] == ["billing", "profile"]


async def test_no_variable_and_no_personal_data_is_in_the_log(
    gateway: Gateway, services: FakeServices
) -> None:
    services.know(1)

    await gateway.query(QUERY, id=user_id(1))
    await gateway.query(QUERY, id="marker-in-an-id")
    await gateway.query(QUERY, marker="marker-in-a-variable")
    await gateway.client.post(
        "/graphql", json={"query": "{ __typename }", "operationName": "marker-in-a-name"}
    )
    await gateway.client.post("/graphql", json={"query": "marker-in-a-document"})
    await gateway.client.get("/graphql?query=marker-in-a-url")

    assert gateway.events("graphql.operation")
    for secret in (user_id(1), "user1", "example.com", "marker"):
        assert secret not in gateway.log


async def test_a_document_is_prepared_once_however_often_it_is_sent(
    gateway: Gateway, services: FakeServices
) -> None:
    services.know(1)

    for _ in range(3):
        await gateway.query(QUERY, id=user_id(1))
    events = gateway.events("graphql.operation")

    assert len({event["hash"] for event in events}) == 1
    assert [event["document"] for event in events] == ["new", "kept", "kept"]
