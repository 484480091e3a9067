"""PeakForce tapping the straightforward way: whole arrays, NumPy and SciPy alone.

The same physics as `sim.peakforce` and the same reading of the curves, written as one would write
them without a compiler: the feedback column by column for all lines at once, then the curves of a
block of lines in one array, Newton's method on all that touch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_dilation

from sim.peakforce import ForceProbe, Frame, PeakForceSettings
from sim.surface import Surface

__all__ = ["reference_scan"]

_BLOCK = 4  # lines at once: faster than one and than sixteen
_NEWTON = 7  # steps from above, where the cubic is convex, to 1e-12
_REACH = 4  # pixels from the apex at which a 30 nm tip may touch a copolymer in a 4 um frame

Array = NDArray[np.float64]


def reference_scan(
    surface: Surface,
    probe: ForceProbe,
    frame: Frame,
    settings: PeakForceSettings,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float32]]:
    """Scan an image without nuisances; see `sim.peakforce.scan`."""
    height, law = _ground(surface, probe, frame)
    shape = (frame.lines, frame.points, settings.sample_points)
    piezo = np.empty(height.shape)
    _follow(height, law, probe, frame, settings, rng, piezo)
    raw = np.empty((5, *height.shape))
    for first in range(0, shape[0], _BLOCK):
        chosen = slice(first, min(first + _BLOCK, shape[0]))
        lowest = law[2, chosen] + height[chosen] - piezo[chosen]
        curves = _curves(lowest, law[:, chosen], probe, settings)
        curves *= 1 + probe.sensitivity_error
        noise = probe.force_noise / probe.spring_constant
        curves += noise * rng.standard_normal(curves.shape)
        raw[:, chosen] = _read(curves, settings)
    channels = {
        "height_sensor": piezo + 0.05e-9 * rng.standard_normal(piezo.shape),
        "peak_force_error": raw[0],
        "dmt_modulus": raw[1],
        "log_dmt_modulus": np.log10(np.maximum(raw[1], 1.0)),
        "adhesion": raw[2],
        "deformation": raw[3],
        "dissipation": raw[4],
        "height": piezo,
    }
    return {name: data.astype(np.float32) for name, data in channels.items()}


def _ground(surface: Surface, probe: ForceProbe, frame: Frame) -> tuple[Array, Array]:
    margin = _REACH + 2
    inner = (slice(margin, -margin), slice(margin, -margin))
    x, y = frame.positions(margin)
    heights = surface.height(x, y)
    structure = probe.tip.raster(frame.pixel, 2 * _REACH + 1)
    touched = grey_dilation(heights, structure=structure)
    down = np.gradient(touched, frame.pixel[0], axis=0)[inner]
    along = np.gradient(touched, frame.pixel[1], axis=1)[inner]
    level = 1 / np.sqrt(1 + down**2 + along**2)
    bend = -sum(
        (np.roll(heights, -1, axis) - 2 * heights + np.roll(heights, 1, axis))[inner]
        / (2 * step**2)
        for axis, step in enumerate(frame.pixel)
    )
    tip = probe.tip.radius
    radius = 1 / np.maximum(1 / tip + bend, 0.5 / tip)
    met = surface.contact(x[inner], y[inner], tip)
    stiffness = 4 / 3 * met.modulus * level**2.5 * np.sqrt(radius)
    factor = probe.adhesion_factor * level * radius / tip
    touch = ((met.adhesion - met.snap_in) * factor / stiffness) ** (2 / 3)
    return touched[inner], np.stack([stiffness, met.adhesion * factor, touch, met.relaxation])


def _indentation(z: Array, stiffness: Array, adhesion: Array, spring: float) -> Array:
    """Return the indentation where spring and contact balance, for tips in contact."""
    ratio = stiffness / spring
    q = ratio**2 * (z + adhesion / spring)
    v = np.minimum(np.sqrt(q), np.cbrt(q))
    for _ in range(_NEWTON):
        v -= (v * v * (v + 1) - q) / (v * (3 * v + 2) + 1e-300)
    return (v / ratio) ** 2


def _follow(
    height: Array,
    law: Array,
    probe: ForceProbe,
    frame: Frame,
    settings: PeakForceSettings,
    rng: np.random.Generator,
    out: Array,
) -> None:
    spring = probe.spring_constant
    gain = 1 + probe.sensitivity_error
    wanted = settings.setpoint / settings.spring_constant
    cycles = max(1, round(settings.frequency * frame.line_time / (2 * frame.points)))
    stiffness, adhesion, touch = law[:3, :, 0]
    depth = ((spring * wanted / gain + adhesion) / stiffness) ** (2 / 3)
    piezo = height[:, 0] - (depth + wanted / gain - touch)
    for column in range(height.shape[1]):
        stiffness, adhesion, touch = law[:3, :, column]
        for _ in range(cycles):
            out[:, column] = piezo
            z = touch + height[:, column] - piezo
            pressed = np.maximum(z, 0.0)
            deflection = np.where(
                z >= touch, pressed - _indentation(pressed, stiffness, adhesion, spring), 0.0
            )
            noise = probe.force_noise / spring * rng.standard_normal(z.size)
            error = gain * deflection + noise - wanted
            piezo = piezo + settings.gain * error * np.where(error < -0.5 * wanted, 2.5, 1.0)


def _curves(lowest: Array, law: Array, probe: ForceProbe, settings: PeakForceSettings) -> Array:
    """Return the true deflection over a cycle, its lowest point in the middle."""
    n = settings.sample_points
    phase = 2 * np.pi * np.arange(n) / n - np.pi
    spring = probe.spring_constant
    z = lowest[..., np.newaxis] - settings.amplitude * (1 - np.cos(phase))
    stiffness, adhesion, touch, relaxation = np.broadcast_arrays(*law[..., np.newaxis], z)[:4]
    held = np.where(phase <= 0, z >= touch, z + adhesion / spring > 0)
    held &= lowest[..., np.newaxis] >= touch
    deflection = np.zeros(z.shape)
    stiffness, z = stiffness[held], z[held]
    x = _indentation(z, stiffness, adhesion[held], spring)
    contact = 1.5 * stiffness * np.sqrt(x)
    speed = -settings.amplitude * 2 * np.pi * settings.frequency * np.sin(phase)
    speed = np.broadcast_to(speed, held.shape)[held] * spring / (spring + contact)
    deflection[held] = z - x + contact * relaxation[held] * speed / (spring + contact)
    return deflection


def _read(deflection: Array, settings: PeakForceSettings) -> Array:
    """Return the channels of the curves, stacked first."""
    n = settings.sample_points
    half, quarter = n // 2, n // 4
    phase = 2 * np.pi * np.arange(n) / n - np.pi
    z = settings.amplitude * (np.cos(phase) - 1)
    base = np.concatenate([deflection[..., :quarter], deflection[..., n - quarter :]], -1)
    deflection = deflection - base.mean(axis=-1, keepdims=True)
    force = settings.spring_constant * deflection
    x = z - deflection
    peak = force[..., half]
    adhesion = np.maximum(-force[..., half:].min(axis=-1), 0.0)

    least = np.minimum(force[..., :half].min(axis=-1), 0.0)
    threshold = least + (1 - settings.deformation_fit) * (peak - least)
    below = force[..., : half + 1] < threshold[..., np.newaxis]
    after = half + 1 - np.argmax(below[..., ::-1], axis=-1)[..., np.newaxis]
    f0, f1 = (np.take_along_axis(force, after - k, -1)[..., 0] for k in (1, 0))
    x0, x1 = (np.take_along_axis(x, after - k, -1)[..., 0] for k in (1, 0))
    deformation = x[..., half] - (x0 + (threshold - f0) / (f1 - f0) * (x1 - x0))

    ahead, force_ahead = np.roll(x, -1, axis=-1), np.roll(force, -1, axis=-1)
    dissipation = np.sum(0.5 * (force + force_ahead) * (ahead - x), axis=-1)
    modulus = _modulus(force[..., half:], x[..., half:], peak, adhesion, settings)
    return np.stack([peak - settings.setpoint, modulus, adhesion, deformation, dissipation])


def _modulus(
    force: Array, x: Array, peak: Array, adhesion: Array, settings: PeakForceSettings
) -> Array:
    """Return the slope of (F + Fa)^(2/3) over the indentation on retract, as E*."""
    above = force + adhesion[..., np.newaxis]
    part = above / (peak + adhesion)[..., np.newaxis]
    chosen = (part >= settings.min_force_fit) & (part <= settings.max_force_fit)
    last = np.argmin(force, axis=-1)[..., np.newaxis]
    chosen &= np.arange(force.shape[-1]) <= last
    y = np.cbrt(np.maximum(above, 0.0)) ** 2
    count = np.maximum(chosen.sum(axis=-1), 1)
    x_mean, y_mean = (np.sum(part * chosen, axis=-1) / count for part in (x, y))
    dx = (x - x_mean[..., np.newaxis]) * chosen
    spread = np.sum(dx**2, axis=-1)
    slope = np.sum(dx * (y - y_mean[..., np.newaxis]), axis=-1) / np.where(spread > 0, spread, 1)
    whole = np.cbrt(np.maximum(peak + adhesion, 0.0)) ** 2
    run = np.maximum(x[..., 0] - np.take_along_axis(x, last, -1)[..., 0], 0.05e-9)
    slope = np.where((count > 1) & (slope > 0), slope, whole / run)
    slope = np.minimum(slope, whole / 0.05e-9)
    return 0.75 * (1 - settings.poisson**2) / math.sqrt(settings.radius) * slope**1.5
