"""Many fields of one specimen: registered as they come, their result read back, drawn."""

from .result import Montage, MosaicPairs, MosaicResult, grid_order, result_from_documents
from .tiles import Neighbour, Register, TileStream

__all__ = [
    "Montage",
    "MosaicPairs",
    "MosaicResult",
    "Neighbour",
    "Register",
    "TileStream",
    "grid_order",
    "result_from_documents",
]
