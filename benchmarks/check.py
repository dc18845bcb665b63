"""Whether a peer's answers are right: what is not right is not timed.

A peer that leaves rows out, or that answers with another user's, is fast for the wrong reason. Many
questions are asked at the same time, which shows batches that are mixed up.
"""

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.client import TimedReply
from benchmarks.conversation import User, ask, has_errors, users_in
from benchmarks.stage import Standing
from benchmarks.truth import Truth
from benchmarks.users import Ids
from benchmarks.workloads import Dialect, Workload, some_ids

QUESTIONS: Final = 60
AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What came of the questions.

    Attributes:
        questions: How many were asked.
        wrong: What was wrong, a line for each wrong answer.
    """

    questions: int
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.wrong:
            return f"{self.questions} answers, all right"
        return f"{len(self.wrong)} of {self.questions} answers are wrong, such as: {self.wrong[0]}"


def check(
    standing: Standing, workload: Workload, truth: Truth, ids: Ids, questions: int = QUESTIONS
) -> CheckVerdict:
    """Ask a peer many times and compare what it answers with what the upstream holds.

    Args:
        standing: The peer, running.
        workload: What is asked.
        truth: What the upstream holds.
        ids: What the ids of users look like.
        questions: How many times.
    """
    chance = Random(7)
    asked = [some_ids(workload, chance, ids) for _ in range(questions)]

    def complaint(users: Sequence[str]) -> str | None:
        try:
            reply = ask(standing.peer, standing.port, workload, users)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error!r}"
        expected = [truth.user(one, workload) for one in users]
        return judge(reply, workload, standing.peer.dialect, expected)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        complaints = list(pool.map(complaint, asked))
    return CheckVerdict(questions, tuple(one for one in complaints if one is not None))


def judge(
    reply: TimedReply, workload: Workload, dialect: Dialect, expected: Sequence[User]
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


def _difference(user: User | None, right: User) -> str | None:
    """Say in what a user is not what it should be."""
    if user is None:
        return f"null rather than user {right['id']}"
    for name, value in right.items():
        if user.get(name) != value:
            return f"{name} is {user.get(name)!r} rather than {value!r}"
    return None
