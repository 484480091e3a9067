"""What a tip touches in each pixel of a scan: how high, how stiff and how sticky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim._peakforce_frame import Frame
from sim._peakforce_probe import ForceProbe
from sim.surface import Contact, Surface
from sim.tip import reach, scan_surface

__all__ = ["contact_law", "ground"]


def ground(
    surface: Surface, probe: ForceProbe, frame: Frame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the tip touches in each pixel.

    The image of the surface is its dilation by the tip. Where it slopes, the contact's normal does
    too, so that the force along Z grows with the power 2.5 of the slope's cosine. Where it curves,
    tip and surface share their curvatures (Johnson, Contact Mechanics (1985), eq. 4.17); in
    hollows narrower than the tip it rests on their rims and its radius counts twice at most.

    Parameters
    ----------
    surface : Surface
        The sample.
    probe : ForceProbe
        With its tip and the adhesion that it finds.
    frame : Frame
        Where the pixels lie.

    Returns
    -------
    height : ndarray, shape (lines, points)
        Where the undeflected tip touches, m.
    contact : ndarray, shape (lines, 4, points)
        Stiffness N/m^1.5, adhesion N, indentation at touch m, relaxation time s.
    """
    margin = 2 + reach(probe.tip, frame.pixel, _relief(surface, frame))
    x, y = frame.positions(margin)
    inner = (slice(margin, -margin), slice(margin, -margin))
    heights = surface.height(x, y)
    touched = scan_surface(heights, frame.pixel, probe.tip)
    slope_y = np.gradient(touched, frame.pixel[0], axis=0)[inner]
    slope_x = np.gradient(touched, frame.pixel[1], axis=1)[inner]
    level = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    tip = probe.tip.radius
    radius = 1 / np.maximum(1 / tip + _curvature(heights, frame.pixel)[inner], 0.5 / tip)
    met = surface.contact(x[inner], y[inner], tip)
    stickiness = probe.adhesion_factor * level * radius / tip
    law = contact_law(met, stickiness, level**2.5 * np.sqrt(radius))
    return touched[inner] + frame.velocity[2] * frame.times[:, np.newaxis], law


def contact_law(
    met: Contact,
    adhesion_factor: float | NDArray[np.floating],
    stiffness_factor: float | NDArray[np.floating],
) -> NDArray[np.float64]:
    """Return stiffness, adhesion, indentation at touch and relaxation on the last axis but one.

    Parameters
    ----------
    met : Contact
        With its pull-off force.
    adhesion_factor : float or ndarray
        By which that force is multiplied.
    stiffness_factor : float or ndarray
        Root of the radius, m^0.5, and what else multiplies 4/3 E*.
    """
    stiffness = 4 / 3 * met.modulus * stiffness_factor
    adhesion = met.adhesion * adhesion_factor
    touch = ((met.adhesion - met.snap_in) * adhesion_factor / stiffness) ** (2 / 3)
    parts = np.broadcast_arrays(stiffness, adhesion, touch, met.relaxation)
    return np.stack(parts, axis=-2, dtype=np.float64)


def _relief(surface: Surface, frame: Frame) -> float:
    """Return how much a coarse look at the frame lets expect of the surface, m."""
    x, y = frame.positions()
    return 1.5 * float(np.ptp(surface.height(x[::4, ::4], y[::4, ::4])))


def _curvature(heights: NDArray[np.float64], pixel: tuple[float, float]) -> NDArray[np.float64]:
    """Return the mean curvature, positive on summits, 1/m."""
    curvature = np.zeros_like(heights)
    for axis, step in enumerate(pixel):
        middle = heights.swapaxes(0, axis)
        second = middle[2:] - 2 * middle[1:-1] + middle[:-2]
        curvature.swapaxes(0, axis)[1:-1] -= second / (2 * step**2)
    return curvature
