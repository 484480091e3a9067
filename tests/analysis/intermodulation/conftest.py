"""Converged tones of the paper's cases, and the forces that made them, written down anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.intermodulation import Measurement, Mode

_DATA = Path(__file__).parents[2] / "data" / "imafm"
_HEIGHT = 17e-9
_DECAY = 1.5e-9


@dataclass(frozen=True)
class PaperForce:
    """Forces of the paper, eq. 22 and 27, as functions of the deflection from the rest point."""

    cubic_damping: float = 0.0
    cubic_spring: float = 0.0

    def conservative(self, z):
        distance = _HEIGHT + np.asarray(z, dtype=float)
        hamaker_radius, closest = 7.1e-20 * 10e-9, 0.3e-9
        attraction = -hamaker_radius / (6.0 * np.maximum(distance, closest) ** 2)
        indentation = np.maximum(closest - distance, 0.0)
        return attraction + 4.0 / 3.0 * 1e9 * np.sqrt(10e-9) * indentation**1.5

    def normal(self, z, velocity):
        decay = np.exp(-(_HEIGHT + z) / _DECAY)
        damping = (2.2e-7 * velocity + self.cubic_damping * velocity**3) * decay
        return self.conservative(z) - damping

    def lateral(self, z, y):
        spring = 0.22 * y + self.cubic_spring * y**3
        return -spring * np.exp(-(_HEIGHT + np.asarray(z, dtype=float)) / _DECAY)

    def field(self, z, y):
        return self.conservative(z) + 0.0 * y, self.lateral(z, y)


@dataclass(frozen=True)
class PaperCase:
    """A measurement without noise, and what made it."""

    measurement: Measurement
    force: PaperForce
    closest: float

    def band(self, number: int, tones: int) -> NDArray[np.int64]:
        """Places of the tones n - tones/2 + 1 ... n + tones/2 round resonance `number`."""
        lowest = (1500, 9450)[number] - tones // 2 + 1
        own = self.measurement.tones
        return np.flatnonzero((own >= lowest) & (own < lowest + tones))

    def with_tones(self, tones: int) -> Measurement:
        """The measurement with that many tones a band."""
        both = np.concatenate([self.band(0, tones), self.band(1, tones)])
        return self.measurement.select(both)


def _metres(*nanometres) -> NDArray[np.complex128]:
    return np.asarray(1e-9 * np.concatenate(nanometres), dtype=np.complex128)


def _load(name: str, second: str, force: PaperForce) -> PaperCase:
    with np.load(_DATA / f"{name}.npz") as data:
        signal = "Y2" if second == "y" else "Z2"
        tones = np.concatenate([data["n1"], data["n2"]])
        measurement = Measurement(
            tones=tones,
            free=_metres(data["Z1_free"], data[f"{signal}_free"]),
            engaged=_metres(data["Z1"], data[signal]),
            noise=np.zeros(tones.size),
            modes=(Mode(300.1e3, 400.0, 40.0), Mode(1890.1e3, 1200.0, 2000.0, second)),
            df=200.0,
            height=_HEIGHT,
            axes=("z",) * data["n1"].size + (second,) * data["n2"].size,
        )
        return PaperCase(measurement, force, 1e-9 * float(data["d_min"]))


@pytest.fixture(scope="session")
def paper_case_1():
    """Two flexural modes, linear damping."""
    return _load("case1_g3_0", "z", PaperForce())


@pytest.fixture(scope="session")
def paper_case_1_cubic():
    """Two flexural modes, cubic damping of 1e-4 kg s/m²."""
    return _load("case1_g3_1e-4", "z", PaperForce(cubic_damping=1e-4))


@pytest.fixture(scope="session")
def paper_case_2():
    """A flexural and a torsional mode, linear lateral spring."""
    return _load("case2_c3_0", "y", PaperForce())


@pytest.fixture(scope="session")
def paper_case_2_cubic():
    """A flexural and a torsional mode, lateral spring with c3 = 0.1 nN/nm³."""
    return _load("case2_c3_0.1", "y", PaperForce(cubic_spring=1e17))


@pytest.fixture(scope="session")
def relative_error():
    """Return the judged error: root of the integral of the squared error over that of the truth."""

    def error(z, found, true):
        return np.sqrt(np.trapezoid((found - true) ** 2, z) / np.trapezoid(true**2, z))

    return error
