"""The comb in and the comb out: spectra of the motion, the response, powers of the motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...intermodulation import Measurement, motion, response
from ...intermodulation.motion import minimum_samples, spectrum
from ..style import letter
from ._style import ENGAGED, FREE, NM, NOISE, UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["comb_figure", "draw_spectrum", "powers_figure", "response_figure", "spectrum_figure"]

_PICO = 1e12  # pm in a m
_KHZ = 1e-3
_POWERS = (1, 2, 3, 4, 5)
_COMB_PANELS = ("the tip; grey the sample", "tones of the first band")


def spectrum_figure(measurement: Measurement) -> Figure:
    """Draw free and engaged amplitude of every tone, a panel a band (fig. 3 and its insets).

    Parameters
    ----------
    measurement : Measurement
        Of one pixel.

    Returns
    -------
    matplotlib.figure.Figure
        4.4 inches high, 5 wide a band.
    """
    from matplotlib.figure import Figure

    bands = sum(places.size > 0 for places in measurement.bands())
    figure = Figure(figsize=(5.0 * bands, 4.4), layout="constrained")
    draw_spectrum(figure, measurement)
    return figure


def draw_spectrum(figure: Figure | SubFigure, measurement: Measurement) -> None:
    """Draw the panels of `spectrum_figure` into a figure or a part of one."""
    bands = [places for places in measurement.bands() if places.size]
    panels = figure.subplots(1, len(bands), squeeze=False, sharey=True)[0]
    for panel, places in zip(panels, bands, strict=True):
        _draw_band(panel, measurement, places)
    panels[0].set_ylabel("amplitude (pm)")
    panels[0].legend(loc="upper right", fontsize=8.5, frameon=False)
    names = [
        f"{UNIT[mode.axis]} mode at {_KHZ * mode.frequency:.1f} kHz"
        for mode, places in zip(measurement.modes, measurement.bands(), strict=True)
        if places.size
    ]
    letter(panels, names)


def _draw_band(panel: Axes, measurement: Measurement, places: NDArray[np.int64]) -> None:
    khz = _KHZ * measurement.frequencies[places]
    free = _PICO * np.abs(measurement.free[places])
    engaged = _PICO * np.abs(measurement.engaged[places])
    noise = _PICO * np.sqrt(2.0) * measurement.noise[places]
    floor = max(noise.max(), 1e-4 * engaged.max())
    width = 0.3 * _KHZ * measurement.df
    driven = free > 3.0 * floor
    panel.vlines(khz, 0.1 * floor, engaged, color=ENGAGED, lw=1.4)
    panel.plot(khz, engaged, "o", color=ENGAGED, ms=3.5, label="engaged")
    panel.plot(khz[driven] + width, free[driven], "s", color=FREE, ms=5.0, label="free")
    panel.vlines(khz[driven] + width, 0.1 * floor, free[driven], color=FREE, lw=1.4, ls="--")
    if noise.max() > 0.0:
        panel.plot(khz, noise, color=NOISE, lw=1.0, ls=":", label="noise")
    panel.set_yscale("log")
    panel.set_ylim(bottom=0.3 * floor)
    panel.set_xlabel("frequency (kHz)")


def comb_figure(measurement: Measurement, reach: float = 2e-9) -> Figure:
    """Draw one beat of the motion, free and engaged, and the tones that the contact makes (fig. 1).

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, with its height.
    reach : float
        Characteristic range of the force above the surface, m, drawn as a dashed line.

    Returns
    -------
    matplotlib.figure.Figure
        11 by 6 inches.
    """
    from dataclasses import replace

    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, width_ratios=[1.1, 1.0], sharex="col", sharey="col")
    states = (
        (replace(measurement, engaged=measurement.free), FREE),
        (measurement, ENGAGED),
    )
    band = next(places for places in measurement.bands() if places.size)
    height = 0.0 if measurement.height is None else measurement.height
    for row, (state, color) in zip(panels, states, strict=True):
        moved = motion(state, degree=1)
        period = np.linspace(0.0, 1e3 / state.df, moved.z.size, endpoint=False)
        step = max(1, moved.z.size // 20_000)
        row[0].plot(period[::step], NM * (height + moved.z[::step]), color=color, lw=0.3)
        row[0].axhspan(NM * (height + moved.z.min()) - 3.0, 0.0, color="0.85", lw=0)
        row[0].axhline(NM * reach, color="black", lw=1.0, ls="--")
        row[0].set_ylabel("distance from the surface (nm)")
        amplitude = _PICO * np.abs(state.engaged[band])
        shown = amplitude > 1e-5 * amplitude.max()
        khz = _KHZ * state.frequencies[band]
        row[1].vlines(khz[shown], 1e-3, amplitude[shown], color=color, lw=2.0)
        row[1].set_yscale("log")
        row[1].set_ylabel("amplitude (pm)")
    floor = 0.3 * _PICO * np.abs(measurement.engaged[band]).min()
    panels[0, 1].set_ylim(bottom=floor)
    titles = [f"{name}: {what}" for name in ("free", "engaged") for what in _COMB_PANELS]
    letter(panels.flat, titles)
    panels[1, 0].set_xlabel("time (ms)")
    panels[1, 1].set_xlabel("frequency (kHz)")
    return figure


def response_figure(measurement: Measurement, axis: str = "z") -> Figure:
    """Draw the response of the modes along `axis` and their sum (fig. 4).

    Parameters
    ----------
    measurement : Measurement
        Knows the modes and the tones.
    axis : {"z", "y"}

    Returns
    -------
    matplotlib.figure.Figure
        8 by 4.4 inches.
    """
    from matplotlib.figure import Figure

    own = [mode for mode in measurement.modes if mode.axis == axis]
    lowest, highest = own[0].frequency, own[-1].frequency
    grid = np.linspace(0.2 * lowest, 1.3 * highest, 4000)
    near = [mode.frequency * (1 + np.linspace(-0.02, 0.02, 801)) for mode in own]
    frequencies = np.sort(np.concatenate([grid, *near]))
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    panel = figure.subplots()
    for mode, dash in zip(own, ("--", ":", "-."), strict=False):
        single = np.abs(response((mode,), frequencies, axis))
        words = f"{1e-3 * mode.frequency:.1f} kHz alone"
        panel.plot(_KHZ * frequencies, single, ls=dash, lw=1.6, label=words)
    total = np.abs(response(own, frequencies, axis))
    panel.plot(_KHZ * frequencies, total, color="black", lw=1.0, label="all modes")
    for places in measurement.bands():
        if places.size and measurement.axes[places[0]] == axis:
            khz = _KHZ * measurement.frequencies[places]
            panel.axvspan(khz.min(), khz.max(), color=ENGAGED, alpha=0.25, lw=0)
    panel.set_yscale("log")
    panel.set_xlabel("frequency (kHz); shaded: where tones are measured")
    panel.set_ylabel("response (m/N)")
    panel.legend(fontsize=8.5, frameon=False)
    return figure


def powers_figure(measurement: Measurement, powers: ArrayLike = _POWERS) -> Figure:
    """Draw the spectra of powers of the motion, and where the bands lie in them (fig. 5a).

    Only odd powers have tones in the bands: even ones must come from elsewhere (eq. 20).

    Parameters
    ----------
    measurement : Measurement
        Of one pixel.
    powers : array_like of int
        Which.

    Returns
    -------
    matplotlib.figure.Figure
        9 inches wide, 1.5 high a power.
    """
    from matplotlib.figure import Figure

    chosen = np.atleast_1d(np.asarray(powers, dtype=int))
    highest = int(measurement.tones.max())
    samples = minimum_samples(highest, int(chosen.max()))
    z = motion(measurement, samples).z
    z = z / np.abs(z).max()
    figure = Figure(figsize=(9.0, 1.5 * chosen.size + 0.8), layout="constrained")
    panels = figure.subplots(chosen.size, 1, sharex=True, squeeze=False)[:, 0]
    last = int(1.15 * highest)
    for panel, power in zip(panels, chosen, strict=True):
        amplitude = np.abs(spectrum(z**power)[:last])
        tones = np.flatnonzero(amplitude > 1e-6 * amplitude.max())
        khz = _KHZ * measurement.df * tones
        panel.vlines(khz, 1e-6, amplitude[tones], color="black", lw=0.8)
        for places in measurement.bands():
            if places.size:
                middle = _KHZ * measurement.frequencies[places].mean()
                half = 0.012 * _KHZ * measurement.df * last
                panel.axvspan(middle - half, middle + half, color=ENGAGED, alpha=0.25, lw=0)
        panel.set_yscale("log")
        panel.set_ylim(1e-6, 3.0)
        panel.set_ylabel(f"$|F[z^{power}]|$")
    panels[-1].set_xlabel("frequency (kHz); shaded: the measured bands, drawn wider than they are")
    return figure
