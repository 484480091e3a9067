"""Document callbacks, one a question; they hold no science, they call the modules above."""

from .choice import Analyses, Analysis
from .hysteresis import HysteresisAnalysis
from .images import ImageAnalysis
from .intermodulation import IntermodulationAnalysis
from .mosaic import MosaicAnalysis
from .predictions import PredictionAnalysis
from .router import AnalysisRouter

__all__ = [
    "Analyses",
    "Analysis",
    "AnalysisRouter",
    "HysteresisAnalysis",
    "ImageAnalysis",
    "IntermodulationAnalysis",
    "MosaicAnalysis",
    "PredictionAnalysis",
]
