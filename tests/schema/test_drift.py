"""Differences between two texts of the schema, and whether they break clients."""

import pytest
from graphql import GraphQLSyntaxError

from app.execution.schema import build_schema
from app.schema.export import Drift, compare

OLD = """\
type Query {
  "A user."
  user(id: ID!): User
}

type User {
  id: ID!
  name: String!
  status: Status
  tags(first: Int = 10): [String!]
}

enum Status {
  ON
  OFF
}
"""


def drift(old: str, new: str) -> Drift:
    """Compare the old schema with one in which a text is replaced."""
    assert old in OLD
    return compare(OLD, OLD.replace(old, new), name="schema.graphql")


def test_the_same_text_has_no_drift() -> None:
    assert compare(OLD, OLD, name="schema.graphql") == Drift("", (), ())


@pytest.mark.parametrize(
    ("old", "new", "breaking"),
    [
        ("  name: String!\n", "", "Field User.name was removed."),
        ("name: String!", "name: Int!", "Field User.name changed type from String! to Int!."),
        ("name: String!", "name: String", "Field User.name changed type from String! to String."),
        ("id: ID!)", "id: Int!)", "Argument Query.user(id:) has changed type from ID! to Int!."),
        ("user(id: ID!)", "user", "Argument Query.user(id:) was removed."),
        (
            "user(id: ID!)",
            "user(id: ID!, realm: ID!)",
            "A required argument Query.user(realm:) was added.",
        ),
        ("  OFF\n", "", "Enum value Status.OFF was removed."),
        ("status: Status\n", "", "Field User.status was removed."),
    ],
)
def test_a_change_that_makes_valid_operations_fail_is_breaking(
    old: str, new: str, breaking: str
) -> None:
    found = drift(old, new)

    assert found.breaking == (breaking,)
    assert found.diff


@pytest.mark.parametrize(
    ("old", "new", "dangerous"),
    [
        (
            "user(id: ID!)",
            "user(id: ID!, realm: ID)",
            "An optional argument Query.user(realm:) was added.",
        ),
        ("  OFF\n", "  OFF\n  AWAY\n", "Enum value Status.AWAY was added."),
        (
            "first: Int = 10",
            "first: Int = 20",
            "User.tags(first:) has changed defaultValue from 10 to 20.",
        ),
    ],
)
def test_a_change_that_may_surprise_clients_is_dangerous(
    old: str, new: str, dangerous: str
) -> None:
    found = drift(old, new)

    assert found.dangerous == (dangerous,)
    assert found.breaking == ()
    assert found.diff


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"A user."', '"Somebody."'),
        ('  "A user."\n', ""),
        ("  name: String!\n", "  name: String!\n  nick: String\n"),
        ("status: Status", "status: Status!"),
        ("  id: ID!\n  name: String!\n", "  name: String!\n  id: ID!\n"),
        ("enum Status", "type Other {\n  a: Int\n}\n\nenum Status"),
    ],
    ids=["description", "no description", "new field", "narrowed", "order", "new type"],
)
def test_a_harmless_change_is_neither_breaking_nor_dangerous(old: str, new: str) -> None:
    found = drift(old, new)

    assert found.diff
    assert found.breaking == found.dangerous == ()


def test_the_diff_names_both_texts_and_shows_the_lines_that_differ() -> None:
    found = drift('"A user."', '"Somebody."')

    lines = found.diff.splitlines()
    assert lines[:2] == ["--- schema.graphql", "+++ the code"]
    assert '-  "A user."' in lines
    assert '+  "Somebody."' in lines
    assert "   user(id: ID!): User" in lines


def test_each_of_several_changes_is_listed() -> None:
    new = OLD.replace("  name: String!\n", "").replace("  OFF\n", "  AWAY\n")

    found = compare(OLD, new, name="schema.graphql")

    assert sorted(found.breaking) == [
        "Enum value Status.OFF was removed.",
        "Field User.name was removed.",
    ]
    assert found.dangerous == ("Enum value Status.AWAY was added.",)


def test_a_schema_with_federation_s_directives_can_be_compared() -> None:
    current = build_schema().as_str()

    assert "@key" in current
    assert compare(current, current, name="x") == Drift("", (), ())
    without = current.replace('  """The name to sign in with."""\n  username: String\n', "")
    assert compare(current, without, name="x").breaking == ("Field User.username was removed.",)


@pytest.mark.parametrize("text", ["", "not a schema", "type Query {", "<html>"])
def test_a_text_that_is_not_a_schema_is_refused(text: str) -> None:
    with pytest.raises(GraphQLSyntaxError):
        compare(text, OLD, name="schema.graphql")
