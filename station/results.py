"""What a station can say of each kind of analysis: how to read it, print it, draw it, write of it.

The name in the start document of an analysis run says of which kind it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.force_tables import force_row, force_table
from station.image_tables import image_figure, image_page, image_row, image_table
from station.lookup import BESIDE
from station.prediction_tables import (
    prediction_figure,
    prediction_page,
    prediction_row,
    prediction_table,
)
from station.stage_tables import (
    closure_table,
    closures_of,
    drift_table,
    model_table,
    stage_row,
    verdict_table,
)
from station.tables import deficit_rows, deficit_table, mosaic_row, mosaic_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from analysis.live import Analysis
    from station.lookup import Stored

__all__ = ["Kind", "kind_named", "kind_of", "make_analyses"]

Documents = Iterable[tuple[str, Mapping[str, Any]]]
Emit = Callable[[str, Mapping[str, Any]], object]


class Kind(ABC):
    """One kind of analysis."""

    @abstractmethod
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        """Make the analysis; what it writes goes into `folder`, the reports'."""

    @abstractmethod
    def read(self, documents: Documents) -> Any:
        """Rebuild the result from the documents of an analysis run; a ValueError says why not."""

    @abstractmethod
    def table(self, result: Any) -> RenderableType:
        """The result for the terminal."""

    @abstractmethod
    def row(self, result: Any) -> dict[str, Any]:
        """The result for a script, JSON-able, under one name."""

    @abstractmethod
    def figure(self, found: Stored) -> Figure:
        """Draw what was found; a ValueError says why there is nothing to draw."""

    def progress_figure(self, found: Stored) -> Figure:
        """Draw what is found so far in a run that goes on."""
        return self.figure(found)

    @abstractmethod
    def page(self, found: Stored) -> tuple[str, list[str]]:
        """Title of the page, and its lines on what was found."""


class _Stage(Kind):
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        from analysis.live import HysteresisAnalysis

        options.pop("progress", None)
        return HysteresisAnalysis(emit, **options)

    def read(self, documents: Documents) -> Any:
        from analysis.alignment import result_from_documents

        return result_from_documents(documents)

    def table(self, result: Any) -> RenderableType:
        from rich.console import Group

        shown: list[RenderableType] = []
        if result.drift is not None:
            shown.append(drift_table(result.drift))
        if result.model is not None:
            shown.append(model_table(result.model))
        if not shown:
            shown.append(deficit_table(result))
        if closed := closures_of(result):
            shown.append(closure_table(closed))
        if result.verdict is not None:
            shown.append(verdict_table(result.verdict))
        if result.note:
            shown.append(result.note)
        return Group(*shown)

    def row(self, result: Any) -> dict[str, Any]:
        return {"deficits": deficit_rows(result), **stage_row(result)}

    def figure(self, found: Stored) -> Figure:
        from station.pages import stage_figure

        return stage_figure(found)

    def page(self, found: Stored) -> tuple[str, list[str]]:
        from station.pages import stage_page

        return stage_page(found)


class _Mosaic(Kind):
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        from analysis.live import MosaicAnalysis

        return MosaicAnalysis(emit, folder=folder, **options)

    def read(self, documents: Documents) -> Any:
        from analysis.mosaic import result_from_documents

        return result_from_documents(documents)

    def table(self, result: Any) -> RenderableType:
        return mosaic_table(result)

    def row(self, result: Any) -> dict[str, Any]:
        return {"mosaic": mosaic_row(result)}

    def figure(self, found: Stored) -> Figure:
        from station.pages import montage_figure

        return montage_figure(found)

    def page(self, found: Stored) -> tuple[str, list[str]]:
        from station.pages import mosaic_page

        return mosaic_page(found)


class _Intermodulation(Kind):
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        from analysis.live import IntermodulationAnalysis

        return IntermodulationAnalysis(emit, **options)

    def read(self, documents: Documents) -> Any:
        from analysis.intermodulation.results import result_from_documents

        return result_from_documents(documents)

    def table(self, result: Any) -> RenderableType:
        return force_table(result)

    def row(self, result: Any) -> dict[str, Any]:
        return {"forces": force_row(result)}

    def figure(self, found: Stored) -> Figure:
        from station.pages import force_figure

        return force_figure(found)

    def progress_figure(self, found: Stored) -> Figure:
        from station.pages import force_progress_figure

        return force_progress_figure(found)

    def page(self, found: Stored) -> tuple[str, list[str]]:
        from station.pages import force_page

        return force_page(found)


class _Image(Kind):
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        from analysis.live import ImageAnalysis

        options.pop("progress", None)
        return ImageAnalysis(emit, **options)

    def read(self, documents: Documents) -> Any:
        from analysis.qnm.results import result_from_documents

        return result_from_documents(documents)

    def table(self, result: Any) -> RenderableType:
        return image_table(result)

    def row(self, result: Any) -> dict[str, Any]:
        return {"image": image_row(result)}

    def figure(self, found: Stored) -> Figure:
        return image_figure(found)

    def page(self, found: Stored) -> tuple[str, list[str]]:
        return image_page(found)


class _Prediction(Kind):
    def make(self, emit: Emit, folder: Path, **options: Any) -> Analysis:
        from analysis.live import PredictionAnalysis

        options.pop("progress", None)
        return PredictionAnalysis(emit, **options)

    def read(self, documents: Documents) -> Any:
        from analysis.networks.records import result_from_documents

        return result_from_documents(documents)

    def table(self, result: Any) -> RenderableType:
        return prediction_table(result)

    def row(self, result: Any) -> dict[str, Any]:
        return {"prediction": prediction_row(result)}

    def figure(self, found: Stored) -> Figure:
        return prediction_figure(found)

    def page(self, found: Stored) -> tuple[str, list[str]]:
        return prediction_page(found)


# The most particular first: a run goes to the first analysis that wants it.
_KINDS: Mapping[str, Kind] = {
    "mosaic": _Mosaic(),
    "hysteresis": _Stage(),
    "intermodulation": _Intermodulation(),
    "image": _Image(),
    "prediction": _Prediction(),
}


def kind_named(name: str) -> Kind | None:
    """The kind of an analysis, by its name; None when it is not known here."""
    return _KINDS.get(name)


def kind_of(start: Mapping[str, Any]) -> Kind:
    """The kind of an analysis run, by its start document.

    Raises
    ------
    ValueError
        It is not known here.
    """
    name = str(start.get("analysis", {}).get("name", ""))
    kind = kind_named(name)
    if kind is None:
        raise ValueError(f"analysis {name!r} is not known; there are: {', '.join(_KINDS)}")
    return kind


def make_analyses(
    emit: Emit,
    *,
    folder: Path,
    progress: Callable[[str, str, int, int], object] | None = None,
    stored: Mapping[str, Any] | None = None,
) -> Analysis:
    """Make all analyses that need no model, each run going to the one that understands it.

    Parameters
    ----------
    emit : callable(name, document)
        Takes the documents of the analysis runs.
    folder : Path
        Where files go: that of the reports.
    progress : callable(raw_uid, what, done, all), optional
        Told of long work.
    stored : mapping, optional
        Start document of an analysis to be done again, with its parameters.

    Returns
    -------
    Analysis
        To be subscribed.
    """
    from analysis.live import Analyses

    made = []
    for name, kind in _KINDS.items():
        if name in BESIDE:
            continue
        of_it = {} if stored is None else stored.get("analysis", {})
        options = dict(of_it.get("parameters", {})) if of_it.get("name") == name else {}
        made.append(kind.make(emit, folder, progress=progress, **options))
    return Analyses(made)
