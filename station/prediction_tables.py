"""What is said of predictions: tables, rows, figures and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from station.lookup import Stored
from station.stage_tables import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.networks.prediction import Prediction
    from analysis.networks.records import PredictionResult

__all__ = ["prediction_figure", "prediction_page", "prediction_row", "prediction_table"]


def prediction_table(result: PredictionResult) -> RenderableType:
    """What the model says of each image, for the terminal.

    Parameters
    ----------
    result : PredictionResult
        Of an analysis.

    Returns
    -------
    rich.console.RenderableType
    """
    table = Table(
        "image", *result.by.outputs, "novelty", "verdict", title=f"model {result.by.model}"
    )
    for number, found in enumerate(result.predictions, start=1):
        table.add_row(str(number), *_numbers(found), f"{found.novelty:.2f}", _verdict(found))
    return Group(table, result.note) if result.note else table


def prediction_row(result: PredictionResult) -> dict[str, Any]:
    """The same for a script, JSON-able.

    Parameters
    ----------
    result : PredictionResult
        Of an analysis.

    Returns
    -------
    dict
    """
    return {
        "model": result.by.model,
        "images": [
            plain(
                {
                    "label": found.label,
                    "values": dict(zip(found.outputs, map(float, found.values), strict=True)),
                    "spreads": dict(zip(found.outputs, map(float, found.spreads), strict=True)),
                    "novelty": found.novelty,
                    "abstained": found.abstained,
                    "reason": found.reason,
                }
            )
            for found in result.predictions
        ],
    }


def prediction_figure(found: Stored) -> Figure:
    """Draw the last image with what the model says of it.

    Raises
    ------
    ValueError
        The image cannot be read.
    """
    from analysis.figures.predictions import prediction_figure as drawn
    from analysis.figures.qnm import Channel
    from analysis.recorded import channels_of_run

    result: PredictionResult = found.result
    recorded = channels_of_run(found.raw_documents(), image=len(result.predictions))
    name = result.by.channels[0]
    channel = next((each for each in recorded.channels if each.name == name), None)
    if channel is None:
        raise ValueError(f"the run has no {name}")
    start, micro = found.raw.start, 1e6
    title = f"{start.get('sample', '')}, probe {start.get('probe_serial', '')}: {result.by.model}"
    return drawn(
        Channel(name, channel.data, channel.unit),
        (micro * channel.x_size, micro * channel.y_size),
        result.predictions[-1],
        title,
    )


def prediction_page(found: Stored) -> tuple[str, list[str]]:
    """Title of the page of predictions, and its lines on what was found."""
    result: PredictionResult = found.result
    outputs, channels = result.by.outputs, ", ".join(result.by.channels)
    lines = [
        f"By model {result.by.model} from {channels}; values with their standard deviation. "
        "A novelty above 1 is further from the training images than known ones are.",
        "",
        f"| image | {' | '.join(outputs)} | novelty | verdict |",
        "|---" * (len(outputs) + 3) + "|",
    ]
    for number, each in enumerate(result.predictions, start=1):
        words = [str(number), *_numbers(each), f"{each.novelty:.2f}", _verdict(each)]
        lines.append(f"| {' | '.join(words)} |")
    if result.note:
        lines += ["", f"Not found: {result.note}."]
    return "Prediction", lines


def _numbers(found: Prediction) -> list[str]:
    return [
        f"{value:.3g} ± {spread:.2g}"
        for value, spread in zip(found.values, found.spreads, strict=True)
    ]


def _verdict(found: Prediction) -> str:
    return f"abstains: {found.reason}" if found.abstained else found.label or "known"
