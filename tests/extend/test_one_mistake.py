"""Each mistake in a file is reported once and hides no other mistake."""

from collections.abc import Mapping, Sequence

import pytest

from tests.extend.modules import ModuleFolder
from tests.settings.loading import load, mistakes

FILE = """
[schema]
extends = "none"
type = "Employee"
module = "{module}"

[sources.hr]
base_url = "http://hr"
endpoints.main.request = {{ form = "list", path = "/employees", parameter = "ids" }}
endpoints.main.fields = {{ lastName = "last_name" }}
[sources.desk]
base_url = "http://desk"
request = {{ form = "list", path = "/people", parameter = "ids" }}

[user.firstName]
source = "hr.main"
type = "String"
value = "first_name"
description = "F."
may = "public"
[user.seats]
source = "desk"
type = "Int"
description = "S."
may = "public"

[user.lastName]
source = "hr.main"
type = "String"
description = "L."
may = "public"

[schema.lookups.employeeByMail]
source = "hr"
key = "mail"
request = {{ form = "list", path = "/employees", parameter = "mails" }}
answer = {{ key = ["mail"] }}
description = "F."
may = "public"
"""

MODULE = """
class Row(Record):
    user: str
    points: int | None = None


def extension():
    return Extension(
        api="1.1",
        sources=[OwnSource("ledger", Row, "user", print)],
        fields=[
            computed("initial", "String", "hr.main", "I.", may=PUBLIC, reads=["firstName"],
                compute=str),
            computed("places", "String", "desk", "P.", may=PUBLIC, reads=["seats"], compute=str),
            shows("points", "Int", "ledger", "P.", may=PUBLIC, value="points"),
        ],
    )
"""

CHANGES: Mapping[str, tuple[Sequence[tuple[str, str]], Sequence[str]]] = {
    "the name of users": (
        [('type = "Employee"', 'type = "Em-ployee"')],
        ["4: [schema] type got 'Em-ployee'"],
    ),
    "the base of the schema": (
        [('extends = "none"', 'extends = "non"')],
        ["3: [schema] extends got 'non'"],
    ),
    "a lookup": (
        [('key = "mail"', "key = 3")],
        ["35: [schema.lookups.employeeByMail] key got 3"],
    ),
    "the request of a lookup": (
        [('parameter = "mails"', 'parametre = "mails"')],
        ["36: [schema.lookups.employeeByMail.request] parametre is not a setting"],
    ),
    "the request of an endpoint": (
        [('form = "list", path = "/employees", parameter = "ids"', 'form = "lst", path = "/"')],
        ["9: [sources.hr.endpoints.main.request] form got 'lst'"],
    ),
    "an expression of an endpoint": (
        [('"last_name"', '"last_name("')],
        ["10: [sources.hr.endpoints.main.fields] lastName got 'last_name('"],
    ),
    "the source of a field": (
        [('[user.seats]\nsource = "desk"', '[user.seats]\nsource = "dsk"')],
        ["22: [user.seats] source is dsk"],
    ),
    "the endpoint of a field": (
        [('source = "hr.main"', 'source = "hr.mian"')],
        ["16: [user.firstName] source is hr.mian"],
    ),
    "the name of a setting of a field": (
        [('type = "Int"', 'typ = "Int"')],
        ["23: [user.seats] typ is not a setting: did you mean type?"],
    ),
    "two settings of a field": (
        [('type = "String"\nvalue = "first_name"', 'type = "Strin"\nvalue = "first_name("')],
        [
            "17: [user.firstName] type names Strin, which is not known",
            "18: [user.firstName] value got 'first_name('",
        ],
    ),
    "a missing field of the default schema": (
        [("[user.lastName]", "[user.email]\nhidden = true\n[user.lastName]")],
        [
            '27: [user.email] hides a field of the default schema, which extends = "none" lacks',
        ],
    ),
    "one of each kind": (
        [
            ('type = "Employee"', "type = 3"),
            ("/people", "people"),
            ('type = "Int"', "type = 7"),
        ],
        ["4: [schema] type got 3", "13: [sources.desk.request]", "23: [user.seats] type got 7"],
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_each_mistake_is_reported_once_and_hides_no_other(folder: ModuleFolder, kind: str) -> None:
    changes, expected = CHANGES[kind]
    text = FILE.format(module=folder.write(MODULE).rpartition("/")[2]).strip("\n")
    path = folder.path / "gateway.toml"
    path.write_text(f"\n{text}\n", encoding="utf-8")
    assert load(path).public_schema.type == "Employee"
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong, 1)
    path.write_text(f"\n{text}\n", encoding="utf-8")

    found = [one.removeprefix(f"{path}:") for one in mistakes(path)]

    assert len(found) == len(expected), found
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start)
