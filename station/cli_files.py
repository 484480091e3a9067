"""Files of other programs on the command line: recorded images in, and images out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station.cli_errors import told_in_a_line
from station.cli_options import AsJSON, Data, SettingsFile, load

if TYPE_CHECKING:
    from station.capture import Ingested
    from station.settings import Settings

__all__ = ["files_app"]

files_app = typer.Typer()


@files_app.command()
@told_in_a_line
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Or folders of them.")],
    settings: SettingsFile = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """Make runs of recorded images (.spm, .ibw) and analyse them; none comes in twice."""
    from station.listing import print_json

    done = _ingest(load(settings, data), paths)
    if as_json:
        refused = {str(path): reason for path, reason in done.refused}
        print_json({"added": done.added, "known": done.known, "refused": refused})
    else:
        for uid in done.added:
            typer.echo(f"run {uid}")
        if done.known:
            typer.echo(f"{len(done.known)} were there already")
        for path, reason in done.refused:
            typer.echo(f"twinscope: {path}: {reason}", err=True)
    if done.refused:
        raise typer.Exit(1)


@files_app.command(context_settings={"ignore_unknown_options": True})
@told_in_a_line
def export(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Of an image; scan number, or -1.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help=".gwy or .nc.")],
    settings: SettingsFile = None,
    data: Data = None,
) -> None:
    """Write the channels of an image for Gwyddion (.gwy) or others (NetCDF)."""
    from station.converting import export_run
    from station.journal import read_documents
    from station.lookup import raw_run

    run = raw_run(load(settings, data), uid)
    written = export_run(read_documents(run.path), target)
    typer.echo(f"{target}: {len(written.channels)} channels")


@files_app.command()
@told_in_a_line
def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help=".spm or .ibw.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help=".gwy or .nc.")],
) -> None:
    """Convert a recorded image for Gwyddion (.gwy) or others (NetCDF)."""
    from station.converting import convert as converted

    written = converted(source, target)
    typer.echo(f"{target}: {len(written.channels)} channels")
    for left in written.left_out:
        typer.echo(f"left out: {left}")


def _ingest(settings: Settings, paths: list[Path]) -> Ingested:
    from rich.console import Console
    from rich.progress import Progress

    from station.capture import ingest as make_runs
    from station.journal import Journal
    from station.lookup import journal_folder, report_folder
    from station.metadata import PersistentMetadata
    from station.results import make_analyses

    screen = Console(stderr=True)
    with (
        Journal(journal_folder(settings)) as analyses,
        Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar,
    ):
        task = bar.add_task("reading", total=None)

        def progress(done: int, total: int, path: Path) -> None:
            bar.update(task, completed=done, total=total, description=path.name)

        router = make_analyses(analyses, folder=report_folder(settings))
        metadata = PersistentMetadata(settings.data / "md.json")
        return make_runs(
            settings.data,
            paths,
            next_scan_id=metadata.next_scan_id,
            subscribers=[router],
            progress=progress,
        )
