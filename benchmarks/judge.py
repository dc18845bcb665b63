"""Whether an answer says what the upstream holds."""

import http.client
from collections.abc import Sequence

from benchmarks.conversation import PeerReply, User, has_errors, users_in
from benchmarks.workloads import Dialect, Workload


def judge(
    reply: PeerReply, workload: Workload, dialect: Dialect, expected: Sequence[User | None]
) -> str | None:
    """Judge an answer.

    A source that is down costs its own fields, and GraphQL has to say so by errors.

    Returns:
        What is wrong with it, if anything.
    """
    if reply.status != http.client.OK:
        return f"status {reply.status}"
    if dialect is not Dialect.REST and has_errors(reply) != bool(workload.lost):
        return "no errors where a source is down" if workload.lost else "errors"
    users = users_in(reply, workload, dialect)
    if len(users) != len(expected):
        return f"{len(users)} users rather than {len(expected)}" if users else "no data at all"
    return next(filter(None, map(_difference, users, expected)), None)


def _difference(user: User | None, right: User | None) -> str | None:
    """Say in what a user is not what it should be."""
    if right is None:
        return None if user is None else f"user {user.get('id')} rather than null"
    if user is None:
        return f"null rather than user {right['id']}"
    for name, value in right.items():
        if user.get(name) != value:
            return f"{name} is {user.get(name)!r} rather than {value!r}"
    return None
