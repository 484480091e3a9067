"""Drift within frames, jitter of lines, and series averaged without them. See `measure`."""

from .measure import (
    Average,
    CommonDrift,
    Drift,
    DriftVelocity,
    LeftOut,
    average_series,
    drift_velocity,
    measure_common_drift,
    measure_drift,
)

__all__ = [
    "Average",
    "CommonDrift",
    "Drift",
    "DriftVelocity",
    "LeftOut",
    "average_series",
    "drift_velocity",
    "measure_common_drift",
    "measure_drift",
]
