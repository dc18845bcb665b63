"""Load on three gateways with one store while all of it breaks: what becomes of the answers.

``python -m tests.cluster`` runs it for ten minutes and prints what happens and a table. It exits
with 1 if something is not as it must be. The same seed gives the same events and questions, though
not at the same moments. Everything is on this machine: in network namespaces, or on loopback
addresses.
"""

import asyncio
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

import click

from tests.cluster.journal import Journal, cluster_table
from tests.cluster.run import ClusterWish, run_cluster
from tests.stores import NAMES, NONE_HERE


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(5, 3600), default=600, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--readers", type=click.IntRange(1, 64), default=12, show_default=True)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for what the gateways say. Without it, they are kept only if the run fails.",
)
@click.option(
    "--with-store/--without-store",
    default=True,
    show_default=True,
    help="Without the store, the run has to fail: so the checks find what they look for.",
)
def main(seconds: float, seed: int, readers: int, logs: Path | None, *, with_store: bool) -> None:
    """Put load on three gateways with one store while all of it breaks and heals."""
    if not NAMES:
        raise click.ClickException(NONE_HERE)
    if shutil.which("nginx") is None:
        raise click.ClickException("there is no nginx on the PATH: it is in Debian's nginx")
    if logs is None:
        folder = Path(mkdtemp(prefix="cluster-"))
    else:
        logs.mkdir(parents=True)  # never among the logs of another run
        folder = logs.absolute()
    journal = Journal(click.echo)
    journal.note(f"seed {seed}, logs in {folder}")
    wish = ClusterWish(seconds, seed, readers, folder, with_store)
    tally = asyncio.run(run_cluster(wish, journal))
    click.echo(cluster_table(tally))
    if not tally.is_good:
        sys.exit(1)
    if logs is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
