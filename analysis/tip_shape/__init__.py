"""The shape of a tip from images of a sharp sample, and whether it is still fit. See `estimate`."""

from .estimate import estimate_tip
from .reconstruction import (
    certainty_map,
    frontier_tip,
    guaranteed_tip,
    reconstruct,
    surface_below,
)
from .result import TipEstimate, TipSettings
from .section import ApexRadius, Section
from .sweep import ThresholdSweep
from .trend import TipTrend, tip_trend
from .verdict import Baseline, Status, TipLimits, TipVerdict, baseline_of, qualify

__all__ = [
    "ApexRadius",
    "Baseline",
    "Section",
    "Status",
    "ThresholdSweep",
    "TipEstimate",
    "TipLimits",
    "TipSettings",
    "TipTrend",
    "TipVerdict",
    "baseline_of",
    "certainty_map",
    "estimate_tip",
    "frontier_tip",
    "guaranteed_tip",
    "qualify",
    "reconstruct",
    "surface_below",
    "tip_trend",
]
