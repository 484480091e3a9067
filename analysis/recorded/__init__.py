"""Records of stages and images made by other programs."""

from .asylum import read_ibw
from .bruker import read_spm
from .channels import Channel, ChannelFile, Setting, read_channels
from .em_stitch import LensSet, read_em_stitch
from .gwyddion import write_gwy
from .images import ImageFile, read_images
from .netcdf import as_dataset, write_netcdf
from .runs import channels_of_run
from .serialem import read_serialem_montage, read_serialem_tilts

__all__ = [
    "Channel",
    "ChannelFile",
    "ImageFile",
    "LensSet",
    "Setting",
    "as_dataset",
    "channels_of_run",
    "read_channels",
    "read_em_stitch",
    "read_ibw",
    "read_images",
    "read_serialem_montage",
    "read_serialem_tilts",
    "read_spm",
    "write_gwy",
    "write_netcdf",
]
