"""Force against deflection and velocity, with its uncertainty and, where known, the true one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...intermodulation import ForceCurve
from ..style import letter
from ._style import BAND, FOUND, NM, NN, REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "Force",
    "cross_sections_figure",
    "draw_curve",
    "force_curve_figure",
    "force_plane_figure",
]

Force: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Force (N) on a tip at deflections z (m) with velocities (m/s)."""

_BAND_SIGMAS = 1.645  # 90 % of a normal distribution
_GRID = 301


def force_curve_figure(
    curve: ForceCurve, height: float | None = None, reference: Force | None = None
) -> Figure:
    """Draw conservative force and damping against the deflection.

    Parameters
    ----------
    curve : ForceCurve
        What was found.
    height : float, optional
        Of the resting tip, m: draws the surface.
    reference : callable, optional
        The true force.

    Returns
    -------
    matplotlib.figure.Figure
        10 by 4.4 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    draw_curve(figure, curve, height, reference)
    return figure


def draw_curve(
    figure: Figure | SubFigure,
    curve: ForceCurve,
    height: float | None = None,
    reference: Force | None = None,
    *,
    begin: int = 0,
) -> None:
    """Draw the panels of `force_curve_figure` into a figure or a part of one.

    Their letters go on from number `begin` of the alphabet.
    """
    left, right = figure.subplots(1, 2)
    z, still = curve.z, np.zeros_like(curve.z)
    bands = curve.bands
    _draw(left, z, NN * curve.conservative, None if bands is None else NN * bands.conservative)
    _draw(right, z, 1e6 * curve.damping, None if bands is None else 1e6 * bands.damping)
    if reference is not None:
        truth = reference(z, still)
        slow = 1e-3  # m/s: linear damping is the slope at rest
        slope = (truth - reference(z, still + slow)) / slow
        left.plot(NM * z, NN * truth, color=REFERENCE, lw=1.2, ls="--", label="true")
        right.plot(NM * z, 1e6 * slope, color=REFERENCE, lw=1.2, ls="--", label="true")
    left.set_ylabel("conservative force (nN)")
    right.set_ylabel("damping (µN s/m)")
    for panel in (left, right):
        panel.set_xlabel("deflection z from the rest point (nm)")
        panel.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        if height is not None:
            panel.axvline(-NM * height, color="0.5", lw=0.8, ls=":", label="surface")
        panel.legend(fontsize=8.5, frameon=False)
    letter((left, right), ("conservative", "dissipative"), begin)
    if not curve.verdict.ok:
        figure.supxlabel("not valid: " + "; ".join(curve.verdict.reasons), fontsize=8, color="0.2")


def _draw(
    panel: Axes,
    z: NDArray[np.float64],
    value: NDArray[np.float64],
    spread: NDArray[np.float64] | None,
) -> None:
    panel.plot(NM * z, value, color=FOUND, lw=1.4, label="found")
    if spread is not None:
        half = _BAND_SIGMAS * spread
        panel.fill_between(
            NM * z, value - half, value + half, color=BAND, alpha=0.45, lw=0, label="90 % band"
        )


def force_plane_figure(curve: ForceCurve, reference: Force, velocity: float) -> Figure:
    """Draw the true and the found force over deflection and velocity (fig. 6).

    Parameters
    ----------
    curve : ForceCurve
        What was found.
    reference : callable
        The true force.
    velocity : float
        Greatest velocity of the tip, m/s.

    Returns
    -------
    matplotlib.figure.Figure
        11 by 4.4 inches.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    z = np.linspace(curve.z[0], 0.0, _GRID)
    speed = np.linspace(-velocity, velocity, _GRID)
    plane = np.meshgrid(z, speed)
    true, found = NN * reference(*plane), NN * curve.force(*plane)
    largest = float(np.nanpercentile(np.abs(true), 99.5))
    figure = Figure(figsize=(11.0, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    scale = Normalize(-largest, largest)
    for panel, values in zip(panels, (true, found), strict=True):
        panel.pcolormesh(NM * z, speed, values, cmap="PuOr", norm=scale, rasterized=True)
        panel.set_xlabel("deflection z (nm)")
        for mark in (0.0, 0.2 * velocity):
            panel.axhline(mark, color="black", lw=0.8, ls="--")
        panel.axvline(0.75 * NM * curve.z[0], color="black", lw=0.8, ls="--")
    panels[0].set_ylabel("velocity (m/s)")
    figure.colorbar(ScalarMappable(scale, "PuOr"), ax=list(panels), label="force (nN)")
    letter(panels, ("true force; dashed: the sections of the next figure", "found"))
    return figure


def cross_sections_figure(curve: ForceCurve, reference: Force, velocity: float) -> Figure:
    """Draw sections of the force: at rest, moving less at rest, and against velocity (fig. 7).

    Parameters
    ----------
    curve, reference, velocity
        As for `force_plane_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        13 by 4.2 inches.
    """
    from matplotlib.figure import Figure

    z = np.linspace(curve.z[0], 0.0, _GRID)
    still, moving = np.zeros_like(z), np.full_like(z, 0.2 * velocity)
    speed = np.linspace(-velocity, velocity, _GRID)
    deep = np.full_like(speed, 0.75 * curve.z[0])
    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for name, force, color, dash in (
        ("true", reference, REFERENCE, "--"),
        ("found", curve.force, FOUND, "-"),
    ):
        style = {"color": color, "ls": dash, "lw": 1.4, "label": name}
        panels[0].plot(NM * z, NN * force(z, still), **style)
        panels[1].plot(NM * z, NN * (force(z, moving) - force(z, still)), **style)
        panels[2].plot(speed, NN * force(deep, speed), **style)
    for panel in panels:
        panel.set_ylabel("force (nN)")
        panel.legend(fontsize=8.5, frameon=False)
    for panel in panels[:2]:
        panel.set_xlabel("deflection z (nm)")
    panels[2].set_xlabel("velocity (m/s)")
    letter(
        panels,
        (
            "at rest",
            f"at {0.2 * velocity:.2g} m/s, less at rest",
            f"at z = {0.75 * NM * curve.z[0]:.1f} nm",
        ),
    )
    return figure
