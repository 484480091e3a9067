"""The experiments of the command line that take images with the AFM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from station.afm_recipes import AFMExperiment
from station.recipes import Outcome

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator
    from rich.console import RenderableType

    from devices.afm import Afm
    from plans import Campaign, Done, LiveResults, Place, Scan

__all__ = ["Frame", "PhaseSeries", "RunCampaign", "TakeImage"]


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
    """

    campaign: Campaign
    done: tuple[Done, ...] = ()
    probes: tuple[str, ...] = ()
    what = "campaign"

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from devices.tip_qualifier import TipQualifier
        from plans import campaign, probes_from_box, tip_qualification

        found = yield from campaign(
            instrument,
            self.campaign,
            qualifier=TipQualifier(instrument, tip_qualification(), name="tip"),
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
        """How many images count."""
        images = len(self.campaign.samples) * self.campaign.images
        return f"{len(outcome.result.counting)} of {images} images count"

    def row(self, outcome: Outcome) -> dict[str, Any]:
        """The same."""
        return {"images": len(outcome.result.counting), "runs": len(outcome.result.runs)}

    def further(self, outcome: Outcome) -> str:
        """The command that shows what it found."""
        return f"twinscope campaign {outcome.uid[:8]}"

    def go_on(self) -> str:
        """The command that goes on with it."""
        return f"twinscope run campaign --resume {self.campaign.uid[:8]}"
