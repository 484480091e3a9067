"""Live analysis of intermodulation runs: from tones as they arrive to forces and maps of them.

Holds no science: `analysis.intermodulation` reconstructs. The noise of the tones is what the pixels
of the free spectrum scatter by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .router import AnalysisRouter, Emit, Publisher, RunAnalysis

__all__ = ["IntermodulationAnalysis"]

Progress = Callable[[str, str, int, int], object]

_NAME = "intermodulation"


class IntermodulationAnalysis(AnalysisRouter):
    """Reconstructs the force from each engaged spectrum with the free one before it.

    Emits one "comb" event, one "spectrum" event for each event of the raw run, and for each
    engaged one a "curve" event: the force by `intermodulation.reconstruct`, from the mean of the
    pixels at a point, from the middle pixel of a line of a map; a "field" event where the torsional
    deflection is measured too. Each line of a map is one "line"
    event with adhesion, modulus, damping and height of every pixel.

    Parameters
    ----------
    emit : callable(name, document)
    curve_every : int
        Of the lines of a map, every so many give a force curve; the first does.
    calibration : float
        What a map's law may miss of the change of each tone (standard deviation, part of it),
        because stiffness and sensitivity are known no better: without it every pixel of a
        precise measurement contradicts its law.
    progress : callable(raw_uid, what, done, all), optional
        Called after each event ("spectra analysed").
    """

    assets = ("spectra", "z")

    def __init__(
        self,
        emit: Emit,
        *,
        curve_every: int = 16,
        calibration: float = 0.02,
        progress: Progress | None = None,
    ) -> None:
        if curve_every < 1:
            raise ValueError(f"curve_every is {curve_every}, must be 1 or more")
        if not 0.0 <= calibration < 1.0:
            raise ValueError(f"calibration is {calibration}, must be from 0 to below 1")
        parameters = {"curve_every": int(curve_every), "calibration": float(calibration)}
        super().__init__(emit, name=_NAME, parameters=parameters)
        self._progress = progress

    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether the run names its comb, its probe, and what tells free from engaged."""
        fields = start["fields"]
        return all(isinstance(fields.get(name), Mapping) for name in ("comb", "probe")) and (
            isinstance(fields.get("lifted"), str)
        )

    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin with a run."""
        from ._force_run import ForceRun

        return ForceRun(start, publisher, self._parameters, self._progress)
