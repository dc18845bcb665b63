"""Reads the standard variables of OpenTelemetry, and opens what they switch on.

The variables are those of the specification ("OpenTelemetry Environment Variable Specification" and
"OpenTelemetry Protocol Exporter"). The SDK reads most of them itself, and ignores wrong values with
a warning. Here wrong values are mistakes in the settings, like all others.

The SDK is only imported if a variable switches it on, because that takes a third of a second.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from app.errors import ConfigurationError, quote
from app.observability.telemetry import GatewayMetrics, Telemetry

SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
PROTOCOL: Final = "http/protobuf"
_ENDPOINTS = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT_INTERVAL_MS: Final = 60_000
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """What the variables switch on.

    Attributes:
        traces: Whether spans are exported.
        metrics: Whether metrics are exported.
        baggage: Whether the header ``baggage`` is sent on.
        metrics_every: Seconds between two exports of metrics.
    """

    traces: bool = False
    metrics: bool = False
    baggage: bool = True
    metrics_every: float = DEFAULT_INTERVAL_MS / 1000


def read_otlp(environ: Mapping[str, str]) -> OtlpSettings:
    """Read the variables of OpenTelemetry.

    Args:
        environ: The environment. A variable that is empty counts as not set.

    Returns:
        What they switch on. Traces and metrics are on if an endpoint is set for them, or if their
        exporter is ``otlp``.

    Raises:
        ConfigurationError: Some have wrong values; with one sentence for each.
    """
    values = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_")}
    values = {name: value for name, value in values.items() if value}
    if values.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return OtlpSettings()
    mistakes: list[str] = []
    traces = _is_on("TRACES", values, mistakes)
    metrics = _is_on("METRICS", values, mistakes)
    propagators = values.get("OTEL_PROPAGATORS", "tracecontext,baggage").lower().split(",")
    if unknown := {one.strip() for one in propagators} - {"tracecontext", "baggage", "none"}:
        mistakes.append(
            f"OTEL_PROPAGATORS has {quote(min(unknown))}: expected tracecontext, baggage or both"
        )
    if traces:
        _check_sampler(values, mistakes)
    interval = _interval(values, mistakes)
    preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    if metrics and values.get(preference, "cumulative").lower() != "cumulative":
        mistakes.append(f"{preference} is {quote(values[preference])}: expected cumulative")
    if mistakes:
        raise ConfigurationError(tuple(mistakes))
    return OtlpSettings(traces, metrics, "baggage" in map(str.strip, propagators), interval)


def _is_on(signal: str, values: Mapping[str, str], mistakes: list[str]) -> bool:
    """Return whether a signal is exported; add what is wrong with its variables."""
    exporter_name = f"OTEL_{signal}_EXPORTER"
    exporter = values.get(exporter_name)
    if exporter not in {None, "otlp", "none"}:
        mistakes.append(f"{exporter_name} is {quote(str(exporter))}: expected otlp or none")
    endpoint_name = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    name = endpoint_name if endpoint_name in values else _ENDPOINTS
    endpoint = values.get(name)
    if exporter == "none" or (endpoint is None and exporter is None):
        return False
    if endpoint is not None and not _is_address(endpoint):
        mistakes.append(
            f"{name} is {quote(endpoint)}: expected an address such as http://localhost:4318"
        )
    protocol_name = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    name = protocol_name if protocol_name in values else "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = values.get(name, PROTOCOL)
    if protocol != PROTOCOL:
        mistakes.append(f"{name} is {quote(protocol)}: expected {PROTOCOL}, often on port 4318")
    return True


def _is_address(endpoint: str) -> bool:
    """Return whether an endpoint is an http address."""
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_sampler(values: Mapping[str, str], mistakes: list[str]) -> None:
    """Check the sampler and its argument."""
    name, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
    sampler = values.get(name, SAMPLERS[3]).lower()
    if sampler not in SAMPLERS:
        mistakes.append(f"{name} is {quote(values[name])}: expected one of {', '.join(SAMPLERS)}")
    elif sampler.endswith("ratio") and argument in values and not _is_share(values[argument]):
        mistakes.append(f"{argument} is {quote(values[argument])}: expected a number from 0 to 1")


def _is_share(text: str) -> bool:
    """Return whether a text is a number from 0 to 1."""
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _interval(values: Mapping[str, str], mistakes: list[str]) -> float:
    """Return the seconds between two exports of metrics."""
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    text = values.get(name, str(DEFAULT_INTERVAL_MS))
    if not _WHOLE.fullmatch(text) or not int(text):
        mistakes.append(f"{name} is {quote(text)}: expected whole milliseconds, such as 60000")
        return 0.0
    return int(text) / 1000


def open_telemetry(
    settings: OtlpSettings,
    metrics: GatewayMetrics,
    *,
    version: str,
    monotonic: Callable[[], float],
) -> Telemetry:
    """Open what exports traces and metrics. Each runs in a thread of its own.

    Args:
        settings: What is switched on.
        metrics: The metrics of this process.
        version: The version of the gateway.
        monotonic: Returns the time of spans, in seconds from any moment.

    Returns:
        What the gateway measures with. Its ``close`` sends what waits.
    """
    if not settings.traces and not settings.metrics:
        return Telemetry(metrics, baggage=settings.baggage)
    from app.observability.otlp_resource import gateway_resource  # noqa: PLC0415 # it is slow

    resource = gateway_resource(version)
    tracer = exports = None
    if settings.traces:
        from app.observability.otlp_traces import OtlpTracer  # noqa: PLC0415 # it is slow

        tracer = OtlpTracer(resource, monotonic=monotonic, version=version)
    if settings.metrics:
        from app.observability.otlp_metrics import OtlpMetrics  # noqa: PLC0415 # it is slow

        exports = OtlpMetrics(
            metrics.registry.snapshot, resource, version=version, seconds=settings.metrics_every
        )
    closers = tuple(one.close for one in (tracer, exports) if one is not None)
    return Telemetry(metrics, tracer, baggage=settings.baggage, closers=closers)
