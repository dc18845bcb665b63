"""The command that invalidates, against a running program."""

import asyncio
from pathlib import Path

from tests.cli.test_commands import flat, run
from tests.cli.test_end_to_end import program
from tests.examples.serving import free_port

TOKEN = "a-token-of-operators"


async def test_an_operator_invalidates_by_the_command_line(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **{
            f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
            for name in ("PROFILE", "BILLING", "ACTIVITY")
        },
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_PORT": "0",
        "GATEWAY_ADMIN__PORT": str(port),
        "GATEWAY_ADMIN__TOKEN": TOKEN,
    }
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{TOKEN}\n", encoding="utf-8")
    wrong.write_text("another", encoding="utf-8")
    address = f"http://127.0.0.1:{port}"
    async with program("serve", folder=tmp_path, environment=environment) as one:
        await one.wait_for("gateway.started")
        options = ("--user", "1", "--source", "billing", "--address", address)
        done, refused = [
            await asyncio.to_thread(run, "cache", "invalidate", *options, "--token-file", str(file))
            for file in (right, wrong)
        ]

    assert (done.exit_code, flat(done.output)) == (0, "All gateways forget it within a second. ")
    assert refused.exit_code == 1
    assert "401: the request has not the token" in flat(refused.stderr)


def test_it_says_what_is_missing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    nothing = run("cache", "invalidate", "--token-file", str(token), "--address", "http://a")
    nobody = run(
        *("cache", "invalidate", "--user", "1", "--token-file", str(token)),
        *("--address", "http://me:hunter2@127.0.0.1:9"),
    )

    assert nothing.exit_code == 2
    assert "expected --user, --source or --tag" in flat(nothing.stderr)
    assert nobody.exit_code == 1
    assert "127.0.0.1:9 does not answer" in flat(nobody.stderr)
    assert "hunter2" not in nobody.stderr
