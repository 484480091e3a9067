"""How fast, and how true, is a whole image by the envelope alone?

Speed: the tones of 65 536 pixels at different heights over three surfaces, one core, beside the
engine that follows all of the motion. Truth: the converged tones of Borysov et al.'s cases, and at
other heights and over other surfaces the engine with adaptive steps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table
from sim.cantilever import ExactEngine, FastEngine, free_spectra, paper
from sim.cantilever.envelope import EnvelopeEngine
from sim.forces import (
    DoubleLayerHertz,
    ExponentialDamping,
    Force,
    Jkr,
    LennardJones,
    Morse,
    ThresholdDamping,
    VdwDmt,
)

__all__ = ["measure"]

_NM = 1e-9
_DATA = Path(__file__).parents[1] / "tests" / "data" / "imafm"
_BAND = 64  # tones of one band of the paper's cases
_DAMPING = ExponentialDamping(linear=2.2e-7)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def _surface(modulus: float) -> Force:
    return VdwDmt(hamaker=7.1e-20, radius=10 * _NM, modulus=modulus) + _DAMPING


def _speed(pixels: int, followed: int, repeats: int) -> Table:
    cantilever, drive, _, _, tones = paper.case_1()
    materials = [_surface(modulus) for modulus in (0.5e9, 1e9, 2e9)]
    rng = np.random.default_rng(0)
    heights = rng.uniform(14 * _NM, 22 * _NM, pixels)
    forces = [materials[k] for k in rng.integers(0, 3, pixels)]
    fast = FastEngine()
    EnvelopeEngine().simulate(cantilever, drive, forces[:2], heights[:2], tones)  # compiles
    fast.simulate(cantilever, drive, forces[:2], heights[:2], tones)
    one, line, image, peer = [], [], [], []
    for _ in range(repeats):
        engine = EnvelopeEngine()
        one.append(
            _seconds(
                lambda e=engine: e.simulate(cantilever, drive, materials[1], [17 * _NM], tones)
            )
        )
        engine = EnvelopeEngine()
        line.append(
            _seconds(
                lambda e=engine: e.simulate(cantilever, drive, forces[:128], heights[:128], tones)
            )
        )
        image.append(
            _seconds(lambda e=engine: e.simulate(cantilever, drive, forces, heights, tones))
        )
        peer.append(
            _seconds(
                lambda: fast.simulate(
                    cantilever, drive, forces[:followed], heights[:followed], tones
                )
            )
        )
    period = 1 / drive.df
    each, other = median(image) / pixels, median(peer) / followed
    rows = [
        ["tables of one law at one height, and one pixel", f"{median(one):.2f} s", "", ""],
        ["first line: 128 heights over 3 surfaces", f"{median(line):.2f} s", "", ""],
        [
            f"{pixels} pixels, envelope, with the tables of that line",
            f"{median(image):.2f} s",
            f"{each * 1e6:.0f} µs",
            f"{period / each:.0f}",
        ],
        [
            f"{followed} pixels, all of the motion",
            f"{median(peer):.2f} s",
            f"{other * 1e6:.0f} µs",
            f"{period / other:.1f}",
        ],
    ]
    return Table(
        title="Speed of the envelope engine",
        columns=["what", "CPU time", "a pixel", "times real time"],
        rows=rows,
        notes=f"Two flexural modes, one period of {period * 1e3:g} ms measured, settling included, "
        f"128 tones, heights 14 to 22 nm; one core, median of {repeats}, load "
        f"{os.getloadavg()[0]:.1f}. The envelope is {other / each:.0f} times as fast as following "
        "the motion. Aim: 65 536 pixels in 3 s.",
    )


def _error(found: NDArray, truth: NDArray, free: NDArray) -> str:
    return f"{np.linalg.norm(found - truth) / np.linalg.norm(truth - free):.1e}"


def _published() -> Table:
    cases = [
        ("two flexural modes, γ3 = 0", paper.case_1(), "case1_g3_0", "2e-3"),
        ("two flexural modes, γ3 = 1e-5", paper.case_1(1e-5), "case1_g3_1e-5", ""),
        ("two flexural modes, γ3 = 1e-4", paper.case_1(1e-4), "case1_g3_1e-4", "7e-3"),
        ("flexural and torsional, c3 = 0", paper.case_2(), "case2_c3_0", ""),
        ("flexural and torsional, c3 = 0.1 nN/nm³", paper.case_2(1e17), "case2_c3_0.1", ""),
    ]
    rows = []
    for name, (cantilever, drive, force, height, tones), file, aim in cases:
        truth = np.load(_DATA / f"{file}.npz")
        spectra = EnvelopeEngine().simulate(cantilever, drive, force, [height], tones)
        first, second = spectra.z[0, :_BAND], np.append(spectra.z[0, _BAND:], spectra.y[0])
        other = "Y2" if "Y2" in truth else "Z2"
        rows.append(
            [
                name,
                _error(first, truth["Z1"] * _NM, truth["Z1_free"] * _NM),
                _error(second, truth[other] * _NM, truth[f"{other}_free"] * _NM),
                aim,
                f"{spectra.closest[0] / _NM:.3f} / {truth['d_min']:.3f}",
            ]
        )
    return Table(
        title="Error of the envelope engine on the published cases",
        columns=["case", "first band", "second band", "aim", "closest approach / true (nm)"],
        rows=rows,
        notes="|Z - Z_true| / |Z_true - Z_free| over 64 tones round each mode.",
    )


def _elsewhere() -> Table:
    cantilever, drive, force, _, tones = paper.case_1()
    free = free_spectra(cantilever, drive, tones).z[0]
    places = [(f"paper's, {h} nm", force, h * _NM) for h in (10, 12, 14, 16, 18, 20, 22, 24)]
    others: list[tuple[str, Force]] = [
        ("modulus 0.1 GPa", _surface(0.1e9)),
        ("modulus 10 GPa", _surface(10e9)),
        ("modulus 100 GPa", _surface(100e9)),
        ("damping above 20 mm/s", VdwDmt(7.1e-20, 10 * _NM, 1e9) + ThresholdDamping(2.2e-7, 0.02)),
        ("JKR, 50 mJ/m²", Jkr(10 * _NM, 1e9, 0.05) + _DAMPING),
        ("double layer", DoubleLayerHertz(10 * _NM, 1e9, -0.02, -0.03, 2 * _NM) + _DAMPING),
        ("Morse, decay 1 nm", Morse(3e-18, 1 * _NM, 1 * _NM) + _DAMPING),
        ("Lennard-Jones, 0.3 nm", LennardJones(7.1e-20, 10 * _NM, 0.3 * _NM) + _DAMPING),
    ]
    places += [(f"{name}, 17 nm", law, 17 * _NM) for name, law in others]
    rows = []
    for name, law, height in places:
        try:
            found = EnvelopeEngine().simulate(cantilever, drive, law, [height], tones)
        except ValueError:
            rows.append([name, "refused", "", ""])
            continue
        truth = ExactEngine(1e-8).simulate(cantilever, drive, law, [height], tones)
        bands = [
            _error(found.z[0, band], truth.z[0, band], free[band])
            for band in (slice(_BAND), slice(_BAND, None))
        ]
        rows.append([name, *bands, f"{found.closest[0] / _NM:.3f} / {truth.closest[0] / _NM:.3f}"])
    return Table(
        title="Error of the envelope engine at other heights and over other surfaces",
        columns=["surface, height", "first band", "second band", "closest approach / true (nm)"],
        rows=rows,
        notes="Two flexural modes as published, linear damping; the truth is the engine with "
        "adaptive steps, tolerance 1e-8. Surfaces on which a single contact changes the amplitudes "
        "much are refused.",
    )


def measure(pixels: int = 65536, followed: int = 256, repeats: int = 3) -> list[Table]:
    """Measure an image of `pixels`, and the errors.

    Parameters
    ----------
    pixels : int
        Of the image.
    followed : int
        How many pixels the engine that follows all of the motion is timed on.
    repeats : int
        Of each timing.

    Returns
    -------
    list of Table
    """
    return [_speed(pixels, followed, repeats), _published(), _elsewhere()]
