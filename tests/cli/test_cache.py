"""`user-gateway cache invalidate`, against a running gateway."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.test_commands import one_line, run
from tests.cli.test_end_to_end import program
from tests.examples.serving import free_port

TOKEN = "a-token-of-operators"


async def test_an_operator_invalidates_the_cache_by_the_command_line(tmp_path: Path) -> None:
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

    assert done.exit_code == 0
    assert one_line(done.output).startswith(
        "This gateway has forgotten it. Others with the same store"
    )
    assert refused.exit_code == 1
    assert "401: the request has not the token" in one_line(refused.stderr)


def test_a_missing_option_or_gateway_is_reported(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    nothing = run("cache", "invalidate", "--token-file", str(token), "--address", "http://a")
    unreachable = run(
        *("cache", "invalidate", "--user", "1", "--token-file", str(token)),
        *("--address", "http://me:hunter2@127.0.0.1:9"),
    )

    assert nothing.exit_code == 2
    assert "expected --user, --source or --tag" in one_line(nothing.stderr)
    assert unreachable.exit_code == 1
    assert "127.0.0.1:9 does not answer" in one_line(unreachable.stderr)
    assert "hunter2" not in unreachable.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"canary\n\ncanary", "has no token in it"),
        ("canary-\u00f6".encode(), "has no token in it"),
        (b"canary\x01", "has no token in it"),
        (b"\n", "is empty"),
        (b"canary\xff", "is not UTF-8"),
    ],
)
def test_the_content_of_a_file_without_a_token_is_not_shown(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)

    result = run(
        *("cache", "invalidate", "--user", "1", "--token-file", str(token)),
        *("--address", "http://127.0.0.1:9"),
    )

    assert result.exit_code == 2
    assert f"token {problem}; expected one line of printable ASCII" in one_line(result.stderr)
    assert "canary" not in result.output


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "http://", "http://[::1", "ftp://a"])
def test_an_invalid_address_is_reported(tmp_path: Path, address: str) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")

    result = run(
        *("cache", "invalidate", "--user", "1", "--token-file", str(token)),
        *("--address", address),
    )

    assert result.exit_code == 2
    assert f"{address} is no address: expected one such as http://" in one_line(result.stderr)
