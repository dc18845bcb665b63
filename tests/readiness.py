"""What the gateway says of its sources: what its admin port shows to operators."""

from typing import Any, cast

from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.server.health import Readiness


def source_states(app: ASGIApp) -> dict[str, dict[str, Any]]:
    """Return the states of the sources of an application, as JSON has them."""
    assert isinstance(app, Starlette)
    readiness: Readiness = app.state.readiness()
    sources = readiness.model_dump(mode="json", by_alias=True)["sources"]
    return cast("dict[str, dict[str, Any]]", sources)
