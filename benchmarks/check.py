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

from benchmarks.conversation import ask
from benchmarks.judge import judge
from benchmarks.stage import Standing
from benchmarks.truth import Truth
from benchmarks.users import Ids
from benchmarks.workloads import Workload, some_ids

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
