"""Phase images of a tip that taps: how much energy it loses to each component of a surface.

At a steady state the phase follows from two averages over a cycle: the power that the surface
takes (Cleveland et al., Appl. Phys. Lett. 72, 2613 (1998)) and the virial of the force (San Paulo
and García, Phys. Rev. B 64, 193411 (2001)). In the net-repulsive regime the contact is what
`sim.peakforce` presses on, met once a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim._peakforce_frame import Frame
from sim._peakforce_ground import ground
from sim._peakforce_probe import ForceProbe, ImageNuisance
from sim.surface import Surface
from sim.tip import SphereCone

__all__ = ["CHANNELS", "TappingSettings", "phase_scan", "tapping_probe"]

CHANNELS: Mapping[str, str] = {"height": "m", "amplitude_error": "m", "phase": "deg"}
_STIFFNESS, _RADIUS = 40.0, 8e-9  # N/m and m, as makers of tapping probes state them
_ITERATIONS = 40  # of a bisection: the indentation to 10^-12 of its largest value
_GAIN = 0.35  # part of the error in amplitude that the feedback takes away in a pixel
_PHASE_NOISE = 0.5  # deg rms a pixel, in the bandwidth of a fast scan
_AMPLITUDE_NOISE = 0.03e-9  # m rms a pixel


@dataclass(frozen=True)
class TappingSettings:
    """How the cantilever taps.

    Parameters
    ----------
    frequency : float
        Of the drive, the cantilever's resonance, Hz.
    quality_factor : float
        Of the resonance.
    free_amplitude : float
        Without a surface, m.
    setpoint : float
        Amplitude that the feedback holds, over the free one.
    """

    frequency: float = 300e3
    quality_factor: float = 450.0
    free_amplitude: float = 100e-9
    setpoint: float = 0.7

    def __post_init__(self) -> None:
        for name in ("frequency", "quality_factor", "free_amplitude"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r} is not allowed: above 0")
        if not 0 < self.setpoint < 1:
            raise ValueError(f"setpoint {self.setpoint!r} is not allowed: between 0 and 1")

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> TappingSettings:
        """Return how a person taps on one of many days: as hard as the image looks best."""
        return cls(
            quality_factor=float(rng.uniform(350, 550)),
            free_amplitude=float(rng.uniform(85e-9, 120e-9)),
            setpoint=float(rng.uniform(0.62, 0.78)),
        )

    @property
    def amplitude(self) -> float:
        """Held by the feedback, m."""
        return self.setpoint * self.free_amplitude


def tapping_probe(rng: np.random.Generator | None = None) -> ForceProbe:
    """Return a stiff probe for tapping: about 40 N/m with a sharp tip.

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Draws stiffness, radius and adhesion as they come out of a box; nominal by default.
    """
    if rng is None:
        return ForceProbe(_STIFFNESS, SphereCone(_RADIUS))
    stiffness, radius, adhesion = np.exp(np.array([0.15, 0.25, 0.10]) * rng.standard_normal(3))
    tip = SphereCone(_RADIUS * float(radius))
    return ForceProbe(_STIFFNESS * float(stiffness), tip, adhesion_factor=float(adhesion))


def phase_scan(
    surface: Surface,
    probe: ForceProbe,
    frame: Frame,
    settings: TappingSettings,
    rng: np.random.Generator,
    *,
    nuisance: ImageNuisance | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Scan an image in tapping mode, net-repulsive throughout.

    Parameters
    ----------
    surface : Surface
        The sample.
    probe : ForceProbe
        As it is.
    frame : Frame
        Where and how finely.
    settings : TappingSettings
        How it taps.
    rng : numpy.random.Generator
        Of noise.
    nuisance : ImageNuisance, optional
        What is wrong with the image as a whole; nothing by default.

    Returns
    -------
    dict
        Height m, amplitude error m, phase deg, each (lines, points). The phase is 90 deg less the
        lag of the cantilever: 0 far away, the larger the less a surface takes.
    """
    nuisance = ImageNuisance() if nuisance is None else nuisance
    height, contact = ground(surface, probe, frame)
    height += nuisance.line_noise * rng.standard_normal(frame.lines)[:, np.newaxis]
    lag, indentation = tapping_lag(np.moveaxis(contact, 1, 0), probe.spring_constant, settings)

    touched = height - indentation
    followed, error = _follow(touched)
    error += _AMPLITUDE_NOISE * rng.standard_normal(error.shape)
    phase = 90.0 - np.degrees(lag)
    middle = np.median(phase)
    phase = middle + nuisance.phase_gain * (phase - middle)
    # where the amplitude is off, the phase is off by the slope of the undisturbed sine
    phase -= np.degrees(error / (settings.free_amplitude * math.sqrt(1 - settings.setpoint**2)))
    steps = nuisance.phase_drift * rng.standard_normal(frame.lines)
    lines = nuisance.phase_line_noise * rng.standard_normal(frame.lines) + np.cumsum(steps)
    phase += np.degrees(lines)[:, np.newaxis] + _PHASE_NOISE * rng.standard_normal(phase.shape)
    images = {"height": followed, "amplitude_error": error, "phase": phase}
    return {name: images[name].astype(np.float32) for name in CHANNELS}


def tapping_lag(
    contact: NDArray[np.float64], spring_constant: float, settings: TappingSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much the tip lags behind its drive, and how deep it presses.

    Parameters
    ----------
    contact : ndarray, shape (4, ...)
        Stiffness N/m^1.5, adhesion N, indentation at touch m, relaxation time s.
    spring_constant : float
        N/m.
    settings : TappingSettings
        How it taps.

    Returns
    -------
    lag : ndarray
        From 0 to pi/2, rad: the regime is net-repulsive.
    indentation : ndarray
        At the lowest point, m.
    """
    amplitude, free = settings.amplitude, settings.free_amplitude
    quality = settings.quality_factor
    # cos(lag) = 2 Q <F> / (k A0); sin(lag) = A/A0 + Q E / (pi k A A0)
    force_scale = 2 * quality / (spring_constant * free)
    energy_scale = quality / (np.pi * spring_constant * amplitude * free)

    def sine(depth: NDArray[np.float64]) -> NDArray[np.float64]:
        return settings.setpoint + energy_scale * _lost(contact, depth, settings)

    low = np.zeros(contact.shape[1:])
    high = np.full(contact.shape[1:], amplitude)
    for _ in range(_ITERATIONS):
        middle = 0.5 * (low + high)
        cosine = np.sqrt(np.maximum(1 - np.minimum(sine(middle), 1.0) ** 2, 0.0))
        deep = force_scale * _mean_force(contact, middle, amplitude) > cosine
        high = np.where(deep, middle, high)
        low = np.where(deep, low, middle)
    return np.arcsin(np.minimum(sine(low), 1.0)), low


def _mean_force(
    contact: NDArray[np.float64], depth: NDArray[np.float64], amplitude: float
) -> NDArray[np.float64]:
    """Return the mean force over a cycle whose lowest point is so deep, N.

    Near its lowest point the tip follows a parabola, over which K x^1.5 is 3/16 sqrt(2/A) K d^2 in
    the mean; the adhesion acts as long as the contact lasts.
    """
    stiffness, adhesion, _, _ = contact
    elastic = 3 / 16 * math.sqrt(2 / amplitude) * stiffness * depth**2
    return elastic - adhesion * np.sqrt(2 * depth / amplitude) / np.pi


def _lost(
    contact: NDArray[np.float64], depth: NDArray[np.float64], settings: TappingSettings
) -> NDArray[np.float64]:
    """Return the energy that the surface takes in a cycle, J.

    What adhesion took on the way out and did not give on the way in, and the work of the
    Kelvin-Voigt contact along the same parabola.
    """
    stiffness, adhesion, touch, relaxation = contact
    reached = np.minimum(touch, depth)
    adhesive = adhesion * reached - 0.4 * stiffness * reached**2.5
    speed = 2 * np.pi * settings.frequency * math.sqrt(2 * settings.amplitude)
    return adhesive + 3 * np.pi / 8 * stiffness * relaxation * speed * depth**2


def _follow(height: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the height that the feedback finds along each line, and the error that is left, m."""
    followed = np.empty_like(height)
    followed[:, 0] = height[:, 0]
    for column in range(1, height.shape[1]):
        missing = height[:, column] - followed[:, column - 1]
        followed[:, column] = followed[:, column - 1] + _GAIN * missing
    return followed, followed - height
