"""Forces between tip and surface from the tones of a vibrating cantilever. See `measurement`."""

from .curve import Bands, ForceCurve, Verdict
from .measurement import Measurement, MeasurementError, touched
from .modes import Mode, response
from .motion import Motion, motion

__all__ = [
    "Bands",
    "ForceCurve",
    "Measurement",
    "MeasurementError",
    "Mode",
    "Motion",
    "Verdict",
    "motion",
    "response",
    "touched",
]
