"""``serve`` imports what it uses: modules that it does not need cost memory, and time at start."""

import re
from pathlib import Path

from tests.cli.test_end_to_end import program

NOT_NEEDED = {
    *("cryptography", "joserfc"),  # without tokens
    *("opentelemetry", "requests", "google"),  # without a collector
    "prometheus_client",  # without an admin port
    *("redis", "hiredis"),  # without a shared store
    "sqlite3",  # only the demo has a database
    *("app.cli.demo", "app.demo", "app.importing", "app.probe", "app.starting"),
    *("app.settings.reference", "app.schema.export"),
}
"""Packages and modules that a gateway with the least settings does not import."""


async def test_serve_does_not_import_what_it_does_not_use(tmp_path: Path) -> None:
    environment = {
        **{
            f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
            for name in ("PROFILE", "BILLING", "ACTIVITY")
        },
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_PORT": "0",
        "PYTHONPROFILEIMPORTTIME": "1",  # Python prints each import
    }
    async with program("serve", folder=tmp_path, environment=environment) as running:
        await running.wait_for("gateway.started")
        imported = set(re.findall(r"^import time:.*\| +(\S+)$", running.said, re.MULTILINE))

    assert {"app.main", "strawberry", "aiohttp"} <= imported
    assert not {
        module
        for module in imported
        for part in NOT_NEEDED
        if module == part or module.startswith(f"{part}.")
    }
