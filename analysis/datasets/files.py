"""Files of probe microscopes become a set of images: what their headers do not tell, a person does.

A file knows its probe, its day, often its place on the stage, but not what it shows.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..recorded.channels import ChannelFile, Setting, read_channels
from ._images import Image, Progress
from .image_set import ImageSet
from .records import ImageRecord
from .writing import checked_channels, write_images

__all__ = ["FileNames", "files_of_folder", "write_image_set_of_files"]

FileNames = Mapping[str, str] | Callable[[Path], str]
"""A word for each file: by its name or its whole path, or a function of the path."""

# The uid of the run that a file has when it is taken into a catalog: the same for the same content.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "twinscope/recorded-image")
_MODES = {"AC Mode": "Tapping"}
_NO_SERIAL = ("", "Unknown")
_ENDINGS = (".spm", ".ibw")


def files_of_folder(folder: str | Path) -> tuple[Path, ...]:
    """The images in a folder and those below it, in the order of their names.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    tuple of Path
        Files that end in .spm, .ibw or, as those of older instruments, in a dot and three digits.

    Raises
    ------
    ValueError
        There are none.
    """
    found = tuple(sorted(path for path in Path(folder).rglob("*") if _is_image(path)))
    if not found:
        raise ValueError(f"{folder} has no image files (.spm, .ibw, .000, .001, ...)")
    return found


def write_image_set_of_files(
    path: str | Path,
    files: str | Path | Iterable[str | Path],
    channels: Iterable[str],
    *,
    labels: FileNames,
    sessions: FileNames | None = None,
    lines: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """Write the images of files to one file.

    Parameters
    ----------
    path : str or Path
        What is written; see `write_image_set`.
    files : path or iterable of path
        A folder, or files.
    channels : iterable of str
        Which channels.
    labels : mapping or callable
        Sample of each file.
    sessions : mapping or callable, optional
        Session of each file; day and serial number of the probe, as its header has them, unless
        given.
    lines : int, optional
        Resample all images to so many lines, by area averaging.
    progress : callable(done, all), optional

    Returns
    -------
    ImageSet
        Fields of a sample are numbered in the order of the files.

    Raises
    ------
    ValueError
        A file without a label, or one that cannot be read or is not like the others; names it.
    """
    wanted = checked_channels(channels)
    if isinstance(files, str | Path):
        chosen = files_of_folder(files) if Path(files).is_dir() else (Path(files),)
    else:
        chosen = tuple(Path(file) for file in files)
    samples = [_word(labels, file, "sample") for file in chosen]
    days = [None if sessions is None else _word(sessions, file, "session") for file in chosen]

    def images() -> Iterator[Image]:
        fields: Counter[str] = Counter()
        for done, (file, sample, session) in enumerate(
            zip(chosen, samples, days, strict=True), start=1
        ):
            yield _image(file, wanted, sample, session, fields[sample])
            fields[sample] += 1
            if progress is not None:
                progress(done, len(chosen))

    return write_images(path, images(), wanted, lines=lines)


def _is_image(path: Path) -> bool:
    ending = path.suffix.lower()
    return path.is_file() and (ending in _ENDINGS or (len(ending) == 4 and ending[1:].isdigit()))


def _word(words: FileNames, file: Path, what: str) -> str:
    if callable(words):
        found = words(file)
    else:
        found = words.get(str(file), words.get(file.name, ""))
    if not isinstance(found, str) or not found:
        raise ValueError(f"{file.name} has no {what}: name one for every file")
    return found


def _image(
    file: Path, channels: tuple[str, ...], sample: str, session: str | None, field: int
) -> Image:
    recorded = read_channels(file)
    try:
        chosen = {name: recorded.channel(name) for name in channels}
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    first = chosen[channels[0]]
    lines, points = first.data.shape
    time = file.stat().st_mtime if recorded.time is None else recorded.time
    serial = str(_setting(recorded, "serial", ""))
    probe = "" if serial in _NO_SERIAL else serial
    x, y = _stage_place(recorded)
    record = ImageRecord(
        run_uid=str(uuid.uuid5(_NAMESPACE, hashlib.sha256(file.read_bytes()).hexdigest())),
        event=1,
        sample=sample,
        probe=probe,
        session=session or f"{datetime.fromtimestamp(time):%Y-%m-%d} {probe}".rstrip(),
        field=field,
        x=x,
        y=y,
        technique=_technique(recorded),
        time=time,
        size=round(1e6 * first.x_size, 9),
        shape=(lines, points),
        calibrated=recorded.calibrated,
        source=file.name,
        aspect=round(first.x_size / first.y_size, 9),
        angle=float(_setting(recorded, "scan_angle", 0.0)),
    )
    return Image(
        record,
        {name: channel.data for name, channel in chosen.items()},
        {name: channel.unit for name, channel in chosen.items()},
    )


def _setting(recorded: ChannelFile, name: str, default: Any) -> Any:
    return recorded.settings.get(name, Setting(default)).value


def _technique(recorded: ChannelFile) -> str:
    told = str(_setting(recorded, "mode", "unknown"))
    return _MODES.get(told, told).lower().replace(" ", "_")


def _stage_place(recorded: ChannelFile) -> tuple[float, float] | tuple[None, None]:
    """Middle of the frame on the stage, µm, where the instrument has a stage that tells."""
    try:
        x, y = (float(recorded.metadata[f"Stage {axis}"]) for axis in "XY")
    except (KeyError, ValueError):
        return None, None
    if x == y == 0.0:  # a header without a stage
        return None, None
    offsets = (float(_setting(recorded, f"{axis}_offset", 0.0)) for axis in "xy")
    across, up = offsets
    return x + across, y + up
