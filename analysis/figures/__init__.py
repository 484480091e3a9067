"""The figures of a run: results that can be read at the size they are saved.

Each function returns a matplotlib ``Figure`` that belongs to nobody: no pyplot, no global state.
"""

from .cross_axis import cross_axis_figure
from .drift import drift_figure
from .hysteresis import hysteresis_figure
from .model import model_figure
from .tiles import Tiles

__all__ = ["Tiles", "cross_axis_figure", "drift_figure", "hysteresis_figure", "model_figure"]
