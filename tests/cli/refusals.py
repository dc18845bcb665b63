"""Reads why `serve` does not start, as a log collector does."""

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartRefusal:
    """Why the gateway does not start.

    Attributes:
        reason: What is wrong.
        mistakes: A sentence for each mistake.
    """

    reason: str
    mistakes: Sequence[str]


def start_refusal(stderr: str) -> StartRefusal:
    """Read the one event that says why the gateway does not start."""
    [line] = stderr.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("gateway.unusable", "error")
    return StartRefusal(event["reason"], event["mistakes"])
