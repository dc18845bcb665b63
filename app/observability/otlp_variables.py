"""Reads the standard variables of OpenTelemetry, and says what is wrong with them.

The variables are those of the specification ("OpenTelemetry Environment Variable Specification" and
"OpenTelemetry Protocol Exporter"). The SDK reads most of them itself. At a wrong value, it raises
an exception, or goes on with another one; and it logs headers, which may have secrets. So wrong
values are mistakes in the settings here, like all others.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from app.errors import ConfigurationError, quote
from app.settings.secret_values import without_secrets

SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
PROTOCOL: Final = "http/protobuf"
DEFAULT_INTERVAL_MS: Final = 60_000

MAX_TIMEOUT: Final = 600.0
"""The longest time-out of an export in seconds. The specification has milliseconds, but the SDK for
Python reads seconds: 10000 is a mistake, rather than a wait of three hours."""

_PREFIX = "OTEL_EXPORTER_OTLP_"
_WHOLE = re.compile(r"[0-9]{1,9}")
_HEADER = re.compile(
    r"[\x21\x23-\x27\x2a\x2b\x2d\x2e0-9A-Z\x5e-\x7a\x7c\x7e]+[ \t]*="
    r"[\x20\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
)
"""A header as the SDK reads it."""

_DEFAULT_QUEUE, _DEFAULT_BATCH = 2048, 512

_LEAST: Final[Mapping[str, int]] = {
    "OTEL_BSP_SCHEDULE_DELAY": 1,
    "OTEL_BSP_EXPORT_TIMEOUT": 1,
    "OTEL_BSP_MAX_QUEUE_SIZE": 1,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 1,
    "OTEL_ATTRIBUTE_COUNT_LIMIT": 0,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": 0,
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": 0,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": 0,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": 0,
    "OTEL_SPAN_LINK_COUNT_LIMIT": 0,
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": 0,
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": 0,
}
"""The variables of spans that are whole numbers, and the least value of each."""


class OtlpSettings(Struct, frozen=True):
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
    disabled = values.get("OTEL_SDK_DISABLED", "false").lower()
    if disabled == "true":
        return OtlpSettings()
    mistakes: list[str] = []
    if disabled != "false":
        found = _quoted(values["OTEL_SDK_DISABLED"])
        mistakes.append(f"OTEL_SDK_DISABLED is {found}: expected true or false")
    traces = _is_on("TRACES", values, mistakes)
    metrics = _is_on("METRICS", values, mistakes)
    propagators = values.get("OTEL_PROPAGATORS", "tracecontext,baggage").lower().split(",")
    if unknown := {one.strip() for one in propagators} - {"tracecontext", "baggage", "none"}:
        mistakes.append(
            f"OTEL_PROPAGATORS has {_quoted(min(unknown))}: expected tracecontext, baggage or both"
        )
    interval = _interval(values, mistakes)
    if traces:
        mistakes += [*_sampler_mistakes(values), *_span_mistakes(values)]
    if metrics:
        mistakes += _temporality_mistakes(values)
    if traces or metrics:
        mistakes += [*_exporter_mistakes(values), *_resource_mistakes(values)]
    if mistakes:
        raise ConfigurationError(tuple(dict.fromkeys(mistakes)))
    return OtlpSettings(traces, metrics, "baggage" in map(str.strip, propagators), interval)


def _is_on(signal: str, values: Mapping[str, str], mistakes: list[str]) -> bool:
    """Return whether a signal is exported; add what is wrong with its variables."""
    exporter_name = f"OTEL_{signal}_EXPORTER"
    exporter = values.get(exporter_name, "").lower()
    if exporter not in {"", "otlp", "none"}:
        mistakes.append(
            f"{exporter_name} is {_quoted(values[exporter_name])}: expected otlp or none"
        )
    endpoint_name = f"{_PREFIX}{signal}_ENDPOINT"
    name = endpoint_name if endpoint_name in values else f"{_PREFIX}ENDPOINT"
    endpoint = values.get(name)
    if exporter == "none" or (endpoint is None and not exporter):
        return False
    if endpoint is not None and not _is_address(endpoint):
        mistakes.append(
            f"{name} is {_quoted(endpoint)}: expected an address such as http://localhost:4318"
        )
    protocol_name = f"{_PREFIX}{signal}_PROTOCOL"
    name = protocol_name if protocol_name in values else f"{_PREFIX}PROTOCOL"
    protocol = values.get(name, PROTOCOL)
    if protocol != PROTOCOL:
        mistakes.append(f"{name} is {_quoted(protocol)}: expected {PROTOCOL}, often on port 4318")
    return True


def _is_address(endpoint: str) -> bool:
    """Return whether an endpoint is an http address."""
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _sampler_mistakes(values: Mapping[str, str]) -> Iterator[str]:
    """Check the sampler and its argument."""
    name, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
    sampler = values.get(name, SAMPLERS[3]).lower()
    if sampler not in SAMPLERS:
        yield f"{name} is {_quoted(values[name])}: expected one of {', '.join(SAMPLERS)}"
    elif sampler.endswith("ratio") and argument in values:
        share = _number(values[argument])
        if share is None or not 0 <= share <= 1:
            yield f"{argument} is {_quoted(values[argument])}: expected a number from 0 to 1"


def _number(text: str) -> float | None:
    """Read a number; ``None`` for other texts."""
    try:
        return float(text)
    except ValueError:
        return None


def _interval(values: Mapping[str, str], mistakes: list[str]) -> float:
    """Return the seconds between two exports of metrics."""
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    text = values.get(name, str(DEFAULT_INTERVAL_MS))
    if not _WHOLE.fullmatch(text) or not int(text):
        mistakes.append(f"{name} is {_quoted(text)}: expected whole milliseconds, such as 60000")
        return 0.0
    return int(text) / 1000


def _span_mistakes(values: Mapping[str, str]) -> Iterator[str]:
    """Check the queue and the limits of spans."""
    wrong = False
    for name, least in _LEAST.items():
        text = values.get(name)
        if text is not None and (not _WHOLE.fullmatch(text) or int(text) < least):
            wrong = True
            yield f"{name} is {_quoted(text)}: expected a whole number from {least} on"
    if not wrong:
        queue, batch = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
        most = int(values.get(queue, _DEFAULT_QUEUE))
        if int(values.get(batch, _DEFAULT_BATCH)) > most:
            yield f"{batch} is greater than {queue}, which is {most}: expected at most as many"


def _temporality_mistakes(values: Mapping[str, str]) -> Iterator[str]:
    """Check which sums are exported."""
    name = f"{_PREFIX}METRICS_TEMPORALITY_PREFERENCE"
    if values.get(name, "cumulative").lower() != "cumulative":
        yield f"{name} is {_quoted(values[name])}: expected cumulative"


def _resource_mistakes(values: Mapping[str, str]) -> Iterator[str]:
    """Check the attributes of the gateway."""
    name = "OTEL_RESOURCE_ATTRIBUTES"
    for pair in _parts(values.get(name, "")):
        if pair.find("=") < 1:
            yield f"{name} has {_quoted(pair)}: expected name=value,name=value"


def _exporter_mistakes(values: Mapping[str, str]) -> Iterator[str]:
    """Check how exports are sent, for both signals and for one of them."""
    for option, check in _CHECKS.items():
        for signal in ("", "TRACES_", "METRICS_"):
            name = f"{_PREFIX}{signal}{option}"
            if name in values and (mistake := check(values[name])) is not None:
                yield f"{name} {mistake}"


def _check_timeout(text: str) -> str | None:
    """Check the time-out of an export."""
    seconds = _number(text)
    if seconds is not None and 0 < seconds <= MAX_TIMEOUT:
        return None
    return f"is {_quoted(text)}: expected seconds, at most {MAX_TIMEOUT:g}, such as 10"


def _check_compression(text: str) -> str | None:
    """Check how exports are compressed."""
    if text.lower() in {"none", "gzip", "deflate"}:
        return None
    return f"is {_quoted(text)}: expected none, gzip or deflate"


def _check_headers(text: str) -> str | None:
    """Check the headers of exports. They may have secrets, so the sentence does not have them."""
    if all(_HEADER.fullmatch(one) for one in _parts(text)):
        return None
    return "has a part that is not name=value: expected name=value,name=value, percent-encoded"


def _check_file(text: str) -> str | None:
    """Check that a file exists."""
    if Path(text).is_file():
        return None
    return f"is {_quoted(text)}, and there is no such file: expected the path of a PEM file"


_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "TIMEOUT": _check_timeout,
    "COMPRESSION": _check_compression,
    "HEADERS": _check_headers,
    "CERTIFICATE": _check_file,
    "CLIENT_CERTIFICATE": _check_file,
    "CLIENT_KEY": _check_file,
}
"""What may be wrong with each option of the exporter."""


def _parts(text: str) -> Iterator[str]:
    """Split a list at its commas."""
    return (part for one in text.split(",") if (part := one.strip()))


def _quoted(text: str) -> str:
    """Quote a value without what may be secret in an address."""
    return quote(without_secrets(text))
