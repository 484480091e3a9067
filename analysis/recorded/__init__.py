"""Records of stages made by other programs, as `analysis.record.StageRecord`."""

from .em_stitch import LensSet, read_em_stitch
from .serialem import read_serialem_montage, read_serialem_tilts

__all__ = ["LensSet", "read_em_stitch", "read_serialem_montage", "read_serialem_tilts"]
