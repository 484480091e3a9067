"""What temperature and detector add to the tones.

The force of the heat bath on a mode is white with the one-sided density
sqrt(4 kB T k / (Q omega_0)) (fluctuation-dissipation theorem, Callen and Welton, Phys. Rev. 83, 34
(1951)); the mode's response makes of it the thermal motion. A detector adds white noise. A tone is
measured over a whole period, so noise enters it from a band of one over the time.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann

from sim.cantilever.model import AXES, Cantilever, Spectra, Tones

__all__ = ["add_noise", "thermal_noise", "tone_noise"]


def thermal_noise(
    cantilever: Cantilever, frequencies: ArrayLike, temperature: float, axis: str = "z"
) -> NDArray[np.float64]:
    """Return the thermal motion of the free cantilever.

    Parameters
    ----------
    cantilever : Cantilever
        What is warm.
    frequencies : array_like, shape (n,)
        Hz.
    temperature : float
        K.
    axis : str
        "z" or "y".

    Returns
    -------
    ndarray, shape (n,)
        One-sided amplitude density, m / sqrt(Hz).
    """
    _at_least_zero("temperature", temperature)
    if axis not in AXES:
        raise ValueError(f'axis {axis!r} is not allowed: "z" or "y"')
    power = np.zeros(np.shape(frequencies))
    for mode in cantilever.modes:
        if mode.axis == axis:
            resistance = mode.spring_constant / (mode.quality_factor * 2 * math.pi * mode.frequency)
            force = 4 * Boltzmann * temperature * resistance
            power = power + force * np.abs(mode.response(frequencies)) ** 2
    return np.sqrt(power)


def tone_noise(
    cantilever: Cantilever,
    frequencies: ArrayLike,
    duration: float,
    *,
    temperature: float = 300.0,
    detector: float = 0.0,
    axis: str = "z",
) -> NDArray[np.float64]:
    """Return the noise of tones, thermal and of the detector.

    Parameters
    ----------
    cantilever : Cantilever
        What is warm.
    frequencies : array_like, shape (n,)
        Of the tones, Hz.
    duration : float
        Time over which the tones are measured, s.
    temperature : float
        K.
    detector : float
        One-sided amplitude density of the detector's noise, m / sqrt(Hz).
    axis : str
        "z" or "y".

    Returns
    -------
    ndarray, shape (n,)
        Standard deviation of the real and of the imaginary part, m. A noise of density S gives
        the amplitude of a tone the variance 2 S / T, half of it in each part.
    """
    _at_least_zero("detector", detector)
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"duration {duration!r} s is not allowed: a positive number")
    density = np.hypot(thermal_noise(cantilever, frequencies, temperature, axis), detector)
    return density / math.sqrt(duration)


def add_noise(
    spectra: Spectra,
    cantilever: Cantilever,
    df: float,
    tones: Tones,
    *,
    rng: np.random.Generator,
    periods: int = 1,
    temperature: float = 300.0,
    detector: float = 0.0,
) -> Spectra:
    """Return `spectra` with noise on every tone of every pixel.

    Parameters
    ----------
    spectra : Spectra
        Without noise.
    cantilever : Cantilever
        What is warm.
    df : float
        Base frequency, Hz.
    tones : Tones
        Which tones the spectra hold.
    rng : numpy.random.Generator
        Where the noise comes from.
    periods : int
        How many periods 1 / df are measured.
    temperature : float
        K.
    detector : float
        One-sided amplitude density of the detector's noise, m / sqrt(Hz).

    Returns
    -------
    Spectra
        A mean (tone 0) stays real.
    """
    noisy = {}
    for axis in AXES:
        numbers = np.array(getattr(tones, axis), np.float64)
        values = getattr(spectra, axis)
        if values.shape[1] != numbers.size:
            raise ValueError(
                f"{values.shape[1]} tones of {axis} are not allowed: {numbers.size} are named"
            )
        scale = tone_noise(
            cantilever, numbers * df, periods / df,
            temperature=temperature, detector=detector, axis=axis,
        )  # fmt: skip
        parts = rng.normal(size=(2, *values.shape)) * scale
        mean = numbers == 0
        # a mean has one part only, and no factor 2 between the parts of +f and -f
        parts[0][:, mean] /= math.sqrt(2)
        parts[1][:, mean] = 0
        noisy[axis] = values + parts[0] + 1j * parts[1]
    return replace(spectra, **noisy)


def _at_least_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} {value!r} is not allowed: a number, zero or more")
