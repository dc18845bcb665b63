"""The context of resolvers."""

import strawberry
from msgspec import Struct

from app.auth.policies import Rights
from app.execution.fetching import RunningFetches
from app.execution.load import Loaders
from app.execution.plan import Plan
from app.execution.planner import Planner


class Context(Struct):
    """All that a resolver may use: nothing else is shared between the fields of a request.

    Attributes:
        plan: The plan of the operation. A resolver finds its part by its response key.
        planner: Lists the fetches of a part of the plan.
        loaders: Ask the sources.
        required: Names of the sources whose failure fails the user.
        rights: What the caller may see.
        running: The fetches of the plan, if its answer comes in several payloads: all have begun,
            and each field waits for its own sources only. ``None`` for one whole answer.
    """

    plan: Plan
    planner: Planner
    loaders: Loaders
    required: frozenset[str]
    rights: Rights
    running: RunningFetches | None = None


Info = strawberry.Info[Context, None]
"""The resolver info of Strawberry, with our context."""
