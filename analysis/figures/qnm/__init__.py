"""Figures of the images of an AFM: their channels, the rubber in them, the tip that took them."""

from .channels import Channel, channels_figure
from .rubber import RubberCurve, modulus_figure
from .trend import TipPoint, trend_figure

__all__ = [
    "Channel",
    "RubberCurve",
    "TipPoint",
    "channels_figure",
    "modulus_figure",
    "trend_figure",
]
