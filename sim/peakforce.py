"""PeakForce tapping: a force curve in every pixel, and the channels that are read from it.

The base of a cantilever moves up and down in Z as a sinusoid far below its resonance, so spring and
contact are in balance at all times. The contact is that of Derjaguin, Muller and Toporov, J.
Colloid Interface Sci. 53, 314 (1975), with an adhesion that only touching brings about, so that the
tip snaps in gently and comes off hard. The channels are computed from sampled, noisy curves as the
instrument computes them, with what it believes: so sampling, noise and calibration err as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from sim._peakforce_frame import Frame, scan_time
from sim._peakforce_ground import contact_law, ground
from sim._peakforce_kernel import QUANTILES, Curves, Reading, fill_curve, measure, scan_line
from sim._peakforce_probe import ForceProbe, ImageNuisance
from sim.noise import stream_key
from sim.surface import Contact, Surface

__all__ = [
    "CHANNELS",
    "ForceProbe",
    "Frame",
    "ImageNuisance",
    "PeakForceSettings",
    "as_volts",
    "force_curve",
    "read_curve",
    "scan",
    "scan_time",
]

CHANNELS: Mapping[str, str] = {
    "height_sensor": "m",
    "peak_force_error": "N",
    "dmt_modulus": "Pa",
    "log_dmt_modulus": "1",
    "adhesion": "N",
    "deformation": "m",
    "dissipation": "J",
    "height": "m",
}
_READ: tuple[str, ...] = (
    "peak_force_error",
    "dmt_modulus",
    "adhesion",
    "deformation",
    "dissipation",
)
_SAMPLE_POINTS = (64, 128, 256, 512, 1024)
_THREADS = 2
_TIDE = 600.0  # s: period in which what is left of the background comes and goes
_SENSOR_NOISE = 0.05e-9  # m rms, of the Z sensor in the bandwidth of a pixel
_LEAST_MODULUS = 1.0  # Pa, below which a logarithm is not taken
_TIP_END = 20e-9  # m: pressed in so deep, a tip of 30 nm is the sphere that it is taken for


@dataclass(frozen=True)
class PeakForceSettings:
    """What the instrument was told, in the vocabulary of its header.

    Parameters
    ----------
    frequency : float
        Of the Z motion, Hz.
    amplitude : float
        Of the Z motion from its middle, m.
    setpoint : float
        Peak force that the feedback holds, N.
    sample_points : int
        Of a force curve: 64, 128, 256, 512 or 1024 a cycle.
    min_force_fit, max_force_fit : float
        Between which fractions of the force above the adhesion the modulus is fitted.
    deformation_fit : float
        Part of the peak force, from the peak down, over which the deformation is taken.
    poisson : float
        Poisson's ratio of the sample.
    include_adhesion : bool
        Whether the fit counts the force from the adhesion up.
    half_angle : float
        Of the tip, rad; part of the record, as a fit for a sphere does not need it.
    radius : float
        Of the tip as the instrument believes, m.
    spring_constant : float
        As the instrument believes, N/m.
    sensitivity : float
        Deflection per volt of the detector, as the instrument believes, m/V.
    gain : float
        Part of an error that the feedback takes away in a cycle where the sample is hard; from 0
        to 2, where it oscillates.
    """

    frequency: float = 2e3
    amplitude: float = 150e-9
    setpoint: float = 30e-9
    sample_points: int = 256
    min_force_fit: float = 0.2
    max_force_fit: float = 0.8
    deformation_fit: float = 0.85
    poisson: float = 0.3
    include_adhesion: bool = True
    half_angle: float = 0.314
    radius: float = 30e-9
    spring_constant: float = 5.0
    sensitivity: float = 60e-9
    gain: float = 0.7

    def __post_init__(self) -> None:
        positive = "frequency amplitude setpoint half_angle radius spring_constant sensitivity"
        for name in positive.split():
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r} is not allowed: above 0")
        if self.sample_points not in _SAMPLE_POINTS:
            raise ValueError(
                f"sample_points {self.sample_points!r} is not allowed: one of {_SAMPLE_POINTS}"
            )
        if not 0 <= self.min_force_fit < self.max_force_fit <= 1:
            raise ValueError(
                f"a fit from {self.min_force_fit!r} to {self.max_force_fit!r} of the force is not "
                "allowed: two fractions, the lower one first"
            )
        if not 0 < self.deformation_fit <= 1:
            raise ValueError(
                f"deformation_fit {self.deformation_fit!r} is not allowed: above 0 to 1"
            )
        if not 0 <= self.poisson <= 0.5:
            raise ValueError(f"poisson {self.poisson!r} is not allowed: 0 to 0.5")
        if not 0 < self.gain < 2:
            raise ValueError(f"gain {self.gain!r} is not allowed: between 0 and 2")


def scan(
    surface: Surface,
    probe: ForceProbe,
    frame: Frame,
    settings: PeakForceSettings,
    rng: np.random.Generator,
    *,
    nuisance: ImageNuisance | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Scan an image in PeakForce QNM.

    Parameters
    ----------
    surface : Surface
        The sample.
    probe : ForceProbe
        As it is.
    frame : Frame
        Where and how finely.
    settings : PeakForceSettings
        What the instrument was told.
    rng : numpy.random.Generator
        Of noise and nuisances. The same state gives the same image, however many threads work.
    nuisance : ImageNuisance, optional
        What is wrong with the image as a whole; nothing by default.

    Returns
    -------
    dict
        The channels of `CHANNELS` in the units named there, each (lines, points), the first line
        lowest on the sample.
    """
    nuisance = ImageNuisance() if nuisance is None else nuisance
    seed = int(rng.integers(2**62))
    height, contact = ground(surface, probe, frame)
    height += nuisance.line_noise * rng.standard_normal(frame.lines)[:, np.newaxis]
    drifted = probe.sensitivity_error + nuisance.sensitivity_drift
    curves, reading = prepare(replace(probe, sensitivity_error=drifted), settings, frame)
    tides = np.cos(2 * np.pi * (frame.times / _TIDE + rng.random()))
    raw = np.empty((frame.lines, 6, frame.points))
    key = np.uint64(stream_key(seed, 0))  # numba hands it out as a Python integer

    def follow(first: int) -> None:
        for row in range(first, frame.lines, _THREADS):
            scan_line(key, row, tides[row], height[row], contact[row], curves, reading, raw[row])

    with ThreadPoolExecutor(_THREADS) as pool:
        for done in [pool.submit(follow, first) for first in range(_THREADS)]:
            done.result()
    return _channels(raw, nuisance, settings, rng)


def prepare(probe: ForceProbe, settings: PeakForceSettings, frame: Frame) -> tuple[Curves, Reading]:
    """Return what the compiled loops need besides the sample."""
    n = settings.sample_points
    phase = 2 * np.pi * np.arange(n) / n - np.pi  # 0 at the lowest point
    half = phase[n // 2 :]
    half = np.append(half, np.pi)
    rate = 2 * np.pi * settings.frequency
    gain = 1 + probe.sensitivity_error
    background = probe.background / probe.spring_constant * np.cos(phase)
    free = np.abs(phase) > np.pi / 2
    curves = Curves(
        spring_constant=probe.spring_constant,
        gain=gain,
        noise=probe.force_noise / probe.spring_constant,
        drop=settings.amplitude * (1 - np.cos(half)),
        speed=settings.amplitude * rate * np.sin(half),
        background=background,
        raised=float(background[n // 2] - background[free].mean()),
        quantiles=ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES),
        feedback=settings.gain,
        cycles=max(1, round(settings.frequency * frame.line_time / (2 * frame.points))),
    )
    reading = Reading(
        spring_constant=settings.spring_constant,
        z=settings.amplitude * (np.cos(phase + rate * probe.synchronisation) - 1),
        setpoint=settings.setpoint,
        fit_from=settings.min_force_fit,
        fit_to=settings.max_force_fit,
        deformation_from=1 - settings.deformation_fit,
        with_adhesion=settings.include_adhesion,
        modulus_factor=0.75 * (1 - settings.poisson**2) / math.sqrt(settings.radius),
    )
    return curves, reading


def _channels(
    raw: NDArray[np.float64],
    nuisance: ImageNuisance,
    settings: PeakForceSettings,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float32]]:
    names: tuple[str, ...] = ("height", *_READ)
    read = dict(zip(names, np.moveaxis(raw, 1, 0), strict=True))
    modulus = np.maximum(read["dmt_modulus"], _LEAST_MODULUS)
    deeper, stiffer = _tip_end(modulus, read["adhesion"], nuisance.tip_end, settings)
    read["adhesion"] *= nuisance.adhesion_gain
    read["deformation"] *= nuisance.deformation_gain * deeper
    read["dissipation"] *= nuisance.dissipation_gain
    modulus *= nuisance.modulus_gain * stiffer
    off = rng.random(modulus.shape) < nuisance.outliers
    modulus[off] *= np.exp(nuisance.outlier_spread * rng.standard_normal(int(off.sum())))
    read["dmt_modulus"] = modulus
    read["log_dmt_modulus"] = np.log10(np.maximum(modulus, _LEAST_MODULUS))
    sensed = _SENSOR_NOISE * rng.standard_normal(modulus.shape)
    read["height_sensor"] = read["height"] + sensed
    return {name: read[name].astype(np.float32) for name in CHANNELS}


def _tip_end(
    modulus: NDArray[np.float64],
    adhesion: NDArray[np.float64],
    beyond: float,
    settings: PeakForceSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by what a tip's very end multiplies depths, and moduli that are fitted for a sphere.

    The force grows with the depth to the power 1.5 + `beyond` until the end no longer counts; there
    it is that of the sphere.
    """
    load = settings.setpoint + np.maximum(adhesion, 0.0)
    pressed = 0.75 * (1 - settings.poisson**2) * load / math.sqrt(settings.radius)
    depth = np.minimum((pressed / modulus) ** (2 / 3) / _TIP_END, 1.0)
    power = 1.5 / (1.5 + beyond) - 1
    return depth**power, depth ** (-1.5 * power)


def as_volts(
    channels: Mapping[str, NDArray[np.float32]], settings: PeakForceSettings
) -> dict[str, NDArray[np.float32]]:
    """Return the channels as an instrument shows them that was never calibrated.

    Force is in volts of the detector then, and so is what follows from it: adhesion and error V,
    dissipation V m, modulus V/m^2, deformation V.

    Parameters
    ----------
    channels : mapping of str to ndarray
        Calibrated.
    settings : PeakForceSettings
        With the sensitivity and the spring constant to be taken out.
    """
    force = np.float32(1 / (settings.spring_constant * settings.sensitivity))
    factors = {
        "peak_force_error": force,
        "dmt_modulus": force,
        "adhesion": force,
        "dissipation": force,
        "deformation": np.float32(1 / settings.sensitivity),
    }
    raw = {name: data * factors.get(name, np.float32(1)) for name, data in channels.items()}
    if "log_dmt_modulus" in raw:
        raw["log_dmt_modulus"] = channels["log_dmt_modulus"] + np.log10(force)
    return raw


def force_curve(
    contact: Contact, probe: ForceProbe, settings: PeakForceSettings, peak_force: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the noise-free force curve of one point that is pressed with a given force.

    Parameters
    ----------
    contact : Contact
        Of the point, for the probe's tip.
    probe : ForceProbe
        As it is.
    settings : PeakForceSettings
        Frequency, amplitude and number of samples.
    peak_force : float
        True force at the lowest point, N.

    Returns
    -------
    z, force : ndarray, shape (sample_points,)
        Where the undeflected tip is below its lowest point (m, negative), and the true force N.
    """
    curves, _ = prepare(probe, settings, Frame())
    law = contact_law(contact, probe.adhesion_factor, math.sqrt(probe.tip.radius))
    stiffness, adhesion, touch, relaxation = law.reshape(4, -1)[:, 0]
    depth = ((peak_force + adhesion) / stiffness) ** (2 / 3)
    deflection = np.empty(settings.sample_points)
    lowest = depth + peak_force / probe.spring_constant
    fill_curve(lowest, stiffness, adhesion, touch, relaxation, curves, deflection)
    half = settings.sample_points // 2
    z = -np.concatenate([curves.drop[half:0:-1], curves.drop[:half]])
    return z, probe.spring_constant * deflection


def read_curve(force: ArrayLike, settings: PeakForceSettings) -> dict[str, float]:
    """Return the channels that the instrument reads from one force curve.

    Parameters
    ----------
    force : array_like, shape (sample_points,)
        Measured over a cycle, its lowest point in the middle, N.
    settings : PeakForceSettings
        What the instrument believes.
    """
    _, reading = prepare(ForceProbe(), settings, Frame())
    out = np.empty(5)
    measure(np.asarray(force, np.float64) / settings.spring_constant, reading, out)
    return dict(zip(_READ, out.tolist(), strict=True))
