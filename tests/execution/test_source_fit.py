"""Words and defaults in the settings of sources have to be words of the public enums."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.execution.source_fit import misfits_in
from app.main import load_settings
from app.schema.definitions import EnumDefinition, EnumValue

FIELDS = {"user_id": "id", "status": "state", "renews_at": "until"}


def misfits_of(**billing: object) -> list[tuple[str, str]]:
    """List the mistakes in the settings of billing, with their places."""
    values = {"sources": {"billing": {"base_url": "http://a", **billing}}}
    found = misfits_in(values)
    return [(".".join(map(str, keys)), what) for keys, what in found if what is not None]


def test_an_unknown_word_of_an_enum_is_reported_with_a_suggestion() -> None:
    words = {"status": {"incomplete": "PASTDUE", "ended": "over"}}

    assert misfits_of(fields=FIELDS, words=words) == [
        ("sources.billing.words.status.incomplete", "got 'PASTDUE': did you mean PAST_DUE?"),
        (
            "sources.billing.words.status.ended",
            "got 'over': expected one of ACTIVE, TRIALING, PAST_DUE, CANCELLED, UNKNOWN.",
        ),
    ]


def test_an_unknown_default_or_word_of_an_endpoint_is_reported() -> None:
    request = {"form": "repeat", "path": "/accounts", "parameter": "id"}
    state = {
        "request": request,
        "fields": FIELDS,
        "words": {"status": {"a": "aktive"}},
        "defaults": {"status": "trial"},
    }

    assert misfits_of(endpoints={"state": state}) == [
        ("sources.billing.endpoints.state.defaults.status", "got 'trial': did you mean TRIALING?"),
        (
            "sources.billing.endpoints.state.words.status.a",
            "got 'aktive': did you mean ACTIVE?",
        ),
    ]


@pytest.mark.parametrize("word", ["PAST_DUE", "past_due", "canceled", "Unknown"])
def test_the_words_of_the_enum_fit_in_any_case(word: str) -> None:
    assert not misfits_of(fields=FIELDS, words={"status": {"a": word}}, defaults={"status": word})


def test_a_suggestion_has_the_word_of_a_value_whose_name_is_not_a_word() -> None:
    values = (EnumValue("JUNIOR", None, ("1st",)), EnumValue("SENIOR", None, ("2nd", "senior")))
    enum = EnumDefinition("Level", "How experienced.", values)

    assert enum.wrong_word("1sst") == "got '1sst': did you mean 1st?"
    assert enum.wrong_word("?") == "got '?': expected one of 1st, SENIOR."


def test_words_need_a_text_field_with_an_expression() -> None:
    words = {"renewsAt": {"never": "no time"}, "balance": {"a": "b"}, "plan": {"a": "b"}}

    assert [
        (place, what.partition(":")[0]) for place, what in misfits_of(fields=FIELDS, words=words)
    ] == [
        ("sources.billing.words.renewsAt.never", "does not fit"),
        ("sources.billing.words.balance", "has no words"),
        ("sources.billing.words.balance.a", "does not fit"),
        ("sources.billing.words.plan", "has no words"),
    ]


def test_words_of_a_wrong_type_are_not_reported_here() -> None:
    assert not misfits_of(fields=FIELDS, words={"status": {"a": 7}})
    assert not misfits_of(fields=FIELDS, words=7, defaults=[])
    assert not misfits_of(endpoints=7)


def test_unknown_words_and_defaults_are_reported_at_start_with_file_and_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        """
[auth]
mode = "none"
[sources]
profile.base_url = "http://a"
activity.base_url = "http://a"
[sources.billing]
base_url = "http://a"
[sources.billing.fields]
renewsAt = "until"
status = "state"
[sources.billing.words]
status = { incomplete = "PASTDUE" }
[sources.billing.defaults]
renewsAt = "tomorrow"
status = "actve"
""".lstrip(),
        encoding="utf-8",
    )

    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, config=file)

    status, renews, default = raised.value.mistakes
    where = "[sources.billing.words.status] incomplete"
    assert status == f"{file}:12: {where} got 'PASTDUE': did you mean PAST_DUE?"
    assert renews.startswith(f"{file}:14: [sources.billing.defaults] renewsAt does not fit: ")
    assert (
        default == f"{file}:15: [sources.billing.defaults] status got 'actve': did you mean ACTIVE?"
    )


def test_all_mistakes_of_all_tables_are_reported_together(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        """
[auth]
mode = "none"
[sources]
profile.base_url = "http://a"
activity.base_url = "http://a"
[sources.profile.request]
form = "each"
path = "/users"
page_size = 5
[sources.profile.answer]
by_key = true
key = ["id"]
more = { next_url = ["next"] }
[sources.billing]
base_url = "http://a"
[sources.billing.lists.invoices]
path = "/invoices"
next_cursor = ["next"]
[sources.billing.endpoints.one]
request = { form = "list", path = "/a", parameter = "id" }
answer = { many = false }
fields = { plan = "plan" }
[sources.billing.endpoints.two]
request = { form = "list", path = "/b", parameter = "id" }
fields = { plan = "plan", stats = "status" }
""".lstrip(),
        encoding="utf-8",
    )

    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, config=file)

    endpoints = "[sources.billing.endpoints."
    assert [one.removeprefix(f"{file}:") for one in raised.value.mistakes] == [
        (
            "6: [sources.profile.request] is wrong: expected page_size and page_size_parameter"
            " both, or neither; expected parameter, or {key} in path, parameters or headers."
        ),
        (
            "10: [sources.profile.answer] is wrong: expected rows beside next_url: without it, the"
            " answer is the rows; expected no key beside by_key = true: the names are the keys."
        ),
        (
            "16: [sources.billing.lists.invoices] is wrong: expected parameter, or {key} in path,"
            " parameters or headers; expected rows beside next_cursor: without it, the answer is"
            " the rows."
        ),
        (
            f"21: {endpoints}one.answer] many is false, and requests have several keys: expected"
            ' answer.key, or form = "each".'
        ),
        f"25: {endpoints}two.fields] stats is no field of billing: did you mean status?",
        (
            f"25: {endpoints}two.fields] plan is given by one too: expected one endpoint for each"
            " field."
        ),
    ]
