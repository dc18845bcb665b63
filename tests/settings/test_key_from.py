"""Where a source's keys are, as data, and from where they can never be had."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.settings.source import KeyFromSettings, KeyMistake, SourceSettings, key_mistakes

LOOKUP = {"request": {"form": "repeat", "path": "/by-mail", "parameter": "mail"}}


def test_an_expression_is_compiled_when_it_is_read() -> None:
    with pytest.raises(ValidationError, match=r"there is no lenght\(\), but length\(\)"):
        KeyFromSettings(source="profile", expression="lenght(a)")
    assert KeyFromSettings(source="profile", expression="a.b").expression == "a.b"


def test_keys_are_in_one_place_or_in_several_in_order() -> None:
    one, two = ({"source": name, "expression": "a"} for name in ("profile", "crm"))
    base = {"base_url": "http://billing"}

    none = SourceSettings.model_validate(base)
    alone = SourceSettings.model_validate({**base, "key_from": one})
    both = SourceSettings.model_validate({**base, "key_from": [one, two]})

    assert none.origins == ()
    assert [place.source for place in alone.origins] == ["profile"]
    assert [place.source for place in both.origins] == ["profile", "crm"]
    with pytest.raises(ValidationError, match="at least 1 item"):
        SourceSettings.model_validate({**base, "key_from": []})


def test_a_lookup_has_another_name_than_an_endpoint() -> None:
    endpoint = {**LOOKUP, "fields": {"plan": "plan"}}
    both = {"base_url": "http://a", "endpoints": {"a": endpoint}, "lookups": {"a": LOOKUP}}

    with pytest.raises(ValidationError, match="another name than a in lookups: an endpoint has it"):
        SourceSettings.model_validate(both)


def test_a_lookup_sets_no_header_that_auth_writes() -> None:
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
def test_keys_may_be_from_any_other_source_and_those_from_another(
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
def test_keys_that_can_never_be_had_are_told_each_once(
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
def test_where_nothing_is_told_every_way_ends(parents: Mapping[str, Sequence[str]]) -> None:
    wrong = list(key_mistakes(parents))

    def ends(name: str, steps: int) -> bool:
        return (
            steps > 0
            and name in parents
            and all(ends(parent, steps - 1) for parent in parents[name])
        )

    assert (not wrong) == all(ends(name, len(parents)) for name in parents)
