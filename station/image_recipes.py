"""The experiments of the command line that take images with the AFM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from station.afm_recipes import AFMExperiment
from station.recipes import Outcome

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator
    from rich.console import RenderableType

    from analysis.sequential import StoppingRule
    from devices.afm import Afm
    from devices.image_classifier import ImageClassifier
    from plans import Campaign, Done, LiveResults, Place, Scan
    from station.engine import Station
    from station.settings import Settings

__all__ = ["DEPENDENCE", "Frame", "PhaseSeries", "RunCampaign", "TakeImage", "stopping_rule"]

DEPENDENCE = "dependence"
"""Metric of a model's card: how far images of one probe repeat each other."""


@dataclass(frozen=True)
class Frame:
    """How a frame is scanned; see `plans.Scan`."""

    size: float = 4.0
    rate: float = 1.0
    lines: int = 256
    points: int = 256
    aspect: float = 1.0

    @property
    def scan(self) -> Scan:
        """As a plan wants it."""
        from plans import Scan

        return Scan(self.size, self.rate, self.lines, self.points, self.aspect)


class ImagingExperiment(AFMExperiment):
    """An experiment that takes images."""

    safe = "the tip is withdrawn"

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "image"


@dataclass(frozen=True)
class TakeImage(ImagingExperiment):
    """What `plans.image` is asked to do; see there."""

    sample: str
    x: float = 0.0
    y: float = 0.0
    frame: Frame = field(default_factory=Frame)
    mode: str = "PeakForce QNM"
    setpoint: float | None = None

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import image

        return image(
            instrument,
            self._place,
            self.frame.scan,
            mode=self.mode,
            setpoint=self.setpoint,
            analysis=analysis,
        )

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_images

        return estimate_images(
            instrument, [self._place], self.frame.scan, mode=self.mode, setpoint=self.setpoint
        )

    @property
    def _place(self) -> Place:
        from plans import Place

        return Place(self.sample, self.x, self.y)


@dataclass(frozen=True)
class _Done:
    """What a series hands back: its last run."""

    uid: str
    result: Any


@dataclass(frozen=True)
class PhaseSeries(ImagingExperiment):
    """What `plans.phase_series` is asked to do: so many fields of each sample; see there."""

    samples: tuple[str, ...]
    fields: int = 1
    frame: Frame = field(default_factory=lambda: Frame(size=10.0, rate=2.0))

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import phase_series

        done = yield from phase_series(instrument, self._places, self.frame.scan, analysis=analysis)
        last = done.runs[-1]
        return _Done(last.uid, last.result)

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_images

        return estimate_images(instrument, self._places, self.frame.scan, mode="Tapping")

    @property
    def _places(self) -> list[Place]:
        from plans import field_place

        return [
            field_place(sample, number, self.frame.scan)
            for sample in self.samples
            for number in range(self.fields)
        ]


@dataclass(frozen=True)
class RunCampaign(ImagingExperiment):
    """What `plans.campaign` is asked to do; see there.

    Parameters
    ----------
    campaign : Campaign
        What is to be done.
    done : tuple of Done
        What was done of it before.
    probes : tuple of str
        Serial numbers of the probes in the box; none if empty.
    classifier : ImageClassifier or None
        Tells the classes of the samples of a campaign with a rule; see `prepared`.
    """

    campaign: Campaign
    done: tuple[Done, ...] = ()
    probes: tuple[str, ...] = ()
    classifier: ImageClassifier | None = None
    what = "campaign"

    def prepared(self, station: Station) -> RunCampaign:
        """With the station's classifier, if the campaign has a rule.

        Raises
        ------
        ValueError, station.predictions.PredictionError
            There is no model, it does not answer, or it wants other images than these.
        """
        if self.campaign.rule is None:
            return self
        from devices.image_channels import MODES

        classifier = station.classifier
        assert station.predictor is not None
        channels = MODES.get(self.campaign.mode, ())
        units = _units(station.afm, channels)
        station.predictor.card.check_stream(channels, units, self.campaign.scan.size)
        station.predictor.wait_ready()
        return replace(self, classifier=classifier)

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from devices.tip_qualifier import TipQualifier
        from plans import campaign, probes_from_box, tip_qualification

        found = yield from campaign(
            instrument,
            self.campaign,
            qualifier=TipQualifier(instrument, tip_qualification(), name="tip"),
            classifier=self.classifier,
            done=self.done,
            new_probe=probes_from_box(instrument, self.probes) if self.probes else None,
            analysis=analysis,
        )
        return _Done(found.uid, found)

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_campaign

        return estimate_campaign(instrument, self.campaign, done=self.done)

    def table(self, outcome: Outcome) -> RenderableType | None:
        """How many images count, and of which class each sample is."""
        from rich.table import Table

        images = len(self.campaign.samples) * self.campaign.images
        found = outcome.result
        counted = f"{len(found.counting)} of {images} images count"
        if self.campaign.rule is None:
            return counted
        table = Table("sample", "class", "probability", "images", "abstained", title=counted)
        for sample, decision in found.decisions.items():
            table.add_row(
                sample,
                decision.label if decision.certain else f"{decision.label or 'unknown'}?",
                f"{decision.confidence:.3f}",
                str(decision.images),
                str(decision.abstained),
            )
        return table

    def row(self, outcome: Outcome) -> dict[str, Any]:
        """The same."""
        found = outcome.result
        row: dict[str, Any] = {"images": len(found.counting), "runs": len(found.runs)}
        if self.campaign.rule is not None:
            row["classes"] = {name: asdict(told) for name, told in found.decisions.items()}
        return row

    def further(self, outcome: Outcome) -> str:
        """The command that shows what it found."""
        return f"twinscope campaign {outcome.uid[:8]}"

    def go_on(self) -> str:
        """The command that goes on with it."""
        command = f"twinscope run campaign --resume {self.campaign.uid[:8]}"
        if self.classifier is None:
            return command
        return f"{command} --model {self.classifier.known_model}"


def stopping_rule(settings: Settings, confidence: float, least: int) -> StoppingRule:
    """When a sample is left, with the dependence of images that the model's card tells.

    Parameters
    ----------
    settings : Settings
        Which model it is, and where.
    confidence, least
        As of `analysis.sequential.StoppingRule`.

    Raises
    ------
    ValueError, station.predictions.PredictionError
        No such model, or numbers that make no rule.
    """
    from analysis.sequential import Dependence, StoppingRule
    from station.predictions import PredictionError, registry_of

    name = settings.networks.model
    if name is None:
        raise PredictionError("no model is named: set [networks] model, or give --model")
    try:
        told = registry_of(settings).card(name).card.metrics.get(DEPENDENCE)
    except ValueError as error:
        raise PredictionError(str(error)) from error
    dependence = Dependence() if told is None else Dependence(told)
    return StoppingRule(confidence, least, dependence=dependence)


def _units(afm: Afm, channels: Iterable[str]) -> dict[str, str]:
    """Units of channels as the probe is calibrated now."""
    from devices.image_channels import CHANNELS

    calibrated = afm.imager.snapshot.get()["calibrated"]
    return {name: CHANNELS[name].unit_of(calibrated) for name in channels}
