"""An AFM on the real wire: an in-process server over the simulated AFM on a fast clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from microscope_bench import CountingClient, Documents
from numpy.typing import ArrayLike, NDArray

from devices import Afm, Comb
from devices.drivers import afm_services
from devices.drivers.simulated_afm import AfmParameters, SimulatedAFM
from devices.drivers.simulated_imaging import ImagingParameters
from devices.wire import Server
from sim.cantilever import Cantilever, Drive, Engine, Spectra, Tones, free_spectra
from sim.clock import Clock, ScaledClock
from sim.forces import Force, NoForce
from sim.peakforce import ForceProbe
from sim.surface import Contact, Surface, Uniform

POINT = (1.0, 2.0, 1.0, 2.0)  # µm
# Astride both true resonances, 6.25 nm a tone: as Borysov et al. drive, 12.5 nm at both beats.
BIMODAL = Comb(
    df=200.0,
    tones=(*range(1493, 1517), *range(9467, 9491)),
    drive_tones=(1504, 1505, 9478, 9479),
    drive_amplitude=(0.109, 0.109, 0.476, 0.476),
)


class Tapper:
    """An engine that costs nothing: a tip that swings less, in proportion, the nearer it rests."""

    def simulate(
        self,
        cantilever: Cantilever,
        drive: Drive,
        forces: Force | Sequence[Force],
        heights: ArrayLike,
        tones: Tones,
    ) -> Spectra:
        height = np.atleast_1d(np.asarray(heights, np.float64))
        free = free_spectra(cantilever, drive, tones)
        swing = np.abs(free_spectra(cantilever, drive, Tones(drive.tones)).z).sum()
        share = np.clip(height / swing, 0.0, 1.0)[:, np.newaxis]
        return Spectra(share * free.z, share * free.y, height - share[:, 0] * swing)


@dataclass(frozen=True)
class Rubber:
    """A gently waved surface of polypropylene, of rubber where x is above 0."""

    matrix: float = 1.5e9  # effective moduli E*, Pa
    rubber: float = 80e6
    adhesion: float = 2e-9  # N
    relief: float = 10e-9  # m
    period: float = 2e-6

    def modulus(self, x: ArrayLike) -> NDArray[np.float64]:
        return np.where(np.asarray(x) > 0, self.rubber, self.matrix)

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        x, y = np.broadcast_arrays(x, y)
        return self.relief * np.sin(2 * np.pi * np.add(x, 0.5 * y) / self.period)

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        return [NoForce()] * np.size(x)

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        modulus = np.broadcast_arrays(self.modulus(x), y)[0].astype(float)
        adhesion = np.full(modulus.shape, self.adhesion)
        return Contact(modulus, adhesion, adhesion, np.zeros(modulus.shape))


PERFECT = ImagingParameters(probe=ForceProbe(force_noise=0.0), nuisances=False, wear_rate=0.0)
"""Imaging without noise by a probe that is what its maker says."""

SAMPLES: Mapping[str, Surface] = {"rubber": Rubber(), "even": Uniform(100e6)}


@dataclass
class AfmBench:
    """A simulated AFM, its server, the devices that talk to it, and an engine with documents."""

    simulated: SimulatedAFM
    server: Server
    client: CountingClient
    afm: Any  # an Afm; ophyd's types do not meet bluesky's protocols
    engine: RunEngine
    documents: Any
    assets: Path

    def __iter__(self) -> Iterator[Any]:
        """Unpack as (simulated, afm, engine)."""
        return iter((self.simulated, self.afm, self.engine))

    def engage(self, sample: str | None = None, mode: str | None = None) -> None:
        """Bring the middle of a sample under the tip, and the tip to it."""
        afm = self.afm
        if sample is not None:
            afm.chuck.place.set((sample, 0.0, 0.0)).wait(timeout=60)
        if mode is not None:
            afm.imager.mode.set(mode).wait(timeout=60)
        afm.imager.engage.set(1).wait(timeout=60)

    def place(self, z_nm: float) -> None:
        """Put the resting tip `z_nm` above the surface under the scanner, as nobody else can."""
        truth = self.simulated.truth
        reading = self.simulated.scanner.read()
        touch = truth.surface_z(np.array([reading.x]), np.array([reading.y]), reading.time)
        self.afm.head.z.set(1e9 * float(touch[0]) + z_nm).wait(timeout=60)


@contextmanager
def afm_bench(
    assets: Path,
    *,
    rate: float = 50.0,
    engine: Engine | None = None,
    parameters: AfmParameters | None = None,
    surface: Surface | None = None,
    clock: Clock | None = None,
    seed: int = 3,
    heartbeat_s: float = 1.0,
    samples: Mapping[str, Surface] | None = None,
    imaging: ImagingParameters | None = None,
) -> Iterator[AfmBench]:
    """Start a server of a simulated AFM and connect to it.

    Parameters
    ----------
    assets : Path
        Where the spectra are written.
    rate : float
        Instrument seconds in a real second.
    engine : Engine, optional
        What moves the cantilever; `Tapper` by default, ``FastEngine()`` for physics.
    parameters, surface, clock, seed
        Of the `SimulatedAFM`.
    heartbeat_s : float
        Of the client.
    samples, imaging
        Of the `SimulatedAFM`, for one that takes images.
    """
    simulated = SimulatedAFM(
        parameters,
        surface,
        seed,
        ScaledClock(rate) if clock is None else clock,
        engine=Tapper() if engine is None else engine,
        samples=samples,
        imaging=imaging,
    )
    documents = Documents()
    run_engine = RunEngine({}, call_returns_result=True)
    run_engine.subscribe(documents)
    with Server(afm_services(simulated.drivers, poll_s=0.002), name="afm") as server:
        client = CountingClient(server.control_address, name="ana", heartbeat_s=heartbeat_s)
        afm = Afm(client, asset_folder=assets)
        try:
            afm.wait_for_connection(timeout=30)
            yield AfmBench(simulated, server, client, afm, run_engine, documents, assets)
        finally:
            afm.close()
            client.close()


@contextmanager
def imaging_bench(
    assets: Path, *, rate: float = 1000.0, imaging: ImagingParameters = PERFECT, **changes: Any
) -> Iterator[AfmBench]:
    """Start a server of an AFM that takes images, of a small frame at first.

    Parameters
    ----------
    assets : Path
        Where the images are written.
    rate : float
        Instrument seconds in a real second.
    imaging : ImagingParameters
        The kind of probe; perfect by default.
    **changes
        Of `afm_bench`.
    """
    defaults: dict[str, Any] = {"parameters": quiet(), "samples": SAMPLES}
    with afm_bench(assets, rate=rate, imaging=imaging, **{**defaults, **changes}) as bench:
        frame = {"scan_size": 2.0, "scan_rate": 1.0, "lines": 12, "samples_per_line": 16}
        bench.afm.scanner.frame.set(frame).wait(timeout=60)
        bench.afm.imager.settings.set({"peak_force_setpoint": 10.0}).wait(timeout=60)
        yield bench


def quiet(**changes: Any) -> AfmParameters:
    """Return an AFM without noise and drift, otherwise that of `AfmParameters`."""
    still = replace(
        AfmParameters(), temperature=0.0, detector_noise=(0.0, 0.0), drift=(0.0, 0.0, 0.0)
    )
    return replace(still, **changes)
