"""Reading a body: JSON, or payloads in parts, which are put together."""

import json
from typing import Any, Final

from benchmarks.client import Json

_DASHES: Final = b"--"


def read_body(body: bytes) -> Json:
    """Read the body of an answer.

    Args:
        body: JSON, or ``multipart/mixed`` with a payload in each part. Payloads may be of either
            form: they name their place by ``path``, or by an ``id`` that was pending.

    Returns:
        The whole answer; the text itself where it is neither.
    """
    try:
        text = body.lstrip()
        value: Json = _together(text) if text.startswith(_DASHES) else json.loads(text)
    except (ValueError, LookupError, TypeError):
        return body.decode("utf-8", "replace")
    return value


def _together(text: bytes) -> dict[str, Json]:
    """Put payloads together."""
    boundary = text.partition(b"\r\n")[0]
    parts = (b"\r\n" + text).split(b"\r\n" + boundary)[1:-1]
    whole, *payloads = (_payload(part) for part in parts)
    places: dict[str, list[str | int]] = {}
    errors: list[Json] = whole.get("errors") or []
    _remember(places, whole)
    has_next = whole["hasNext"]
    for payload in payloads:
        _remember(places, payload)
        for one in payload.get("incremental", ()):
            place = one["path"] if "path" in one else places[one["id"]] + one.get("subPath", [])
            target: Any = whole["data"]
            for step in place:
                target = target[step]
            target.update(one["data"])
            errors += one.get("errors", ())
        for one in payload.get("completed", ()):
            errors += one.get("errors", ())
        has_next = payload["hasNext"]
    if has_next:
        raise ValueError("the last payload is missing")
    return {"data": whole["data"], **({"errors": errors} if errors else {})}


def _remember(places: dict[str, list[str | int]], payload: dict[str, Any]) -> None:
    """Remember the places that a payload announces."""
    places.update({one["id"]: one["path"] for one in payload.get("pending", ())})


def _payload(part: bytes) -> dict[str, Any]:
    """Read a part."""
    payload: dict[str, Any] = json.loads(part.partition(b"\r\n\r\n")[2])
    return payload
