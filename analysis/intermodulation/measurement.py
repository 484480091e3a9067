"""What an intermodulation measurement is: tones far from the surface and near it, and the probe.

The force on the tip at each tone is the change of the deflection divided by the response of the
cantilever (Borysov et al., eq. 9, 10 and, for collinear modes, 19). A time signal is
x(t) = Re sum_n X_n exp(+i n 2 pi df t); all units are SI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .modes import AXES, Mode, response

__all__ = ["Measurement", "MeasurementError", "touched"]

# Beyond these a tone is no deflection of a cantilever in metres but in other units.
_LARGEST_M = 10e-6
_SMALLEST_M = 1e-15
# A tone belongs to a mode when it lies within this part of the mode's frequency: bands are some
# tens of df wide, and harmonics lie whole multiples away.
_BAND = 0.1
# Pixels that the test of contact may call touched by chance.
_FALSE_CONTACTS = 1e-6
# Change of a noiseless spectrum, as a part of the largest free tone, that is rounding only.
_ROUNDING = 1e-9


class MeasurementError(ValueError):
    """A measurement that cannot be what it says it is, or not enough for what is asked of it."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Deflection tones of one pixel or of many, free and engaged.

    Parameters
    ----------
    tones : array_like of int, shape (K,)
        Multiples of `df`, rising on each axis.
    free : array_like of complex, shape (K,)
        Deflection far from the surface, m.
    engaged : array_like of complex, shape (K,) or (pixels, K)
        Deflection near the surface, driven in the same way, m.
    noise : array_like, shape (K,)
        Standard deviation of the real and of the imaginary part of each engaged tone, m; 0 where
        there is none.
    modes : tuple of Mode
        The calibrated modes.
    df : float
        Distance of neighbouring tones, Hz.
    height : float or None
        Of the resting tip above the surface, m, where known.
    axes : tuple of {"z", "y"}, shape (K,)
        Which detector signal each tone belongs to; all z by default.
    free_noise : array_like, shape (K,), or None
        As `noise`, of the free spectrum. 0 by default: it can be averaged as long as one likes.

    Raises
    ------
    MeasurementError
        With one line that says what is wrong.
    """

    tones: NDArray[np.int64]
    free: NDArray[np.complex128]
    engaged: NDArray[np.complex128]
    noise: NDArray[np.float64]
    modes: tuple[Mode, ...]
    df: float
    height: float | None = None
    axes: tuple[str, ...] = ()
    free_noise: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        tones = _integers(self.tones)
        silent = np.zeros(tones.size)
        free_noise = silent if self.free_noise is None else self.free_noise
        for name, value, kind in (
            ("tones", tones, np.int64),
            ("free", self.free, np.complex128),
            ("engaged", self.engaged, np.complex128),
            ("noise", self.noise, np.float64),
            ("free_noise", free_noise, np.float64),
        ):
            object.__setattr__(self, name, _array(name, value, kind))
        object.__setattr__(self, "modes", tuple(self.modes))
        object.__setattr__(self, "axes", tuple(self.axes) or ("z",) * tones.size)
        self._check_shapes()
        self._check_tones()
        self._check_values()

    def _check_shapes(self) -> None:
        count = self.tones.size
        if self.tones.ndim != 1 or not count:
            raise MeasurementError(f"tones have shape {self.tones.shape}: (K,), K > 0, is wanted")
        for name in ("free", "noise", "free_noise"):
            shape = getattr(self, name).shape
            if shape != (count,):
                raise MeasurementError(
                    f"{name} has shape {shape}: ({count},) as the tones is wanted"
                )
        if self.engaged.ndim not in (1, 2) or self.engaged.shape[-1] != count:
            raise MeasurementError(
                f"engaged has shape {self.engaged.shape}: ({count},) or (pixels, {count}) is wanted"
            )
        if len(self.axes) != count:
            raise MeasurementError(f"{len(self.axes)} axes are given for {count} tones")

    def _check_tones(self) -> None:
        if not (math.isfinite(self.df) and self.df > 0.0):
            raise MeasurementError(f"df is {self.df}: it must be positive, in Hz")
        if self.height is not None and not (math.isfinite(self.height) and self.height > 0.0):
            raise MeasurementError(f"height is {self.height}: it must be positive, in m")
        if self.tones.min() < 0:
            raise MeasurementError(f"tone {self.tones.min()} is negative")
        for axis in dict.fromkeys(self.axes):
            if axis not in AXES:
                raise MeasurementError(f"axis {axis!r} is not one of {AXES}")
            if not any(mode.axis == axis for mode in self.modes):
                raise MeasurementError(f"there are tones along {axis} but no mode along {axis}")
            steps = np.diff(self.tones[self.on_axis(axis)])
            if (steps <= 0).any():
                raise MeasurementError(f"tones along {axis} do not rise, or one is there twice")

    def _check_values(self) -> None:
        for name in ("free", "engaged", "noise", "free_noise"):
            bad = np.count_nonzero(~np.isfinite(getattr(self, name)))
            if bad:
                raise MeasurementError(f"{name} holds {bad} values that are no finite numbers")
        for name in ("noise", "free_noise"):
            if getattr(self, name).min() < 0.0:
                raise MeasurementError(f"{name} is negative somewhere: a standard deviation, in m")
        largest = float(np.abs(self.free).max())
        if largest == 0.0:
            raise MeasurementError("the free spectrum is zero: lift the tip and measure it first")
        if largest < _SMALLEST_M:
            raise MeasurementError(
                f"no free tone is above {largest:.1e} m: amplitudes in metres are wanted"
            )
        largest = max(largest, float(np.abs(self.engaged).max(initial=0.0)))
        if largest > _LARGEST_M:
            raise MeasurementError(f"a tone has {largest:.3g} m: amplitudes in metres are wanted")

    @property
    def pixels(self) -> int:
        """How many engaged spectra there are."""
        return 1 if self.engaged.ndim == 1 else len(self.engaged)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Of the tones, Hz, shape (K,)."""
        return self.df * self.tones.astype(float)

    def on_axis(self, axis: str) -> NDArray[np.bool_]:
        """Return which tones are of the detector signal `axis`, shape (K,)."""
        return np.array([own == axis for own in self.axes], dtype=bool)

    def bands(self) -> tuple[NDArray[np.int64], ...]:
        """Return the places of the tones round each mode, in the order of `modes`.

        A tone belongs to the nearest mode of its axis, within a tenth of the mode's frequency;
        tone 0, harmonics and tones between the bands belong to none.
        """
        return tuple(np.flatnonzero(self._nearest() == i) for i in range(len(self.modes)))

    def _nearest(self) -> NDArray[np.int64]:
        distance = np.full((len(self.modes), self.tones.size), np.inf)
        for i, mode in enumerate(self.modes):
            own = self.on_axis(mode.axis)
            distance[i, own] = np.abs(self.frequencies[own] / mode.frequency - 1.0)
        nearest = np.argmin(distance, axis=0)
        return np.where(distance.min(axis=0) <= _BAND, nearest, -1)

    def response(self, axis: str = "z") -> NDArray[np.complex128]:
        """Return the response of the cantilever at the tones of `axis`, m/N."""
        return response(self.modes, self.frequencies[self.on_axis(axis)], axis)

    def force(self, axis: str = "z") -> NDArray[np.complex128]:
        """Return the force spectrum at the tones of `axis`, N, eq. 10 and 19.

        Returns
        -------
        ndarray of complex, shape (n,) or (pixels, n)
            For the n tones of `axis`, in their order.
        """
        own = self.on_axis(axis)
        return (self.engaged[..., own] - self.free[own]) / self.response(axis)

    def force_noise(self, axis: str = "z") -> NDArray[np.float64]:
        """Return the standard deviation of the real and imaginary part of `force`, N, (n,)."""
        own = self.on_axis(axis)
        return self.change_noise[own] / np.abs(self.response(axis))

    @property
    def change_noise(self) -> NDArray[np.float64]:
        """Standard deviation of the real and imaginary part of engaged less free, m, (K,)."""
        assert self.free_noise is not None
        return np.hypot(self.noise, self.free_noise)

    @property
    def rounding(self) -> float:
        """Change of a tone without noise, m, that is rounding only."""
        return _ROUNDING * float(np.abs(self.free).max())

    def select(self, mask: ArrayLike) -> Measurement:
        """Return the measurement with some of its tones: a mask or places, shape (K,) or fewer."""
        places = np.arange(self.tones.size)[np.asarray(mask)]
        assert self.free_noise is not None
        return replace(
            self,
            tones=self.tones[places],
            free=self.free[places],
            engaged=self.engaged[..., places],
            noise=self.noise[places],
            axes=tuple(self.axes[place] for place in places),
            free_noise=self.free_noise[places],
        )

    def pixel(self, number: int) -> Measurement:
        """Return the measurement of one pixel.

        Raises
        ------
        IndexError
            If there is no such pixel.
        """
        spectra = np.atleast_2d(self.engaged)
        if not 0 <= number < len(spectra):
            raise IndexError(f"pixel {number} is outside of 0..{len(spectra) - 1}")
        return replace(self, engaged=spectra[number])


def touched(measurement: Measurement) -> NDArray[np.bool_]:
    """Return whether the engaged tones differ from the free ones by more than noise.

    A chi-square test of the change over the tones that have noise, at one false contact in a
    million pixels; a tone without noise that changes by more than rounding is contact.

    Returns
    -------
    ndarray of bool, shape () or (pixels,)
    """
    from scipy import special  # takes long to import

    change = measurement.engaged - measurement.free
    noise = measurement.change_noise
    noisy = noise > 0.0
    statistic = np.sum(np.abs(change[..., noisy] / noise[noisy]) ** 2, axis=-1)
    freedom = 2 * np.count_nonzero(noisy)
    limit = special.chdtri(freedom, _FALSE_CONTACTS) if freedom else np.inf
    exact = np.abs(change[..., ~noisy]).max(axis=-1, initial=0.0) > measurement.rounding
    return np.asarray((statistic > limit) | exact)


def _array(name: str, value: ArrayLike, kind: type) -> NDArray:
    try:
        array = np.array(value, dtype=kind)
    except (TypeError, ValueError):
        raise MeasurementError(f"{name} cannot be read as an array of {kind.__name__}") from None
    array.setflags(write=False)
    return array


def _integers(tones: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(tones)
    if array.dtype.kind not in "iuf" or (array != np.round(array)).any():
        raise MeasurementError("tones are not whole multiples of df: integers are wanted")
    return array.astype(np.int64)
