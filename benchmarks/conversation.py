"""Asking a peer, and understanding what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.client import Json, exchange
from benchmarks.payloads import read_body
from benchmarks.peer import Peer
from benchmarks.workloads import Dialect, Root, Workload, request

User: TypeAlias = Mapping[str, Json]
"""What is known of a user, by the names of the flat schema."""


@dataclass(frozen=True, slots=True)
class PeerReply:
    """An answer.

    Attributes:
        status: Its HTTP status.
        body: What it says; the text itself where that is no JSON.
    """

    status: int
    body: Json


def ask(peer: Peer, port: int, workload: Workload, ids: Sequence[str]) -> PeerReply:
    """Ask a peer once.

    Raises:
        OSError: It does not answer.
        http.client.HTTPException: Its answer is no HTTP.
    """
    text = request(workload, peer.dialect, ids)
    if peer.dialect is Dialect.REST:
        found = exchange(port, "GET", text)
    else:
        found = exchange(port, "POST", peer.path, text, accept=workload.media_type)
    return PeerReply(found.status, read_body(found.body))


def has_errors(reply: PeerReply) -> bool:
    """Tell whether an answer lists errors."""
    return isinstance(reply.body, Mapping) and bool(reply.body.get("errors"))


def users_in(reply: PeerReply, workload: Workload, dialect: Dialect) -> list[User | None]:
    """Read the users out of an answer, in one form for all peers.

    Returns:
        One for each that was asked for; none at all where the answer has no such thing.
    """
    value = reply.body
    if dialect is not Dialect.REST:
        data = value.get("data") if isinstance(value, Mapping) else None
        value = data.get(workload.root) if isinstance(data, Mapping) else None
    rows: Sequence[Json] = [value]
    if workload.root is not Root.ONE:
        rows = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    return [_flat(row) if isinstance(row, Mapping) else None for row in rows]


def _flat(user: User) -> User:
    """Lift what is nested, and write alike what means the same."""
    found: dict[str, Json] = {}
    for name, value in user.items():
        if name in ("account", "activity"):
            found.update(value if isinstance(value, Mapping) else {})
        elif name == "invoices" and isinstance(value, Mapping):
            found[name] = _page(value)
        else:
            found[name] = value
    return {name: _plain(name, value) for name, value in found.items()}


def _page(value: Mapping[str, Json]) -> Json:
    """Write a page of invoices as the source does, whether it is one or a connection."""
    edges, info = value.get("edges"), value.get("pageInfo")
    if not isinstance(edges, Sequence) or not isinstance(info, Mapping):
        return {"items": value.get("items"), "more": value.get("nextCursor") is not None}
    nodes = [edge.get("node") if isinstance(edge, Mapping) else None for edge in edges]
    return {"items": nodes, "more": info.get("hasNextPage")}


def _plain(name: str, value: Json) -> Json:
    """Write a value as the sources do: words in small letters, UTC as Z."""
    if isinstance(value, str):
        if name == "billingStatus":
            return value.lower()
        return value.removesuffix("+00:00") + "Z" if value.endswith("+00:00") else value
    if isinstance(value, Mapping):
        return {inner: _plain(inner, one) for inner, one in value.items()}
    if isinstance(value, Sequence):
        return [_plain("", one) for one in value]
    return value
