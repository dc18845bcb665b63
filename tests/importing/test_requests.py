"""The import of requests: the form of the request."""

import json
from pathlib import Path

import pytest

from app.settings.request import BodyRequest, EachRequest, ListRequest, RepeatRequest
from tests.importing.documents import (
    ACCOUNT,
    COUNT,
    TEXT,
    Imported,
    Json,
    array,
    document,
    imported,
    object_of,
    operation,
    query,
    refused,
)

ROW = object_of(ACCOUNT)
PAGE = array(ROW)


def get_document(path: str, *parameters: Json, answer: Json = PAGE) -> Json:
    """Make a document with one operation that reads by GET."""
    return document({path: {"get": operation(answer, parameters)}})


def post_document(path: str, body: Json) -> Json:
    """Make a document with one operation that reads by POST."""
    return document({path: {"post": operation(PAGE, body=body)}})


def test_a_parameter_in_the_path_gives_one_call_for_each_user(tmp_path: Path) -> None:
    made = imported(
        tmp_path, get_document("/customers/{customerId}", answer=ROW), path="/customers/{id}"
    )

    assert made.request == {"form": "each", "path": "/customers/{key}"}
    assert isinstance(made.settings(tmp_path).request, EachRequest)
    assert not made.warnings


def test_an_exploded_list_in_the_query_gives_a_repeated_parameter(tmp_path: Path) -> None:
    made = imported(
        tmp_path, get_document("/customers", query("id", array(TEXT))), path="/customers"
    )

    assert made.request == {"form": "repeat", "path": "/customers", "parameter": "id"}
    assert isinstance(made.settings(tmp_path).request, RepeatRequest)


@pytest.mark.parametrize(
    ("style", "separator"), [("form", None), ("pipeDelimited", "|"), ("spaceDelimited", " ")]
)
def test_a_list_in_one_parameter_of_the_query_gives_a_list(
    tmp_path: Path, style: str, separator: str | None
) -> None:
    parameter = query("customerIds", array(TEXT), style=style, explode=False)

    made = imported(tmp_path, get_document("/customers", parameter), path="/customers")

    assert made.request["form"] == "list"
    assert made.request["parameter"] == "customerIds"
    assert made.request.get("separator") == separator
    assert isinstance(made.settings(tmp_path).request, ListRequest)


@pytest.mark.parametrize(
    ("name", "description", "sure"),
    [("ids", "", False), ("id", "Ids, comma-separated.", True), ("ids", "With commas.", True)],
)
def test_a_text_in_the_query_named_like_several_ids_gives_a_list(
    tmp_path: Path, name: str, description: str, *, sure: bool
) -> None:
    parameter = query(name, description=description)

    made = imported(tmp_path, get_document("/customers", parameter), path="/customers")

    assert made.request == {"form": "list", "path": "/customers", "parameter": name}
    assert ("taken for ids with commas between" in made.warnings) is not sure


@pytest.mark.parametrize("name", ["userId", "user_id", "customer", "external_id", "id", "email"])
def test_a_text_in_the_query_named_like_a_user_gives_one_call_for_each(
    tmp_path: Path, name: str
) -> None:
    contents = get_document("/accounts", query("q"), query(name), query("limit", COUNT))

    made = imported(tmp_path, contents, path="/accounts")

    assert made.request == {"form": "each", "path": "/accounts", "parameter": name}


def test_a_list_of_something_else_is_not_used_for_users(tmp_path: Path) -> None:
    contents = get_document("/customers/{id}", query("expand", array(TEXT)), answer=ROW)

    assert imported(tmp_path, contents).request["form"] == "each"


@pytest.mark.parametrize("noun", ["tenants", "accounts"])
def test_a_list_of_users_is_preferred_to_a_path_parameter_before_it(
    tmp_path: Path, noun: str
) -> None:
    path = f"/{noun}/{{tenant}}/users"

    made = imported(tmp_path, get_document(path, query("ids", array(TEXT))), path=path)

    assert made.request == {"form": "repeat", "path": f"/{noun}/TENANT/users", "parameter": "ids"}
    assert '"tenant" has the same value in all requests: expected that value' in made.warnings


def test_a_path_parameter_of_the_user_is_preferred_to_another_list(
    tmp_path: Path,
) -> None:
    contents = get_document("/users/{id}/orders", query("ids", array(TEXT)))

    made = imported(tmp_path, contents, path="/users/{id}/orders")

    assert made.request == {"form": "each", "path": "/users/{key}/orders"}


def test_the_path_parameter_named_like_a_user_is_used(tmp_path: Path) -> None:
    region = {"in": "path", "name": "region", "schema": {"type": "string", "enum": ["eu"]}}
    path = "/{region}/users/{userId}/orders/{id}"

    made = imported(tmp_path, get_document(path, region, answer=ROW), path=path)

    assert made.request["path"] == "/eu/users/{key}/orders/ID"
    assert '"region" has the same value in all requests: check it' in made.warnings


@pytest.mark.parametrize("name", ["expand[]", "ids[]"])
def test_brackets_in_the_name_of_a_list_are_kept(tmp_path: Path, name: str) -> None:
    contents = get_document("/customers", query(name, array(TEXT)), query("id"))

    made = imported(tmp_path, contents, path="/customers")

    assert made.request["parameter"] == ("ids[]" if name == "ids[]" else "id")


def test_a_list_of_style_deep_object_gets_brackets(tmp_path: Path) -> None:
    parameter = query("ids", array(TEXT), style="deepObject", explode=True)

    made = imported(tmp_path, get_document("/customers", parameter), path="/customers")

    assert made.request == {"form": "repeat", "path": "/customers", "parameter": "ids[]"}


@pytest.mark.parametrize(
    ("body", "template", "numbers"),
    [
        (object_of({"ids": array(TEXT)}), '{"ids": "{keys}"}', False),
        (object_of({"userIds": array(COUNT)}), '{"userIds": "{keys}"}', True),
        (array(TEXT), '"{keys}"', False),
        (
            object_of({"inputs": array(object_of({"id": TEXT}))}),
            '{"inputs": [{"id": "{key}"}]}',
            False,
        ),
        (
            object_of(
                {"archived": {"type": "boolean"}, "ids": array(TEXT), "view": {"enum": ["full"]}},
                required=["view", "ids"],
            ),
            '{"ids": "{keys}", "view": "full"}',
            False,
        ),
    ],
)
def test_a_list_in_the_body_of_a_post_gives_a_template(
    tmp_path: Path, body: Json, template: str, *, numbers: bool
) -> None:
    made = imported(tmp_path, post_document("/customers/read", body), path="/customers/read")

    assert made.request["form"] == "body"
    assert json.loads(made.request["template"]) == json.loads(template)
    assert made.request.get("numbers", False) is numbers
    assert isinstance(made.settings(tmp_path).request, BodyRequest)
    assert "the gateway may repeat this POST" in made.warnings


def test_required_members_of_an_item_in_a_body_are_written(tmp_path: Path) -> None:
    item = object_of({"id": TEXT, "type": {"const": "user"}}, required=["id", "type"])

    made = imported(
        tmp_path, post_document("/read", object_of({"inputs": array(item)})), path="/read"
    )

    assert json.loads(made.request["template"]) == {"inputs": [{"id": "{key}", "type": "user"}]}


def test_a_required_member_of_a_body_without_a_value_is_reported(tmp_path: Path) -> None:
    body = object_of({"ids": array(TEXT), "tenant": TEXT}, required=["ids", "tenant"])

    made = imported(tmp_path, post_document("/customers/read", body), path="/customers/read")

    assert json.loads(made.request["template"]) == {"ids": "{keys}", "tenant": "TENANT"}
    assert 'request.template: expected a value for "tenant"' in made.warnings


def test_required_parameters_are_written(tmp_path: Path) -> None:
    contents = get_document(
        "/customers/{id}",
        query("view", {"type": "string", "default": "full"}, required=True),
        query("tenant", required=True),
        query("optional"),
        {"in": "header", "name": "X-Api-Version", "required": True, "schema": {"example": "7"}},
        {"in": "header", "name": "Authorization", "required": True, "schema": TEXT},
        answer=ROW,
    )

    made = imported(tmp_path, contents)

    assert made.request["parameters"] == {"view": "full", "tenant": "TENANT"}
    assert made.request["headers"] == {"X-Api-Version": "7"}
    assert 'request.parameters: expected a value for "tenant"' in made.warnings
    assert "view" not in made.warnings


@pytest.mark.parametrize(
    ("schema", "value", "sure"),
    [
        ({"type": "string", "example": "a"}, "a", True),
        ({"type": "integer", "default": 7}, "7", True),
        ({"type": "boolean", "default": True}, "true", True),
        ({"type": "string", "enum": ["a", "b"]}, "a", False),
        ({"type": "string", "example": "a" * 5_000}, "X_Y", False),
        ({"type": "boolean"}, "false", False),
        ({"type": "integer"}, "0", False),
        ({"type": "array", "items": TEXT}, "[]", False),
    ],
)
def test_a_required_parameter_without_a_documented_value_is_reported(
    tmp_path: Path, schema: Json, value: str, *, sure: bool
) -> None:
    contents = get_document("/customers/{id}", query("x-y", schema, required=True), answer=ROW)

    made = imported(tmp_path, contents)

    assert made.request["parameters"] == {"x-y": value}
    assert ('request.parameters: expected a value for "x-y"' in made.warnings) is not sure


def test_a_parameter_for_a_secret_is_left_to_auth(tmp_path: Path) -> None:
    contents = get_document(
        "/customers/{id}",
        query("api_key", required=True),
        {"in": "header", "name": "X-Auth-Token", "required": True, "schema": {"example": "canary"}},
        answer=ROW,
    )

    made = imported(tmp_path, contents)

    assert made.request == {"form": "each", "path": "/customers/{key}"}
    assert 'request.parameters: "api_key" is for a secret: expected it in auth' in made.warnings
    assert 'request.headers: "X-Auth-Token" is for a secret: expected it in auth' in made.warnings
    assert "canary" not in made.text


@pytest.mark.parametrize("path", ["/identities/{id}/plan", "/people/{id}/plan", "/users/{id}/plan"])
def test_the_noun_before_a_path_parameter_shows_that_it_is_the_user(
    tmp_path: Path, path: str
) -> None:
    region = path.replace("/plan", "/regions/{region}/plan")

    made = imported(tmp_path, get_document(region, answer=ROW), path=region)

    assert made.request["path"] == path.replace("{id}", "{key}").replace(
        "/plan", "/regions/REGION/plan"
    )


def test_a_page_size_parameter_with_an_invalid_name_is_left_out(tmp_path: Path) -> None:
    limit = query("li mit", {"type": "integer", "maximum": 200})

    made = imported(
        tmp_path, get_document("/customers", query("ids", array(TEXT)), limit), path="/customers"
    )

    assert "page_size" not in made.request


def test_limits_of_the_document_become_limits_of_calls(tmp_path: Path) -> None:
    contents = get_document(
        "/customers",
        query("ids", {**array(TEXT), "maxItems": 50}),
        query("limit", {"type": "integer", "maximum": 200}),
    )

    made = imported(tmp_path, contents, path="/customers")
    settings = made.settings(tmp_path)

    assert settings.max_keys == 50
    assert settings.request is not None
    assert (settings.request.page_size_parameter, settings.request.page_size) == ("limit", 200)


def test_shared_parameters_and_references_to_them_are_read(tmp_path: Path) -> None:
    shared: Json = {"$ref": "#/paths/~1customers/parameters/0"}
    contents = document(
        {
            "/customers": {
                "parameters": [query("ids", array(TEXT))],
                "get": operation(PAGE),
            },
            "/others": {"get": operation(PAGE, [shared])},
        }
    )

    for path in ("/customers", "/others"):
        assert imported(tmp_path, contents, path=path).request["form"] == "repeat"


def document_with_both_methods() -> Json:
    """Make a document whose path has both methods."""
    reads = operation(PAGE, [query("id")])
    body = operation(PAGE, body=object_of({"ids": array(TEXT)}))
    return document({"/customers": {"get": reads, "post": body}})


@pytest.mark.parametrize(
    ("options", "form"),
    [([], "each"), (["--method", "get"], "each"), (["--method", "post"], "body")],
)
def test_the_method_is_get_unless_another_is_chosen(
    tmp_path: Path, options: list[str], form: str
) -> None:
    assert (
        imported(tmp_path, document_with_both_methods(), *options, path="/customers").request[
            "form"
        ]
        == form
    )


def test_a_missing_method_of_a_path_is_refused(tmp_path: Path) -> None:
    contents = document({"/a": {"put": operation(PAGE), "delete": {}}, "/b": {"get": {}}})

    why = refused(tmp_path, contents, "--path", "/a")
    chosen = refused(tmp_path, contents, "--path", "/b", "--method", "post")

    assert why == "/a: expected GET or POST, by which the gateway reads, got delete, put"
    assert chosen == "/b: expected POST, got get"


def test_a_request_without_a_parameter_for_users_is_refused(tmp_path: Path) -> None:
    contents = get_document("/customers", query("q"), query("page", COUNT))

    why = refused(tmp_path, contents, "--path", "/customers")

    assert why == (
        "GET /customers: expected a place for users: a parameter in the path, such as {id}, or in"
        " the query, such as ids or userId; the parameters of its query are: q, page"
    )


def test_a_post_without_a_list_of_users_is_refused(tmp_path: Path) -> None:
    for body in (
        object_of({"name": TEXT}),
        object_of({"tags": array(TEXT)}),
        object_of({"ids": array(array(TEXT))}),
        TEXT,
    ):
        why = refused(tmp_path, post_document("/customers", body), "--path", "/customers")

        assert why.startswith("POST /customers: expected a list of ids in its JSON body")


def test_a_request_that_the_settings_cannot_express_is_refused(tmp_path: Path) -> None:
    contents = get_document("/a/../customers/{id}", answer=ROW)

    why = refused(tmp_path, contents, "--path", "/a/../customers/{id}")

    assert "its request does not fit the settings of a source: " in why
    assert "expected no . and no .. between slashes" in why


def import_servers(tmp_path: Path, *servers: str) -> Imported:
    """Import a document with servers."""
    item: Json = {"get": operation(ROW)}
    return imported(tmp_path, document({"/customers/{id}": item}, servers=servers))


def test_the_base_url_is_the_first_absolute_server(tmp_path: Path) -> None:
    made = import_servers(tmp_path, "/v1", "https://a.example.com/", "https://b.example.com")

    assert made.table["base_url"] == "https://a.example.com"
    assert "# Also in the document: https://b.example.com\n" in made.text


def test_the_base_url_is_left_out_without_an_absolute_server(tmp_path: Path) -> None:
    made = import_servers(tmp_path, "/api/v3")

    assert "base_url" not in made.table
    assert '# base_url = "https://billing.internal/api/v3"' in made.text
    assert "sources.billing.base_url: the document has no absolute address" in made.warnings
    assert made.settings(tmp_path, base_url="http://billing").base_url == "http://billing"


def test_variables_of_a_server_get_their_defaults(tmp_path: Path) -> None:
    server: Json = {
        "url": "https://{region}.example.com/{stage}",
        "variables": {"region": {"default": "eu"}, "stage": {"default": "v2"}},
    }
    item: Json = {"get": operation(ROW, servers=[server])}

    made = imported(tmp_path, document({"/customers/{id}": item}))

    assert made.table["base_url"] == "https://eu.example.com/v2"
