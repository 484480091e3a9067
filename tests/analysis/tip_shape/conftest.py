"""Images of the simulated tip sample by tips that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.tip_shape import TipEstimate, certainty_map, estimate_tip
from sim.tip import SphereCone, Tip, scan_surface
from sim.tip_sample import TipSample

PIXEL = 2.5e-6 / 512  # m: the campaign's tip images, 2.5 µm over 512 points
SHAPE = (256, 256)

Scan = Callable[..., NDArray[np.float64]]


@pytest.fixture(scope="session")
def scan() -> Scan:
    """Return the image of a place (m) of the tip sample by a tip, with white noise (m), m."""

    def image(
        tip: Tip,
        noise: float = 0.0,
        seed: int = 0,
        place: tuple[float, float] = (3e-6, 4e-6),
        pixel: tuple[float, float] = (PIXEL, PIXEL),
        shape: tuple[int, int] = SHAPE,
    ) -> NDArray[np.float64]:
        y = place[1] + pixel[0] * np.arange(shape[0])
        x = place[0] + pixel[1] * np.arange(shape[1])
        touched = scan_surface(TipSample().height(*np.meshgrid(x, y)), pixel, tip)
        return touched + np.random.default_rng(seed).normal(0, noise, shape)

    return image


@pytest.fixture(scope="session", autouse=True)
def _compiled(scan: Scan) -> None:
    """Compile before the first test is timed."""
    estimate_tip(scan(SphereCone(30e-9), shape=(128, 128)), PIXEL)
    certainty_map(np.zeros((32, 32)), np.zeros((3, 3)))


@pytest.fixture(scope="session")
def new_tip(scan: Scan) -> TipEstimate:
    """Return the estimate of a new 30 nm tip at 0.3 nm noise."""
    return estimate_tip(scan(SphereCone(30e-9), noise=0.3e-9), PIXEL)
