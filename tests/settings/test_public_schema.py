"""Mistakes in the tables of a schema: each is reported with its file, table and line."""

import json

import pytest

from app.settings.nested import as_table
from tests.settings.conftest import Write
from tests.settings.loading import load, mistakes

SOURCES = """\
[sources]
profile.base_url = "http://profile"
billing.base_url = "http://billing"
activity.base_url = "http://activity"
[sources.support]
base_url = "http://support"
request = { form = "repeat", path = "/rows", parameter = "id" }
"""

FIELD = {"source": "support", "type": "Int", "description": "A field.", "may": "public"}
TICKET = """\
[types.Ticket]
description = "A ticket."
fields.id = { type = "ID!", description = "Its number." }
"""
REQUEST = 'request = { form = "repeat", path = "/one", parameter = "id" }\n'


def field(name: str = "open", **changes: object) -> str:
    """Write the table of a field; a setting that is ``None`` is left out."""
    settings = {name: value for name, value in {**FIELD, **changes}.items() if value is not None}
    lines = [f"{key} = {written(value)}\n" for key, value in settings.items()]
    return f"[user.{name}]\n" + "".join(lines)


def written(value: object) -> str:
    """Write a value in TOML."""
    if (table := as_table(value)) is not None:
        return "{ " + ", ".join(f"{key} = {written(one)}" for key, one in table.items()) + " }"
    return json.dumps(value)


def endpoints(**fields: str) -> str:
    """Write the tables of a source with endpoints, of which each has one field."""
    lines = [
        f"[sources.crm.endpoints.{name}]\n{REQUEST}fields.{one} = 'x'\n"
        for name, one in fields.items()
    ]
    return "[sources.crm]\nbase_url = 'http://crm'\n" + "".join(lines)


def enum(*lines: str) -> str:
    """Write the table of an enum."""
    return '[enums.Level]\ndescription = "A level."\n' + "".join(f"{line}\n" for line in lines)


def object_type(name: str, **fields: str) -> str:
    """Write the table of an object."""
    lines = [f'{key} = {{ type = "{one}", description = "." }}' for key, one in fields.items()]
    head = f'[types.{name}]\ndescription = "An object."\n[types.{name}.fields]\n'
    return head + "".join(f"{line}\n" for line in lines)


def mistakes_in(text: str, write: Write) -> list[str]:
    """List the mistakes of a file that has the sources and a text, without the name of the file.

    Lines are counted from the beginning of the text.
    """
    found: list[str] = []
    for one in mistakes(write(SOURCES + text)):
        file, line, rest = one.split(":", 2)
        assert file == "gateway.toml"
        found.append(f"{int(line) - SOURCES.count(chr(10))}:{rest.partition('. ')[0].rstrip('.')}")
    return found


NAME = "is not a valid name here: expected letters, digits and _, with no digit and no __ first"
POLICY = 'expected "public", "self", a scope, or "self or" and a scope'
ROOT = "is a root type of GraphQL"
TAKEN = "is a type of the schema already: expected another name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The settings that a field requires.
        (field(source=None), ["1: [user.open] source is missing: Source that the field is read"]),
        (field(type=None), ["1: [user.open] type is missing: Type in GraphQL's notation"]),
        (field(description=None), ["1: [user.open] description is missing: Description of the"]),
        (field(may=None), ["1: [user.open] may is missing: Who may see the field"]),
        ("[user.open]\n", [f"1: [user.open] {one} is missing" for one in FIELD]),
        (field(description=""), ["4: [user.open] description got ''"]),
        (field(sorce="x"), ["6: [user.open] sorce is not a setting: did you mean source?"]),
        ("[user]\nopen = 3\n", ["2: [user] open got a single value: expected a table"]),
        # The name of a field.
        (field('"9a"'), [f"1: [user.9a] {NAME}"]),
        (field("__a"), [f"1: [user.__a] {NAME}"]),
        (field("a-b"), [f"1: [user.a-b] {NAME}"]),
        (field('"é"'), [f'1: [user."é"] {NAME}']),
        (field("id"), ["1: [user.id] is there always: expected another name"]),
        (
            field("username"),
            [
                (
                    "1: [user.username] is a field of the default schema: expected another name,"
                    ' only hidden = true, or extends = "none" in [schema]'
                )
            ],
        ),
        # The source of a field.
        (
            field(source="crm"),
            [
                (
                    "2: [user.open] source is crm, which is not known: expected one of profile,"
                    " billing, activity, support"
                )
            ],
        ),
        (
            field(source="suport"),
            ["2: [user.open] source is suport, which is not known: did you mean support?"],
        ),
        (
            field(source="support.one"),
            ["2: [user.open] source is support.one, which is no endpoint of support"],
        ),
        (
            endpoints(one="other") + field("other", source="crm") + field(source="crm.on"),
            ["12: [user.open] source is crm.on, which is no endpoint of crm: did you mean one?"],
        ),
        (
            "[sources.crm]\nbase_url = 'http://crm'\n" + field(source="crm"),
            ["1: [sources.crm] request is missing: How a request names the users"],
        ),
        # The type of a field.
        (
            field(type="Intt"),
            ["3: [user.open] type names Intt, which is not known: did you mean Int?"],
        ),
        (
            field(type="[Int"),
            ["3: [user.open] type got '[Int': expected a type of GraphQL, such as Int or [Agent!]"],
        ),
        (
            field(type="Int } type X { a"),
            ["3: [user.open] type got 'Int } type X { a': expected a type of GraphQL"],
        ),
        (field(type="User"), ["3: [user.open] type names User, which is not known"]),
        # The value of a field.
        (
            field(value="a["),
            ["6: [user.open] value got 'a[': column 3: expected more, got the end"],
        ),
        (
            field(value="nothing(a)"),
            ["6: [user.open] value got 'nothing(a)': column 1: there is no nothing()"],
        ),
        (
            "[sources.support.fields]\nopen = 'x'\n" + field(value="y"),
            ["8: [user.open] value is in [sources.support] fields, too: expected it once"],
        ),
        (
            endpoints(one="other") + field("other", source="crm") + field(source="crm", value="y"),
            [
                (
                    "16: [user.open] value cannot be read, because crm has endpoints: expected it"
                    ' in the fields of one of them, or source = "crm.one"'
                )
            ],
        ),
        # The policy of a field.
        *[
            (field(may=one), [f"5: [user.open] may got '{one}': {POLICY}"])
            for one in ("", "public or a", "self or self", "a b", "self or")
        ],
        *[
            (field(may=one), [f"5: [user.open] may got '{one}': did you mean \"{right}\"?"])
            for one, right in {
                "Public": "public",
                "SELF": "self",
                "Self or hr:read": "self",
                "self or Public": "public",
            }.items()
        ],
        # Hidden fields.
        (
            "[user.usernam]\nhidden = true\n",
            ["1: [user.usernam] hides a field, which is no default field: did you mean username?"],
        ),
        (
            '[user.username]\nhidden = true\nmay = "self"\n',
            ["1: [user.username] is wrong: expected no may beside hidden = true"],
        ),
        # Lists.
        (
            field(assumed_size=3),
            ["6: [user.open] assumed_size is for lists, and the type is Int"],
        ),
        (
            "[types.A]\ndescription = '.'\n[types.A.fields]\n"
            "a = { type = 'Int!', description = '.', assumed_size = 3 }\n" + field(type="A"),
            ["4: [types.A.fields.a] assumed_size is for lists, and the type is Int!"],
        ),
        (
            field(list={"path": "/x", "parameter": "u"}),
            ["1: [user.open] is wrong: expected connection = true beside list"],
        ),
        (
            field(connection=True),
            ["3: [user.open] type got 'Int': expected the object that an item is"],
        ),
        (
            TICKET + field(connection=True, type="[Ticket!]"),
            ["6: [user.open] type got '[Ticket!]': expected the object that an item is"],
        ),
        (
            TICKET.replace("ID!", "ID") + field(connection=True, type="Ticket"),
            [
                (
                    "6: [user.open] type is Ticket, which has no field of type ID!: expected one,"
                    " which identifies the items of a page"
                )
            ],
        ),
        (
            TICKET + field(connection=True, type="Ticket", value="x"),
            ["4: [user.open] is wrong: expected no value and no assumed_size beside connection"],
        ),
        (
            TICKET
            + field(
                connection=True,
                type="Ticket",
                list={"path": "/x", "parameter": "u", "fields": {"no": "x"}},
            ),
            [
                "10: [user.open.list.fields] no is no field of support.open",
                "10: [user.open.list.fields] lacks id: expected an expression for each",
            ],
        ),
        # Objects.
        (
            object_type("A", b="B") + object_type("B", a="[A!]"),
            ["8: [types.B.fields.a] type makes a circle"],
        ),
        (object_type("A", a="A"), ["4: [types.A.fields.a] type makes a circle of objects: A → A"]),
        (object_type("A", b="Bx"), ["4: [types.A.fields.b] type names Bx, which is not known"]),
        *[
            (object_type(one, a="Int"), [f"1: [types.{one}] {TAKEN}"])
            for one in (
                *("Event", "Money", "BillingStatus", "InvoiceEdge", "InvoiceConnection", "User"),
                *("String", "PageInfo"),
            )
        ],
        *[
            (object_type(one, a="Int"), [f"1: [types.{one}] {ROOT}: expected another name"])
            for one in ("Query", "Mutation", "Subscription")
        ],
        (
            object_type("_A", a="Int"),
            [
                (
                    "1: [types._A] is not a valid name here: expected a name of GraphQL that begins"
                    " with a letter, such as Agent"
                )
            ],
        ),
        (object_type('"A b"', a="Int"), ['1: [types."A b"] is not a valid name here']),
        (
            TICKET + object_type("TicketEdge", a="Int") + field(connection=True, type="Ticket"),
            [f"4: [types.TicketEdge] {TAKEN}"],
        ),
        (
            '[types.A]\ndescription = "An object."\n',
            ["1: [types.A] fields is missing: The fields of the object, by name"],
        ),
        (
            '[types.A.fields]\na = { type = "Int", description = "." }\n',
            ["1: [types.A] description is missing: Description of the type in the schema"],
        ),
        (
            '[types.A]\ndescription = "An object."\nfields.a = { type = "Int", may = "self" }\n',
            [
                "3: [types.A.fields.a] description is missing",
                "3: [types.A.fields.a] may is not a setting: expected one of type, description,",
            ],
        ),
        # Enums.
        (
            enum('unknown = "LO"', "values.LOW = {}"),
            ["3: [enums.Level] unknown is LO, which is not known: did you mean LOW?"],
        ),
        (
            enum('values.LOW = { value = "a" }', 'values.HIGH = { value = ["b", "A"] }'),
            ["4: [enums.Level.values.HIGH] value has 'A', which LOW has, too"],
        ),
        (
            enum("values.LOW = {}", 'values.HIGH = { value = "low" }'),
            ["4: [enums.Level.values.HIGH] value has 'low', which LOW has, too"],
        ),
        (
            enum("values.true = {}"),
            ["3: [enums.Level.values.true] is no value of an enum in GraphQL"],
        ),
        (enum('values."a b" = {}'), [f'3: [enums.Level.values."a b"] {NAME}']),
        (enum(), ["1: [enums.Level] values is missing: The values of the enum, by name"]),
        (enum("values = {}"), ["3: [enums.Level.values] got a table"]),
        (
            object_type("Level", a="Int") + enum("values.LOW = {}"),
            ["5: [enums.Level] is in [types.Level], too: expected one of both"],
        ),
        # The schema as a whole.
        (
            '[schema]\nextends = "defaults"\n',
            ["2: [schema] extends got 'defaults': expected 'default' or 'none'"],
        ),
        (
            '[schema]\nextend = "none"\n',
            ["2: [schema] extend is not a setting: did you mean extends?"],
        ),
        (
            '[schema]\nexistence = "profil"\n',
            ["2: [schema] existence is profil, which is not known: did you mean profile?"],
        ),
        *[
            (
                f'[schema]\ntype = "{one}"\n',
                [f"2: [schema] type is {one}, which is a type of the schema already"],
            )
            for one in ("String", "Event", "BillingStatus", "InvoiceEdge")
        ],
        *[
            (f'[schema]\ntype = "{one}"\n', [f"2: [schema] type is {one}, which {ROOT}"])
            for one in ("Query", "Mutation")
        ],
        (
            '[schema]\ntype = "Me"\n',
            ["2: [schema] type is Me, whose root field me is there already"],
        ),
        *[
            (
                f'[schema]\nplural = "{one}"\n',
                [f"2: [schema] plural gives two root fields one name: {one}"],
            )
            for one in ("user", "me")
        ],
        # Endpoints.
        (
            endpoints(one="open", two="open") + field(source="crm"),
            [
                (
                    "8: [sources.crm.endpoints.two.fields] open is given by one too: expected one"
                    " endpoint for each field"
                )
            ],
        ),
        (
            endpoints(one="opn") + field(source="crm"),
            [
                "5: [sources.crm.endpoints.one.fields] opn is no field of crm: did you mean open?",
                (
                    "7: [user.open] source is crm, whose endpoints do not give it: expected open in"
                    " the fields of one of one"
                ),
            ],
        ),
    ],
)
def test_a_mistake_in_a_schema_is_reported_at_its_line_with_the_expected_value(
    text: str, expected: list[str], write: Write
) -> None:
    found = mistakes_in(text, write)

    assert len(found) == len(expected)
    for one, beginning in zip(found, expected, strict=True):
        assert one.startswith(beginning)


INVALID_FIELDS = {
    "an unknown type": field(type="Intt"),
    "an unknown source": field(source="suport"),
    "no policy": field(may=None),
    "a wrong policy": field(may="self or self"),
    "another setting": field(colour="red"),
    "assumed_size of a number": field(assumed_size=3),
}
READ = {
    "fields": "[sources.support.fields]\nopen = 'x'\n",
    "words": "[sources.support]\nwords.open = { a = 'b' }\n",
    "defaults": "[sources.support]\ndefaults.open = 3\n",
    "endpoints": endpoints(one="open"),
    "lists": "[sources.support.lists.open]\npath = '/open'\nparameter = 'user'\n",
    "without_lists": "[sources.support]\nwithout_lists = ['open']\n",
}


@pytest.mark.parametrize("wrong", INVALID_FIELDS.values(), ids=INVALID_FIELDS)
@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_an_invalid_field_is_reported_once(wrong: str, read: str, write: Write) -> None:
    read = read.replace("[sources.support]\n", "")  # the sources end with its table

    [one] = mistakes_in(read + wrong, write)

    assert "[user.open]" in one


def test_other_mistakes_are_reported_beside_an_invalid_field(write: Write) -> None:
    text = "[sources.support.fields]\nopen = 'x'\nopn = 'y'\n" + field(type="Intt")

    assert [one.partition(":")[0] for one in mistakes_in(text, write)] == ["3", "6"]


def test_a_list_of_a_hidden_field_is_reported(write: Write) -> None:
    listed = "[sources.billing.lists.invoices]\npath = '/all'\nparameter = 'id'\n"

    [one] = mistakes_in("[user.invoices]\nhidden = true\n" + listed, write)

    assert one.startswith("3: [sources.billing.lists.invoices] is no list of billing")


ALL_AT_ONCE = [
    field("a", source="suport"),
    field("b", type="Intt"),
    field("c", may=None),
    field("d", value="a["),
    field("username"),
    object_type("A", b="B", c="Nothing"),
    object_type("B", a="A"),
    enum('unknown = "LO"', "values.LOW = {}"),
    '[schema]\nexistence = "profil"\n',
    "[sources.profile.fields]\nnick = 'x'\n",
]


def test_all_mistakes_in_a_schema_are_reported_together(write: Write) -> None:
    found = mistakes_in("".join(ALL_AT_ONCE), write)

    tables = sorted(one.partition("[")[2].partition("]")[0] for one in found)
    assert tables == [
        "enums.Level",
        "schema",
        "sources.profile.fields",
        "types.A.fields.c",
        "types.B.fields.a",
        *(f"user.{name}" for name in ("a", "b", "c", "d", "username")),
    ]


def test_names_that_python_or_graphql_use_are_accepted(write: Write) -> None:
    names = ("class", "None", "mro", "key", "field_x", "x", "type", "_a", "model_dump", "user")
    text = "".join(field(name, type="Level") for name in names)
    types = object_type("Ticket2", id="ID", key="Int") + object_type("Edge", a="Ticket2")

    settings = load(write(SOURCES + text + types + enum("values.mro = {}", "values.Query = {}")))

    assert list(settings.user) == list(names)


def test_cache_control_of_an_unknown_field_is_reported(write: Write) -> None:
    text = "[cache_control]\nfields = { displayName = 60, openTickets = 5, plam = 30 }\n"

    found = mistakes_in(text + field("openTickets"), write)

    assert found == [
        "2: [cache_control.fields] plam which is no field of a user: did you mean plan?"
    ]
