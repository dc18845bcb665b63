"""Queries for users, and their responses with times."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from tests.conftest import GatewayClient

Json = Mapping[str, Any]

PROFILE = "id username displayName email avatarUrl locale createdAt"
BILLING = "plan billingStatus balance { amount currency } renewsAt"
ACTIVITY = "lastSeenAt loginCount events { id type occurredAt }"


async def users_of(
    gateway: GatewayClient, fields: str, ids: Sequence[str]
) -> Sequence[Json | None]:
    """Query users; the response must have no errors.

    Args:
        gateway: The gateway.
        fields: The fields of each.
        ids: The users.

    Returns:
        The users in the response, with times that can be compared.
    """
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {fields} }} }}"
    reply = await gateway.query(query, ids=ids)
    assert reply.errors == []
    users: Sequence[Json | None] = with_times(reply.data["users"])
    return users


def with_times(value: object) -> Any:  # noqa: ANN401 # any JSON
    """Parse the times in JSON: values with a name such as ``createdAt``."""
    if isinstance(value, list):
        return [with_times(one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return {
            name: datetime.fromisoformat(one)
            if name.endswith("At") and isinstance(one, str)
            else with_times(one)
            for name, one in members
        }
    return value
