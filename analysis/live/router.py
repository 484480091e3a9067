"""One raw run in, one analysis run out: the document plumbing that every live analysis shares.

A router follows any number of runs, live or replayed. For each run it understands it opens an
analysis run of its own (schema-valid by ``event_model.compose_run``) whose uid follows from the
raw uid, the name of the analysis and its parameters, hands the analysis one complete `Reading`
an event - in the order of the events, once the image is there - and closes the run. Times and uids
of the analysis documents follow from the raw ones: the same run analysed twice gives the same
documents. What goes wrong in the science closes the analysis run as failed, with the reason; it
never reaches the RunEngine.
"""

from __future__ import annotations

import json
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..assets import AssetReader, FrameNotReady

__all__ = ["AnalysisRouter", "Emit", "Publisher", "Reading", "RunAnalysis", "analysis_uid"]

log = logging.getLogger(__name__)

Emit = Callable[[str, dict[str, Any]], object]


def analysis_uid(raw_uid: str, name: str, parameters: Mapping[str, Any]) -> str:
    """Uid of the analysis of a run: the same for the same run, analysis and parameters."""
    key = json.dumps([raw_uid, name, parameters], sort_keys=True, separators=(",", ":"))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, key))


@dataclass(frozen=True)
class Reading:
    """One event of the raw run with its image, or with its spectra.

    Parameters
    ----------
    seq_num : int
    time : float
        Of the event, s since the epoch.
    data : mapping
        Scalars of the event and the configuration of its devices.
    units : mapping of str to str
        Units of the scalars of the event, where the run gives them.
    image : ndarray, shape (rows, columns), or None
        What the first of the router's `assets` names: an image, or the spectra of the pixels. None
        if the run ended before it could be read.
    reload : callable() -> ndarray
        Reads it again, for an analysis that cannot keep them all.
    problem : str
        Why there is none.
    beside : mapping of str to ndarray
        The other assets, by their names in `fields`.
    """

    seq_num: int
    time: float
    data: Mapping[str, Any]
    units: Mapping[str, str]
    image: NDArray[Any] | None
    reload: Callable[[], NDArray[Any]]
    problem: str = ""
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class RunAnalysis(ABC):
    """The analysis of one run."""

    @abstractmethod
    def reading(self, reading: Reading) -> None:
        """Take the next event; may publish."""

    def aside(  # noqa: B027 - of no use to most
        self, stream: str, time: float, data: Mapping[str, Any]
    ) -> None:
        """Take an event of a stream without images (s since the epoch), if it is of interest.

        A catalog gives back one stream after the other: only times tell the order.
        """

    @abstractmethod
    def finish(self, time: float) -> str:
        """Take the end of the raw run (s since the epoch); may publish.

        Returns
        -------
        str
            What could not be found, and why; "" when nothing is missing.
        """


class Publisher:
    """Composes and emits the documents of one analysis run."""

    def __init__(self, emit: Emit, raw_start: Mapping[str, Any], metadata: dict[str, Any]) -> None:
        from event_model import compose_run

        self.uid = metadata["uid"]
        self._emit = emit
        self._raw_uid = raw_start["uid"]
        start = {key: value for key, value in metadata.items() if key != "uid"}
        self._run = compose_run(uid=self.uid, time=raw_start["time"], metadata=start)
        self._streams: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        emit("start", dict(self._run.start_doc))

    def declare(
        self, stream: str, data_keys: Mapping[str, Mapping[str, Any]], hints: list[str], time: float
    ) -> None:
        """Open a stream of events.

        Parameters
        ----------
        stream : str
        data_keys : mapping
            As in a descriptor.
        hints : list of str
            Columns a table of the run should show.
        time : float
            s since the epoch.
        """
        keys = {key: {**value, "object_name": stream} for key, value in data_keys.items()}
        bundle = self._run.compose_descriptor(
            stream,
            keys,
            hints={stream: {"fields": hints}},
            object_keys={stream: list(keys)},
            configuration={stream: {"data": {}, "timestamps": {}, "data_keys": {}}},
            time=time,
            uid=self._uid(stream),
        )
        self._streams[stream] = bundle
        self._counts[stream] = 0
        self._emit("descriptor", dict(bundle.descriptor_doc))

    def event(self, stream: str, data: Mapping[str, Any], time: float) -> None:
        """Emit one event; `time` is that of the raw event it rests on, s since the epoch."""
        self._counts[stream] += 1
        doc = self._streams[stream].compose_event(
            data=dict(data),
            timestamps=dict.fromkeys(data, time),
            time=time,
            uid=self._uid(f"{stream}/{self._counts[stream]}"),
        )
        self._emit("event", dict(doc))

    def stop(self, exit_status: str, reason: str, time: float) -> None:
        """Close the analysis run."""
        doc = self._run.compose_stop(
            exit_status=exit_status,  # pyright: ignore[reportArgumentType]
            reason=reason,
            time=time,
            uid=self._uid("stop"),
        )
        self._emit("stop", dict(doc))

    def _uid(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.uid), name))


class _Run:
    """What is known of one raw run while it is followed."""

    def __init__(
        self,
        keys: Mapping[str, str],
        start: Mapping[str, Any],
        analysis: RunAnalysis,
        publisher: Publisher,
    ) -> None:
        self._keys = keys
        self._image_key = next(iter(keys.values()))
        self.analysis = analysis
        self.publisher = publisher
        self.assets = AssetReader()
        self.last_time = float(start["time"])
        self._configuration: dict[str, dict[str, Any]] = {}
        self._units: dict[str, dict[str, str]] = {}
        self._asides: dict[str, str] = {}
        self._stream = ""
        self._events: dict[int, tuple[float, str, Mapping[str, Any]]] = {}
        self._next = 1

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        if self._image_key not in doc["data_keys"]:
            self._asides[doc["uid"]] = doc["name"]
            return
        self._stream = self._stream or doc["name"]
        if doc["name"] == self._stream:
            values: dict[str, Any] = {}
            for device in doc.get("configuration", {}).values():
                values.update(device.get("data", {}))
            self._configuration[doc["uid"]] = values
            units = {key: value.get("units") for key, value in doc["data_keys"].items()}
            self._units[doc["uid"]] = {key: unit for key, unit in units.items() if unit}

    def event(self, seq_num: int, time: float, descriptor: str, data: Mapping[str, Any]) -> None:
        if descriptor in self._configuration:
            self._events[seq_num] = (time, descriptor, data)
            self.last_time = max(self.last_time, time)
        elif descriptor in self._asides:
            self.analysis.aside(self._asides[descriptor], time, data)

    def ready(self, *, last: bool) -> Iterator[Reading]:
        """Readings that are complete, in order; with `last`, all that there will ever be."""
        while self._events:
            seq_num = min(self._events)
            if seq_num != self._next and not last:
                return
            time, descriptor, data = self._events[seq_num]
            found: dict[str, NDArray[Any]] = {}
            problem = ""
            try:
                for name, key in self._keys.items():
                    found[name] = self._asset(key, data, seq_num)
            except FrameNotReady as error:
                if not last:
                    return
                problem = str(error)
            del self._events[seq_num]
            self._next = seq_num + 1
            image_name, *_ = self._keys
            yield Reading(
                seq_num,
                time,
                data={**self._configuration[descriptor], **data},
                units=self._units[descriptor],
                image=found.pop(image_name, None),
                reload=partial(self._asset, self._image_key, data, seq_num),
                problem=problem,
                beside=found,
            )

    def _asset(self, key: str, data: Mapping[str, Any], seq_num: int) -> NDArray[Any]:
        inline = data.get(key)
        return inline if isinstance(inline, np.ndarray) else self.assets.frame(key, seq_num)


class AnalysisRouter(ABC):
    """Turns raw runs into analysis runs; a subclass says which and how.

    Attributes
    ----------
    assets : tuple of str
        Names in the start document's `fields` of what the events point to: an event is handed on
        when all of it is there, the first as the image of the `Reading`.

    Parameters
    ----------
    emit : callable(name, document)
        Takes the documents of the analysis runs.
    name : str
        Name of the analysis.
    parameters : mapping
        What, apart from code and data, decides the numbers; JSON values.
    """

    assets: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(self, emit: Emit, *, name: str, parameters: Mapping[str, Any]) -> None:
        self._emit = emit
        self._name = name
        self._parameters = dict(parameters)
        self._runs: dict[str, _Run] = {}
        self._of_descriptor: dict[str, str] = {}
        self._of_resource: dict[str, str] = {}

    @abstractmethod
    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether this start document (with `fields`) can be analysed."""

    @abstractmethod
    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin the analysis of a run."""

    def assets_of(self, start: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of `assets` in this run: an instrument's modes have each their own."""
        return self.assets

    def wants(self, start: Mapping[str, Any]) -> bool:
        """Whether the run of this start document will be analysed."""
        fields = start.get("fields")
        if start.get("purpose") == "analysis" or not isinstance(fields, Mapping):
            return False
        named = all(isinstance(fields.get(name), str) for name in self.assets_of(start))
        return named and self.understands(start)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of any run."""
        handler = getattr(self, f"_on_{name}", None)
        if handler is None:
            return
        try:
            handler(doc)
        except Exception:
            # the run goes on without its analysis; the RunEngine must not notice
            log.exception("%s analysis: could not handle a %s document", self._name, name)

    def close(self) -> None:
        """Close the analyses of runs whose stop document never came."""
        for uid in list(self._runs):
            try:
                self._end(uid, "the raw run has no stop document", self._runs[uid].last_time)
            except Exception:
                log.exception("%s analysis of run %s could not be closed", self._name, uid[:8])

    def _on_start(self, doc: Mapping[str, Any]) -> None:
        if not self.wants(doc):
            return
        metadata: dict[str, Any] = {
            "uid": analysis_uid(doc["uid"], self._name, self._parameters),
            "purpose": "analysis",
            "raw_uid": doc["uid"],
            "raw_scan_id": doc.get("scan_id", 0),
            "analysis": {
                "name": self._name,
                "version": _version(),
                "parameters": self._parameters,
            },
        }
        publisher = Publisher(self._emit, doc, metadata)
        try:
            analysis = self.begin(doc, publisher)
        except Exception as error:
            publisher.stop("fail", _words(error), doc["time"])
            raise
        keys = {name: doc["fields"][name] for name in self.assets_of(doc)}
        self._runs[doc["uid"]] = _Run(keys, doc, analysis, publisher)

    def _on_descriptor(self, doc: Mapping[str, Any]) -> None:
        run = self._runs.get(doc["run_start"])
        if run is not None:
            self._of_descriptor[doc["uid"]] = doc["run_start"]
            run.descriptor(doc)

    def _on_event(self, doc: Mapping[str, Any]) -> None:
        uid = self._of_descriptor.get(doc["descriptor"], "")
        if uid in self._runs:
            number, time = int(doc["seq_num"]), float(doc["time"])
            self._runs[uid].event(number, time, doc["descriptor"], doc["data"])
            self._advance(uid)

    def _on_event_page(self, doc: Mapping[str, Any]) -> None:
        uid = self._of_descriptor.get(doc["descriptor"], "")
        if uid in self._runs:
            for index, (number, time) in enumerate(zip(doc["seq_num"], doc["time"], strict=True)):
                data = {key: values[index] for key, values in doc["data"].items()}
                self._runs[uid].event(int(number), float(time), doc["descriptor"], data)
            self._advance(uid)

    def _on_stream_resource(self, doc: Mapping[str, Any]) -> None:
        uid = doc.get("run_start", "")
        owners = [uid] if uid in self._runs else [] if uid else list(self._runs)
        for owner in owners:
            self._of_resource[doc["uid"]] = owner
            self._runs[owner].assets.stream_resource(doc)

    def _on_stream_datum(self, doc: Mapping[str, Any]) -> None:
        known = self._of_resource.get(doc["stream_resource"])
        uid = self._of_descriptor.get(doc.get("descriptor", ""), known or "")
        if uid in self._runs:
            self._runs[uid].assets.stream_datum(doc)
            self._advance(uid)

    def _on_stop(self, doc: Mapping[str, Any]) -> None:
        uid = doc.get("run_start", "")
        if uid not in self._runs:
            return
        status = doc.get("exit_status", "success")
        note = "" if status == "success" else f"the raw run ended with exit status {status}"
        self._end(uid, note, float(doc["time"]))

    def _advance(self, uid: str, *, last: bool = False) -> bool:
        """Hand on what is complete; False if the analysis has failed and is closed."""
        run = self._runs[uid]
        try:
            for reading in run.ready(last=last):
                run.analysis.reading(reading)
        except Exception as error:
            self._fail(uid, error, run.last_time)
            return False
        return True

    def _end(self, uid: str, note: str, time: float) -> None:
        if not self._advance(uid, last=True):
            return
        run = self._runs[uid]
        try:
            missing = run.analysis.finish(time)
        except Exception as error:
            self._fail(uid, error, time)
            return
        self._forget(uid)
        run.publisher.stop("success", "; ".join(filter(None, (note, missing))), time)

    def _fail(self, uid: str, error: Exception, time: float) -> None:
        log.warning("%s analysis of run %s failed", self._name, uid[:8], exc_info=error)
        publisher = self._runs[uid].publisher
        self._forget(uid)
        publisher.stop("fail", _words(error), time)

    def _forget(self, uid: str) -> None:
        del self._runs[uid]
        for known in (self._of_descriptor, self._of_resource):
            for key in [key for key, owner in known.items() if owner == uid]:
                del known[key]


def _words(error: Exception) -> str:
    """One line that names an error."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, RuntimeError)) and text else f"{error!r}"


def _version() -> str:
    from importlib.metadata import version

    return version("twinscope")
