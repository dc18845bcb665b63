"""Whether an answer is right: each value against the row that it comes from. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import Row
from tests.truth import Field

Path = tuple[str | int, ...]

Truth = Mapping[str, Mapping[str, Row]]
"""What each source knows, by user."""


@dataclass(frozen=True)
class Question:
    """What a client asks for.

    Attributes:
        users: The users, in their order; the same one may come twice.
        fields: What it wants to know of each.
        many: Whether it asks for a list of users.
    """

    users: tuple[str, ...]
    fields: tuple[Field, ...]
    many: bool

    @property
    def parameters(self) -> Mapping[str, object]:
        """The parameters of the GraphQL request."""
        selection = " ".join(one.asked for one in self.fields)
        if self.many:
            query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {selection} }} }}"
            return {"query": query, "variables": {"ids": self.users}}
        query = f"query($id: ID!) {{ user(id: $id) {{ {selection} }} }}"
        return {"query": query, "variables": {"id": self.users[0]}}

    @property
    def paths(self) -> Sequence[Path]:
        """Where the answer has each user."""
        return [("users", index) for index in range(len(self.users))] if self.many else [("user",)]

    @property
    def sources(self) -> Collection[str]:
        """The sources that it takes to answer."""
        return {one.source for one in self.fields}


@dataclass
class ChaosVerdict:
    """What is to be said of an answer.

    Attributes:
        wrong: What is wrong with it, in words: a value that differs from the row's, a null without
            an error where the source knows better, a field that is not there, an error that is no
            source's or where nothing was asked.
        got: How many values it has of users whom their source knows, by source.
        missing: How many of those it says could not be had.
    """

    wrong: list[str] = field(default_factory=list[str])
    got: Counter[str] = field(default_factory=Counter[str])
    missing: Counter[str] = field(default_factory=Counter[str])


def judge(question: Question, body: Mapping[str, Any], truth: Truth) -> ChaosVerdict:
    """Hold an answer against the truth.

    Args:
        question: What was asked.
        body: The answer's JSON.
        truth: What the sources know.

    Returns:
        The verdict.
    """
    judging = _Judging(question, truth)
    errors: Sequence[Mapping[str, Any]] = body.get("errors", [])
    for error in errors:
        judging.note_error(error)
    data: Mapping[str, Any] | None = body.get("data")
    if data is None:
        for user in question.users:
            judging.note_missing(user)
        return judging.verdict
    users: Sequence[Mapping[str, object] | None] = (
        data["users"] if question.many else [data["user"]]
    )
    if len(users) != len(question.users):
        judging.verdict.wrong.append(f"{len(users)} users, expected {len(question.users)}")
        return judging.verdict
    for user, found, path in zip(question.users, users, question.paths, strict=True):
        judging.judge_user(user, found, path)
    judging.end()
    return judging.verdict


class _Judging:
    """One answer on its way to a verdict."""

    def __init__(self, question: Question, truth: Truth) -> None:
        self.verdict = ChaosVerdict()
        self._question = question
        self._truth = truth
        self._failed: set[Path] = set()

    def note_error(self, error: Mapping[str, Any]) -> None:
        """Take note of an error, and where it is."""
        code = str(error["extensions"]["code"])
        self._failed.add(tuple(error.get("path", ())))
        if not code.startswith("SOURCE_"):
            self.verdict.wrong.append(f"{code}: {error['message']}")

    def note_missing(self, user: str) -> None:
        """Take note that the answer has nothing of a user."""
        for one in self._question.fields:
            self.verdict.missing[one.source] += user in self._truth[one.source]

    def judge_user(self, user: str, found: Mapping[str, object] | None, path: Path) -> None:
        """Judge what the answer has of a user."""
        if found is not None:
            for one in self._question.fields:
                self._judge_field(one, user, found, (*path, one.name))
        elif self._takes_error(path):
            self.note_missing(user)
        elif any(user in self._truth[source] for source in self._question.sources):
            self.verdict.wrong.append(f"{path}: null without an error, and a source knows the user")

    def end(self) -> None:
        """Judge the errors that nothing has explained."""
        if self._failed:
            self.verdict.wrong.append(f"errors where nothing was asked: {self._failed}")

    def _judge_field(self, one: Field, user: str, found: Mapping[str, object], path: Path) -> None:
        """Judge one value."""
        row = self._truth[one.source].get(user)
        failed = self._takes_error(path)
        right = None if row is None or failed else one.see(row[one.key])
        value = found.get(one.name, "nothing")
        if value != right:
            self.verdict.wrong.append(f"{path}: {value!r}, expected {right!r}")
        elif row is not None:
            (self.verdict.missing if failed else self.verdict.got)[one.source] += 1

    def _takes_error(self, path: Path) -> bool:
        """Tell whether there is an error at a place, and take it as explained."""
        if path not in self._failed:
            return False
        self._failed.discard(path)
        return True
