"""The probe of sources: the requests that the gateway sends, and the verdict about responses."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import httpx
import pytest

from app.probe.probe import ProbeResult, probe
from app.probe.report import trial_text
from app.probe.verdict import Redaction, SourceCheck, check_of, row_check
from app.settings.models import Settings
from app.settings.source import SourceSettings
from tests.fakes import (
    Behaviour,
    FakeServices,
    FakeTransport,
    account_row,
    activity_row,
    failing,
    json_response,
    profile_row,
    raising,
    settings_for_fakes,
    user_id,
)
from tests.key_from import BY_MAIL, LOOKUP, linked, linked_row, own_key

IDS = (user_id(1), user_id(2))


def fakes() -> FakeServices:
    """Make services that know two users."""
    services = FakeServices()
    for number in (1, 2):
        services.profile.rows[user_id(number)] = profile_row(number)
        services.billing.rows[user_id(number)] = account_row(number)
        services.activity.rows[user_id(number)] = activity_row(number)
    return services


def settings(**billing: object) -> Settings:
    """Make settings, with own settings of billing."""
    whole = settings_for_fakes()
    own = {"base_url": whole.sources["billing"].base_url, **billing}
    changed = SourceSettings.model_validate(own)
    sources = {**whole.sources, "billing": changed}
    return whole.model_copy(update={"sources": sources})


async def billing_of(
    services: FakeServices,
    own: Settings | None = None,
    *,
    ids: Sequence[str] = IDS,
    expected: bool = True,
) -> tuple[ProbeResult, SourceCheck]:
    """Probe billing, and return the result and its check."""
    used = own or settings()
    [probed] = await probe(used, ids, sources=["billing"], transports=services.transport)
    redaction = Redaction(used)
    return probed, check_of(probed, used.sources["billing"], redaction, expected=expected)


async def test_a_good_source_is_shown_with_all_fields_values_and_types() -> None:
    _, check = await billing_of(fakes())

    assert check.well
    assert (check.reachable, check.authenticated, check.understood) == (True, True, True)
    assert (check.found, check.asked, check.calls) == (2, 2, 1)
    assert {row.key for row in check.rows} == set(IDS)
    first = next(row for row in check.rows if row.key == IDS[0])
    assert [(one.name, one.value, one.type) for one in first.fields] == [
        ("plan", "pro", "text"),
        ("status", "active", "text"),
        ("balance", {"amount": 100, "currency": "EUR"}, "object"),
        ("renewsAt", "2026-12-01T00:00:00Z", "time"),
    ]


async def test_a_source_is_called_with_the_keys_of_another_source() -> None:
    parents = {"billing": "profile"}
    services = FakeServices()
    for number in (1, 2):
        services.profile.rows[user_id(number)] = linked_row("profile", number, parents)
    services.billing.rows["billing-1"] = linked_row("billing", 1, parents)

    probed, check = await billing_of(services, linked(settings(), parents))

    assert [one.source for one in probed.exchanges] == ["profile", "billing"]
    assert services.billing.batches[0] == ["billing-1", "billing-2"]
    assert (check.found, check.asked, check.calls) == (1, 2, 1)
    assert [row.key for row in check.rows] == ["billing-1"]


def fakes_with_lookup() -> FakeServices:
    """Make services that know two users; only the first has the billing key in profile."""
    services = FakeServices()
    for name, service in services.by_endpoint.items():
        for number in (1, 2):
            row = linked_row(name, number, BY_MAIL)
            service.rows[own_key(name, number, BY_MAIL)] = row
    mail = {LOOKUP: own_key(LOOKUP, 2, BY_MAIL)}
    services.profile.rows[IDS[1]] = linked_row("profile", 2, BY_MAIL, mail)
    return services


async def test_a_lookup_is_shown_with_the_keys_that_it_gives() -> None:
    probed, check = await billing_of(fakes_with_lookup(), linked(settings(), BY_MAIL))

    assert check.well
    assert (check.found, check.asked, check.calls) == (2, 2, 2)
    paths = [httpx.URL(one.url).path for one in probed.exchanges]
    assert paths == ["/users", "/lookup", "/accounts"]
    first, second = sorted(
        (row_check(row) for row in probed.exchanges[0].rows), key=lambda row: row.key
    )
    assert [(one.name, one.expression, one.value) for one in first.fields[-2:]] == [
        ("key of billing", "keys.billing", "billing-1"),
        (f"key of {LOOKUP}", f'keys."{LOOKUP}"', f"{LOOKUP}-1"),
    ]
    assert [(one.value, one.type) for one in second.fields[-2:]] == [
        (None, "nothing"),
        (f"{LOOKUP}-2", "text"),
    ]
    [found] = [row for row in check.rows if row.source == LOOKUP]
    assert [(one.name, one.value) for one in found.fields] == [("key of billing", "billing-2")]


async def test_a_lookup_without_a_key_is_reported_with_the_reason() -> None:
    services = fakes_with_lookup()
    services.billing.lookup.rows[f"{LOOKUP}-2"] = linked_row(LOOKUP, 2, BY_MAIL, {"billing": [7]})

    _, check = await billing_of(services, linked(settings(), BY_MAIL))

    assert not check.well
    assert check.wrong[-1] == (
        f"{LOOKUP}: 1 row does not fit: keys.billing: expected text or a whole number, got a list"
    )
    [found] = [row for row in check.rows if row.source == LOOKUP]
    assert [one.wrong for one in found.fields] == ["expected text or a whole number, got a list"]


async def test_a_failed_lookup_is_reported_with_its_status() -> None:
    services = fakes_with_lookup()
    services.billing.lookup.behaviour = failing(500)

    _, check = await billing_of(services, linked(settings(), BY_MAIL))

    assert not check.well
    assert (check.found, check.asked) == (1, 2)
    assert check.wrong[-1] == f"{LOOKUP}: status 500"


async def test_sources_are_called_one_after_the_other() -> None:
    services = fakes()

    found = await probe(settings(), IDS, transports=services.transport)

    assert [one.source for one in found] == ["profile", "billing", "activity"]
    assert [[each.source for each in one.exchanges] for one in found] == [
        ["profile"],
        ["billing"],
        ["activity"],
    ]
    assert [services.by_name[one.source].batches[0] for one in found] == [[*IDS]] * 3


async def test_a_malformed_row_is_reported_with_its_fields_and_the_reasons() -> None:
    services = fakes()
    wrong = {"plan": 7, "balance": {"amount": "1", "currency": "EUR"}}
    services.billing.rows[IDS[1]] = account_row(2, **wrong)

    _, check = await billing_of(services)

    assert not check.well
    assert check.understood is False
    assert check.found == 2
    row = next(row for row in check.rows if row.key == IDS[1])
    assert row.wrong is not None
    assert {one.name: one.wrong for one in row.fields} == {
        "plan": "Input should be a valid string",
        "status": None,
        "balance": "amount: Input should be a valid integer",
        "renewsAt": None,
    }
    assert any(IDS[1] in sentence and IDS[0] not in sentence for sentence in check.wrong)


async def test_a_failing_expression_is_shown_with_the_reason() -> None:
    fields = {
        "plan": "plan",
        "status": "status",
        "balance": "money_decimal(plan, 'EUR')",
        "renews_at": "not_there",
    }

    _, check = await billing_of(fakes(), settings(fields=fields), ids=IDS[:1])

    [row] = check.rows
    assert [(one.name, one.expression, one.type, one.wrong) for one in row.fields] == [
        ("plan", "plan", "text", None),
        ("status", "status", "text", None),
        ("balance", "money_decimal(plan, 'EUR')", None, "text that is no number"),
        ("renewsAt", "not_there", "nothing", None),
    ]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(401, (False, None)), (403, (False, None)), (404, (True, False)), (503, (None, None))],
)
async def test_a_status_shows_whether_a_request_was_authenticated_and_understood(
    status: int, verdict: tuple[bool | None, bool | None]
) -> None:
    services = fakes()
    services.billing.behaviour = failing(status)

    _, check = await billing_of(services)

    assert not check.well
    assert (check.reachable, check.authenticated, check.understood) == (True, *verdict)
    assert f"status {status}" in check.wrong


async def test_a_status_has_its_configured_meaning() -> None:
    services = fakes()
    services.billing.behaviour = failing(418)

    _, check = await billing_of(services, settings(answer={"status": {418: "auth"}}))

    assert check.authenticated is False


async def test_an_unreachable_source_is_called_once() -> None:
    services = fakes()
    services.billing.behaviour = raising(httpx.ConnectError("no"))

    probed, check = await billing_of(services)

    assert (check.reachable, check.authenticated, check.understood) == (False, None, None)
    assert len(probed.exchanges) == 1


async def test_a_source_without_the_users_fails_only_if_they_are_expected() -> None:
    services = fakes()
    services.billing.rows.clear()

    _, wrong = await billing_of(services)
    _, well = await billing_of(services, expected=False)

    assert "none of the requested users is known" in wrong.wrong[0]
    assert well.well
    assert well.found == 0


async def test_a_source_that_ignores_the_filter_is_reported_with_a_hint() -> None:
    services = fakes()
    services.billing.behaviour = lambda _: json_response([account_row(n) for n in range(3, 9)])

    _, check = await billing_of(services)

    assert check.understood is False
    assert any("check `request`" in sentence for sentence in check.wrong)


async def test_all_pages_are_read_and_shown() -> None:
    services = fakes()

    def page(request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor")
        number, following = (2, None) if cursor else (1, "c")
        return json_response({"rows": [account_row(number)], "next": following})

    services.billing.behaviour = page
    more = {"next_cursor": ["next"], "cursor_parameter": "cursor"}

    probed, check = await billing_of(services, settings(answer={"rows": ["rows"], "more": more}))

    assert check.well
    assert (check.found, check.calls) == (2, 2)
    assert [[row.key for row in one.rows] for one in probed.exchanges] == [[IDS[0]], [IDS[1]]]


def text_of_trial(
    probed: ProbeResult, check: SourceCheck, own: Settings, *, width: int, lines: int
) -> str:
    """Write the text of a trial."""
    return trial_text(probed, check, Redaction(own), width=width, lines=lines)


async def test_a_trial_shows_request_response_and_records_without_secrets() -> None:
    own = settings(
        auth={"kind": "bearer", "token": "canary-secret"},
        request={"form": "body", "path": "/accounts", "template": '{"ids": "{keys}"}'},
    )

    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"ids": [IDS[0]]}
        row: Mapping[str, Any] = {**account_row(1), "note": "canary-secret \x1b[2J", "big": 1e300}
        return httpx.Response(
            200, text=json.dumps([row]).replace("1e+300", "1.50"), headers={"Link": "<x>"}
        )

    [probed] = await probe(
        own, IDS[:1], sources=["billing"], transports=lambda _: FakeTransport(answer)
    )
    check = check_of(probed, own.sources["billing"], Redaction(own), expected=True)
    text = text_of_trial(probed, check, own, width=100, lines=60)

    assert "POST http://billing/accounts\n" in text
    assert "authorization: Bearer (secret)\n" in text
    assert '{\n  "ids": [\n' in text
    assert "link: <x>\n" in text
    assert '"big": 1.50' in text
    assert f"billing, {IDS[0]}\n  field" in text
    assert text.endswith(" ms.")
    assert "canary-secret" not in text
    assert "\x1b" not in text


async def test_a_trial_fits_its_text_to_the_terminal() -> None:
    own = settings()
    probed, check = await billing_of(fakes(), own)

    wide = text_of_trial(probed, check, own, width=140, lines=60).splitlines()
    short = text_of_trial(probed, check, own, width=80, lines=3)

    assert any(line.startswith("[ ") and line.endswith(f"billing, {IDS[1]}") for line in wide)
    assert "more lines; --full shows them" in short


OAUTH = {
    "kind": "client_credentials",
    "token_url": "http://login/token",
    "client_id": "gateway",
    "client_secret": "canary +secret",
    "client_auth": "post",
}


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, (True, True, True)), (401, (None, False, None))]
)
async def test_the_fetch_of_a_token_is_shown_as_a_call_without_the_token(
    status: int, verdict: tuple[bool | None, bool | None, bool | None]
) -> None:
    own = settings(auth=OAUTH)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "login":
            token = {"access_token": "canary-token", "token_type": "Bearer", "expires_in": 60}
            return httpx.Response(status, json=token)
        assert request.headers["authorization"] == "Bearer canary-token"
        return json_response([account_row(1)])

    [probed] = await probe(
        own, IDS[:1], sources=["billing"], transports=lambda _: FakeTransport(answer)
    )
    check = check_of(probed, own.sources["billing"], Redaction(own), expected=True)
    text = text_of_trial(probed, check, own, width=100, lines=60)

    assert (check.reachable, check.authenticated, check.understood) == verdict
    assert check.well == (status == 200)
    assert "POST http://login/token" in text
    assert "canary" not in text


async def test_equal_responses_for_two_users_and_an_unknown_user_are_reported() -> None:
    services = fakes()
    row = {"plan": "pro", "status": "active"}
    services.billing.behaviour = lambda _: json_response(row)
    each = {
        "form": "each",
        "path": "/accounts",
        "parameter": "uesr",
    }  # misspelt: the service ignores it
    used = settings(request=each, answer={"many": False})
    absent = user_id(99)
    [probed] = await probe(used, IDS, sources=["billing"], transports=services.transport)
    [not_found] = await probe(used, [absent], sources=["billing"], transports=services.transport)

    redaction = Redaction(used)
    check = check_of(probed, used.sources["billing"], redaction, expected=True, stranger=not_found)

    assert not check.well
    [wrong] = check.wrong
    assert wrong == (
        f"the answers for {IDS[0]} and {IDS[1]} and {absent} (who does not exist) are the same:"
        " check that `request` names the user as the service expects it"
    )


async def test_equal_values_of_two_users_are_not_reported() -> None:
    services = fakes()
    each = {"form": "each", "path": "/accounts", "parameter": "userId"}

    _, check = await billing_of(services, settings(request=each))

    assert check.well


EACH: Mapping[str, Any] = {"form": "each", "path": "/accounts", "parameter": "user"}
ONE: Mapping[str, Any] = {"many": False, "rows": ["data"]}
GROUPED: Mapping[str, Any] = {"rows": ["data"], "group": {}, "without_row": "defaults"}
BATCH: Mapping[str, Any] = {"form": "body", "path": "/batch", "template": '[{"get": "/{key}"}]'}
ITEMS: Mapping[str, Any] = {"match": "position", "parts": {"row": ["body"]}}


async def mistakes_of(own: Mapping[str, Any], behave: Behaviour) -> Sequence[str]:
    """Probe a billing service with two users and an unknown one, and return what is wrong."""
    services = fakes()
    services.others["billing"] = behave
    used = settings(**own)
    [probed] = await probe(used, IDS, sources=["billing"], transports=services.transport)
    [not_found] = await probe(
        used, [user_id(99)], sources=["billing"], transports=services.transport
    )
    return check_of(
        probed, used.sources["billing"], Redaction(used), expected=True, stranger=not_found
    ).wrong


WrapRow = Callable[[object, int], Any]
"""Writes a response with a row, and with the number of the call."""

WRAPPINGS: Sequence[tuple[Mapping[str, Any], WrapRow]] = [
    ({"request": EACH, "answer": ONE}, lambda row, at: {"at": at, "data": row}),
    ({"request": EACH, "answer": GROUPED}, lambda row, at: {"took": at, "data": [row, row]}),
    ({"request": BATCH, "answer": ITEMS}, lambda row, _: [{"body": row}] * 2),
]


@pytest.mark.parametrize(
    ("own", "wrap"), WRAPPINGS, ids=["with the time of the answer", "in a group", "in a batch"]
)
async def test_equal_rows_are_reported_in_any_form_of_response(
    own: Mapping[str, Any], wrap: WrapRow
) -> None:
    times = count()

    def behave(request: httpx.Request) -> httpx.Response:
        body = wrap({"tier": "pro"}, next(times))
        users = len(json.loads(request.content)) if request.content else 0
        return json_response(body[:users] if users else body)

    plan = {"fields": {"plan": "[0].tier" if "group" in own["answer"] else "tier"}}
    [wrong] = await mistakes_of({**own, **plan}, behave)

    assert "are the same" in wrong


@pytest.mark.parametrize("empty", [[], [{"tier": None}]], ids=["no row", "a row of nothing"])
async def test_a_user_without_rows_is_not_reported(
    empty: Sequence[object],
) -> None:
    def behave(request: httpx.Request) -> httpx.Response:
        known = request.url.params["user"] == IDS[0]
        return json_response({"data": [{"tier": "pro"}] if known else empty})

    own = {"request": EACH, "answer": GROUPED, "fields": {"plan": "[0].tier"}}

    assert await mistakes_of(own, behave) == ()
