"""The command line."""

import json
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import __version__
from app.cli import main
from app.cli.demo import announcement, demo_notes
from app.cli.demo_callers import DemoToken
from app.cli.placeholders import sources_at
from app.cli.settings import settings_tables
from app.demo.faults import DemoOptions, Latency, SourceName
from app.demo.run import DemoAddresses, SourceUrls
from app.execution.schema import build_schema
from app.settings.environment import variables
from app.settings.models import Settings
from tests.cli.refusals import start_refusal

ROOT = Path(__file__).parents[2]
SECRET = "canary-secret"


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, text: bytes | None = None) -> Result:
    """Run a command as a user does, with a text as standard input if there is one."""
    result = CliRunner().invoke(main, arguments, input=text, prog_name="user-gateway")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def one_line(text: str) -> str:
    """Replace line breaks by spaces, because help is wrapped."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    ("command", "sentences"),
    [
        (
            [],
            [
                "Usage: user-gateway [OPTIONS] COMMAND [ARGS]...",
                "One GraphQL endpoint over REST services that each know a part of a user.",
                "user-gateway demo",
                "serve",
                "explain",
                "schema",
                "settings",
            ],
        ),
        (["serve"], ["Run the gateway", "GATEWAY_HOST", "GATEWAY_PORT", "GATEWAY_WORKERS", ".env"]),
        (["demo"], ["three services", "1,000 users", "--latency", "--fail", "--sources-only"]),
        (["schema"], ["print", "check"]),
        (
            ["schema", "print"],
            [
                "schema definition language",
                "--client",
                "--no-security-directives",
                "--config",
            ],
        ),
        (
            ["schema", "check"],
            ["schema.graphql", "Exits with 1", "break clients", "--client"],
        ),
        (["settings"], ["List all settings"]),
        (["cache"], ["invalidate"]),
        (
            ["cache", "invalidate"],
            ["--user", "--source", "--tag", "narrow each other", "--token-file", "Exits with 1"],
        ),
        (["config"], ["show", "schema"]),
        (["config", "show"], ["the origin of each", "Secrets are hidden", "--all"]),
        (["config", "schema"], ["JSON Schema", "#:schema gateway.schema.json"]),
        (["sources"], ["list", "check", "try", "import", "personal data"]),
        (["sources", "check"], ["--ids", "--json", "--header", "Exits with 0", "with 1", "with 2"]),
        (["sources", "try"], ["SOURCE ID...", "mapping", "--full", "--header"]),
        (
            ["sources", "import"],
            ["DOCUMENT", "OpenAPI 3.0 or 3.1", "calls no service", "--output", "Exits with 0"],
        ),
        (
            ["explain"],
            ["No source is called", "@FILE", "--variables", "--operation", "--json"],
        ),
        (
            ["trace"],
            ["GATEWAY_TRACE=asked", "--url", "--variables", "--header", "Exits with 1", "with 2"],
        ),
    ],
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_has_help(command: list[str], sentences: list[str], option: str) -> None:
    result = run(*command, option)

    assert result.exit_code == 0
    for sentence in sentences:
        assert sentence in one_line(result.output)
    assert max(len(line) for line in result.output.splitlines()) <= 100


def test_the_version_is_shown() -> None:
    assert run("--version").output == f"user-gateway, version {__version__}\n"


def test_python_m_app_is_the_same_command_line(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    expected = run("--help").output.replace("user-gateway [OPTIONS]", "python -m app [OPTIONS]")
    assert one_line(process.stdout) == one_line(expected)
    assert not process.stderr


@pytest.mark.parametrize(
    "line", ["nothing", "schema nothing", "serve --port -1", "serve --workers 0", "settings x"]
)
def test_an_unknown_command_or_wrong_option_exits_with_2(line: str) -> None:
    result = run(*line.split())

    assert result.exit_code == 2
    assert "Usage: user-gateway" in result.stderr


def test_serve_without_settings_lists_the_required_variables() -> None:
    result = run("serve")

    assert result.exit_code == 2
    refusal = start_refusal(result.stderr)
    assert refusal.reason == "The settings cannot be used"
    assert [line.split(" is missing")[0] for line in refusal.mistakes] == [
        "GATEWAY_AUTH__MODE",
        *(f"GATEWAY_SOURCES__{name}__BASE_URL" for name in ("PROFILE", "BILLING", "ACTIVITY")),
    ]
    assert not result.stdout


def test_serve_reports_all_mistakes_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", f"http://{name.lower()}")
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__AUTH__KIND", "bearer")
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__AUTH__TOKEN", f"{SECRET} x")
    Path(".env").write_text("GATEWAY_PORT=http\nGATEWAY_PROT=1\n", encoding="utf-8")

    result = run("serve")

    assert result.exit_code == 2
    assert len(start_refusal(result.stderr).mistakes) == 4
    assert SECRET not in result.output


UNREADABLE = [
    (None, "gateway.toml cannot be read: No such file or directory; expected a TOML file in UTF-8"),
    (b'[auth]\nmode = "no', "gateway.toml:2: not TOML: "),
    (b"\xff\xfe[\0", "gateway.toml:1: not UTF-8; expected a TOML file in UTF-8"),
    (b'include = ["more.toml"]', "gateway.toml:1: include#1: more.toml cannot be read: No such"),
]
"""The content of an unreadable file, and the beginning of the sentence about it."""


@pytest.mark.parametrize(("content", "sentence"), UNREADABLE)
def test_serve_reports_an_unreadable_file_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("gateway.toml").write_bytes(content)
    # Each of these requires other settings, which may be in that file.
    monkeypatch.setenv("GATEWAY_AUTH__ISSUER", "https://login.example.com")
    monkeypatch.setenv("GATEWAY_SOURCES__CRM__AUTH__TOKEN", "t")
    monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__TLS__CLIENT_KEY", str(Path("key").absolute()))
    monkeypatch.setenv("GATEWAY_CACHE_CONTROL__FIELDS__NICKNAME", "5")
    Path("key").touch()

    result = run("serve", "--config", "gateway.toml")

    assert result.exit_code == 2
    [mistake] = start_refusal(result.stderr).mistakes
    assert mistake.startswith(sentence)


@pytest.mark.parametrize("command", [("config", "show"), ("sources", "list"), ("sources", "check")])
@pytest.mark.parametrize(("content", "sentence"), UNREADABLE)
def test_commands_report_an_unreadable_file_in_one_sentence(
    command: tuple[str, ...], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("gateway.toml").write_bytes(content)

    result = run(*command, "--config", "gateway.toml")

    assert result.exit_code == 2
    [_, line] = result.stderr.splitlines()
    assert line.startswith(f"  - {sentence}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_reported_as_unreadable() -> None:
    Path("gateway.toml").touch(0o000)

    result = run("serve", "--config", "gateway.toml")

    assert result.exit_code == 2
    assert start_refusal(result.stderr).mistakes == [
        "gateway.toml cannot be read: Permission denied; expected a TOML file in UTF-8"
    ]


@pytest.mark.parametrize("command", [("config", "show"), ("sources", "list")])
def test_settings_of_an_unreadable_dot_env_are_not_reported_as_missing(
    command: tuple[str, ...],
) -> None:
    Path(".env").write_bytes(b"GATEWAY_CONFIG=\xff\n")
    sentence = ".env cannot be read: not UTF-8; expected NAME=value lines in UTF-8"

    shown, served = run(*command), run("serve")

    assert (shown.exit_code, served.exit_code) == (2, 2)
    assert shown.stderr.splitlines()[1:] == [f"  - {sentence}"]
    assert start_refusal(served.stderr).mistakes == [sentence]


def test_explain_does_not_use_the_defaults_if_a_named_file_is_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.toml")

    result = run("explain", "{ me { id } }")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "gateway.toml cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize("command", [("sources", "list"), ("config", "show")])
def test_missing_settings_are_reported_with_the_hint_that_no_file_was_read(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    hint = "no configuration file was read: --config or GATEWAY_CONFIG names one"
    nowhere = run(*command)
    Path("gateway.toml").write_text("", encoding="utf-8")

    alone = run(*command)
    named = run(*command, "--config", "gateway.toml")
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.toml")
    by_variable = run(*command)

    assert [one.exit_code for one in (alone, named, by_variable)] == [2, 2, 2]
    assert [hint in one.stderr for one in (alone, named, by_variable)] == [True, False, False]
    assert f"{hint}, such as the one in this folder: --config gateway.toml\n" in alone.stderr
    assert f"{hint}, and `user-gateway init` writes one\n" in nowhere.stderr


def test_serve_shows_at_a_terminal_that_no_file_was_read() -> None:
    ours, theirs = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "app", "serve"],
            stderr=theirs,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            timeout=60,
        )
        shown = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert ended.returncode == 2
    assert "GATEWAY_AUTH__MODE is missing" in shown
    assert "no configuration file was read: --config or GATEWAY_CONFIG names one" in shown


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_names_the_setting_of_a_port_in_use(
    monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = run("serve", "--port", str(port), "--workers", workers)

    refusal = start_refusal(result.stderr)
    assert result.exit_code == 2
    assert refusal.reason == "The gateway does not start, because of its port"
    assert refusal.mistakes == [
        f"127.0.0.1:{port} cannot be used (GATEWAY_PORT or --port): Address already in use"
    ]


def test_serve_names_the_setting_of_an_address_of_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    monkeypatch.setenv("GATEWAY_HOSTS", "api.example.com")

    result = run("serve", "--host", "192.0.2.1")

    [mistake] = start_refusal(result.stderr).mistakes
    assert mistake == (
        '"192.0.2.1" is not an address of this machine: expected one in GATEWAY_HOST or --host,'
        " such as 127.0.0.1, ::1 or 0.0.0.0"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "show"),
        ("config", "show", "--all"),
        ("explain", '{ user(id: "00000000-0000-4000-8000-000000000001") { plan } }'),
    ],
)
def test_an_api_key_in_the_query_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        group = f"GATEWAY_SOURCES__{name}"
        monkeypatch.setenv(f"{group}__BASE_URL", f"http://{name.lower()}")
        monkeypatch.setenv(f"{group}__AUTH__KIND", "api_key")
        monkeypatch.setenv(f"{group}__AUTH__PARAMETER", "key")
        monkeypatch.setenv(f"{group}__AUTH__KEY", SECRET)

    result = run(*arguments)

    assert result.exit_code == 0, result.output
    assert result.stdout
    assert SECRET not in result.output


def test_serve_names_unreadable_trusted_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", f"http://{name.lower()}")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    monkeypatch.setenv("GATEWAY_TRUSTED__PATH", "nowhere.json")

    result = run("serve")

    assert result.exit_code == 2
    [mistake] = start_refusal(result.stderr).mistakes
    assert mistake == (
        "GATEWAY_TRUSTED__PATH cannot be used: nowhere.json cannot be read: No such file or"
        " directory; expected a manifest, a document, or a folder of them."
    )


def test_schema_check_accepts_the_output_of_schema_print() -> None:
    printed = run("schema", "print")
    Path("schema.graphql").write_text(printed.stdout, encoding="utf-8")

    checked = run("schema", "check")

    assert printed.stdout.rstrip("\n") == build_schema().as_str().rstrip("\n")
    assert checked.exit_code == 0
    assert checked.stdout == "schema.graphql is the schema of the code.\n"


FORMS = ["", "--no-security-directives", "--client"]
"""The options that choose a form of the schema."""


@pytest.mark.parametrize("option", FORMS)
def test_schema_check_accepts_each_form_only_with_its_option(option: str) -> None:
    chosen = [option] if option else []
    printed = run("schema", "print", *chosen)
    Path("schema.graphql").write_text(printed.stdout, encoding="utf-8")

    checked = {one: run("schema", "check", *([one] if one else [])) for one in FORMS}

    assert checked[option].stdout == "schema.graphql is the schema of the code.\n"
    for other in FORMS:
        if other != option:
            assert checked[other].exit_code == 1
            right = " ".join(["user-gateway schema check", *chosen, "schema.graphql"])
            assert checked[other].stderr == (
                f"schema.graphql is in another form:\n  - expected {right}\n"
            )


@pytest.mark.parametrize("option", FORMS)
def test_drift_of_a_form_shows_the_command_that_prints_that_form(option: str) -> None:
    chosen = [option] if option else []
    exported = run("schema", "print", *chosen).stdout
    Path("old.graphql").write_text(exported.replace("username: String", "username: ID"))

    result = run("schema", "check", *chosen, "old.graphql")

    assert result.exit_code == 1
    assert "  - Field User.username changed type from ID to String.\n" in result.stdout
    command = " ".join(["user-gateway schema print", *chosen, "> old.graphql"])
    assert result.stdout.endswith(f"To accept the changes: {command}\n")


def test_settings_do_not_change_the_printed_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = run("schema", "print").stdout
    monkeypatch.setenv("GATEWAY_SECURITY_DIRECTIVES", "never")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")

    assert run("schema", "print").stdout == printed


def test_the_schema_of_the_repository_is_the_schema_of_the_code() -> None:
    file = Path(__file__).parents[2] / "schema.graphql"

    assert run("schema", "check", str(file)).exit_code == 0


def test_drift_exits_with_1_and_shows_changes_that_break_clients() -> None:
    exported = run("schema", "print").stdout
    line = "  displayName: String\n"
    assert line in exported
    Path("old.graphql").write_text(
        exported.replace(line, line + "\n  nick: String\n"), encoding="utf-8"
    )

    result = run("schema", "check", "old.graphql")

    assert result.exit_code == 1
    assert "--- old.graphql" in result.stdout
    assert "-  nick: String" in result.stdout
    assert "Would break clients:\n  - Field User.nick was removed." in result.stdout
    assert "user-gateway schema print > old.graphql" in result.stdout


def test_drift_without_a_breaking_change_is_reported_as_such() -> None:
    exported = run("schema", "print").stdout
    Path("schema.graphql").write_text(
        exported.replace("The name others see.", "The nickname."), encoding="utf-8"
    )

    result = run("schema", "check")

    assert result.exit_code == 1
    assert '-  """The nickname."""' in result.stdout
    assert '+  """The name others see."""' in result.stdout
    assert "No change would break a client." in result.stdout


def test_drift_that_may_surprise_clients_is_reported() -> None:
    exported = run("schema", "print").stdout
    Path("schema.graphql").write_text(exported.replace("first: Int = 20", "first: Int = 10"))

    result = run("schema", "check")

    assert result.exit_code == 1
    assert "No change would break a client." in result.stdout
    assert "May surprise clients:\n  - User.invoices(first:)" in result.stdout


@pytest.mark.parametrize(
    ("content", "headline"),
    [
        (None, "schema.graphql cannot be read:"),
        (b"\xff\xfe\x00", "schema.graphql cannot be read:"),
        (b"", "schema.graphql is not a schema:"),
        (b"not a schema", "schema.graphql is not a schema:"),
        (b"type Query { user: Nobody }", "schema.graphql is not a schema:"),
        (b"type Query implements Nothing { a: Int }", "schema.graphql is not a schema:"),
    ],
)
def test_a_file_that_is_not_a_schema_exits_with_2_and_the_reason(
    content: bytes | None, headline: str
) -> None:
    if content is not None:
        Path("schema.graphql").write_bytes(content)

    result = run("schema", "check")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{headline}\n  - ")
    assert not result.stdout


def test_a_folder_is_not_a_schema(tmp_path: Path) -> None:
    result = run("schema", "check", str(tmp_path))

    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


DOCUMENT = "query Page($id: ID!) { user(id: $id) { displayName plan } }"


def set_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set addresses of the sources on which no service listens."""
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")


def test_explain_shows_the_plan_without_settings() -> None:
    result = run("explain", DOCUMENT)

    assert result.exit_code == 0
    assert "Operation Page is compiled" in result.stdout
    assert "├─ profile  displayName\n└─ billing  plan\n" in result.stdout
    assert "Calls: 2, all sources at the same time." in result.stdout
    assert not result.stderr


def test_explain_notes_that_it_ignores_wrong_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "x")

    result = run("explain", DOCUMENT)

    assert result.exit_code == 0
    assert "Calls: 2" in result.stdout
    assert result.stderr.startswith("Note: settings are missing or wrong")


def test_explain_uses_the_settings_if_they_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    set_addresses(monkeypatch)
    monkeypatch.setenv("GATEWAY_FASTPATH__COMPILED", "false")

    result = run("explain", DOCUMENT)

    assert "interpreted by the resolvers (compiling is switched off)" in result.stdout
    assert not result.stderr


def test_explain_reads_the_document_from_a_file_or_from_standard_input() -> None:
    Path("page.graphql").write_text(DOCUMENT, encoding="utf-8")

    results = [
        run("explain", DOCUMENT),
        run("explain", "@page.graphql"),
        run("explain", "-", text=DOCUMENT.encode()),
    ]

    assert [one.exit_code for one in results] == [0, 0, 0]
    assert len({one.stdout for one in results}) == 1


@pytest.mark.parametrize(("argument", "text"), [("@nothing", None), ("@.", None), ("-", b"\xff")])
def test_a_document_that_cannot_be_read_exits_with_2(argument: str, text: bytes | None) -> None:
    result = run("explain", argument, text=text)

    assert result.exit_code == 2
    assert result.stderr.startswith("The document cannot be read:\n  - ")


def test_explain_accepts_variables_and_an_operation_name() -> None:
    query = f"{DOCUMENT} query Other {{ __typename }}"
    user = "00000000-0000-4000-8000-000000000001"

    result = run("explain", query, "--operation", "Page", "--variables", json.dumps({"id": user}))

    assert result.exit_code == 0
    assert "Operation Page " in result.stdout
    assert "user, 1 id\n" in result.stdout


@pytest.mark.parametrize("values", ["", "[]", "{", "7"])
def test_variables_that_are_not_a_json_object_exit_with_2(values: str) -> None:
    result = run("explain", DOCUMENT, "--variables", values)

    assert result.exit_code == 2
    assert "expected a JSON object" in result.stderr


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{ user(", "GRAPHQL_PARSE_FAILED: Syntax Error"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED: Cannot query field 'nope' on type 'Query'."),
        ("query A { __typename } query B { __typename }", "OPERATION_RESOLUTION_FAILURE: "),
        ('{ user(id: "x") { plan } }', 'BAD_USER_INPUT: "x" is not a user id'),
    ],
)
def test_an_invalid_document_exits_with_1_and_the_errors(
    monkeypatch: pytest.MonkeyPatch, document: str, complaint: str
) -> None:
    set_addresses(monkeypatch)

    result = run("explain", document)
    as_json = run("explain", document, "--json")

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert result.stderr.lstrip().startswith(f"Errors:\n  - {complaint}")
    [error] = json.loads(as_json.stdout)["errors"]
    assert complaint.startswith(error["extensions"]["code"])
    assert not as_json.stderr


def test_explain_as_json_has_the_form_of_the_response_extension() -> None:
    result = run("explain", DOCUMENT, "--json")

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(report) == ["explain"]
    assert report["explain"]["operation"] == "Page"
    assert [source["calls"] for source in report["explain"]["sources"]] == [1, 1]


def test_the_example_of_explain_prints_the_output_of_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/explain.md").read_text(encoding="utf-8")
    [(command, printed)] = re.findall(
        r"```sh\nuser-gateway (explain .*?)```.*?```text\n(Operation .*?)```",
        page,
        flags=re.DOTALL,
    )

    result = run(*shlex.split(command.replace("\\\n", " ")))

    assert result.exit_code == 0
    assert result.stdout == printed


def test_settings_lists_every_variable_once_in_the_tables() -> None:
    result = run("settings")

    assert result.exit_code == 0
    assert result.stdout == settings_tables() + "\n"
    first, _, head, rule, *_ = result.stdout.splitlines()
    assert first == "## The gateway itself"
    assert head == "| Variable | Default | Meaning |"
    assert rule == "| --- | --- | --- |"
    rows = [row for row in result.stdout.splitlines() if row.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert all(len(row) == 3 for row in cells)
    table = {name.strip("`"): default for name, default, _ in cells}
    assert len(table) == len(rows)
    named = re.compile("__(PROFILE|BILLING|ACTIVITY)__")
    shared = re.compile("(?<=_SOURCE_DEFAULTS__).*")
    assert set(table) == {
        shared.sub("<SETTING>", named.sub("__<SOURCE>__", one.name)) for one in variables()
    }
    assert table["GATEWAY_PORT"] == "`8000`"
    assert table["GATEWAY_SOURCES__<SOURCE>__BASE_URL"] == "**needed**"
    assert table["GATEWAY_SOURCES__<SOURCE>__AUTH__TOKEN"] == "not set"
    assert table["GATEWAY_AUTH__MODE"] == "not set"
    assert table["GATEWAY_SOURCES__<SOURCE>__AUTH__KIND"] == "`none`"
    assert all(meaning for _, _, meaning in cells)


def test_settings_never_shows_configured_values(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run("settings").stdout
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__AUTH__TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_PORT", "81")

    assert run("settings").stdout == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--latency", "billing"], "write it as billing=300ms"),
        (["--latency", "users=1s"], "use one of profile, billing, activity"),
        (["--latency", "billing=300"], "write 300ms or 300s"),
        (["--latency", "billing=-1s"], "is not a duration"),
        (["--latency", "billing=1s", "--latency", "billing=2s"], "more than one value"),
        (["--fail", "activity"], "write it as activity=503"),
        (["--fail", "nobody=503"], "use one of profile, billing, activity"),
        (["--fail", "activity=200"], "a status from 400 to 599"),
        (["--fail", "activity=sometimes"], "timeout, malformed or refuse"),
        (["--fail", "billing=503", "--fail", "billing=timeout"], "more than one value"),
        (["--port", "99999"], "0<=x<=65535"),
        (["--port", "http"], "is not a valid integer"),
        (["--ports", "8001"], "as 9001,9002,9003"),
        (["--ports", "1,2,70000"], "not three ports from 0 to 65535"),
        (["--cors", "localhost:3000"], "expected an origin such as https://app.example.com"),
        (["--cors", "https://app.example.com:*"], "expected a port"),
    ],
)
def test_a_wrong_option_of_the_demo_exits_with_2_and_the_expected_value(
    arguments: list[str], complaint: str
) -> None:
    result = run("demo", *arguments)

    assert result.exit_code == 2
    assert complaint in one_line(result.stderr)


def test_the_demo_refuses_a_file_as_the_folder_for_its_data(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()

    result = run("demo", "--data", str(file))

    assert result.exit_code == 2
    assert "is a file" in result.stderr


SOURCES = SourceUrls("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")


def test_the_demo_prints_its_addresses_and_a_first_request() -> None:
    text = announcement(DemoAddresses("http://127.0.0.1:8000", SOURCES, Path("data")))

    assert "GraphiQL   http://127.0.0.1:8000/graphql" in text
    assert "00000000-0000-4000-8000-000000000001" in text
    words = shlex.split(text[text.index("curl") : text.index("Ctrl-C")].replace("\\\n", " "))
    assert words[:4] == [
        "curl",
        "http://127.0.0.1:8000/graphql",
        "-H",
        "Content-Type: application/json",
    ]
    assert json.loads(words[5])["query"].startswith('{ user(id: "00000000-0000-4000-8000-')


def test_the_demo_prints_tokens_as_headers() -> None:
    tokens = [DemoToken("the user 1", "a.b.c"), DemoToken("a support person", "d.e.f")]

    text = announcement(DemoAddresses("http://127.0.0.1:8000", SOURCES, Path("data")), tokens)

    assert "  the user 1\n    Authorization: Bearer a.b.c\n" in text
    assert "  a support person\n    Authorization: Bearer d.e.f\n" in text
    assert text.endswith("Ctrl-C ends everything.")


def test_the_demo_notes_ports_in_use_and_delays_beyond_the_timeout() -> None:
    options = DemoOptions(
        port=8000,
        ports=(1, 0, 4),
        latency=(Latency(SourceName.BILLING, 2.0), Latency(SourceName.ACTIVITY, 1.9)),
    )
    settings = Settings(sources=sources_at({}))
    addresses = DemoAddresses("http://127.0.0.1:8001", SOURCES, Path("data"))

    notes = demo_notes(options, settings, addresses)

    late = (
        "The billing service takes 2 s, and the gateway waits 2 s: its fields are null, with"
        " SOURCE_TIMEOUT. Try a shorter delay, to see a slow answer."
    )
    assert notes == [
        "Port 8000 is in use, so the gateway has 8001.",
        "Port 4 is in use, so the activity service has 3.",
        late,
    ]
    assert f"Note: {notes[0]}\n" in announcement(addresses, notes=notes)


def test_the_demo_without_a_gateway_prints_how_to_start_one() -> None:
    text = announcement(DemoAddresses(None, SOURCES, Path("data")))

    for number, name in enumerate(("PROFILE", "BILLING", "ACTIVITY"), start=1):
        assert f"export GATEWAY_SOURCES__{name}__BASE_URL=http://127.0.0.1:{number}\n" in text
    assert "user-gateway serve" in text


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (None, "gateway.toml cannot be read: No such file or directory"),
        ("[x\n", "gateway.toml:1:3: not TOML"),
        ("[user.mail]\nhidden = true\n[user.mail]\nhidden = true\n", "not TOML"),
        ('[users.mail]\nsource = "profile"\n', "[users] is not a setting: did you mean user?"),
        ('include = ["more.toml"]\n', "more.toml cannot be read"),
    ],
)
@pytest.mark.parametrize("command", [("print",), ("check",)])
def test_the_default_schema_is_not_used_if_a_named_file_is_unreadable(
    command: tuple[str, ...], text: str | None, mistake: str
) -> None:
    if text is not None:
        Path("gateway.toml").write_text(text, encoding="utf-8")
    Path("schema.graphql").write_text(build_schema().as_str(), encoding="utf-8")

    result = run("schema", *command, "--config", "gateway.toml")

    assert result.exit_code == 2
    assert not result.stdout
    assert mistake in one_line(result.stderr)


def test_a_missing_file_is_reported_with_the_command_that_writes_it() -> None:
    schema = run("schema", "check")
    document = run("explain", "@page.graphql")

    assert (schema.exit_code, document.exit_code) == (2, 2)
    assert schema.stderr == (
        "schema.graphql cannot be read:\n"
        "  - schema.graphql: No such file or directory\n"
        "  - to write it: user-gateway schema print > schema.graphql\n"
    )
    assert document.stderr == (
        "The document cannot be read:\n  - page.graphql: No such file or directory\n"
    )
