"""Live analysis of the images of an AFM: from channels as they arrive to numbers and a verdict.

Holds no science: `analysis.qnm` judges the image, finds the rubber and summarises the channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .router import AnalysisRouter, Emit, Publisher, Reading, RunAnalysis

if TYPE_CHECKING:
    from ..qnm import ChannelSummary, Quality, Rubber

__all__ = ["ImageAnalysis"]

_NAME = "image"
_TECHNIQUES = ("peakforce_qnm", "scanasyst", "tapping")
_MODULUS = "dmt_modulus"
_FORCE = "peak_force_error"
_SETPOINT = "peak_force_setpoint"
_NANO = 1e-9  # N in a nN


class ImageAnalysis(AnalysisRouter):
    """Summarises each channel of an image, judges it, and finds the rubber where it can.

    Emits a "channel" event for each channel, a "quality" event and, where the DMT modulus tells
    two materials, a "rubber" event.

    Parameters
    ----------
    emit : callable(name, document)
    """

    def __init__(self, emit: Emit) -> None:
        super().__init__(emit, name=_NAME, parameters={})

    def assets_of(self, start: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the channels of the run."""
        return tuple(start.get("channels", ()))

    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether the run is an image of an AFM."""
        return start.get("technique") in _TECHNIQUES and bool(start.get("channels"))

    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin the analysis of a run."""
        return _ImageRun(start, publisher)


class _ImageRun(RunAnalysis):
    def __init__(self, start: Mapping[str, Any], publisher: Publisher) -> None:
        self._channels = tuple(start["channels"])
        self._keys: Mapping[str, str] = start["fields"]
        self._out = publisher
        self._declared: set[str] = set()
        self._notes: list[str] = []

    def reading(self, reading: Reading) -> None:
        """Take an image."""
        from ..qnm import find_rubber, image_quality, summarise

        if reading.image is None:
            self._notes.append(f"image {reading.seq_num}: {reading.problem}")
            return
        first, *_ = self._channels
        images = {first: reading.image, **reading.beside}
        units = {name: reading.units.get(self._keys[name], "") for name in self._channels}
        for name in self._channels:
            try:
                self._publish("channel", summarise(name, units[name], images[name]), reading)
            except ValueError as error:
                self._notes.append(str(error))
        setpoint = self._setpoint(reading) if units.get(_FORCE) == "N" else None
        self._publish("quality", image_quality(images, setpoint), reading)
        if _MODULUS not in images:
            return
        try:
            rubber = find_rubber(images[_MODULUS])
        except ValueError as error:
            self._notes.append(f"rubber: {error}")
            return
        self._publish("rubber", rubber, reading, units[_MODULUS])

    def finish(self, time: float) -> str:
        """Say what could not be found."""
        return "; ".join(self._notes)

    def _setpoint(self, reading: Reading) -> float | None:
        """Return the peak force that was asked for, N, if the run tells."""
        value = reading.data.get(self._keys.get(_SETPOINT, ""))
        return None if value is None else _NANO * float(value)

    def _publish(
        self,
        stream: str,
        found: ChannelSummary | Quality | Rubber,
        reading: Reading,
        unit: str = "",
    ) -> None:
        from ..qnm.tables import HINTS, channel_keys, quality_keys, row_of, rubber_keys

        if stream not in self._declared:
            keys = {"channel": channel_keys(), "quality": quality_keys()}.get(stream)
            self._out.declare(stream, keys or rubber_keys(unit), HINTS[stream], reading.time)
            self._declared.add(stream)
        self._out.event(stream, row_of(found), reading.time)
