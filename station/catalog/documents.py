"""A run's documents out of the catalog, in the order in which they were once emitted.

Tiled keeps tables and arrays, not documents; what it exports has the frames of a stream behind
all events, and no stop for a run that was cut short. An analysis that works on documents needs
them as they came: each frame before the event that it belongs to, and a valid stop at the end.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from station.catalog.layout import Layout
from station.journal import synthesize_stop

Document = tuple[str, dict[str, Any]]
_CUT_SHORT = "the catalog has no end of this run"


def read_catalog_documents(data_dir: str | Path | Layout, uid: str) -> Iterator[Document]:
    """Iterate over the documents of a run in the catalog.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.
    uid : str
        The uid of a measurement or an analysis, or its first characters (five at least).

    Yields
    ------
    name : str
        Name of the document.
    doc : dict
        The document. The numbers in events are those of the journal, bit for bit; the uids of
        events and stream datums are not the original ones.

    Raises
    ------
    KeyError
        When the catalog has no such run.
    """
    from station.catalog.client import open_analysis, open_catalog

    try:
        run = open_catalog(data_dir)[uid]
    except KeyError:
        run = open_analysis(data_dir)[uid]
    yield from in_live_order((item["name"], item["doc"]) for item in _items(run))


def _items(run: Any) -> Iterator[Mapping[str, Any]]:
    for item in run.documents():
        yield item if isinstance(item, Mapping) else {"name": item[0], "doc": item[1]}


def in_live_order(exported: Iterable[Document]) -> Iterator[Document]:
    """Bring the documents that Tiled exports into the order of a live run.

    Parameters
    ----------
    exported : iterable of (name, doc)
        The documents of one run, each kind complete.

    Yields
    ------
    name, doc
        Start, then descriptors and events by their time, each event behind the frames that belong
        to it, frames that have no event, and a valid stop.
    """
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, doc in exported:
        by_name[name].append(doc)
    events = sorted(by_name["event"], key=lambda doc: (doc["time"], doc["seq_num"]))
    ordered = [("start", by_name["start"][0])]
    declared = _declared(by_name["descriptor"], events)
    descriptors = deque(sorted(by_name["descriptor"], key=lambda doc: declared[doc["uid"]]))
    resources = {doc["uid"]: doc for doc in by_name["stream_resource"]}
    streams = {doc["uid"]: doc.get("name") for doc in by_name["descriptor"]}
    frames: dict[tuple[str | None, int], list[dict[str, Any]]] = defaultdict(list)
    with_events = {streams[doc["descriptor"]] for doc in events}
    for datum in by_name["stream_datum"]:
        stream = streams[datum["descriptor"]]
        for part in _one_by_one(datum) if stream in with_events else [datum]:
            frames[stream, part["seq_nums"]["start"]].append(part)
    opened: set[str] = set()
    for event in events:
        while descriptors and declared[descriptors[0]["uid"]] <= event["time"]:
            ordered.append(("descriptor", descriptors.popleft()))
        stream = streams[event["descriptor"]]
        for datum in frames.pop((stream, event["seq_num"]), []):
            datum["descriptor"] = event["descriptor"]
            ordered += _opening(datum, resources, opened)
            ordered.append(("stream_datum", datum))
        ordered.append(("event", event))
    ordered += [("descriptor", doc) for doc in descriptors]
    for key in sorted(frames, key=lambda key: key[1]):
        for datum in frames[key]:
            ordered += _opening(datum, resources, opened)
            ordered.append(("stream_datum", datum))
    stop = next((doc for doc in by_name["stop"] if doc), None)
    if stop is None:
        last = max(_time(doc) for _, doc in ordered if "time" in doc)
        stop = synthesize_stop(iter(ordered), last, _CUT_SHORT)
    yield from ordered
    if stop is not None:
        yield "stop", stop


def _time(doc: Mapping[str, Any]) -> float:
    return float(doc["time"])


def _declared(
    descriptors: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]
) -> dict[str, float]:
    """Tell when each stream was declared: at the latest, with its first event."""
    times = {doc["uid"]: _time(doc) for doc in descriptors}
    for event in events:
        times[event["descriptor"]] = min(times[event["descriptor"]], _time(event))
    return times


def _opening(
    datum: Mapping[str, Any], resources: Mapping[str, dict[str, Any]], opened: set[str]
) -> list[Document]:
    """Give the stream's resource before its first frame."""
    uid = datum["stream_resource"]
    if uid in opened:
        return []
    opened.add(uid)
    return [("stream_resource", resources[uid])]


def _one_by_one(datum: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    indices, numbers = datum["indices"], datum["seq_nums"]
    for step in range(indices["stop"] - indices["start"]):
        index, number = indices["start"] + step, numbers["start"] + step
        yield {
            **datum,
            "uid": f"{datum['uid']}/{index}",
            "indices": {"start": index, "stop": index + 1},
            "seq_nums": {"start": number, "stop": number + 1},
        }
