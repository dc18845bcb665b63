"""Telling what a run has found: on the terminal, as Markdown, as a picture."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.picture import picture
from benchmarks.run import Run
from benchmarks.table import details, notes, overview, standing


def tell(run: Run, say: Callable[[str], None]) -> None:
    """Tell a person what was found."""
    for workload in run.workloads():
        say(f"\n{workload.name}: {workload.title}")
        say(details(run, workload).text())
    if run.parts:
        say("\n" + standing(run).text())
    remarks = notes(run)
    if remarks:
        say("\n" + "\n".join(remarks))


def write(run: Run, path: Path) -> None:
    """Write the tables and the picture of a run beside its file.

    Args:
        run: What was found.
        path: The file of the run; the others have its name with another ending.
    """
    path.with_suffix(".md").write_text(markdown(run), encoding="utf-8")
    path.with_suffix(".svg").write_text(picture(run).svg(), encoding="utf-8")


def markdown(run: Run) -> str:
    """Write all tables of a run in Markdown."""
    machine = run.machine
    how = (
        f"Commit {run.commit}, {run.rounds} rounds of {run.seconds} s, {run.connections}"
        f" connections, {machine.cpus} × {machine.cpu}, Linux {machine.kernel}. The ratio is to"
        f" `{run.reference}` in the same round."
    )
    parts = [
        f"# Benchmarks of {run.date}",
        how,
        overview(run, run.workloads()).markdown(),
        "## The bars",
        standing(run).markdown(),
    ]
    for workload in run.workloads():
        parts += [f"## {workload.name}: {workload.title}", details(run, workload).markdown()]
    parts.append("## What was measured")
    parts.append(
        "\n".join(
            f"- `{part.name}`: {', '.join((part.title, *part.versions))}" for part in run.parts
        )
    )
    remarks = notes(run)
    if remarks:
        parts += ["## What was not, and what to distrust", "\n".join(f"- {one}" for one in remarks)]
    return "\n\n".join(parts) + "\n"
