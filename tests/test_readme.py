"""The README is true: its table, its transcript, its diff."""

import re
import tomllib
from pathlib import Path

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator

import app
from app.cli.settings import settings_table
from app.configuration.schema import file_schema
from app.demo.database import data_folder
from app.demo.services import demo_services
from app.environment import load_settings
from app.main import create_app
from app.observability.logs import make_log
from app.settings import Settings, SourceSettings
from tests.fakes import settings_for_fakes

ROOT = Path(app.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """Find the block of code in the README that has some text in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    [found] = [one for one in blocks if containing in one]
    text: str = found
    return text


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert settings_table() in README


async def test_the_answer_with_one_source_down_is_what_the_demo_answers() -> None:
    settings = settings_for_fakes()
    with data_folder(None) as folder, demo_services(folder) as services:
        applications = {
            "http://profile": services.profile,
            "http://activity": services.activity,
        }

        def transport(source: SourceSettings) -> httpx.AsyncBaseTransport:
            if source.base_url in applications:
                return httpx.ASGITransport(app=applications[source.base_url])
            return httpx.MockTransport(lambda _: httpx.Response(503))

        gateway = create_app(settings, make_log(settings.log), transports=transport)
        async with (
            gateway.router.lifespan_context(gateway),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=gateway), base_url="http://gateway"
            ) as client,
        ):
            query = block("graphql", "displayName")
            response = await client.post("/graphql", json={"query": query})

    assert response.status_code == 200
    assert response.json() == orjson.loads(block("json", "is unavailable"))


def test_the_configuration_file_is_right_by_its_schema_and_by_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = block("toml", "base_url")
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("BILLING_TOKEN", "x")

    settings = load_settings(None, config=file)

    Draft202012Validator(file_schema(Settings)).validate(tomllib.loads(text))  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open
    assert settings.sources.billing.answer is not None
    assert settings.sources.billing.answer.more.has_more == ("has_more",)
