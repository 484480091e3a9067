"""Images for general tools: a NetCDF-4 file that xarray, or any HDF5 reader, opens.

A variable a channel on axes in metres, with its unit and title after the CF conventions, and what
the header tells as attributes of the file.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._writing import whole_file
from .channels import Channel, ChannelFile, missing_extra

if TYPE_CHECKING:
    import xarray

__all__ = ["as_dataset", "write_netcdf"]


def as_dataset(recorded: ChannelFile) -> xarray.Dataset:
    """Return a recording as an xarray dataset.

    Parameters
    ----------
    recorded : ChannelFile

    Returns
    -------
    xarray.Dataset
        A variable a channel, by the keys of `ChannelFile.keys`. Channels of another size than the
        first have axes of their own: ``y_2``, ``x_2``.

    Raises
    ------
    ValueError
        If the extra ``afm-files`` is missing.
    """
    try:
        import xarray
    except ModuleNotFoundError:
        raise missing_extra("a dataset") from None
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    grids: list[tuple[tuple[int, ...], float, float]] = []
    for key, channel in zip(recorded.keys(), recorded.channels, strict=True):
        grid = channel.data.shape, channel.y_size, channel.x_size
        if grid not in grids:
            grids.append(grid)
            coordinates |= _axes(channel, _suffix(grids.index(grid)))
        ending = _suffix(grids.index(grid))
        attributes = {
            "units": channel.unit,
            "long_name": channel.title,
            "direction": channel.direction,
            "interleaved": int(channel.interleaved),
        }
        variables[key] = ((f"y{ending}", f"x{ending}"), channel.data, attributes)
    return xarray.Dataset(variables, coordinates, _attributes(recorded))


def write_netcdf(path: str | Path, recorded: ChannelFile) -> Path:
    """Write all channels of a recording, compressed.

    Parameters
    ----------
    path : str or Path
        The .nc file; one that is there is replaced.
    recorded : ChannelFile

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there are no channels, the file cannot be written, or the extra ``afm-files`` is missing.
    """
    file = Path(path)
    if not recorded.channels:
        raise ValueError(f"{file.name} would hold no channel")
    dataset = as_dataset(recorded)
    packed = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars}
    with whole_file(file) as partial:
        try:
            dataset.to_netcdf(partial, engine="h5netcdf", encoding=packed)
        except ModuleNotFoundError:
            raise missing_extra(f"writing {file.name}") from None
    return file


def _suffix(grid: int) -> str:
    return f"_{grid + 1}" if grid else ""


def _axes(channel: Channel, ending: str) -> dict[str, Any]:
    """Middles of lines and of points, m from the lower left corner."""
    axes = {}
    for axis, count, step in zip("yx", channel.data.shape, channel.pixel_size, strict=True):
        name = f"{axis}{ending}"
        axes[name] = (name, (np.arange(count) + 0.5) * step, {"units": "m", "axis": axis.upper()})
    return axes


def _attributes(recorded: ChannelFile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "format": recorded.format,
        "calibrated": int(recorded.calibrated),
        "header": json.dumps(dict(recorded.metadata), sort_keys=True),
        "left_out": ", ".join(recorded.left_out),
    }
    if recorded.time is not None:
        found["time"] = datetime.fromtimestamp(recorded.time, UTC).isoformat()
    if "run_uid" in recorded.metadata:
        found["run_uid"] = recorded.metadata["run_uid"]
    for name, setting in recorded.settings.items():
        found[name] = setting.value
        if setting.unit:
            found[f"{name}_units"] = setting.unit
    return found
