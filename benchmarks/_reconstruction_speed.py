"""How soon a map of forces is there, beside the paper's formulas written down as they stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.intermodulation import Measurement
from analysis.intermodulation.batch import reconstruct_map
from analysis.intermodulation.polynomial import reconstruct_naive, reconstruct_polynomial
from benchmarks._reconstruction_cases import case
from benchmarks.tables import Table
from sim.cantilever import FastEngine
from sim.cantilever.paper import case_1

__all__ = ["speed"]

_TONES = 24
_IMAGE = 256
_FEW = 8192
_AGREEMENT_PIXELS = 8


def _image(pixels: int) -> Measurement:
    """Return a map of pixels of different height and modulus, without noise."""
    cantilever, drive, force, height, tones = case_1()
    rng = np.random.default_rng(11)
    heights = height + rng.uniform(-1e-9, 1e-9, 64)
    spectra = FastEngine(dtype="float64").simulate(cantilever, drive, force, heights, tones)
    own = case(cantilever, drive, force, height, tones)
    whole = replace(own.measurement, engaged=np.resize(spectra.z, (pixels, len(tones.z))))
    return whole.select(np.concatenate([own.band(0, _TONES), own.band(1, _TONES)]))


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    run()
    return clock() - begin


def _off(image: Measurement, pixel: int, places: NDArray[np.int64]) -> tuple[float, float]:
    """Return how far the map lies from the naive form at a pixel, and what rounding does there."""
    one = image.pixel(pixel)
    naive = reconstruct_naive(one, equation_tones=places)
    moved = replace(one, engaged=one.engaged * (1.0 + 1e-15))
    again = reconstruct_naive(moved, equation_tones=places)
    found = reconstruct_map(one, equation_tones=places, threads=1)
    z = naive.z[naive.z > -found.scale[0]]
    size = np.linalg.norm(naive.force(z))
    return (
        float(np.linalg.norm(found.conservative_force(z)[0] - naive.force(z)) / size),
        float(np.linalg.norm(np.nan_to_num(again.force(z)) - naive.force(z)) / size),
    )


def _times(image: Measurement, places: NDArray[np.int64], repeats: int) -> list[float]:
    """Return the medians for a pixel as it stands, with verdict, and in maps on 1 and 2 threads."""
    one, few = image.pixel(0), replace(image, engaged=image.engaged[:_FEW])
    runs: list[tuple[Callable[[], object], Callable[[], float]]] = [
        (lambda: reconstruct_naive(one, equation_tones=places), time.process_time),
        (lambda: reconstruct_polynomial(one, equation_tones=places), time.process_time),
        (lambda: reconstruct_map(few, equation_tones=places, threads=1), time.process_time),
        (lambda: reconstruct_map(image, equation_tones=places, threads=2), time.perf_counter),
    ]
    runs[2][0]()  # compiles
    seconds = [[_seconds(run, clock) for run, clock in runs] for _ in range(repeats)]
    return [float(median) for median in np.median(seconds, axis=0)]


def speed(repeats: int = 5) -> Table:
    """Measure the time a pixel takes, and how far the map is from the formulas as they stand."""
    image = _image(_IMAGE * _IMAGE)
    rows = []
    for name, places in (("band 1", image.bands()[0]), ("both", np.arange(image.tones.size))):
        naive, single, few, whole = _times(image, places, repeats)
        pixel = few / _FEW
        off = np.max([_off(image, number, places) for number in range(_AGREEMENT_PIXELS)], axis=0)
        rows.append(
            [
                name,
                f"{naive:.2f}",
                f"{1e3 * single:.0f}",
                f"{1e6 * pixel:.0f}",
                f"{1.0 / pixel:.0f}",
                f"{naive / pixel:.0f}",
                f"{whole:.2f}",
                f"{off[0]:.1e}",
                f"{off[1]:.1e}",
            ]
        )
    return Table(
        title=f"Speed of the polynomial method, degree 21, {_TONES} tones a band",
        columns=[
            "equations from",
            "formulas as they stand, s a pixel",
            "one pixel with verdict, ms",
            "map, µs a pixel",
            "map, pixels/s a core",
            "times the formulas",
            f"{_IMAGE} x {_IMAGE} on two threads, s",
            "map off the formulas",
            "formulas off themselves by rounding",
        ],
        rows=rows,
        notes=f"Medians of {repeats}, interleaved; CPU time but for the whole image. Off: "
        f"relative rms of the conservative force, largest of {_AGREEMENT_PIXELS} pixels; by "
        "rounding: tones changed in the fifteenth digit. Aimed at: 15 000 pixels/s a core, 5000 "
        "times, 2 s, 1e-9.",
    )
