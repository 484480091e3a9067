"""Does the analysis find what the simulator hides?

Runs the hysteresis plan over the whole station - wire, devices, RunEngine, HDF5 files, live
analysis - on random stages, and compares what the analysis says of the actual displacements with
where the specimen was, and the first-step deficits with the play that was put in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from rich.progress import track

from analysis.alignment import HysteresisResult, result_from_documents
from analysis.live.hysteresis import HysteresisAnalysis
from benchmarks.tables import Table
from devices.drivers.simulated import SimulatedTEM
from devices.drivers.tem import tem_services
from devices.microscope import Microscope
from devices.wire import Client, Server
from plans.stage import hysteresis
from sim.clock import ScaledClock
from sim.specimen import MicrographSpecimen, ProceduralSpecimen, Specimen
from sim.stage import random_stage

_MICROGRAPH = Path(__file__).parents[1] / "station" / "data" / "micrograph.tif"
_CLOCK_RATE = 200.0


@dataclass(frozen=True)
class _Run:
    """One stage: the errors of its displacements (nm), and its deficits found and put in (nm)."""

    displacement_errors: np.ndarray
    displacement_z: np.ndarray
    refused: int
    deficits: list[tuple[float, float, float, float]]  # value, low, high, put in


def _documents(tem: Microscope, repeats: int) -> tuple[HysteresisResult, np.ndarray]:
    """Run the plan; return the analysis' result and the times of the images (s)."""
    found: list[tuple[str, dict[str, Any]]] = []
    times: list[float] = []
    analysis = HysteresisAnalysis(lambda name, document: found.append((name, document)))

    def collect(name: str, document: dict[str, Any]) -> None:
        if name == "event" and "tem_camera_time" in document["data"]:
            times.append(document["data"]["tem_camera_time"])

    engine = RunEngine({}, call_returns_result=True)
    engine.subscribe(analysis)
    engine.subscribe(collect)
    engine(hysteresis(tem, step=1.0, steps=5, repeats=repeats))
    return result_from_documents(found), np.array(times)


def _one(seed: int, specimen: Specimen, repeats: int) -> _Run:
    parameters = random_stage(seed)
    simulated = SimulatedTEM(parameters, specimen, seed, ScaledClock(_CLOCK_RATE))
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.005)
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(services, name="benchmark") as server,
        closing(Client(server.control_address, server.events_address, name="benchmark")) as client,
        closing(Microscope(client, asset_folder=Path(folder))) as tem,
    ):
        tem.wait_for_connection()
        result, times = _documents(tem, repeats)
    truth = np.diff(simulated.truth.actual(times)[:, :2], axis=0) * 1e9
    steps = result.steps
    errors = (steps.actual_displacement * 1e3 - truth)[steps.accepted]
    stderr = np.sqrt(np.diagonal(steps.covariance, axis1=1, axis2=2))[steps.accepted] * 1e3
    return _Run(
        displacement_errors=errors,
        displacement_z=errors / stderr,
        refused=int(np.sum(~steps.accepted)),
        deficits=[
            (
                1e3 * found.actual.value,
                1e3 * found.actual.low,
                1e3 * found.actual.high,
                1e9 * parameters.axes[found.axis].backlash,
            )
            for found in result.deficits
        ],
    )


def _figures(runs: Sequence[_Run]) -> dict[str, str]:
    errors = np.concatenate([run.displacement_errors for run in runs])
    z = np.concatenate([run.displacement_z for run in runs])
    value, low, high, put_in = np.array([row for run in runs for row in run.deficits]).T
    return {
        "stages": str(len(runs)),
        "displacements": str(errors.shape[0]),
        "registrations refused": str(sum(run.refused for run in runs)),
        "error of a displacement, rms (nm)": f"{np.sqrt(np.mean(errors**2)):.2f}",
        "error of a displacement, worst (nm)": f"{np.abs(errors).max():.2f}",
        "displacements within their 95 % interval": f"{100 * np.mean(np.abs(z) < 1.96):.1f} %",
        "deficits": str(value.size),
        "error of a deficit, rms (nm)": f"{np.sqrt(np.mean((value - put_in) ** 2)):.1f}",
        "half width of its 95 % interval, median (nm)": f"{np.median(high - low) / 2:.1f}",
        "deficits put in within the interval": (
            f"{100 * np.mean((low <= put_in) & (put_in <= high)):.1f} %"
        ),
    }


def measure(stages: int = 50, repeats: int = 3) -> list[Table]:
    """Measure on `stages` random stages with a procedural specimen, a fifth as many on a real one.

    Returns
    -------
    list of Table
    """
    import tifffile

    real = MicrographSpecimen(tifffile.imread(_MICROGRAPH), 10e-9, origin=(456, 540))
    procedural = [
        _one(seed, ProceduralSpecimen(seed), repeats)
        for seed in track(range(stages), "random stages, procedural specimen")
    ]
    micrograph = [
        _one(1000 + seed, real, repeats)
        for seed in track(range(max(1, stages // 5)), "random stages, micrograph")
    ]
    of_procedural, of_micrograph = _figures(procedural), _figures(micrograph)
    return [
        Table(
            title="Hysteresis run: analysis against the simulator's hidden truth",
            columns=["", "procedural specimen", "micrograph"],
            rows=[[name, of_procedural[name], of_micrograph[name]] for name in of_procedural],
            notes="Default dose, 50 000x (7.3 nm pixels), steps of 1 µm, five a leg, "
            f"{repeats} repeats a direction. A deficit is compared with the play that the stage "
            "was given, not with the motion it happened to make. Aims: displacements within 2 nm "
            "rms, the intervals of the deficits hold what was put in.",
        )
    ]
