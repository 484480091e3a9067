"""From a uid to a figure and a page that a microscopist can read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.cli_errors import CommandError
from station.lookup import Stored, stored
from station.settings import Settings
from station.tables import axis_in_words, in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.assets import AssetReader
    from analysis.figures import Tiles

__all__ = ["Report", "markdown", "write_report"]

_log = logging.getLogger(__name__)

_DPI = 150


@dataclass(frozen=True)
class Report:
    """What was written.

    Parameters
    ----------
    figure, text : Path
        PNG and Markdown.
    stored : Stored
        What it was made from.
    """

    figure: Path
    text: Path
    stored: Stored


def write_report(settings: Settings, name: str, figure: Path | None = None) -> Report:
    """Write the figure and the page of a run.

    Parameters
    ----------
    settings : Settings
        Where the runs are.
    name : str
        As for `station.lookup.run_named`.
    figure : Path, optional
        The PNG; ``<data>/reports/<uid>.png`` unless given. The page lies beside it.

    Returns
    -------
    Report
        Both files.

    Raises
    ------
    CommandError
        They cannot be written.
    """
    found = stored(settings, name)
    path = figure or settings.data / "reports" / f"{found.raw.uid}.png"
    if path.suffix.lower() != ".png":
        raise CommandError(f"{path}: the figure is a PNG; give a name that ends in .png", 2)
    text = path.with_suffix(".md")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _draw(found, path)
        text.write_text(markdown(found, path.name), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"report {path} cannot be written: {error.strerror}") from error
    return Report(path, text, found)


def _draw(found: Stored, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from analysis.figures import hysteresis_figure

    figure = hysteresis_figure(found.result, _tiles(found))
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=_DPI)


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
    scale: dict[str, Any] = {}
    for name, doc in found.raw_documents():
        if name == "stream_resource":
            reader.stream_resource(doc)
        elif name == "stream_datum":
            reader.stream_datum(doc)
        elif name == "descriptor" and fields["image"] in doc["data_keys"]:
            for device in doc["configuration"].values():
                scale.update(device["data"])
    frames = _Frames(reader, fields["image"], (int(number) for number in found.result.seq_num))
    try:
        frames[next(iter(frames))]
    except AssetError as error:
        _log.warning("the report of run %s is without images: %s", found.raw.uid[:8], error)
        return None
    return Tiles(frames, float(scale[fields["pixel_size"]]), scale[fields["camera_to_stage"]])


def markdown(found: Stored, figure: str) -> str:
    """The page: what was done, what was found, with its uncertainty and its origin.

    Parameters
    ----------
    found : Stored
        The run and its analysis.
    figure : str
        Name of the figure's file.

    Returns
    -------
    str
        Markdown.
    """
    raw, analysis, result = found.raw, found.analysis, found.result
    arguments: Mapping[str, Any] = raw.start.get("plan_args", {})
    registered = int(result.steps.accepted.sum())
    lines = [
        f"# Stage hysteresis, scan {raw.scan_id}",
        "",
        f"{datetime.fromtimestamp(raw.time):%Y-%m-%d %H:%M}, "
        f"operator {raw.start.get('operator', 'unknown')}, run {raw.exit_status or 'unfinished'}.",
        "",
        ", ".join(f"{key} {_words(value)}" for key, value in arguments.items()) + ".",
        "",
        f"![target, reported and actual positions]({figure})",
        "",
        "First-step deficit after a reversal, with 95 % confidence interval:",
        "",
        "| axis | actual (images) | reported (stage) | reversals |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {axis_in_words(deficit)} | {in_words(deficit.actual, deficit.unit)} "
        f"| {in_words(deficit.reported, deficit.unit)} "
        f"| {max(deficit.actual.legs, deficit.reported.legs)} |"
        for deficit in result.deficits
    ]
    version = analysis.start.get("analysis", {}).get("version", "unknown")
    lines += [
        "",
        f"{registered} of {len(result.steps)} steps were registered.",
        "",
        f"Raw run `{raw.uid}`, analysis `{analysis.uid}` (twinscope {version}).",
        "",
    ]
    return "\n".join(lines)


def _words(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
