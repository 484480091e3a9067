"""What is known of a stage: numbers with their uncertainties, where they come from and how old.

Saved as JSON, so that a person can read it and another program too. Lengths in µm, times in s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["AxisModel", "Cell", "Quantity", "StageModel", "load_stage_model", "save_stage_model"]

_FORMAT = "twinscope stage model 1"
# A holder exchanged, an o-ring greased, a day's temperature: chosen, a working day and a night.
_GOOD_FOR_HOURS = 24.0


@dataclass(frozen=True)
class Quantity:
    """A number with its 95 % interval, in the unit of its field.

    Parameters
    ----------
    value, stderr, low, high : float
        NaN where it cannot be told.
    """

    value: float
    stderr: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g}..{self.high:.4g})"


@dataclass(frozen=True)
class Cell:
    """A Prandtl-Ishlinskii cell: a play, `half_width` in µm, that carries `weight` of the way."""

    half_width: Quantity
    weight: Quantity


@dataclass(frozen=True)
class AxisModel:
    """One axis: what it does to a command, in the order of the drive.

    Parameters
    ----------
    axis : str
    reported_scale, reported_play : Quantity
        Way of the reported position for a unit commanded; full width of the play before the sensor,
        µm.
    scale : Quantity
        Way of the specimen for a unit commanded.
    play : Quantity
        Full width of the play between sensor and specimen, µm.
    cells : tuple of Cell
        Behind that play.
    backlash : Quantity
        By how much a leg falls short after a reversal, all plays and cells together, µm.
    period : Quantity
        Of the screw, µm; NaN, like the phases, where no screw is seen.
    amplitudes : tuple of Quantity
        Of its first and second harmonic, µm; never below 0, so that one that is not there is
        somewhat above it.
    phases : tuple of Quantity
        Of both at target 0, rad.
    repeatability : Quantity
        Standard deviation of the slip that a full move adds, µm.
    repeatability_length, slip_memory : Quantity
        Way after which a move slips fully, µm, and part of the slip before that it keeps.
    creep, creep_limit : Quantity
        Part of a move that the o-rings hold back, and the most they hold, µm.
    drift : Quantity
        Velocity at the start of the run, µm/s, from which it wanders.
    crosstalk : Quantity
        Way along this axis for a unit of the other.

    What a run cannot tell is NaN: play, cells and backlash of an axis that never reverses, the
    cross-talk of one that never moves alone.
    """

    axis: str
    reported_scale: Quantity
    reported_play: Quantity
    scale: Quantity
    play: Quantity
    cells: tuple[Cell, ...]
    backlash: Quantity
    period: Quantity
    amplitudes: tuple[Quantity, Quantity]
    phases: tuple[Quantity, Quantity]
    repeatability: Quantity
    repeatability_length: Quantity
    slip_memory: Quantity
    creep: Quantity
    creep_limit: Quantity
    drift: Quantity
    crosstalk: Quantity

    def __str__(self) -> str:
        nm = [f"{name} {_nm(getattr(self, name))}" for name in _LENGTHS]
        parts = [f"scale {self.scale}", *nm, f"period {self.period} µm"]
        parts.append(f"amplitudes {', '.join(_nm(a) for a in self.amplitudes)}")
        percent = 100.0 * self.crosstalk.value
        return f"{self.axis}: " + "; ".join([*parts, f"cross-talk {percent:+.3f} %"])


_LENGTHS = ("reported_play", "play", "backlash", "repeatability")


@dataclass(frozen=True)
class StageModel:
    """A stage as it was measured.

    Parameters
    ----------
    axes : tuple of AxisModel
    measured : datetime
        When, with its time zone.
    source : str
        Uid of the run, or file.
    images : int
        That it rests on.
    good_for_hours : float
        After which it should be measured again; earlier when the holder is exchanged.
    notes : tuple of str
        What could not be told.
    """

    axes: tuple[AxisModel, ...]
    measured: datetime
    source: str
    images: int
    good_for_hours: float = _GOOD_FOR_HOURS
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.measured.tzinfo is None:
            raise ValueError(f"measured is {self.measured!r}: a time zone is needed")

    def axis(self, name: str) -> AxisModel:
        """Model of one axis.

        Raises
        ------
        ValueError
            If there is none.
        """
        for found in self.axes:
            if found.axis == name:
                return found
        known = ", ".join(found.axis for found in self.axes)
        raise ValueError(f"the stage model has no axis {name!r}: choose of {known}")

    def age_hours(self, now: datetime | None = None) -> float:
        """Hours since it was measured, until `now` or until the present."""
        return ((datetime.now(UTC) if now is None else now) - self.measured) / timedelta(hours=1)

    def stale(self, now: datetime | None = None) -> bool:
        """Whether it should be measured again."""
        return self.age_hours(now) > self.good_for_hours

    def __str__(self) -> str:
        head = f"Stage model of {self.measured:%Y-%m-%d %H:%M %Z}, {self.images} images"
        source = f" of {self.source}" if self.source else ""
        return "\n".join([head + source, *map(str, self.axes), *self.notes])


def save_stage_model(model: StageModel, path: str | Path) -> None:
    """Write a model to a JSON file.

    Parameters
    ----------
    model : StageModel
    path : str or Path
        Written anew if it is there.
    """
    content = {"format": _FORMAT, **asdict(model), "measured": model.measured.isoformat()}
    Path(path).write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def load_stage_model(path: str | Path) -> StageModel:
    """Read a model from a JSON file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    StageModel

    Raises
    ------
    ValueError
        If there is no such file or it holds no stage model.
    """
    try:
        content = json.loads(Path(path).read_text())
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}")
        return StageModel(
            axes=tuple(_axis(axis) for axis in content["axes"]),
            measured=datetime.fromisoformat(content["measured"]),
            source=str(content["source"]),
            images=int(content["images"]),
            good_for_hours=float(content["good_for_hours"]),
            notes=tuple(map(str, content["notes"])),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error!s:.80}".replace("\n", " ")
        raise ValueError(f"{path} holds no stage model ({reason}): measure one anew") from None


def _axis(content: Mapping[str, Any]) -> AxisModel:
    values: dict[str, Any] = {}
    for field in fields(AxisModel):
        value = content[field.name]
        if field.name == "cells":
            value = tuple(Cell(_quantity(c["half_width"]), _quantity(c["weight"])) for c in value)
        elif isinstance(value, list):
            value = tuple(_quantity(item) for item in value)
        elif isinstance(value, Mapping):
            value = _quantity(value)
        values[field.name] = value
    return AxisModel(**values)


def _quantity(content: Mapping[str, Any]) -> Quantity:
    names = [field.name for field in fields(Quantity)]
    return Quantity(*(math.nan if content[n] is None else float(content[n]) for n in names))


def _plain(value: Any) -> Any:
    """What JSON can say: NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _nm(quantity: Quantity) -> str:
    value, low, high = (1e3 * v for v in (quantity.value, quantity.low, quantity.high))
    return f"{value:.0f} nm ({low:.0f}..{high:.0f})"
