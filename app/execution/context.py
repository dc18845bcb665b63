"""All that a resolver may reach."""

import strawberry

from app.auth.policies import Rights
from app.execution.load import Loaders
from app.execution.plan import Plan
from app.execution.planner import Planner
from app.readonly import readonly


@readonly(frozen=True, slots=True)
class Context:
    """All that a resolver may reach: nothing else is shared between the fields of a request.

    Attributes:
        plan: The plan of the operation, in which each resolver finds its part by its response key.
        planner: Lists the fetches of a part of it.
        loaders: Ask the sources.
        required: Names of the sources without which there is no user.
        rights: What the caller may see.
    """

    plan: Plan
    planner: Planner
    loaders: Loaders
    required: frozenset[str]
    rights: Rights


Info = strawberry.Info[Context, None]
"""What Strawberry hands to a resolver."""
