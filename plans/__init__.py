"""The experiments, as bluesky plans."""

from plans.mosaic import MosaicRun, mosaic, mosaic_over
from plans.stage import HysteresisRun, LiveResults, hysteresis, hysteresis_targets

__all__ = [
    "HysteresisRun",
    "LiveResults",
    "MosaicRun",
    "hysteresis",
    "hysteresis_targets",
    "mosaic",
    "mosaic_over",
]
