"""The AFM's experiments of the command line, ``twinscope run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from station.cli_errors import told_in_a_line
from station.cli_options import AFMRunOptions, interval, names, numbers, sharing

__all__ = ["afm_run_app"]

afm_run_app = typer.Typer()


@dataclass(frozen=True)
class TappingOptions(AFMRunOptions):
    """The options of every experiment with a tip that taps."""

    amplitudes: Annotated[
        str | None, typer.Option(metavar="NM,NM", help="Free amplitude of each mode; 12.5 nm.")
    ] = None
    df: Annotated[float, typer.Option(metavar="HZ", help="Base frequency of the comb.")] = 200.0
    tones: Annotated[int, typer.Option(help="Measured about each mode.")] = 24
    ratio: Annotated[
        float | None, typer.Option(help="Engaged amplitude, part of the free one; 0.85.")
    ] = None
    height: Annotated[
        float | None, typer.Option(metavar="NM", help="Or engaged height of the resting tip.")
    ] = None
    lift: Annotated[
        float, typer.Option(metavar="NM", help="Height of free spectra above the engaged one.")
    ] = 200.0
    start: Annotated[
        float | None, typer.Option(metavar="NM", help="Head height that is known to be free.")
    ] = None
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate/--as-calibrated", help="Calibrate the probe before, or not."),
    ] = True

    def drive(self) -> Any:
        """As the recipes want it."""
        from station.afm_recipes import Drive

        return Drive(
            amplitudes=None
            if self.amplitudes is None
            else numbers("--amplitudes", self.amplitudes),
            df=self.df,
            tones=self.tones,
            ratio=self.ratio,
            height=self.height,
            lift=self.lift,
            start=self.start,
            calibrate=self.calibrate,
        )


def _do(experiment: Any, options: AFMRunOptions, settings: Any = None) -> None:
    """Run an experiment, or estimate it, with the settings of its options or with others."""
    from station.experiments import estimate, run

    act = estimate if options.estimate else run
    loaded = options.loaded() if settings is None else settings
    act(loaded, options.settings, experiment, as_json=options.as_json)


@afm_run_app.command("calibrate-probe")
@told_in_a_line
@sharing(AFMRunOptions)
def run_calibrate_probe(
    options: AFMRunOptions,
    method: Annotated[str, typer.Option(help="thermal, or sweep without spring constants.")] = (
        "thermal"
    ),
    pixels: Annotated[int | None, typer.Option(help="Spectra that are averaged.")] = None,
    temperature: Annotated[float, typer.Option(metavar="K", help="Of the cantilever.")] = 295.0,
) -> None:
    """Measure resonance, quality factor and spring constant of each mode of the cantilever."""
    from station.afm_recipes import CalibrateProbe

    _do(CalibrateProbe(method, pixels, temperature), options)


@afm_run_app.command("point-spectrum")
@told_in_a_line
@sharing(TappingOptions)
def run_point_spectrum(
    options: TappingOptions,
    pixels: Annotated[int, typer.Option(help="Spectra of each kind.")] = 16,
) -> None:
    """Approach, and record intermodulation spectra of the free and of the tapping tip."""
    from station.afm_recipes import PointSpectrum

    _do(PointSpectrum(pixels, options.drive()), options)


@afm_run_app.command("force-map")
@told_in_a_line
@sharing(TappingOptions)
def run_force_map(
    options: TappingOptions,
    x: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Edges in x, µm.")] = "-0.5,0.5",
    y: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Edges in y, µm.")] = "-0.5,0.5",
    rows: Annotated[int, typer.Option(help="Lines.")] = 64,
    columns: Annotated[int, typer.Option(help="Pixels a line.")] = 64,
    feedback: Annotated[
        str, typer.Option(help="line: the height follows the surface; off: it is constant.")
    ] = "line",
) -> None:
    """Record an intermodulation spectrum at every pixel of a field."""
    from station.afm_recipes import ForceMap

    edges = interval("--x", x), interval("--y", y)
    _do(ForceMap(*edges, rows, columns, feedback, options.drive()), options)


@dataclass(frozen=True)
class ImagingOptions(AFMRunOptions):
    """The options of every experiment that takes images."""

    rate: Annotated[
        float | None, typer.Option(metavar="HZ", help="Lines a second; 1, phase images 2.")
    ] = None
    size: Annotated[
        float | None, typer.Option(metavar="UM", help="Fast side, µm; 4, phase images 10.")
    ] = None
    lines: Annotated[int, typer.Option(help="Of an image.")] = 256
    points: Annotated[int, typer.Option(help="Of a line.")] = 256

    def frame(self, size: float = 4.0, rate: float = 1.0) -> Any:
        """As the recipes want it, `size` and `rate` by default."""
        from station.image_recipes import Frame

        return Frame(
            size=size if self.size is None else self.size,
            rate=rate if self.rate is None else self.rate,
            lines=self.lines,
            points=self.points,
        )


@afm_run_app.command("image")
@told_in_a_line
@sharing(ImagingOptions)
def run_image(
    options: ImagingOptions,
    sample: Annotated[str, typer.Argument(help="Its name on the chuck.")],
    x: Annotated[float, typer.Option(metavar="UM", help="Of the field on the sample, µm.")] = 0.0,
    y: Annotated[float, typer.Option(metavar="UM", help="Of the field on the sample, µm.")] = 0.0,
    mode: Annotated[str, typer.Option(help="PeakForce QNM, ScanAsyst or Tapping.")] = (
        "PeakForce QNM"
    ),
    setpoint: Annotated[float | None, typer.Option(metavar="NN", help="Peak force, nN.")] = None,
) -> None:
    """Take an image of a sample with all channels of the mode."""
    from station.image_recipes import TakeImage

    _do(TakeImage(sample, x, y, options.frame(), mode, setpoint), options)


@afm_run_app.command("phase-series")
@told_in_a_line
@sharing(ImagingOptions)
def run_phase_series(
    options: ImagingOptions,
    samples: Annotated[str, typer.Argument(metavar="NAME,NAME", help="Names on the chuck.")],
    fields: Annotated[int, typer.Option(min=1, help="Of each sample.")] = 1,
) -> None:
    """Take phase images in tapping of several fields, a run each."""
    from station.image_recipes import PhaseSeries

    _do(PhaseSeries(names(samples), fields, options.frame(10.0, 2.0)), options)


@afm_run_app.command("campaign")
@told_in_a_line
@sharing(ImagingOptions)
def run_campaign(
    options: ImagingOptions,
    samples: Annotated[str, typer.Argument(metavar="NAME,NAME", help="Names on the chuck.")] = "",
    images: Annotated[int, typer.Option(help="Of each sample.")] = 45,
    tip_every: Annotated[int, typer.Option(help="Images between two checks of the tip.")] = 15,
    order: Annotated[str, typer.Option(help="interleaved, random or by sample.")] = "interleaved",
    name: Annotated[str, typer.Option(help="For people.")] = "campaign",
    probes: Annotated[
        str, typer.Option(metavar="NO,NO", help="Serial numbers of the probes that may be put in.")
    ] = "",
    until_certain: Annotated[
        float | None,
        typer.Option(metavar="P", help="Leave a sample when a class has this probability; 0.99."),
    ] = None,
    least: Annotated[int, typer.Option(help="Images of a sample before it is left so.")] = 2,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="That tells the classes; of the settings.")
    ] = None,
    resume: Annotated[
        str, typer.Option(metavar="UID", help="Go on with one: its uid, its name, or -1.")
    ] = "",
) -> None:
    """Image several samples unattended, the tip checked among them; can be gone on with."""
    from station.image_recipes import RunCampaign, stopping_rule

    settings = options.loaded()
    if model is not None:
        networks = settings.networks.model_copy(update={"model": model})
        settings = settings.model_copy(update={"networks": networks})
    box = names(probes) if probes else ()
    if resume:
        from station.campaigns import read_campaign
        from station.lookup import journal_folder

        if samples:
            raise ValueError("--resume goes on with a campaign as it was begun: name no samples")
        if until_certain is not None:
            raise ValueError("--resume goes on with a campaign as it was begun: no --until-certain")
        record = read_campaign(journal_folder(settings), resume)
        _do(RunCampaign(record.campaign, record.done, box), options, settings)
        return
    from plans import Campaign

    if not samples:
        raise ValueError("name samples on the chuck, as A2,C3,C5, or a campaign to --resume")
    asked = Campaign(
        names(samples),
        images=images,
        scan=options.frame().scan,
        tip_every=tip_every,
        order=order,
        rule=None if until_certain is None else stopping_rule(settings, until_certain, least),
        name=name,
    )
    _do(RunCampaign(asked, probes=box), options, settings)
