"""Messages about mistakes in settings: the place, the value found, the value expected."""

import re

import pytest

from app.settings.environment import variables
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, SECRET, SERVICE, mistakes, mistakes_own

ALL_WRONG = f"""\
port = "8000"
prot = 1
graphiql = 1
host = 1979-05-27
[sources.profile]
base_url = "ftp://me:{SECRET}@x"
timeout = "soon"
auth = {{ kind = "bearer", token = "{SECRET}" }}
bearer_token = "{SECRET}"
retry.max_retries = 99
[sources.billing]
auth = {{ kind = "bearer", token = {{ env = "NOT_SET" }} }}
breaker = {{ window = -1,  slow_call = true }}
cache = "{SECRET}"
[log]
level = "loud"
[billing]
base_url = "x"
"""


def test_all_mistakes_of_file_and_variables_are_reported_with_their_places(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PROT", "1")
    monkeypatch.setenv("GATEWAY_WORKERS", "many")
    monkeypatch.setenv("GATEWAY_LOG__FORMAT", "xml")
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__COALESCE", "on")

    reported = mistakes(write(ALL_WRONG))

    assert [
        sentence.split(" got ")[0].split(" is ")[0].split(" names")[0] for sentence in reported
    ] == [
        "GATEWAY_PROT",
        "GATEWAY_SOURCES__BILLING__COALESCE",
        "GATEWAY_WORKERS",
        "GATEWAY_LOG__FORMAT",
        "gateway.toml:1: port",
        "gateway.toml:2: prot",
        "gateway.toml:3: graphiql",
        "gateway.toml:4: host",
        "gateway.toml:6: [sources.profile] base_url",
        "gateway.toml:7: [sources.profile] timeout",
        "gateway.toml:8: [sources.profile.auth] token",
        "gateway.toml:9: [sources.profile] bearer_token",
        "gateway.toml:10: [sources.profile.retry] max_retries",
        "gateway.toml:11: [sources.billing] base_url",
        "gateway.toml:12: [sources.billing.auth] token",
        "gateway.toml:13: [sources.billing.breaker] slow_call",
        "gateway.toml:13: [sources.billing.breaker] window",
        "gateway.toml:14: [sources.billing] cache",
        "gateway.toml:16: [log] level",
        "gateway.toml:17: [billing]",
        "gateway.toml: [sources.activity] base_url",
    ]
    assert SECRET not in "".join(reported)


def test_a_value_overridden_by_a_variable_is_not_checked_but_its_name_is(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "81")
    monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__TIMEOUT", "1")

    reported = mistakes(write(f'port = "x"\nprot = 1{NEEDED}profile.timeout = -1'))

    assert reported == ("gateway.toml:2: prot is not a setting: did you mean port?",)


def test_a_mistake_in_a_variable_names_the_variable_beside_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__AUTH__TOKEN", f"{SECRET} x")

    reported = mistakes(write(f'{NEEDED}profile.auth = {{ kind = "bearer", token = "{SECRET}" }}'))

    assert [sentence.split(" got ")[0] for sentence in reported] == [
        "GATEWAY_SOURCES__PROFILE__AUTH__TOKEN",
        "gateway.toml:6: [sources.profile.auth] token",
    ]
    assert SECRET not in "".join(reported)


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ('port = "80"', "port got '80': expected a whole number, without quotes. Port "),
        ("port = 80.0", "port got 80.0: expected a whole number. Port "),
        ("port = true", "port got true: expected a whole number. Port "),
        ("port = 70000", "port got 70000: expected at most 65535. Port "),
        ("port = []", "port got an empty list: expected a whole number. Port "),
        ("port = {}", "[port] got a table: expected a whole number. Port "),
        ('graphiql = "yes"', "graphiql got 'yes': expected true or false, without quot"),
        ("host = 12:00:00", "host got a time: expected text. Address "),
        ("host = 3", "host got 3: expected text. Address "),
        ("log = 3", "log got a single value: expected a table. The log."),
        ("log = []", "log got an empty list: expected a table. The log."),
        ("deadline = { budget = nan }", "[deadline] budget got nan: expected a finite n"),
        ("[deadlin]", "[deadlin] is not a setting: did you mean deadline?"),
        ("[profile]", "[profile] is not a setting: did you mean sources.profile?"),
        ("config = 'x'", "config is not a setting: `user-gateway config schema` prints all "),
        ("[log]\nqqqqqq = 1", "[log] qqqqqq is not a setting: expected one of level, format"),
    ],
)
def test_a_wrong_value_or_name_is_reported_with_the_expected_one(
    write: Write, monkeypatch: pytest.MonkeyPatch, written: str, reported: str
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://x")

    [mistake] = mistakes(write(written))

    assert mistake.partition(": ")[2].startswith(reported)


def test_a_name_of_a_source_with_capital_letters_is_reported(write: Write) -> None:
    reported = mistakes(write(f"{NEEDED}[sources.Support]\nbase_url = 'http://x'\n"))

    assert reported[0] == (
        "gateway.toml:6: [sources.Support] is not a valid name here: expected small letters,"
        " digits and _, such as latest_invoice."
    )


def test_an_unreadable_file_is_reported_with_the_mistakes_of_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", "nowhere.toml")
    monkeypatch.setenv("GATEWAY_PORT", "http")

    reported = mistakes()

    assert len(reported) == 2  # base_url is not reported as missing: that file may have it
    assert reported[0].startswith(
        "nowhere.toml cannot be read: No such file or directory; expected"
    )
    assert reported[1].startswith("GATEWAY_PORT got 'http'")


def test_a_missing_setting_is_reported_with_its_table_and_variable(
    write: Write,
) -> None:
    reported = mistakes(write("[sources.profile]\ntimeout = 1\n[sources]\nbilling = {}\n"))

    meaning = "is missing: Base address of the service. For instance base_url = "
    for place, sentence in zip(
        (
            "gateway.toml:1: [sources.profile]",
            "gateway.toml:4: [sources.billing]",
            "gateway.toml: [sources.activity]",
        ),
        reported,
        strict=True,
    ):
        assert sentence.startswith(f'{place} base_url {meaning}"https://service.internal/api". ')
        name = place.partition(".")[2].rpartition(".")[2].strip("]").upper()
        assert sentence.endswith(f". GATEWAY_SOURCES__{name}__BASE_URL sets it too.")


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ("auth = { kind = 'beerer' }", ":4: [services.users.auth] kind got 'beerer': did you mea"),
        ("auth = { kind = 'x' }", ":4: [services.users.auth] kind got 'x': expected one of 'none'"),
        ("auth = {}", ":4: [services.users.auth] kind is missing: expected one of 'none', 'bearer"),
        ("auth = 'none'", ":4: [services.users] auth got a single value: expected a table. How o"),
        (
            "auth.kind = 'none'\nauth.user = 'x'",
            ":5: [services.users.auth] user is not a setting where kind = 'none': it is one wh",
        ),
        (
            "auth = { kind = 'basic', password.env = 'TOKEN' }",
            ":4: [services.users.auth] user is missing: Who it is. GATEWAY_SERVICES__USERS__AUTH",
        ),
        (
            "auth = { kind = 'bearer', token = 'x' }",
            ":4: [services.users.auth] token got a secret itself",
        ),
        (
            "[[services.users.rules]]\nstatus = 200\n[[services.users.rules]]\nstatus = 99",
            ":7: [services.users.rules#2] status got 99: expected at least 100",
        ),
        (
            "[[services.users.rules]]\nmeans = 'absent'",
            ":4: [services.users.rules#1] status is missing: The status.",
        ),
        (
            "[[services.users.rules]]\nstatus = 404\nstauts = 3",
            ":6: [services.users.rules#1] stauts is not a setting: did you mean status?",
        ),
        ("rules = { }", ":4: [services.users.rules] got a table: expected a list. What statuses"),
        ("rows = ['a', 3]", ":4: [services.users] rows#2 got 3: expected text."),
        ("fields.a = 3", ":4: [services.users.fields] a got 3: expected text."),
        ("headers.'X Y' = 3", ':4: [services.users.headers] "X Y" got a secret value: expected te'),
        ("headers.X.env = 'NOT'", ":4: [services.users.headers] X names the variable NOT, which"),
        ("limit = 1.5", ":4: [services.users] limit got 1.5: expected a whole number or"),
        ("limit = 'all'", ":4: [services.users] limit got 'all': expected a whole number"),
        (
            "request = { parameter = 'a', filter = 'b' }",
            ":4: [services.users.request] is wrong: expected either parameter or filter, got both.",
        ),
        ("plan = { status = 3 }", ":4: [services.users.plan] status got 3: expected at least"),
        ("plan = { size = 3, status = 404 }", ":4: [services.users.plan] status is not a setting"),
        ("plan = 3", ":4: [services.users] plan got a single value: expected a table."),
    ],
)
def test_mistakes_in_tagged_tables_lists_and_free_names_are_reported_in_place(
    write: Write, monkeypatch: pytest.MonkeyPatch, written: str, reported: str
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)

    [mistake] = mistakes_own(write(SERVICE + written))

    assert mistake.startswith(f"gateway.toml{reported}")


@pytest.mark.parametrize(
    ("name", "value", "reported"),
    [
        ("AUTH__KIND", "x", "__AUTH__KIND got 'x': expected one of 'none', 'bearer', 'basic'."),
        (
            "AUTH__USER",
            "x",
            "__AUTH__USER is not a setting where kind = 'bearer': it is one where kind is 'basic'.",
        ),
        ("AUTH__USR", "x", "__AUTH__USR is not a setting: did you mean GATEWAY_SERVICES__USERS__A"),
        ("RULES", "404", "__RULES is not a JSON list: expected one such"),
        ("RULES", '{"a": 1}', "__RULES is not a JSON list: expected one such"),
        ("RULES", '[{"status": 3}]', "__RULES (#1.status) got '3': expected at least"),
        ("RULES", '[{"means": "retry"}]', "__RULES (#1.status) is missing: The status."),
        ("RULES", '[{"status": 404, "x": 1}]', "__RULES (#1.x) is not a setting: expected one of"),
        ("FIELDS", "x", "__FIELDS is not a JSON object: expected one such"),
        ("FIELDS", '{"a b": 3}', "__FIELDS (\"a b\") got '3': expected text."),
        ("FIELDS__A__B", "x", "__FIELDS__A__B is not a setting: "),
        ("ROWS", "[" * 100_000, "__ROWS is not a JSON list: expected one such"),
        ("PAGING__SIZE", "0", "__PAGING__SIZE got '0': expected more than 0. Rows of"),
        ("PAGING__CURSOR", "x", "[services.users.paging] size is missing: Rows of a page."),
        ("LIMIT", "few", "__LIMIT got 'few': expected a whole number or 'none'."),
    ],
)
def test_mistakes_in_variables_of_nested_settings_name_the_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reported: str
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv(f"GATEWAY_SERVICES__USERS__{name}", value)

    [mistake] = mistakes_own(write(f"{SERVICE}auth = {{ kind = 'bearer', token.env = 'TOKEN' }}"))

    assert reported in mistake


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ("", "GATEWAY_SOURCES__BILLING__PROXY is"),
        ("billing.proxy.url = 'http://a'", ":6: [sources"),
    ],
)
def test_a_mistake_in_a_table_names_the_file_only_if_the_file_has_some_of_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, written: str, reported: str
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__PROXY__URL", "http://proxy")
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__PROXY__USERNAME", "a")

    [mistake] = mistakes(write(f"{NEEDED}{written}"))

    assert reported in mistake
    assert "is wrong: expected username and password both" in mistake


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        (
            "auth = { kind = 'api_key', key.env = 'TOKEN' }",
            "[sources.billing.auth] is wrong: expected either header or parameter, the place",
        ),
        ("auth = { kind = 'bearrer' }", "[sources.billing.auth] kind got 'bearrer': did you mean"),
        (
            "auth = { kind = 'none', token.env = 'TOKEN' }",
            "[sources.billing.auth.token] is not a setting where kind = 'none'",
        ),
        (
            "auth = { kind = 'forward', forward_headers = ['X-A', 'Cookie'] }",
            "[sources.billing.auth] forward_headers#2 got 'Cookie': expected no Cookie: it is",
        ),
        (
            "tls = { verify = false }",
            "[sources.billing.tls] verify is not a setting: expected one of ca_file, client_cert",
        ),
        (
            "tls = { ca_file = '/nowhere/ca.pem' }",
            "[sources.billing.tls] ca_file got '/nowhere/ca.pem': expected a file that can be read",
        ),
        (
            "proxy = { url = 'http://proxy', username = 'a' }",
            "[sources.billing.proxy] is wrong: expected username and password both, or neither",
        ),
    ],
)
def test_mistakes_in_auth_tls_and_proxy_are_reported_with_their_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, written: str, reported: str
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)

    [mistake] = mistakes(write(f"{NEEDED}billing.{written}"))

    assert mistake.startswith(f"gateway.toml:6: {reported}")
    assert SECRET not in mistake


@pytest.mark.parametrize(
    ("name", "value", "reported"),
    [
        ("AUTH__ALGORITHMS", "RS256,HS", ["(#2) got 'HS': expected 'RS256', "]),
        ("AUTH__ALGORITHMS", "a,b", ["(#1) got 'a': expected 'RS", "(#2) got 'b': expected 'RS"]),
        ("AUTH__ALGORITHMS", "[]", ["got an empty list: expected a length of at least 1. Sig"]),
        ("AUTH__AUDIENCE", '[""]', ["(#1) got '': expected a length of at least 1."]),
        ("AUTH__AUDIENCE", "[]", ["got an empty list: expected text or a length of at least 1. "]),
        ("LOG__SAMPLE", "-0.5", ["got '-0.5': expected at least 0. Share"]),
        ("TYPES", "x", ['is not a JSON object: expected one such as {"name": {"description": ']),
    ],
)
def test_each_mistake_in_a_variable_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reported: list[str]
) -> None:
    for source in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{source}__BASE_URL", "http://x")
    for setting, text in (("MODE", "jwt"), ("ISSUER", "https://x"), ("AUDIENCE", "x")):
        monkeypatch.setenv(f"GATEWAY_AUTH__{setting}", text)
    monkeypatch.setenv(f"GATEWAY_{name}", value)

    found = mistakes()

    assert [
        sentence.removeprefix(f"GATEWAY_{name} ")[: len(part)]
        for sentence, part in zip(found, reported, strict=True)
    ] == reported


def test_a_path_written_as_one_text_is_reported_with_an_example(write: Write) -> None:
    text = f'{NEEDED}profile.answer = {{ key = "properties.id" }}'

    [mistake] = mistakes(write(text))

    assert ' key got a single value: expected a list such as ["properties", "id"]. ' in mistake


def test_a_pattern_that_a_later_python_reads_differently_is_reported(write: Write) -> None:
    path = write(f"user_id_pattern = '[[a-z]+'\n{NEEDED}")

    [mistake] = mistakes(path)

    assert mistake.startswith(
        "gateway.toml:1: user_id_pattern got '[[a-z]+': possible nested set at position 1:"
        " expected \\ before a [, -, &, ~ or | that stands for itself"
    )


def test_an_invalid_pattern_is_reported_once(write: Write) -> None:
    [mistake] = mistakes(write(f"user_id_pattern = '[a-z'\n{NEEDED}"))

    assert "user_id_pattern got '[a-z'" in mistake


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ('[store]\nprefix = "a b"', "[store] prefix", "such as user-gateway"),
        ('[deadline]\nheader = "a b"', "[deadline] header", "such as X-Tenant"),
        ('[cors]\nheaders = ["a b"]', "[cors] headers#1", "such as X-Tenant"),
        (
            'billing.without_lists = ["A"]',
            "[sources.billing] without_lists#1",
            "such as open_tickets",
        ),
        (
            '[sources.billing.auth]\nkind = "api_key"\nkey = "x"\nheader = "X-Key"\nprefix = " x"',
            "[sources.billing.auth] prefix",
            'such as "Token "',
        ),
    ],
)
def test_the_expected_form_of_a_text_is_described_with_an_example(
    write: Write, text: str, place: str, expected: str
) -> None:
    reported = mistakes(write(f"{NEEDED}\n{text}"))

    [one] = [sentence for sentence in reported if f"{place} got" in sentence]
    assert expected in one
    assert "[A-Z" not in one
    assert "[a-z" not in one


def test_messages_about_variables_show_no_regular_expression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for one in variables():
        name = one.name.replace("<SOURCE>", "BILLING")
        if one.path and not name.endswith(("__KIND", "__MODE")):
            monkeypatch.setenv(name, "\t( ^")

    reported = mistakes()

    assert len(reported) > 100
    expression = re.compile(r"\[A-Za-z|\[a-z|\[0-9|\\[dw]|\{1,")
    shown = [sentence.split()[0] for sentence in reported if expression.search(sentence)]
    assert shown == [
        "GATEWAY_USER_ID_PATTERN"
    ]  # its value is a regular expression: the message has an example


def test_settings_are_not_reported_as_missing_from_a_file_that_cannot_be_read(write: Write) -> None:
    [reported] = mistakes(write("port = 1\nport = "))

    assert "gateway.toml:2" in reported
