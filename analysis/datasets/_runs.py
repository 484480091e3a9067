"""The images of a run out of its documents, with what they tell of where they are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..recorded.channels import ChannelFile
from ..recorded.runs import channels_of_run
from ._images import Documents, Image
from .records import ImageRecord

__all__ = ["images_of_run"]

_NEEDED = ("sample", "session", "technique", "scan", "channels", "fields")


def images_of_run(documents: Documents, channels: tuple[str, ...]) -> Iterator[Image]:
    """Read the images of a finished run.

    Parameters
    ----------
    documents : iterable of (name, document)
        Of one run.
    channels : tuple of str
        Which are read.

    Yields
    ------
    Image

    Raises
    ------
    ValueError
        The run was not finished, is none of images, or lacks a channel; names it.
    """
    found = list(documents)
    start = _checked(found, channels)
    # only these channels are read from the disk
    mine = [("start", {**start, "channels": list(channels)}), *found[1:]]
    for event in range(1, _events(found) + 1):
        recorded = channels_of_run(mine, image=event)
        yield Image(
            record=_record(start, recorded, event),
            data={name: recorded.channel(name).data for name in channels},
            units={name: recorded.channel(name).unit for name in channels},
        )


def _checked(
    found: list[tuple[str, Mapping[str, Any]]], channels: tuple[str, ...]
) -> Mapping[str, Any]:
    """The start document of a run that is what a set is made of."""
    if not found or found[0][0] != "start":
        raise ValueError("a run without its start document is given")
    start, (last, stop) = found[0][1], found[-1]
    name = f"run {start['uid'][:8]}"
    lacking = [key for key in _NEEDED if key not in start]
    if lacking:
        raise ValueError(
            f"{name} is no run of images: its start document has no {', '.join(lacking)}"
        )
    if last != "stop":
        raise ValueError(f"{name} is not finished")
    if stop.get("exit_status") != "success":
        raise ValueError(f"{name} did not end well: {stop.get('exit_status')}")
    if not _events(found):
        raise ValueError(f"{name} has no image")
    for channel in channels:
        if channel not in start["channels"] or channel not in start["fields"]:
            raise ValueError(
                f"{name} has no channel {channel}: it has {', '.join(start['channels'])}"
            )
    return start


def _events(found: list[tuple[str, Mapping[str, Any]]]) -> int:
    return int((found[-1][1].get("num_events") or {}).get("primary", 0))


def _record(start: Mapping[str, Any], recorded: ChannelFile, event: int) -> ImageRecord:
    place = (start.get("plan_args") or {}).get("place") or {}
    scan, first = start["scan"], recorded.channels[0]
    lines, points = first.data.shape
    return ImageRecord(
        run_uid=str(start["uid"]),
        event=event,
        sample=str(start["sample"]),
        probe=str(start.get("probe_serial", "")),
        session=str(start["session"]),
        field=int(start.get("field", 0)),
        x=_place(place, "x"),
        y=_place(place, "y"),
        technique=str(start["technique"]),
        time=float(recorded.time if recorded.time is not None else start["time"]),
        size=float(scan["size"]),
        shape=(int(lines), int(points)),
        calibrated=recorded.calibrated,
        source="run",
        aspect=float(scan.get("aspect", 1.0)),
        angle=float(scan.get("angle", 0.0)),
    )


def _place(place: Mapping[str, Any], axis: str) -> float | None:
    value = place.get(axis)
    return None if value is None else float(value)
