"""What is said of the images of an AFM: tables, rows, figures and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from station.lookup import Stored
from station.stage_tables import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.figures.qnm import Channel
    from analysis.qnm import ChannelSummary, Rubber
    from analysis.qnm.results import ImageResult

__all__ = ["image_figure", "image_page", "image_row", "image_table"]


def image_table(result: ImageResult) -> RenderableType:
    """Channels, rubber and what is wrong, for the terminal.

    Parameters
    ----------
    result : ImageResult
        Of an analysis.

    Returns
    -------
    rich.console.RenderableType
    """
    table = Table("channel", "0.5 %", "median", "99.5 %")
    for channel in result.channels:
        table.add_row(*_channel_words(channel))
    shown: list[RenderableType] = [table]
    if result.rubber is not None:
        shown.append(_rubber_words(result.rubber, result.modulus_unit))
    shown += result.quality.problems
    if result.note:
        shown.append(result.note)
    return Group(*shown)


def image_row(result: ImageResult) -> dict[str, Any]:
    """The same for a script, JSON-able.

    Parameters
    ----------
    result : ImageResult
        Of an analysis.

    Returns
    -------
    dict
    """
    rubber = None
    if result.rubber is not None:
        names = ("modulus", "modulus_stderr", "area_fraction", "inclusion_fraction", "domains")
        rubber = plain({name: getattr(result.rubber, name) for name in names})
    return {
        "channels": {
            channel.name: {"median": channel.median, "unit": channel.unit}
            for channel in result.channels
        },
        "rubber": rubber,
        "problems": list(result.quality.problems),
    }


def image_figure(found: Stored) -> Figure:
    """Draw the channels of an image.

    Raises
    ------
    ValueError
        The image cannot be read.
    """
    from analysis.figures.qnm import channels_figure

    start = found.raw.start
    scan = start["scan"]
    size = float(scan["size"])
    title = f"{start.get('sample', '')}, probe {start.get('probe_serial', '')}"
    return channels_figure(_channels(found), (size, size / float(scan["aspect"])), title)


def image_page(found: Stored) -> tuple[str, list[str]]:
    """Title of the page of an image, and its lines on what was found."""
    result: ImageResult = found.result
    lines = ["| channel | 0.5 % | median | 99.5 % |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_channel_words(channel))} |" for channel in result.channels]
    if result.rubber is not None:
        words = _rubber_words(result.rubber, result.modulus_unit)
        lines += ["", f"{words[0].upper()}{words[1:]}."]
    problems = "; ".join(result.quality.problems) or "nothing"
    lines += ["", f"Wrong with the image: {problems}."]
    if result.note:
        lines += ["", f"Not found: {result.note}."]
    return "Image", lines


def _channels(found: Stored) -> list[Channel]:
    from analysis.assets import AssetError, AssetReader
    from analysis.figures.qnm import Channel

    fields, reader = found.raw.start["fields"], AssetReader()
    for name, doc in found.raw_documents():
        if name == "stream_resource":
            reader.stream_resource(doc)
        elif name == "stream_datum":
            reader.stream_datum(doc)
    try:
        return [
            Channel(channel.name, reader.frame(fields[channel.name], 1), channel.unit)
            for channel in found.result.channels
        ]
    except AssetError as error:
        raise ValueError(str(error)) from error


def _channel_words(channel: ChannelSummary) -> tuple[str, ...]:
    from analysis.qnm.channels import scaled

    factor, unit = scaled(channel.low, channel.high, channel.unit)
    named = channel.name.replace("_", " ") + (f" ({unit})" if unit not in ("", "1") else "")
    numbers = (channel.low, channel.median, channel.high)
    return (named, *(f"{factor * number:.4g}" for number in numbers))


def _rubber_words(rubber: Rubber, unit: str) -> str:
    from analysis.qnm.channels import scaled

    factor, named = scaled(0.0, rubber.modulus, unit)
    return (
        f"rubber of {factor * rubber.modulus:.3g} ± {factor * rubber.modulus_stderr:.2g} {named} "
        f"in {rubber.domains} domains, {rubber.area_fraction:.1%} of the area, "
        f"{rubber.inclusion_fraction:.0%} of that inclusions"
    )
