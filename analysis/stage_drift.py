"""How fast does the specimen drift while the stage stands still?

A straight line through the actual positions of a run that goes nowhere. Neighbouring positions hang
together, for a drift is never quite constant: as many images count as if they did not (Santer et
al., J. Geophys. Res. 105 (2000) 7337: n (1 - r) / (1 + r), with r the correlation of neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .alignment import HysteresisResult

__all__ = ["StageDrift", "stage_drift"]

_LEAST_IMAGES = 4
_SAME_TARGET = 1e-4  # µm, as in `analysis.steps`
_LEVEL = 0.975


@dataclass(frozen=True)
class StageDrift:
    """The drift of a stage at rest, (x, y) each.

    Parameters
    ----------
    velocity, stderr : ndarray, shape (2,)
        nm/s.
    low, high : ndarray, shape (2,)
        95 % interval of the velocity, nm/s.
    rms : ndarray, shape (2,)
        What is left about the straight line, nm: jitter, and drift that changes.
    elapsed : ndarray, shape (n,)
        Time of each image from the first, s.
    track : ndarray, shape (n, 2)
        Where the specimen was, from where the line begins, nm.
    """

    velocity: NDArray[np.float64]
    stderr: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rms: NDArray[np.float64]
    elapsed: NDArray[np.float64]
    track: NDArray[np.float64]

    @property
    def speed(self) -> float:
        """Magnitude of the velocity, nm/s."""
        return float(np.hypot(*self.velocity))

    def __str__(self) -> str:
        each = ", ".join(
            f"{axis} {self.velocity[k]:+.3f} nm/s ({self.low[k]:+.3f}..{self.high[k]:+.3f})"
            for k, axis in enumerate("xy")
        )
        return f"drift {self.speed:.3f} nm/s over {self.elapsed[-1]:.0f} s: {each}"


def stage_drift(result: HysteresisResult) -> StageDrift:
    """Fit a straight line to the actual positions of a stage that was told to stand.

    Parameters
    ----------
    result : HysteresisResult
        With times. Images whose registration was refused begin a chain with an origin of its own.

    Returns
    -------
    StageDrift

    Raises
    ------
    ValueError
        The stage was moved, times are missing, or there are fewer than four images.
    """
    time = result.time
    if not np.isfinite(time).all() or not np.ptp(time) > 0.0:
        raise ValueError("times of the images are needed to measure a drift")
    if np.nanmax(np.ptp(result.target, axis=0)) > _SAME_TARGET:
        raise ValueError("the stage was moved: a drift is measured while it stands")
    chains = np.unique(result.chain)
    if len(time) < len(chains) + _LEAST_IMAGES - 1:
        raise ValueError(
            f"{len(time)} images in {len(chains)} chains: a drift takes {_LEAST_IMAGES} at least"
        )
    elapsed = time - time[0]
    origins = (result.chain[:, None] == chains).astype(float)
    design = np.column_stack([origins, elapsed])
    places = 1e3 * (result.actual - result.actual[0])
    fitted = np.linalg.lstsq(design, places, rcond=None)[0]
    rest = places - design @ fitted
    inverse = float(np.linalg.pinv(design.T @ design)[-1, -1])
    stderr, half = np.empty(2), np.empty(2)
    for axis in range(2):
        stderr[axis], half[axis] = _uncertainty(rest[:, axis], inverse, design.shape[1])
    velocity = fitted[-1]
    return StageDrift(
        velocity=velocity,
        stderr=stderr,
        low=velocity - half,
        high=velocity + half,
        rms=np.sqrt(np.mean(rest**2, axis=0)),
        elapsed=elapsed,
        track=places - origins @ fitted[:-1],
    )


def _uncertainty(rest: NDArray[np.float64], inverse: float, parameters: int) -> tuple[float, float]:
    """Standard error of a slope and half its 95 % interval, as the scatter about it shows."""
    from scipy.special import stdtrit

    square = float(rest @ rest)
    together = float(rest[1:] @ rest[:-1]) / square if square > 0.0 else 0.0
    together = min(max(together, 0.0), 0.9)
    count = len(rest) * (1.0 - together) / (1.0 + together)
    freedom = max(count - parameters, 1.0)
    stderr = float(np.sqrt(square / freedom * inverse))
    return stderr, stderr * float(stdtrit(freedom, _LEVEL))
