"""The experiments, as bluesky plans."""

from plans._imaging_run import with_beam
from plans.characterisation import CharacterisationRun, characterise
from plans.cross_axis import CrossAxisRun, cross_axis, cross_axis_targets
from plans.drift import DriftRun, measure_drift
from plans.mosaic import MosaicRun, mosaic, mosaic_over
from plans.positioning import (
    Placement,
    PositioningError,
    Remembered,
    Survey,
    closed_loop,
    coarse_fine,
    move_to_feature,
    recall,
    remember,
    survey,
)
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
    "Placement",
    "PositioningError",
    "Rehearsal",
    "Remembered",
    "Survey",
    "TiltSeriesRun",
    "characterise",
    "closed_loop",
    "coarse_fine",
    "cross_axis",
    "cross_axis_targets",
    "eucentric_height",
    "hysteresis",
    "hysteresis_targets",
    "measure_drift",
    "mosaic",
    "mosaic_over",
    "move_to_feature",
    "recall",
    "rehearse",
    "remember",
    "survey",
    "tilt_series",
    "with_beam",
]
