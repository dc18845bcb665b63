"""The context of a call."""

from dataclasses import fields, replace

from app.observability.trace_context import TraceContext
from app.resilience.clock import Deadline
from app.sources.base import RequestContext
from tests.clock import ManualClock


def test_a_context_for_a_shared_call_has_all_else_of_the_first_one() -> None:
    context = RequestContext(
        "r",
        trace=TraceContext("00-" + "1" * 32 + "-" + "2" * 16 + "-01"),
        identity="i",
        deadline=Deadline(1.0, ManualClock()),
        requests=("a", "b"),
        forwarded=(("x-a", "1"),),
        fields=frozenset({"plan"}),
        isolated=True,
        divisible=True,
        baggage="b=1",
    )
    usual = RequestContext("r")
    told = [one.name for one in fields(context) if one.name not in {"request_id", "sharers"}]
    assert [one for one in told if getattr(context, one) == getattr(usual, one)] == []

    def sharers() -> list[str]:
        return ["r"]

    shared = context.shared_by(sharers)

    assert shared.sharers is sharers
    assert replace(shared, sharers=None) == context
