"""Secrets and personal data are only in allowed outputs: markers are put into all inputs.

``ALLOWED`` lists the outputs in which each kind of marker may be. The marker also has to be there,
since a marker that is in no output proves nothing. A marker in any other output, or of a kind that
is not listed, is a leak.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from pydantic import BaseModel, SecretStr
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from app.auth.callers import everybody
from app.auth.policies import Caller
from app.cli import main
from app.errors import Code
from app.settings.auth import JwtCallers
from app.settings.field_schema import settings_in
from app.settings.limits import LimitsSettings
from app.settings.models import Settings
from app.settings.operations import AdminSettings
from app.settings.resilience import CacheSettings
from app.settings.server import BatchSettings, CorsSettings, PersistedSettings
from app.settings.store import StoreSettings
from tests.callers import SCOPES, by_headers, headers_of
from tests.certificates import Certificates
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    account_row,
    activity_row,
    calm_source,
    invoice,
    json_response,
    profile_row,
    raising,
    settings_for_fakes,
)
from tests.markers import (
    kinds_in,
    marker,
    outlets_of,
    outlets_of_log,
    secret_places,
    secrets_of,
)
from tests.telemetry import Recorded, outlets_of_telemetry, recorded
from tests.ways import ALSO_BY_FILE, Ways
from tests.wire import served

ID = marker("user_id")

ALLOWED: Mapping[str, set[str]] = {
    # An id that a client sends to find its request again.
    "request_id": {
        *("header x-request-id", "log request_id", "errors extensions"),
        "span gateway.request_id",
    },
    # Words of a document are in its response, and in messages about its errors.
    "operation": {
        *("log graphql.operation name", "extensions explain"),
        *("span graphql.operation.name", "metric graphql.operation.name"),
    },
    "alias": {"data", "errors path", "extensions explain", "log graphql.bug path"},
    "field": {"errors message"},
    "text": {"errors message"},
    "variable": {"errors message", "extensions explain"},
    # A wrong value is quoted in the response to the client that sent it, and nowhere else.
    "no_operation": {"errors message"},
    "value": {"errors message"},
    "bad_id": {"errors message", "extensions explain"},
    "twice": {"errors message"},
    "accept": {"errors message"},
    "content_type": {"errors message"},
    "charset": {"errors message"},
    "coding": {"errors message"},
    "timeout": {"errors message"},
    "path": {"errors message"},
    "method": {"errors message"},
    # The data of the response.
    "user_id": {"data", "extensions explain"},
    **{
        kind: {"data"}
        for kind in (
            *("username", "displayname", "email", "avatarurl", "locale", "plan"),
            *("event_id", "event_type", "invoice_id", "invoice_number"),
            "cursor",  # inside the gateway's own cursor, which is opaque
        )
    },
    # The only text of a source in the log: in the traceback of a bug of the gateway.
    "bug": {"log graphql.bug exception"},
}
"""The outputs in which markers may be, by kind."""

PLANTED = {
    *ALLOWED,
    *("authorization", "cookie", "agent", "referer", "origin", "forwarded_for", "trace_context"),
    *("trace_state", "baggage"),
    *("tenant", "other_header", "parameter", "garbage", "hash", "document_id", "extension"),
    *("body", "reason", "location", "response_header", "unknown_field", "unknown_name", "status"),
    *("subject", "scope"),
    *("malformed", "unasked", "error_text", "access_token", "preflight"),
}
"""All kinds of markers except secrets."""


def rows(**changes: object) -> Mapping[str, Mapping[str, object]]:
    """Make the rows of the sources about a user: each text is a marker."""
    more = {"note": marker("unknown_field"), marker("unknown_name"): {"a": 1}}
    happening = {"id": marker("event_id"), "type": marker("event_type")}
    made = {
        "profile": profile_row(
            1,
            id=ID,
            username=marker("username"),
            displayName=marker("displayname"),
            email=marker("email"),
            avatarUrl=marker("avatarurl"),
            locale=marker("locale"),
        ),
        "billing": account_row(1, userId=ID, plan=marker("plan"), status=marker("status")),
        "activity": activity_row(
            1, userId=ID, events=[{**happening, "occurredAt": "2026-05-01T08:00:00Z"}]
        ),
    }
    return {name: {**row, **more, **changes} for name, row in made.items()}


MALFORMED: Mapping[str, object] = {
    "username": [marker("malformed")],
    "plan": {"a": marker("malformed")},
    "loginCount": marker("malformed"),
}


class MarkedServices(FakeServices):
    """Services with markers in all parts of their responses.

    Attributes:
        fault: What they do instead of a normal response, if anything.
        returned: Everything that they returned.
        received: Everything that each of them received.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fault: Behaviour | None = None
        self.returned = ""
        self.received = defaultdict[str, str](str)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Return the response to a request."""
        received = f"{request.url} {request.headers.multi_items()} {request.content!r}\n"
        self.received[request.url.host] += received
        try:
            response = self._response(request)
        except Exception as error:
            self.returned += f"{error!r}\n"
            raise
        self.returned += f"{response.headers.multi_items()} {response.extensions} {response.text}\n"
        return response

    def _response(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if request.url.path == "/token":
            token = {"access_token": marker("access_token"), "token_type": "Bearer"}
            return json_response({**token, "expires_in": 3600, "note": marker("unknown_field")})
        if self.fault is not None:
            response = self.fault(request)
        elif request.url.path == "/invoices":
            one = {**invoice(1), "id": marker("invoice_id"), "number": marker("invoice_number")}
            more = None if "cursor" in request.url.params else marker("cursor")
            response = json_response({"items": [one], "nextCursor": more})
        else:
            response = json_response([rows()[name]])
        response.headers["X-Marked"] = response.headers["ETag"] = marker("response_header")
        response.headers["Set-Cookie"] = f"a={marker('response_header')}"
        return response


def with_status(status: int, **headers: str) -> Behaviour:
    """Make a service return a status with a reason."""
    reason = {"reason_phrase": marker("reason").encode()}
    return lambda _: httpx.Response(
        status, content=marker("body").encode(), headers=headers, extensions=reason
    )


def with_json(write: Callable[[str], object]) -> Behaviour:
    """Make a service return JSON that depends on its name."""
    return lambda request: json_response(write(request.url.host))


FAULTS: Mapping[str, Behaviour | None] = {
    "no fault": None,
    **{f"status {one}": with_status(one) for one in (204, 400, 401, 403, 404, 413, 418, 500, 503)},
    "a redirect": with_status(302, location=f"http://a/{marker('location')}"),
    "too many": with_status(429, **{"retry-after": marker("response_header")}),
    "no JSON": with_status(200),
    "bad bytes": lambda _: httpx.Response(200, content=b"\xff" + marker("body").encode()),
    "a truncated response": lambda _: httpx.Response(
        200, content=b'[{"id": "' + marker("body").encode()
    ),
    "another shape": with_json(lambda _: {marker("body"): marker("body")}),
    "malformed rows": with_json(lambda name: [rows(**MALFORMED)[name]]),
    "rows of other users": with_json(
        lambda name: [{**rows()[name], "id": marker("unasked"), "userId": marker("unasked")}]
    ),
    "rows without a key": with_json(lambda _: [{"a": marker("body")}]),
    "the same row twice": with_json(lambda name: [rows()[name], rows(plan=marker("plan"))[name]]),
    "no connection": raising(httpx.ConnectError(marker("error_text"))),
    "a timeout": raising(httpx.ReadTimeout(marker("error_text"))),
    "an error of the machine": raising(OSError(2, marker("error_text"), marker("error_text"))),
    "a broken response": raising(httpx.RemoteProtocolError(marker("error_text"))),
    "a bug": raising(ZeroDivisionError(marker("bug"))),
}

ALL = (
    "username displayName email avatarUrl locale plan billingStatus balance { currency }"
    " events { id type } loginCount"
)
PAGE = "invoices(first: 1) { edges { cursor node { id number } } pageInfo { endCursor } }"


def query_for(fields: str, root: str = "users(ids: [$v])") -> str:
    """Write a query with markers in all its names."""
    variable, alias = marker("variable"), marker("alias")
    root = root.replace("$v", f"${variable}")
    return f"query {marker('operation')}(${variable}: ID!) {{ {alias}: {root} {{ {fields} }} }}"


VALUES = {marker("variable"): ID}
GOOD: Sequence[Mapping[str, Any]] = [
    {"query": query_for(ALL), "variables": VALUES},
    {"query": query_for(f"{ALL} {PAGE}"), "variables": VALUES},
    {"query": query_for("id", "user(id: $v)"), "variables": VALUES},
    {"query": query_for(ALL), "variables": VALUES, "onError": "PROPAGATE"},
    {"query": query_for(ALL), "variables": VALUES, "onError": "HALT"},
    {
        "query": "query($r: [_Any!]!) { _entities(representations: $r) { ...F } }"
        f" fragment F on User {{ {ALL} }}",
        "variables": {"r": [{"__typename": "User", "id": ID, marker("value"): "more"}] * 101},
    },
]
ONE = f'{{ user(id: "{ID}") {{ plan }} }}'
TYPED = "query($n: Int, $s: Boolean!) { __typename @skip(if: $s) }"
BAD: Sequence[Any] = [
    {"query": marker("text")},
    {"query": f"{{ user(id: 1) {{ {marker('field')} }} }}"},
    {"query": f'{{ user(id: "{marker("bad_id")}!") {{ plan }} }}'},
    {"query": query_for(ALL), "variables": {marker("variable"): marker("bad_id") + " " * 100}},
    {"query": query_for(ALL), "variables": {marker("variable"): [marker("value")]}},
    {"query": query_for(ALL)},
    {"query": TYPED, "variables": {"n": marker("value"), "s": {"a": marker("value")}}},
    {"query": query_for(ALL), "variables": {marker("variable"): {"a": [[[[marker("value")]]]]}}},
    {"query": ONE, "operationName": marker("no_operation")},
    {"query": f"{{ user(id: 1) {{ ...{marker('field')} }} }}"},
    {"query": f'{{ user(id: 1) {{ events(first: "{marker("value")}") {{ id }} }} }}'},
    {
        "query": "query($id: ID!, $at: String) {"
        " user(id: $id) { invoices(after: $at) { edges { cursor } } } }",
        "variables": {"id": ID, "at": marker("value")},
    },
    {
        "query": "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }",
        "variables": {
            "r": [
                {"__typename": marker("value"), "id": ID},
                {"__typename": "User", "id": f"{marker('bad_id')}!", "more": marker("value")},
                {"__typename": "User", "id": [marker("value")]},
                {"__typename": "User", marker("value"): marker("value")},
                marker("value"),
            ]
            * 200,
        },
    },
    {"query": f"mutation {marker('operation')} {{ {marker('field')} }}"},
    {"query": "{ __schema { queryType { name } } }"},
    {"query": "{ " + "a { " * 30 + marker("field") + " }" * 31},
    {"query": ONE, "onError": marker("value")},
    {"query": [marker("value")], marker("parameter"): 1},
    {"query": 7, "variables": marker("value")},
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": marker("hash")}}},
    {"extensions": {"persistedQuery": {"version": marker("extension"), "sha256Hash": "a"}}},
    {"query": ONE, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
    {"documentId": marker("document_id")},
    {"query": "{ __typename }", "extensions": {marker("extension"): marker("extension")}},
    [{"query": ONE}, {"query": marker("text")}, {"nothing": marker("parameter")}],
    [marker("garbage")],
    marker("garbage"),
]

Send = Callable[..., Awaitable[object]]


@dataclass
class Spy:
    """A client that looks for markers in all responses.

    Attributes:
        seen: The outputs in which markers of each kind were found.
    """

    gateway: GatewayClient
    sent: str = ""
    seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    statuses: set[int] = field(default_factory=set[int])
    codes: set[str] = field(default_factory=set[str])

    async def send(self, method: str = "POST", path: str = "/graphql", **request: Any) -> None:  # noqa: ANN401 # httpx's
        """Send a request with markers in each of its headers."""
        own = request.pop("headers", {})
        headers = {
            "Authorization": f"Bearer {marker('authorization')}",
            "Cookie": f"session={marker('cookie')}",
            "User-Agent": marker("agent"),
            "Referer": f"http://a/{marker('referer')}",
            "Origin": f"https://{marker('origin')}.example",
            "X-Forwarded-For": marker("forwarded_for"),
            "X-Request-ID": marker("request_id"),
            "traceparent": f"01-{'1' * 32}-{'2' * 16}-01-{marker('trace_context')}",
            "tracestate": f"a={marker('trace_state')}",
            "baggage": f"a={marker('baggage')}",
            "X-Tenant": marker("tenant"),
            "X-Other": marker("other_header"),
            "X-Gateway-Cost": "1",
        }
        response = await self.gateway.client.request(
            method, path, headers={**headers, **own}, **request
        )
        self.sent += str(headers) + str(own) + method + path + str(request)
        self.statuses.add(response.status_code)
        self.codes |= {code for code in Code if code in response.text}
        for outlet, text in outlets_of(response):
            self._note(outlet, text)

    def note_log(self) -> None:
        """Look for markers in the log."""
        for outlet, text in outlets_of_log(self.gateway.log):
            self._note(outlet, text)

    def note_telemetry(self, telemetry: Recorded) -> None:
        """Look for markers in spans and metrics."""
        for outlet, text in outlets_of_telemetry(telemetry):
            self._note(outlet, text)

    def _note(self, outlet: str, text: str) -> None:
        for kind in kinds_in(text):
            self.seen[kind].add(outlet)


JSON = {"Content-Type": "application/json"}

NOT_TRIED = {
    *(Code.SOURCE_CIRCUIT_OPEN, Code.RATE_LIMITED, Code.GATEWAY_OVERLOADED),
    *(Code.DOCUMENT_NOT_TRUSTED, Code.PERSISTED_QUERY_NOT_SUPPORTED),
    Code.AUTHENTICATION_UNAVAILABLE,
}
"""Codes of refusals that quote nothing, and that would refuse all other requests too."""


async def send_everything(spy: Spy, services: MarkedServices) -> None:
    """Send all good requests with each fault of the sources, and all bad requests."""
    for fault in FAULTS.values():
        services.fault = fault
        for body in GOOD:
            await spy.send(json=body)
        await spy.send(json=list(GOOD))
    services.fault = None
    for body in BAD:
        await spy.send(json=body)
        await spy.send(json=body, headers={"Accept": "application/graphql-response+json"})
    for body in (*GOOD, *BAD):
        await spy.send(json=body, headers={"X-Gateway-Explain": "1"})
    for body in GOOD:
        await spy.send(json=body, headers=headers_of(marker("subject"), marker("scope")))
    await spy.send(json={"query": "{ me { id } }"}, headers=headers_of(None, marker("scope")))
    await send_bad_http(spy)
    spy.note_log()


async def by_headers_if_any(scope: Scope) -> Caller:
    """Read the caller from headers; a request without them may see everything."""
    return await (by_headers if SCOPES in Headers(scope=scope) else everybody)(scope)


async def send_bad_http(spy: Spy) -> None:
    """Send requests that are wrong before GraphQL reads them."""
    garbage = marker("garbage").encode()
    for content in (garbage, b"\xff" + garbage, b'{"a": ' + garbage, b'"' + garbage, b"[" * 300):
        await spy.send(content=content, headers=JSON)
    await spy.send(content=garbage * 100_000, headers=JSON)
    twice = marker("twice").encode()
    await spy.send(content=b'{"%b": 1, "%b": 2}' % (twice, twice), headers=JSON)
    for kind in (
        marker("content_type"),
        f"application/json; charset={marker('charset')}",
        f"multipart/form-data; boundary={marker('parameter')}",
    ):
        await spy.send(content=garbage, headers={"Content-Type": kind})
    await spy.send(json=GOOD[0], headers={"Content-Encoding": marker("coding")})
    await spy.send(json=GOOD[0], headers={"Accept": marker("accept")})
    await spy.send(json=GOOD[0], headers={"X-Request-Timeout": marker("timeout")})
    await spy.send(json=GOOD[0], headers={"X-Request-ID": marker("request_id") + "\t"})
    await spy.send(marker("method").upper())
    await spy.send(marker("method").upper(), "/healthz")
    await spy.send("GET", f"/{marker('path')}?{marker('parameter')}={marker('parameter')}")
    ahead = {"GraphQL-Require-Preflight": marker("preflight")}
    for query in (
        {"query": ONE},
        {"query": marker("text")},
        {"query": ONE, "variables": marker("garbage")},
        {"query": ONE, "extensions": "[]", marker("parameter"): marker("parameter")},
        {"documentId": marker("document_id")},
        {"query": ONE, "onError": marker("value")},
    ):
        await spy.send("GET", params=query)
        await spy.send("GET", params=query, headers=ahead)
    await spy.send("GET", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    preflight = {"Access-Control-Request-Method": "POST"}
    await spy.send(
        "OPTIONS",
        headers={**preflight, "Access-Control-Request-Headers": marker("other_header")},
    )


def secrets_first(certificates: Certificates) -> Mapping[str, Mapping[str, Any]]:
    """Make settings of sources with some of the secrets."""
    certificate, key = certificates.client("marked")
    password = marker("secret_of_key")
    made = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    key.write_bytes(made)
    return {
        "profile": {
            "base_url": "https://profile",
            "auth": {"kind": "bearer", "token": marker("secret_token")},
            "tls": {
                "client_certificate": certificate,
                "client_key": key,
                "client_key_password": password,
            },
        },
        "billing": {
            "auth": {
                "kind": "basic",
                "username": "gateway",
                "password": marker("secret_password"),
            },
            "proxy": {
                "url": "http://proxy:3128",
                "username": "gateway",
                "password": marker("secret_of_proxy"),
            },
        },
        "activity": {
            "auth": {"kind": "api_key", "header": "X-Api-Key", "key": marker("secret_key")}
        },
    }


def secrets_second(_: Certificates) -> Mapping[str, Mapping[str, Any]]:
    """Make settings of sources with the other secrets."""
    key = marker("secret_key")
    return {
        "profile": {
            "auth": {
                "kind": "client_credentials",
                "token_url": f"http://profile/token?key={marker('secret_of_address')}",
                "client_id": "gateway",
                "client_secret": marker("secret_client"),
            },
            "cache": CacheSettings(enabled=True),
        },
        "billing": {"auth": {"kind": "api_key", "parameter": "key", "key": key}},
        "activity": {"auth": {"kind": "forward", "forward_headers": ["X-Tenant"]}},
    }


SECRETS = (secrets_first, secrets_second)
MakeSecrets = Callable[[Certificates], Mapping[str, Mapping[str, Any]]]


def settings_of(secrets: Mapping[str, Mapping[str, Any]], **changes: Any) -> Settings:  # noqa: ANN401 # any setting
    """Make settings that report as much as possible."""
    sources = {
        name: calm_source(**{"base_url": f"http://{name}", **own}) for name, own in secrets.items()
    }
    shown = secrets["profile"].get("tls")
    tls = shown and {name.removeprefix("client_"): value for name, value in shown.items()}
    made = settings_for_fakes(
        sources=sources,
        trace="always",
        explain=True,
        suggestions=True,
        batch=BatchSettings(enabled=True),
        persisted=PersistedSettings(enabled=True),
        cors=CorsSettings(origins=("https://app.example.com",)),
        limits=LimitsSettings(report="always"),
        auth=JwtCallers(
            mode="jwt",
            issuer="issuer",
            audience="gateway",
            secret=SecretStr(marker("secret_of_issuer_for_development")),
        ),
        router_token=SecretStr(marker("secret_of_router")),
        admin=AdminSettings(token=SecretStr(marker("secret_of_admin"))),
        # The store is not used, so no server has to run.
        store=StoreSettings(
            url="redis+sentinel://127.0.0.1/main",
            password=SecretStr(marker("secret_of_store")),
            sentinel_password=SecretStr(marker("secret_of_sentinel")),
            entities=False,
            rate_limits=False,
            documents=False,
        ),
    )
    return made.model_validate(
        {**settings_in(made), "user_id_pattern": r"[\w-]+", "tls": tls, **changes}
    )


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in these ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
def services() -> MarkedServices:
    """Return services with markers in all parts of their responses."""
    return MarkedServices()


@pytest.mark.parametrize("secrets", SECRETS)
async def test_markers_appear_only_in_allowed_outputs(
    open_gateway: OpenGateway,
    services: MarkedServices,
    certificates: Certificates,
    clock: ManualClock,
    secrets: MakeSecrets,
) -> None:
    own = settings_of(secrets(certificates))
    telemetry = recorded(clock.monotonic)
    async with open_gateway(own, by_headers_if_any, telemetry=telemetry.telemetry) as gateway:
        spy = Spy(gateway)
        await send_everything(spy, services)
        spy.note_telemetry(telemetry)

    assert spy.seen == ALLOWED
    # All markers were sent, and all statuses and codes occurred.
    planted = {*kinds_in(spy.sent), *kinds_in(services.returned), "access_token"}
    assert planted == PLANTED
    assert spy.statuses == {200, 400, 404, 405, 406, 413, 415, 422}
    assert spy.codes == set(Code) - NOT_TRIED


def test_every_secret_setting_has_a_marker(certificates: Certificates) -> None:
    planted = {
        place
        for secrets in SECRETS
        for place, secret in secrets_of(settings_of(secrets(certificates)))
        if kinds_in(secret)
    }

    assert planted == secret_places(Settings)


@pytest.mark.parametrize(
    ("secrets", "sent"),
    [
        (
            secrets_first,
            {
                "profile": {"secret_token"},
                "billing": {"secret_password"},
                "activity": {"secret_key"},
            },
        ),
        (
            secrets_second,
            {
                "profile": {"secret_client", "secret_of_address", "access_token"},
                "billing": {"secret_key"},
                "activity": {"authorization", "tenant"},
            },
        ),
    ],
)
async def test_sources_get_only_their_own_secrets_and_forwarded_headers(
    open_gateway: OpenGateway,
    services: MarkedServices,
    certificates: Certificates,
    secrets: MakeSecrets,
    sent: Mapping[str, set[str]],
) -> None:
    always = {"user_id", "request_id", "trace_context", "trace_state", "baggage"}
    async with open_gateway(settings_of(secrets(certificates)), everybody) as gateway:
        await Spy(gateway).send(json=GOOD[0])

    received = {name: kinds_in(text) for name, text in services.received.items()}
    assert received == {name: own | always for name, own in sent.items()}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[object], None]:
    """Return a function that puts settings into an environment without other settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def put(value: object, name: str = "GATEWAY_SOURCES") -> None:
        if isinstance(value, Mapping):
            for key, inner in cast("Mapping[str, object]", value).items():
                put(inner, f"{name}__{key.upper()}")
        elif not isinstance(value, BaseModel):
            text = str(value) if isinstance(value, str | Path) else orjson.dumps(value).decode()
            monkeypatch.setenv(name, text)

    return put


def run(*arguments: str) -> Result:
    """Run a command of the command line."""
    result = CliRunner(env={"COLUMNS": "100"}).invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("secrets", SECRETS)
@pytest.mark.parametrize(
    "command",
    [
        ("config", "show", "--all"),
        ("sources", "list"),
        ("settings",),
        ("explain", ONE),
        ("serve",),
        ("sources", "check", "--ids", ID),
    ],
)
def test_commands_print_no_secret_with_valid_and_invalid_settings(
    variables: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    secrets: MakeSecrets,
    command: Sequence[str],
) -> None:
    own = secrets(certificates)
    variables({name: {"base_url": f"http://{name}", **one} for name, one in own.items()})
    monkeypatch.setenv("GATEWAY_USER_ID_PATTERN", r"[\w-]+")
    results = [] if command[0] == "serve" or command[1:2] == ("check",) else [run(*command)]
    monkeypatch.setenv("GATEWAY_PORT", "none")
    for name, one in own.items():  # good values in a bad section
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name.upper()}__AUTH__{marker('wrong')}", "1")
        monkeypatch.setenv(
            f"GATEWAY_SOURCES__{name.upper()}__AUTH__KIND", f"{one['auth']['kind']}x"
        )
    results.append(run(*command))

    for result in results:
        assert result.output
        assert not [kind for kind in kinds_in(result.output) if kind.startswith("secret")]
    assert results[-1].exit_code == {"settings": 0, "explain": 1}.get(command[0], 2)


@pytest.mark.parametrize("secrets", SECRETS)
async def test_commands_print_no_secret_that_a_source_echoes(
    variables: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    secrets: MakeSecrets,
) -> None:
    async def echo(request: Request) -> Response:
        echoed = {"url": str(request.url), "headers": request.headers.items()}
        body = (await request.body()).decode()
        if request.url.path == "/token":
            token = {"access_token": marker("secret_access_token"), "token_type": "Bearer"}
            return JSONResponse({**token, "echoed": echoed, "body": body})
        return JSONResponse(
            [{**profile_row(1, id=ID), "userId": ID, "echoed": echoed, "body": body}]
        )

    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    monkeypatch.setenv("GATEWAY_USER_ID_PATTERN", r"[\w-]+")
    async with served(app) as address:
        base = address.url.removesuffix("/graphql")
        own: dict[str, dict[str, Any]] = {
            name: {"base_url": base, "auth": dict(one["auth"])}
            for name, one in secrets(certificates).items()
        }
        for one in own.values():
            if "token_url" in one["auth"]:
                _, mark, parameters = one["auth"]["token_url"].partition("?")
                one["auth"]["token_url"] = f"{base}/token{mark}{parameters}"
        variables(own)
        header = f"Authorization:Bearer {marker('secret_of_caller')}"
        for name in own:
            given = ("--header", header) if own[name]["auth"]["kind"] == "forward" else ()
            tried = await asyncio.to_thread(run, "sources", "try", name, ID, "--full", *given)
            checked = await asyncio.to_thread(run, "sources", "check", "--ids", ID)
            for result in (tried, checked):
                assert not [one for one in kinds_in(result.output) if one.startswith("secret")]
            assert "echoed" in tried.output


ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "SOURCES__PROFILE__BASE_URL": {},
    "SOURCES__PROFILE__REQUEST__PATH": {
        "SOURCES__PROFILE__REQUEST__FORM": "repeat",
        "SOURCES__PROFILE__REQUEST__PARAMETER": "id",
    },
    "SOURCES__PROFILE__PROXY__URL": {},
    "SOURCES__PROFILE__AUTH__TOKEN_URL": {
        "SOURCES__PROFILE__AUTH__KIND": "client_credentials",
        "SOURCES__PROFILE__AUTH__CLIENT_ID": "gateway",
        "SOURCES__PROFILE__AUTH__CLIENT_SECRET": marker("secret_client"),
    },
    "AUTH__ISSUER": {"AUTH__MODE": "jwt", "AUTH__AUDIENCE": "gateway"},
    "AUTH__JWKS_URL": {
        "AUTH__MODE": "jwt",
        "AUTH__AUDIENCE": "gateway",
        "AUTH__ISSUER": "https://issuer.example",
    },
    "HOSTS": {},
    "HOST": {},
}
"""Settings that are addresses or parts of one, and the other settings that each needs."""


@pytest.mark.parametrize("setting", ADDRESSES)
@pytest.mark.parametrize(
    "written",
    [
        "https://a.example/?key=%",
        "https://a.example/token?key=%&a=b",
        "https://a.example/#token=%",
        "https://me:%@a.example/api",
        "https://%@a.example",
        "https://me:a?%@a.example/api",
        "https://a.example/?mail=a@b&key=%",
        "a.example?key=%",
        "/users?key=%",
    ],
)
def test_commands_hide_secrets_in_addresses(
    variables: Callable[..., None], monkeypatch: pytest.MonkeyPatch, setting: str, written: str
) -> None:
    variables({name: {"base_url": f"http://{name}"} for name in ("profile", "billing", "activity")})
    value = written.replace("%", marker("secret_in_an_address"))
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    for name, beside in ADDRESSES[setting].items():
        monkeypatch.setenv(f"GATEWAY_{name}", beside)
    monkeypatch.setenv(
        f"GATEWAY_{setting}", orjson.dumps([value]).decode() if setting == "HOSTS" else value
    )
    commands = [("config", "show", "--all"), ("sources", "list"), ("settings",), ("explain", ONE)]
    if setting != "HOST" and run("config", "show").exit_code:
        commands += [("serve",), ("sources", "check")]  # these only report the wrong setting

    for command in commands:
        output = run(*command).output
        assert output
        assert not [one for one in kinds_in(output) if one.startswith("secret")], output
