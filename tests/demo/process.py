"""The demo as a real process, for tests with signals.

Its arguments are the data folder and the seconds of billing's latency; activity hangs. It prints
its addresses as one line of JSON, and a line for each request to its gateway, which never
responds.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.loops.auto import auto_loop_factory

from app.demo.faults import DemoOptions, Fault, FaultKind, Latency, SourceName
from app.demo.run import DemoAddresses, SourceUrls, run_demo


def main(data: str, seconds: str) -> None:
    """Run the demo until a signal."""
    options = DemoOptions(
        port=0,
        data=Path(data),
        latency=(Latency(SourceName.BILLING, float(seconds)),),
        faults=(Fault(SourceName.ACTIVITY, FaultKind.TIMEOUT),),
    )
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(run_demo(options, stubborn_gateway, announce))


def stubborn_gateway(_sources: SourceUrls) -> ASGIApp:
    """A gateway that never responds."""

    async def hang(_request: Request) -> Response:
        print_line(b"called")
        await asyncio.Event().wait()
        return Response()

    return Starlette(routes=[Route("/", hang)])


def announce(addresses: DemoAddresses) -> None:
    """Print the addresses."""
    print_line(msgspec.json.encode(addresses, enc_hook=str))


def print_line(line: bytes) -> None:
    """Print a line immediately."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
