"""Forces along and across the surface, over deflection and lateral position."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..style import letter
from ._style import FOUND, NM, NN, REFERENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LateralForce", "lateral_plane_figure", "lateral_sections_figure"]

LateralForce: TypeAlias = Callable[
    [NDArray[np.float64], NDArray[np.float64]],
    tuple[NDArray[np.float64], NDArray[np.float64]],
]
"""(F_z, F_y) in N on a tip at (z, y) in m; NaN where the tip never was."""

_GRID = 241


def lateral_plane_figure(
    found: LateralForce, reference: LateralForce | None, visited: tuple[float, float]
) -> Figure:
    """Draw the found force field, and the true one above it where it is known (fig. 9).

    Parameters
    ----------
    found : callable
        The field.
    reference : callable or None
        The true one.
    visited : tuple of float
        Lowest z and greatest y of the tip, m.

    Returns
    -------
    matplotlib.figure.Figure
        10.5 inches wide, 3.8 high a field.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    z, y = np.linspace(visited[0], 0.0, _GRID), np.linspace(-visited[1], visited[1], _GRID)
    plane = np.meshgrid(z, y)
    fields = {"found": found(*plane)}
    if reference is not None:
        fields = {"true": reference(*plane), **fields}
    figure = Figure(figsize=(10.5, 3.8 * len(fields)), layout="constrained")
    panels = figure.subplots(len(fields), 2, sharex=True, sharey=True, squeeze=False)
    for column, name in enumerate(("F_z", "F_y")):
        shown = next(iter(fields.values()))[column]
        largest = float(np.nanpercentile(np.abs(NN * shown), 99.5))
        scale = Normalize(-largest, largest)
        for row, field in zip(panels, fields.values(), strict=True):
            values = NN * field[column]
            row[column].pcolormesh(NM * z, NM * y, values, cmap="PuOr", norm=scale, rasterized=True)
        colours = ScalarMappable(scale, "PuOr")
        figure.colorbar(colours, ax=list(panels[:, column]), label=f"${name}$ (nN)")
    for panel in panels[-1]:
        panel.set_xlabel("deflection z (nm)")
    for panel in panels[:, 0]:
        panel.set_ylabel("lateral deflection y (nm)")
    letter(panels.flat, [f"{field} ${name}$" for field in fields for name in ("F_z", "F_y")])
    return figure


def lateral_sections_figure(
    found: LateralForce, reference: LateralForce, visited: tuple[float, float]
) -> Figure:
    """Draw sections of the field: F_z and F_y against z, F_y against y (fig. 10).

    Parameters
    ----------
    found, reference, visited
        As for `lateral_plane_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        13 by 4.2 inches.
    """
    from matplotlib.figure import Figure

    lowest, widest = visited
    z, y = np.linspace(lowest, 0.0, _GRID), np.linspace(-widest, widest, _GRID)
    middle, aside = np.zeros_like(z), np.full_like(z, 0.2 * widest)
    deep = np.full_like(y, 0.75 * lowest)
    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for name, field, color, dash in (
        ("true", reference, REFERENCE, "--"),
        ("found", found, FOUND, "-"),
    ):
        style = {"color": color, "ls": dash, "lw": 1.4, "label": name}
        panels[0].plot(NM * z, NN * field(z, middle)[0], **style)
        panels[1].plot(NM * z, NN * field(z, aside)[1], **style)
        panels[2].plot(NM * y, NN * field(deep, y)[1], **style)
    for panel, force in zip(panels, ("$F_z$", "$F_y$", "$F_y$"), strict=True):
        panel.set_ylabel(f"{force} (nN)")
        panel.legend(fontsize=8.5, frameon=False)
    for panel in panels[:2]:
        panel.set_xlabel("deflection z (nm)")
    panels[2].set_xlabel("lateral deflection y (nm)")
    letter(
        panels,
        (
            "at y = 0",
            f"at y = {0.2 * NM * widest:.1f} nm",
            f"at z = {0.75 * NM * lowest:.1f} nm",
        ),
    )
    return figure
