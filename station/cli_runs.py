"""The experiments of the command line, ``twinscope run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli_errors import told_in_a_line
from station.cli_options import RunOptions, interval, sharing

__all__ = ["run_app"]

run_app = typer.Typer(no_args_is_help=True, help="Run an experiment.")

# A characterisation needs fields that overlap over hundreds of µm.
_WIDE_FIELD = 32.0

Axes = Annotated[str, typer.Option(help="Axes, e.g. x,y.")]
Step = Annotated[float, typer.Option(help="Size of a step, µm (degrees for tilts).")]
SettleTime = Annotated[float, typer.Option(help="Seconds waited after each move.")]


def _do(experiment: Any, options: RunOptions, field_of_view: float | None = None) -> None:
    """Run an experiment, or estimate it."""
    from station.experiments import Seen, estimate, run

    asked = options.field_of_view
    (estimate if options.estimate else run)(
        options.loaded(),
        options.settings,
        Seen(experiment, field_of_view if asked is None else asked),
        as_json=options.as_json,
    )


def _names(axes: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in axes.split(","))


@run_app.command("hysteresis")
@told_in_a_line
@sharing(RunOptions)
def run_hysteresis(
    options: RunOptions,
    axes: Axes = "x,y",
    step: Step = 1.0,
    steps: Annotated[int, typer.Option(help="Steps out, and as many back.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often each direction is run.")] = 3,
    settle_time: SettleTime = 0.0,
) -> None:
    """Step each axis out and back, an image at every stop; find what the stage really did."""
    from station.recipes import Hysteresis

    _do(Hysteresis(_names(axes), step, steps, repeats, settle_time), options)


@run_app.command("cross-axis")
@told_in_a_line
@sharing(RunOptions)
def run_cross_axis(
    options: RunOptions,
    axes: Annotated[str, typer.Option(help="Two axes, e.g. x,y.")] = "x,y",
    step: Step = 1.0,
    steps: Annotated[int, typer.Option(help="Steps outward in each direction.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often each direction is run.")] = 1,
    settle_time: SettleTime = 0.0,
) -> None:
    """Step two axes in turn, out and back in each direction; find whether the stage comes back."""
    from station.recipes import CrossAxis

    _do(CrossAxis(_names(axes), step, steps, repeats, settle_time), options)


@run_app.command("characterise")
@told_in_a_line
@sharing(RunOptions)
def run_characterise(
    options: RunOptions,
    diamond_images: Annotated[
        int, typer.Option(help="Images along the diamond, a multiple of 4.")
    ] = 96,
    rest_images: Annotated[int, typer.Option(help="Images at rest, at the end.")] = 4,
    settle_time: SettleTime = 1.0,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="The model; else <data>/models.")
    ] = None,
) -> None:
    """Measure the model of a stage: play, scale, screw, creep, drift of x and y, at 32 µm."""
    from station.recipes import Characterise

    experiment = Characterise(diamond_images, rest_images, settle_time, model)
    _do(experiment, options, _WIDE_FIELD)


@run_app.command("drift")
@told_in_a_line
@sharing(RunOptions)
def run_drift(
    options: RunOptions,
    duration: Annotated[float, typer.Option(help="Seconds from first to last image.")] = 60.0,
    interval: Annotated[float, typer.Option(help="Seconds from image to image.")] = 5.0,
    blank_between: Annotated[
        bool, typer.Option("--blank/--beam-on", help="Blank the beam between images, or not.")
    ] = True,
) -> None:
    """Take images of one field at an interval; find how fast the specimen drifts."""
    from station.recipes import Drift

    _do(Drift(duration, interval, blank_between), options)


@run_app.command("mosaic")
@told_in_a_line
@sharing(RunOptions)
def run_mosaic(
    options: RunOptions,
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
    settle_time: SettleTime = 0.0,
) -> None:
    """Take overlapping fields on a grid; find where each really was, and make one image of all."""
    from station.recipes import Mosaic

    if (x is None) != (y is None) or (x is not None and (rows, columns) != (None, None)):
        raise ValueError("give --rows and --columns, or --x and --y, or none of them")
    sides = (None if x is None else interval("--x", x), None if y is None else interval("--y", y))
    how = (overlap, serpentine, over_travel, settle_time)
    _do(Mosaic(rows, columns, *sides, *how), options)
