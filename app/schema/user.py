"""The public type ``User``: its fields, and the source and policy of each field."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import strawberry
from strawberry.types.base import get_object_definition

from app.auth.policies import PUBLIC, scoped, self_or
from app.schema.connection import InvoiceConnection
from app.schema.directives import Cost, ListSize
from app.schema.fields import SourceField, Vocabulary, reads, resolves, source_fields
from app.schema.resolvers import DEFAULT_FIRST, latest_events, user_events, user_invoices
from app.schema.values import BillingStatus, Event, Money
from app.sources.base import PageSpec, SourceSpec
from app.sources.records import ACTIVITY, BILLING, INVOICES, PROFILE
from app.sources.results import SourceResults

OWN_PROFILE = self_or("profile:read")
OWN_BILLING = self_or("billing:read")
OWN_ACTIVITY = self_or("activity:read")


@strawberry.federation.type(
    keys=["id"],
    description=(
        "A user, merged from the sources that know one. A field is `null` without an error where"
        " its source does not know the user, and `null` with an error where its source failed."
    ),
)
class User:
    """A user: the id, and the results of its sources."""

    results: strawberry.Private[SourceResults]
    id: strawberry.ID = strawberry.field(description="Identifies the user in every source.")

    # profile: who the user is
    username: str | None = reads(PROFILE, "username", "The name to sign in with.", may=PUBLIC)
    display_name: str | None = reads(PROFILE, "display_name", "The name others see.", may=PUBLIC)
    email: str | None = reads(PROFILE, "email", "The mail address.", may=OWN_PROFILE)
    avatar_url: str | None = reads(
        PROFILE, "avatar_url", "Address of a picture, if there is one.", may=PUBLIC
    )
    locale: str | None = reads(
        PROFILE,
        "locale",
        "Language and region, such as `de-AT` (BCP 47).",
        may=OWN_PROFILE,
    )
    created_at: datetime | None = reads(
        PROFILE, "created_at", "When the user signed up.", may=OWN_PROFILE
    )

    # billing: what the user pays
    plan: str | None = reads(BILLING, "plan", "Name of the plan.", may=OWN_BILLING)
    billing_status: BillingStatus | None = reads(
        BILLING,
        "status",
        "State of the subscription.",
        may=OWN_BILLING,
        of=BillingStatus.of,
    )
    balance: Money | None = reads(
        BILLING,
        "balance",
        "What the user owes; negative when in credit.",
        may=OWN_BILLING,
        of=Money.of,
    )
    renews_at: datetime | None = reads(
        BILLING,
        "renews_at",
        "When the plan renews, if it does.",
        may=OWN_BILLING,
    )
    invoices: InvoiceConnection | None = resolves(
        BILLING,
        user_invoices,
        "The user's invoices, newest first, page by page.",
        may=OWN_BILLING,
        pages=INVOICES,
        fields=(),
        directives=[
            Cost(weight=5),  # a call of its own for each user
            ListSize(
                assumed_size=DEFAULT_FIRST,
                slicing_arguments=["first"],
                sized_fields=["edges"],
                require_one_slicing_argument=False,
            ),
        ],
    )

    # activity: what the user does
    last_seen_at: datetime | None = reads(
        ACTIVITY,
        "last_seen_at",
        "When the user was last seen, if ever.",
        may=OWN_ACTIVITY,
    )
    login_count: int | None = reads(
        ACTIVITY,
        "login_count",
        "How often the user has signed in.",
        may=scoped("activity:read"),
    )
    events: list[Event] | None = resolves(
        ACTIVITY,
        user_events,
        "The latest things that the user did, newest first.",
        may=OWN_ACTIVITY,
        fields=("events",),
        bind=latest_events,
        directives=[
            ListSize(
                assumed_size=20, slicing_arguments=["first"], require_one_slicing_argument=False
            ),
        ],
    )


def specs() -> Mapping[str, SourceSpec[Any]]:
    """Return the sources that ``User`` reads, without building the whole schema.

    Returns:
        The specs by source name, in the order of the fields.
    """
    return {field.spec.name: field.spec for field in _fields().values()}


def lists() -> Mapping[str, Mapping[str, PageSpec[Any]]]:
    """Return the lists that ``User`` reads page by page.

    Returns:
        The lists by source name and by their own name.
    """
    found: dict[str, dict[str, PageSpec[Any]]] = {}
    for field in _fields().values():
        if field.pages is not None:
            found.setdefault(field.pages.name, {})[field.pages.list] = field.pages
    return found


def vocabularies() -> Mapping[str, Mapping[str, type[Vocabulary]]]:
    """Return the enums that ``User`` makes from words of sources.

    Returns:
        The enums by source name and by field of its record.
    """
    found: dict[str, dict[str, type[Vocabulary]]] = {}
    for field in _fields().values():
        if field.projection is not None and (words := field.projection.vocabulary) is not None:
            found.setdefault(field.spec.name, {})[field.projection.attribute] = words
    return found


def _fields() -> Mapping[str, SourceField]:
    """Return the fields that read a source, by their Python names."""
    definition = get_object_definition(User, strict=True)
    return source_fields(definition, lambda field: field.python_name)
