"""The options for latencies and faults on the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.demo.faults import (
    DemoOptions,
    Fault,
    FaultKind,
    FaultType,
    Latency,
    LatencyType,
    SourceName,
    fail_option,
    latency_option,
)

Value = TypeVar("Value", Latency, Fault)

SOURCES = st.sampled_from(SourceName)


@dataclass
class OptionsCommand:
    """A command with the demo's two options, which keeps their values."""

    latency: tuple[Latency, ...] = ()
    faults: tuple[Fault, ...] = ()
    output: str = ""
    command: click.Command = field(init=False)

    def __post_init__(self) -> None:
        @click.command()
        @latency_option
        @fail_option
        def demo(latency: tuple[Latency, ...], faults: tuple[Fault, ...]) -> None:
            self.latency, self.faults = latency, faults

        self.command = demo

    def run(self, *arguments: str) -> int:
        """Run with arguments; return the exit code."""
        result = CliRunner().invoke(self.command, arguments)
        self.output = " ".join(result.output.split())
        return result.exit_code


def converted(kind: click.ParamType[Value], text: str) -> Value | str:
    """Return the value of a text, or the message about it."""
    try:
        return kind.convert(text, None, None)
    except click.BadParameter as error:
        return error.message


@pytest.fixture
def command() -> OptionsCommand:
    """A new command."""
    return OptionsCommand()


def test_both_options_are_optional(command: OptionsCommand) -> None:
    assert command.run() == 0
    assert (command.latency, command.faults) == ((), ())


def test_both_options_may_be_set_for_several_sources(command: OptionsCommand) -> None:
    arguments = "--latency billing=300ms --latency profile=1.5s --fail activity=503"
    assert command.run(*arguments.split(), "--fail", "billing=timeout") == 0
    assert command.latency == (
        Latency(SourceName.BILLING, 0.3),
        Latency(SourceName.PROFILE, 1.5),
    )
    assert command.faults == (
        Fault(SourceName.ACTIVITY, 503),
        Fault(SourceName.BILLING, FaultKind.TIMEOUT),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--latency billing", "'billing' has no '=': write it as billing=300ms"),
        ("--latency billing=300", "write 300ms or 300s"),
        ("--latency billing=soon", "'soon' is not a duration with its unit: write 300ms or 2s"),
        ("--latency billing=-1s", "'-1s' is not a duration"),
        ("--latency billing=1h", "'1h' is not a duration"),
        ("--latency billing=601s", "'601s' is longer than 600s"),
        ("--latency search=1s", "'search' is not a source: use one of profile, billing, activity"),
        ("--latency billing=1s --latency billing=2s", "billing has more than one value"),
        ("--fail activity", "'activity' has no '=': write it as activity=503"),
        (
            "--fail activity=explode",
            "'explode' is not a fault: use a status from 400 to 599, timeout, malformed or refuse",
        ),
        ("--fail activity=200", "'200' is not a fault"),
        ("--fail activity=600", "'600' is not a fault"),
        ("--fail Activity=503", "'Activity' is not a source: use one of"),
        ("--fail activity=503 --fail activity=timeout", "activity has more than one value"),
    ],
)
def test_a_wrong_option_is_reported_with_the_expected_form(
    command: OptionsCommand, arguments: str, message: str
) -> None:
    assert command.run(*arguments.split()) == 2
    assert message in command.output


@given(source=SOURCES, milliseconds=st.integers(0, 600_000))
def test_milliseconds_are_converted_to_seconds(source: SourceName, milliseconds: int) -> None:
    latency = LatencyType().convert(f"{source}={milliseconds}ms", None, None)
    assert latency == Latency(source, milliseconds / 1000)


@given(source=SOURCES, seconds=st.decimals(0, 600, places=3))
def test_seconds_may_have_a_fraction(source: SourceName, seconds: object) -> None:
    latency = LatencyType().convert(f"{source}={seconds}s", None, None)
    assert latency == Latency(source, float(str(seconds)))


@given(source=SOURCES, text=st.text())
def test_a_duration_is_converted_or_quoted_in_a_message(source: SourceName, text: str) -> None:
    found = converted(LatencyType(), f"{source}={text}")
    assert 0 <= found.seconds <= 600 if isinstance(found, Latency) else repr(text) in found


@given(source=SOURCES, status=st.integers(400, 599))
def test_any_failing_status_is_a_fault(source: SourceName, status: int) -> None:
    assert FaultType().convert(f"{source}={status}", None, None) == Fault(source, status)


@given(source=SOURCES, text=st.text())
def test_a_fault_is_converted_or_quoted_in_a_message(source: SourceName, text: str) -> None:
    found = converted(FaultType(), f"{source}={text}")
    assert str(found.effect) == text if isinstance(found, Fault) else repr(text) in found


def test_converted_values_are_not_changed() -> None:
    latency, fault = Latency(SourceName.BILLING, 1), Fault(SourceName.BILLING, 503)
    assert LatencyType().convert(latency, None, None) is latency
    assert FaultType().convert(fault, None, None) is fault


def test_the_options_are_frozen_and_have_defaults() -> None:
    options = DemoOptions()
    assert options == DemoOptions(
        host="127.0.0.1", port=8000, data=None, latency=(), faults=(), sources_only=False
    )
    with pytest.raises(ValidationError, match="frozen"):
        options.data = Path()  # type: ignore[misc] # the point of the test


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ValidationError, match="port"):
        DemoOptions(port=port)
