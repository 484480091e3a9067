"""Images of probe microscopes into files that other programs open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis.recorded.channels import ChannelFile, read_channels
from analysis.recorded.gwyddion import write_gwy
from analysis.recorded.netcdf import write_netcdf
from analysis.recorded.runs import channels_of_run

__all__ = ["convert", "export_run"]

_WRITERS = {".gwy": write_gwy, ".nc": write_netcdf}


def convert(source: str | Path, target: str | Path) -> ChannelFile:
    """Convert a recorded file.

    Parameters
    ----------
    source : str or Path
        .spm or .ibw.
    target : str or Path
        .gwy (Gwyddion) or .nc (NetCDF); one that is there is replaced.

    Returns
    -------
    ChannelFile
        What was converted.

    Raises
    ------
    ValueError
        If the file cannot be read or written; nothing is written then.
    """
    write = _writer(target)
    recorded = read_channels(source)
    write(target, recorded)
    return recorded


def export_run(
    documents: Iterable[tuple[str, Mapping[str, Any]]], target: str | Path, *, image: int = 1
) -> ChannelFile:
    """Write an image of a run to a file that tells the run's uid.

    Parameters
    ----------
    documents : iterable of (name, document)
        Of the run.
    target : str or Path
        .gwy or .nc; one that is there is replaced.
    image : int
        Number of the event.

    Returns
    -------
    ChannelFile
        What was written.

    Raises
    ------
    ValueError
        If the run holds no such image, or the file cannot be written.
    """
    write = _writer(target)
    recorded = channels_of_run(documents, image=image)
    write(target, recorded)
    return recorded


def _writer(target: str | Path) -> Any:
    suffix = Path(target).suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(
            f"{Path(target).name} has the ending {suffix!r}: allowed are {', '.join(_WRITERS)}"
        )
    return _WRITERS[suffix]
