"""The import of responses: their rows, the key of a row, and further pages."""

from pathlib import Path

import pytest

from tests.importing.documents import (
    ACCOUNT,
    COUNT,
    TEXT,
    Imported,
    Json,
    array,
    content,
    document,
    imported,
    object_of,
    one_customer,
    operation,
    query,
    refused,
)

ROW = object_of(ACCOUNT)
IDS = query("ids", array(TEXT))


def import_list(tmp_path: Path, answer: Json, *parameters: Json) -> Imported:
    """Import an operation that reads many users."""
    item: Json = {"get": operation(answer, [IDS, *parameters])}
    return imported(tmp_path, document({"/customers": item}), path="/customers")


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (array(ROW), None),
        (object_of({"data": array(ROW), "hasMore": {"type": "boolean"}}), ["data"]),
        (
            object_of(
                {
                    "result": object_of({"customers": array(ROW)}),
                    "errors": array(object_of({"m": TEXT})),
                }
            ),
            ["result", "customers"],
        ),
        (object_of({"the rows": array(ROW)}), ["the rows"]),
    ],
)
def test_rows_of_many_users_are_the_list_with_the_fields(
    tmp_path: Path, answer: Json, rows: list[str] | None
) -> None:
    made = import_list(tmp_path, answer)

    assert made.answer.get("rows") == rows
    assert made.answer["key"] == ["id"]
    assert "many" not in made.answer
    assert made.settings(tmp_path).answer is not None
    assert not made.warnings


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (ROW, None),
        (object_of({"data": ROW}), ["data"]),
        (object_of({"data": {"allOf": [ROW], "nullable": True}}), ["data"]),
        (object_of({"status": COUNT, "meta": ROW}), ["meta"]),
        ({"oneOf": [ROW, object_of({"deleted": {"type": "boolean"}})]}, None),
    ],
)
def test_the_row_of_one_user_is_the_object_with_the_fields(
    tmp_path: Path, answer: Json, rows: list[str] | None
) -> None:
    made = imported(tmp_path, one_customer(answer))

    assert made.answer.get("rows") == rows
    assert made.answer["many"] is False
    assert made.answer["key"] == ["id"]


def test_the_row_is_the_object_with_the_fields_even_without_a_key(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        one_customer(object_of({"data": object_of({"login": TEXT, "email": TEXT})})),
        source="profile",
    )

    assert made.answer == {"rows": ["data"], "many": False}


def test_an_object_within_a_row_is_not_the_row(tmp_path: Path) -> None:
    plan = object_of({"id": TEXT, "name": TEXT})
    row = object_of({"login": TEXT, "email": TEXT, "name": TEXT, "created": COUNT, "plan": plan})

    made = imported(tmp_path, one_customer(row), source="profile")

    assert "rows" not in made.answer
    assert "key" not in made.answer
    [_, warning, *_] = made.warnings.splitlines()
    assert warning.endswith("like a key: an answer counts as the requested user's")


def test_rows_may_be_in_an_object_by_key(tmp_path: Path) -> None:
    made = import_list(
        tmp_path, object_of({"customers": {"type": "object", "additionalProperties": ROW}})
    )

    assert made.answer == {"rows": ["customers"], "by_key": True}
    assert made.settings(tmp_path).answer is not None


@pytest.mark.parametrize(
    ("path", "properties", "key"),
    [
        ("/customers/{id}", {"uuid": TEXT, "id": COUNT}, ["id"]),
        ("/customers/{uuid}", {"uuid": TEXT, "id": COUNT}, ["uuid"]),
        ("/customers/{id}", {"customerId": TEXT}, ["customerId"]),
        ("/customers/{customer_gid}", {"id": COUNT, "gid": TEXT}, ["gid"]),
        ("/users/{username}", {"id": COUNT, "login": TEXT}, ["login"]),
        ("/users/{username}", {"id": COUNT}, None),
        ("/customers/{external_id}", {"id": TEXT, "externalId": TEXT}, ["externalId"]),
        ("/customers/{id}/account", {"id": TEXT, "customer_id": TEXT}, ["customer_id"]),
        ("/customers/{customer}/account", {"id": TEXT, "customer": TEXT}, ["customer"]),
        ("/people/{id}", {"person": object_of({"id": TEXT})}, ["person", "id"]),
        ("/people/{id}", {"id": {"type": "boolean"}, "personId": TEXT}, ["personId"]),
    ],
)
def test_the_key_has_the_name_of_the_parameter_or_of_the_user_id(
    tmp_path: Path, path: str, properties: dict[str, object], key: list[str] | None
) -> None:
    row = object_of({**properties, "plan": TEXT, "status": TEXT})

    made = imported(tmp_path, document({path: {"get": operation(row)}}), path=path)

    assert made.answer.get("key") == key


def test_the_key_may_be_in_the_first_item_of_a_list(tmp_path: Path) -> None:
    row = object_of({"version": COUNT, "avatars": array(object_of({"userId": TEXT, "plan": TEXT}))})

    made = import_list(tmp_path, array(row))

    assert made.answer["key"] == ["avatars", 0, "userId"]
    assert made.fields["plan"] == "avatars[0].plan"


def test_a_list_without_a_key_is_reported(tmp_path: Path) -> None:
    made = import_list(tmp_path, array(object_of({"plan": TEXT, "status": TEXT})))

    assert "key" not in made.answer
    assert "# Check answer.key: no property of a row is called like a key" in made.text
    assert "sources.billing.answer.key: no property of a row is called like a key" in made.warnings


def test_one_row_for_a_request_of_many_users_is_reported(tmp_path: Path) -> None:
    made = import_list(tmp_path, ROW)

    assert made.answer["many"] is False
    assert "answer.many: the answer has one row, and the request names many users" in made.warnings


FLAG: Json = {"type": "boolean"}


@pytest.mark.parametrize(
    ("name", "expression"),
    [("deleted", "deleted"), ("isDeleted", "isDeleted"), ("is-deleted", '"is-deleted"')],
)
def test_a_row_that_is_marked_as_deleted_is_absent(
    tmp_path: Path, name: str, expression: str
) -> None:
    made = imported(tmp_path, one_customer({"anyOf": [ROW, object_of({"id": TEXT, name: FLAG})]}))

    assert made.answer["absent"] == expression
    settings = made.settings(tmp_path).answer
    assert settings is not None
    assert settings.absent == expression
    assert f"#   {expression}  boolean" not in made.text


@pytest.mark.parametrize(
    "members",
    [
        {"deleted": {"type": "string", "format": "date-time"}},
        {"deleted": COUNT},
        {"deletable": FLAG},
        {"account": object_of({"deleted": FLAG, "name": TEXT})},
        {f"deleted{'-' * 2_000}": FLAG},
    ],
)
def test_another_property_is_not_a_mark_of_deletion(
    tmp_path: Path, members: dict[str, object]
) -> None:
    assert (
        "absent" not in imported(tmp_path, one_customer(object_of({**ACCOUNT, **members}))).answer
    )


@pytest.mark.parametrize(
    ("members", "parameters", "more"),
    [
        ({"has_more": {"type": "boolean"}}, [], {"has_more": ["has_more"]}),
        (
            {"has_more": {"type": "boolean"}},
            [query("starting_after")],
            {
                "has_more": ["has_more"],
                "row_cursor": ["id"],
                "cursor_parameter": "starting_after",
            },
        ),
        (
            {"nextCursor": TEXT},
            [query("cursor")],
            {"next_cursor": ["nextCursor"], "cursor_parameter": "cursor"},
        ),
        ({"nextCursor": TEXT}, [query("cur sor")], None),
        ({"next": {"type": "string", "format": "uri"}}, [], {"next_url": ["next"]}),
        ({"next": TEXT, "nextCursor": TEXT, "has_more": TEXT}, [], None),
    ],
)
def test_the_property_about_further_rows_is_found(
    tmp_path: Path,
    members: dict[str, object],
    parameters: list[Json],
    more: dict[str, object] | None,
) -> None:
    made = import_list(tmp_path, object_of({"items": array(ROW), **members}), *parameters)

    assert made.answer.get("more") == more
    assert made.settings(tmp_path).answer is not None


@pytest.mark.parametrize(
    "media_type", ["application/hal+json", "application/json; charset=utf-8", "text/json", "*/*"]
)
def test_a_media_type_may_have_a_suffix_or_parameters(tmp_path: Path, media_type: str) -> None:
    media: Json = {"text/html": {}, media_type: {"schema": ROW}}
    item: Json = {"get": {"responses": {"200": {"description": "", "content": media}}}}

    assert imported(tmp_path, document({"/customers/{id}": item})).fields["plan"] == "plan"


def responses(**schemas: Json) -> Json:
    """Make a document with responses, by status."""
    made: dict[str, object] = {
        status.removeprefix("s"): content(schema) for status, schema in schemas.items()
    }
    return document({"/customers/{id}": {"get": {"responses": made}}})


def test_the_only_successful_response_is_used_and_its_status_means_rows(tmp_path: Path) -> None:
    made = imported(tmp_path, responses(s203=ROW, s404=object_of({"message": TEXT}), default=TEXT))

    assert made.answer["status"] == {"203": "rows"}
    settings = made.settings(tmp_path)
    assert settings.answer is not None
    assert settings.answer.status == {203: "rows"}


def document_with_404(response: Json, *, parameter: Json | None = None) -> Json:
    """Make a document whose operation has a response 404, and a component for it."""
    path = "/customers/{id}" if parameter is None else "/customers"
    item: Json = {
        "parameters": [] if parameter is None else [parameter],
        "responses": {"200": content(ROW), "404": response},
    }
    shared = {"NotFound": {"description": ""}, "Gone": {"description": "No such customer."}}
    return {**document({path: {"get": item}}), "components": {"responses": shared}}


@pytest.mark.parametrize(
    "response",
    [
        {"description": "Customer not found."},
        {"description": "NOT FOUND"},
        {"description": "There is no such customer."},
        {"description": "The customer doesn't exist."},
        {"description": "Unknown id"},
        {"description": "The customer could not be found"},
        {"$ref": "#/components/responses/NotFound"},
        {"$ref": "#/components/responses/Gone"},
    ],
)
def test_status_404_of_a_query_means_an_unknown_user_if_documented(
    tmp_path: Path, response: Json
) -> None:
    made = imported(
        tmp_path, document_with_404(response, parameter=query("customer")), path="/customers"
    )

    assert made.request["form"] == "each"
    assert made.answer["status"] == {"404": "absent"}
    settings = made.settings(tmp_path).answer
    assert settings is not None
    assert settings.status == {404: "absent"}
    assert "sources.billing.answer.status: 404 is taken for an unknown user" in made.warnings


@pytest.mark.parametrize(
    "response",
    [
        {"description": ""},
        {"description": "The service is switched off."},
        {"description": "Path not found."},
        {"description": "No such endpoint"},
        {"$ref": "#/components/responses/NotFoundAnywhere"},
    ],
)
def test_status_404_of_a_query_is_a_failure_if_not_documented_for_users(
    tmp_path: Path, response: Json
) -> None:
    made = imported(
        tmp_path, document_with_404(response, parameter=query("customer")), path="/customers"
    )

    assert "status" not in made.answer
    assert not made.warnings


@pytest.mark.parametrize("parameter", [None, IDS])
def test_status_404_keeps_its_meaning_for_a_path_or_many_users(
    tmp_path: Path, parameter: Json | None
) -> None:
    contents = document_with_404({"description": "Customer not found."}, parameter=parameter)

    made = imported(
        tmp_path, contents, path="/customers/{id}" if parameter is None else "/customers"
    )

    assert "status" not in made.answer


def test_the_default_response_is_used_if_it_is_alone_or_chosen(tmp_path: Path) -> None:
    alone = imported(tmp_path, responses(default=ROW))
    chosen = imported(tmp_path, responses(s200=TEXT, default=ROW), "--response", "default")

    assert alone.answer == chosen.answer == {"many": False, "key": ["id"]}


def test_one_of_several_successful_responses_has_to_be_chosen(tmp_path: Path) -> None:
    contents = responses(s202=object_of({"message": TEXT}), s203=ROW)

    why = refused(tmp_path, contents)
    made = imported(tmp_path, contents, "--response", "203")

    assert why == "GET /customers/{id}: expected --response with one of 202, 203: several fit"
    assert made.fields["plan"] == "plan"


def test_a_missing_response_is_refused(tmp_path: Path) -> None:
    why = refused(tmp_path, responses(s200=ROW), "--path", "/customers/{id}", "--response", "201")

    assert why == (
        "GET /customers/{id}: expected --response to be one of the successful responses with JSON"
        ' (200), got "201"'
    )


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"204": {"description": ""}},
        {"200": {"description": "", "content": {"text/csv": {"schema": {}}}}},
        {"200": {"description": "", "content": {"application/json": {}}}},
        {"404": content(ROW), "default": content(ROW)},
    ],
)
def test_an_operation_without_a_response_with_json_is_refused(
    tmp_path: Path, made: dict[str, object]
) -> None:
    why = refused(tmp_path, document({"/customers/{id}": {"get": {"responses": made}}}))

    assert why.startswith(
        "GET /customers/{id}: expected a response 200 with JSON that has a schema"
    )


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (TEXT, "string"),
        ({}, "anything"),
        (array(TEXT), "array"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": True}, "object"),
    ],
)
def test_a_response_without_an_object_is_refused(tmp_path: Path, schema: Json, kind: str) -> None:
    why = refused(tmp_path, one_customer(schema))

    assert why == (
        "GET /customers/{id}, response 200: expected an object or a list of objects with named"
        f" properties, got {kind}"
    )
