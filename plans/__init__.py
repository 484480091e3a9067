"""The experiments, as bluesky plans."""

from plans._deciding import ClassResult
from plans._engagement import Tapping, paper_excitation
from plans._imaging_run import with_beam
from plans._tip_result import TipResult
from plans.campaign import (
    AdaptiveEstimate,
    Campaign,
    CampaignRun,
    Course,
    Done,
    NewProbe,
    ProbeError,
    Step,
    campaign,
    estimate_campaign,
    probes_from_box,
)
from plans.capture import CaptureRun, capture
from plans.characterisation import CharacterisationRun, characterise
from plans.combs import Band, Excitation, paper_comb
from plans.cross_axis import CrossAxisRun, cross_axis, cross_axis_targets
from plans.drift import DriftRun, measure_drift
from plans.force_map import ForceMapRun, estimate_map, force_map
from plans.imaging import (
    ImageRun,
    ImageSeriesRun,
    estimate_images,
    image,
    phase_series,
)
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
from plans.scans import ImagingEstimate, Place, Scan, field_place
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
from plans.tip_check import TipCheckRun, tip_check, tip_qualification

__all__ = [
    "AdaptiveEstimate",
    "AmplitudeSeriesRun",
    "Approach",
    "ApproachError",
    "Band",
    "Campaign",
    "CampaignRun",
    "CaptureRun",
    "CharacterisationRun",
    "ClassResult",
    "Course",
    "CrossAxisRun",
    "Done",
    "DriftRun",
    "EucentricRun",
    "Excitation",
    "ForceMapRun",
    "FreeSpectrumRun",
    "Guard",
    "HysteresisRun",
    "ImageRun",
    "ImageSeriesRun",
    "ImagingEstimate",
    "LiveResults",
    "ModeCalibration",
    "MosaicRun",
    "NewProbe",
    "Place",
    "Placement",
    "PositioningError",
    "ProbeCalibrationRun",
    "ProbeError",
    "Rehearsal",
    "Remembered",
    "Scan",
    "SpectraEstimate",
    "SpectrumRun",
    "Step",
    "Survey",
    "Tapping",
    "TiltSeriesRun",
    "TipCheckRun",
    "TipResult",
    "amplitude_series",
    "calibrate_probe",
    "campaign",
    "capture",
    "characterise",
    "closed_loop",
    "coarse_fine",
    "cross_axis",
    "cross_axis_targets",
    "estimate_calibration",
    "estimate_campaign",
    "estimate_images",
    "estimate_map",
    "estimate_point",
    "eucentric_height",
    "field_place",
    "force_map",
    "free_spectrum",
    "height_series",
    "hysteresis",
    "hysteresis_targets",
    "image",
    "measure_drift",
    "mosaic",
    "mosaic_over",
    "move_to_feature",
    "paper_comb",
    "paper_excitation",
    "phase_series",
    "point_spectrum",
    "probes_from_box",
    "recall",
    "rehearse",
    "remember",
    "survey",
    "tilt_series",
    "tip_check",
    "tip_qualification",
    "with_beam",
]
