"""The figures of an experiment: figs. 2 to 5 of Bruker application note 155, and what lies behind.

Made from finished cells alone, by the name of the file that each is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluation import (
    confusion_of,
    coverage,
    published,
    regression_scores,
    reliability,
    sample_means,
)
from ._table_text import model_words, property_words
from .cells import CellResult
from .series import Series
from .summary import BASELINES, Evaluation, whole
from .tasks import PROPERTIES, TASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..figures.networks import AccuracyPanel, PropertyPanel

__all__ = ["figures_of", "save_figures"]


def figures_of(results: Iterable[CellResult] | Evaluation) -> dict[str, Figure]:
    """Return all figures for which there are cells.

    Parameters
    ----------
    results : iterable of CellResult, or Evaluation
        Of one experiment.

    Returns
    -------
    dict of str to Figure
        ``accuracy``; ``confusion-`` and ``coverage-`` of each task, ``properties-`` of each task,
        of the first network that there is, else of the first baseline; ``calibration`` and
        ``learning``.
    """
    told = results if isinstance(results, Evaluation) else Evaluation(results)
    return {
        **_accuracies(told),
        **_confusions(told),
        **_properties(told),
        **_calibrations(told),
        **_learning(told),
    }


def save_figures(results: Iterable[CellResult] | Evaluation, folder: str | Path) -> list[Path]:
    """Write all figures as PNG files of 150 dots an inch.

    Parameters
    ----------
    results : iterable of CellResult, or Evaluation
        Of one experiment.
    folder : str or Path
        Made if needed.

    Returns
    -------
    list of Path
    """
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures_of(results).items():
        paths.append(where / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
    return paths


def _shown(found: Iterable[Series], task: str) -> list[Series]:
    """The series of one kind of model, the first network that there is, else a baseline."""
    own = [series for series in found if series.task == task]
    kinds = [model_words(series) for series in own if series.estimator not in BASELINES]
    kinds += [model_words(series) for series in own]
    return [series for series in own if model_words(series) == kinds[0]]


def _accuracies(told: Evaluation) -> dict[str, Figure]:
    from ..figures.networks import accuracy_figure

    panels = [panel for name in TASKS if (panel := _accuracy_panel(told, name)) is not None]
    return {"accuracy": accuracy_figure(panels)} if panels else {}


def _accuracy_panel(told: Evaluation, task: str) -> AccuracyPanel | None:
    from ..figures.networks import AccuracyPanel, AccuracyPoint

    own = [series for series in whole(told.classes) if series.task == task]
    if not own:
        return None
    points = [AccuracyPoint(s.channel, s.estimator, told.accuracy(s).interval) for s in own]
    noted = []
    for series in {series.channels: series for series in own}.values():
        note = published(task, "+".join(series.channels))
        if note is not None:
            noted.append(AccuracyPoint(series.channel, "note", note.interval()))
    return AccuracyPanel(TASKS[task].title, points, noted, 1 / len(TASKS[task].samples))


def _confusions(told: Evaluation) -> dict[str, Figure]:
    from ..figures.networks import ConfusionPanel, confusion_figure, coverage_figure

    found: dict[str, Figure] = {}
    for name, task in TASKS.items():
        shown = _shown(whole(told.classes), name)
        if not shown or task.shuffled:
            continue
        panels = [
            ConfusionPanel(
                series.channel,
                confusion_of(told.classes[series].outcomes),
                told.accuracy(series).interval,
            )
            for series in shown
        ]
        found[f"confusion-{name}"] = confusion_figure(
            panels, f"{task.title}, {model_words(shown[0])}"
        )
        found[f"coverage-{name}"] = coverage_figure(
            {
                series.channel: coverage(one.confidence, one.correct)
                for series in shown
                for one in (told.classes[series].calibrated,)
            }
        )
    return found


def _properties(told: Evaluation) -> dict[str, Figure]:
    from ..figures.networks import properties_figure

    found: dict[str, Figure] = {}
    for name, task in TASKS.items():
        shown = _shown(whole(told.values), name)
        panels = [panel for each in PROPERTIES if (panel := _property_panel(told, shown, each))]
        if panels:
            found[f"properties-{name}"] = properties_figure(
                panels, f"{task.title}, {model_words(shown[0])}"
            )
    return found


def _property_panel(told: Evaluation, shown: list[Series], name: str) -> PropertyPanel | None:
    from ..figures.networks import PropertyPanel

    own = [s for s in shown if name in told.values[s].outcomes.properties]
    if not own:
        return None
    predicted, scores = {}, {}
    for series in own:
        outcomes = told.values[series].outcomes
        means = sample_means(outcomes, name)
        predicted[series.channel] = sorted(means, key=lambda mean: mean.sample)
        scores[series.channel] = next(
            score.r2 for score in regression_scores(outcomes) if score.name == name
        )
    return PropertyPanel(property_words(name), PROPERTIES[name], predicted, scores)


def _calibrations(told: Evaluation) -> dict[str, Figure]:
    from ..figures.networks import CalibrationPanel, calibration_figure

    panels = []
    for name, task in TASKS.items():
        for series in _shown(whole(told.classes), name) if not task.shuffled else ():
            own = told.classes[series]
            before, after = (
                reliability(one.confidence, one.correct) for one in (own.outcomes, own.calibrated)
            )
            title = f"{task.title}, {series.channel}"
            panels.append(CalibrationPanel(title, before, after))
    return {"calibration": calibration_figure(panels)} if panels else {}


def _learning(told: Evaluation) -> dict[str, Figure]:
    from ..figures.networks import learning_figure

    curves = {
        f"{series.of_task.title}, {series.channel}, {series.estimator}": curve
        for series, curve in told.learning_curves().items()
    }
    return {"learning": learning_figure(curves)} if curves else {}
