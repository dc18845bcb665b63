"""Traces and metrics go to a collector only if the standard variables are set."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.errors import ConfigurationError
from app.observability.otlp_variables import OtlpSettings, read_otlp
from tests.cli.test_end_to_end import Program, program
from tests.examples.serving import free_port

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
WAIT = 20.0


@pytest.mark.parametrize(
    ("variables", "switched"),
    [
        ({}, OtlpSettings()),
        ({"OTEL_SERVICE_NAME": "x"}, OtlpSettings()),
        (ENDPOINT, OtlpSettings(traces=True, metrics=True)),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, OtlpSettings()),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, OtlpSettings(metrics=True)),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, OtlpSettings(traces=True)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, OtlpSettings(traces=True)),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "None"}, OtlpSettings(metrics=True)),
        (
            {
                **ENDPOINT,
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "OTEL_BSP_MAX_QUEUE_SIZE": "",
                "OTEL_SPAN_LINK_COUNT_LIMIT": "0",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc, x-team=a=b,",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": __file__,
                "OTEL_RESOURCE_ATTRIBUTES": "team=red,empty=",
            },
            OtlpSettings(traces=True, metrics=True),
        ),
        # Variables of a part that is switched off are not checked.
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon", "OTEL_TRACES_EXPORTER": "none"}, OtlpSettings()),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://c/v1/m"}, OtlpSettings(metrics=True)),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT": " "}, OtlpSettings()),
        (
            {**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_PROPAGATORS": "tracecontext"},
            OtlpSettings(traces=True, metrics=True, baggage=False, metrics_every=0.5),
        ),
        (
            {
                **ENDPOINT,
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.01",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            OtlpSettings(traces=True, metrics=True),
        ),
    ],
)
def test_variables_switch_traces_and_metrics_on(
    variables: Mapping[str, str], switched: OtlpSettings
) -> None:
    assert read_otlp(variables) == switched


@pytest.mark.parametrize(
    ("variables", "mistake"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, 'OTEL_TRACES_EXPORTER is "zipkin": expected otlp'),
        ({"OTEL_METRICS_EXPORTER": "console"}, "OTEL_METRICS_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "expected an address such as http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 'is "grpc": expected http/protobuf'),
        ({**ENDPOINT, "OTEL_TRACES_SAMPLER": "sometimes"}, "expected one of always_on"),
        (
            {
                **ENDPOINT,
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "1%",
            },
            'OTEL_TRACES_SAMPLER_ARG is "1%": expected a number from 0 to 1',
        ),
        ({**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": "1s"}, "expected whole milliseconds"),
        ({**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": "0"}, "expected whole milliseconds"),
        ({"OTEL_PROPAGATORS": "b3"}, 'OTEL_PROPAGATORS has "b3"'),
        ({"OTEL_SDK_DISABLED": "yes"}, 'OTEL_SDK_DISABLED is "yes": expected true or false'),
        ({**ENDPOINT, "OTEL_BSP_SCHEDULE_DELAY": "5s"}, "expected a whole number from 1 on"),
        ({**ENDPOINT, "OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "expected a whole number from 1 on"),
        (
            {**ENDPOINT, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4096"},
            "is greater than OTEL_BSP_MAX_QUEUE_SIZE, which is 2048: expected at most as many",
        ),
        (
            {**ENDPOINT, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"},
            'OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is "-1": expected a whole number from 0 on',
        ),
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "10000"},
            'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is "10000": expected seconds, at most 600',
        ),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": "nan"}, "expected seconds"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "expected none, gzip or deflate"),
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "missing.pem"},
            'OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE is "missing.pem", and there is no such file',
        ),
        (
            {**ENDPOINT, "OTEL_RESOURCE_ATTRIBUTES": "team=red,broken"},
            'OTEL_RESOURCE_ATTRIBUTES has "broken": expected name=value,name=value',
        ),
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
            "expected cumulative",
        ),
    ],
)
def test_a_wrong_variable_is_reported_with_the_expected_value(
    variables: Mapping[str, str], mistake: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_otlp(variables)

    assert [one for one in refused.value.mistakes if mistake in one]


@pytest.mark.parametrize("value", ["Bearer s3cr3t", "authorization=s3cr3t;x", "a=b\ns3cr3t"])
def test_a_mistake_in_the_headers_does_not_show_their_values(value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_otlp({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": value})

    [mistake] = refused.value.mistakes
    assert mistake.startswith("OTEL_EXPORTER_OTLP_HEADERS has a part that is not name=value")
    assert "s3cr3t" not in mistake


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_RESOURCE_ATTRIBUTES"),
                *("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_HEADERS"),
                *("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
                *("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"),
                *("OTEL_TRACES_SAMPLER_ARG", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_PROPAGATORS"),
                *("OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_PROTOCOL"),
            ]
        ),
        st.text(max_size=20),
    )
)
def test_variables_with_any_values_give_settings_or_mistakes(variables: Mapping[str, str]) -> None:
    try:
        read_otlp(variables)
    except ConfigurationError as error:
        mistakes = error.mistakes
    else:
        mistakes = ()
    assert all("expected" in one for one in mistakes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://me:hunter2@collector:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "me:hunter2@collector"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://me:hunter2@"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector/?api-key=hunter2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "https://me:hunter2@collector"),
    ],
)
def test_a_mistake_never_shows_a_password_of_an_address(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        read_otlp({**ENDPOINT, name: value})

    [*mistakes] = found.value.mistakes
    assert any(one.startswith(name) for one in mistakes)
    assert "hunter2" not in str(mistakes)


def test_the_sdk_is_not_imported_without_variables() -> None:
    code = (
        "import sys, app.main\n"
        "from app.observability.otlp import open_telemetry\n"
        "from app.observability.otlp_variables import read_otlp\n"
        "from app.observability.telemetry import GatewayMetrics\n"
        "open_telemetry(read_otlp({}), GatewayMetrics(), version='1', monotonic=lambda: 0.0)\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'opentelemetry', 'requests'}])"
    )
    ran = subprocess.run(  # noqa: S603 # the test's own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert ran.stdout.strip() == "[]"


@dataclass
class Collector:
    """A collector of OTLP over HTTP that keeps the names that it receives.

    Attributes:
        url: Its address.
        spans: The names of spans.
        metrics: The names of metrics.
        resource: The attributes of the resource of the last request.
    """

    url: str = ""
    spans: list[str] = field(default_factory=list[str])
    metrics: set[str] = field(default_factory=set[str])
    resource: dict[str, str] = field(default_factory=dict[str, str])

    def take(self, path: str, body: bytes) -> None:
        """Keep the names of a request."""
        if path == "/v1/traces":
            for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
                self._keep_resource(batch.resource)
                self.spans += [one.name for scope in batch.scope_spans for one in scope.spans]
        else:
            for batch_of_metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self._keep_resource(batch_of_metrics.resource)
                for scope in batch_of_metrics.scope_metrics:
                    self.metrics |= {one.name for one in scope.metrics}

    def _keep_resource(self, resource: Any) -> None:  # noqa: ANN401 # a type of generated code
        self.resource = {one.key: one.value.string_value for one in resource.attributes}


@contextmanager
def collecting() -> Generator[Collector]:
    """Run a collector in a thread."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name in the base class
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def gateway(folder: Path, **variables: str) -> AsyncGenerator[tuple[Program, str]]:
    """Run a gateway whose sources cannot be reached."""
    port = free_port()
    environment = {
        f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
        for name in ("PROFILE", "BILLING", "ACTIVITY")
    }
    environment |= {"GATEWAY_AUTH__MODE": "none", "GATEWAY_PORT": str(port), **variables}
    async with program("serve", folder=folder, environment=environment) as running:
        await running.wait_for("gateway.started")
        yield running, f"http://127.0.0.1:{port}"


async def query_user(url: str) -> httpx.Response:
    """Send a query for a user."""
    query = '{ user(id: "00000000-0000-4000-8000-000000000001") { username } }'
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
        return await client.post(f"{url}/graphql", json={"query": query})


async def test_a_collector_gets_spans_and_metrics_of_a_running_gateway(tmp_path: Path) -> None:
    with collecting() as collector:
        async with gateway(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
            OTEL_BSP_SCHEDULE_DELAY="",  # an empty variable counts as not set
            OTEL_SPAN_LINK_COUNT_LIMIT=" ",
            GATEWAY_WORKERS="2",
        ) as (running, url):
            assert (await query_user(url)).status_code == 200
            running.process.terminate()  # waiting spans and metrics are sent at the end
            await running.ended()

    assert {"POST /graphql", "query", "gateway.source.call"} <= {*collector.spans}
    assert {"http.server.request.duration", "gateway.source.calls"} <= collector.metrics
    # Metrics of the supervisor, which has no gateway.
    of_workers = {"gateway.worker.deaths", "gateway.workers.hanging", "gateway.reloads"}
    assert of_workers <= collector.metrics
    assert collector.resource["service.name"] == "user-gateway"
    assert collector.resource["deployment.environment.name"] == "test"
    assert collector.resource["service.instance.id"]


async def test_requests_and_the_stop_do_not_wait_for_a_collector_that_is_down(
    tmp_path: Path,
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    async with gateway(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as (running, url):
        assert (await query_user(url)).status_code == 200
        running.process.terminate()
        async with asyncio.timeout(WAIT):
            await running.ended()

    assert running.process.returncode in {0, -15}
    messages = [one for one in running.events() if one["event"] == "telemetry.message"]
    assert messages
    assert not [one for one in running.events() if one["level"] == "error" and "exc" in str(one)]


async def test_a_gateway_with_a_wrong_variable_does_not_start(tmp_path: Path) -> None:
    variables = {
        "GATEWAY_AUTH__MODE": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost",
        **{
            f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
            for name in ("PROFILE", "BILLING", "ACTIVITY")
        },
    }
    async with program("serve", folder=tmp_path, environment=variables) as running:
        await running.ended()

    [event] = running.events()
    assert event["event"] == "gateway.unusable"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in event["mistakes"][0]
    assert running.process.returncode == 2
