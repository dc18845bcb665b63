"""Invalidation: what the entity cache must no longer use, from a moment on.

An invalidation names users, sources and tags. What is named together narrows: these users, but only
their results of these sources. A tag is what a source has called its response by (``Cache-Tag``).

Nothing is searched for and removed. The cache remembers marks, and each result carries the moment
at which its call began. A result whose call began before a mark that names it is not used, wherever
it is kept and whenever it comes: from memory, from the shared store, or from a call that was on its
way. So a mark is enough, and it costs one look-up in a table.

Moments are microseconds. With a shared store they are those of its clock, so that several gateways
mean the same by them. A process knows that clock only from the last answer of the store, and takes
it to be no later than it surely is. So the moment of a call may be too early, which costs one more
call, but never too late.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import product
from typing import Annotated, Any, NamedTuple

import jiter
from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import quote, what_is_wrong
from app.expressions.ids import folded
from app.resilience.clock import Clock
from app.sources.cache.lifetime import tags_in

MOST_MARKS_AT_ONCE = 10_000
"""The most marks of one invalidation: its users times its sources times its tags."""

MOST_MARKS = 100_000
"""The most marks that are remembered. Older ones then count for everything."""

MICROSECONDS = 1_000_000

DOUBT_AFTER = 0.8
"""Seconds after which a process no longer trusts that it knows all invalidations. All have to
forget within a second."""

Text = Annotated[str, Field(min_length=1, max_length=1_024)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_MARKS_AT_ONCE)]


def _check_tag(text: str) -> str:
    """Refuse a text that no source can call a response by: it would remove nothing."""
    if tags_in(text) != (text,):
        raise ValueError("expected one tag, without spaces and commas, such as team-7")
    return text


Tag = Annotated[Text, AfterValidator(_check_tag)]
Tags = Annotated[tuple[Tag, ...], Field(min_length=1, max_length=MOST_MARKS_AT_ONCE)]

EXPECTED = (
    'expected JSON with "users", "sources" and "tags", each a list of texts, at least one of them,'
    ' such as {"users": ["42"], "sources": ["billing"]}'
)


class Invalidation(BaseModel):
    """What must no longer be used. Lists that are given together narrow each other."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    users: Texts | None = Field(
        default=None, description="Ids of users, or the keys by which sources know them."
    )
    sources: Texts | None = Field(default=None, description="Names of sources.")
    tags: Tags | None = Field(default=None, description="Tags of responses.")

    @model_validator(mode="after")
    def _says_something(self) -> "Invalidation":
        """Require something, and not too much of it."""
        if self.users is None and self.sources is None and self.tags is None:
            raise ValueError("at least one of users, sources and tags is missing")
        count = len(self.users or "x") * len(self.sources or "x") * len(self.tags or "x")
        if count > MOST_MARKS_AT_ONCE:
            raise ValueError(f"it has {count} combinations, and {MOST_MARKS_AT_ONCE} are allowed")
        return self


class InvalidationError(Exception):
    """An invalidation cannot be read; the message says what is wrong, and what would be right."""


def read_invalidation(body: bytes, sources: Collection[str]) -> Invalidation:
    """Read an invalidation of which everything has to be known.

    Args:
        body: JSON.
        sources: The names of the sources of the gateway.

    Returns:
        The invalidation.

    Raises:
        InvalidationError: It is not JSON, or says something that is not known, or something twice:
            one of both would be lost.
    """
    said = read_message(body)
    if mistake := unknown_source_in(said, sources):
        raise InvalidationError(mistake)
    return said


def read_message(body: bytes) -> Invalidation:
    """Read an invalidation, whose sources another gateway may have.

    Args:
        body: JSON.

    Returns:
        The invalidation.

    Raises:
        InvalidationError: It is not JSON or not an invalidation, or says something twice.
    """
    try:
        said = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise InvalidationError(f"it cannot be read as JSON: {error}: {EXPECTED}") from error
    try:
        return Invalidation.model_validate(said)
    except ValidationError as error:
        raise InvalidationError(f"{what_is_wrong(error)}: {EXPECTED}") from error


def unknown_source_in(invalidation: Invalidation, sources: Collection[str]) -> str:
    """Say which source of an invalidation a gateway does not have. Pure.

    Args:
        invalidation: The invalidation.
        sources: The names of the sources of the gateway.

    Returns:
        A sentence about the first such source; an empty text if there is none.
    """
    unknown = next((one for one in invalidation.sources or () if one not in sources), None)
    if unknown is None:
        return ""
    return f"sources has {quote(unknown)}: expected some of {', '.join(sorted(sources))}"


class Mark(NamedTuple):
    """What is not used any more: results that fit all parts that are not ``None``.

    Attributes:
        user: The key of a user, in the form that is equal for equal users.
        source: The name of a source.
        tag: A tag.
    """

    user: str | None
    source: str | None
    tag: str | None


class Forget(Struct, frozen=True):
    """What calls that have begun must not be joined any more.

    Attributes:
        users: The users, in the form that is equal for equal users; ``None`` for all.
        sources: The sources; ``None`` for all.
        fold_case: Whether ids that differ only in case are the same user's.
        clock: Whether moments from before mean nothing any more.
    """

    users: AbstractSet[str] | None
    sources: AbstractSet[str] | None
    fold_case: bool = False
    clock: bool = False

    def names(self, source: str, user: str) -> bool:
        """Return whether calls for a user at a source may be meant, with any tags.

        Args:
            source: The name of the source.
            user: The key of the user.

        Returns:
            Whether they are.
        """
        if self.sources is not None and source not in self.sources:
            return False
        return self.users is None or folded(user, fold_case=self.fold_case) in self.users


class Invalidations:
    """The marks of a process, and the moments that they are compared with.

    Args:
        clock: The clock.
        fold_case: Whether ids that differ only in case are the same user's.
        most: The most marks that are remembered.

    Attributes:
        last: The moment of the latest mark; 0 if there is none.
        count: How many invalidations were applied, in total.
    """

    def __init__(self, clock: Clock, *, fold_case: bool = False, most: int = MOST_MARKS) -> None:
        self.last = 0
        self.count = 0
        self._clock = clock
        self._fold_case = fold_case
        self._most = most
        self._marks: dict[Mark, int] = {}
        self._retained = 0
        self._listeners: list[Callable[[Forget], None]] = []
        self._base = int(clock.now().timestamp() * MICROSECONDS)
        self._base_at = clock.monotonic()
        self._latest = self._base
        self._known_until: int | None = None

    def listen(self, listener: "Callable[[Forget], None]") -> Callable[[], None]:
        """Have a function called at each invalidation.

        Args:
            listener: The function. It gets what is to be forgotten.

        Returns:
            A function that ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def now(self) -> int:
        """Return the moment now.

        Returns:
            Microseconds, more than at the last time.
        """
        passed = self._clock.monotonic() - self._base_at
        self._latest = max(self._latest + 1, self._base + int(passed * MICROSECONDS))
        return self._latest

    def apply(self, invalidation: Invalidation, at: int | None = None) -> None:
        """Remember an invalidation, and tell those who listen.

        Args:
            invalidation: The invalidation.
            at: Its moment; now by default.
        """
        at = self.now() if at is None else at
        for mark in self._marks_of(invalidation):
            # To the end, since the first are the oldest; and never back, if a log is read again.
            self._marks[mark] = max(at, self._marks.pop(mark, at))
        self.last = max(self.last, at)
        while len(self._marks) > self._most:
            oldest = next(iter(self._marks))
            self.doubt_before(self._marks.pop(oldest) + 1)
        self.count += 1
        users, sources, fold_case = invalidation.users, invalidation.sources, self._fold_case
        self._tell(
            Forget(
                None if users is None else {folded(one, fold_case=fold_case) for one in users},
                None if sources is None else {*sources},
                fold_case=fold_case,
            )
        )

    def is_outdated(self, source: str, user: str, tags: Iterable[str], began: int) -> bool:
        """Return whether a result must not be used.

        Args:
            source: The name of its source.
            user: The key of its user.
            tags: The tags of its response.
            began: The moment at which its call began.

        Returns:
            Whether it was invalidated since then, or may have been.
        """
        if began < self._retained:
            return True
        if began > self.last:
            return False
        marks, user = self._marks, folded(user, fold_case=self._fold_case)
        return any(
            marks.get(Mark(some_user, some_source, tag), -1) >= began
            for tag in (None, *tags)
            for some_user in (None, user)
            for some_source in (None, source)
        )

    def doubtful_before(self) -> int:
        """Return the moment before which results may be outdated without anybody knowing it here.

        Returns:
            The moment; 0 if all invalidations are known, except those of the last moments.
        """
        if self._known_until is None:  # without a shared store, there are no others
            return 0
        moment = self.now() - int(DOUBT_AFTER * MICROSECONDS)
        return moment if moment > self._known_until else 0

    def share_clock(self) -> None:
        """Begin to use the clock of a store: from here on, not all invalidations are known."""
        self._known_until = 0

    def set_time(self, moment: int, took: float) -> bool:
        """Compare the clock with that of the store.

        Args:
            moment: The time that the store said.
            took: Seconds that the question took.

        Returns:
            Whether the clock of the store was set back, or it is another store.
        """
        is_set_back = moment + int(took * MICROSECONDS) < max(self._latest, self._base)
        if is_set_back:  # moments from before mean nothing now
            self._latest = moment
            self._retained = max(self._retained, moment)
            self._tell(Forget(None, None, clock=True))
        self._base, self._base_at = moment, self._clock.monotonic()
        return is_set_back

    def doubt_calls(self) -> None:
        """Let no request join a call that began before now: not all invalidations are known."""
        self._tell(Forget(None, None))

    def known_until(self, moment: int) -> None:
        """Note that all invalidations before a moment are known.

        Args:
            moment: The moment.
        """
        self._known_until = moment

    def doubt_before(self, moment: int) -> None:
        """Note that invalidations before a moment are not known, so that all is outdated.

        Args:
            moment: The moment.
        """
        self._retained = max(self._retained, moment)
        self.last = max(self.last, moment)

    def _tell(self, forget: "Forget") -> None:
        """Tell those who listen."""
        for listener in self._listeners:
            listener(forget)

    def _marks_of(self, invalidation: Invalidation) -> Iterator[Mark]:
        """Make the marks of an invalidation: one for each combination."""
        users: list[Any] = [
            folded(one, fold_case=self._fold_case) for one in invalidation.users or ()
        ]
        for user, source, tag in product(
            users or [None], invalidation.sources or [None], invalidation.tags or [None]
        ):
            yield Mark(user, source, tag)
