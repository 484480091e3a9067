"""From a uid to a figure and a page that a microscopist can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.cli_errors import CommandError
from station.lookup import BESIDE, Stored, report_folder, stored
from station.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "markdown", "save_figure", "write_report"]

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
        The PNG; ``<data>/reports/<uid>.png`` unless given, of a further analysis
        ``<uid>-prediction.png``. The page lies beside it.

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
    path = figure or report_folder(settings) / f"{_stem(found)}.png"
    if path.suffix.lower() != ".png":
        raise CommandError(f"{path}: the figure is a PNG; give a name that ends in .png", 2)
    text = path.with_suffix(".md")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_figure(found.kind.figure(found), path)
        text.write_text(markdown(found, path.name), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"report {path} cannot be written: {error.strerror}") from error
    return Report(path, text, found)


def _stem(found: Stored) -> str:
    name = found.analysis.plan_name
    return f"{found.raw.uid}-{name}" if name in BESIDE else found.raw.uid


def save_figure(figure: Figure, path: Path, dpi: float = _DPI) -> None:
    """Write a figure as PNG; who looks at the file sees it whole, before or after.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        The file.
    dpi : float
        Dots an inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    half = path.with_name(f".{path.name}.part")
    figure.savefig(half, dpi=dpi, format="png")
    half.replace(path)


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
    raw, analysis = found.raw, found.analysis
    arguments: Mapping[str, Any] = raw.start.get("plan_args", {})
    title, findings = found.kind.page(found)
    version = analysis.start.get("analysis", {}).get("version", "unknown")
    lines = [
        f"# {title}, scan {raw.scan_id}",
        "",
        f"{datetime.fromtimestamp(raw.time):%Y-%m-%d %H:%M}, "
        f"operator {raw.start.get('operator', 'unknown')}, run {raw.exit_status or 'unfinished'}.",
        "",
        ", ".join(f"{key} {_words(value)}" for key, value in arguments.items()) + ".",
        "",
        f"![{title.lower()}]({figure})",
        "",
        *findings,
        "",
        f"Raw run `{raw.uid}`, analysis `{analysis.uid}` (twinscope {version}).",
        "",
    ]
    return "\n".join(lines)


def _words(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
