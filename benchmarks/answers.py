"""The right answers of a peer, so that each answer under load can be compared.

wrk compares bytes, and knows nothing of what they mean. So an answer that it does not know is put
aside, and judged here, once: it has to say what the upstream holds. A right one is known from then
on. Each peer writes the same answer to the same request, so that few are put aside after a
warm-up.
"""

import http.client
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.conversation import PeerReply, users_in
from benchmarks.judge import judge
from benchmarks.payloads import read_body
from benchmarks.truth import Truth
from benchmarks.workloads import Dialect, Workload


class AnswerBook:
    """What a peer may answer to the requests of one file.

    Attributes:
        known: The file of the answers that are known to be right.
        aside: The file of those that wrk did not know.
    """

    def __init__(
        self,
        folder: Path,
        workload: Workload,
        dialect: Dialect,
        asked: Sequence[Sequence[str]],
        truth: Truth,
    ) -> None:
        """Begin with no known answers.

        Args:
            folder: Where the files are, of this peer and workload alone.
            workload: What is asked.
            dialect: How.
            asked: The users of each request of the file, line by line.
            truth: What the upstream holds.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.known = folder / "known"
        self.aside = folder / "aside"
        self.known.write_bytes(b"")
        self._workload = workload
        self._dialect = dialect
        self._expected = [[truth.user(one, workload) for one in users] for users in asked]
        self._lines: dict[tuple[object, ...], int] = {}
        for line, users in enumerate(self._expected):
            self._lines.setdefault(tuple(user and user["id"] for user in users), line)

    def learn(self) -> list[str]:
        """Judge the answers that were put aside, and know the right ones from now on.

        Returns:
            What is wrong with the others, a line for each.
        """
        complaints: list[str] = []
        with self.known.open("ab") as known:
            for body in _records(self.aside):
                reply = PeerReply(http.client.OK, read_body(body))
                users = users_in(reply, self._workload, self._dialect)
                line = self._lines.get(tuple(user and user.get("id") for user in users), 0)
                wrong = judge(reply, self._workload, self._dialect, self._expected[line])
                if wrong is None:
                    known.write(b"%d %d\n%b\n" % (line + 1, len(body), body))
                else:
                    complaints.append(wrong)
        return complaints


def _records(path: Path) -> Iterator[bytes]:
    """Read what wrk has put aside."""
    with path.open("rb") as file:
        while head := file.readline():
            yield file.read(int(head))
            file.read(1)
