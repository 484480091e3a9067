"""Where is the surface? The tip is lowered step by step until it taps as it shall.

What is looked at is recorded at every step in the stream "approach": the amplitude of the driven
tones (`head.amplitude`), and the tones that are measured but not driven. A free tip is linear and
has none of these; a touch of the surface makes them at once (intermodulation, Borysov et al.,
fig. 1), and no drift of the drive does. The first touch tells where the surface is: the tip reaches
as far below its rest as its beats are high together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator
from ophyd import Signal

from devices.afm import Afm
from devices.comb import FLEXURAL, TORSIONAL
from plans._afm_run import move_head
from plans._checks import finite, positive
from plans._steps import read_into, read_now, triggered

__all__ = ["Approach", "ApproachError", "Guard", "approach", "check_approach"]

_NM = 1e9
_FREE_LOOKS = 8  # tell amplitude and scatter of the free tip
_COARSE = 0.25  # of the reach: a first touch then takes a quarter of the amplitude at most
_FINE = 1.0 / 8.0  # of a coarse step
_SIGNIFICANT = 6.0  # times the scatter; 1e-9 a look by chance
_LEAST_CHANGE = 0.003  # of the free amplitude: a drifting drive
# Of the free amplitude. A vibrating tip feels the surface before it is there: with the probe of the
# paper, over simulated polymers of 0.1 to 2 GPa, the intermodulation products are as large as this
# when its lowest point is level with the surface, to 1 nm.
_LEAST_PRODUCTS = 4e-3
_RANGE_NM = 1.0
_BACK_STEPS = 2  # coarse steps back from the first touch, to find it again in fine ones


class ApproachError(RuntimeError):
    """The tip was not brought to the surface; says why."""


@dataclass(frozen=True)
class Guard:
    """How an approach ends, and what ends it before.

    Parameters
    ----------
    ratio : float or None
        Amplitude at which the tip is engaged, part of the free one. One of `ratio` and `height`.
    height : float or None
        Height of the resting tip above the surface at which it is engaged, nm.
    floor : float
        Part of the free amplitude below which the approach is given up.
    start : float or None
        Height of the head from which it is stepped, nm; from where it stands unless given. Down to
        there it goes at once: give one that is known to be free.
    lowest : float
        Height of the head at which no more surface is expected, nm.
    step : float or None
        Coarse step, nm; a quarter of the free tip's reach unless given.

    Raises
    ------
    ValueError
        Not one target, or numbers out of range.
    """

    ratio: float | None = 0.85
    height: float | None = None
    floor: float = 0.4
    start: float | None = None
    lowest: float = 0.0
    step: float | None = None

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.height is None):
            raise ValueError("give either ratio or height, to tell when the tip is engaged")
        if self.height is not None:
            positive("height", self.height, "nm")
        if self.step is not None:
            positive("step", self.step, "nm")
        if not 0.25 <= finite("floor", self.floor, "from 0.25 to 0.95") <= 0.95:
            raise ValueError(f"floor is {self.floor:g}: 0.25 to 0.95 of the free amplitude")
        if self.ratio is not None and not self.floor < finite("ratio", self.ratio, "") < 1.0:
            raise ValueError(
                f"ratio is {self.ratio:g}: it must lie between the floor, {self.floor:g}, and 1"
            )


@dataclass(frozen=True)
class Approach:
    """Where the tip stands, and how it came there.

    Parameters
    ----------
    z : float
        Height of the head, nm.
    surface : float
        Height of the head at which the resting tip would be level with the surface, nm.
    height : float
        Of the resting tip above the surface, nm.
    uncertainty : float
        Of `surface` and `height`, nm: half a fine step, and 1 nm for the range of the forces.
    free, engaged : float
        Amplitude of the driven tones far from the surface, and here, nm.
    looks : int
        Steps at which the amplitude was looked at.
    """

    z: float
    surface: float
    height: float
    uncertainty: float
    free: float
    engaged: float
    looks: int

    @property
    def ratio(self) -> float:
        """The engaged amplitude as a part of the free one."""
        return self.engaged / self.free


def check_approach(afm: Afm, guard: Guard, reach: float) -> MsgGenerator[None]:
    """Refuse an approach that the head cannot do or that cannot end well; nothing has moved.

    Parameters
    ----------
    afm : Afm
        The microscope.
    guard : Guard
        How it shall end.
    reach : float
        Of the free tip towards the surface, nm.

    Raises
    ------
    ValueError
        The engaged height lies out of the tip's reach.
    devices.wire.LimitError
        A height of the head is not allowed.
    """
    if guard.height is not None and not guard.height < reach:
        raise ValueError(
            f"height is {guard.height:g} nm, but the free tip reaches {reach:g} nm: it would not "
            "touch; take a smaller height or a greater amplitude"
        )
    start = guard.start
    if start is None:
        start = yield from read_now(afm.head.z)
    for height in (start, guard.lowest):
        afm.head.z.check_value(height)
    if guard.lowest >= start:
        raise ValueError(
            f"lowest is {guard.lowest:g} nm and start {start:g} nm: an approach goes downwards"
        )


def approach(afm: Afm, reach: float, guard: Guard = Guard()) -> MsgGenerator[Approach | None]:
    """Step the head down until the tip taps as asked, and declare it engaged.

    In coarse steps to the first touch, back by two of them, in fine ones to the touch again, and
    further to the asked amplitude or height. Use it in a run, before its first event of spectra,
    with the drive on: whatever stops it, the run withdraws the tip.

    Parameters
    ----------
    afm : Afm
        The microscope.
    reach : float
        Of the free tip towards the surface, nm: the sum of its flexural beats.
    guard : Guard
        How it ends, and what ends it before.

    Returns
    -------
    Approach or None
        None in a dry run, where nobody answers.

    Raises
    ------
    ApproachError
        No surface within range, an amplitude below the floor, or one that does not come down.
    """
    way = _Way(afm, guard)
    if guard.start is not None:
        yield from move_head(afm, guard.start)
    z = yield from read_now(afm.head.z)
    for _ in range(_FREE_LOOKS):
        if not (yield from way.look(z)):
            return None
    way.know_free()
    coarse = reach * _COARSE if guard.step is None else guard.step
    touched = yield from way.descend(z, coarse, way.touches)
    z = min(touched + _BACK_STEPS * coarse, z)
    yield from move_head(afm, z)
    fine = coarse * _FINE
    touched = yield from way.descend(z, fine, way.touches)
    surface = touched + 0.5 * fine - reach
    z = touched
    if guard.ratio is not None:
        if not way.reached(z):
            z = yield from way.descend(z, fine, way.reached)
    else:
        assert guard.height is not None
        z = yield from way.lower_to(z, surface + guard.height, fine)
    yield from bps.mv(afm.head.engaged, 1)
    uncertainty = math.hypot(0.5 * fine, _RANGE_NM)
    return Approach(z, surface, z - surface, uncertainty, way.free, way.amplitude, way.looks)


class _Way:
    """An approach under way: what was seen, and when it must not go on."""

    def __init__(self, afm: Afm, guard: Guard) -> None:
        self._afm, self._guard = afm, guard
        comb = afm.lockin.comb.get()
        driven = {place for axis in (FLEXURAL, TORSIONAL) for place in comb.driven(axis)}
        self._silent = [place for place in range(len(comb.tones)) if place not in driven]
        self._products = Signal(name=f"{afm.name}_approach_products_nm", value=0.0)
        self._change = self._loud = math.inf
        self._seen: list[tuple[float, float]] = []
        self.free = 0.0

    @property
    def looks(self) -> int:
        """How many looks there were."""
        return len(self._seen)

    @property
    def amplitude(self) -> float:
        """Of the driven tones at the last look, nm."""
        return self._seen[-1][0]

    def know_free(self) -> None:
        """Learn the free amplitude and what change of it is more than chance."""
        amplitudes, products = zip(*self._seen, strict=True)
        self.free = fmean(amplitudes)
        if self.free <= 0.0:
            raise ApproachError("nothing is driven: set the drive before an approach")
        self._change = max(_SIGNIFICANT * stdev(amplitudes), _LEAST_CHANGE * self.free)
        scatter = _SIGNIFICANT * stdev(products)
        self._loud = max(fmean(products) + scatter, _LEAST_PRODUCTS * self.free)

    def look(self, z: float) -> MsgGenerator[bool]:
        """Measure at `z` and record it; whether anybody answered."""
        yield from triggered(self._afm.lockin)
        spectra = self._afm.lockin.spectra.get()
        if not spectra.size:  # a dry run
            return False
        silent = spectra.mean(axis=0)[self._silent]
        products = _NM * float(np.linalg.norm(silent))
        yield from bps.mv(self._products, products)
        readings = yield from read_into("approach", self._afm.head, self._products)
        if not readings:
            return False
        self._seen.append((readings[self._afm.head.amplitude.name]["value"], products))
        if self.free and self.amplitude < self._guard.floor * self.free:
            raise ApproachError(
                f"the amplitude fell to {self.amplitude:.3g} nm at a head of {z:.1f} nm, below "
                f"{self._guard.floor:.0%} of the free {self.free:.3g} nm: the tip is withdrawn; "
                "approach in smaller steps, or ask for less"
            )
        return True

    def touches(self, z: float) -> bool:
        """Whether the surface is felt."""
        amplitude, products = self._seen[-1]
        return products > self._loud or abs(amplitude - self.free) > self._change

    def reached(self, z: float) -> bool:
        """Whether the amplitude is as small as asked."""
        assert self._guard.ratio is not None
        return self.amplitude <= self._guard.ratio * self.free

    def descend(self, z: float, step: float, until: Callable[[float], bool]) -> MsgGenerator[float]:
        """Step down until something is so; returns the height."""
        while True:
            z -= step
            if z < self._guard.lowest:
                raise ApproachError(
                    f"no surface within range: the head went down to {z + step:.1f} nm and the "
                    f"amplitude stayed {self.amplitude:.3g} nm of {self.free:.3g} nm; the tip is "
                    "withdrawn, lower the head's coarse stage or allow a smaller lowest"
                )
            yield from move_head(self._afm, z)
            yield from self.look(z)
            if until(z):
                return z

    def lower_to(self, z: float, target: float, step: float) -> MsgGenerator[float]:
        """Step down to a height, looking at every step."""
        for _ in range(math.ceil((z - target) / step - 1e-9)):
            z = max(z - step, target)
            yield from move_head(self._afm, z)
            yield from self.look(z)
        return z
