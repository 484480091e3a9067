"""Is a tip still fit for use?

The five answers of tip qualification: good, worn, bad, suspect, no tip. A tip is worn when it has
become wider than its probe's baseline by more than is allowed; for probes of 30 nm changes of up
to 2 nm either way were seen over a whole series and taken as none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.tip_shape.result import TipEstimate

__all__ = ["Baseline", "Status", "TipLimits", "TipVerdict", "baseline_of", "qualify"]

# Standard errors: errors from two parts of a scan are themselves uncertain, and at two of them
# more than one in twenty would be told falsely.
_TOLD = 2.5

Status = Literal["good", "worn", "bad", "suspect", "no tip"]


@dataclass(frozen=True)
class TipLimits:
    """What a tip has to keep.

    Parameters
    ----------
    change : float
        Of the diameter at the larger height against the baseline, either way, m.
    worn_diameter, bad_diameter : float
        At the larger height, m. The defaults are those of spheres of 45 and 60 nm at 20 nm: one
        and a half times and twice the radius that the probe was bought with.
    aspect_ratio : float
        Long over short axis of either section; a tip beyond it is bad.
    binding_peaks : int
        Features as sharp as the tip that an estimate rests on at least.
    error : float
        Standard error of the diameter at most, m: half of the change to be seen.
    """

    change: float = 2e-9
    worn_diameter: float = 75e-9
    bad_diameter: float = 90e-9
    aspect_ratio: float = 1.5
    binding_peaks: int = 5
    error: float = 1e-9

    def __post_init__(self) -> None:
        for name in ("change", "worn_diameter", "bad_diameter", "error"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)!r} m is not allowed: above 0")
        if self.bad_diameter < self.worn_diameter:
            raise ValueError(
                f"bad_diameter {self.bad_diameter!r} m is not allowed: "
                f"at least worn_diameter {self.worn_diameter!r} m"
            )
        if not self.aspect_ratio >= 1:
            raise ValueError(f"aspect_ratio {self.aspect_ratio!r} is not allowed: 1 or more")


@dataclass(frozen=True)
class Baseline:
    """A probe's diameter when it was put in.

    Parameters
    ----------
    diameter, diameter_error : float
        At `height`, and its standard error, m.
    height : float
        Above the apex, m.
    """

    diameter: float
    diameter_error: float
    height: float


@dataclass(frozen=True)
class TipVerdict:
    """What a check says of a tip.

    Parameters
    ----------
    status : {"good", "worn", "bad", "suspect", "no tip"}
        "suspect" is an image that does not tell: another one is needed.
    reasons : tuple of str
        Why it is not good.
    diameter, diameter_error : float
        At the larger height, m; NaN without a tip.
    change, change_error : float
        Against the baseline, m; NaN without one.
    """

    status: Status
    reasons: tuple[str, ...]
    diameter: float
    diameter_error: float
    change: float
    change_error: float

    @property
    def changed(self) -> bool:
        """Whether the change is told from none, at two and a half standard errors."""
        return bool(abs(self.change) > _TOLD * self.change_error)

    @property
    def reason(self) -> str:
        """The reasons in one line; empty when the tip is good."""
        return "; ".join(self.reasons)


def baseline_of(estimates: Sequence[TipEstimate]) -> Baseline:
    """Return the baseline that one or more first images of a probe give.

    Raises
    ------
    ValueError
        When none of them has a diameter.
    """
    widths = np.array([estimate.diameters[1] for estimate in estimates])
    errors = np.array([estimate.diameter_errors[1] for estimate in estimates])
    whole = np.isfinite(widths)
    if not whole.any():
        raise ValueError("a baseline needs an image with a tip: none of those given has one")
    error = np.sqrt(np.sum(errors[whole] ** 2)) / whole.sum()
    return Baseline(float(widths[whole].mean()), float(error), estimates[0].heights[1])


def qualify(
    estimate: TipEstimate,
    limits: TipLimits | None = None,
    baseline: Baseline | TipEstimate | None = None,
) -> TipVerdict:
    """Return whether a tip is fit for use.

    Parameters
    ----------
    estimate : TipEstimate
        Of the latest image.
    limits : TipLimits, optional
    baseline : Baseline or TipEstimate, optional
        Of the same probe; without one only the limits decide.

    Returns
    -------
    TipVerdict

    Raises
    ------
    ValueError
        When the baseline is of another height.
    """
    limits = limits or TipLimits()
    if isinstance(baseline, TipEstimate):
        baseline = baseline_of([baseline])
    diameter, error = estimate.diameters[1], estimate.diameter_errors[1]
    change, change_error = np.nan, np.nan
    if baseline is not None:
        if not math.isclose(baseline.height, estimate.heights[1]):
            raise ValueError(
                f"a baseline at {baseline.height * 1e9:.3g} nm does not fit diameters at "
                f"{estimate.heights[1] * 1e9:.3g} nm"
            )
        change = diameter - baseline.diameter
        change_error = float(np.hypot(error, baseline.diameter_error))
    told = abs(change) > _TOLD * change_error
    status, reasons = _judged(estimate, limits, change, told)
    return TipVerdict(status, tuple(reasons), diameter, error, change, change_error)


def _judged(
    estimate: TipEstimate, limits: TipLimits, change: float, told: bool
) -> tuple[Status, list[str]]:
    if estimate.peaks == 0:
        return "no tip", [
            f"no features as high as {_nm(estimate.heights[1])}: the image's relief is "
            f"{_nm(estimate.relief)}"
        ]
    wear, doubts = _wear(estimate, limits, change), _doubts(estimate, limits)
    if faults := _faults(estimate, limits):
        return "bad", faults
    # wear that exceeds its own error needs no better image
    if doubts and not (wear and told):
        return "suspect", doubts
    if wear:
        return "worn", wear
    if change < -limits.change:
        return "suspect", [
            f"{_nm(-change)} thinner than the baseline, which wear does not do "
            f"(allowed {_nm(limits.change)})"
        ]
    return "good", []


def _faults(estimate: TipEstimate, limits: TipLimits) -> list[str]:
    diameter = estimate.diameters[1]
    height = _nm(estimate.heights[1])
    if not np.isfinite(diameter):
        rows, columns = np.multiply(estimate.tip.shape, estimate.pixel_size)
        return [f"wider at {height} than the window of {_nm(rows)} x {_nm(columns)}"]
    faults = []
    if diameter > limits.bad_diameter:
        faults.append(f"{_nm(diameter)} wide at {height} (bad above {_nm(limits.bad_diameter)})")
    if estimate.apexes > 1:
        faults.append(f"{estimate.apexes} ends within {height}")
    ratio = max(estimate.aspect_ratios)
    if ratio > limits.aspect_ratio:
        faults.append(f"aspect ratio {ratio:.2f} (allowed {limits.aspect_ratio:.2f})")
    return faults


def _doubts(estimate: TipEstimate, limits: TipLimits) -> list[str]:
    doubts = []
    if estimate.binding_peaks < limits.binding_peaks:
        doubts.append(
            f"{estimate.binding_peaks} features as sharp as the tip (needed {limits.binding_peaks})"
        )
    error = estimate.diameter_errors[1]
    if not error <= limits.error:
        doubts.append(
            f"parts of the scan differ: diameter to {_nm(error)} (allowed {_nm(limits.error)})"
        )
    return doubts


def _wear(estimate: TipEstimate, limits: TipLimits, change: float) -> list[str]:
    wear = []
    if change > limits.change:
        wear.append(f"{_nm(change)} wider than the baseline (allowed {_nm(limits.change)})")
    if estimate.diameters[1] > limits.worn_diameter:
        wear.append(
            f"{_nm(estimate.diameters[1])} wide at {_nm(estimate.heights[1])} "
            f"(allowed {_nm(limits.worn_diameter)})"
        )
    return wear


def _nm(length: float) -> str:
    return f"{length * 1e9:.1f} nm"
