"""No secret and nothing personal comes out where it should not: markers in all that comes in.

Each kind of marker may be in the places that ``ALLOWED`` names, and has to be: a marker that no
longer arrives where it may would prove nothing. Everywhere else, and for a kind that is not named
at all, its being there is a leak.
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
    # What a client says of itself to be found again.
    "request_id": {
        *("header x-request-id", "log request_id", "errors extensions"),
        "span gateway.request_id",
    },
    # A document's own words are answered with, and name what is wrong with it.
    "operation": {
        *("log graphql.operation name", "extensions explain"),
        *("span graphql.operation.name", "metric graphql.operation.name"),
    },
    "alias": {"data", "errors path", "extensions explain", "log graphql.bug path"},
    "field": {"errors message"},
    "text": {"errors message"},
    "variable": {"errors message", "extensions explain"},
    # What is wrong is quoted to whoever sent it, and to nobody else.
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
    # What the answer is about.
    "user_id": {"data", "extensions explain"},
    **{
        kind: {"data"}
        for kind in (
            *("username", "displayname", "email", "avatarurl", "locale", "plan"),
            *("event_id", "event_type", "invoice_id", "invoice_number"),
            "cursor",  # in the gateway's own, which is opaque
        )
    },
    # The only thing of a source's that gets into the log: with the traceback of a bug of ours.
    "bug": {"log graphql.bug exception"},
}
"""Where markers may come out, by their kinds."""

PLANTED = {
    *ALLOWED,
    *("authorization", "cookie", "agent", "referer", "origin", "forwarded_for", "trace_context"),
    *("trace_state", "baggage"),
    *("tenant", "other_header", "parameter", "garbage", "hash", "document_id", "extension"),
    *("body", "reason", "location", "answer_header", "unknown_field", "unknown_name", "status"),
    *("subject", "scope"),
    *("malformed", "unasked", "error_text", "access_token", "preflight"),
}
"""All kinds of markers but for secrets."""


def rows(**changes: object) -> Mapping[str, Mapping[str, object]]:
    """Make what the sources have of a user: each text is a marker."""
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
    """Services that have markers in all that they say.

    Attributes:
        mood: What they do instead of answering, if anything.
        said: All that they have said, and all that they were sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mood: Behaviour | None = None
        self.said = self.sent = ""

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.sent += f"{request.url} {request.headers.multi_items()} {request.content!r}\n"
        try:
            response = self._answer(request)
        except Exception as error:
            self.said += f"{error!r}\n"
            raise
        self.said += f"{response.headers.multi_items()} {response.extensions} {response.text}\n"
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if request.url.path == "/token":
            token = {"access_token": marker("access_token"), "token_type": "Bearer"}
            return json_response({**token, "expires_in": 3600, "note": marker("unknown_field")})
        if self.mood is not None:
            response = self.mood(request)
        elif request.url.path == "/invoices":
            one = {**invoice(1), "id": marker("invoice_id"), "number": marker("invoice_number")}
            more = None if "cursor" in request.url.params else marker("cursor")
            response = json_response({"items": [one], "nextCursor": more})
        else:
            response = json_response([rows()[name]])
        response.headers["X-Marked"] = response.headers["ETag"] = marker("answer_header")
        response.headers["Set-Cookie"] = f"a={marker('answer_header')}"
        return response


def answering(status: int, **headers: str) -> Behaviour:
    """Make a service answer with a status, and say why."""
    reason = {"reason_phrase": marker("reason").encode()}
    return lambda _: httpx.Response(
        status, content=marker("body").encode(), headers=headers, extensions=reason
    )


def saying(write: Callable[[str], object]) -> Behaviour:
    """Make a service answer with some JSON, by its name."""
    return lambda request: json_response(write(request.url.host))


MOODS: Mapping[str, Behaviour | None] = {
    "well": None,
    **{f"status {one}": answering(one) for one in (204, 400, 401, 403, 404, 413, 418, 500, 503)},
    "a redirect": answering(302, location=f"http://a/{marker('location')}"),
    "too many": answering(429, **{"retry-after": marker("answer_header")}),
    "no JSON": answering(200),
    "bad bytes": lambda _: httpx.Response(200, content=b"\xff" + marker("body").encode()),
    "cut off": lambda _: httpx.Response(200, content=b'[{"id": "' + marker("body").encode()),
    "another shape": saying(lambda _: {marker("body"): marker("body")}),
    "malformed rows": saying(lambda name: [rows(**MALFORMED)[name]]),
    "rows nobody asked for": saying(
        lambda name: [{**rows()[name], "id": marker("unasked"), "userId": marker("unasked")}]
    ),
    "rows without a key": saying(lambda _: [{"a": marker("body")}]),
    "the same row twice": saying(lambda name: [rows()[name], rows(plan=marker("plan"))[name]]),
    "no connection": raising(httpx.ConnectError(marker("error_text"))),
    "a timeout": raising(httpx.ReadTimeout(marker("error_text"))),
    "an error of the machine": raising(OSError(2, marker("error_text"), marker("error_text"))),
    "a broken answer": raising(httpx.RemoteProtocolError(marker("error_text"))),
    "a bug": raising(ZeroDivisionError(marker("bug"))),
}

ALL = (
    "username displayName email avatarUrl locale plan billingStatus balance { currency }"
    " events { id type } loginCount"
)
PAGE = "invoices(first: 1) { edges { cursor node { id number } } pageInfo { endCursor } }"


def asking(fields: str, root: str = "users(ids: [$v])") -> str:
    """Write a query that has markers in all its names."""
    variable, alias = marker("variable"), marker("alias")
    root = root.replace("$v", f"${variable}")
    return f"query {marker('operation')}(${variable}: ID!) {{ {alias}: {root} {{ {fields} }} }}"


VALUES = {marker("variable"): ID}
GOOD: Sequence[Mapping[str, Any]] = [
    {"query": asking(ALL), "variables": VALUES},
    {"query": asking(f"{ALL} {PAGE}"), "variables": VALUES},
    {"query": asking("id", "user(id: $v)"), "variables": VALUES},
    {"query": asking(ALL), "variables": VALUES, "onError": "PROPAGATE"},
    {"query": asking(ALL), "variables": VALUES, "onError": "HALT"},
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
    {"query": asking(ALL), "variables": {marker("variable"): marker("bad_id") + " " * 100}},
    {"query": asking(ALL), "variables": {marker("variable"): [marker("value")]}},
    {"query": asking(ALL)},
    {"query": TYPED, "variables": {"n": marker("value"), "s": {"a": marker("value")}}},
    {"query": asking(ALL), "variables": {marker("variable"): {"a": [[[[marker("value")]]]]}}},
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
    """A client that looks for markers in all that it gets.

    Attributes:
        seen: Where markers of a kind came out.
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
"""Codes of refusals that quote nothing, and that would let nothing else be tried."""


async def send_everything(spy: Spy, services: MarkedServices) -> None:
    """Send all that is right, to sources in each of their moods, and all that is wrong."""
    for mood in MOODS.values():
        services.mood = mood
        for body in GOOD:
            await spy.send(json=body)
        await spy.send(json=list(GOOD))
    services.mood = None
    for body in BAD:
        await spy.send(json=body)
        await spy.send(json=body, headers={"Accept": "application/graphql-response+json"})
    for body in (*GOOD, *BAD):
        await spy.send(json=body, headers={"X-Gateway-Explain": "1"})
    for body in GOOD:
        await spy.send(json=body, headers=headers_of(marker("subject"), marker("scope")))
    await spy.send(json={"query": "{ me { id } }"}, headers=headers_of(None, marker("scope")))
    await send_what_is_wrong_with_http(spy)
    spy.note_log()


async def by_headers_if_any(scope: Scope) -> Caller:
    """Believe what a request says of its caller; one that says nothing may see everything."""
    return await (by_headers if SCOPES in Headers(scope=scope) else everybody)(scope)


async def send_what_is_wrong_with_http(spy: Spy) -> None:
    """Send requests that are none of GraphQL's."""
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
    asking_first = {"Access-Control-Request-Method": "POST"}
    await spy.send(
        "OPTIONS",
        headers={**asking_first, "Access-Control-Request-Headers": marker("other_header")},
    )


def secrets_first(certificates: Certificates) -> Mapping[str, Mapping[str, Any]]:
    """Give settings of sources that have some secrets in them."""
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
    """Give settings of sources that have the other secrets in them."""
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
    """Make settings that tell all that can be told."""
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
        # It is not asked for anything, so nothing has to be there.
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
    """Have it done in all ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
def services() -> MarkedServices:
    """Give services with markers in all that they say."""
    return MarkedServices()


@pytest.mark.parametrize("secrets", SECRETS)
async def test_what_comes_in_comes_out_only_where_it_may(
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
    # And it was all there, and everything was tried.
    planted = {*kinds_in(spy.sent), *kinds_in(services.said), "access_token"}
    assert planted == PLANTED
    assert spy.statuses == {200, 400, 404, 405, 406, 413, 415, 422}
    assert spy.codes == set(Code) - NOT_TRIED


def test_every_secret_that_settings_can_have_is_planted(certificates: Certificates) -> None:
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
        (secrets_first, {"secret_token", "secret_password", "secret_key"}),
        (
            secrets_second,
            {"secret_client", "secret_of_address", "secret_key", "authorization", "tenant"},
        ),
    ],
)
async def test_sources_are_sent_their_own_secrets_and_of_the_caller_s_what_is_for_them(
    open_gateway: OpenGateway,
    services: MarkedServices,
    certificates: Certificates,
    secrets: MakeSecrets,
    sent: set[str],
) -> None:
    always = {"user_id", "request_id", "trace_context", "trace_state", "baggage"}
    async with open_gateway(settings_of(secrets(certificates)), everybody) as gateway:
        await Spy(gateway).send(json=GOOD[0])

    token = {"access_token"} if "secret_client" in sent else set[str]()
    assert kinds_in(services.sent) == sent | always | token


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[object], None]:
    """Give a way to have settings in the environment, and none but those."""
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
    """Run a command as a user would."""
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
def test_commands_show_no_secret_whether_the_settings_are_right_or_wrong(
    variables: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    secrets: MakeSecrets,
    command: Sequence[str],
) -> None:
    own = secrets(certificates)
    variables({name: {"base_url": f"http://{name}", **one} for name, one in own.items()})
    monkeypatch.setenv("GATEWAY_USER_ID_PATTERN", r"[\w-]+")
    told = [] if command[0] == "serve" or command[1:2] == ("check",) else [run(*command)]
    monkeypatch.setenv("GATEWAY_PORT", "none")
    for name, one in own.items():  # and what is right by itself is wrong where it is
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name.upper()}__AUTH__{marker('wrong')}", "1")
        monkeypatch.setenv(
            f"GATEWAY_SOURCES__{name.upper()}__AUTH__KIND", f"{one['auth']['kind']}x"
        )
    told.append(run(*command))

    for result in told:
        assert result.output
        assert not [kind for kind in kinds_in(result.output) if kind.startswith("secret")]
    assert told[-1].exit_code == {"settings": 0, "explain": 1}.get(command[0], 2)


@pytest.mark.parametrize("secrets", SECRETS)
async def test_trying_a_source_that_sends_back_what_it_was_sent_shows_no_secret(
    variables: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    secrets: MakeSecrets,
) -> None:
    async def echo(request: Request) -> Response:
        said = {"url": str(request.url), "headers": request.headers.items()}
        body = (await request.body()).decode()
        if request.url.path == "/token":
            token = {"access_token": marker("secret_access_token"), "token_type": "Bearer"}
            return JSONResponse({**token, "said": said, "body": body})
        return JSONResponse([{**profile_row(1, id=ID), "userId": ID, "said": said, "body": body}])

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
                _, query, told = one["auth"]["token_url"].partition("?")
                one["auth"]["token_url"] = f"{base}/token{query}{told}"
        variables(own)
        header = f"Authorization:Bearer {marker('secret_of_caller')}"
        for name in own:
            given = ("--header", header) if own[name]["auth"]["kind"] == "forward" else ()
            tried = await asyncio.to_thread(run, "sources", "try", name, ID, "--full", *given)
            checked = await asyncio.to_thread(run, "sources", "check", "--ids", ID)
            for result in (tried, checked):
                assert not [one for one in kinds_in(result.output) if one.startswith("secret")]
            assert "said" in tried.output


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
"""Settings that are addresses or parts of one, and what has to be set beside each."""


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
def test_commands_hide_what_is_secret_in_an_address(
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
        commands += [("serve",), ("sources", "check")]  # which do no more than say what is wrong

    for command in commands:
        output = run(*command).output
        assert output
        assert not [one for one in kinds_in(output) if one.startswith("secret")], output
