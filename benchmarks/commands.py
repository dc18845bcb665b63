"""The commands: each reads its options and hands over."""

import threading
from argparse import Namespace
from pathlib import Path
from typing import Final

from benchmarks.bench import BenchPlan, bench, checked, put_up, ready
from benchmarks.catalog import REFERENCE, catalog, choose
from benchmarks.console import say
from benchmarks.curves import curves as measure_curves
from benchmarks.curves_report import tell_curves, write_curves
from benchmarks.errors import BenchmarkError
from benchmarks.incremental import as_json as payloads_json
from benchmarks.incremental import measure_payloads
from benchmarks.incremental import table as payloads_table
from benchmarks.load import Load
from benchmarks.ours import NAME
from benchmarks.peer import Peer
from benchmarks.places import RESULTS, WORK
from benchmarks.quick import quick as compare
from benchmarks.readme import long_form, short_form, update
from benchmarks.report import tell, write
from benchmarks.run import Run
from benchmarks.soak import SoakPlan
from benchmarks.soak import soak as run_soak
from benchmarks.stage import StageOptions, open_stage
from benchmarks.startup import startup_table, startups
from benchmarks.store import load as load_result
from benchmarks.store import save
from benchmarks.tools import Tools, find_tools
from benchmarks.users import Ids
from benchmarks.variety import soak_by_variety
from benchmarks.workloads import USUAL, WORKLOADS, Workload

LATEST: Final = RESULTS / "latest.json"
EXIT_WRONG: Final = 1


def setup(options: Namespace) -> int:
    """Install what peers need."""
    tools = find_tools(options.node)
    there, missing = ready(_peers(options, tools), tools, say)
    say(f"ready: {', '.join(peer.name for peer in there)}")
    return EXIT_WRONG if missing else 0


def check(options: Namespace) -> int:
    """See whether peers answer what they should."""
    tools = find_tools(options.node)
    there, omissions = ready(_peers(options, tools), tools, say)
    with open_stage(tools, _stage(options)) as stage:
        standing = put_up(stage, there, _workloads(options), omissions, say)
        checked(stage, standing, _workloads(options), omissions, say)
    say("all right" if not omissions else "\n".join(map(str, omissions)))
    return EXIT_WRONG if omissions else 0


def serve(options: Namespace) -> int:
    """Keep peers up, to look at them by hand."""
    tools = find_tools(options.node)
    there, _ = ready(_peers(options, tools), tools, say)
    with open_stage(tools, _stage(options)) as stage:
        for one in put_up(stage, there, _workloads(options), [], say):
            pid, door = one.process.pid, stage.upstream.url(one.door)
            say(f"{one.peer.name}: port {one.port}{one.peer.path}, pid {pid}, asks {door}")
        say("Ctrl-C ends them.")
        threading.Event().wait()
    return 0


def run(options: Namespace) -> int:
    """Measure ours beside the peers."""
    tools = find_tools(options.node)
    plan = BenchPlan(
        peers=_peers(options, tools),
        workloads=_workloads(options),
        load=Load(options.connections, options.seconds),
        warmup=options.warmup,
        rounds=options.rounds,
    )
    whole = options.peers is None and options.workloads is None
    file: Path = options.save or (LATEST if whole else WORK / "run.json")

    def keep(run: Run) -> None:
        save(file, run)
        write(run, file)

    found = bench(plan, tools, _stage(options), say, keep)
    tell(found, say)
    say(f"\nwritten: {file} and beside it .md and .svg")
    wrong = any(one.peer in (NAME, REFERENCE) for one in found.omissions)
    return EXIT_WRONG if wrong else 0


def report(options: Namespace) -> int:
    """Tell the results of a run again, and draw its picture anew."""
    run = load_result(options.file, Run)
    write(run, options.file)
    tell(run, say)
    return 0


def readme(options: Namespace) -> int:
    """Put the latest figures into the README and the page on performance."""
    run = load_result(options.file, Run)
    update(options.readme, short_form(run))
    update(options.page, long_form(run))
    say(f"{options.readme} and {options.page} have the figures of {options.file}")
    return 0


def quick(options: Namespace) -> int:
    """Compare the working tree with a commit."""
    load = Load(options.connections, options.seconds)
    compare(
        find_tools(),
        _stage(options),
        load,
        rounds=options.rounds,
        workloads=_workloads(options),
        revision=options.commit,
        say=say,
    )
    return 0


def curves(options: Namespace) -> int:
    """Measure how cost grows."""
    found = measure_curves(find_tools(), _stage(options), options.seconds, options.rounds, say)
    file: Path = options.save
    save(file, found)
    write_curves(found, file)
    tell_curves(found, say)
    say(f"\nwritten: {file} and beside it .svg")
    return 0


def startup(options: Namespace) -> int:
    """Measure how peers start."""
    tools = find_tools(options.node)
    found = startups(_peers(options, tools), options.times, tools, _stage(options), say)
    file: Path = options.save or (
        RESULTS / "startup.json" if options.peers is None else WORK / "startup.json"
    )
    save(file, found)
    say(startup_table(found).text())
    say(f"\nwritten: {file}")
    return 0


def incremental(options: Namespace) -> int:
    """Measure when the payloads of an answer are there."""
    found = measure_payloads(options.port_base, options.seconds, say)
    file: Path = options.save
    file.write_text(payloads_json(found), encoding="utf-8")
    say(payloads_table(found))
    say(f"\nwritten: {file}")
    return 0


def soak(options: Namespace) -> int:
    """See whether memory grows under many requests."""
    if options.hostile:
        variety = soak_by_variety(options.requests, options.most_mb, say)
        save(options.save or WORK / "variety.json", variety)
        say(variety.verdict())
        return 0 if variety.is_bounded else EXIT_WRONG
    plan = SoakPlan(
        requests=options.requests,
        connections=options.connections,
        fresh=options.fresh,
        bound_mb=options.bound_mb,
    )
    found = run_soak(plan, find_tools(), _stage(options), say)
    save(options.save or WORK / "soak.json", found)
    say(found.verdict())
    return 0 if found.is_flat else EXIT_WRONG


def _peers(options: Namespace, tools: Tools) -> tuple[Peer, ...]:
    """Tell which peers are asked for."""
    return choose(catalog(tools), options.peers)


def _workloads(options: Namespace) -> tuple[Workload, ...]:
    """Tell which workloads are asked for."""
    if options.workloads is None:
        return USUAL
    by_name = {one.name: one for one in WORKLOADS}
    for name in options.workloads:
        if name not in by_name:
            raise BenchmarkError(f"no workload is called {name}; there are: {', '.join(by_name)}")
    return tuple(one for one in WORKLOADS if one.name in options.workloads)


def _stage(options: Namespace) -> StageOptions:
    """Tell how things are put up."""
    return StageOptions(
        port_base=options.port_base,
        delay_ms=options.delay_ms,
        pinned=options.pin,
        ids=Ids(options.ids),
    )
