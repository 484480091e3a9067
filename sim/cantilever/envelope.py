"""How fast can the tones of a whole image be had? By following the slow envelope only.

Near their resonances the modes are a fast oscillation with slow complex amplitudes. Averaging the
force over the fast phases (Borysov et al., section III, gives the modes; the averaging is to second
order, see `sim.cantilever._envelope_average`) leaves two equations that a hundred steps a beat
follow. The tones come from the averaged force through the full linear response, so that the free
motion is exact.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cantilever._envelope_average import Orbits
from sim.cantilever._envelope_carriers import Carriers, band_motion
from sim.cantilever._envelope_march import march
from sim.cantilever._envelope_table import Tables, suited_grid
from sim.cantilever.model import Cantilever, Drive, Spectra, Tones, free_spectra
from sim.forces import Force

__all__ = ["EnvelopeEngine"]

Complex = NDArray[np.complex128]

_CHUNK = 1024  # pixels at a time: their forces stay in the cache
_GOLDEN = (1 + math.sqrt(5)) / 2  # a second phase that is not there must meet no overtone
_HEIGHTS = (1e-9, 1e-6)  # m
_DEEPER = 4.0  # times the energy for a second table, where the first was left
_ATTEMPTS = 4
_LEAST_REACH = 1e-9  # m; a table over less would be all ends
# of the largest force; 0.03 at most in the paper's cases, 0.23 where 128 steps leave 3e-3
_ROUGH = 0.08


@dataclass(frozen=True)
class _Record:
    """What the compiled loop fills: see `march`; `clock` is when it was measured, in steps."""

    clock: float
    pull: Complex
    ends: Complex
    closest: NDArray[np.float64]
    outside: NDArray[np.bool_]
    rough: NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """What does not change from pixel to pixel; `wanted` has tones and bands of z and of y."""

    cantilever: Cantilever
    df: float
    carriers: Carriers
    wanted: tuple[tuple[NDArray, NDArray], ...]

    def tones(self, record: _Record, steps: int) -> list[Complex]:
        """Return what the averaged force adds to the wanted tones along z and along y, m.

        The force is not periodic until the motion has settled: the change of the amplitudes over
        the period is what the Fourier integral leaves at its ends.
        """
        spectrum = np.fft.fft(record.pull, axis=2) / steps
        change = (record.ends[:, 1] - record.ends[:, 0]) * self.df
        found = []
        for (tones, bands), axis in zip(self.wanted, "zy", strict=True):
            away = tones - self.carriers.tones[bands]
            slow = 2j * np.pi * self.df * away - self.carriers.decay[bands]
            response = self.cantilever.response(tones * self.df, axis)
            phase = np.exp(-2j * np.pi * away * record.clock / steps)
            found.append((spectrum[:, bands, away] * response - change[:, bands] / slow) * phase)
        return found


class EnvelopeEngine:
    """Averaged motion of one flexural mode, of two, or of a flexural and a torsional mode.

    On the paper's two flexural modes the tones are within 3e-4 of the converged motion for linear
    damping. The tables of a force law take some tenths of a second and are kept.

    Parameters
    ----------
    steps : int
        Steps of one period 1 / df. Tones up to a quarter of it from a mode can be had.
    settling : float
        How long the motion settles before it is measured, in decay times 2 Q / w of the slowest
        mode; it begins where the beat is smallest.
    materials : int
        For how many force laws the tables are kept, and how many one call may have.

    Raises
    ------
    ValueError
        When a parameter cannot be.
    """

    def __init__(self, steps: int = 128, settling: float = 6.0, materials: int = 64) -> None:
        if steps < 16 or steps % 4:
            raise ValueError(f"steps {steps!r} is not allowed: a multiple of four, 16 or more")
        if not (math.isfinite(settling) and settling >= 0):
            raise ValueError(f"settling {settling!r} is not allowed: zero or more decay times")
        if materials < 1:
            raise ValueError(f"materials {materials!r} is not allowed: one or more")
        self.steps = steps
        self.settling = settling
        self.materials = materials
        self._kept: OrderedDict[tuple, Tables] = OrderedDict()

    def simulate(
        self,
        cantilever: Cantilever,
        drive: Drive,
        forces: Force | Sequence[Force],
        heights: ArrayLike,
        tones: Tones,
    ) -> Spectra:
        """Let the driven cantilever settle over each pixel, then give its tones.

        Parameters
        ----------
        cantilever : Cantilever
            One mode along z; two along z; or one along z and then one along y.
        drive : Drive
            Its tones must lie within a quarter of `steps` of the modes.
        forces : Force or sequence of Force
            The law of all pixels, or one a pixel.
        heights : array_like, shape (pixels,)
            Height of the resting tip above the surface, 1 nm to 1 um.
        tones : Tones
            What is wanted, within a quarter of `steps` of the modes.

        Returns
        -------
        Spectra
            `closest` is the envelope's, without the shift of the orbit by the force (some 10 pm).

        Raises
        ------
        ValueError
            When modes, drive, tones or heights are not of the kinds above, when there are more
            laws than `materials`, or when a tip goes deeper than any table reaches.
        """
        heights = _checked(heights)
        carriers = self._carriers(cantilever, drive)
        wanted = tuple(self._bands(carriers, tones, axis) for axis in "zy")
        task = _Task(cantilever, drive.df, carriers, wanted)
        groups = self._groups(forces, heights.size)
        free = free_spectra(cantilever, drive, tones)
        found = [np.repeat(of_axis, heights.size, axis=0) for of_axis in (free.z, free.y)]
        closest = np.empty(heights.size)
        for force, pixels in groups:
            ordered = pixels[np.argsort(heights[pixels], kind="stable")]
            for begin in range(0, ordered.size, _CHUNK):
                chunk = ordered[begin : begin + _CHUNK]
                spectra = self._chunk(task, force, heights[chunk])
                closest[chunk] = spectra[2]
                for axis in range(2):
                    found[axis][chunk] += spectra[axis]
        return Spectra(found[0], found[1], closest)

    def _carriers(self, cantilever: Cantilever, drive: Drive) -> Carriers:
        modes = cantilever.modes
        axes = "".join(mode.axis for mode in modes)
        if axes not in ("z", "zz", "zy") or modes[0].frequency > modes[-1].frequency:
            raise ValueError(
                f"modes along {', '.join(axes)} are not allowed here: "
                "the envelope engine takes z, z and z, or z and y, the lower frequency first"
            )
        df, count = drive.df, len(modes)
        tones = np.array([round(mode.frequency / df) for mode in modes])
        rates = math.tau * df * tones
        own = np.array([math.tau * mode.frequency for mode in modes])
        quality = np.array([mode.quality_factor for mode in modes])
        stiffness = np.array([mode.spring_constant for mode in modes])
        swing = np.sqrt(1 - 1 / (4 * quality**2))
        decay, gain = np.zeros((2, 2), np.complex128)
        decay[:count] = own * (-1 / (2 * quality) + 1j * swing) - 1j * rates
        gain[:count] = -1j * own / (2 * stiffness * swing)
        second = (rates[1], stiffness[1]) if count == 2 else (_GOLDEN * rates[0], math.inf)
        orbits = Orbits((rates[0], second[0]), (stiffness[0], second[1]), axes == "zy")
        bands = self._nearest(tones, np.array(drive.tones), "drive")
        away = np.array(drive.tones) - tones[bands]
        motion = band_motion(cantilever, drive, bands)
        strength = np.abs(drive.forces).sum(axis=1)
        return Carriers(tones, axes, orbits, decay, gain, away, motion, strength)

    def _nearest(self, carriers: NDArray, tones: NDArray, of: str) -> NDArray[np.int64]:
        """Return the number of the carrier next to each tone, or refuse tones that are far."""
        if not tones.size:
            return np.zeros(0, np.int64)
        away = np.abs(tones[:, None] - carriers[None, :])
        far = away.min(axis=1) > self.steps // 4
        if far.any():
            raise ValueError(
                f"{of} tone {tones[far][0]} is not allowed here: with {self.steps} steps the "
                f"envelope has tones within {self.steps // 4} of "
                f"{' and '.join(str(carrier) for carrier in carriers)}"
            )
        return away.argmin(axis=1)

    def _bands(self, carriers: Carriers, tones: Tones, axis: str) -> tuple[NDArray, NDArray]:
        """Return the wanted tones of an axis and the mode to whose band each belongs."""
        wanted = np.array(getattr(tones, axis), np.int64)
        present = [number for number, of in enumerate(carriers.axes) if of == axis]
        if not present:
            if wanted.size:
                raise ValueError(f"tones of {axis} are not allowed: no mode moves along it")
            return wanted, wanted.copy()
        bands = self._nearest(carriers.tones[present], wanted, f"{axis} tones:")
        return wanted, np.array(present)[bands]

    def _groups(self, forces: Force | Sequence[Force], pixels: int) -> list[tuple[Force, NDArray]]:
        """Return each law with the pixels that have it."""
        if isinstance(forces, Force):
            return [(forces, np.arange(pixels))]
        if len(forces) != pixels:
            raise ValueError(
                f"{len(forces)} forces are not allowed: one, or one for each of {pixels} pixels"
            )
        identities = {number: _identity(force) for number, force in _objects(forces).items()}
        laws: dict[tuple, tuple[Force, list[int]]] = {}
        for pixel, force in enumerate(forces):
            laws.setdefault(identities[id(force)], (force, []))[1].append(pixel)
        if len(laws) > self.materials:
            raise ValueError(
                f"{len(laws)} different force laws are not allowed: {self.materials} at most, "
                "each needs its own tables"
            )
        return [(force, np.array(members)) for force, members in laws.values()]

    def _chunk(
        self,
        task: _Task,
        force: Force,
        heights: NDArray[np.float64],
        finer: int = 0,
        deeper: int = 0,
    ) -> list[NDArray]:
        """Return what the force adds to the tones along z and y, and the closest approach.

        Pixels whose force was too rough for the steps are followed again with half of the step, and
        those that left the tables with deeper ones as well.
        """
        tables = self._tables(task.carriers, force, heights, _DEEPER**deeper)
        steps = self.steps * 2**finer
        record = self._follow(task, tables, heights, steps)
        found = [*task.tones(record, steps), record.closest]
        rough = ~record.outside & (record.rough > _ROUGH)
        for again, more in ((rough, 0), (record.outside, 1)):
            if not again.any():
                continue
            if finer == _ATTEMPTS:
                raise ValueError(
                    f"height {heights[again][0] * 1e9:.2f} nm is not allowed: over this surface "
                    f"the envelope is not resolved by {steps} steps"
                )
            better = self._chunk(task, force, heights[again], finer + 1, deeper + more)
            for of_all, of_these in zip(found, better, strict=True):
                of_all[again] = of_these
        return found

    def _follow(
        self, task: _Task, tables: Tables, heights: NDArray[np.float64], steps: int
    ) -> _Record:
        carriers = task.carriers
        step = 1 / (task.df * steps)
        slowest = 1 / np.min(-carriers.decay.real[: len(carriers.axes)])
        settling = math.ceil(self.settling * slowest / step)
        free = carriers.free(steps)
        start = int(np.argmin(np.abs(free).sum(axis=1)))
        first, of_heights = tables.between(heights.min(), heights.max())
        pixels = heights.size
        record = _Record(
            start / 2 + settling,
            np.empty((pixels, 2, steps), np.complex128),
            np.empty((pixels, 2, 2), np.complex128),
            np.empty(pixels),
            np.empty(pixels, np.bool_),
            np.empty(pixels),
        )
        lateral = carriers.orbits.lateral
        march(lateral)(
            heights,
            of_heights.reshape(len(of_heights), -1),
            first,
            tables.shape,
            (tables.grid.deepest, tables.grid.centre, tables.grid.scale),
            (tables.shape[1] - 1) / (tables.sideways if lateral else 1.0),
            free.view(np.float64),
            carriers.stages(step),
            (start, settling),
            record.pull,
            record.ends,
            record.closest,
            record.outside,
            record.rough,
        )
        return record

    def _tables(
        self, carriers: Carriers, force: Force, heights: NDArray[np.float64], deeper: float
    ) -> Tables:
        """Return the tables of a law that reach deep enough for the drive, kept ones if there."""
        largest = np.abs(carriers.free(self.steps)).max(axis=0)
        reach = 1.5 * float(largest[0] if carriers.orbits.lateral else largest.sum())
        sideways = 1.25 * float(largest[1]) if carriers.orbits.lateral else 0.0
        # in one contact a tip does not spend more than the drive can give in a cycle
        along = [number for number, axis in enumerate(carriers.axes) if axis == "z"]
        energy = deeper * float(sum(carriers.drive[n] * largest[n] for n in along))
        # half of the way in, and slowing down: a quarter of the greatest speed
        speed = 0.25 * float(sum(carriers.orbits.frequencies[n] * largest[n] for n in along))
        key = (*_identity(force), carriers.orbits, round(math.log2(energy or 1e-30), 6), sideways)
        if key not in self._kept:
            lowest = float(heights.min()) - max(reach * deeper ** (1 / 3), _LEAST_REACH)
            grid = suited_grid(force, energy, speed, float(heights.max()), lowest)
            response = carriers.orbits.response()
            self._kept[key] = Tables(force, carriers.orbits, response, grid, sideways)
        self._kept.move_to_end(key)
        while len(self._kept) > self.materials:
            self._kept.popitem(last=False)
        return self._kept[key]


def _identity(force: Force) -> tuple:
    return (force.kernels, force.parameters.tobytes())


def _objects(forces: Sequence[Force]) -> dict[int, Force]:
    """Return each object once: an image has many pixels and few of them."""
    return {id(force): force for force in forces}


def _checked(heights: ArrayLike) -> NDArray[np.float64]:
    heights = np.array(heights, np.float64)
    if heights.ndim != 1 or not heights.size:
        raise ValueError(f"heights of shape {heights.shape} are not allowed: (pixels,)")
    low, high = _HEIGHTS
    bad = ~((heights >= low) & (heights <= high))
    if bad.any():
        raise ValueError(
            f"height {heights[bad][0] * 1e9:g} nm is not allowed: "
            f"{low * 1e9:g} to {high * 1e9:g} nm above the surface"
        )
    return heights
