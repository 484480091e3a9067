"""Images of scanning probes as their instruments recorded them: every channel with its unit.

A file of an atomic force microscope holds several images of one place, each of another quantity.
Here they are arrays in SI units whose first row is the lowest line of the image, with what the
header tells of probe, scan and analysis under the names of the instrument's own vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Channel",
    "ChannelFile",
    "Setting",
    "channel_name",
    "missing_extra",
    "read_beginning",
    "read_channels",
]

_NAMES = {
    "zsensor": "height_sensor",
    "dmtmodulus": "dmt_modulus",
    "logdmtmodulus": "log_dmt_modulus",
}


@dataclass(frozen=True)
class Channel:
    """One image.

    Parameters
    ----------
    name : str
        In our vocabulary: ``height_sensor``, ``dmt_modulus``, ``phase``, ...
    title : str
        As in the file.
    data : ndarray of float64, shape (lines, points)
        In `unit`; row 0 is the lowest line, column 0 the left end of each.
    unit : str
        SI without prefix (m, N, Pa, J, V, A, Hz, deg, 1), or ``Arb`` for what was never calibrated.
    x_size, y_size : float
        Of the image, m.
    direction : str
        ``trace``, ``retrace``, or "" where the file does not tell.
    interleaved : bool
        Of the second pass over each line.
    """

    name: str
    title: str
    data: NDArray[np.float64]
    unit: str
    x_size: float
    y_size: float
    direction: str = ""
    interleaved: bool = False

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Distance of lines and of points, m."""
        lines, points = self.data.shape
        return self.y_size / lines, self.x_size / points


@dataclass(frozen=True)
class Setting:
    """What a header says of one thing.

    Parameters
    ----------
    value : str, int or float
        A switch is 0 or 1.
    unit : str
        In which the instrument's devices show it (µm, nm, nN, Hz, deg, %, V); "" for none.
    """

    value: str | int | float
    unit: str = ""


@dataclass(frozen=True)
class ChannelFile:
    """What a file holds.

    Parameters
    ----------
    channels : tuple of Channel
        In the order of the file; several may have the same name.
    calibrated : bool
        Whether the sensitivity of the deflection was measured. Where it was not, no channel is in
        newtons, pascals or joules.
    metadata : mapping of str to str
        The header.
    time : float or None
        Of the recording, s since the epoch; files tell the local time of their instrument.
    format : str
        What kind of file it is.
    settings : mapping of str to Setting
        Of probe, scan and analysis, as the devices of the instrument name them.
    left_out : tuple of str
        Titles of channels that could not be read with the libraries that are installed.
    """

    channels: tuple[Channel, ...]
    calibrated: bool
    metadata: Mapping[str, str]
    time: float | None
    format: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def keys(self) -> tuple[str, ...]:
        """Names of the channels, made different: ``height``, ``height_retrace``, ``height_3``."""
        found: list[str] = []
        for number, channel in enumerate(self.channels, start=1):
            choices = (channel.name, f"{channel.name}_{channel.direction}")
            free = (key for key in choices if key not in found and not key.endswith("_"))
            found.append(next(free, f"{channel.name}_{number}"))
        return tuple(found)

    def channel(self, key: str) -> Channel:
        """Return one channel.

        Parameters
        ----------
        key : str
            One of `keys`.

        Raises
        ------
        ValueError
            When there is none; tells which there are.
        """
        for own, channel in zip(self.keys(), self.channels, strict=True):
            if own == key:
                return channel
        raise ValueError(f"no channel {key!r} in this file: it has {', '.join(self.keys())}")


def channel_name(title: str) -> str:
    """Bring the title of a channel into our vocabulary.

    Parameters
    ----------
    title : str
        As in a file: ``Height Sensor``, ``DMTModulus``.

    Returns
    -------
    str
        ``height_sensor``, ``dmt_modulus``; other titles in lower case, joined by underscores.
    """
    words = "".join(letter if letter.isalnum() else " " for letter in title).lower().split()
    return _NAMES.get("".join(words), "_".join(words)) or "unnamed"


def missing_extra(what: str) -> ValueError:
    """Make the error that tells how to install what reads or writes `what`."""
    return ValueError(f"{what} needs libraries of an extra: pip install 'twinscope[afm-files]'")


def read_channels(path: str | Path) -> ChannelFile:
    """Read a file of an atomic force microscope, whatever its name.

    Parameters
    ----------
    path : str or Path
        Bruker NanoScope (.spm, .000 and so on) or Asylum Research (.ibw).

    Returns
    -------
    ChannelFile

    Raises
    ------
    ValueError
        If there is no such file, it is of another kind, or it cannot be read.
    """
    from .asylum import is_ibw, read_ibw
    from .bruker import is_spm, read_spm

    file = Path(path)
    beginning = read_beginning(file, 16)
    if is_spm(beginning):
        return read_spm(file)
    if is_ibw(beginning):
        return read_ibw(file)
    raise ValueError(
        f"{file.name} is neither a Bruker NanoScope image nor an Asylum .ibw file: it begins with "
        f"{beginning[:8]!r}"
    )


def read_beginning(path: Path, most: int) -> bytes:
    """Read the beginning of a file.

    Parameters
    ----------
    path : Path
    most : int
        Bytes.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
