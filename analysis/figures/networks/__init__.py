"""Figures of networks and their baselines, after figs. 2 to 5 of Bruker application note 155."""

from .accuracy import AccuracyPanel, AccuracyPoint, accuracy_figure
from .calibration import CalibrationPanel, calibration_figure
from .confusion import ConfusionPanel, confusion_figure
from .curves import abstention_figure, coverage_figure, learning_figure
from .properties import PropertyPanel, properties_figure

__all__ = [
    "AccuracyPanel",
    "AccuracyPoint",
    "CalibrationPanel",
    "ConfusionPanel",
    "PropertyPanel",
    "abstention_figure",
    "accuracy_figure",
    "calibration_figure",
    "confusion_figure",
    "coverage_figure",
    "learning_figure",
    "properties_figure",
]
