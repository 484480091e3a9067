"""The AFM's experiments of the command line: what each is asked to do, and the plan of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from station.recipes import Experiment, Outcome

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator
    from rich.console import RenderableType

    from devices.afm import Afm
    from plans import LiveResults, Tapping

__all__ = ["AFMExperiment", "CalibrateProbe", "Drive", "ForceMap", "PointSpectrum"]

T = TypeVar("T")


class AFMExperiment(Experiment):
    """An experiment with the atomic force microscope."""

    instrument = "afm"
    safe = "the tip is withdrawn, the drive is off"

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "intermodulation"

    @abstractmethod
    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take, and refuse what is not allowed; nothing moves."""

    def make_safe(self, instrument: Afm) -> None:
        """Withdraw the tip."""
        instrument.withdraw()


def _answered(stub: Callable[[], MsgGenerator[T]]) -> T:
    """What a stub that only reads returns, with nobody to run it."""
    steps = stub()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@dataclass(frozen=True)
class CalibrateProbe(AFMExperiment):
    """What `plans.calibrate_probe` is asked to do; see there."""

    method: str = "thermal"
    pixels: int | None = None
    temperature: float = 295.0

    @property
    def analysis(self) -> str:
        """None: the plan itself fits what it measures."""
        return ""

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import calibrate_probe

        return calibrate_probe(
            instrument,
            self.method,  # pyright: ignore[reportArgumentType]  # the plan checks it
            pixels=self.pixels,
            temperature=self.temperature,
        )

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_calibration

        return _answered(lambda: estimate_calibration(instrument, self.method, pixels=self.pixels))

    def table(self, outcome: Outcome) -> RenderableType | None:
        """The modes."""
        from rich.table import Table

        table = Table("mode", "frequency (Hz)", "quality factor", "spring constant (N/m)")
        for number, mode in enumerate(outcome.result, start=1):
            spring = mode.spring_constant
            told = "as it was" if spring is None else str(spring)
            table.add_row(str(number), str(mode.frequency), str(mode.quality_factor), told)
        return table

    def row(self, outcome: Outcome) -> dict[str, Any]:
        """The modes."""
        return {"modes": [asdict(mode) for mode in outcome.result]}


@dataclass(frozen=True)
class Drive:
    """How the tip is driven and brought to the surface; see `plans.Tapping`.

    Parameters
    ----------
    amplitudes : tuple of float or None
        Free amplitude of each mode, nm.
    df : float
        Base frequency, Hz.
    tones : int
        Measured about each mode.
    ratio, height : float or None
        As of `plans.Guard`.
    lift : float
        Height above the working one at which free spectra are taken, nm.
    start : float or None
        Height of the head from which the approach is stepped, nm.
    calibrate : bool
        Whether the probe is calibrated before, in a run of its own.
    """

    amplitudes: tuple[float, ...] | None = None
    df: float = 200.0
    tones: int = 24
    ratio: float | None = None
    height: float | None = None
    lift: float = 200.0
    start: float | None = None
    calibrate: bool = True

    def tapping(self, afm: Afm) -> MsgGenerator[Tapping]:
        """As a plan wants it, about the modes as they are calibrated by now."""
        from plans import Guard, Tapping, paper_excitation

        ratio = Guard.ratio if self.ratio is None and self.height is None else self.ratio
        guard = Guard(ratio=ratio, height=self.height, start=self.start)
        excitation = yield from paper_excitation(
            afm, self.amplitudes, df=self.df, tones_a_band=self.tones
        )
        return Tapping(excitation, guard, self.lift)


@dataclass(frozen=True)
class PointSpectrum(AFMExperiment):
    """What `plans.point_spectrum` is asked to do; see there."""

    pixels: int = 16
    drive: Drive = field(default_factory=Drive)

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import point_spectrum

        yield from _calibrated(instrument, self.drive)
        tapping = yield from self.drive.tapping(instrument)
        return (
            yield from point_spectrum(
                instrument, pixels=self.pixels, tapping=tapping, analysis=analysis
            )
        )

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_point

        def stub() -> MsgGenerator[Any]:
            tapping = yield from self.drive.tapping(instrument)
            return (yield from estimate_point(instrument, pixels=self.pixels, tapping=tapping))

        return _answered(stub)


@dataclass(frozen=True)
class ForceMap(AFMExperiment):
    """What `plans.force_map` is asked to do; see there."""

    x: tuple[float, float] = (-0.5, 0.5)
    y: tuple[float, float] = (-0.5, 0.5)
    rows: int = 64
    columns: int = 64
    feedback: str = "line"
    drive: Drive = field(default_factory=Drive)

    def plan(self, instrument: Afm, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import force_map

        yield from _calibrated(instrument, self.drive)
        tapping = yield from self.drive.tapping(instrument)
        return (
            yield from force_map(
                instrument,
                self.x,
                self.y,
                (self.rows, self.columns),
                tapping=tapping,
                feedback=self.feedback,  # pyright: ignore[reportArgumentType]
                analysis=analysis,
            )
        )

    def estimate(self, instrument: Afm) -> Any:
        """Say what it would take."""
        from plans import estimate_map

        def stub() -> MsgGenerator[Any]:
            tapping = yield from self.drive.tapping(instrument)
            shape = (self.rows, self.columns)
            return (yield from estimate_map(instrument, self.x, self.y, shape, tapping=tapping))

        return _answered(stub)


def _calibrated(afm: Afm, drive: Drive) -> MsgGenerator[None]:
    from plans import calibrate_probe

    if drive.calibrate:
        yield from calibrate_probe(afm)
