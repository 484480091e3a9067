"""The tables of an analysis run, by stream, from its documents alone.

The documents may come from a live callback, the journal or the catalog: single events or pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from event_model import unpack_event_page

__all__ = ["AnalysisTables"]


@dataclass(frozen=True)
class AnalysisTables:
    """What an analysis run holds.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed.
    parameters : mapping
        With which it was.
    note : str
        Reason in the stop document; empty without one.
    data_keys : mapping of str to mapping
        Columns of each stream.
    events : mapping of str to list of (int, mapping)
        Sequence number and data of each event of each stream, as they came.
    """

    raw_uid: str
    parameters: Mapping[str, Any]
    note: str
    data_keys: Mapping[str, Mapping[str, Any]]
    events: Mapping[str, list[tuple[int, Mapping[str, Any]]]]

    @classmethod
    def read(
        cls, documents: Iterable[tuple[str, Mapping[str, Any]]], name: str, what: str
    ) -> AnalysisTables:
        """Read the documents of an analysis.

        Parameters
        ----------
        documents : iterable of (name, document)
            The analysis run.
        name : str
            Of the analysis, in its start document.
        what : str
            The same in words, for messages: ``"analysis of an image"``.

        Raises
        ------
        ValueError
            The documents are of something else, or the analysis failed.
        """
        start: Mapping[str, Any] = {}
        note, streams = "", {}
        data_keys: dict[str, Mapping[str, Any]] = {}
        events: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for kind, doc in documents:
            if kind == "start":
                start = doc
            elif kind == "descriptor":
                streams[doc["uid"]] = doc["name"]
                data_keys[doc["name"]] = doc.get("data_keys", {})
            elif kind in ("event", "event_page"):
                found = [doc] if kind == "event" else unpack_event_page(cast(Any, doc))
                own = events.setdefault(streams[doc["descriptor"]], [])
                own.extend((int(event["seq_num"]), event["data"]) for event in found)
            elif kind == "stop":
                note = str(doc.get("reason") or "")
                if doc["exit_status"] == "fail":
                    raise ValueError(f"the analysis failed: {note or 'no reason is given'}")
        analysis = start.get("analysis", {})
        if analysis.get("name") != name:
            raise ValueError(f"these documents are no {what}")
        raw_uid = str(start.get("raw_uid", ""))
        return cls(raw_uid, analysis.get("parameters", {}), note, data_keys, events)

    def rows(self, stream: str) -> list[Mapping[str, Any]]:
        """The events of a stream in their order; none where there is no such stream."""
        return [data for _, data in sorted(self.events.get(stream, []), key=lambda event: event[0])]
