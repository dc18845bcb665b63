"""Tokens of a real identity provider: npm's oidc-provider, certified for OpenID Connect."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel, Field

from app.server.graphiql.build import NodePrograms
from tests.examples.serving import serve_over_demo
from tests.fakes import user_id
from tests.npm import node_with, running

FOLDER = Path(__file__).parent / "provider"
WAIT = 20.0
"""Seconds that a response may take."""

QUERY = {"query": f'{{ user(id: "{user_id(1)}") {{ username }} }}'}


class ProviderStarted(BaseModel):
    """The first line that the provider prints."""

    issuer: str = Field(description="Its address.")


class Granted(BaseModel):
    """A response of the token endpoint."""

    access_token: str = Field(description="A token.")


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Give Node with the provider installed."""
    return node_with(FOLDER)


@asynccontextmanager
async def provider(node: NodePrograms, algorithm: str, audience: str) -> AsyncGenerator[str]:
    """Run the provider, and return its address."""
    async with running(node, FOLDER, "provider.mjs", algorithm, audience) as line:
        yield ProviderStarted.model_validate_json(line).issuer


def gateway(issuer: str) -> AbstractAsyncContextManager[str]:
    """Serve the gateway with only the issuer and the audience of the provider configured."""
    auth = {
        "GATEWAY_AUTH__MODE": "jwt",
        "GATEWAY_AUTH__ISSUER": issuer,
        "GATEWAY_AUTH__AUDIENCE": "user-gateway",
        "GATEWAY_AUTH__TIMEOUT": "30",  # a busy machine is slow
    }
    return serve_over_demo(auth)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_of_a_real_provider_is_accepted_and_a_changed_one_refused(
    node: NodePrograms, algorithm: str
) -> None:
    async with (
        provider(node, algorithm, "user-gateway") as issuer,
        gateway(issuer) as url,
        httpx.AsyncClient(trust_env=False, timeout=WAIT) as client,
    ):
        granted = await client.post(
            f"{issuer}/token",
            data={"grant_type": "client_credentials", "scope": "billing:read"},
            auth=("page", "a-secret-of-the-page"),
        )
        token = Granted.model_validate_json(granted.content).access_token
        head, payload, signature = token.split(".")
        other = "B" if signature[0] == "A" else "A"

        async def ask(shown: str | None) -> httpx.Response:
            headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
            return await client.post(url, json=QUERY, headers=headers)

        good = await ask(token)
        changed = await ask(f"{head}.{payload}.{other}{signature[1:]}")
        nothing = await ask(None)

    assert good.status_code == 200
    assert good.json()["data"]["user"]["username"]
    assert (changed.status_code, nothing.status_code) == (401, 401)
    assert "the token's signature is wrong" in changed.headers["www-authenticate"]


async def test_a_token_of_a_real_provider_for_another_audience_is_refused(
    node: NodePrograms,
) -> None:
    async with (
        provider(node, "ES256", "another-service") as issuer,
        gateway(issuer) as url,
        httpx.AsyncClient(trust_env=False, timeout=WAIT) as client,
    ):
        granted = await client.post(
            f"{issuer}/token",
            data={"grant_type": "client_credentials"},
            auth=("page", "a-secret-of-the-page"),
        )
        token = Granted.model_validate_json(granted.content).access_token
        response = await client.post(url, json=QUERY, headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 401
    assert "because of its claim aud" in response.headers["www-authenticate"]
