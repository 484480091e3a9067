"""The figure of a mosaic: all fields on the stage, where each went, and how well they agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .result import MosaicResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["mosaic_figure", "save_figure"]

# Okabe & Ito's palette: told apart by every reader, and in grey by their lightness
_TARGET = "#0072B2"
_ACTUAL = "#E69F00"
_WRONG = "#D00000"
_DPI = 150
_LONG_ARROW = 0.7  # of the distance of neighbouring fields; a tenth of the arrows are longer
_NAMES = ("x", "y")


def save_figure(
    path: Path, result: MosaicResult, camera_to_stage: ArrayLike, overview: NDArray[Any] | None
) -> None:
    """Draw the figure and write it as PNG; see `mosaic_figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = mosaic_figure(result, camera_to_stage, overview)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=_DPI)


def mosaic_figure(
    result: MosaicResult,
    camera_to_stage: ArrayLike = ((1.0, 0.0), (0.0, 1.0)),
    overview: NDArray[Any] | None = None,
) -> Figure:
    """Draw the montage with arrows from target to actual position, and the residuals.

    Parameters
    ----------
    result : MosaicResult
    camera_to_stage : array_like, shape (2, 2)
        Takes (columns, rows) to (x, y), without the pixel size.
    overview : ndarray, shape (rows, columns), optional
        The montage, coarse; of the same extent as the file that the result names.

    Returns
    -------
    matplotlib.figure.Figure
        11 by 7.4 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 7.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.9, 1.0])
    _draw_map(figure.add_subplot(grid[:, 0]), result, np.asarray(camera_to_stage), overview)
    _draw_strays(figure.add_subplot(grid[0, 1]), result)
    _draw_residuals(figure.add_subplot(grid[1, 1]), result)
    return figure


def _draw_map(
    panel: Axes, result: MosaicResult, matrix: NDArray[np.float64], overview: NDArray[Any] | None
) -> None:
    montage = result.montage
    if overview is not None and montage is not None and montage.file:
        _draw_overview(panel, result, matrix, overview)
    outlines = _outlines(result, matrix)
    for number, outline in enumerate(outlines):
        style = "-" if result.placed[number] else ":"
        panel.plot(*np.vstack([outline, outline[:1]]).T, color=_TARGET, lw=0.5, ls=style)
    for first, second in zip(
        result.pairs.first[result.pairs.left_out],
        result.pairs.second[result.pairs.left_out],
        strict=True,
    ):
        panel.plot(*result.actual[[first, second]].T, color=_WRONG, lw=1.6)
    panel.plot(*result.target.T, ".", color=_TARGET, ms=3)
    _draw_arrows(panel, result)
    spread = np.concatenate([*outlines, result.target])
    low, high = spread.min(axis=0), spread.max(axis=0)
    margin = 0.03 * float((high - low).max() or 1.0)
    panel.set_xlim(low[0] - margin, high[0] + margin)
    panel.set_ylim(low[1] - margin, high[1] + margin)
    panel.set_aspect("equal")
    panel.set_xlabel("x (µm)")
    panel.set_ylabel("y (µm)")
    wrong = ", red: pairs left out" if result.pairs.left_out.any() else ""
    loose = ", dotted: placed by the stage alone" if not result.placed.all() else ""
    panel.set_title(
        # the second line is the key's
        f"(a)  fields where the images place them{loose}{wrong}\n",
        loc="left",
        size=10,
    )


def _draw_overview(
    panel: Axes, result: MosaicResult, matrix: NDArray[np.float64], overview: NDArray[Any]
) -> None:
    from matplotlib.transforms import Affine2D

    montage = result.montage
    assert montage is not None
    rows, columns = montage.shape
    place = np.eye(3)
    place[:2, :2] = matrix * montage.pixel_size_nm * 1e-3
    place[:2, 2] = montage.first_pixel
    seen = overview[overview > 0]
    low, high = np.percentile(seen, (1.0, 99.5)) if seen.size else (0.0, 1.0)
    drawn = panel.imshow(
        overview,
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        interpolation="antialiased",
    )
    drawn.set_transform(Affine2D(place) + panel.transData)


def _outlines(result: MosaicResult, matrix: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Corners of each field, (x, y) µm; a field is as large as its image."""
    half = 0.5 * result.field_size
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * half
    turned = corners @ matrix.T
    return [centre + turned for centre in result.actual]


def _draw_arrows(panel: Axes, result: MosaicResult) -> None:
    stray = result.actual_minus_target
    known = np.isfinite(stray).all(axis=1)
    lengths = np.linalg.norm(stray[known], axis=1)
    long = float(np.percentile(lengths, 90)) if lengths.size else 0.0
    if long == 0.0:
        return
    pitch = _pitch(result.target)
    factor = _round_down(_LONG_ARROW * pitch / long)
    arrows = panel.quiver(
        *result.target[known].T,
        *stray[known].T,
        color=_ACTUAL,
        angles="xy",
        scale_units="xy",
        scale=1.0 / factor,
        width=0.004 * min(1.0, 5.0 / float(np.sqrt(lengths.size))) + 0.001,
        zorder=3,
    )
    key = _round_down(long)
    label = f"{1e3 * key:g} nm, magnified {factor:g} times"
    panel.quiverkey(
        arrows, 0.95, 1.02, key, f"target to actual: {label}", labelpos="W", coordinates="axes"
    )


def _pitch(target: NDArray[np.float64]) -> float:
    """Least distance of two targets, µm; 1 of a single field."""
    distance = np.linalg.norm(target[1:] - target[:-1], axis=1)
    return float(distance[distance > 0].min(initial=np.inf)) if (distance > 0).any() else 1.0


def _round_down(value: float) -> float:
    """The next smaller 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step for step in (1.0, 2.0, 5.0) if step * power <= value * 1.0001) * power)


def _draw_strays(panel: Axes, result: MosaicResult) -> None:
    for values, color, name in (
        (result.actual_minus_target, _ACTUAL, "target"),
        (result.actual_minus_reported, _TARGET, "reported"),
    ):
        nm = 1e3 * values[np.isfinite(values).all(axis=1)]
        if len(nm):
            mean, spread = nm.mean(axis=0), nm.std(axis=0)
            words = ", ".join(
                f"{axis} {round(m)} ± {round(s)}"
                for axis, m, s in zip(_NAMES, mean, spread, strict=True)
            )
            label = f"actual \N{MINUS SIGN} {name}: {words} nm"
            panel.plot(*nm.T, "o", color=color, ms=3, alpha=0.7, mew=0, label=label)
    panel.axhline(0.0, color="0.7", lw=0.7, zorder=0)
    panel.axvline(0.0, color="0.7", lw=0.7, zorder=0)
    panel.set_xlabel("difference along x (nm)")
    panel.set_ylabel("difference along y (nm)")
    panel.margins(0.1)
    panel.set_title("(b)  what the stage did (mean ± spread)", loc="left", size=10)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, -0.42), frameon=False)


def _draw_residuals(panel: Axes, result: MosaicResult) -> None:
    pairs = result.pairs
    nm = 1e3 * result.residual[pairs.used]
    panel.set_title("(c)  do the pairs agree?", loc="left", size=10)
    panel.set_xlabel("shift of a pair \N{MINUS SIGN} that of its positions (nm)")
    panel.set_ylabel("pairs")
    if nm.size:
        reach = max(float(np.abs(nm).max()), 1e-6)
        bins = np.linspace(-reach, reach, 31).tolist()
        for values, color, name in zip(nm.T, (_ACTUAL, _TARGET), _NAMES, strict=True):
            label = f"along {name}"
            panel.hist(values, bins=bins, histtype="step", color=color, lw=1.4, label=label)
        low, high = panel.get_ylim()
        panel.set_ylim(low, 1.55 * high)
        panel.legend(fontsize=8, loc="upper right", frameon=False)
    refused = int((~pairs.accepted).sum())
    words = [
        f"{int(pairs.used.sum())} pairs, {refused} refused",
        f"{int(pairs.left_out.sum())} left out",
        f"rms {1e3 * result.residual_rms:.2f} nm",
        f"{result.loops} loops close to {1e3 * result.closure_rms:.2f} nm",
    ]
    panel.text(
        0.02, 0.98, "\n".join(words), transform=panel.transAxes, va="top", ha="left", fontsize=8
    )
