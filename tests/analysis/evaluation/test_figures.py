"""Figures show what they are given: axes with units, counts, bars at their values."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from analysis.evaluation import (
    Interval,
    Reliability,
    SampleMean,
    abstention_curve,
    confusion,
    coverage,
)
from analysis.figures.networks import (
    AccuracyPanel,
    AccuracyPoint,
    CalibrationPanel,
    ConfusionPanel,
    PropertyPanel,
    abstention_figure,
    accuracy_figure,
    calibration_figure,
    confusion_figure,
    coverage_figure,
    properties_figure,
)

HALF = Interval(0.5, 0.4, 0.6)


def test_a_true_label_is_a_column_of_the_confusion_matrix():
    matrix = confusion(["A2"] * 3 + ["C3"], ["A2", "C3", "C3", "C3"], ("A2", "C3"))
    axis = confusion_figure([ConfusionPanel("deformation", matrix, HALF)]).axes[0]
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts[(0, 1)] == "2\n67 %"  # true A2, predicted C3
    assert axis.get_title(loc="left").endswith("50.0 %  [40.0, 60.0]")


def test_accuracies_are_in_per_cent_with_those_of_the_note():
    points = [AccuracyPoint("deformation", "resnet50", HALF)]
    note = [AccuracyPoint("deformation", "note", Interval(0.95, 0.8, 1.0))]
    figure = accuracy_figure([AccuracyPanel("three samples", points, note, 1 / 3)])
    assert figure.axes[0].get_ylabel() == "accuracy (%)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "resnet50",
        "application note 155",
        "chance",
    ]


def test_properties_have_their_unit_and_a_bar_a_sample():
    means = [SampleMean("A2", 172.0, Interval(180.0, 170.0, 190.0), 20.0)]
    panel = PropertyPanel("notched Izod", "J/m", {"phase": means}, {"phase": HALF})
    axis, scores, *_ = properties_figure([panel]).axes
    assert axis.get_ylabel() == "notched Izod (J/m)"
    bars = [bar for bar in axis.patches if isinstance(bar, Rectangle)]
    assert [bar.get_height() for bar in bars] == [172.0, 180.0]
    assert scores.get_ylabel() == "R²"


def test_a_sample_of_one_session_has_a_bar_without_interval():
    means = [SampleMean("A2", 172.0, Interval(180.0, np.nan, np.nan), np.nan)]
    panel = PropertyPanel("notched Izod", "J/m", {"phase": means}, {"phase": HALF})
    properties_figure([panel]).canvas.draw()


def test_the_calibration_error_is_in_the_legend():
    bins = Reliability(np.array([0.8]), np.array([0.6]), np.array([50]))
    axis = calibration_figure([CalibrationPanel("deformation", bins, bins)]).axes[0]
    legend = axis.get_legend()
    assert legend is not None
    assert legend.get_texts()[1].get_text() == "as trained: ECE 20.0 %"


def test_what_is_caught_at_the_allowed_loss_is_in_the_legend():
    curve = abstention_curve(np.arange(100.0), np.arange(90.0, 110.0))
    (axis,) = abstention_figure({"another sample": curve}).axes
    legend = axis.get_legend()
    assert legend is not None
    # known ones are lost above 94: of the unknown 95 to 109 are caught
    assert legend.get_texts()[0].get_text() == "another sample: 75.0 %"


def test_coverage_ends_at_the_accuracy_of_all():
    curve = coverage([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0])
    (axis,) = coverage_figure({"deformation": curve}).axes
    assert np.asarray(axis.lines[0].get_xydata())[-1] == pytest.approx((100.0, 50.0))
