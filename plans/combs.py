"""Which tones are driven and measured in intermodulation AFM.

Borysov et al., section III and eq. 8: two tones one base frequency apart on each side of each
resonance make a beat, and what the surface does to it appears as intermodulation products in a
narrow band about them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.intermodulation.modes import Mode
from devices.comb import FLEXURAL, TORSIONAL, Comb

__all__ = ["Band", "Excitation", "paper_comb"]

_NM = 1e9


@dataclass(frozen=True)
class Band:
    """What is driven and measured about one resonance.

    Parameters
    ----------
    driven : tuple of int
        Driven tones.
    measured : tuple of int
        Measured tones, rising.
    amplitude : float
        Free amplitude of the tip at the maximum of the beat, nm: the sum of the driven tones.
    axis : int
        0 flexural, 1 torsional.
    """

    driven: tuple[int, ...]
    measured: tuple[int, ...]
    amplitude: float
    axis: int = FLEXURAL


@dataclass(frozen=True)
class Excitation:
    """A comb whose drive is told by what the free tip shall do, not by volts.

    Parameters
    ----------
    df : float
        Base frequency, Hz.
    bands : tuple of Band
        One for each driven resonance.

    Raises
    ------
    ValueError
        Bands that share tones, or an amplitude that is not above 0.
    """

    df: float
    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        measured = [(band.axis, tone) for band in self.bands for tone in band.measured]
        driven = [tone for band in self.bands for tone in band.driven]
        if not self.bands or len(set(measured)) < len(measured) or len(set(driven)) < len(driven):
            raise ValueError(
                "bands share tones, or there is none: take a smaller df, fewer tones a band, or "
                "modes that lie farther apart"
            )
        for band in self.bands:
            if not (math.isfinite(band.amplitude) and band.amplitude > 0.0):
                raise ValueError(f"amplitude is {band.amplitude:g} nm: it must be above 0")

    @property
    def pixel_s(self) -> float:
        """Seconds that a pixel takes."""
        return 1.0 / self.df

    @property
    def reach(self) -> float:
        """Farthest that the free tip goes towards the surface, nm: all flexural beats at once."""
        return sum(band.amplitude for band in self.bands if band.axis == FLEXURAL)

    @property
    def tones(self) -> int:
        """How many tones are measured."""
        return sum(len(band.measured) for band in self.bands)

    def _ordered(self) -> list[tuple[int, int, int]]:
        """Axis, tone and band of each measured tone, flexural ones first, rising."""
        return sorted(
            (band.axis, tone, number)
            for number, band in enumerate(self.bands)
            for tone in band.measured
        )

    def comb(self, volts: Sequence[float]) -> Comb:
        """Make the comb.

        Parameters
        ----------
        volts : sequence of float
            Amplitude of every driven tone of each band, V; 0 does not drive a band.
        """
        ordered = self._ordered()
        drive = [
            (tone, float(amplitude))
            for band, amplitude in zip(self.bands, volts, strict=True)
            for tone in band.driven
            if amplitude
        ]
        return Comb(
            df=self.df,
            tones=tuple(tone for _, tone, _ in ordered),
            axes=tuple(axis for axis, _, _ in ordered),
            drive_tones=tuple(tone for tone, _ in drive),
            drive_amplitude=tuple(amplitude for _, amplitude in drive),
        )

    def beats(self, spectra: NDArray[np.complex128]) -> list[float]:
        """Amplitude of each band at the maximum of its beat.

        Parameters
        ----------
        spectra : ndarray of complex, shape (pixels, tones)
            Of the comb, m.

        Returns
        -------
        list of float
            nm; of the mean spectrum, the sum of the driven tones.
        """
        mean = spectra.mean(axis=0)
        found = [0.0] * len(self.bands)
        for place, (_, tone, number) in enumerate(self._ordered()):
            if tone in self.bands[number].driven:
                found[number] += _NM * float(np.abs(mean[place]))
        return found


def paper_comb(
    modes: Sequence[Mode],
    df: float,
    amplitudes: Sequence[float],
    *,
    tones_a_band: int = 24,
) -> Excitation:
    """Two driven tones about each resonance, and a band of measured ones about these.

    With n the last tone below a resonance, n and n + 1 are driven (eq. 8) and, of 24, n - 11 to
    n + 12 measured, as in the paper's case of two collinear modes.

    Parameters
    ----------
    modes : sequence of Mode
        The resonances.
    df : float
        Base frequency, Hz.
    amplitudes : sequence of float
        Free amplitude of each mode at the maximum of its beat, nm; 0 leaves a mode out.
    tones_a_band : int
        Even, at least 4.

    Returns
    -------
    Excitation

    Raises
    ------
    ValueError
        Not one amplitude a mode, tones that no comb could have, bands that share tones.
    """
    if len(amplitudes) != len(modes):
        raise ValueError(f"{len(amplitudes)} amplitudes for {len(modes)} modes: give one a mode")
    if tones_a_band < 4 or tones_a_band % 2:
        raise ValueError(f"tones_a_band is {tones_a_band}: an even number from 4 is needed")
    if not (math.isfinite(df) and df > 0.0):
        raise ValueError(f"df is {df:g} Hz: it must be above 0")
    bands = []
    for mode, amplitude in zip(modes, amplitudes, strict=True):
        if amplitude == 0.0:
            continue
        n = math.floor(mode.frequency / df)
        half = tones_a_band // 2
        if n - half + 1 < 1:
            raise ValueError(
                f"df {df:g} Hz is too coarse for a resonance at {mode.frequency:g} Hz with "
                f"{tones_a_band} tones a band"
            )
        axis = TORSIONAL if mode.axis == "y" else FLEXURAL
        measured = tuple(range(n - half + 1, n + half + 1))
        bands.append(Band((n, n + 1), measured, float(amplitude), axis))
    return Excitation(float(df), tuple(bands))
