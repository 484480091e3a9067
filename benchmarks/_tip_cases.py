"""Images of the tip sample by known tips, and the vectors that the tests of the tip's shape read.

Run as `python -m benchmarks._tip_cases BTR_FOLDER` to write tests/data/tip: Gwyddion's estimates
of one image, for which its library has to be installed, and some frames of ColabBTR's data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import _tip_gwyddion
from sim.tip import SphereCone, Tip, scan_surface
from sim.tip_sample import TipSample

__all__ = ["DATA", "PIXEL", "continuous_image", "places", "tip_image"]

PIXEL = 2.5e-6 / 512  # m: 2.5 µm over 512 points
DATA = Path(__file__).parents[1] / "tests" / "data" / "tip"
_NM, _PM = 1e-9, 1e-12
_FRAMES = 25


def places(count: int, seed: int) -> Iterator[tuple[float, float]]:
    """Return places of the sample, x and y, m, 80 µm about its middle."""
    for x, y in np.random.default_rng(seed).uniform(-40e-6, 40e-6, (count, 2)):
        yield float(x), float(y)


def _grid(place: tuple[float, float], shape: tuple[int, int], pixel: float):
    x = place[0] + pixel * (np.arange(shape[1]) - shape[1] / 2)
    y = place[1] + pixel * (np.arange(shape[0]) - shape[0] / 2)
    return np.meshgrid(x, y)


def tip_image(
    tip: Tip,
    place: tuple[float, float],
    shape: tuple[int, int],
    noise: float,
    rng: np.random.Generator,
    sample: TipSample | None = None,
) -> NDArray[np.float64]:
    """Return the image of a place by a tip, shape (lines, points), with white noise, m."""
    heights = (sample or TipSample()).height(*_grid(place, shape, PIXEL))
    return scan_surface(heights, PIXEL, tip) + rng.normal(0, noise, shape)


def continuous_image(
    tip: Tip,
    place: tuple[float, float],
    shape: tuple[int, int],
    noise: float,
    rng: np.random.Generator,
    finer: int = 3,
) -> NDArray[np.float64]:
    """Return the image of a surface that is finer than the pixels, shape (lines, points), m."""
    fine = (shape[0] * finer, shape[1] * finer)
    heights = TipSample().height(*_grid(place, fine, PIXEL / finer))
    image = scan_surface(heights, PIXEL / finer, tip)[::finer, ::finer]
    return image + rng.normal(0, noise, shape)


def _write_gwyddion() -> None:
    image = tip_image(SphereCone(30e-9), (3e-6, 4e-6), (128, 128), 0.0, np.random.default_rng(0))
    picometres = np.round(image / _PM).astype(np.int32)
    heights, size = np.asarray(picometres * _PM, np.float64), (21, 21)
    partial, _ = _tip_gwyddion.tips(heights, PIXEL, size, [0.0, 0.3 * _NM], "partial")
    full, _ = _tip_gwyddion.tips(heights, PIXEL, size, [0.05 * _NM], "full")
    np.savez_compressed(
        DATA / "gwyddion.npz",
        image_pm=picometres,
        pixel_m=PIXEL,
        partial_m=partial,
        partial_thresholds_m=[0.0, 0.3 * _NM],
        full_m=full,
        full_thresholds_m=[0.05 * _NM],
    )


def _write_btr(folder: Path) -> None:
    frames = np.load(folder / "btr_single_images.npy")
    chosen = np.sort(np.random.default_rng(0).permutation(len(frames))[:_FRAMES])
    np.savez_compressed(
        DATA / "btr_single.npz",
        frames_angstrom=frames[chosen].astype(np.float32),
        tip_angstrom=np.load(folder / "btr_single_tip.npy"),
    )


if __name__ == "__main__":
    DATA.mkdir(parents=True, exist_ok=True)
    _write_gwyddion()
    _write_btr(Path(sys.argv[1]))
