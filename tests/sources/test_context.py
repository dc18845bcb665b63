"""The context of a call."""

from app.sources.base import RequestContext


def test_the_repr_of_a_context_has_nothing_of_the_caller() -> None:
    context = RequestContext("r-1", identity="digest", forwarded=(("cookie", "s"),), baggage="b=1")

    assert repr(context) == "RequestContext('r-1')"
