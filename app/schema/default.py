"""The default schema: what is known of a user, and the source and policy of each field."""

from app.auth.policies import PUBLIC, scoped, self_or
from app.schema.definitions import (
    EnumDefinition,
    EnumValue,
    ObjectDefinition,
    ObjectField,
    SchemaDefinition,
    lists,
    shows,
)
from app.sources.records import (
    ACTIVITY,
    BILLING,
    INVOICES,
    PROFILE,
    EventRecord,
    InvoiceRecord,
    MoneyRecord,
)

OWN_PROFILE = self_or("profile:read")
OWN_BILLING = self_or("billing:read")
OWN_ACTIVITY = self_or("activity:read")

BILLING_STATUS = EnumDefinition(
    "BillingStatus",
    "State of a user's subscription.",
    (
        EnumValue("ACTIVE", "Paid for.", ("active",)),
        EnumValue("TRIALING", "In a trial.", ("trialing",)),
        EnumValue("PAST_DUE", "A payment is late.", ("past_due",)),
        EnumValue("CANCELLED", "Ended, or about to.", ("cancelled", "canceled")),
        EnumValue(
            "UNKNOWN", "A state that this version of the schema has no word for.", ("unknown",)
        ),
    ),
    unknown="UNKNOWN",
)

MONEY = ObjectDefinition(
    "Money",
    "An amount of money.",
    (
        ObjectField(
            "amount",
            "SafeInt!",
            "In the minor unit of the currency: cents for EUR, yen for JPY.",
            "amount",
        ),
        ObjectField("currency", "String!", "ISO 4217 code, such as `EUR`.", "currency"),
    ),
    MoneyRecord,
)

EVENT = ObjectDefinition(
    "Event",
    "Something that a user did.",
    (
        ObjectField("id", "ID!", "Identifies the event.", "id"),
        ObjectField("type", "String!", "What was done, such as `login`.", "type"),
        ObjectField("occurredAt", "DateTime!", "When it was done.", "occurred_at"),
    ),
    EventRecord,
)

INVOICE = ObjectDefinition(
    "Invoice",
    "A bill that was sent to a user.",
    (
        ObjectField("id", "ID!", "Identifies the invoice.", "id"),
        ObjectField("number", "String!", "The number printed on it.", "number"),
        ObjectField("status", "String!", "Its state in billing's words, such as `paid`.", "status"),
        ObjectField("issuedAt", "DateTime!", "When it was issued.", "issued_at"),
        ObjectField("total", "Money!", "What it asks for.", "total"),
    ),
    InvoiceRecord,
)

DEFAULT_SCHEMA = SchemaDefinition(
    description=(
        "A user, merged from the sources that know one. A field is `null` without an error where"
        " its source does not know the user, and `null` with an error where its source failed."
    ),
    fields=(
        # profile: who the user is
        shows("username", "String", PROFILE, "The name to sign in with.", may=PUBLIC),
        shows("displayName", "String", PROFILE, "The name others see.", may=PUBLIC),
        shows("email", "String", PROFILE, "The mail address.", may=OWN_PROFILE),
        shows("avatarUrl", "String", PROFILE, "Address of a picture, if there is one.", may=PUBLIC),
        shows(
            "locale",
            "String",
            PROFILE,
            "Language and region, such as `de-AT` (BCP 47).",
            may=OWN_PROFILE,
        ),
        shows("createdAt", "DateTime", PROFILE, "When the user signed up.", may=OWN_PROFILE),
        # billing: what the user pays
        shows("plan", "String", BILLING, "Name of the plan.", may=OWN_BILLING),
        shows(
            "billingStatus",
            "BillingStatus",
            BILLING,
            "State of the subscription.",
            may=OWN_BILLING,
            attribute="status",
        ),
        shows(
            "balance",
            "Money",
            BILLING,
            "What the user owes; negative when in credit.",
            may=OWN_BILLING,
        ),
        shows(
            "renewsAt", "DateTime", BILLING, "When the plan renews, if it does.", may=OWN_BILLING
        ),
        lists(
            "invoices",
            "Invoice",
            BILLING,
            INVOICES,
            "The user's invoices, newest first, page by page.",
            may=OWN_BILLING,
        ),
        # activity: what the user does
        shows(
            "lastSeenAt",
            "DateTime",
            ACTIVITY,
            "When the user was last seen, if ever.",
            may=OWN_ACTIVITY,
        ),
        shows(
            "loginCount",
            "Int",
            ACTIVITY,
            "How often the user has signed in.",
            may=scoped("activity:read"),
        ),
        shows(
            "events",
            "[Event!]",
            ACTIVITY,
            "The latest things that the user did, newest first.",
            may=OWN_ACTIVITY,
            assumed_size=20,
        ),
    ),
    objects=(MONEY, EVENT, INVOICE),
    enums=(BILLING_STATUS,),
    existence=PROFILE,
)
