"""Reads the reason for which `serve` does not start, as a log collector does."""

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartRefusal:
    """The reason for which the gateway does not start.

    Attributes:
        reason: The headline.
        mistakes: A sentence for each mistake.
    """

    reason: str
    mistakes: Sequence[str]


def start_refusal(stderr: str) -> StartRefusal:
    """Read the one event with the reason for which the gateway does not start."""
    [line] = stderr.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("gateway.unusable", "error")
    return StartRefusal(event["reason"], event["mistakes"])
