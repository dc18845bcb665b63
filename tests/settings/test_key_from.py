"""The settings of where a source's keys come from, and mistakes in them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from app.errors import ConfigurationError
from app.main import load_settings
from app.settings.models import WrittenSettings
from app.settings.reference import file_schema
from app.settings.source import KeyFromSettings, KeyMistake, SourceSettings, key_mistakes
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, load, mistakes

LOOKUP = {"request": {"form": "repeat", "path": "/by-mail", "parameter": "mail"}}


def test_an_expression_is_compiled_when_it_is_read() -> None:
    with pytest.raises(ValidationError, match=r"there is no lenght\(\), but length\(\)"):
        KeyFromSettings(source="profile", expression="lenght(a)")
    assert KeyFromSettings(source="profile", expression="a.b").expression == "a.b"


def test_keys_come_from_one_place_or_from_several_in_order() -> None:
    one, two = ({"source": name, "expression": "a"} for name in ("profile", "crm"))
    base = {"base_url": "http://billing"}

    none = SourceSettings.model_validate(base)
    alone = SourceSettings.model_validate({**base, "key_from": one})
    both = SourceSettings.model_validate({**base, "key_from": [one, two]})

    assert none.origins == ()
    assert [place.source for place in alone.origins] == ["profile"]
    assert [place.source for place in both.origins] == ["profile", "crm"]
    with pytest.raises(ValidationError, match="at least one table"):
        SourceSettings.model_validate({**base, "key_from": []})


def test_a_lookup_cannot_have_the_name_of_an_endpoint() -> None:
    endpoint = {**LOOKUP, "fields": {"plan": "plan"}}
    both = {"base_url": "http://a", "endpoints": {"a": endpoint}, "lookups": {"a": LOOKUP}}

    with pytest.raises(ValidationError, match="another name than a in lookups: an endpoint has it"):
        SourceSettings.model_validate(both)


def test_a_lookup_cannot_set_a_header_of_auth() -> None:
    lookup = {"request": {**LOOKUP["request"], "headers": {"X-Key": "x"}}}
    auth = {"kind": "api_key", "header": "X-Key", "key": "k"}

    with pytest.raises(ValidationError, match=r"no x-key in request\.headers"):
        SourceSettings.model_validate(
            {"base_url": "http://a", "auth": auth, "lookups": {"a": lookup}}
        )


@pytest.mark.parametrize(
    "parents",
    [
        {"a": [], "b": []},
        {"a": [], "b": ["a"]},
        {"a": [], "b": ["a"], "c": ["a"]},
        {"a": ["b"], "b": ["c"], "c": []},
        {"a": [], "b": ["a", "b.x"], "b.x": ["a"]},
        {"a": ["b.x"], "b": ["b.x", "a"], "b.x": []},
    ],
)
def test_keys_may_come_from_any_other_source_in_several_steps(
    parents: Mapping[str, Sequence[str]],
) -> None:
    assert list(key_mistakes(parents)) == []


NO_CYCLE = "expected no cycle ({}): none of these sources can be called first"


@pytest.mark.parametrize(
    ("parents", "mistakes"),
    [
        ({"a": ["x"], "b": [], "c": []}, [("a", 0, "expected one of b, c")]),
        ({"a": ["a"], "b": []}, [("a", 0, "expected one of b")]),
        (
            {"a": ["b"], "b": ["a"], "c": ["a"]},
            [("a", 0, NO_CYCLE.format("a ← b ← a"))],
        ),
        (
            {"d": ["c"], "a": ["b"], "b": ["c"], "c": ["a"]},
            [("a", 0, NO_CYCLE.format("a ← b ← c ← a"))],
        ),
        (
            {"a": ["b"], "b": ["a"], "c": ["x"], "d": ["c"]},
            [("a", 0, NO_CYCLE.format("a ← b ← a")), ("c", 0, "expected one of a, b, d")],
        ),
        (
            {"a": [], "b": ["a", "c"], "c": ["a", "b"]},
            [("b", 1, NO_CYCLE.format("b ← c ← b"))],
        ),
        (
            {"a": [], "b": ["a", "b.x"], "b.x": ["b"]},
            [("b", 1, NO_CYCLE.format("b ← b.x ← b"))],
        ),
        (
            {"a": [], "b": ["a", "by_mail"], "b.by_mail": ["a"]},
            [
                ("b", 1, "expected one of a, b.by_mail (did you mean b.by_mail?)"),
                (
                    "b.by_mail",
                    None,
                    'expected source = "b.by_mail" in the key_from of a source: nothing uses it',
                ),
            ],
        ),
        (
            {"a": [], "b": ["a", "a"]},
            [("b", 1, "expected each source once: join its expressions by ||")],
        ),
    ],
)
def test_each_impossible_key_from_is_reported_once(
    parents: Mapping[str, Sequence[str]], mistakes: list[tuple[str, int | None, str]]
) -> None:
    assert list(key_mistakes(parents)) == [KeyMistake(*one) for one in mistakes]


@given(
    parents=st.dictionaries(
        st.sampled_from("abcde"),
        st.lists(st.sampled_from("abcdex"), max_size=3, unique=True),
        max_size=5,
    )
)
def test_sources_without_key_mistakes_have_no_cycle(parents: Mapping[str, Sequence[str]]) -> None:
    wrong = list(key_mistakes(parents))

    def ends(name: str, steps: int) -> bool:
        return (
            steps > 0
            and name in parents
            and all(ends(parent, steps - 1) for parent in parents[name])
        )

    assert (not wrong) == all(ends(name, len(parents)) for name in parents)


SERVED = '[source_defaults]\nbase_url = "http://all"\n'
BY_MAIL = """
[sources.billing.lookups.by_mail]
key_from = { source = "profile", expression = "email" }
request = { form = "list", path = "/customers", parameter = "emails" }
answer = { rows = ["data"], key = ["email"] }
"""
WRONG = """
[sources.activity]
key_from = [
  { source = "profil", expression = "a" },
  { source = "billing", expression = "b" },
]
[sources.billing]
key_from = [
  { source = "profile", expression = "id" },
  { source = "billing.by_mail", expression = "id" },
]
[sources.billing.lookups.by_mail]
key_from = { source = "billing", expression = "email" }
request = { form = "list", path = "/customers", parameter = "emails" }
[sources.billing.lookups.unused]
request = { form = "list", path = "/customers", parameter = "emails" }
"""


def test_each_impossible_key_from_is_reported_with_file_table_and_line(write: Write) -> None:
    path = write(SERVED + WRONG)

    reported = [one.partition(". ")[0].removesuffix(".") for one in mistakes(path)]

    known = "expected one of profile, billing, billing.by_mail, billing.unused"
    known += " (did you mean profile?)"
    cycle = "expected no cycle ({}): none of these sources can be called first"
    used = 'expected source = "billing.unused" in the key_from of a source: nothing uses it'
    keyless = "answer has no key: expected the path of the value by which rows are looked up"
    assert sorted(reported) == [
        "gateway.toml:12: [sources.billing.key_from#2] source got 'billing.by_mail': "
        + cycle.format("billing ← billing.by_mail ← billing"),
        f"gateway.toml:14: [sources.billing.lookups.by_mail] {keyless}",
        f"gateway.toml:17: [sources.billing.lookups.unused] {keyless}",
        "gateway.toml:17: [sources.billing.lookups.unused] got a table: " + used,
        "gateway.toml:6: [sources.activity.key_from#1] source got 'profil': " + known,
    ]


def test_a_mistake_in_a_list_of_places_is_reported_at_its_line(write: Write) -> None:
    path = write(
        f"{SERVED}[sources.billing]\nkey_from = [\n"
        '  { source = "profile", expression = "a.[b" },\n'
        '  { source = "activity", expresion = "b" },\n]\n'
    )

    reported = mistakes(path)

    assert [one.partition(": ")[0] for one in reported] == ["gateway.toml:5", "gateway.toml:6"]
    assert "[sources.billing.key_from#1] expression got 'a.[b'" in reported[0]
    assert "expresion is not a setting: did you mean expression?" in reported[1]


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ('answer = { rows = ["data"] }', "[sources.billing.lookups.by_mail.answer] has no key"),
        ("fields = { plan = 'plan' }", "[sources.billing.lookups.by_mail.fields] is not a setting"),
        ("key_from = 7", "[sources.billing.lookups.by_mail] key_from got a single value"),
        ("request = {}", "[sources.billing.lookups.by_mail.request] form is missing"),
    ],
)
def test_a_mistake_in_a_lookup_is_reported(write: Write, written: str, reported: str) -> None:
    name = written.partition(" ")[0]
    lines = [line for line in BY_MAIL.splitlines() if not line.startswith(name)]
    places = 'billing.key_from = { source = "billing.by_mail", expression = "id" }'
    path = write("\n".join([NEEDED + places, *lines, written]))

    with pytest.raises(ConfigurationError) as caught:
        load_settings(config=path)

    assert reported in caught.value.mistakes[0]


def test_the_schema_accepts_lookups_and_both_forms_of_key_from() -> None:
    schema = Draft202012Validator(file_schema(WrittenSettings))
    one = {"source": "profile", "expression": "a"}
    lookup = {"key_from": [one], **LOOKUP}

    def fits(**billing: object) -> bool:
        written: Any = {"sources": {"billing": billing}}
        return schema.is_valid(written)  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open

    assert fits(key_from=one)
    assert fits(key_from=[one, one], lookups={"by_mail": lookup})
    assert not fits(key_from=[])
    assert not fits(key_from=[{"source": "profile", "expresion": "a"}])
    assert not fits(lookups={"by_mail": {**lookup, "fields": {"plan": "plan"}}})


def test_a_variable_may_set_a_list_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [{"source": name, "expression": "a"} for name in ("profile", "activity")]
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__KEY_FROM", json.dumps(places))
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://a")

    billing = load().sources["billing"]

    assert [place.source for place in billing.origins] == ["profile", "activity"]


def test_lookups_have_the_defaults_of_all_sources(write: Write) -> None:
    path = write(
        f'{NEEDED}billing.key_from = {{ source = "billing.by_mail", expression = "id" }}\n{BY_MAIL}'
        "[source_defaults]\nrequest.headers = { X-A = 'a' }\nanswer = { fold_case = true }\n"
    )

    billing = load(path).sources["billing"]

    by_mail = billing.lookups["by_mail"]
    assert by_mail.request.headers == {"X-A": "a"}
    assert by_mail.answer is not None
    assert (by_mail.answer.rows, by_mail.answer.fold_case) == (("data",), True)
