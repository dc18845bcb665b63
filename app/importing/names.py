"""The names by which services call what our records have. Pure data.

Names are compared without case and separators, so ``createdAt``, ``created_at`` and ``CREATED-AT``
are one. In a table, ``a + b`` are two properties whose texts together are the field.
"""

import re
from collections.abc import Collection, Mapping, Sequence

_SEPARATORS = re.compile(r"[^0-9a-z]+")


def squashed(name: str) -> str:
    """Return a name without case and separators.

    Args:
        name: The name.

    Returns:
        Its ASCII letters, in lower case, and its digits.
    """
    return _SEPARATORS.sub("", name.lower())


def singular(name: str) -> str:
    """Return the singular of a squashed name.

    Args:
        name: The name, such as ``userids``.

    Returns:
        The singular, such as ``userid``; the same name if it is one.
    """
    if name == "people":
        return "person"
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return name[:-1]
    return name


def _squashed_all(names: Collection[str]) -> frozenset[str]:
    """Squash names."""
    return frozenset(map(squashed, names))


FIELDS: Mapping[str, Sequence[str]] = {
    # profile
    "username": (
        *("user_name", "login", "login_name", "preferred_username", "user_principal_name"),
        *("handle", "screen_name", "nickname", "nick", "email"),
    ),
    "display_name": (
        *("full_name", "real_name", "formatted_name", "name", "first_name + last_name"),
        *("given_name + family_name", "given_name + surname", "forename + surname"),
        *("nickname", "alias", "handle", "login"),
    ),
    "email": ("email_address", "mail", "primary_email", "emails", "email_addresses", "mails"),
    "avatar_url": (
        *(
            "avatar",
            "picture_url",
            "picture",
            "photo_url",
            "photo",
            "image_url",
            "image",
            "img_url",
        ),
        *("profile_picture", "profile_image", "profile_image_url", "profile_photo", "icon_url"),
        *("thumbnail_url", "thumbnail", "photos", "images", "icon"),
    ),
    "locale": (
        *("language", "preferred_language", "preferred_locale", "preferred_locales"),
        *("language_code", "lang", "ui_locale"),
    ),
    "created_at": (
        *("created", "created_on", "created_date", "created_date_time", "create_time"),
        *("creation_date", "creation_time", "date_created", "registered_at", "registered"),
        *("registration_date", "signed_up_at", "signup_at", "signup_date", "sign_up_date"),
        *(
            "joined_at",
            "joined",
            "member_since",
            "inserted_at",
            "created_time",
            "created_timestamp",
        ),
    ),
    # billing
    "plan": (
        *("plan_name", "subscription_plan", "plan_code", "plan_id", "tier", "product_name"),
        *("product", "package", "package_name", "edition", "price"),
    ),
    "status": (
        *("subscription_status", "billing_status", "payment_status", "account_status"),
        *("state", "subscription_state"),
    ),
    "balance": (
        *("account_balance", "balance_due", "amount_due", "current_balance", "balance_amount"),
        *("outstanding_balance", "outstanding", "amount_owed", "credit_balance"),
        *("balance_cents", "balance_in_cents", "due"),
    ),
    "renews_at": (
        *("renewal_date", "renewal_at", "renews_on", "next_renewal_at", "next_billing_at"),
        *("next_billing_date", "next_charge_at", "next_payment_at", "next_payment_date"),
        *("current_period_end", "current_period_ends_at", "current_term_end", "period_end"),
        *("paid_until", "valid_until", "expires_at", "ends_at"),
    ),
    # activity
    "last_seen_at": (
        *("last_seen", "last_activity_at", "last_activity", "last_active_at", "last_active"),
        *("last_login_at", "last_login", "last_sign_in_at", "last_signed_in_at", "last_access"),
        *("last_accessed_at", "last_visit", "last_visited_at", "last_sign_in_date_time"),
        *("last_login_date", "last_request_at"),
    ),
    "login_count": (
        *("logins_count", "logins", "sign_in_count", "number_of_logins", "session_count"),
        *("sessions", "visits", "visit_count"),
    ),
    "events": (
        *("recent_events", "latest_events", "activities", "recent_activity", "activity"),
        *("actions", "history", "audit_log", "audit_logs", "log"),
    ),
    # an event
    "id": ("event_id", "uuid", "guid", "key"),
    "type": ("event_type", "action", "kind", "event", "event_name", "verb", "name", "category"),
    "occurred_at": (
        *("timestamp", "at", "time", "date", "event_time", "happened_at", "date_time"),
        *("created_at", "created", "created_on", "logged_at"),
    ),
    # an amount of money
    "amount": ("value", "cents", "amount_cents", "amount_in_cents", "minor_units", "units"),
    "currency": ("currency_code", "iso_currency_code", "currency_iso_code", "currency_id"),
}
"""Other names of each field, the likeliest first. The field's own name always comes before."""

OF_NEWEST = frozenset({"last_seen_at"})
"""The fields that are the time of the newest item of a list of the record."""

WITHIN: Mapping[str, Sequence[str]] = {
    "display_name": ("formatted", "full", "display", "first + last", "given + family"),
    "email": ("email", "address", "value"),
    "avatar_url": ("url", "href", "content_url", "src", "medium", "large", "small", "value"),
    "plan": ("name", "nickname", "title", "code", "slug", "id"),
    "status": ("type", "status", "state", "name", "code", "value"),
}
"""Where an object has the name of a field: the likeliest names of the text in it."""

WITHIN_ANY: Sequence[str] = ("value", "name", "code", "id")

CONTAINERS = _squashed_all(
    {
        *("data", "items", "attributes", "properties", "details", "info", "meta", "result"),
        *("user", "person", "profile", "customer", "account", "contact", "member", "owner"),
        *("identity", "traits", "personal_info", "subscriber", "client"),
        *("subscription", "subscriptions", "current_subscription", "active_subscription"),
        *("membership", "billing", "billing_info", "contract", "payment", "plan"),
        *("activity", "stats", "statistics", "usage", "metrics", "session", "summary"),
    }
)
"""The properties with objects that may have fields of the record in them."""

WORDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "status": {
        "ACTIVE": (
            *("activated", "current", "enabled", "good_standing", "in_good_standing", "live"),
            *("paid", "running"),
        ),
        "TRIALING": (
            *("free_trial", "in_trial", "on_trial", "trial", "trial_period", "trialling"),
        ),
        "PAST_DUE": (
            *("arrears", "delinquent", "dunning", "grace_period", "in_arrears", "in_dunning"),
            *("in_grace_period", "incomplete", "late", "overdue", "payment_due", "payment_failed"),
            *("payment_overdue", "unpaid"),
        ),
        "CANCELLED": (
            *("canceled", "canceling", "cancelling", "cancellation_pending", "closed", "ended"),
            *("expired", "incomplete_expired", "non_renewing", "pending_cancel"),
            *("pending_cancellation", "terminated"),
        ),
    },
}
"""The record's words of a field, and other words of services that clearly mean the same. The rest
is for an operator to say: ``paused`` may be any of them."""

UNDERSTOOD: Mapping[str, frozenset[str]] = {
    "status": frozenset({"active", "trialing", "past_due", "cancelled", "canceled", "unknown"}),
}
"""The words of a service that the gateway understands by itself, in any case."""

FOCUS: Mapping[str, frozenset[str]] = {
    "status": _squashed_all({"subscription", "subscriptions", "membership"}),
}
"""The containers that are a better place for a field than the row itself: a row has a state of its
own."""

LISTS = _squashed_all({"data", "items", "results", "values", "nodes", "entries", "records"})
"""The list in an object that is a page of a list."""

USERS = _squashed_all(
    {
        *("user", "customer", "account", "member", "person", "contact", "subscriber", "profile"),
        *("client", "employee", "identity", "subject", "owner", "actor", "principal", "player"),
    }
)
"""What services call users, in the singular."""

IDS: Sequence[str] = ("id", "uuid", "guid", "gid", "uid", "key", "externalid", "accountid")
"""What services call ids, in the singular."""

OTHER_KEYS: Mapping[str, Sequence[str]] = {
    "email": ("email", "emailaddress", "mail", "primaryemail"),
    "username": ("username", "login", "loginname", "handle"),
    "login": ("login", "loginname", "username", "handle"),
    "handle": ("handle", "username", "login", "screenname"),
    "address": ("address",),
    "reference": ("reference",),
}
"""Other properties by which services find users, in the singular, and what they are called in rows.
A row that is found by one of them has no other key."""

SECRETS: Sequence[str] = ("token", "secret", "password", "apikey", "accesskey")
"""Words in the names of parameters with credentials."""

DELETED = _squashed_all({"deleted", "is_deleted"})
"""The truth values by which a row says that it does not count."""

FORMATS: Mapping[str, str] = {"email": "email"}
"""The formats of texts by which a field is known, whatever the name."""

PAGE_SIZES = _squashed_all({"limit", "page_size", "per_page", "count", "max_results", "page_limit"})
CURSORS = _squashed_all({"cursor", "starting_after", "page_token", "after", "next_token"})
HAS_MORE = _squashed_all({"has_more", "has_next", "has_next_page", "more"})
NEXT_CURSORS = _squashed_all({"next_cursor", "next_page_token", "next_token", "end_cursor"})
NEXT_URLS = _squashed_all({"next", "next_url", "next_page", "next_page_url", "next_link"})
"""How services name the parameters and the members of pages."""
