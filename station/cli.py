"""The command line, ``twinscope``.

Each command imports what it needs when it runs: the help must answer at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli_errors import told_in_a_line

__all__ = ["app", "main"]

app = typer.Typer(
    name="twinscope",
    help="A control station for electron and probe microscopes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_app = typer.Typer(no_args_is_help=True, help="Run an experiment.")
serve_app = typer.Typer(no_args_is_help=True, help="Serve an instrument to stations.")
catalog_app = typer.Typer(no_args_is_help=True, help="The service that archives runs.")
keys_app = typer.Typer(no_args_is_help=True, help="Keys for servers beyond this machine.")
for _name, _group in (
    ("run", run_app),
    ("serve", serve_app),
    ("catalog", catalog_app),
    ("keys", keys_app),
):
    app.add_typer(_group, name=_name)

# A run is named by the first characters of its uid, by its scan number, or by -1 for the latest;
# the last must not be taken for an option.
_NUMBERS = {"ignore_unknown_options": True}

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="Settings file (TOML).")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of journal, images, catalog.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
RunUID = Annotated[
    str, typer.Argument(metavar="UID", help="First characters of a uid, scan number, or -1.")
]
Profile = Annotated[str | None, typer.Option(help="Simulated stage: ideal, jeol-like or tfs-like.")]
Specimen = Annotated[
    str | None, typer.Option(help="procedural, micrograph (the one shipped), or a path.")
]
PixelSize = Annotated[
    float | None, typer.Option(metavar="NM", help="Pixel size of the micrograph, nm.")
]
Seed = Annotated[int | None, typer.Option(help="What stage, specimen and noise are drawn from.")]
ClockRate = Annotated[
    float | None, typer.Option(help="Instrument seconds per second of a simulated instrument.")
]
Driver = Annotated[str | None, typer.Option(help="Driver of the instrument.")]
Address = Annotated[
    str | None, typer.Option(help="A server that runs already, e.g. tcp://127.0.0.1:5555.")
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


def _load(path: Path | None, data: Path | None = None, **tem: Any) -> Any:
    from station.settings import load_settings

    return load_settings(path, {"data": data, "tem": tem})


@run_app.command("hysteresis")
@told_in_a_line
def run_hysteresis(
    axes: Annotated[str, typer.Option(help="Axes, e.g. x,y.")] = "x,y",
    step: Annotated[float, typer.Option(help="Size of a step, µm (degrees for tilts).")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps out, and as many back.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often each direction is run.")] = 3,
    settle_time: Annotated[float, typer.Option(help="Seconds waited after each move.")] = 0.0,
    settings: SettingsFile = None,
    data: Data = None,
    address: Address = None,
    driver: Driver = None,
    profile: Profile = None,
    specimen: Specimen = None,
    pixel_size: PixelSize = None,
    seed: Seed = None,
    clock_rate: ClockRate = None,
    as_json: AsJSON = False,
) -> None:
    """Step each axis out and back, an image at every stop; find what the stage really did."""
    from station.experiments import Hysteresis, run

    loaded = _load(
        settings,
        data,
        address=address,
        driver=driver,
        profile=profile,
        specimen=specimen,
        pixel_size_nm=pixel_size,
        seed=seed,
        clock_rate=clock_rate,
    )
    names = tuple(name.strip() for name in axes.split(","))
    experiment = Hysteresis(names, step, steps, repeats, settle_time)
    run(loaded, settings, experiment, as_json=as_json)


@run_app.command("mosaic")
@told_in_a_line
def run_mosaic(
    rows: Annotated[int | None, typer.Option(help="Rows of fields; 3 if not given.")] = None,
    columns: Annotated[int | None, typer.Option(help="Columns of fields; 3 if not given.")] = None,
    x: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Cover from x to x, µm, in place of rows")
    ] = None,
    y: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="and from y to y, µm, of columns.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Of neighbouring fields, part of a field.")] = 0.2,
    serpentine: Annotated[
        bool, typer.Option("--serpentine/--raster", help="Every other row backwards, or none.")
    ] = True,
    over_travel: Annotated[
        float, typer.Option(help="Rows are approached from this far before them, µm.")
    ] = 0.0,
    settle_time: Annotated[float, typer.Option(help="Seconds waited after each move.")] = 0.0,
    settings: SettingsFile = None,
    data: Data = None,
    address: Address = None,
    driver: Driver = None,
    profile: Profile = None,
    specimen: Specimen = None,
    pixel_size: PixelSize = None,
    seed: Seed = None,
    clock_rate: ClockRate = None,
    as_json: AsJSON = False,
) -> None:
    """Take overlapping fields on a grid; find where each really was, and make one image of all."""
    from station.experiments import Mosaic, run

    loaded = _load(
        settings,
        data,
        address=address,
        driver=driver,
        profile=profile,
        specimen=specimen,
        pixel_size_nm=pixel_size,
        seed=seed,
        clock_rate=clock_rate,
    )
    if (x is None) != (y is None) or (x is not None and (rows, columns) != (None, None)):
        raise ValueError("give --rows and --columns, or --x and --y, or none of them")
    sides = (_interval("--x", x), _interval("--y", y))
    experiment = Mosaic(rows, columns, *sides, overlap, serpentine, over_travel, settle_time)
    run(loaded, settings, experiment, as_json=as_json)


def _interval(option: str, text: str | None) -> tuple[float, float] | None:
    try:
        low, high = (float(part) for part in (text or "0,0").split(","))
    except ValueError:
        raise ValueError(f"{option} {text!r} is not allowed: give two numbers, as -5,5") from None
    return None if text is None else (low, high)


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

    loaded = _load(
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

    print_runs(_load(settings, data), most=most, analyses=analyses, as_json=as_json)


@app.command(context_settings=_NUMBERS)
@told_in_a_line
def show(
    uid: RunUID = "-1", settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Show what a run recorded and what was found in it."""
    from station.listing import print_run

    print_run(_load(settings, data), uid, as_json=as_json)


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

    same = print_replay(_load(settings, data), uid, source=source, speed=speed, as_json=as_json)
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

    written = write_report(_load(settings, data), uid, output)
    typer.echo(f"{written.figure}\n{written.text}")


@serve_app.command("tem")
@told_in_a_line
def serve_tem(
    driver: Driver = None,
    profile: Profile = None,
    specimen: Specimen = None,
    pixel_size: PixelSize = None,
    seed: Seed = None,
    clock_rate: ClockRate = None,
    control: Annotated[str | None, typer.Option(help="Where commands are taken.")] = None,
    events: Annotated[str | None, typer.Option(help="Where telemetry is given.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of CURVE keys.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when ready: addresses, pid, facts (JSON).")
    ] = None,
    parent: Annotated[int | None, typer.Option(help="End with this process.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Serve the microscope until Ctrl-C."""
    from station.serve import serve_tem as serve

    loaded = _load(
        settings,
        driver=driver,
        profile=profile,
        specimen=specimen,
        pixel_size_nm=pixel_size,
        seed=seed,
        clock_rate=clock_rate,
        control_bind=control,
        events_bind=events,
        keys=keys,
    )
    serve(loaded.tem, loaded.simulator, ready_file=ready_file, parent=parent, say=_say)


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


@app.command()
@told_in_a_line
def console(settings: SettingsFile = None, data: Data = None) -> None:
    """Open the IPython console: RE, tem, plans, cat, db, bec, sd."""
    from station.console import start_console

    start_console(_load(settings, data), settings)


@app.command("settings")
@told_in_a_line
def show_settings(
    settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Print the settings in force and the file they come from."""
    from station.listing import print_settings
    from station.settings import settings_file

    print_settings(_load(settings, data), settings_file(settings), as_json=as_json)


@catalog_app.command("start")
@told_in_a_line
def catalog_start(settings: SettingsFile = None, data: Data = None) -> None:
    """Start the catalog service, unless it runs."""
    from station.catalog import ensure_catalog

    folder = _load(settings, data).data
    typer.echo(f"catalog of {folder} at {ensure_catalog(folder).uri}")


@catalog_app.command("stop")
@told_in_a_line
def catalog_stop(settings: SettingsFile = None, data: Data = None) -> None:
    """Stop the catalog service."""
    from station.catalog import stop_catalog

    folder = _load(settings, data).data
    ran = stop_catalog(folder)
    typer.echo(f"catalog service of {folder} stopped" if ran else f"none runs for {folder}")


@catalog_app.command("status")
@told_in_a_line
def catalog_status(
    settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Say whether the catalog service runs and what it lacks."""
    from station.listing import print_catalog

    print_catalog(_load(settings, data), as_json=as_json)


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
