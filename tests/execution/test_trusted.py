"""Trusted documents: the operator configures them, and may refuse all others."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from app.errors import ConfigurationError
from app.execution.document_store import hash_of
from app.execution.trusted import document_store_of, load_trusted, misfits_of_documents
from app.server.responses import GRAPHQL_JSON
from app.settings.models import Settings
from app.settings.server import BatchSettings, PersistedSettings, TrustedSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

PLAN = "query Plan($id: ID!) { user(id: $id) { plan } }"
NAME = "query Name($id: ID!) { user(id: $id) { username } }"
OTHER = "query Other($id: ID!) { user(id: $id) { email } }"
MD5 = hashlib.md5(PLAN.encode(), usedforsecurity=False).hexdigest()
SHA = hash_of(PLAN)
ANSWER = {"data": {"user": {"plan": "pro"}}}


def apollo(*operations: tuple[str, str], **changes: object) -> bytes:
    """Write a manifest for Apollo's clients."""
    listed = [
        {"id": name, "body": body, "name": "Plan", "type": "query"} for name, body in operations
    ]
    return orjson.dumps(
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": listed,
            **changes,
        }
    )


def trusting(path: Path, mode: str = "only", **changes: object) -> Settings:
    """Make settings in which documents are trusted."""
    trusted = TrustedSettings.model_validate({"path": path, "mode": mode})
    return settings_for_fakes(trusted=trusted, **changes)


async def ask(gateway: GatewayClient, **members: object) -> httpx.Response:
    """Send a request."""
    body = {"variables": {"id": user_id(1)}, **members}
    return await gateway.client.post("/graphql", json=body, headers={"Accept": GRAPHQL_JSON})


def by_hash(name: str) -> dict[str, Any]:
    """Make the extensions by which Apollo's clients name a document."""
    return {"persistedQuery": {"version": 1, "sha256Hash": name}}


def code(response: httpx.Response) -> str:
    """Read the code of the only error."""
    [error] = response.json()["errors"]
    found: str = error["extensions"]["code"]
    return found


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Write a manifest of one document."""
    path = tmp_path / "manifest.json"
    path.write_bytes(apollo((SHA, PLAN)))
    return path


@pytest.mark.parametrize(
    "given",
    [
        ("a.json", apollo((SHA, PLAN)), {"extensions": by_hash(SHA)}),
        ("a.json", apollo(("my-own-id", PLAN)), {"extensions": by_hash("my-own-id")}),
        ("a.json", apollo(("my-own-id", PLAN)), {"extensions": by_hash(SHA)}),
        ("a.json", apollo((SHA, PLAN)), {"documentId": f"sha256:{SHA}"}),
        ("a.json", orjson.dumps({MD5: PLAN}), {"doc_id": MD5}),
        ("a.json", orjson.dumps({MD5: PLAN}), {"documentId": MD5}),
        ("a.json", orjson.dumps({MD5: PLAN}), {"extensions": by_hash(SHA)}),
        ("a.graphql", PLAN.encode(), {"documentId": SHA}),
        ("a.gql", f"{PLAN}\n".encode(), {"documentId": SHA}),
        ("a.gql", f"{PLAN}\n".encode(), {"documentId": hash_of(f"{PLAN}\n")}),
        ("in/a/folder.graphql", PLAN.encode(), {"documentId": SHA}),
        ("a.json", apollo((SHA, PLAN)), {"query": PLAN}),
        ("a.json", apollo((SHA, PLAN)), {"query": PLAN, "extensions": by_hash(SHA)}),
    ],
)
@pytest.mark.parametrize("mode", ["only", "also"])
async def test_a_trusted_document_is_executed_by_its_id_or_its_text(
    open_gateway: OpenGateway,
    services: FakeServices,
    tmp_path: Path,
    given: tuple[str, bytes, dict[str, object]],
    mode: str,
) -> None:
    services.know(1)
    file, content, members = given
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    async with open_gateway(trusting(tmp_path, mode)) as gateway:
        response = await ask(gateway, **members)

    assert (response.status_code, response.json()) == (200, ANSWER)


INTROSPECTION = "{ __schema { types { name } } }"


@pytest.mark.parametrize(
    "members",
    [
        {"query": OTHER},
        {"query": PLAN + " "},
        {"query": PLAN.replace("plan", "email")},
        {"query": INTROSPECTION},
        {"query": "{ __typename }"},
        {"query": "query { _service { sdl } }"},
        {"query": OTHER, "extensions": by_hash(SHA)},
        {"query": OTHER, "documentId": SHA},
        {"query": OTHER, "extensions": by_hash(hash_of(OTHER))},
        {"extensions": by_hash(hash_of(OTHER))},
        {"extensions": by_hash(SHA.upper())},
        {"documentId": ""},
        {"documentId": "../manifest.json"},
        {"doc_id": MD5},
    ],
)
@pytest.mark.parametrize("explain", [True, False])
async def test_an_untrusted_document_is_not_executed_or_explained(
    open_gateway: OpenGateway,
    services: FakeServices,
    manifest: Path,
    members: dict[str, object],
    explain: bool,  # noqa: FBT001 # a column of the table
) -> None:
    services.know(1)
    settings = trusting(manifest, explain=explain, persisted=PersistedSettings(enabled=True))
    async with open_gateway(settings) as gateway:
        gateway.client.headers["X-Gateway-Explain"] = "1"
        for _ in range(2):
            response = await ask(gateway, **members)
            assert code(response) == "DOCUMENT_NOT_TRUSTED"
            assert response.status_code == 400
            assert "data" not in response.json()

    assert not any(services.calls.values())


async def test_an_untrusted_document_is_not_executed_in_a_batch_or_by_get(
    open_gateway: OpenGateway, services: FakeServices, manifest: Path
) -> None:
    services.know(1)
    variables = {"id": user_id(1)}
    batch = [{"query": OTHER, "variables": variables}, {"documentId": SHA, "variables": variables}]
    async with open_gateway(trusting(manifest, batch=BatchSettings(enabled=True))) as gateway:
        batched = await gateway.client.post("/graphql", json=batch)
        by_get = await gateway.client.get(
            "/graphql",
            params={"query": "{ __typename }"},
            headers={"GraphQL-Require-Preflight": "1"},
        )

    refused, answered = batched.json()
    assert refused["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    assert answered == ANSWER
    assert code(by_get) == "DOCUMENT_NOT_TRUSTED"
    assert services.calls["profile"] == 0


async def test_other_documents_are_executed_if_the_mode_allows_them(
    open_gateway: OpenGateway, services: FakeServices, manifest: Path
) -> None:
    services.know(1)
    async with open_gateway(trusting(manifest, "also")) as gateway:
        other = await ask(gateway, query=NAME)
        unknown = await ask(gateway, extensions=by_hash(hash_of(NAME)))
        with_hash = await ask(gateway, query=NAME, extensions=by_hash(hash_of(NAME)))
        still = await ask(gateway, extensions=by_hash(hash_of(NAME)))

    assert other.json() == with_hash.json() == {"data": {"user": {"username": "user1"}}}
    assert code(unknown) == code(still) == "PERSISTED_QUERY_NOT_FOUND"


async def test_other_documents_are_persisted_beside_trusted_ones_if_enabled(
    open_gateway: OpenGateway, services: FakeServices, manifest: Path
) -> None:
    services.know(1)
    settings = trusting(manifest, "also", persisted=PersistedSettings(enabled=True))
    async with open_gateway(settings) as gateway:
        await ask(gateway, query=NAME, extensions=by_hash(hash_of(NAME)))
        again = await ask(gateway, extensions=by_hash(hash_of(NAME)))
        trusted = await ask(gateway, extensions=by_hash(SHA))

    assert again.json() == {"data": {"user": {"username": "user1"}}}
    assert trusted.json() == ANSWER


def test_all_manifests_and_documents_of_a_folder_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "apollo.json").write_bytes(apollo((SHA, PLAN)))
    (tmp_path / "relay.json").write_bytes(orjson.dumps({"r1": NAME}))
    (tmp_path / "other.graphql").write_text(OTHER)
    (tmp_path / "README.md").write_text("no document")

    documents = load_trusted(tmp_path)

    assert documents.texts == {PLAN, NAME, OTHER}
    assert documents.get(SHA) == PLAN
    assert documents.get("r1") == documents.get(hash_of(NAME)) == NAME
    assert documents.get(hash_of(OTHER)) == OTHER
    assert documents.get("README.md") is None


def test_a_volume_of_kubernetes_has_only_what_its_links_lead_to(tmp_path: Path) -> None:
    before, after = tmp_path / "..2026_12_01", tmp_path / "..2026_12_02"
    for folder, text in ((before, NAME), (after, PLAN)):
        folder.mkdir()
        (folder / "relay.json").write_bytes(orjson.dumps({"r1": text}))
    (tmp_path / "..data").symlink_to(after.name)
    (tmp_path / "relay.json").symlink_to("..data/relay.json")

    documents = load_trusted(tmp_path)

    assert documents.texts == {PLAN}
    assert documents.get("r1") == PLAN


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", b"", "JSON"),
        ("a.json", b"{", "JSON"),
        ("a.json", b"[]", "Apollo's or Relay's format"),
        ("a.json", b'{"a": 1}', "Apollo's or Relay's format"),
        ("a.json", b'{"a": ""}', "Apollo's or Relay's format"),
        ("a.json", b'{"a": "{ __typename }", "a": "{ b }"}', "JSON"),
        ("a.json", apollo((SHA, PLAN), version=2), "Apollo's or Relay's format"),
        ("a.json", apollo((SHA, PLAN), format="other"), "Apollo's or Relay's format"),
        ("a.json", apollo((SHA, "")), "Apollo's or Relay's format"),
        ("a.json", apollo((SHA, PLAN), (SHA, NAME)), "name of another document"),
        ("a.json", b"{}", "has no documents"),
        ("a.graphql", b"  \n", "expected the text of a document"),
        ("a.graphql", b"\xff", "UTF-8"),
        ("a.txt", PLAN.encode(), "has no documents"),
    ],
)
def test_an_invalid_file_is_reported_at_the_start(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        load_trusted(tmp_path)

    assert why in caught.value.mistakes[0]


def test_two_files_with_one_id_for_different_documents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(orjson.dumps({"1": PLAN}))
    (tmp_path / "b.json").write_bytes(orjson.dumps({"1": NAME}))

    with pytest.raises(ConfigurationError, match=r'b\.json has "1"'):
        load_trusted(tmp_path)


def test_a_missing_path_is_reported_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.json cannot be read"):
        load_trusted(tmp_path / "nothing.json")


@pytest.mark.parametrize("trusted", [{"mode": "only"}, {"mode": "only", "path": None}])
def test_a_missing_path_is_a_mistake_of_the_settings(trusted: object) -> None:
    [(keys, what)] = misfits_of_documents({"trusted": trusted})

    assert keys == ("trusted", "path")
    assert what.startswith("is missing: expected a manifest")


def test_the_mode_only_needs_a_path() -> None:
    with pytest.raises(ConfigurationError, match="TRUSTED__PATH is missing: expected a manifest"):
        document_store_of(settings_for_fakes(trusted=TrustedSettings(mode="only")))
