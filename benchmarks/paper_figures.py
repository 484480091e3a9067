"""The figures of Borysov et al., from runs in a catalog, with the true forces beside what is found.

    python -m benchmarks.paper_figures [FOLDER]

records both of the paper's cases on the simulated AFM - wire, devices, plan, journal, catalog -,
analyses the runs as the catalog gives them back, and draws figures 1 and 3 to 10 (2 is a sketch of
a cantilever) into FOLDER.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

import sim.cantilever
from analysis.figures import intermodulation as figures
from analysis.figures.intermodulation import Convergence
from analysis.intermodulation import Measurement, MeasurementError, Mode, motion
from analysis.intermodulation.lateral import reconstruct_lateral
from analysis.intermodulation.polynomial import reconstruct_polynomial
from analysis.intermodulation.results import result_from_documents
from analysis.live import IntermodulationAnalysis
from analysis.replay import replay
from devices import Afm, ProbeCalibration
from devices.drivers import afm_services
from devices.drivers.simulated_afm import AfmParameters, SimulatedAFM
from devices.wire import Client, Server
from plans import Guard, Tapping, point_spectrum
from plans.combs import paper_comb
from sim.cantilever.paper import case_1, case_2
from sim.clock import ScaledClock
from sim.forces import Force
from sim.surface import Even
from station.catalog import ensure_catalog, read_catalog_documents, stop_catalog, wait_archived
from station.journal import Journal

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "intermodulation"

_DPI = 110
_LIFTED = "afm_head_lifted"
_CLOCK_RATE = 50.0
_PIXELS = 64  # averaged: the noise of one period is too much for a dissipation by polynomials
_DF = 200.0
_DEGREE = 21
_TONES = {"case 1": 24, "case 2": 48}  # a band; the paper's 24 do not tell a field apart
_AMPLITUDES = {"case 1": (12.5, 12.5), "case 2": (25.0, 12.5)}  # nm
_COUNTS = range(8, 25, 2)
_ARCHIVED_S = 120.0


@dataclass(frozen=True, eq=False)
class Known:
    """A measurement from the catalog and the truth about it.

    Parameters
    ----------
    measurement : Measurement
        Mean of all pixels.
    force : Force
        The true law.
    height : float
        The true height of the resting tip, m.
    """

    measurement: Measurement
    force: Force
    height: float

    def along_z(self, z: NDArray[np.float64], velocity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true force along z, N."""
        return self.force.components(self.height + z, 0.0, velocity, 0.0)[0]

    def field(
        self, z: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the true force along z and y on a tip at rest, N."""
        return self.force.components(self.height + z, y, 0.0, 0.0)


@contextmanager
def _instrument(simulated: SimulatedAFM, assets: Path) -> Iterator[Afm]:
    with (
        Server(afm_services(simulated.drivers, poll_s=0.005), name="afm") as server,
        closing(Client(server.control_address, server.events_address, name="figures")) as client,
        closing(Afm(client, asset_folder=assets)) as afm,
    ):
        afm.wait_for_connection(timeout=30.0)
        yield afm


def _simulated(name: str) -> tuple[SimulatedAFM, Force]:
    """Return a simulated AFM with the cantilever of the paper over its surface."""
    cantilever, _, force, _, _ = case_1(1e-5) if name == "case 1" else case_2(1e17)
    nominal = AfmParameters().nominal
    modes = cantilever.modes
    calibrated = ProbeCalibration(
        resonance_frequency=tuple(mode.frequency for mode in modes),
        quality_factor=tuple(mode.quality_factor for mode in modes),
        spring_constant=tuple(mode.spring_constant for mode in modes),
        mode_axis=tuple(int(mode.axis == "y") for mode in modes),
        radius=nominal.radius,
        sensitivity=nominal.sensitivity,
    )
    parameters = replace(
        AfmParameters(), cantilever=cantilever, nominal=calibrated, drift=(0.0, 0.0, 0.0)
    )
    clock = ScaledClock(_CLOCK_RATE)
    return SimulatedAFM(parameters, Even(force), 0, clock), force


def record(name: str, data: Path, journal: Journal) -> Known:
    """Record a case and read it back from the catalog.

    Parameters
    ----------
    name : str
        ``"case 1"`` or ``"case 2"``.
    data : Path
        Of the station.
    journal : Journal
        What the catalog is made from.
    """
    simulated, force = _simulated(name)
    with _instrument(simulated, data / "assets") as afm:
        modes = simulated.truth.parameters.cantilever.modes
        comb = paper_comb(
            [_mode(mode) for mode in modes], _DF, _AMPLITUDES[name], tones_a_band=_TONES[name]
        )
        engine = RunEngine({}, call_returns_result=True)
        engine.subscribe(journal)
        tapping = Tapping(excitation=comb, guard=Guard(ratio=None, height=17.0))
        outcome: Any = engine(point_spectrum(afm, pixels=_PIXELS, tapping=tapping))
    uid = outcome.plan_result.uid
    wait_archived(data, uid, timeout=_ARCHIVED_S)
    raw = list(read_catalog_documents(data, uid))
    found: list[tuple[str, dict[str, Any]]] = []
    router = IntermodulationAnalysis(lambda kind, doc: found.append((kind, doc)))
    replay(raw, router)
    router.close()
    print(f"{name}: run {uid}")
    height = _engaged_z(raw) - simulated.truth.parameters.surface_z
    return Known(result_from_documents(found).measurement(height=height), force, height)


def _engaged_z(documents: Sequence[tuple[str, Mapping[str, Any]]]) -> float:
    """Return the height of the head at the engaged spectrum, m."""
    events = [doc["data"] for name, doc in documents if name == "event"]
    (z,) = [
        data["afm_head_z"] for data in events if "afm_lockin_time" in data and not data[_LIFTED]
    ]
    return 1e-9 * z


def _mode(true: sim.cantilever.Mode) -> Mode:
    return Mode(true.frequency, true.quality_factor, true.spring_constant, true.axis)


def _relative(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((found - true) ** 2) / np.mean(true**2)))


def _convergence(known: Known, velocity: float) -> dict[str, Convergence]:
    """Return the errors of reconstructions from so many tones round the middle of each band."""
    bands = {}
    for name, places in zip(("first band", "second band"), known.measurement.bands(), strict=True):
        rows = []
        for count in _COUNTS:
            first = (places.size - count) // 2
            chosen = places[first : first + count]
            try:
                curve = reconstruct_polynomial(known.measurement, _DEGREE, equation_tones=chosen)
            except MeasurementError:  # fewer equations than unknowns
                rows.append((np.nan, np.nan))
                continue
            still, moving = np.zeros_like(curve.z), np.full_like(curve.z, 0.2 * velocity)
            rest, damped = (known.along_z(curve.z, v) for v in (still, moving))
            found = curve.force(curve.z), curve.force(curve.z, moving)
            rows.append((_relative(found[0], rest), _relative(found[1] - found[0], damped - rest)))
        conservative, dissipative = np.array(rows).T
        bands[name] = Convergence(np.array(_COUNTS), conservative, dissipative)
    return bands


def draw(first: Known, second: Known) -> Iterator[tuple[str, Figure]]:
    """Draw the figures, each with its name."""
    spectra = first.measurement
    curve = reconstruct_polynomial(spectra, _DEGREE)
    velocity = float(motion(spectra, degree=1).velocity.max())
    yield "fig-1", figures.comb_figure(spectra)
    yield "fig-3", figures.spectrum_figure(spectra)
    yield "fig-4", figures.response_figure(spectra)
    yield "fig-5", figures.powers_figure(spectra)
    yield "fig-6", figures.force_plane_figure(curve, first.along_z, velocity)
    yield "fig-7", figures.cross_sections_figure(curve, first.along_z, velocity)
    yield "fig-8", figures.convergence_figure(_convergence(first, velocity), _DEGREE)
    field = reconstruct_lateral(second.measurement, _DEGREE)
    visited = (float(field.z[0]), float(field.y[-1]))
    yield "fig-9", figures.lateral_plane_figure(field.force, second.field, visited)
    yield "fig-10", figures.lateral_sections_figure(field.force, second.field, visited)


def main() -> None:
    """Record, read back, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_figures", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        with closing(Journal(data / "journal")) as journal:
            ensure_catalog(data)
            try:
                known = [record(name, data, journal) for name in _TONES]
            finally:
                stop_catalog(data)
    for name, figure in draw(*known):
        FigureCanvasAgg(figure)
        figure.savefig(folder / f"{name}.png", dpi=_DPI)
        print(f"written: {folder / name}.png")


if __name__ == "__main__":
    main()
