"""How far does a feature move in the image when the specimen is tilted, and where to next?"""

from .fields import Foreshortening, TiltedField, cosine, locate_field, unchanged
from .geometry import SCHEMES, TiltGeometry, fit_tilt_geometry, tilt_scheme, turned
from .prediction import HoldLast, NoPrediction, Prediction, Predictor, TiltPredictor

__all__ = [
    "SCHEMES",
    "Foreshortening",
    "HoldLast",
    "NoPrediction",
    "Prediction",
    "Predictor",
    "TiltGeometry",
    "TiltPredictor",
    "TiltedField",
    "cosine",
    "fit_tilt_geometry",
    "locate_field",
    "tilt_scheme",
    "turned",
    "unchanged",
]
