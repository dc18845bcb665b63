"""Documents that can be imported, and messages about the others."""

import json
from pathlib import Path

import pytest
import yaml

from app.importing.document import MAX_BYTES
from tests.importing.documents import (
    ACCOUNT,
    COUNT,
    TEXT,
    Json,
    array,
    document,
    imported,
    object_of,
    one_customer,
    operation,
    query,
    refusal_of,
    refused,
    run,
    run_on,
)

ROW = object_of(ACCOUNT)
OPTIONS = ("--source", "billing", "--path", "/customers/{id}")
RIGHT = "expected an OpenAPI document, version 3.0 or 3.1, in JSON or YAML"


def as_yaml(contents: Json) -> bytes:
    """Write a document in YAML, without aliases."""
    plain: object = json.loads(json.dumps(contents))
    text: str = yaml.safe_dump(plain)  # pyright: ignore[reportUnknownMemberType] # its stubs
    return text.encode()


def test_a_document_in_json_or_yaml_gives_the_same_result(tmp_path: Path) -> None:
    contents = one_customer(ROW)

    written = [
        run(tmp_path, contents, *OPTIONS),
        run(tmp_path, as_yaml(contents), *OPTIONS),
        run(tmp_path, json.dumps(contents).encode(), *OPTIONS, name="openapi.yaml"),
    ]

    assert [result.exit_code for result in written] == [0, 0, 0]
    assert len({result.stdout for result in written}) == 1


YAML = """
openapi: 3.1
info: {title: Billing, version: 2024-04-10}
paths:
  /customers/{id}:
    get:
      parameters:
        - {in: query, name: since, required: true, schema: {type: string, example: 2024-04-10}}
        - {in: query, name: answer, required: true, schema: {type: string, enum: [no]}}
        - {in: query, name: octal, required: true, schema: {type: integer, default: 010}}
      responses:
        200:
          description: The customer
          content: {application/json: {schema: {$ref: '#/components/schemas/Customer'}}}
components:
  schemas:
    Text: &text {type: string}
    Customer:
      properties: {id: *text, plan: *text, status: *text}
"""


def test_yaml_is_read_by_the_rules_of_version_1_2(tmp_path: Path) -> None:
    made = imported(tmp_path, YAML.encode())

    assert made.request["parameters"] == {"since": "2024-04-10", "answer": "no", "octal": "10"}
    assert made.fields == {"plan": "plan", "status": "status"}


@pytest.mark.parametrize("version", ["3.0.0", "3.0.4", "3.1.0", "3.1.2", "3.1.0-rc1"])
def test_versions_3_0_and_3_1_are_read(tmp_path: Path, version: str) -> None:
    assert imported(tmp_path, one_customer(ROW, version=version)).fields["plan"] == "plan"


@pytest.mark.parametrize(
    ("contents", "got"),
    [
        ({"swagger": "2.0", "paths": {}}, 'Swagger "2.0". Convert it to OpenAPI 3.0 first'),
        ({"openapi": "3.2.0"}, 'version "3.2.0"'),
        ({"openapi": "2.0"}, 'version "2.0"'),
        ({"paths": {}}, "an object without the member openapi"),
    ],
)
def test_other_versions_are_refused_with_their_name(
    tmp_path: Path, contents: dict[str, object], got: str
) -> None:
    assert refused(tmp_path, contents) == f"{tmp_path / 'openapi.json'}: {RIGHT}, got {got}"


@pytest.mark.parametrize(
    ("contents", "name", "complaint"),
    [
        (b'{"openapi": "3.0.3",', "openapi.json", ":1:21: neither JSON nor YAML: "),
        (b'{"openapi": "3.0.3",', "openapi", ":2:1: neither JSON nor YAML: "),
        (b"a: [1\nb: 2\n", "openapi.yaml", ":2:2: neither JSON nor YAML: "),
        (b"\xff\xfe\x00", "openapi.yaml", ": neither JSON nor YAML in UTF-8; "),
        (b"\x89PNG\r\n\x1a\n", "openapi.png", ": neither JSON nor YAML in UTF-8; "),
        (b"%PDF-1.7\n\x00", "openapi.pdf", ": neither JSON nor YAML in UTF-8; "),
        (b"", "openapi.yaml", ", got nothing"),
        (b"hello", "openapi.yaml", ", got text"),
        (b"[1, 2]", "openapi.json", ", got a list"),
        (b"--- a\n--- b\n", "openapi.yaml", "neither JSON nor YAML: but found another document"),
        (b"a: {<<: {b: 1}}", "openapi.yaml", "expected no merge key (<<)"),
        (b"[a]: b", "openapi.yaml", "expected text for a name"),
        (b'"\\ud800": b', "openapi.yaml", ":1:4: neither JSON nor YAML: "),
        (b"[" * 100_000, "openapi.yaml", "exceeded maximum nesting depth"),
        (b"- " * 990, "openapi.yaml", ": nested too deep; "),
        (b"[" * 5000, "openapi.json", "neither JSON nor YAML: "),
    ],
)
def test_a_file_that_is_not_a_document_is_refused_with_the_place(
    tmp_path: Path, contents: bytes, name: str, complaint: str
) -> None:
    why = refused(tmp_path, contents, name=name)

    assert why.startswith(str(tmp_path / name))
    assert complaint in why
    assert RIGHT in why


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = refusal_of(run_on(tmp_path / "nothing.yaml", *OPTIONS))
    folder = refusal_of(run_on(tmp_path, *OPTIONS))

    assert missing == (
        f"{tmp_path / 'nothing.yaml'} cannot be read: No such file or directory; {RIGHT}"
    )
    assert folder.startswith(f"{tmp_path} cannot be read: ")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    with file.open("wb") as large:
        large.truncate(MAX_BYTES + 1)

    why = refusal_of(run_on(file, *OPTIONS))

    assert why == f"{file} is too large: expected at most 33,554,432 bytes"


def test_an_unknown_path_is_refused_with_similar_paths(tmp_path: Path) -> None:
    paths = ("/v1/customers/{id}", "/v1/customers", "/v1/invoices", "/health")
    contents = document({path: {"get": operation(ROW)} for path in paths})

    near = refused(tmp_path, contents, "--path", "/customers/{id}")
    far = refused(tmp_path, contents, "--path", "/x")
    none = refused(tmp_path, document({}), "--path", "/x")

    assert near.startswith(
        '"/customers/{id}" is no path of the document: did you mean /v1/customers/{id}, '
    )
    assert far == (
        '"/x" is no path of the document: expected one of /v1/customers/{id}, /v1/customers,'
        " /v1/invoices, /health"
    )
    assert none == '"/x" is no path of the document: it has no paths'


def test_names_of_path_parameters_do_not_matter(tmp_path: Path) -> None:
    contents = document({"/customers/{customerId}": {"get": operation(ROW)}})

    assert imported(tmp_path, contents, path="/customers/{id}").fields["plan"] == "plan"


def test_references_are_followed_in_all_places(tmp_path: Path) -> None:
    components: dict[str, object] = {
        "schemas": {
            "Customer": {"$ref": "#/components/schemas/The~1Customer"},
            "The/Customer": {
                "allOf": [{"$ref": "#/components/schemas/Base"}, object_of({"plan": TEXT})]
            },
            "Base": object_of({"id": {"$ref": "#/components/schemas/Text"}, "status": TEXT}),
            "Text": TEXT,
        },
        "parameters": {"Ids": query("ids", array(TEXT))},
        "responses": {
            "Found": {
                "description": "",
                "content": {
                    "application/json": {"schema": array({"$ref": "#/components/schemas/Customer"})}
                },
            }
        },
        "pathItems": {
            "Customers": {
                "get": {
                    "parameters": [{"$ref": "#/components/parameters/Ids"}],
                    "responses": {"200": {"$ref": "#/components/responses/Found"}},
                }
            }
        },
    }
    contents: Json = {
        **document({"/customers": {"$ref": "#/components/pathItems/Customers"}}),
        "components": components,
    }

    made = imported(tmp_path, contents, path="/customers")

    assert made.request["form"] == "repeat"
    assert made.answer["key"] == ["id"]
    assert made.fields == {"plan": "plan", "status": "status"}


@pytest.mark.parametrize(
    ("plan", "version"),
    [
        ({"type": "string", "nullable": True}, "3.0.3"),
        ({"nullable": True, "allOf": [{"$ref": "#/components/schemas/Text"}]}, "3.0.3"),
        ({"type": ["string", "null"]}, "3.1.0"),
        ({"anyOf": [TEXT, {"type": "null"}]}, "3.1.0"),
        ({"oneOf": [{"$ref": "#/components/schemas/Text"}, {"type": "null"}]}, "3.1.0"),
        ({"enum": ["free", "pro", None]}, "3.1.0"),
        ({"$ref": "#/components/schemas/Text", "type": ["string", "null"]}, "3.1.0"),
    ],
)
def test_all_notations_of_null_are_read(
    tmp_path: Path, plan: dict[str, object], version: str
) -> None:
    row = object_of({"id": TEXT, "plan": plan, "status": TEXT})

    made = imported(tmp_path, one_customer(row, {"Text": TEXT}, version))

    assert made.fields["plan"] == "plan"
    assert made.comment_on("plan").startswith("string or null")
    assert made.comment_on("status") == "string"


def test_members_beside_a_reference_are_read_since_version_3_1(tmp_path: Path) -> None:
    plan: object = {"$ref": "#/components/schemas/Text", "description": "The plan."}
    row, schemas = object_of({"id": TEXT, "plan": plan}), {"Text": TEXT}

    old, new = (
        imported(tmp_path, one_customer(row, schemas, version)) for version in ("3.0.3", "3.1.0")
    )

    assert old.comment_on("plan") == "string"
    assert new.comment_on("plan") == "string. The plan."


def test_circular_schemas_are_read(tmp_path: Path) -> None:
    customer = object_of(
        {
            "id": TEXT,
            "plan": TEXT,
            "parent": {"$ref": "#/components/schemas/Customer"},
            "subscription": {"$ref": "#/components/schemas/Subscription"},
        },
        allOf=[{"$ref": "#/components/schemas/Customer"}],
    )
    subscription = object_of(
        {"status": TEXT, "customer": {"$ref": "#/components/schemas/Customer"}},
        anyOf=[{"$ref": "#/components/schemas/Subscription"}, {"type": "null"}],
    )
    schemas: Json = {"Customer": customer, "Subscription": subscription}

    made = imported(tmp_path, one_customer({"$ref": "#/components/schemas/Customer"}, schemas))

    assert made.fields == {"plan": "plan", "status": "subscription.status"}


def test_a_recursive_alias_of_yaml_is_read(tmp_path: Path) -> None:
    text = YAML.replace(
        "      properties: {id: *text,", "      &c\n      properties: {id: *text, customer: *c,"
    )

    assert imported(tmp_path, text.encode()).fields == {"plan": "plan", "status": "status"}


def test_a_schema_of_exponentially_many_parts_is_read_quickly(tmp_path: Path) -> None:
    doubled: dict[str, object] = {
        f"S{number}": {"anyOf": [{"$ref": f"#/components/schemas/S{number + 1}"}] * 2}
        for number in range(100)
    }
    schemas: Json = {**doubled, "S100": ROW}

    made = imported(tmp_path, one_customer({"$ref": "#/components/schemas/S0"}, schemas))

    assert made.fields["plan"] == "plan"


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("#/components/schemas/Nothing", "leads nowhere: expected a place in the document"),
        ("#/components/schemas/Row/properties/0", "leads nowhere: "),
        ("#/paths/~1customers~1{id}/get/responses/200/description/a", "leads nowhere: "),
        ("#/openapi/0/a", "leads nowhere: "),
        ("#Row", "leads nowhere: "),
        ("row.yaml", "leads to another document: expected references within the document (#/…)."),
        ("https://example.com/row.json", "Bundle all documents into one first"),
        ("#/components/schemas/Circle", "got a reference that leads back to itself"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_refused(
    tmp_path: Path, reference: str, why: str
) -> None:
    schemas: Json = {
        "Row": ROW,
        "Circle": {"$ref": "#/components/schemas/Back"},
        "Back": {"$ref": "#/components/schemas/Circle"},
    }

    assert why in refused(tmp_path, one_customer({"$ref": reference}, schemas))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"properties": []}, "/schema/properties: expected an object, got a list"),
        ({"properties": {"id": 1}}, "/schema/properties/id: expected an object, got a number"),
        ({"allOf": {}}, "/schema/allOf: expected a list, got an object"),
        ({"anyOf": ["a"]}, "/schema/anyOf/0: expected an object, got text"),
        ({"items": None}, "/schema/items: expected an object, got nothing"),
        ({"items": []}, "/schema/items: expected an object, got a list"),
    ],
)
def test_a_malformed_schema_is_refused_with_its_place(
    tmp_path: Path, row: dict[str, object], why: str
) -> None:
    place = "#/paths/~1customers~1{id}/get/responses/200/content/application~1json"

    assert refused(tmp_path, one_customer(row)) == f"{place}{why}"


@pytest.mark.parametrize(
    "item",
    [
        [],
        {"get": []},
        {"get": {"parameters": {}}},
        {"get": {"parameters": ["id"]}},
        {"get": {"responses": []}},
        {"get": {"responses": {"200": {"content": []}}}},
        {"get": {"servers": ["https://example.com"], "responses": {}}},
    ],
)
def test_a_malformed_operation_is_refused(tmp_path: Path, item: object) -> None:
    contents: Json = {**document({}), "paths": {"/customers/{id}": item}}

    assert "expected a" in refused(tmp_path, contents)


def test_the_type_of_a_schema_is_inferred_from_its_members(tmp_path: Path) -> None:
    row: Json = {
        "properties": {
            "id": TEXT,
            "plan": {"enum": ["a", "b"]},
            "subscriptions": {"items": {"properties": {"status": {"const": "active"}}}},
            "balance": {"properties": {"amount": COUNT, "currency": TEXT}},
        }
    }

    made = imported(tmp_path, one_customer(row, version="3.1.0"))

    assert made.fields == {
        "plan": "plan",
        "status": "subscriptions[0].status",
        "balance": "money_minor(balance.amount, balance.currency)",
    }
