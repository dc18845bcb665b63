"""Several rows of one user, which together are what the expressions read. Pure.

A group is complete only if no page of the response is missing, because any page may have rows of
any user. Only a group in the order of the service that has as many rows as it may have needs no
more. An incomplete group is a failure, never a shorter list.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any, TypeVar

from msgspec import Struct

from app.expressions.expression import EXACT, EvaluationError, Expression, ResponseFacts
from app.expressions.ids import folded
from app.settings.response import GroupSettings
from app.sources.base import Record, SourceResult, UserId
from app.sources.mapping.contract import RowDamage
from app.sources.mapping.paging import Extent, More
from app.sources.mapping.reader import KeyedRows, MappingReader, cut_off, more_after
from app.sources.mapping.rows import AMBIGUOUS, Remainder, Rows, differs_in_case, result_of

R = TypeVar("R", bound=Record)


class RowGroup(Struct, frozen=True):
    """The rows of one user.

    Attributes:
        user: The requested key.
        keyed: The key of each row, which may differ in case from the requested one, and the row, in
            the order of the answer.
        facts: The first response with such a row.
        wrong: Why the rows cannot be read; ``None`` if they can.
    """

    user: UserId
    keyed: Sequence[tuple[str, object]]
    facts: ResponseFacts
    wrong: str | None = None

    @property
    def rows(self) -> Sequence[object] | None:
        """The rows of the user; ``None`` if they are of several users whose keys differ in case.

        Rows with exactly the requested key have priority, as where a user has one row. In UUIDs,
        case has no meaning: all rows are of the user.
        """
        keys = {key for key, _ in self.keyed if differs_in_case(self.user, key)}
        if not keys or (len(keys) == 1 and all(key in keys for key, _ in self.keyed)):
            return [row for _, row in self.keyed]
        exact = [row for key, row in self.keyed if key not in keys]
        return exact or None


class GroupedRows(Rows[Any]):
    """What the pages of a response have of each key: a ``RowGroup``, or why there is none.

    Attributes:
        enough: With how many rows a group is complete; ``None`` if any page may change it.
    """

    enough: int | None = None

    def needs_more(self, answer: object) -> bool:
        """Return whether a key may have rows on further pages that count.

        Args:
            answer: The group of the key, or the result without a group.

        Returns:
            Whether the group is not complete.
        """
        if self.remainder.more is None:
            return answer is self.remainder.answer
        return not (
            isinstance(answer, RowGroup)
            and self.enough is not None
            and len(answer.rows or ()) >= self.enough
        )


class GroupReader(MappingReader[R]):
    """A ``Reader`` for several rows of each user, which together are what the expressions read.

    An incomplete group is a failure.
    """

    def merged(self, first: Rows[Any], second: Rows[Any]) -> Rows[Any]:
        """Merge two pages, as ``Reader.merged`` says."""
        count = first.remainder.count + second.remainder.count
        nameless = first.remainder.nameless or second.remainder.nameless
        more = more_after(second.remainder, count)
        total = second.remainder.total
        if total is not None and (count > total or _is_repeated(first.answers, second.answers)):
            # The number of rows would be reached with the same rows again and again.
            more, total = More(_REPEATED), None
        answer = nameless or cut_off(self._name, more)
        rest = Remainder(answer, nameless, more, count, total)
        pairs = zip(first.answers, second.answers, strict=True)
        return GroupedRows(
            answers=[_joined(before, after) or rest.answer for before, after in pairs],
            malformed=[*first.malformed, *second.malformed],
            duplicate=0,
            unasked=max(first.unasked, second.unasked),
            remainder=rest,
            facts=second.facts,
            enough=self._enough,
        )

    def results(self, rows: Rows[Any], keys: Sequence[UserId]) -> Sequence[SourceResult[R]]:
        """Return the results after the last page, as ``Reader.results`` says."""
        nameless, rest = rows.remainder.nameless, cut_off(self._name, rows.remainder.more)
        for index, (key, answer) in enumerate(zip(keys, rows.answers, strict=True)):
            if nameless is not None:  # the row may be one of any group
                rows.answers[index] = nameless
            elif rest is not None and rows.needs_more(answer):
                rows.answers[index] = rest
            elif isinstance(answer, RowGroup):
                rows.answers[index] = self._result(answer, key, rows)
        return super().results(rows, keys)

    def unknown(self, user: UserId, facts: ResponseFacts) -> SourceResult[R]:
        """Return the result of a key without a row, as ``Reader.unknown`` says."""
        if self._settings.without_row == "unknown":
            return None
        with localcontext(EXACT):
            return result_of(self._name, self._mapper.record([], user, facts))

    @property
    def _group(self) -> GroupSettings:
        """How rows are grouped."""
        return self._settings.group or GroupSettings()

    @property
    def _enough(self) -> int | None:
        """With how many rows a group is complete; ``None`` if any page may change it."""
        return self._group.max if self._group.order is None else None

    def _matched(
        self, rows: KeyedRows, keys: Sequence[UserId], extent: Extent, facts: ResponseFacts
    ) -> Rows[Any]:
        """Group the rows of each key."""
        names: dict[str, str] = {}
        groups: dict[str, list[tuple[str, object]]] = {}
        wrong: dict[str, str] = {}
        for key, row in zip(rows.keys, rows.values, strict=True):
            name = names.get(key)
            if name is None:
                name = names[key] = folded(key, fold_case=self._fold_case)
            try:
                if not self._is_absent(row, facts):
                    groups.setdefault(name, []).append((key, row))
            except EvaluationError as error:
                groups.setdefault(name, [])
                wrong[name] = f"absent: {error}"
        remainder = self._remainder(rows, extent)
        asked = [folded(key, fold_case=self._fold_case) for key in keys]
        answers: list[Any] = [
            RowGroup(user, groups[name], facts, wrong.get(name))
            if name in groups
            else remainder.answer
            for user, name in zip(keys, asked, strict=True)
        ]
        unasked = len(groups.keys() - asked)
        return GroupedRows(answers, [], 0, unasked, remainder, enough=self._enough)

    def _result(self, group: RowGroup, user: UserId, rows: Rows[Any]) -> SourceResult[R]:
        """Return the result of a complete group."""
        with localcontext(EXACT):
            record = self._record(group, user)
        if isinstance(record, RowDamage):
            rows.malformed.append(record.text)
        return result_of(self._name, record)

    def _record(self, group: RowGroup, user: UserId) -> R | RowDamage[R]:
        """Convert a group to a record."""
        if group.wrong is not None:
            return RowDamage(None, {"": group.wrong})
        chosen = group.rows
        if chosen is None:
            return RowDamage(None, {"": AMBIGUOUS})
        if self._order is not None:
            try:
                chosen = in_order(
                    chosen, self._order, group.facts, descending=self._group.descending
                )
            except EvaluationError as error:
                return RowDamage(None, {"": f"group.order: {error}"})
        [record] = self._mapper.records([chosen[: self._group.max]], [user], group.facts)
        return record


class UniqueReader(GroupReader[R]):
    """A ``Reader`` for one row of each key. Several different rows of a key are a failure.

    The first row would be a guess, for example if two customers have one mail address. All pages
    are read, because any page may have another row.
    """

    def _record(self, group: RowGroup, user: UserId) -> R | RowDamage[R]:
        """Convert the row to a record; several rows have to give the same record."""
        rows = group.rows
        if group.wrong is not None or rows is None:
            return super()._record(group, user)
        first, *others = [self._one_record(row, user, group.facts) for row in rows]
        if any(other != first for other in others):
            return RowDamage(None, {"": f"{len(rows)} different rows of one key"})
        return first

    def _one_record(self, row: object, user: UserId, facts: ResponseFacts) -> R | RowDamage[R]:
        """Convert one row to a record."""
        mistake = self._mistake_in(row)
        if mistake is not None:
            return RowDamage(None, {"": mistake})
        return self._mapper.record(row, user, facts)


_REPEATED = (
    "a page with rows of the page before (check `offset_parameter` and `first_offset`; with"
    " `select`, `always` may name a member in which rows differ)"
)


def _is_repeated(before: Sequence[object], after: Sequence[object]) -> bool:
    """Return whether the rows of a page are those at the end of the pages before."""
    pairs = [
        (first.keyed if isinstance(first, RowGroup) else (), second.keyed)
        for first, second in zip(before, after, strict=True)
        if isinstance(second, RowGroup)
    ]
    return bool(pairs) and all([*rows[-len(page) :]] == [*page] for rows, page in pairs)


def _joined(before: object, after: object) -> RowGroup | None:
    """Join the rows of one user on two pages; ``None`` if there are none."""
    groups = [group for group in (before, after) if isinstance(group, RowGroup)]
    if not groups:
        return None
    keyed = [pair for group in groups for pair in group.keyed]
    wrong = next((group.wrong for group in groups if group.wrong is not None), None)
    return RowGroup(groups[0].user, keyed, groups[0].facts, wrong)


def _is_number(value: object) -> bool:
    """Return whether a value is a number that can be sorted: ``NaN`` has no place in an order."""
    return type(value) is int or (type(value) is Decimal and not value.is_nan())


def in_order(
    rows: Sequence[object], order: Expression, facts: ResponseFacts, *, descending: bool
) -> Sequence[object]:
    """Sort the rows of one user.

    Args:
        rows: The rows.
        order: The expression for the value by which they are sorted.
        facts: The response that they are from.
        descending: Whether the greatest value comes first.

    Returns:
        The rows; those with the same value in the order of the answer.

    Raises:
        EvaluationError: The values are not all texts or all numbers.
    """
    values = [order.evaluate(row, facts) for row in rows]
    texts = all(isinstance(value, str) for value in values)
    if not texts and not all(map(_is_number, values)):
        raise EvaluationError("expected text in all rows, or a number in all rows")
    places: list[Any] = sorted(range(len(rows)), key=values.__getitem__, reverse=descending)
    return [rows[place] for place in places]
