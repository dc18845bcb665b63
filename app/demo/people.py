"""1,000 invented users and the rows that the three services have of them.

The rows follow the contract of the sources (docs/reference/source-contract.md). These models write
rows, and the gateway's records read them. They are separate on purpose: a service and its caller
agree on a contract, not on code.

The users are the same every time. Nothing here reads the clock or the system's randomness. Each
source draws from a generator of its own for each user, so that a new field of one source leaves the
rows of the others as they were.
"""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import product
from random import Random

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel


class ServiceRow(BaseModel):
    """A frozen value whose JSON names are in camel case."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class UserRow(ServiceRow):
    """Who a user is, as the profile service says it. Absent values are written as null."""

    id: str = Field(description="The user's id.")
    username: str = Field(description="Unique, lower case, ASCII.")
    display_name: str = Field(description="The name as its bearer writes it, in any script.")
    email: str = Field(description="An address at a reserved example domain (RFC 2606).")
    avatar_url: str | None = Field(description="Where the picture is, if there is one.")
    locale: str | None = Field(description="A BCP 47 language tag, if one was chosen.")
    created_at: datetime = Field(description="When the user signed up, in UTC.")


class MoneyRow(ServiceRow):
    """An amount of money."""

    amount: int = Field(description="In the currency's minor unit: cents, fils, or whole yen.")
    currency: str = Field(description="An ISO 4217 code.")


class AccountRow(ServiceRow):
    """What a user pays, as the billing service says it. Absent values are left out."""

    user_id: str = Field(description="The user's id.")
    plan: str = Field(description="free, starter, pro or enterprise.")
    status: str = Field(description="In lower case; the service may have words of its own.")
    balance: MoneyRow = Field(description="What the user owes; below zero is credit.")
    renews_at: datetime | None = Field(description="When the plan renews, if it does, in UTC.")


class InvoiceRow(ServiceRow):
    """One invoice of an account."""

    id: str = Field(description="The invoice's id.")
    number: str = Field(description="What people call it; unique.")
    status: str = Field(description="paid, open, void or uncollectible.")
    issued_at: datetime = Field(description="When it was issued, in UTC.")
    total: MoneyRow = Field(description="What it asks for.")


class EventRow(ServiceRow):
    """One thing that a user did."""

    id: str = Field(description="The event's id.")
    type: str = Field(description="What was done, such as signed_in.")
    occurred_at: datetime = Field(description="When, in UTC.")


class SummaryRow(ServiceRow):
    """What a user does, as the activity service says it. Absent values are written as null."""

    user_id: str = Field(description="The user's id.")
    last_seen_at: datetime | None = Field(description="The newest event's time, in UTC.")
    login_count: int = Field(description="How often the user signed in, ever.")
    events: tuple[EventRow, ...] = Field(description="The newest twenty at most, newest first.")


USERS = 1_000
"""How many users there are."""

NOW = datetime(2026, 6, 1, tzinfo=UTC)
"""The demo's present: nothing but renewals lies after it."""

NO_ACCOUNT_EVERY = 17
"""Every 17th user has no account."""

NO_ACTIVITY_EVERY = 23
"""Every 23rd user has no activity."""

_FOUNDED = datetime(2019, 1, 1, tzinfo=UTC)
_SHOWN_OFF = 1  # this user lacks nothing and has several pages of invoices
_PAUSED = frozenset({13, 414})  # a status that the gateway's contract doesn't know
_PLANS = ("free", "starter", "pro", "enterprise")
_DOLLARS = (0, 9, 29, 199)
_EVENT_TYPES = (
    "signed_in",
    "invoice_viewed",
    "report_exported",
    "member_invited",
    "avatar_updated",
    "api_key_created",
    "password_changed",
)
_LETTERS_THAT_DO_NOT_DECOMPOSE = str.maketrans({"ł": "l", "ß": "ss", "đ": "d", "\u0131": "i"})


class Culture(BaseModel):
    """Names that go together, with the language and the currency of where they are common."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

    locale: str = Field(description="A BCP 47 language tag.")
    currency: str = Field(description="An ISO 4217 code.")
    per_dollar: int = Field(description="About how many minor units one US dollar is.")
    order: str = Field(description="How a name is put together from {given} and {family}.")
    given: tuple[str, ...] = Field(description="Given names, as `written` or `written/in ASCII`.")
    family: tuple[str, ...] = Field(description="Family names, in the same way.")


class Person(Struct, frozen=True):
    """One user, as the three services together know them.

    Attributes:
        user: The profile row.
        account: The billing row, or None.
        invoices: Oldest first; empty without an account.
        summary: The activity row, or None.
    """

    user: UserRow
    account: AccountRow | None
    invoices: tuple[InvoiceRow, ...]
    summary: SummaryRow | None


def user_id(number: int) -> str:
    """The id of a user, shaped as a version 4 UUID (RFC 9562).

    Args:
        number: Which user, from 1 to `USERS`.
    """
    return f"00000000-0000-4000-8000-{number:012d}"


def people() -> Iterator[Person]:
    """All users, in the order of their ids."""
    taken: set[str] = set()
    for number, (culture, given, family) in enumerate(_full_names(), start=1):
        user = _user(number, culture, given, family, taken)
        account: AccountRow | None = None
        invoices: tuple[InvoiceRow, ...] = ()
        summary: SummaryRow | None = None
        if number % NO_ACCOUNT_EVERY:
            account, invoices = _billing(number, culture, user)
        if number % NO_ACTIVITY_EVERY:
            summary = _activity(number, user)
        yield Person(user=user, account=account, invoices=invoices, summary=summary)


def _chance(seed: str) -> Random:
    """A generator that draws the same values each time for the same seed."""
    return Random(seed)  # noqa: S311 - invented data must repeat; nothing here is a secret


def _full_names() -> list[tuple[Culture, str, str]]:
    """A different full name for each user."""
    text = resources.files("app.demo").joinpath("cultures.json").read_bytes()
    cultures = TypeAdapter(tuple[Culture, ...]).validate_json(text)
    names = [
        (culture, given, family)
        for culture in cultures
        for given, family in product(culture.given, culture.family)
    ]
    return _chance("names").sample(names, USERS)


def _user(number: int, culture: Culture, given: str, family: str, taken: set[str]) -> UserRow:
    """The profile row; its username is added to those taken."""
    chance = _chance(f"profile {number}")
    written_given, ascii_given = _spellings(given)
    written_family, ascii_family = _spellings(family)
    username = chance.choice(
        (
            f"{ascii_given}.{ascii_family}",
            f"{ascii_given}_{ascii_family}",
            f"{ascii_given[0]}{ascii_family}",
            f"{ascii_given}{chance.randrange(10, 100)}",
        )
    )
    while username in taken:
        username = f"{username}{chance.randrange(10)}"
    taken.add(username)
    latest = NOW - timedelta(days=7) if number != _SHOWN_OFF else _FOUNDED + timedelta(days=365)
    has_avatar = chance.random() < 0.8 or number == _SHOWN_OFF  # noqa: PLR2004 - a share of users
    has_locale = chance.random() < 0.9 or number == _SHOWN_OFF  # noqa: PLR2004 - a share of users
    return UserRow(
        id=user_id(number),
        username=username,
        display_name=culture.order.format(given=written_given, family=written_family),
        email=f"{username}@example.{chance.choice(('com', 'org', 'net'))}",
        avatar_url=f"https://avatars.example.com/{username}.png" if has_avatar else None,
        locale=culture.locale if has_locale else None,
        created_at=_between(chance, _FOUNDED, latest),
    )


def _spellings(name: str) -> tuple[str, str]:
    """A name as it is written, and in lower case ASCII."""
    written, _, ascii_name = name.partition("/")
    if not ascii_name:
        decomposed = unicodedata.normalize("NFKD", written.lower())
        plain = decomposed.translate(_LETTERS_THAT_DO_NOT_DECOMPOSE)
        ascii_name = plain.encode("ascii", errors="ignore").decode()
    return written, ascii_name


def _between(chance: Random, first: datetime, last: datetime) -> datetime:
    """Some whole second from first up to last."""
    return first + timedelta(seconds=chance.randrange(int((last - first).total_seconds())))


def _billing(
    number: int, culture: Culture, user: UserRow
) -> tuple[AccountRow, tuple[InvoiceRow, ...]]:
    """The account and its invoices."""
    chance = _chance(f"billing {number}")
    plan = chance.choices(range(len(_PLANS)), weights=(3, 3, 3, 1))[0]
    status = chance.choices(
        ("active", "trialing", "past_due", "cancelled", "canceled"), weights=(76, 8, 7, 6, 3)
    )[0]
    if number == _SHOWN_OFF:
        plan, status = _PLANS.index("pro"), "active"
    elif number in _PAUSED:
        status = "paused"
    elif plan == 0:
        status = "active"  # nobody owes, tries or cancels what costs nothing
    price = _DOLLARS[plan] * culture.per_dollar
    ended = status in {"cancelled", "canceled"}
    invoices = _invoices(number, user, MoneyRow(amount=price, currency=culture.currency), status)
    renews = plan > 0 and not ended
    account = AccountRow(
        user_id=user.id,
        plan=_PLANS[plan],
        status=status,
        balance=MoneyRow(
            amount=price if status == "past_due" else chance.choice((0, 0, price, -price // 2)),
            currency=culture.currency,
        ),
        renews_at=NOW + timedelta(days=chance.randrange(1, 31)) if renews else None,
    )
    return account, invoices


def _invoices(number: int, user: UserRow, price: MoneyRow, status: str) -> tuple[InvoiceRow, ...]:
    """One invoice a month, oldest first, sixty at most; none where nothing is to be paid."""
    if price.amount == 0:
        return ()
    chance = _chance(f"invoices {number}")
    newest = _month(NOW) - 1
    if status in {"cancelled", "canceled"}:
        newest -= chance.randrange(1, 12)
    wanted = 48 if number == _SHOWN_OFF else chance.randrange(61)
    count = max(0, min(wanted, newest - _month(user.created_at)))
    day, hour = chance.randrange(1, 29), chance.randrange(24)
    invoices: list[InvoiceRow] = []
    for sequence, month in enumerate(range(newest - count + 1, newest + 1), start=1):
        fate = chance.choices(("paid", "void", "uncollectible"), weights=(95, 3, 2))[0]
        usage = price.amount * chance.randrange(11) // 100
        issued_at = datetime(month // 12, month % 12 + 1, day, hour, tzinfo=UTC)
        invoices.append(
            InvoiceRow(
                id=f"inv_{number:06d}{sequence:04d}",
                number=f"{issued_at:%Y%m}-{number:04d}",
                status="open" if status == "past_due" and month == newest else fate,
                issued_at=issued_at,
                total=MoneyRow(amount=price.amount + usage, currency=price.currency),
            )
        )
    return tuple(invoices)


def _month(moment: datetime) -> int:
    """The month, counted from the year 0."""
    return moment.year * 12 + moment.month - 1


def _activity(number: int, user: UserRow) -> SummaryRow:
    """The newest events, newest first, back to the day of signing up."""
    chance = _chance(f"activity {number}")
    events: list[EventRow] = []
    wanted = 20 if number == _SHOWN_OFF else chance.randrange(21)
    moment = _between(chance, max(user.created_at, NOW - timedelta(days=90)), NOW)
    while len(events) < wanted and moment > user.created_at:
        # The newest event is always a sign-in: what else could follow it?
        kind = chance.choice(_EVENT_TYPES) if events else "signed_in"
        events.append(
            EventRow(id=f"evt_{number:06d}{len(events):02d}", type=kind, occurred_at=moment)
        )
        moment -= timedelta(seconds=chance.randrange(60, 5 * 24 * 3600))
    return SummaryRow(
        user_id=user.id,
        last_seen_at=events[0].occurred_at if events else None,
        login_count=len(events) + chance.randrange(500) if events else 0,
        events=tuple(events),
    )
