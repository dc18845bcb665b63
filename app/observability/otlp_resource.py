"""What the gateway is, for a collector (semantic conventions of OpenTelemetry, "Resource")."""

import os
from uuid import uuid4

from opentelemetry.sdk.resources import Resource

SERVICE = "user-gateway"
"""The name of the service, unless ``OTEL_SERVICE_NAME`` or ``OTEL_RESOURCE_ATTRIBUTES`` says
another."""

_UNKNOWN = "unknown_service"
"""How the SDK names a service without a name."""


def gateway_resource(version: str) -> Resource:
    """Describe this process.

    Args:
        version: The version of the gateway.

    Returns:
        The attributes of the variables; and where these lack one, the name and the version of the
        service, an id of the process, and its number. Each process has its own id, so that a
        collector can add up the metrics of several.
    """
    given = Resource.create()
    own: dict[str, str | int] = {
        "service.version": version,
        "service.instance.id": str(uuid4()),
        "process.pid": os.getpid(),
    }
    missing: dict[str, str | int | None] = {
        name: value for name, value in own.items() if name not in given.attributes
    }
    if str(given.attributes.get("service.name", _UNKNOWN)).startswith(_UNKNOWN):
        missing["service.name"] = SERVICE
    return given.merge(Resource(missing))
