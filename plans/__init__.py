"""The experiments, as bluesky plans."""

from plans.characterisation import CharacterisationRun, characterise
from plans.cross_axis import CrossAxisRun, cross_axis, cross_axis_targets
from plans.drift import DriftRun, measure_drift
from plans.mosaic import MosaicRun, mosaic, mosaic_over
from plans.rehearsal import Rehearsal, rehearse
from plans.stage import HysteresisRun, LiveResults, hysteresis, hysteresis_targets
from plans.tilt import EucentricRun, TiltSeriesRun, eucentric_height, tilt_series

__all__ = [
    "CharacterisationRun",
    "CrossAxisRun",
    "DriftRun",
    "EucentricRun",
    "HysteresisRun",
    "LiveResults",
    "MosaicRun",
    "Rehearsal",
    "TiltSeriesRun",
    "characterise",
    "cross_axis",
    "cross_axis_targets",
    "eucentric_height",
    "hysteresis",
    "hysteresis_targets",
    "measure_drift",
    "mosaic",
    "mosaic_over",
    "rehearse",
    "tilt_series",
]
