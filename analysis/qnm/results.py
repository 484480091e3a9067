"""What the analysis of an image found, rebuilt from its documents alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._analysis_tables import AnalysisTables
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
    tables = AnalysisTables.read(documents, NAME, "analysis of an image")
    found: dict[str, list[Any]] = {
        stream: [read_row(stream, row) for row in tables.rows(stream)]
        for stream in ("channel", "quality", "rubber")
    }
    if not found["quality"]:
        raise ValueError("the analysis was cut short: it holds no image")
    rubber, modulus = None, {}
    if found["rubber"]:
        rubber, modulus = found["rubber"][0], tables.data_keys["rubber"]["modulus"]
    return ImageResult(
        raw_uid=tables.raw_uid,
        channels=tuple(found["channel"]),
        quality=found["quality"][0],
        rubber=rubber,
        modulus_unit=str(modulus.get("units", "")),
        note=tables.note,
    )
