"""The command line, ``twinscope``.

Each command imports what it needs when it runs: the help must answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.cli_afm import afm_run_app
from station.cli_errors import told_in_a_line
from station.cli_files import files_app
from station.cli_networks import networks_app
from station.cli_options import (
    AsJSON,
    Data,
    PixelSize,
    Profile,
    Seed,
    SettingsFile,
    Specimen,
    load,
)
from station.cli_runs import run_app
from station.cli_serve import serve_app

__all__ = ["app", "main"]

app = typer.Typer(
    name="twinscope",
    help="A control station for electron and probe microscopes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
catalog_app = typer.Typer(no_args_is_help=True, help="The service that archives runs.")
keys_app = typer.Typer(no_args_is_help=True, help="Keys for servers beyond this machine.")
for _name, _group in (
    ("run", run_app),
    ("serve", serve_app),
    ("catalog", catalog_app),
    ("keys", keys_app),
    ("networks", networks_app),
):
    app.add_typer(_group, name=_name)
run_app.add_typer(afm_run_app)
app.add_typer(files_app)

# A run is named by the first characters of its uid, by its scan number, or by -1 for the latest;
# the last must not be taken for an option.
_NUMBERS = {"ignore_unknown_options": True}

RunUID = Annotated[
    str, typer.Argument(metavar="UID", help="First characters of a uid, scan number, or -1.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"twinscope {version('twinscope')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@told_in_a_line
def demo(
    specimen: Specimen = None,
    pixel_size: PixelSize = None,
    profile: Profile = None,
    seed: Seed = None,
    clock_rate: Annotated[
        float, typer.Option(help="How much faster than the real one the microscope runs.")
    ] = 40.0,
    settings: SettingsFile = None,
    data: Data = None,
    show_figure: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the figure when it is done.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """A whole experiment on a simulated microscope: figure, table and where to look further."""
    from station.demo import run_demo

    loaded = load(
        settings,
        data,
        driver="simulated",
        specimen=specimen,
        pixel_size_nm=pixel_size,
        profile=profile,
        seed=seed,
        clock_rate=clock_rate,
    )
    run_demo(loaded, settings, open_figure=show_figure, as_json=as_json)


@app.command("runs")
@told_in_a_line
def list_runs(
    most: Annotated[int, typer.Option("-n", "--most", min=1, help="So many, the newest.")] = 20,
    analyses: Annotated[bool, typer.Option(help="List analysis runs as well.")] = False,
    settings: SettingsFile = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """List the runs of the journal, the newest last."""
    from station.listing import print_runs

    print_runs(load(settings, data), most=most, analyses=analyses, as_json=as_json)


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def show(
    uid: RunUID = "-1", settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Show what a run recorded and what was found in it."""
    from station.listing import print_run

    print_run(load(settings, data), uid, as_json=as_json)


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def replay(
    uid: RunUID = "-1",
    source: Annotated[str, typer.Option("--from", help="journal or catalog.")] = "journal",
    speed: Annotated[
        float | None, typer.Option(help="Times the speed of the recording; as fast as can be.")
    ] = None,
    settings: SettingsFile = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """Analyse a recorded run again and compare with what was stored, bit for bit."""
    from station.replaying import print_replay

    same = print_replay(load(settings, data), uid, source=source, speed=speed, as_json=as_json)
    if not same:
        raise typer.Exit(1)


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def report(
    uid: RunUID = "-1",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.png", help="The figure.")
    ] = None,
    settings: SettingsFile = None,
    data: Data = None,
) -> None:
    """Write figure (PNG) and report (Markdown) of a run."""
    from station.report import write_report

    written = write_report(load(settings, data), uid, output)
    typer.echo(f"{written.figure}\n{written.text}")


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def campaign(
    uid: Annotated[
        str, typer.Argument(metavar="UID", help="Of a campaign, its name, or -1.")
    ] = "-1",
    settings: SettingsFile = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """Show what a campaign of images found so far, with its figures."""
    from station.campaign_report import print_campaign

    print_campaign(load(settings, data), uid, as_json=as_json)


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def watch(
    uid: Annotated[
        str | None,
        typer.Argument(metavar="UID", help="A run as for report; the newest, and all after it."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Of figure and page.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, metavar="S", help="Between two looks.")] = 1.0,
    show_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
    analysis: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of several analyses, e.g. prediction.")
    ] = None,
    settings: SettingsFile = None,
    data: Data = None,
) -> None:
    """Draw what is found in a run while it goes on; Ctrl-C ends it."""
    from station.watching import watch as follow

    def drawn(page: Path) -> None:
        typer.echo(page)
        if show_page:
            typer.launch(page.as_uri())

    follow(
        load(settings, data),
        uid,
        analysis=analysis,
        folder=folder,
        every_s=every,
        tell=typer.echo,
        drawn=drawn,
    )


@app.command()
@told_in_a_line
def console(settings: SettingsFile = None, data: Data = None) -> None:
    """Open the IPython console: RE, tem, afm, plans, cat, db, bec, sd."""
    from station.console import start_console

    start_console(load(settings, data), settings)


@app.command("settings")
@told_in_a_line
def show_settings(
    settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Print the settings in force and the file they come from."""
    from station.listing import print_settings
    from station.settings import settings_file

    print_settings(load(settings, data), settings_file(settings), as_json=as_json)


@catalog_app.command("start")
@told_in_a_line
def catalog_start(settings: SettingsFile = None, data: Data = None) -> None:
    """Start the catalog service, unless it runs."""
    from station.catalog import ensure_catalog

    folder = load(settings, data).data
    typer.echo(f"catalog of {folder} at {ensure_catalog(folder).uri}")


@catalog_app.command("stop")
@told_in_a_line
def catalog_stop(settings: SettingsFile = None, data: Data = None) -> None:
    """Stop the catalog service."""
    from station.catalog import stop_catalog

    folder = load(settings, data).data
    ran = stop_catalog(folder)
    typer.echo(f"catalog service of {folder} stopped" if ran else f"none runs for {folder}")


@catalog_app.command("status")
@told_in_a_line
def catalog_status(
    settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Say whether the catalog service runs and what it lacks."""
    from station.listing import print_catalog

    print_catalog(load(settings, data), as_json=as_json)


@keys_app.command("new")
@told_in_a_line
def keys_new(
    folder: Annotated[Path, typer.Argument(help="Where; existing keys are never overwritten.")],
) -> None:
    """Make the keys of a server and of a station that may operate it."""
    from station.keys import new_keys

    for path in new_keys(folder):
        typer.echo(path)
    typer.echo(f'name the folder in twinscope.toml, at both ends: [tem] keys = "{folder}"')


def main() -> None:
    """Run the command line."""
    app()
