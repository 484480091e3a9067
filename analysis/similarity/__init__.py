"""Scale and rotation between two frames. See `measure`."""

from .measure import Similarity, carry_calibration, register_similarity

__all__ = ["Similarity", "carry_calibration", "register_similarity"]
