"""The imperfections of a goniometer, one small set of parameters each.

Every class is one effect of the stage model and is told apart from the others by what it needs to
be measured. SI units and radians; where a number has a default, its source is beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "Cell",
    "Creep",
    "PeriodicError",
    "PolePiece",
    "SphericalMount",
    "StickyRegion",
    "TiltDisturbance",
    "TiltGeometry",
    "require",
]

_NM, _UM, _DEG = 1e-9, 1e-6, math.pi / 180.0


def require(owner: str, name: str, value: float, right: bool, allowed: str) -> None:
    """Raise a ValueError that names `value` and what is `allowed`, unless it is `right`."""
    if not right:
        raise ValueError(f"{owner} {name} {value!r} is not allowed: {allowed}")


def _finite(owner: str, **values: float) -> None:
    for name, value in values.items():
        require(owner, name, value, math.isfinite(value), "finite")


def _not_negative(owner: str, **values: float) -> None:
    for name, value in values.items():
        require(owner, name, value, 0 <= value < math.inf, "finite and not below 0")


def _above_zero(owner: str, **values: float) -> None:
    for name, value in values.items():
        require(owner, name, value, 0 < value < math.inf, "finite and above 0")


@dataclass(frozen=True)
class Cell:
    """One Prandtl-Ishlinskii cell: a play of its own that carries a part of the motion.

    Parameters
    ----------
    half_width : float
        Half the width of the cell's play, r_j.
    weight : float
        Part of the motion that it carries, w_j.
    """

    half_width: float
    weight: float

    def __post_init__(self) -> None:
        _not_negative("cell", half_width=self.half_width, weight=self.weight)


@dataclass(frozen=True)
class PeriodicError:
    """Error of the screw or cam that drives an axis, as a function of the position y.

    A1 sin(2 pi y / P + p1) + A2 sin(4 pi y / P + p2), less its value at y = 0.

    Parameters
    ----------
    period : float
        P, in the unit of the axis.
    amplitudes : tuple of float
        A1 and A2.
    phases : tuple of float
        p1 and p2, radians.
    """

    period: float
    amplitudes: tuple[float, float]
    phases: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _above_zero("periodic error", period=self.period)
        _not_negative("periodic error", first=self.amplitudes[0], second=self.amplitudes[1])
        _finite("periodic error", first_phase=self.phases[0], second_phase=self.phases[1])
        slope = (self.amplitudes[0] + 2 * self.amplitudes[1]) * 2 * math.pi / self.period
        require("periodic error", "slope", slope, slope < 1, "below 1: the axis must not turn back")


@dataclass(frozen=True)
class Creep:
    """What the o-ring holds back of a move and gives later.

    After a move dy the specimen is short by clip(fraction dy, +-limit); of that `share` relaxes
    with the first time constant, the rest with the second, which together look like a logarithm.
    What is held of several moves together stays within the limit too.

    Parameters
    ----------
    fraction : float
        Part of a move; 0.06 in the reference model.
    limit : float
        Greatest shortfall; 60 nm in the reference model.
    share : float
        Part of it that relaxes with the first time constant.
    times : tuple of float
        The two time constants, seconds.
    """

    fraction: float = 0.06
    limit: float = 60 * _NM
    share: float = 0.6
    times: tuple[float, float] = (4.0, 60.0)

    def __post_init__(self) -> None:
        _not_negative("creep", fraction=self.fraction, limit=self.limit)
        require("creep", "share", self.share, 0 <= self.share <= 1, "from 0 to 1")
        _above_zero("creep", first_time=self.times[0], second_time=self.times[1])


@dataclass(frozen=True)
class StickyRegion:
    """A worn or dirty stretch of an axis, where moves end less repeatably.

    Parameters
    ----------
    lower, upper : float
        From where to where.
    factor : float
        By how much the slip of a move that ends there is greater.
    """

    lower: float
    upper: float
    factor: float = 3.0  # chosen

    def __post_init__(self) -> None:
        _finite("sticky region", lower=self.lower, upper=self.upper)
        right = self.lower < self.upper
        require("sticky region", "upper", self.upper, right, f"above lower, {self.lower!r}")
        _not_negative("sticky region", factor=self.factor)


@dataclass(frozen=True)
class SphericalMount:
    """The ball about which the rod swings when y and z push its end (Fiedler et al., fig. 1b).

    Parameters
    ----------
    pivot_length : float
        From the ball to the specimen along the rod, metres; 80 mm is usual.
    residual : float
        What the maker's linearisation leaves of the arc: 0 straight motion, 1 all of it, which is
        -(y^2 + z^2) / 2L along x, 6.3 um at 1 mm.
    """

    pivot_length: float = 80e-3
    residual: float = 0.0

    def __post_init__(self) -> None:
        _above_zero("spherical mount", pivot_length=self.pivot_length)
        require("spherical mount", "residual", self.residual, 0 <= self.residual <= 1, "0 to 1")


@dataclass(frozen=True)
class TiltGeometry:
    """Where the tilt axes are, and how far from true they run.

    Alpha turns the rod about the line (axis_y, axis_z), parallel to x and fixed in the microscope
    (the model of Leginon's tilt prediction); beta turns the specimen about a line parallel to y at
    (cradle_x, cradle_z) from the specimen, fixed in the rod's cradle. The wobble of alpha is
    first sin(alpha + p) + second sin(2 alpha + q), less its value at 0, in each of x, y and z.

    Parameters
    ----------
    axis_y, axis_z : float
        Offset of the alpha axis; `axis_z` is the error in eucentric height, 0 to 20 um.
    cradle_x, cradle_z : float
        Offset of the beta axis.
    wobble : tuple of float
        The first and second amplitude, metres.
    wobble_phases : tuple of (float, float)
        p and q for x, y and z, radians.
    """

    axis_y: float = 1 * _UM
    axis_z: float = 5 * _UM
    cradle_x: float = 0.0
    cradle_z: float = 30 * _UM
    wobble: tuple[float, float] = (60 * _NM, 40 * _NM)
    wobble_phases: tuple[tuple[float, float], ...] = ((0.4, 1.1), (2.3, 0.2), (4.0, 2.6))

    def __post_init__(self) -> None:
        _finite("tilt geometry", axis_y=self.axis_y, axis_z=self.axis_z)
        _finite("tilt geometry", cradle_x=self.cradle_x, cradle_z=self.cradle_z)
        _not_negative("tilt geometry", first_wobble=self.wobble[0], second_wobble=self.wobble[1])
        if [len(pair) for pair in self.wobble_phases] != [2, 2, 2]:
            raise ValueError("tilt geometry wobble_phases is not allowed: (p, q) for x, y and z")


@dataclass(frozen=True)
class TiltDisturbance:
    """What tilting does to x, y and z: it frees their play, shifts and warms the specimen.

    Parameters
    ----------
    wander : float
        Standard deviation of the shift of each axis from a tilt to one 3 degrees away, metres; the
        shift is a random walk in the angle, the same whenever a tilt is come back to. A Krios'
        dose-symmetric series (tests/data/em), whose steps of 3 degrees on one branch shift by 46
        and 86 nm rms, is by restricted likelihood a random walk of each branch by 46 (38 to 56) and
        88 nm (71 to 110, 95 %) a step, whatever geometry is taken out: 69 nm an axis, which 50 to
        100 nm have in their middle. A part without memory is below 20 and 36 nm, and what the
        swings from branch to branch leave below 25 and 40 nm.
    step : float
        Standard deviation of the thermal step of such a tilt, which comes with `step_time`.
    step_time : float
        Seconds; chosen.
    release_angle : float
        Tilt that leaves the play anywhere between its flanks; a smaller one in proportion; chosen.
    glide_time : float
        Seconds in which the specimen glides to its new place; chosen.
    """

    wander: float = 75 * _NM
    step: float = 10 * _NM  # chosen
    step_time: float = 60.0
    release_angle: float = 1.0 * _DEG
    glide_time: float = 0.5

    def __post_init__(self) -> None:
        _not_negative("tilt disturbance", wander=self.wander, step=self.step)
        _above_zero(
            "tilt disturbance",
            step_time=self.step_time,
            release_angle=self.release_angle,
            glide_time=self.glide_time,
        )


@dataclass(frozen=True)
class PolePiece:
    """What keeps the holder's tip off the pole piece: a rule for alpha, beta and z together.

    The tip is a slab whose edges rise by half_width |sin alpha| + half_length |sin beta| + |z|; it
    touches where that exceeds `clearance`. The numbers are chosen: every axis alone may go to its
    limit, and all of them together may not.

    Parameters
    ----------
    clearance : float
        From the flat tip to the pole piece, metres.
    half_width, half_length : float
        Of the tip, across and along the rod, metres.
    """

    clearance: float = 1.9e-3
    half_width: float = 1.5e-3
    half_length: float = 1.0e-3

    def __post_init__(self) -> None:
        _above_zero("pole piece", clearance=self.clearance)
        _not_negative("pole piece", half_width=self.half_width, half_length=self.half_length)

    def room(self, alpha: float, beta: float, z: float) -> float:
        """Return what is left of the clearance, metres; below 0 the tip would touch."""
        rise = self.half_width * abs(math.sin(alpha)) + self.half_length * abs(math.sin(beta))
        return self.clearance - rise - abs(z)
