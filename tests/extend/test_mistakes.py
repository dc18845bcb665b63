"""Mistakes in a module are reported together at the start, with the place in the file."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.extend.modules import ModuleFolder
from tests.settings.loading import load, mistakes

NEEDED = """
[sources]
profile.base_url = "http://profile"
billing.base_url = "http://billing"
activity.base_url = "http://activity"
"""

RETURNS = """
def extension():
    return {what}
"""


def config(folder: ModuleFolder, place: str, more: str = "") -> Path:
    """Write a configuration file that names a module of its folder."""
    path = folder.path / "gateway.toml"
    name = place.rpartition("/")[2]
    path.write_text(f'[schema]\nmodule = "{name}"\n{more}{NEEDED}', encoding="utf-8")
    return path


def found(folder: ModuleFolder, text: str, more: str = "") -> list[str]:
    """Return the mistakes in a module, without the place and the module's name."""
    place = folder.write(text)
    name = place.rpartition("/")[2]
    path = config(folder, place, more)
    start = f"{path}:2: [schema] module {name}"
    return [
        one.removeprefix(start).lstrip(": ") if one.startswith(start) else one
        for one in mistakes(path)
    ]


def test_a_module_in_the_folder_of_the_file_is_found(folder: ModuleFolder) -> None:
    place = folder.write(RETURNS.format(what='Extension(api="1.0")'))

    settings = load(config(folder, place))

    assert settings.public_schema.module == place


def test_a_module_in_another_folder_may_import_its_neighbours(
    folder: ModuleFolder,
) -> None:
    inner = ModuleFolder(folder.path / "python")
    inner.path.mkdir()
    (inner.path / "acme_beside.py").write_text("VERSION = '1.0'\n", encoding="utf-8")
    place = inner.write(
        "from acme_beside import VERSION\n" + RETURNS.format(what="Extension(VERSION)")
    )
    path = config(folder, "x").parent / "gateway.toml"
    name = place.rpartition("/")[2]
    path.write_text(f'[schema]\nmodule = "python/{name}"\n{NEEDED}', encoding="utf-8")

    assert load(path).public_schema.module == place


def test_a_missing_module_is_reported_with_its_folder(folder: ModuleFolder) -> None:
    path = config(folder, "acme_nowhere")

    assert mistakes(path) == (
        (
            f"{path}:2: [schema] module acme_nowhere is not found: expected acme_nowhere.py in"
            f" {folder.path}, or an installed package."
        ),
    )


def test_a_module_name_with_py_is_reported_with_the_name_without_it(folder: ModuleFolder) -> None:
    name = folder.write("").rpartition("/")[2]
    path = config(folder, f"{name}.py")

    assert mistakes(path) == (
        f"{path}:2: [schema] module {name}.py is not found: write it without .py, as in {name}.",
    )


def test_a_module_name_of_another_installed_module_is_refused(folder: ModuleFolder) -> None:
    file = folder.path / "colorsys.py"
    file.write_text("", encoding="utf-8")

    [mistake] = mistakes(config(folder, "colorsys"))

    assert "[schema] module colorsys is the name of another module, too (" in mistake
    assert mistake.endswith(f"): rename {file}.")


@pytest.mark.parametrize("name", ["acme-users", "acme.", "1acme", "acme users", "acme/", ""])
def test_a_module_name_that_is_invalid_in_python_is_refused(
    folder: ModuleFolder, name: str
) -> None:
    path = folder.path / "gateway.toml"
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")

    [mistake] = mistakes(path)

    assert "expected the name of a Python module, such as acme_users" in mistake


BROKEN: Mapping[str, tuple[str, str]] = {
    "an error while it is imported": (
        "\n\nraise ValueError('no database')\n",
        "cannot be loaded ({file}:5): ValueError: no database",
    ),
    "invalid Python": ("def extension(:\n", "cannot be loaded ({file}:3): SyntaxError: "),
    "a missing module": (
        "import acme_missing\n",
        "cannot be loaded ({file}:3): ModuleNotFoundError: No module named 'acme_missing'",
    ),
    "an end of the program": ("raise SystemExit(3)", "cannot be loaded ({file}:3): SystemExit: 3"),
    "an error in its function": (
        "def extension():\n    return Extension()\n",
        "cannot be loaded ({file}:4): TypeError: Extension.__init__() missing",
    ),
    "a text instead of a list": (
        "def extension():\n    shows('a', 'Int', 'b', 'D.', may=SELF, value=3)\n",
        "cannot be loaded ({file}:4): TypeError: reads of a is (3,): expected a list of names",
    ),
    "an option of another declaration": (
        "def extension():\n    lists('a', 'B', 'c', 'D.', may=SELF, assumed_size=3)\n",
        "cannot be loaded ({file}:4): TypeError: a is a list page by page: expected no reads,",
    ),
    "a missing option": (
        "def extension():\n    lists('a', 'B', 'c', 'D.')\n",
        "cannot be loaded ({file}:4): TypeError: ExtensionField.__init__() missing 1 required",
    ),
    "an unknown option": (
        "def extension():\n    shows('a', 'B', 'c', 'D.', may=SELF, value='d', vlaue=3)\n",
        "cannot be loaded ({file}:4): TypeError: ",
    ),
    "no function": ("", "has no function extension: expected def extension() -> Extension."),
    "another value": (
        "def extension(): ...\n",
        "has a function extension that returns None: expected an Extension.",
    ),
    "an async function": (
        "async def extension():\n    return Extension('1.1')\n",
        "has a function extension that is async ({file}:3): expected def extension() -> Extension.",
    ),
    "a function with parameters": (
        "def extension(settings):\n    return Extension('1.1')\n",
        "has a function extension with parameters ({file}:3): expected def extension() -> Extens",
    ),
    "a field instead of a list": (
        RETURNS.format(
            what="Extension('1.1', shows('a', 'Int', 'profile', 'D.', may=SELF, value='email'))"
        ),
        "cannot be loaded ({file}:5): TypeError: fields of Extension is ExtensionField: expected a",
    ),
    "the end of a generator": (
        "raise GeneratorExit",
        "cannot be loaded ({file}:3): GeneratorExit: ",
    ),
    "another major version": (
        RETURNS.format(what='Extension(api="2.0")'),
        "is written for version 2.0 of the API: this gateway has version 1.2, and another major",
    ),
    "another module of the API": (
        "from app.extend.v2 import Extension\n",
        "is written for version 2 of the API ({file}:3): this gateway has version 1.2.",
    ),
    "a later minor version": (
        RETURNS.format(what='Extension(api="1.3")'),
        "is written for version 1.3 of the API, and this gateway has version 1.2: expected a later",
    ),
    "no version": (
        RETURNS.format(what='Extension(api="new")'),
        """has api = 'new': expected the version of the API, "1.2".""",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_module_that_cannot_be_loaded_is_one_mistake(folder: ModuleFolder, kind: str) -> None:
    text, expected = BROKEN[kind]
    # In this case, types of the module in the file are not reported as mistakes.
    more = '[user.badge]\nsource = "profile"\ntype = "Badge"\ndescription = "B."\nmay = "public"\n'

    [mistake] = found(folder, text, more)

    module = next(folder.path.glob("acme_*.py")).name
    assert mistake.startswith(expected.replace("{file}", module))


WRONG = """
class Part(Record):
    level: int


def one(value):
    return value


def several(value):
    yield value


async def later(value):
    return value


LEVEL = ObjectField("level", "Int!", "L.", "level", assumed_size=3)


def extension():
    def field(name="fresh", kind="String", source="profile", description="D.", **changes):
        given = {"may": PUBLIC, "reads": ["email"], "compute": one}
        return computed(name, kind, source, description, **{**given, **changes})

    return Extension(
        api="1.1",
        fields=[
            field("no-name"),
            field("id"),
            field("email"),
            field("team"),
            field("twice"),
            field("twice"),
            field("a", "Strin"),
            field("b", "[String"),
            field("c", source="profil"),
            field("d", description=""),
            field("e", may="public"),
            field("f", reads=["emial"]),
            field("g", reads=["email", "locale"]),
            field("h", compute=later),
            field("i", compute=None, reads=["email", "locale"]),
            field("j", reads=[Input("x-y", "String")]),
            field("k", reads=[Input("x", "Strin")]),
            field("l", reads=[Input("y", "String")]),
            field("m", reads=[Input("y", "Int")]),
            field("n", assumed_size=3),
            field("o", reads=[Input("o", "Int", "a(")]),
            field("p", compute=several),
            field("q", reads=[]),
            field("r", compute=lambda: 3),
            "field",
            field("fresh"),
        ],
        objects=[
            ObjectDefinition("Money", "M.", (ObjectField("level", "Int!", "L.", "level"),), Part),
            ObjectDefinition("Badge", "B.", (ObjectField("le-vel", "Int!", "L.", "level"),), Part),
            ObjectDefinition("Loop", "L.", (ObjectField("level", "Loop", "L.", "level"),), Part),
            ObjectDefinition("Open", "L.", (ObjectField("level", "Opne", "L.", "level"),), Part),
            ObjectDefinition("Sized", "L.", (LEVEL,), Part),
        ],
        enums=[EnumDefinition("_Rank", "R.", (EnumValue("true", None, ("true",)),)), 3],
    )
"""

TEAM = '[user.team]\nsource = "profile"\ntype = "String"\ndescription = "T."\nmay = "public"\n'


def test_all_mistakes_in_a_module_are_reported_together(folder: ModuleFolder) -> None:
    assert found(folder, WRONG, TEAM) == [
        "Money is a type of the schema already: expected another name.",
        "Badge has le-vel, which is no name in GraphQL.",
        "_Rank is no name of a type in GraphQL: expected one such as Agent.",
        "_Rank has true, which is no name in GraphQL.",
        "has 3 among its types: expected definitions of types.",
        "Loop.level has the type Loop, which makes a circle of objects.",
        "Open.level has the type Opne, which is not known: did you mean Open?",
        "Sized.level has assumed_size, which is for lists, and the type is Int!.",
        "no-name is no name in GraphQL: expected letters, digits and _.",
        "id is there always: expected another name.",
        (
            "email is a field of the default schema: expected another name, or hidden = true for"
            " that one."
        ),
        "team is a field of the file, too ([user.team]): expected it once.",
        "twice is declared twice.",
        "a has the type Strin, which is not known: did you mean String?",
        "b got '[String': expected a type of GraphQL, such as Int or [Agent!].",
        "c reads the source profil, which is not known: did you mean profile?",
        "d has no description.",
        "e has may = 'public': expected a policy, such as PUBLIC.",
        (
            "g has a compute that does not take 2 values: expected a parameter for each of email,"
            " locale."
        ),
        "h has a compute that is async: expected a plain function, because it must not wait.",
        "i reads 2 values: expected the one that it shows.",
        "j reads x-y, which is no name: expected letters, digits and _.",
        "k reads x, which has the type Strin, which is not known: did you mean String?",
        "m reads y, which another field reads in another way: expected the same input.",
        "n has assumed_size, which is for lists, and the type is String.",
        "o reads o, which has the value 'a(': column 3: expected more, got the end.",
        ("p has a compute that is a generator: expected a plain function that returns the value."),
        "q has a compute that takes values, and reads none: expected the names of them in reads.",
        "r has a compute that does not take 1 value: expected a parameter for email.",
        "has 'field' among its fields: expected what shows, computed or lists makes.",
        "f reads emial of profile, which is not known: did you mean email?",
    ]


def test_a_hidden_default_field_may_be_declared_again(folder: ModuleFolder) -> None:
    place = folder.write(
        RETURNS.format(
            what='Extension("1.1", [shows("email", "String!", "profile", "E.", may=SELF,'
            ' value="email")])'
        )
    )

    settings = load(config(folder, place, "[user.email]\nhidden = true\n"))

    assert settings.user["email"].hidden


def test_a_mistake_in_the_module_does_not_hide_a_mistake_in_the_file(folder: ModuleFolder) -> None:
    more = '[user.team]\nsource = "nowhere"\ntype = "String"\ndescription = "T."\nmay = "public"\n'

    assert found(folder, "", more) == [
        "has no function extension: expected def extension() -> Extension.",
        (
            f"{folder.path}/gateway.toml:4: [user.team] source is nowhere, which is not known:"
            " expected one of profile, billing, activity."
        ),
    ]


SUPPORT = """
[sources.support]
base_url = "http://support"
endpoints.main.request = { form = "list", path = "/people", parameter = "ids" }
endpoints.other.request = { form = "list", path = "/others", parameter = "ids" }
[sources.desk]
base_url = "http://desk"
request = { form = "list", path = "/people", parameter = "ids" }
[user.team]
source = "support.main"
type = "String"
description = "T."
may = "public"
[user.seatNumber]
source = "desk"
type = "Int"
value = "seat.number"
description = "S."
may = "public"
[schema.lookups.userByMail]
source = "support"
key = "mail"
request = { form = "list", path = "/people", parameter = "mails" }
answer = { key = ["mail"] }
description = "F."
may = "public"
"""


def test_a_field_of_a_source_with_endpoints_has_to_name_an_endpoint(folder: ModuleFolder) -> None:
    text = RETURNS.format(
        what='Extension("1.1", [shows("fresh", "String", "support", "D.", may=SELF, value="team")])'
    )

    assert found(folder, text, SUPPORT) == [
        (
            "fresh reads the source support, which has endpoints: expected one of support.main,"
            " support.other."
        )
    ]


def test_an_unknown_name_of_a_source_is_reported_with_the_names_in_the_file(
    folder: ModuleFolder,
) -> None:
    text = RETURNS.format(
        what='Extension("1.1", [shows("fresh", "String", "desk", "D.", may=SELF, value="team")])'
    )

    assert found(folder, text, SUPPORT) == [
        "fresh reads team of desk, which is not known: expected one of seatNumber."
    ]


def test_the_list_of_known_types_has_each_name_once(folder: ModuleFolder) -> None:
    more = """
[types.Seat]
description = "S."
fields.number = { type = "Int", description = "N." }
[enums.Rank]
description = "R."
values.LOW = {}
"""
    text = RETURNS.format(
        what='Extension("1.1", [shows("fresh", "Xyz", "profile", "D.", may=SELF, value="email")])'
    )

    [mistake] = found(folder, text, more)

    names = mistake.partition("expected one of ")[2].rstrip(".").split(", ")
    assert {"Seat", "Rank", "String"} <= {*names}
    assert sorted(names) == sorted({*names})
