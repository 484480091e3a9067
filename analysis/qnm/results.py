"""What the analysis of an image found, rebuilt from its documents alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .channels import ChannelSummary
from .quality import Quality
from .rubber import Rubber
from .tables import read_row

__all__ = ["NAME", "ImageResult", "result_from_documents"]

NAME = "image"
"""Of the analysis, in its start document."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What an image shows.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed.
    channels : tuple of ChannelSummary
        In the order of the instrument.
    quality : Quality
    rubber : Rubber or None
        None where no modulus was measured, or only one material is there.
    modulus_unit : str
        Of the rubber's.
    note : str
        What could not be found.
    """

    raw_uid: str
    channels: tuple[ChannelSummary, ...]
    quality: Quality
    rubber: Rubber | None
    modulus_unit: str = ""
    note: str = ""


def result_from_documents(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> ImageResult:
    """Rebuild the result from the documents of an analysis run.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they are no analysis of an image, or that analysis failed or is empty.
    """
    raw_uid, note, unit, known = "", "", "", False
    streams: dict[str, str] = {}
    found: dict[str, list[Any]] = {"channel": [], "quality": [], "rubber": []}
    for name, doc in documents:
        if name == "start":
            known = doc.get("analysis", {}).get("name") == NAME
            raw_uid = str(doc.get("raw_uid", ""))
        elif name == "descriptor":
            streams[doc["uid"]] = doc["name"]
            if doc["name"] == "rubber":
                unit = str(doc["data_keys"]["modulus"].get("units", ""))
        elif name == "stop":
            note = str(doc.get("reason") or "")
            if doc["exit_status"] == "fail":
                raise ValueError(f"the analysis failed: {note or 'no reason is given'}")
        elif name in ("event", "event_page"):
            stream = streams[doc["descriptor"]]
            rows = [doc["data"]] if name == "event" else _rows(doc)
            found.setdefault(stream, []).extend(read_row(stream, row) for row in rows)
    if not known:
        raise ValueError("these documents are no analysis of an image")
    if not found["quality"]:
        raise ValueError("the analysis was cut short: it holds no image")
    rubber = found["rubber"][0] if found["rubber"] else None
    return ImageResult(raw_uid, tuple(found["channel"]), found["quality"][0], rubber, unit, note)


def _rows(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = len(page["seq_num"])
    return [{key: values[index] for key, values in page["data"].items()} for index in range(count)]
