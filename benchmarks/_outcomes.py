"""What a registration of two fields came to, and how such outcomes are counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OURS",
    "PRIOR",
    "WRONG_PX",
    "Outcome",
    "Task",
    "beyond_chance",
    "fraction",
    "interval",
    "rms",
    "select",
    "success_share",
    "upper",
    "verdict",
]

OURS = "twinscope register"
PRIOR = "twinscope register, stage's prior"
WRONG_PX = 3.0


@dataclass(frozen=True)
class Task:
    """A pair to make and the methods to register it with.

    Parameters
    ----------
    specimen, distortion : str
        Of `benchmarks._fields`; for a real image its name and the kind of noise.
    overlap : float
        Share that both show; of a real image 0: drawn.
    snr : float
    size : int
        Rows and columns, px.
    seed : int
    methods : tuple of str
        `OURS`, `PRIOR` or of `PEERS`.
    real : bool
        Whether the specimen is a real image.
    """

    specimen: str
    distortion: str
    overlap: float
    snr: float
    size: int
    seed: int
    methods: tuple[str, ...]
    real: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a method made of a pair.

    Parameters
    ----------
    method : str
    task : Task
    error : ndarray, shape (2,)
        Found less true shift, px; NaN if nothing was found.
    stderr : ndarray, shape (2,)
        What the method says of it, px; NaN if nothing.
    limit : ndarray, shape (2,)
        Cramér-Rao bound, px; NaN where unknown.
    accepted : bool
        Whether the method stands by it; peers always do.
    """

    method: str
    task: Task
    error: NDArray[np.float64]
    stderr: NDArray[np.float64]
    limit: NDArray[np.float64]
    accepted: bool

    @property
    def right(self) -> bool:
        """Whether both components are within 3 px of the truth."""
        return bool((np.abs(self.error) <= WRONG_PX).all())


def select(
    outcomes: Iterable[Outcome],
    method: str,
    specimens: Sequence[str],
    distortion: str,
    snr: float | None = None,
) -> list[Outcome]:
    """Outcomes of a method in some conditions."""
    return [
        o
        for o in outcomes
        if o.method == method
        and o.task.specimen in specimens
        and o.task.distortion == distortion
        and snr in (None, o.task.snr)
    ]


def success_share(found: Sequence[Outcome]) -> float:
    """Percentage of successes."""
    return 100.0 * sum(o.right for o in found) / len(found) if found else float("nan")


def rms(values: NDArray[np.float64]) -> float:
    """Root mean square; NaN of nothing."""
    if not values.size:
        return float("nan")
    return float(np.sqrt(np.mean(values**2)))


def fraction(held: Sequence[bool]) -> str:
    """Share, its binomial standard error (%) and the number it is of."""
    if not held:
        return "-"
    share = float(np.mean(held))
    spread = np.sqrt(share * (1.0 - share) / len(held))
    return f"{100.0 * share:.1f} ± {100.0 * spread:.1f} ({len(held)})"


def beyond_chance(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> bool:
    """Whether theirs are right more often on the same pairs by more than chance.

    McNemar's exact test, one-sided, 5 %.
    """
    from scipy.stats import binomtest

    right = {o.task: o.right for o in ours}
    gained = sum(o.right and not right[o.task] for o in theirs)
    lost = sum(right[o.task] and not o.right for o in theirs)
    if gained <= lost:
        return False
    return bool(binomtest(gained, gained + lost, alternative="greater").pvalue < 0.05)


def upper(count: int, number: int) -> float:
    """One-sided exact 95 % upper limit of a share, %."""
    from scipy.stats import beta

    return 100.0 if count >= number else 100.0 * float(beta.ppf(0.95, count + 1, number - count))


def interval(count: int, number: int) -> tuple[float, float]:
    """Exact two-sided 95 % interval of a share, %."""
    from scipy.stats import binomtest

    found = binomtest(count, number).proportion_ci(0.95, "exact")
    return 100.0 * float(found.low), 100.0 * float(found.high)


def verdict(met: bool) -> str:
    """Whether an aim is met, in a word."""
    return "met" if met else "missed"
