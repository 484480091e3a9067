"""Does the simulated PeakForce QNM err as the instrument does, and how fast is it?

Accuracy: the bias that sampling brings to each channel, against figures of an independent
simulation; the modulus of the rubber of each sample against the truth under the tip. Speed: whole
images, against the same physics in NumPy and SciPy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks._peakforce_peer import reference_scan
from benchmarks.tables import Table
from sim.copolymer import FORMULATIONS, Copolymer
from sim.peakforce import ForceProbe, Frame, PeakForceSettings, scan
from sim.surface import Uniform
from sim.tapping import TappingSettings, phase_scan, tapping_probe

__all__ = ["measure"]

_MPA, _NN, _NM, _AJ = 1e6, 1e-9, 1e-9, 1e-18
_POINTS = (64, 128, 256, 1024)
# E* MPa, adhesion nN, points: modulus MPa, adhesion nN, deformation nm, dissipation aJ
_REFERENCE = {
    (43, 22, 64): (44.8, 19.9, 11.4, 260),
    (43, 22, 256): (43.0, 22.0, 11.3, 286),
    (43, 22, 1024): (42.8, 22.1, 11.2, 270),
    (170, 22, 64): (206, 12.9, 4.68, 76),
    (170, 22, 256): (174, 20.7, 4.48, 125),
    (170, 22, 1024): (169, 22.0, 4.44, 136),
    (1900, 9, 64): (2290, 1.5, 1.20, 4.6),
    (1900, 9, 256): (1830, 8.6, 1.08, 16),
    (1900, 9, 1024): (1816, 8.6, 1.04, 13),
}
_CHANNELS = {"dmt_modulus": _MPA, "adhesion": _NN, "deformation": _NM, "dissipation": _AJ}
_MOST_DEVIATION = 1e-5  # relative, between the two ways of computing a noise-free image

Images = Mapping[str, NDArray[np.float32]]


def _bias() -> Table:
    rows = []
    for (modulus, adhesion, points), reference in _REFERENCE.items():
        surface = Uniform(modulus * _MPA, adhesion * _NN)
        settings = PeakForceSettings(amplitude=100e-9, sample_points=points, poisson=0.0)
        frame = Frame(lines=64, points=64, line_time=64 / 1000)
        image = scan(surface, ForceProbe(), frame, settings, np.random.default_rng(0))
        cells = []
        for (name, unit), figure in zip(_CHANNELS.items(), reference, strict=True):
            data = image[name] / unit
            median, spread = float(np.median(data)), float(np.std(data))
            cells.append(f"{median:.4g} ± {spread:.2g} / {figure:g}")
        rows.append([f"{modulus} MPa, {adhesion} nN", str(points), *cells])
    return Table(
        title="What sampling does to the channels: ours / reference",
        columns=[
            "true E*, adhesion",
            "points a cycle",
            "DMT modulus (MPa)",
            "adhesion (nN)",
            "deformation (nm)",
            "dissipation (aJ)",
        ],
        rows=rows,
        notes="Median ± standard deviation of 4096 curves: 30 nN, amplitude 100 nm, 5 N/m, 30 nm, "
        "0.25 nN of noise a sample. The reference's figures are means of 4000 curves of another "
        "program; it finds 42, 12 and 5 % of spread of the modulus of the hardest.",
    )


def _rubber() -> Table:
    rows = []
    for name, made in FORMULATIONS.items():
        surface = Copolymer(made, 1)
        frame = Frame()
        x, y = frame.positions()
        rubber = surface.component(x, y) == 1
        truth = float(np.median(surface.contact(x, y, 30e-9).modulus[rubber])) * (1 - 0.3**2)
        cells = []
        for points in _POINTS:
            settings = PeakForceSettings(sample_points=points)
            image = scan(surface, ForceProbe(), frame, settings, np.random.default_rng(0))
            found = float(np.median(image["dmt_modulus"][rubber]))
            cells.append(f"{100 * (found / truth - 1):+.1f}")
        rows.append([name, f"{made.rubber_modulus / _MPA:.0f}", f"{truth / _MPA:.1f}", *cells])
    return Table(
        title="The modulus of the rubber in an image",
        columns=[
            "sample",
            "nominal (MPa)",
            "true median in the field (MPa)",
            *(f"found at {points} points (% off)" for points in _POINTS),
        ],
        rows=rows,
        notes="256 x 256 pixels of 4 µm, amplitude 150 nm, the probe as the instrument believes it "
        "to be; all pixels of rubber, edges included. Aim: 3 % at 256 points.",
    )


def _phase() -> Table:
    rows = []
    for name in ("A2", "C3", "C5"):
        surface, frame = Copolymer(FORMULATIONS[name], 1), Frame(size=10e-6, line_time=0.5)
        image = phase_scan(
            surface, tapping_probe(), frame, TappingSettings(), np.random.default_rng(0)
        )["phase"]
        component = surface.component(*frame.positions())
        rows.append([name, *(f"{np.median(image[component == kind]):.1f}" for kind in (0, 2, 1))])
    return Table(
        title="Phase of the components",
        columns=["sample", "polypropylene (deg)", "polyethylene (deg)", "rubber (deg)"],
        rows=rows,
        notes="10 µm at 2 Hz, 40 N/m, 8 nm, free amplitude 100 nm, setpoint 0.7; net-repulsive.",
    )


def _seconds(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median time of each, run in turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, call in work.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def _speed(repeats: int) -> Table:
    surface, frame = Copolymer(FORMULATIONS["A2"], 1), Frame()
    x, y = frame.positions()
    rows = []
    for points in _POINTS:
        settings = PeakForceSettings(sample_points=points)
        arguments = surface, ForceProbe(), frame, settings
        scan(*arguments, np.random.default_rng(0))  # compiles
        seconds = _seconds(
            {
                "ours": lambda arguments=arguments: scan(*arguments, np.random.default_rng(0)),
                "peer": lambda arguments=arguments: reference_scan(
                    *arguments, np.random.default_rng(0)
                ),
                "surface": lambda: (surface.height(x, y), surface.contact(x, y, 30e-9)),
            },
            repeats if points < 1024 else 1,
        )
        rows.append(
            [
                str(points),
                f"{seconds['ours']:.3f}",
                f"{seconds['peer']:.2f}",
                f"{seconds['peer'] / seconds['ours']:.0f}",
                f"{seconds['surface']:.3f}",
            ]
        )
    return Table(
        title="An image of 256 x 256 pixels and 8 channels",
        columns=["points a cycle", "ours (s)", "NumPy (s)", "ratio", "of ours, the surface (s)"],
        rows=rows,
        notes=f"Sample A2, warm, two threads; medians of {repeats} in turns. Both evaluate the "
        "same surface, dilate it, follow it with the feedback, compute every curve with noise and "
        "read it. Without noise their channels differ by at most "
        f"{_largest_difference():.0e} relative to the channel's range. Aim: 0.5 s at 256 points.",
    )


def _largest_difference() -> float:
    """Return the largest difference between the two ways, over the range of its channel."""
    frame = Frame(lines=64, points=64, size=2e-6)
    probe = ForceProbe(force_noise=0.0)
    arguments = Copolymer(FORMULATIONS["C5"], 1), probe, frame, replace(PeakForceSettings())
    ours, peer = (way(*arguments, np.random.default_rng(0)) for way in (scan, reference_scan))
    return max(
        float(np.max(np.abs(ours[name] - peer[name])) / np.ptp(ours[name]))
        for name in ours
        if name != "height_sensor"
    )


def measure(repeats: int = 5) -> list[Table]:
    """Measure accuracy and speed.

    Returns
    -------
    list of Table
    """
    return [_bias(), _rubber(), _phase(), _speed(repeats)]
