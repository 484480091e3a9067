"""How fast is a cantilever over a surface simulated, and how true, against general integrators?

The error of a simulation is |Z - Z_truth| / |Z_truth - Z_free| over the tones of the worse band.
The truth is the converged tones of the published cases, made by another program, and for other
forces the exact engine at a tolerance a hundred times finer. Speed is CPU time of one core, all
in one process and in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._cantilever_peers import (
    SAMPLES,
    CompiledCvode,
    cvode,
    lsoda,
    right_hand_side,
    tones_of,
)
from benchmarks.tables import Table
from sim.cantilever import Engine, ExactEngine, FastEngine, Spectra, free_spectra
from sim.cantilever.paper import Case, case_1, case_2
from sim.forces import (
    DoubleLayerHertz,
    ExponentialDamping,
    Force,
    Jkr,
    LateralWell,
    VdwDmt,
)

__all__ = ["measure"]

_DATA = Path(__file__).parents[1] / "tests" / "data" / "imafm"
_NM, _MS = 1e-9, 1e-3
_PIXELS = 512
_EXACT = 3e-7  # the tolerance at which the exact engine is within 1e-6 of the published cases

Bands = tuple[NDArray[np.complex128], NDArray[np.complex128]]


def _bands(spectra: Spectra) -> Bands:
    """Return the two bands of a case's first pixel."""
    both = np.concatenate([spectra.z[0], spectra.y[0]])
    return both[:64], both[64:]


def _error(found: Bands, truth: Bands, free: Bands) -> float:
    return max(
        float(np.linalg.norm(f - t) / np.linalg.norm(t - u))
        for f, t, u in zip(found, truth, free, strict=True)
    )


def _published(name: str) -> Bands:
    stored = np.load(_DATA / f"{name}.npz")
    second = "Z2" if "Z2" in stored else "Y2"
    return stored["Z1"] * _NM, stored[second] * _NM


def _with(force: Force, case: Case) -> Case:
    return (*case[:2], force, *case[3:])


def _simulated(engine: Engine, case: Case, pixels: int = 1) -> Spectra:
    cantilever, drive, force, height, tones = case
    return engine.simulate(cantilever, drive, force, np.full(pixels, height), tones)


def _accuracy() -> Table:
    cases: list[tuple[str, Case, Bands | None]] = [
        ("case 1, γ3 = 0", case_1(), _published("case1_g3_0")),
        ("case 1, γ3 = 1e-5", case_1(1e-5), _published("case1_g3_1e-5")),
        ("case 1, γ3 = 1e-4", case_1(1e-4), _published("case1_g3_1e-4")),
        ("case 2, c3 = 0", case_2(), _published("case2_c3_0")),
        ("case 2, c3 = 0.1 nN/nm³", case_2(1e17), _published("case2_c3_0.1")),
    ]
    contact, damping = VdwDmt(7.1e-20, 10e-9, 1e9), ExponentialDamping(linear=2.2e-7)
    others = [
        ("JKR and damping", Jkr(10e-9, 1e9, 0.05) + damping, case_1()),
        ("double layer and Hertz", DoubleLayerHertz(10e-9, 1e9, 0.01, 0.01, 3e-9), case_1()),
        ("DMT, lateral well, damping", contact + LateralWell(0.22, 1e16) + damping, case_2()),
    ]
    cases += [(name, _with(force, case), None) for name, force, case in others]
    engines: dict[str, Engine] = {
        "fast, float32, 24 steps": FastEngine(),
        "fast, float32, 14 steps": FastEngine(steps_per_cycle=14),
        "fast, float64, 96 steps": FastEngine(steps_per_cycle=96, dtype="float64"),
        f"exact, {_EXACT:g}": ExactEngine(tolerance=_EXACT, settling=2),
    }
    rows = []
    for name, case, known in cases:
        free = _bands(free_spectra(case[0], case[1], case[4]))
        truth = known or _bands(_simulated(ExactEngine(_EXACT / 300, settling=2), case))
        errors = [_error(_bands(_simulated(e, case)), truth, free) for e in engines.values()]
        rows.append([name, *(f"{error:.1e}" for error in errors)])
    return Table(
        title="Error of the tones",
        columns=["case", *engines],
        rows=rows,
        notes="Of the worse band. Aim: fast 2e-3, exact 2e-6. The published cases against "
        "converged tones made by another program, the others against the exact engine at a finer "
        "tolerance. The fast engine settles for one period, the exact one for two. Where the "
        "surface hardly damps, as in the double layer, errors grow from contact to contact.",
    )


def _start(case: Case) -> NDArray[np.float64]:
    """Return the free motion at the beginning of a period, as the peers have their state."""
    cantilever, drive = case[:2]
    rates = 2 * np.pi * drive.df * np.array(drive.tones)
    state = []
    for mode, forces in zip(cantilever.modes, drive.forces, strict=True):
        tones = mode.response(rates / (2 * np.pi)) * forces
        velocity = (1j * rates * tones).sum().real / (2 * np.pi * mode.frequency)
        state += [tones.sum().real / _NM, velocity / _NM]
    return np.array(state)


def _cpu(call: Callable[[], object]) -> float:
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


def _speed(rounds: int) -> Table:
    case = case_1()
    cantilever, drive, force, height, tones = case
    period = 1 / drive.df
    slope, start = right_hand_side(cantilever, drive, force, height), _start(case)
    compiled = CompiledCvode(slope, start.size)
    half = np.arange(SAMPLES // 2 + 1) * period / SAMPLES
    two = np.arange(2 * SAMPLES) * period / SAMPLES
    free = _bands(free_spectra(cantilever, drive, tones))
    truth = _published("case1_g3_0")
    fast, exact = FastEngine(), ExactEngine(tolerance=_EXACT)

    def peer_error(solve: Callable[..., NDArray[np.float64]], tolerance: float) -> float:
        z = solve(two, tolerance)[SAMPLES:, ::2].sum(axis=1)
        both = tones_of(z, tones.z)
        return _error((both[:64], both[64:]), truth, free)

    def by_c(times: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
        return compiled.solve(start, times, tolerance)

    def by_scipy(times: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
        return lsoda(slope, start, times, tolerance)

    # seconds for one pixel and one period, and the error
    runs: dict[str, tuple[Callable[[], float], float]] = {
        f"fast, {_PIXELS} pixels": (
            lambda: _cpu(lambda: _simulated(fast, case, _PIXELS)) / (2 * _PIXELS),
            _error(_bands(_simulated(fast, case)), truth, free),
        ),
        "fast, one pixel": (
            lambda: _cpu(lambda: _simulated(fast, case)) / 2,
            _error(_bands(_simulated(fast, case)), truth, free),
        ),
        f"exact, {_EXACT:g}": (
            lambda: _cpu(lambda: _simulated(exact, case)) / 2,
            _error(_bands(_simulated(exact, case)), truth, free),
        ),
    }
    for tolerance in (1e-8, 1e-10):
        error = peer_error(by_c, tolerance)
        runs[f"CVODE in C, {tolerance:g}"] = (
            lambda tolerance=tolerance: 2 * _cpu(lambda: by_c(half, tolerance)),
            error,
        )
        runs[f"scikit-sundae CVODE, {tolerance:g}"] = (
            lambda tolerance=tolerance: 2 * _cpu(lambda: cvode(slope, start, half, tolerance)),
            error,
        )
    runs["SciPy LSODA, 1e-08"] = (
        lambda: 2 * _cpu(lambda: by_scipy(half, 1e-8)),
        peer_error(by_scipy, 1e-8),
    )
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, _) in runs.items():
            times[name].append(run())
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    names = list(runs)
    rows = [
        [
            name,
            f"{runs[name][1]:.1e}",
            f"{seconds[name] / _MS:.3g}",
            f"{period / seconds[name]:.3g}",
            f"{seconds[name] / seconds[names[0]]:,.0f}",
            f"{seconds[name] / seconds[names[2]]:,.1f}",
        ]
        for name in names
    ]
    return Table(
        title="Time for 5 ms of motion of a pixel",
        columns=[
            "method and tolerance",
            "error",
            "CPU time (ms)",
            "times real time",
            "times the fast engine's",
            "times the exact engine's",
        ],
        rows=rows,
        notes=f"Case 1, γ3 = 0; one core, CPU time, medians of {rounds} in turn. The peers do half "
        "a period, from the widest beat to the narrowest, and are scaled by two; their errors are "
        "of a whole settled period. CVODE is Adams with Newton: in C, by the library of "
        "scikit-sundae with the force as a C function; by scikit-sundae, which takes Python "
        "functions only, with the same compiled function called from Python, and so with the same "
        "error. Aims: fast 10 times real time, 1 000 times CVODE, 10 000 times LSODA; exact 40 "
        "times CVODE.",
    )


def measure(rounds: int = 3) -> Iterable[Table]:
    """Measure errors and speed of the engines.

    Parameters
    ----------
    rounds : int
        How often each method is timed.

    Yields
    ------
    Table
    """
    yield _accuracy()
    yield _speed(rounds)
