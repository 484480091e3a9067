"""The experiments, as bluesky plans."""

from plans._engagement import Tapping, paper_excitation
from plans._imaging_run import with_beam
from plans.characterisation import CharacterisationRun, characterise
from plans.combs import Band, Excitation, paper_comb
from plans.cross_axis import CrossAxisRun, cross_axis, cross_axis_targets
from plans.drift import DriftRun, measure_drift
from plans.force_map import ForceMapRun, estimate_map, force_map
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
from plans.probe_calibration import (
    ModeCalibration,
    ProbeCalibrationRun,
    calibrate_probe,
    estimate_calibration,
)
from plans.rehearsal import Rehearsal, rehearse
from plans.spectra_estimate import SpectraEstimate
from plans.spectroscopy import (
    AmplitudeSeriesRun,
    FreeSpectrumRun,
    SpectrumRun,
    amplitude_series,
    estimate_point,
    free_spectrum,
    height_series,
    point_spectrum,
)
from plans.stage import HysteresisRun, LiveResults, hysteresis, hysteresis_targets
from plans.tilt import EucentricRun, TiltSeriesRun, eucentric_height, tilt_series
from plans.tip_approach import Approach, ApproachError, Guard

__all__ = [
    "AmplitudeSeriesRun",
    "Approach",
    "ApproachError",
    "Band",
    "CharacterisationRun",
    "CrossAxisRun",
    "DriftRun",
    "EucentricRun",
    "Excitation",
    "ForceMapRun",
    "FreeSpectrumRun",
    "Guard",
    "HysteresisRun",
    "LiveResults",
    "ModeCalibration",
    "MosaicRun",
    "Placement",
    "PositioningError",
    "ProbeCalibrationRun",
    "Rehearsal",
    "Remembered",
    "SpectraEstimate",
    "SpectrumRun",
    "Survey",
    "Tapping",
    "TiltSeriesRun",
    "amplitude_series",
    "calibrate_probe",
    "characterise",
    "closed_loop",
    "coarse_fine",
    "cross_axis",
    "cross_axis_targets",
    "estimate_calibration",
    "estimate_map",
    "estimate_point",
    "eucentric_height",
    "force_map",
    "free_spectrum",
    "height_series",
    "hysteresis",
    "hysteresis_targets",
    "measure_drift",
    "mosaic",
    "mosaic_over",
    "move_to_feature",
    "paper_comb",
    "paper_excitation",
    "point_spectrum",
    "recall",
    "rehearse",
    "remember",
    "survey",
    "tilt_series",
    "with_beam",
]
