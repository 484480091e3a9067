"""Records of stages and images made by other programs."""

from .em_stitch import LensSet, read_em_stitch
from .images import ImageFile, read_images
from .serialem import read_serialem_montage, read_serialem_tilts

__all__ = [
    "ImageFile",
    "LensSet",
    "read_em_stitch",
    "read_images",
    "read_serialem_montage",
    "read_serialem_tilts",
]
