"""One image of many fields. See `write`."""

from .write import Balance, MontageInfo, balance, overlay, overview, write_montage

__all__ = ["Balance", "MontageInfo", "balance", "overlay", "overview", "write_montage"]
