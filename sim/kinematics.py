"""From what the axes do to where the specimen is: cross-talk, the ball, the tilt axes.

Three maps in a row, each exact:

- cross-talk, (x, y, z) <- (I + K) (x, y, z);
- the ball at the distance L on the rod's axis: pushing the rod's end for y and z swings it by
  phi = y / L and theta = z / L, so that the specimen goes to
  Rz(phi) Ry(-theta) (L + x, 0, 0) - (L, 0, 0); a maker's linearisation leaves a part of the
  difference from straight motion;
- the tilts: beta turns the specimen about a line along y in the cradle that goes with the rod,
  b - Ry(beta) b from where it was; alpha turns everything about a line along x that is fixed in the
  microscope, Rx(alpha) (p - t) + t, with a wobble.

A change of z is a change of focus.
"""

from __future__ import annotations

import math

import numba

__all__ = ["place", "swing", "turn"]


@numba.njit(cache=True, error_model="numpy")
def swing(x: float, y: float, z: float, pivot_length: float) -> tuple[float, float, float]:
    """Return where the ball puts a specimen whose drives stand at x, y and z, metres."""
    # cos(phi) cos(theta) - 1 by half angles, so that a nanometre survives beside 80 mm
    half_phi, half_theta = math.sin(0.5 * y / pivot_length), math.sin(0.5 * z / pivot_length)
    sin_phi = 2.0 * half_phi * math.sqrt(1.0 - half_phi**2)
    sin_theta = 2.0 * half_theta * math.sqrt(1.0 - half_theta**2)
    cos_phi, cos_theta = 1.0 - 2.0 * half_phi**2, 1.0 - 2.0 * half_theta**2
    fall = 2.0 * (half_phi**2 + half_theta**2 * cos_phi)
    reach = pivot_length + x
    return x - reach * fall, reach * sin_phi * cos_theta, reach * sin_theta


@numba.njit(cache=True, error_model="numpy")
def turn(first: float, second: float, cos: float, sin: float) -> tuple[float, float]:
    """Return a point of a plane after it was turned from its first towards its second axis."""
    return cos * first - sin * second, sin * first + cos * second


@numba.njit(cache=True, error_model="numpy")
def _wobble(body, axis, cos, sin):
    """Return the wobble of x, y or z at a tilt, from the products of the harmonics' phases."""
    w = body.wobble
    first = w[axis, 0] * sin + w[axis, 1] * (cos - 1.0)
    return first + w[axis, 2] * 2.0 * sin * cos - w[axis, 3] * 2.0 * sin * sin


@numba.njit(cache=True, error_model="numpy")
def place(axes, body, out):
    """Put where the specimen is into `out`.

    Parameters
    ----------
    axes : ndarray, shape (5,)
        Where x, y, z, alpha and beta stand by themselves; m and rad.
    body : record of BODY
        The stage.
    out : ndarray, shape (5,)
        x, y, z, alpha, beta of the specimen; m and rad.
    """
    mixing = body.mixing
    x = mixing[0, 0] * axes[0] + mixing[0, 1] * axes[1] + mixing[0, 2] * axes[2]
    y = mixing[1, 0] * axes[0] + mixing[1, 1] * axes[1] + mixing[1, 2] * axes[2]
    z = mixing[2, 0] * axes[0] + mixing[2, 1] * axes[1] + mixing[2, 2] * axes[2]
    if body.swings and body.residual > 0.0:
        swung = swing(x, y, z, body.pivot_length)
        x += body.residual * (swung[0] - x)
        y += body.residual * (swung[1] - y)
        z += body.residual * (swung[2] - z)
    alpha, beta = axes[3], axes[4]
    if body.tilts:
        if beta != 0.0:
            cos, sin = math.cos(beta), math.sin(beta)
            turned_z, turned_x = turn(body.cradle_z, body.cradle_x, cos, sin)
            x += body.cradle_x - turned_x
            z += body.cradle_z - turned_z
        if alpha != 0.0:
            cos, sin = math.cos(alpha), math.sin(alpha)
            y, z = turn(y - body.axis_y, z - body.axis_z, cos, sin)
            x += _wobble(body, 0, cos, sin)
            y += body.axis_y + _wobble(body, 1, cos, sin)
            z += body.axis_z + _wobble(body, 2, cos, sin)
    out[0], out[1], out[2], out[3], out[4] = x, y, z, alpha, beta
