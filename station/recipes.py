"""The experiments of the command line: what each is asked to do, the plan of it, what it leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from station.results import kind_named

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator
    from rich.console import RenderableType

    from devices.microscope import Microscope
    from plans import LiveResults
    from station.engine import Station

__all__ = ["Characterise", "CrossAxis", "Drift", "Experiment", "Hysteresis", "Mosaic", "Outcome"]


class Outcome(Protocol):
    """What an experiment's plan hands back."""

    @property
    def uid(self) -> str:
        """The recorded run."""
        ...

    @property
    def result(self) -> Any:
        """What the live analysis found; None when there is none."""
        ...


class Experiment(ABC):
    """An experiment and what it is asked to do."""

    instrument = "tem"
    """The instrument that it is for."""

    safe = "the stage was stopped, the beam is blanked"
    """How the instrument is left when the experiment is stopped."""

    what = "run"
    """What the uid of its outcome names."""

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "hysteresis"

    def prepared(self, station: Station) -> Experiment:
        """The experiment with what it needs of the station besides its instrument."""
        return self

    @abstractmethod
    def plan(self, instrument: Any, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan; `analysis` is waited for, where there is one."""

    def estimate(self, instrument: Any) -> Any:
        """Say what it would do: a dataclass that can be printed."""
        from plans.rehearsal import rehearse

        return rehearse(self.plan(instrument, None))

    def make_safe(self, instrument: Any) -> None:
        """Make the instrument safe when the clean-up of the plan has failed."""
        instrument.column.beam_blank.set(1)

    def leave(self, outcome: Outcome, data: Path) -> Mapping[str, str]:
        """Write what is wanted beside the record: what it is and where, one line each."""
        return {}

    def further(self, outcome: Outcome) -> str:
        """The command that shows what it found."""
        command = "show" if kind_named(self.analysis) is None else "report"
        return f"twinscope {command} {outcome.uid[:8]}"

    def go_on(self) -> str:
        """The command that goes on with it when it was broken off; "" where none does."""
        return ""

    def table(self, outcome: Outcome) -> RenderableType | None:
        """What was found, for the terminal; None where nothing was."""
        kind = kind_named(self.analysis)
        return None if kind is None or outcome.result is None else kind.table(outcome.result)

    def row(self, outcome: Outcome) -> dict[str, Any]:
        """What was found, for a script."""
        kind = kind_named(self.analysis)
        if kind is None or outcome.result is None:
            return {"deficits": None}
        return kind.row(outcome.result)


@dataclass(frozen=True)
class Hysteresis(Experiment):
    """What `plans.hysteresis` is asked to do; see there."""

    axes: tuple[str, ...] = ("x", "y")
    step: float = 1.0
    steps: int = 5
    repeats: int = 3
    settle_time: float = 0.0

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import hysteresis

        return hysteresis(
            instrument,
            self.axes,
            step=self.step,
            steps=self.steps,
            repeats=self.repeats,
            settle_time=self.settle_time,
            analysis=analysis,
        )


@dataclass(frozen=True)
class CrossAxis(Experiment):
    """What `plans.cross_axis` is asked to do; see there."""

    axes: tuple[str, ...] = ("x", "y")
    step: float = 1.0
    steps: int = 5
    repeats: int = 1
    settle_time: float = 0.0

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans.cross_axis import cross_axis

        return cross_axis(
            instrument,
            self.axes,
            step=self.step,
            steps=self.steps,
            repeats=self.repeats,
            settle_time=self.settle_time,
            analysis=analysis,
        )


@dataclass(frozen=True)
class Characterise(Experiment):
    """What `plans.characterise` is asked to do; see there. `model` is the file of the model."""

    diamond_images: int = 96
    rest_images: int = 4
    settle_time: float = 1.0
    model: Path | None = None

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans.characterisation import characterise

        return characterise(
            instrument,
            diamond_images=self.diamond_images,
            rest_images=self.rest_images,
            settle_time=self.settle_time,
            analysis=analysis,
        )

    def leave(self, outcome: Outcome, data: Path) -> Mapping[str, str]:
        """Write the model; ``<data>/models/<uid>.json`` unless a file was named."""
        from analysis.stage_model import save_stage_model

        if outcome.result is None or outcome.result.model is None:
            return {}
        path = self.model or data / "models" / f"{outcome.uid}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_stage_model(outcome.result.model, path)
        return {"model": str(path)}


@dataclass(frozen=True)
class Drift(Experiment):
    """What `plans.measure_drift` is asked to do; see there."""

    duration: float = 60.0
    interval: float = 5.0
    blank_between: bool = True

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans.drift import measure_drift

        return measure_drift(
            instrument,
            duration=self.duration,
            interval=self.interval,
            blank_between=self.blank_between,
            analysis=analysis,
        )


@dataclass(frozen=True)
class Mosaic(Experiment):
    """What `plans.mosaic` is asked to do, or `plans.mosaic_over` with `x` and `y`; see there."""

    rows: int | None = None
    columns: int | None = None
    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    overlap: float = 0.2
    serpentine: bool = True
    over_travel: float = 0.0
    settle_time: float = 0.0

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "mosaic"

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import mosaic, mosaic_over

        how: dict[str, Any] = {
            "overlap": self.overlap,
            "serpentine": self.serpentine,
            "over_travel": self.over_travel,
            "settle_time": self.settle_time,
            "analysis": analysis,
        }
        if self.x is not None and self.y is not None:
            return mosaic_over(instrument, self.x, self.y, **how)
        rows, columns = (3 if number is None else number for number in (self.rows, self.columns))
        return mosaic(instrument, rows, columns, **how)
