"""Document callbacks, one a question; they hold no science, they call the modules above."""

from .hysteresis import HysteresisAnalysis
from .router import AnalysisRouter

__all__ = ["AnalysisRouter", "HysteresisAnalysis"]
