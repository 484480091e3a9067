"""Figure and page of each kind of analysis, from what is stored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from station.force_tables import map_lines
from station.lookup import Stored
from station.stage_tables import (
    closure_name,
    closure_words,
    closures_of,
    evidence_rows,
    model_rows,
    model_words,
    verdict_sentence,
)
from station.tables import axis_in_words, in_words, mosaic_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.alignment import HysteresisResult
    from analysis.assets import AssetReader
    from analysis.closure import Closure
    from analysis.figures import Tiles
    from analysis.figures.intermodulation import Map

__all__ = [
    "force_figure",
    "force_page",
    "force_progress_figure",
    "montage_figure",
    "mosaic_page",
    "stage_figure",
    "stage_page",
]

_log = logging.getLogger(__name__)

# Maps in the order in which they are drawn: key, name with unit, factor from SI.
_MAPS = (
    ("topography", "topography (nm)", 1e9),
    ("adhesion", "adhesion (nN)", 1e9),
    ("modulus", "modulus E* (GPa)", 1e-9),
    ("damping", "damping at the surface (µN s/m)", 1e6),
    ("misfit", "misfit (% of the force)", 100.0),
    ("chi2", "chi² a degree of freedom", 1.0),
)


def stage_figure(found: Stored) -> Figure:
    """Draw a stage run: the figure that shows what it was run for."""
    from analysis.figures import (
        cross_axis_figure,
        drift_figure,
        hysteresis_figure,
        model_figure,
    )

    result = found.result
    if result.drift is not None:
        return drift_figure(result.drift)
    if result.model is not None:
        return model_figure(result)
    if closures_of(result):
        return cross_axis_figure(result, _tiles(found))
    return hysteresis_figure(result, _tiles(found))


def stage_page(found: Stored) -> tuple[str, list[str]]:
    """Title of the page of a stage run, and its lines on what was found."""
    result = found.result
    title, lines = "Stage hysteresis", []
    if result.drift is not None:
        title, lines = "Drift", _drift_lines(result)
    elif result.model is not None:
        title, lines = "Model of the stage", _model_lines(result)
    else:
        closed = closures_of(result)
        if closed:
            title, lines = "Cross-axis motion", _closure_lines(closed)
        lines += _deficit_lines(result)
    if result.verdict is not None:
        lines += ["", *_verdict_lines(result)]
    registered = int(result.steps.accepted.sum())
    lines += ["", f"{registered} of {len(result.steps)} steps were registered."]
    if result.note:
        lines += ["", f"Not found: {result.note}."]
    return title, lines


def _deficit_lines(result: HysteresisResult) -> list[str]:
    lines = [
        "First-step deficit after a reversal, with 95 % confidence interval:",
        "",
        "| axis | actual (images) | reported (stage) | reversals |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {axis_in_words(deficit)} | {in_words(deficit.actual, deficit.unit)} "
        f"| {in_words(deficit.reported, deficit.unit)} "
        f"| {max(deficit.actual.legs, deficit.reported.legs)} |"
        for deficit in result.deficits
    ]


def _verdict_lines(result: HysteresisResult) -> list[str]:
    from analysis.agreement import CASES

    verdict = result.verdict
    assert verdict is not None
    head = f"## Case ({verdict.case}), {CASES[verdict.case]}" if verdict.case else "## Case unknown"
    lines = [head, "", f"Errors up to {100 * verdict.tolerance:g} % of a step pass."]
    for axis in verdict.axes:
        lines += ["", f"{verdict_sentence(axis)}", ""]
        lines += ["| positions | | evidence |", "|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in evidence_rows(axis)]
    return lines


def _closure_lines(closed: tuple[Closure, ...]) -> list[str]:
    lines = ["| out and back along | left of it, actual | reported |", "|---|---|---|"]
    for closure in closed:
        actual = " | ".join(closure_words(closure))
        lines.append(f"| {closure_name(closure)} | {actual} |")
    return [*lines, ""]


def _model_lines(result: HysteresisResult) -> list[str]:
    model = result.model
    assert model is not None
    names = [axis.axis for axis in model.axes]
    lines = [f"| | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    lines += [f"| {name} | {' | '.join(words)} |" for name, words in model_rows(model)]
    told = model_words(model)
    return [*lines, "", f"Square brackets hold 95 %. {told[0].upper()}{told[1:]}.", *model.notes]


def _drift_lines(result: HysteresisResult) -> list[str]:
    return [f"{str(result.drift).capitalize()}; brackets hold 95 %."]


def montage_figure(found: Stored) -> Figure:
    """Draw a mosaic, over the montage where its file is there."""
    from analysis.montage import overview
    from analysis.mosaic.figure import mosaic_figure

    image, montage = None, found.result.montage
    if montage is not None and montage.file:
        try:
            image = overview(found.folder / montage.file)
        except (OSError, ValueError) as error:
            _log.warning(
                "the report of run %s is without the montage: %s", found.raw.uid[:8], error
            )
    matrix = _scale(found)[found.raw.start["fields"]["camera_to_stage"]]
    return mosaic_figure(found.result, matrix, image)


def mosaic_page(found: Stored) -> tuple[str, list[str]]:
    """Title of the page of a mosaic, and its lines on what was found."""
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in mosaic_rows(found.result)]
    if found.result.outliers:
        lines += ["", "Left out, for all other pairs contradict them:", ""]
        lines += [f"- {outlier}" for outlier in found.result.outliers]
    return "Mosaic", lines


def _scale(found: Stored) -> dict[str, Any]:
    """The configuration that the images of a run were taken with."""
    image, scale = found.raw.start["fields"]["image"], {}
    for name, doc in found.raw_documents():
        if name == "descriptor" and image in doc["data_keys"]:
            for device in doc["configuration"].values():
                scale.update(device["data"])
    return scale


class _Frames(Mapping[int, "NDArray[Any]"]):
    """The images of a run by the number of their event, each read when it is asked for."""

    def __init__(self, reader: AssetReader, key: str, numbers: Iterable[int]) -> None:
        self._reader = reader
        self._key = key
        self._numbers = tuple(numbers)

    def __getitem__(self, number: int) -> NDArray[Any]:
        return self._reader.frame(self._key, number)

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _tiles(found: Stored) -> Tiles | None:
    """The images of a run and what lays them on the stage; None when they cannot be read."""
    from analysis.assets import AssetError, AssetReader
    from analysis.figures import Tiles

    fields = found.raw.start["fields"]
    reader = AssetReader()
    scale = _scale(found)
    for name, doc in found.raw_documents():
        if name == "stream_resource":
            reader.stream_resource(doc)
        elif name == "stream_datum":
            reader.stream_datum(doc)
    frames = _Frames(reader, fields["image"], (int(number) for number in found.result.seq_num))
    try:
        frames[next(iter(frames))]
    except AssetError as error:
        _log.warning("the report of run %s is without images: %s", found.raw.uid[:8], error)
        return None
    return Tiles(frames, float(scale[fields["pixel_size"]]), scale[fields["camera_to_stage"]])


def force_figure(found: Stored) -> Figure:
    """Draw an intermodulation run: its maps, its force field, or its spectrum and force."""
    from analysis.figures import intermodulation as figures

    result = found.result
    if result.maps:
        return figures.maps_figure(_maps(found), _extent(found))
    if result.fields:
        forces = result.fields[0].forces
        visited = (float(forces.z[0]), float(forces.y[-1]))
        return figures.lateral_plane_figure(forces.force, None, visited)
    if result.curves:
        first = result.curves[0]
        measured = result.measurement(first.seq_num, first.height)
        return figures.point_figure(measured, first.curve)
    raise ValueError("the run has no engaged spectrum to draw: bring the tip to the surface")


def force_progress_figure(found: Stored) -> Figure:
    """Draw an intermodulation run that goes on: the latest spectrum and force, and its maps."""
    from analysis.figures import intermodulation as figures

    result = found.result
    if not result.curves:
        return force_figure(found)
    latest = result.curves[-1]
    measured = result.measurement(latest.seq_num, latest.height)
    if not result.maps:
        return figures.point_figure(measured, latest.curve)
    return figures.progress_figure(measured, latest.curve, _maps(found), _extent(found))


def _maps(found: Stored) -> list[Map]:
    """The maps of a run, with the rows that are still to come."""
    from analysis.figures.intermodulation import Map

    told = found.raw.start.get("shape")
    maps = []
    for key, name, factor in _MAPS:
        values = found.result.maps[key]
        missing = 0 if told is None else max(0, int(told[0]) - values.shape[0])
        whole = np.pad(values, ((0, missing), (0, 0)), constant_values=np.nan)
        maps.append(Map(name, whole, factor))
    return maps


def _extent(found: Stored) -> tuple[float, float, float, float]:
    (y0, y1), (x0, x1) = found.raw.start.get("extents", ((0, 1), (0, 1)))
    return (x0, x1, y0, y1)


def force_page(found: Stored) -> tuple[str, list[str]]:
    """Title of the page of an intermodulation run, and its lines on what was found."""
    result = found.result
    lines = [
        f"{len(result.spectra)} spectra of {len(result.tones)} tones at multiples of "
        f"{result.df:g} Hz; modes: "
        + ", ".join(
            f"{1e-3 * mode.frequency:.2f} kHz (Q {mode.quality_factor:.0f}, "
            f"{mode.spring_constant:.3g} N/m, along {mode.axis})"
            for mode in result.modes
        )
        + ".",
        "",
    ]
    if result.maps:
        lines += [*map_lines(result), ""]
    for curve in result.curves:
        verdict = curve.curve.verdict
        reasons = "; ".join(verdict.reasons)
        words = "valid" if verdict.ok else "not valid"
        lines += [
            f"Force of event {curve.seq_num}: {words}{f' ({reasons})' if reasons else ''}.",
            "",
        ]
    if result.note:
        lines.append(f"Not found: {result.note}.")
    return ("Force map" if result.maps else "Forces at a point"), lines
