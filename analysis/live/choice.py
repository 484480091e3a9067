"""Each run to the analysis that understands it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Analyses", "Analysis"]


class Analysis(Protocol):
    """What follows runs: an `AnalysisRouter`, or several of them."""

    def wants(self, start: Mapping[str, Any]) -> bool:
        """Whether the run of this start document will be analysed."""
        ...

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of any run."""
        ...

    def close(self) -> None:
        """Close the analyses of runs whose stop document never came."""
        ...


class Analyses:
    """Several analyses, the most particular first: a run goes to the first that wants it.

    Parameters
    ----------
    analyses : sequence of Analysis
        A mosaic, for example, is also a run of stops with images, but it is analysed as a mosaic.
    """

    def __init__(self, analyses: Sequence[Analysis]) -> None:
        self._analyses = tuple(analyses)

    def wants(self, start: Mapping[str, Any]) -> bool:
        """Whether any analysis wants the run of this start document."""
        return any(analysis.wants(start) for analysis in self._analyses)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of any run."""
        if name == "start":
            for analysis in self._analyses:
                if analysis.wants(doc):
                    analysis(name, doc)
                    return
            return
        for analysis in self._analyses:  # it ignores what belongs to a run that it did not begin
            analysis(name, doc)

    def close(self) -> None:
        """Close the analyses of runs whose stop document never came."""
        for analysis in self._analyses:
            analysis.close()
