"""Images for Gwyddion: .gwy files with units, sizes, titles and what is known of the recording.

Written by the gwyfile library. Gwyddion's first row is the topmost, ours the lowest. What was not
recorded, in an image that was ended early, is masked.
Format: https://gwyddion.net/documentation/user-guide-en/gwyfile-format.html.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ._writing import whole_file
from .channels import Channel, ChannelFile, missing_extra

__all__ = ["write_gwy"]


def write_gwy(path: str | Path, recorded: ChannelFile) -> Path:
    """Write all channels of a recording.

    Parameters
    ----------
    path : str or Path
        The .gwy file; one that is there is replaced.
    recorded : ChannelFile
        Each channel gets the metadata of the whole, among them ``run_uid`` where it has one.

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
    try:
        from gwyfile.objects import GwyContainer
    except ModuleNotFoundError:
        raise missing_extra(f"writing {file.name}") from None
    if not recorded.channels:
        raise ValueError(f"{file.name} would hold no channel")
    content = GwyContainer()
    content["/filename"] = str(file)
    for number, channel in enumerate(recorded.channels):
        content |= _entries(number, channel, _metadata(recorded, channel))
    with whole_file(file) as partial:
        content.tofile(str(partial))
    return file


def _entries(number: int, channel: Channel, metadata: dict[str, str]) -> dict[str, Any]:
    from gwyfile.objects import GwyContainer

    missing = ~np.isfinite(channel.data)
    if missing.all():
        raise ValueError(f"channel {channel.title!r} holds no number")
    data = np.where(missing, channel.data[~missing].mean(), channel.data)
    entries = {
        f"/{number}/data": _field(data, channel, _unit(channel)),
        f"/{number}/data/title": channel.title,
        f"/{number}/data/visible": number == 0,
        f"/{number}/meta": GwyContainer(metadata),
    }
    if missing.any():
        entries[f"/{number}/mask"] = _field(missing.astype(float), channel, "")
    return entries


def _field(data: np.ndarray[Any, Any], channel: Channel, unit: str) -> Any:
    from gwyfile.objects import GwyDataField, GwySIUnit

    return GwyDataField(
        np.ascontiguousarray(data[::-1], dtype=np.float64),
        xreal=channel.x_size,
        yreal=channel.y_size,
        si_unit_xy=GwySIUnit(unitstr="m"),
        si_unit_z=GwySIUnit(unitstr=unit),
    )


def _unit(channel: Channel) -> str:
    return "" if channel.unit in ("1", "Arb") else channel.unit


def _metadata(recorded: ChannelFile, channel: Channel) -> dict[str, str]:
    found = {key: value for key, value in recorded.metadata.items() if key}
    for name, setting in recorded.settings.items():
        found[name] = f"{setting.value} {setting.unit}".strip()
    found["channel"] = channel.name
    found["unit"] = channel.unit
    found["calibrated"] = "yes" if recorded.calibrated else "no"
    found["format"] = recorded.format
    if channel.direction:
        found["direction"] = channel.direction
    if recorded.time is not None:
        found["time"] = datetime.fromtimestamp(recorded.time, UTC).isoformat()
    return found
