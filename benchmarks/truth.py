"""What the upstream holds, asked of itself: what every peer has to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.client import Json, get_json
from benchmarks.conversation import User
from benchmarks.errors import BenchmarkError
from benchmarks.upstream import BenchUpstream
from benchmarks.users import USERS, user_id
from benchmarks.workloads import UpstreamDoor, Workload

_CALLS: Final = (
    ("profile", "/profile/users", "id"),
    ("billing", "/billing/accounts", "userId"),
    ("activity", "/activity/summaries", "userId"),
)
_AT_ONCE: Final = 100
_PUBLIC: Final[Mapping[str, Mapping[str, str]]] = {
    "profile": {
        name: name
        for name in ("username", "displayName", "email", "avatarUrl", "locale", "createdAt")
    },
    "billing": {
        "plan": "plan",
        "status": "billingStatus",
        "balance": "balance",
        "renewsAt": "renewsAt",
    },
    "activity": {name: name for name in ("lastSeenAt", "loginCount", "events")},
}
"""What each source's fields are called in the answer."""


@dataclass(frozen=True, slots=True)
class Truth:
    """All users.

    Attributes:
        rows: What each source says of each user, by source and id, under public names.
        invoices: All invoices of each user, newest first.
    """

    rows: Mapping[str, Mapping[str, User]]
    invoices: Mapping[str, Sequence[Json]]

    def user(self, user: str, workload: Workload) -> User | None:
        """Tell what has to be answered for one user.

        Returns:
            Null for what a failing source knows, and for a user that no source knows.
        """
        if user not in self.invoices:
            return None
        whole: dict[str, Json] = {"id": user}
        for source in workload.sources:
            row = self.rows[source][user]
            whole |= dict.fromkeys(row) if source in workload.lost else row
        if workload.invoices:
            all_of = self.invoices[user]
            more = len(all_of) > workload.invoices
            whole["invoices"] = {"items": all_of[: workload.invoices], "more": more}
        return whole


def truth_of(upstream: BenchUpstream) -> Truth:
    """Ask the upstream for all that it knows.

    Raises:
        BenchmarkError: It does not answer as it should.
    """
    port = upstream.ports[UpstreamDoor.FAST]
    ids = [user_id(number, upstream.ids) for number in range(1, USERS + 1)]
    rows: dict[str, dict[str, User]] = {}
    for source, path, parameter in _CALLS:
        of_source = rows.setdefault(source, {})
        for first in range(0, USERS, _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            found = get_json(port, f"{path}?" + "&".join(f"{parameter}={one}" for one in some))
            for row in found if isinstance(found, Sequence) else ():
                if isinstance(row, Mapping):
                    public = _PUBLIC[source].items()
                    of_source[str(row[parameter])] = {name: row[own] for own, name in public}
        if of_source.keys() != {*ids}:
            raise BenchmarkError(f"the upstream's {source} does not know all users")
    return Truth(rows, {one: _invoices(port, one) for one in ids})


def _invoices(port: int, user: str) -> Sequence[Json]:
    """Ask the upstream for a user's invoices.

    Raises:
        BenchmarkError: It has none.
    """
    page = get_json(port, f"/billing/invoices?userId={user}")
    items = page.get("items") if isinstance(page, Mapping) else None
    if not isinstance(items, Sequence) or not items:
        raise BenchmarkError(f"the upstream has no invoices of {user}")
    return items
