"""An image out of the documents of a run, as if it came from a file: to be written as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..assets import AssetError, AssetReader
from .channels import Channel, ChannelFile, Setting

__all__ = ["channels_of_run"]

_FORMAT = "twinscope run"
_MICROMETRE = 1e-6
_TOLD = ("sample", "field", "probe_serial", "session", "technique", "plan_name", "scan_id")


def channels_of_run(
    documents: Iterable[tuple[str, Mapping[str, Any]]], *, image: int = 1
) -> ChannelFile:
    """Read an image of a run.

    Parameters
    ----------
    documents : iterable of (name, document)
        Of one run whose start document has `channels`, `fields` and `scan`.
    image : int
        Number of the event.

    Returns
    -------
    ChannelFile
        Its metadata have the ``run_uid``.

    Raises
    ------
    ValueError
        If the run holds no such image, or its file cannot be read.
    """
    assets = AssetReader()
    start: Mapping[str, Any] = {}
    descriptors: dict[str, Mapping[str, Any]] = {}
    found: tuple[str, float] | None = None
    for name, doc in documents:
        if name == "start":
            start = doc
        elif name == "descriptor" and doc["name"] == "primary":
            descriptors[doc["uid"]] = doc
        elif name == "stream_resource":
            assets.stream_resource(doc)
        elif name == "stream_datum":
            assets.stream_datum(doc)
        elif name == "event" and doc["descriptor"] in descriptors and doc["seq_num"] == image:
            found = doc["descriptor"], float(doc["time"])
        elif name == "event_page" and doc["descriptor"] in descriptors:
            times = dict(zip(doc["seq_num"], doc["time"], strict=True))
            found = (doc["descriptor"], float(times[image])) if image in times else found
    keys = _keys(start)
    if not keys or found is None:
        raise ValueError(
            f"run {str(start.get('uid', '?'))[:8]} has no image {image} of a probe microscope"
        )
    descriptor, time = descriptors[found[0]], found[1]
    try:
        channels = [
            _channel(name, assets.frame(key, image), descriptor["data_keys"][key], start["scan"])
            for name, key in keys.items()
        ]
    except (AssetError, KeyError) as error:
        raise ValueError(f"image {image} of run {start['uid'][:8]}: {error}") from None
    return ChannelFile(
        channels=tuple(channels),
        calibrated=bool(start.get("calibrated", False)),
        metadata=_metadata(start),
        time=time,
        format=_FORMAT,
        settings=_settings(descriptor),
    )


def _keys(start: Mapping[str, Any]) -> dict[str, str]:
    """The data key of each channel."""
    fields, scan = start.get("fields"), start.get("scan")
    if not isinstance(fields, Mapping) or not isinstance(scan, Mapping):
        return {}
    return {name: fields[name] for name in start.get("channels", ()) if name in fields}


def _channel(name: str, data: Any, key: Mapping[str, Any], scan: Mapping[str, Any]) -> Channel:
    size = float(scan["size"]) * _MICROMETRE
    return Channel(
        name=name,
        title=name.replace("_", " ").title().replace("Dmt", "DMT"),
        data=np.asarray(data, dtype=np.float64),
        unit=str(key.get("units", "")),
        x_size=size,
        y_size=size / float(scan.get("aspect", 1.0)),
    )


def _metadata(start: Mapping[str, Any]) -> dict[str, str]:
    told = {name: str(start[name]) for name in _TOLD if name in start}
    return {"run_uid": str(start["uid"]), **told}


def _settings(descriptor: Mapping[str, Any]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for device, configuration in descriptor.get("configuration", {}).items():
        described = configuration.get("data_keys", {})
        for key, value in configuration.get("data", {}).items():
            if isinstance(value, str | int | float):
                name = key.removeprefix(f"{device}_")
                found[name] = Setting(value, str(described.get(key, {}).get("units") or ""))
    return found
