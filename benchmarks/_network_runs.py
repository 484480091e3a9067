"""Image runs of many samples and probes, simulated as fast as the machine computes.

Each session is a probe of its own, out of the box, calibrated, and worn by its images; each image
has nuisances of its own and lies on a field of the one specimen that there is of a sample. The runs
lie in a folder like that of a station (``journal``, ``assets``), documents and all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks._network_documents import Document, TakenImage, documents
from devices.drivers.simulated_imaging.probe_kinds import KINDS
from plans.scans import Scan, field_place
from sim import peakforce
from sim.copolymer import FORMULATIONS, BulkProperties, Copolymer, Formulation
from sim.peakforce import ForceProbe, Frame, ImageNuisance, PeakForceSettings
from sim.tapping import TappingSettings, phase_scan, tapping_probe
from sim.tip import Double, SphereCone, worn_by
from station.journal import Journal, journal_file, read_documents

__all__ = [
    "FAULTS",
    "FIVE",
    "NINE",
    "PHASE",
    "THREE",
    "Recipe",
    "SimulatedRuns",
    "bulk_properties",
    "properties_of",
    "simulated_runs",
]

NINE = tuple(FORMULATIONS)
FIVE = ("A2", "B3", "B4", "C3", "C5")
THREE = ("A2", "C3", "C5")
FAULTS = ("", "blunt", "sticky", "double")
"""What may be wrong with every tip: nothing, the apex broken off, a cap of what it has picked up,
or a second apex, which shows in the height above all: the lower one presses."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "twinscope/network-runs")
_FIRST_DAY = 1767603600.0  # 5 January 2026, 9 h UTC
_DAY, _BETWEEN = 86400.0, 20.0  # s, to go to the next field and engage
_TOGETHER = 3  # samples that are imaged in turns (Bruker application note 155)
_WORKERS = 2
_RECIPE = "recipe.json"
_KEPT: Mapping[str, tuple[str, ...]] = {
    "PeakForce QNM": ("dmt_modulus", "adhesion", "deformation", "dissipation", "height"),
    "Tapping": ("height", "phase"),
}
_RATES = {"PeakForce QNM": 1.0, "Tapping": 2.0}  # lines a second


@dataclass(frozen=True)
class Recipe:
    """Which images are taken.

    Parameters
    ----------
    samples : tuple of str
        Of `sim.copolymer.FORMULATIONS`, or of `drawn`.
    sessions : int
        Days, each with a probe of its own.
    fields : int
        Of each sample in a session; no field is imaged twice.
    lines : int
        Of an image, and points of a line.
    size : float
        Of an image, µm.
    mode : str
        ``PeakForce QNM`` or ``Tapping``.
    fault : str
        Of every tip, one of `FAULTS`.
    seed : int
        Of surfaces, probes and images.
    first_session : int
        Number of the first session: others than those of another recipe, for other probes.
    drawn : tuple of Formulation
        Of samples that are none of `sim.copolymer.FORMULATIONS`.

    Raises
    ------
    ValueError
        What cannot be imaged.
    """

    samples: tuple[str, ...] = NINE
    sessions: int = 12
    fields: int = 15
    lines: int = 128
    size: float = 4.0
    mode: str = "PeakForce QNM"
    fault: str = ""
    seed: int = 0
    first_session: int = 0
    drawn: tuple[Formulation, ...] = ()

    def __post_init__(self) -> None:
        if twice := [made.name for made in self.drawn if made.name in FORMULATIONS]:
            raise ValueError(f"drawn formulations named {', '.join(twice)}: these are samples")
        known = (*FORMULATIONS, *(made.name for made in self.drawn))
        if unknown := [name for name in self.samples if name not in known]:
            raise ValueError(f"no sample {', '.join(unknown)}: choose of {', '.join(known)}")
        if not self.samples or min(self.sessions, self.fields) < 1:
            raise ValueError("one sample, one session and one field or more are needed")
        if self.mode not in _KEPT:
            raise ValueError(f"mode {self.mode!r} is not allowed: one of {', '.join(_KEPT)}")
        if self.fault not in FAULTS:
            raise ValueError(f"fault {self.fault!r} is not allowed: one of {FAULTS}")
        _ = self.scan  # refuses what is no frame

    @property
    def scan(self) -> Scan:
        """How each image is scanned."""
        return Scan(self.size, _RATES[self.mode], self.lines, self.lines)

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.samples) * self.sessions * self.fields

    def formulation(self, sample: str) -> Formulation:
        """What a sample is made of."""
        return ({made.name: made for made in self.drawn} | dict(FORMULATIONS))[sample]


PHASE = Recipe(FIVE, size=10.0, mode="Tapping")
"""Phase images as in Bruker application note 155: 10 µm, five samples, stiff probes, many days."""


@dataclass(frozen=True)
class SimulatedRuns:
    """Runs in a folder.

    Parameters
    ----------
    folder : Path
        With ``journal`` and ``assets``, as the data folder of a station.
    uids : tuple of str
        Of the runs, in the order in which they were taken.
    """

    folder: Path
    uids: tuple[str, ...]

    @property
    def journal(self) -> Path:
        """Folder of the journal."""
        return self.folder / "journal"

    def __len__(self) -> int:
        return len(self.uids)

    def __iter__(self) -> Iterator[Iterable[Document]]:
        """Yield the documents of one run after the other."""
        files = {path.stem: path for path in self.journal.glob("[0-9]*/[0-9]*/*.jsonl")}
        for uid in self.uids:
            yield read_documents(files[uid])


def simulated_runs(
    folder: Path | str,
    recipe: Recipe | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> SimulatedRuns:
    """Take the images that are not in the folder yet.

    Parameters
    ----------
    folder : Path
        Of one recipe; made where it is missing. What was broken off goes on.
    recipe : Recipe, optional
        Which images; nine samples, 12 sessions and 15 fields by default.
    progress : callable(done, of), optional
        Told after each image.

    Returns
    -------
    SimulatedRuns

    Raises
    ------
    ValueError
        If the folder holds runs of another recipe, or of a simulator with other figures.
    """
    folder, recipe = Path(folder).absolute(), Recipe() if recipe is None else recipe
    _claim(folder, recipe)
    jobs = list(_jobs(recipe))
    missing = [job for job in jobs if not _finished(folder / "journal", job.uid)]
    done = len(jobs) - len(missing)
    with Journal(folder / "journal") as journal, ThreadPoolExecutor(_WORKERS) as pool:
        for taken in pool.map(_take, missing):
            for name, doc in documents(taken, folder / "assets"):
                journal(name, doc)
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    return SimulatedRuns(folder, tuple(job.uid for job in jobs))


def bulk_properties(
    formulations: Iterable[Formulation] = tuple(FORMULATIONS.values()), seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return what tests of the bulk found of each sample, the same for all its images.

    Parameters
    ----------
    formulations : iterable of Formulation
        What the samples are made of.
    seed : int
        Of what no image shows; see `sim.copolymer.Formulation.bulk`.

    Returns
    -------
    dict
        By sample, the values of `analysis.networks.tasks.PROPERTIES` by name, in their units.
    """
    return {
        made.name: properties_of(
            made.bulk(np.random.default_rng([seed, crc32(made.name.encode())]))
        )
        for made in formulations
    }


def properties_of(bulk: BulkProperties) -> dict[str, float]:
    """Return the values of `analysis.networks.tasks.PROPERTIES` by name, in their units."""
    return {
        "notched_izod": bulk.izod,
        "flexural_modulus": 1e-6 * bulk.flexural,
        "young_modulus": 1e-6 * bulk.young,
        "yield_strength": 1e-6 * bulk.yield_stress,
        "ultimate_elongation": 100 * bulk.elongation,
    }


@dataclass(frozen=True)
class _Session:
    """A probe, how it was calibrated, and what the instrument is told on one day."""

    number: int
    serial: str
    probe: ForceProbe
    believed: PeakForceSettings
    tapping: TappingSettings


@dataclass(frozen=True)
class _Job:
    """One image to be taken."""

    recipe: Recipe
    session: _Session
    sample: str
    number: int  # of the image in its session
    field: int  # of the sample, of all sessions
    uid: str


def _jobs(recipe: Recipe) -> Iterator[_Job]:
    """Yield the images in the order in which an automatic routine takes them."""
    fingerprint = _fingerprint(recipe)
    for number in range(recipe.first_session, recipe.first_session + recipe.sessions):
        session = _session(recipe, number)
        taken = 0
        for first in range(0, len(recipe.samples), _TOGETHER):
            for within in range(recipe.fields):
                field = number * recipe.fields + within
                for sample in recipe.samples[first : first + _TOGETHER]:
                    uid = str(uuid.uuid5(_NAMESPACE, f"{fingerprint} {sample} {field}"))
                    yield _Job(recipe, session, sample, taken, field, uid)
                    taken += 1


def _session(recipe: Recipe, number: int) -> _Session:
    rng = np.random.default_rng([recipe.seed, number, crc32(recipe.mode.encode())])
    soft, stiff = KINDS
    probe, measured = soft.drawn(rng)
    serial = f"{soft.name}-{number + 1:04d}"
    told = TappingSettings.drawn(rng)
    if recipe.mode == "Tapping":
        probe, serial = tapping_probe(rng), f"{stiff.name}-{number + 1:04d}"
    probe = _spoilt(probe, recipe.fault)
    believed = PeakForceSettings(spring_constant=measured)
    return _Session(number, serial, probe, believed, told)


def _spoilt(probe: ForceProbe, fault: str) -> ForceProbe:
    if fault == "blunt":
        return replace(probe, tip=SphereCone(4 * probe.tip.radius))
    if fault == "sticky":
        return replace(probe, adhesion_factor=3 * probe.adhesion_factor)
    if fault == "double":
        return replace(probe, tip=Double(probe.tip, (90e-9, 60e-9), 1e-9))
    return probe


def _take(job: _Job) -> TakenImage:
    recipe, session, scan = job.recipe, job.session, job.recipe.scan
    place = field_place(job.sample, job.field, scan)
    key = [recipe.seed, session.number, job.field, crc32(job.sample.encode())]
    rng = np.random.default_rng(key)
    frame = Frame(
        center=(1e-6 * place.x, 1e-6 * place.y),
        size=1e-6 * scan.size,
        lines=scan.lines,
        points=scan.points,
        line_time=1 / scan.rate,
    )
    surface = Copolymer(recipe.formulation(job.sample), recipe.seed)
    probe = session.probe
    with suppress(ValueError):  # as blunt as the model of wear goes
        probe = replace(probe, tip=worn_by(probe.tip, job.number * 1e-6 * scan.distance))
    nuisance = ImageNuisance.drawn(rng)
    if recipe.mode == "Tapping":
        image = phase_scan(surface, probe, frame, session.tapping, rng, nuisance=nuisance)
        error, settings = image["amplitude_error"], _tapping_settings(session.tapping)
    else:
        image = peakforce.scan(surface, probe, frame, session.believed, rng, nuisance=nuisance)
        error, settings = image["peak_force_error"], _force_settings(session.believed)
    begun = _FIRST_DAY + session.number * _DAY + job.number * (scan.duration + _BETWEEN)
    return TakenImage(
        uid=job.uid,
        time=begun,
        place=place,
        scan=scan,
        mode=recipe.mode,
        serial=session.serial,
        channels={name: image[name] for name in _KEPT[recipe.mode]},
        error=float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))),
        settings=settings,
    )


def _force_settings(told: PeakForceSettings) -> dict[str, tuple[Any, str]]:
    return {
        "peak_force_setpoint": (1e9 * told.setpoint, "nN"),
        "pft_frequency": (told.frequency, "Hz"),
        "peak_force_amplitude": (1e9 * told.amplitude, "nm"),
        "sample_points": (told.sample_points, ""),
        "min_force_fit_boundary": (100 * told.min_force_fit, "%"),
        "max_force_fit_boundary": (100 * told.max_force_fit, "%"),
        "deformation_fit_region": (told.deformation_fit, ""),
        "sample_poissons_ratio": (told.poisson, ""),
        "tip_half_angle": (math.degrees(told.half_angle), "deg"),
        "include_adhesion_force": (int(told.include_adhesion), ""),
    }


def _tapping_settings(told: TappingSettings) -> dict[str, tuple[Any, str]]:
    return {
        "target_amplitude": (1e9 * told.free_amplitude, "nm"),
        "amplitude_setpoint": (100 * told.setpoint, "%"),
    }


def _fingerprint(recipe: Recipe) -> str:
    """Digest of what decides each image of a recipe, the figures of the simulator included.

    How many sessions there are decides no image; drawn formulations are told with the others.
    """
    of_all = {name: value for name, value in asdict(recipe).items() if name not in _NOT_TOLD}
    rng = np.random.default_rng(0)
    simulator = (ForceProbe.drawn(rng), tapping_probe(rng), ImageNuisance.drawn(rng))
    made = [repr(recipe.formulation(name)) for name in recipe.samples]
    text = json.dumps([of_all, [repr(each) for each in simulator], made])
    return hashlib.sha256(text.encode()).hexdigest()


_NOT_TOLD = ("sessions", "first_session", "drawn")


def _claim(folder: Path, recipe: Recipe) -> None:
    """Refuse a folder of another recipe; make this one's."""
    path, wanted = folder / _RECIPE, _fingerprint(recipe)
    if path.exists():
        found = json.loads(path.read_text())
        if found["fingerprint"] != wanted:
            raise ValueError(
                f"{folder} holds runs of another recipe or simulator: remove it, or choose another "
                "folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"fingerprint": wanted, "recipe": asdict(recipe)}, indent=1))
    draft.replace(path)


def _finished(journal: Path, uid: str) -> bool:
    path = journal_file(journal, uid)
    return path is not None and any(name == "stop" for name, _ in read_documents(path))
