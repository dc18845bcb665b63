"""The import of fields: a property for each field of a record, by names and types."""

from pathlib import Path

import pytest

from app.expressions.expression import compile_expression
from app.importing.names import WORDS
from app.schema.default import BILLING_STATUS, DEFAULT_SCHEMA
from tests.importing.documents import (
    ACCOUNT,
    COUNT,
    NAMES,
    TEXT,
    TIME,
    Imported,
    Json,
    array,
    imported,
    object_of,
    one_customer,
)

DECIMAL: Json = {"type": "number"}
STATUS_OF = BILLING_STATUS.name_for

FLAG: Json = {"type": "boolean"}


def fields_of(tmp_path: Path, properties: Json, source: str = "billing") -> Imported:
    """Import a row with some properties."""
    return imported(tmp_path, one_customer(object_of({"id": TEXT, **properties})), source=source)


def schema_like(annotation: str) -> Json:
    """Make the schema of a plain property by the type of a record's field."""
    return TIME if "datetime" in annotation.lower() else COUNT if "int" in annotation else TEXT


def test_a_row_of_the_default_contract_gives_all_fields(
    tmp_path: Path,
) -> None:
    event = object_of({"id": TEXT, "type": TEXT, "occurredAt": TIME})
    rows: dict[str, Json] = {
        "profile": {
            **dict.fromkeys(("username", "displayName", "email", "avatarUrl", "locale"), TEXT),
            "createdAt": TIME,
        },
        "billing": ACCOUNT,
        "activity": {"lastSeenAt": TIME, "loginCount": COUNT, "events": array(event)},
    }
    for source in NAMES:
        spec = DEFAULT_SCHEMA.sources[source]
        own = {
            str(info.alias): schema_like(str(info.annotation))
            for name, info in spec.record.model_fields.items()
            if name != spec.key
        }

        made = fields_of(tmp_path, {**own, **rows[source]}, source)

        assert set(made.fields) == {*spec.record.model_fields} - {spec.key}
        assert made.settings(tmp_path).fields == made.fields
        assert not made.warnings


@pytest.mark.parametrize(
    ("source", "field", "properties", "expression"),
    [
        ("profile", "username", {"preferred_username": TEXT}, "preferred_username"),
        ("profile", "username", {"LOGIN": TEXT}, "LOGIN"),
        ("profile", "username", {"user-name": TEXT}, '"user-name"'),
        ("profile", "display_name", {"full name": TEXT}, '"full name"'),
        ("profile", "display_name", {"name": object_of({"formatted": TEXT})}, "name.formatted"),
        (
            "profile",
            "display_name",
            {"firstName": TEXT, "lastName": TEXT},
            "join(' ', [firstName, lastName][?@])",
        ),
        (
            "profile",
            "display_name",
            {"name": object_of({"first": TEXT, "last": TEXT})},
            "join(' ', [name.first, name.last][?@])",
        ),
        ("profile", "email", {"a": COUNT, "login": {"format": "email", **TEXT}}, "login"),
        ("profile", "email", {"emails": array(TEXT)}, "emails[0]"),
        ("profile", "email", {"emails": array(object_of({"value": TEXT}))}, "emails[0].value"),
        (
            "profile",
            "email",
            {"emails": array(object_of({"value": TEXT, "primary": FLAG}))},
            "(emails[?primary].value)[0] || emails[0].value",
        ),
        ("profile", "avatar_url", {"picture": object_of({"url": TEXT})}, "picture.url"),
        ("profile", "locale", {"preferred_locales": array(TEXT)}, "preferred_locales[0]"),
        ("profile", "created_at", {"created": TIME}, "iso_time(created)"),
        (
            "profile",
            "created_at",
            {"traits": object_of({"signupDate": TIME})},
            "iso_time(traits.signupDate)",
        ),
        ("billing", "plan", {"plan": object_of({"code": TEXT})}, "plan.code"),
        ("billing", "plan", {"planId": COUNT}, "planId && to_string(planId)"),
        ("billing", "plan", {"subscription": object_of({"plan": TEXT})}, "subscription.plan"),
        ("billing", "status", {"state": {"enum": ["active", "ended"]}}, "state"),
        ("billing", "status", {"status": object_of({"type": TEXT})}, "status.type"),
        (
            "billing",
            "status",
            {"status": TEXT, "subscription": object_of({"status": TEXT})},
            "subscription.status",
        ),
        (
            "billing",
            "plan",
            {
                "plan": object_of(
                    {"nickname": {"type": "string", "nullable": True}, "id": TEXT, "slug": COUNT}
                )
            },
            "plan.nickname || plan.id",
        ),
        (
            "billing",
            "plan",
            {
                "subscriptions": object_of(
                    {"data": array(object_of({"tier": TEXT})), "has_more": FLAG}
                )
            },
            "subscriptions.data[0].tier",
        ),
        ("activity", "login_count", {"sign_in_count": COUNT}, "sign_in_count"),
        ("activity", "login_count", {"logins": TEXT}, "number(logins)"),
        (
            "activity",
            "login_count",
            {"stats": object_of({"logins": DECIMAL})},
            "number(stats.logins)",
        ),
        ("activity", "last_seen_at", {"lastLogin": TIME}, "iso_time(lastLogin)"),
    ],
)
def test_a_field_is_found_by_its_names(
    tmp_path: Path, source: str, field: str, properties: dict[str, object], expression: str
) -> None:
    made = fields_of(tmp_path, properties, source)

    assert made.fields[field] == expression
    compile_expression(expression)


@pytest.mark.parametrize(
    ("schema", "expression", "note"),
    [
        (TIME, "iso_time(created)", None),
        ({"type": "string", "format": "date"}, "iso_time_utc(created)", None),
        (TEXT, "iso_time(created)", "taken for a time of ISO 8601"),
        ({"type": "integer", "format": "unix-time"}, "unix_seconds(created)", None),
        (COUNT, "unix_seconds(created)", "taken for seconds since 1970"),
        (
            {"type": "integer", "description": "Milliseconds since the epoch."},
            "unix_millis(created)",
            "taken for milliseconds since 1970",
        ),
        (
            {"type": "integer", "example": 1_700_000_000_000},
            "unix_millis(created)",
            "taken for milliseconds since 1970",
        ),
    ],
)
def test_a_time_is_read_by_its_type_and_format(
    tmp_path: Path, schema: Json, expression: str, note: str | None
) -> None:
    made = fields_of(tmp_path, {"created": schema}, "profile")

    assert made.fields["created_at"] == expression
    comment = made.comment_on("created_at")
    assert comment.startswith(f"Check: {note}. " if note else str(schema["type"]))


@pytest.mark.parametrize(
    ("properties", "expression"),
    [
        ({"balance": COUNT, "currency": TEXT}, "money_minor(balance, currency)"),
        ({"balance": DECIMAL, "currencyCode": TEXT}, "money_decimal(balance, currencyCode)"),
        ({"balance": TEXT, "currency": TEXT}, "money_decimal(balance, currency)"),
        (
            {"balance": object_of({"amount": COUNT, "currency": TEXT})},
            "money_minor(balance.amount, balance.currency)",
        ),
        (
            {"amountDue": object_of({"value": TEXT, "currency": TEXT})},
            "money_decimal(amountDue.value, amountDue.currency)",
        ),
        ({"balance": FLAG, "currency": TEXT, "due": COUNT}, "money_minor(due, currency)"),
    ],
)
def test_an_amount_is_read_beside_its_currency(
    tmp_path: Path, properties: dict[str, object], expression: str
) -> None:
    made = fields_of(tmp_path, properties)

    assert made.fields["balance"] == expression
    unit = "minor" if "minor" in expression else "main"
    assert made.comment_on("balance").startswith(f"Check: taken for {unit} units")


def test_an_amount_without_a_currency_is_left_out_with_an_example(
    tmp_path: Path,
) -> None:
    made = fields_of(tmp_path, {"balance": DECIMAL})

    assert "balance" not in made.fields
    assert (
        "# balance = \"money_decimal(balance, 'EUR')\"  # no property fits; expected an"
        in made.text
    )


@pytest.mark.parametrize(
    ("events", "expression"),
    [
        (
            array(object_of({"id": COUNT, "kind": TEXT, "at": COUNT})),
            "events[].{id: id && to_string(id), type: kind, occurredAt: unix_seconds(at)}",
        ),
        (
            object_of(
                {"data": array(object_of({"uuid": TEXT, "action": TEXT, "timestamp": TIME}))}
            ),
            "events.data[].{id: uuid, type: action, occurredAt: iso_time(timestamp)}",
        ),
    ],
)
def test_events_are_mapped_item_by_item(tmp_path: Path, events: Json, expression: str) -> None:
    made = fields_of(tmp_path, {"events": events, "logins": COUNT}, "activity")

    assert made.fields["events"] == expression
    assert made.comment_on("events").startswith("Check: expected newest first.")
    assert made.settings(tmp_path).fields == made.fields


@pytest.mark.parametrize(
    "events",
    [array(TEXT), array(object_of({"id": TEXT, "type": TEXT})), object_of({"id": TEXT}), TEXT],
)
def test_a_list_with_incomplete_items_is_left_out(tmp_path: Path, events: Json) -> None:
    made = fields_of(tmp_path, {"events": events}, "activity")

    assert "events" not in made.fields
    assert "sources.activity.fields.events: no property fits: expected a list" in made.warnings


def test_a_property_of_another_type_does_not_fit(tmp_path: Path) -> None:
    properties = {"plan": FLAG, "status": FLAG, "renewsAt": FLAG, "balance": FLAG}

    assert fields_of(tmp_path, properties).fields == {}


def test_a_property_with_a_name_too_long_for_an_expression_does_not_fit(tmp_path: Path) -> None:
    long = f"plan{'-' * 2_000}"

    assert fields_of(tmp_path, {long: TEXT, "tier": TEXT}).fields == {"plan": "tier"}


def test_an_object_that_may_be_an_id_is_not_searched(tmp_path: Path) -> None:
    customer: Json = {"anyOf": [TEXT, object_of({"plan": TEXT})]}

    assert "plan" not in fields_of(tmp_path, {"customer": customer}).fields


STATES = ("ACTIVE", "TRIALING", "PAST_DUE", "CANCELLED")


def status_of(tmp_path: Path, *words: str) -> Imported:
    """Import a row whose status is one of some words."""
    return fields_of(tmp_path, {**ACCOUNT, "status": {"type": "string", "enum": [*words, None]}})


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("paid", "Paid", "in_good_standing", "current", "enabled"), "ACTIVE"),
        (("trial", "in-trial", "ON_TRIAL", "trialling", "free trial"), "TRIALING"),
        (("past-due", "PastDue", "unpaid", "incomplete", "overdue", "grace_period"), "PAST_DUE"),
        (("ended", "EXPIRED", "incomplete_expired", "non_renewing", "closed"), "CANCELLED"),
    ],
)
def test_words_of_a_status_with_a_clear_meaning_are_translated(
    tmp_path: Path, words: tuple[str, ...], state: str
) -> None:
    made = status_of(tmp_path, "active", *words)

    assert made.table["words"] == {"status": dict.fromkeys(words, state)}
    assert made.settings(tmp_path).words == made.table["words"]
    assert not made.warnings
    assert STATUS_OF(state) == state


def test_only_words_that_the_gateway_does_not_know_are_translated(
    tmp_path: Path,
) -> None:
    known = [word for words in WORDS["status"].values() for word in words]

    made = status_of(tmp_path, *known)

    translated = made.table["words"]["status"]
    assert {STATUS_OF(word) for word in translated} == {"UNKNOWN"}
    assert set(translated.values()) == {*STATES}
    assert {*known} - translated.keys() == {"canceled"}


@pytest.mark.parametrize("word", ["active", "Trialing", "PAST_DUE", "cancelled", "CANCELED"])
def test_a_word_that_the_gateway_knows_is_not_translated(tmp_path: Path, word: str) -> None:
    made = status_of(tmp_path, word, "unknown")

    assert "words" not in made.table
    assert STATUS_OF(word) != "UNKNOWN"


def test_words_without_a_clear_meaning_are_left_to_the_operator(tmp_path: Path) -> None:
    made = status_of(tmp_path, "active", "unpaid", "paused", "on hold\n")

    assert made.text.endswith(
        """
[sources.billing.words.status]
# Check: the words of the service, and what they are taken for.
unpaid = "PAST_DUE"
# Expected ACTIVE, TRIALING, PAST_DUE or CANCELLED for:
#   paused
#   on hold
"""
    )
    [warning] = made.warnings.splitlines()[1:]
    assert warning == (
        "  - sources.billing.words.status: expected ACTIVE, TRIALING, PAST_DUE or CANCELLED for"
        ' "paused", "on hold\\n"'
    )


def test_many_words_are_listed_in_part(tmp_path: Path) -> None:
    made = status_of(tmp_path, *(f"state {number}" for number in range(120)))

    assert made.table["words"] == {"status": {}}
    assert made.settings(tmp_path).words == {"status": {}}
    assert "#   state 99\n#   and 20 more\n" in made.text
    assert made.warnings.endswith('"state 9" and 110 more\n')


def test_words_of_another_field_are_not_translated(tmp_path: Path) -> None:
    made = fields_of(tmp_path, {**ACCOUNT, "plan": {"type": "string", "enum": ["paid", "trial"]}})

    assert "words" not in made.table


def test_missing_fields_are_reported_in_the_file_and_on_stderr(tmp_path: Path) -> None:
    made = fields_of(tmp_path, {"plan": TEXT})

    assert made.fields == {"plan": "plan"}
    assert made.text.count("# no property fits; expected ") == 3
    assert '# status = "status"  # no property fits; expected text. State of the' in made.text
    assert (
        '# renews_at = "iso_time(renews_at)"  # no property fits; expected a time. When'
        in made.text
    )
    missing = "  - sources.billing.fields.{}: no property fits: expected {}."
    assert [line.partition(". ")[0] + "." for line in made.warnings.splitlines()[1:]] == [
        missing.format("status", "text"),
        missing.format("balance", "an amount of money, with its currency"),
        missing.format("renews_at", "a time"),
    ]


def test_a_property_that_may_be_null_or_missing_fits(tmp_path: Path) -> None:
    nullable: Json = {"type": "string", "nullable": True, "description": "The plan."}
    row = object_of({**ACCOUNT, "plan": nullable}, required=["id", "plan"])

    made = imported(tmp_path, one_customer(row))

    assert made.comment_on("plan") == "string or null. The plan."
    assert made.comment_on("status") == "string"
    assert not made.warnings


def test_the_other_properties_are_listed_with_type_and_description(tmp_path: Path) -> None:
    made = fields_of(
        tmp_path,
        {
            "plan": TEXT,
            "tax": {"type": "string", "enum": ["exempt", "none"], "description": "Tax\nstate."},
            "billing": object_of({"iban": TEXT}),
        },
    )

    assert made.text.partition("# The other properties of a row:\n")[2].splitlines() == [
        "#   tax  string: exempt, none. Tax state.",
        "#   billing  object",
        "#   billing.iban  string",
    ]
