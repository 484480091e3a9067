"""The compiled loop of the fast engine: kicks by the force, exact motion in between.

One buffer holds all of the state, row after row of `lanes` numbers; only so does the compiler know
that the rows do not overlap, and turns the loop over the lanes into vector instructions. The loops
over modes and parameters are unrolled by composing functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import njit
from numba.extending import register_jitable

from sim.forces._base import Kernel

__all__ = ["COEFFICIENTS", "HIDDEN", "march"]

COEFFICIENTS = 5  # of a carrier: turn (real, imaginary), velocity (of real, of imaginary), kick
HIDDEN = 2  # offset of the axis of a carrier that listens but does not move the tip


def _gather(axes: tuple[int, ...], lanes: int) -> Callable[..., Any]:
    """Return what sums deflection and velocity of the modes: z, y, vz, vy."""
    if not axes:

        @register_jitable
        def nothing(x, c, l):  # noqa: E741
            zero = type(x[0])(0)
            return zero, zero, zero, zero

        return nothing
    rest = _gather(axes[:-1], lanes)
    row, at, axis = 2 * (len(axes) - 1) * lanes, COEFFICIENTS * (len(axes) - 1), axes[-1]
    if axis >= HIDDEN:
        return rest

    @register_jitable
    def both(x, c, l):  # noqa: E741
        z, y, vz, vy = rest(x, c, l)
        real, imaginary = x[row + l], x[row + lanes + l]
        velocity = real * c[at + 2] + imaginary * c[at + 3]
        if axis == 0:
            return z + real, y, vz + velocity, vy
        return z, y + real, vz, vy + velocity

    return both


def _advance(axes: tuple[int, ...], lanes: int) -> Callable[..., Any]:
    """Return what kicks each carrier by the force along its axis and lets it swing for a step."""
    if not axes:

        @register_jitable
        def nothing(x, c, l, fz, fy):  # noqa: E741
            return None

        return nothing
    rest = _advance(axes[:-1], lanes)
    row, at = 2 * (len(axes) - 1) * lanes, COEFFICIENTS * (len(axes) - 1)
    lateral = axes[-1] % HIDDEN

    @register_jitable
    def one(x, c, l, fz, fy):  # noqa: E741
        rest(x, c, l, fz, fy)
        force = fy if lateral else fz
        real, imaginary = x[row + l], x[row + lanes + l] + force * c[at + 4]
        x[row + l] = real * c[at] - imaginary * c[at + 1]
        x[row + lanes + l] = real * c[at + 1] + imaginary * c[at]

    return one


def _parameters(first: int, count: int, lanes: int) -> Callable[..., Any]:
    """Return what reads the parameters of a lane's force law."""
    if count == 0:

        @register_jitable
        def none(x, l):  # noqa: E741
            return ()

        return none
    rest = _parameters(first, count - 1, lanes)
    row = (first + count - 1) * lanes

    @register_jitable
    def some(x, l):  # noqa: E741
        return (*rest(x, l), x[row + l])

    return some


@cache
def march(kernel: Kernel, parameters: int, axes: tuple[int, ...], lanes: int) -> Callable[..., Any]:
    """Return the compiled function that follows the motion through one period.

    Parameters
    ----------
    kernel : callable
        Force law, as `sim.forces.composed_kernel` gives it.
    parameters : int
        How many parameters it has.
    axes : tuple of int
        Of each carrier: 0 along z, 1 along y; plus HIDDEN for one that does not move the tip.
    lanes : int
        How many pixels go abreast.

    Returns
    -------
    callable
        ``f(state, free, coefficients, strain, stride, record)``. `state` holds rows of `lanes`
        numbers: real and imaginary part of each carrier, height, smallest distance, parameters.
        `free` is the free motion at each step, z, y, vz, vy, shape (steps, 4). `strain` is by how
        much a unit of force along z and y changes the velocity until the middle of a kick. The
        carriers go to `record` before every `stride`-th kick and at the end.
    """
    gather, advance = _gather(axes, lanes), _advance(axes, lanes)
    height = 2 * len(axes) * lanes
    closest = height + lanes
    law = _parameters(2 * len(axes) + 2, parameters, lanes)

    @njit(error_model="numpy", fastmath={"contract", "nsz", "arcp"}, cache=True, nogil=True)
    def follow(x, free, c, strain, stride, record):
        half_z, half_y = strain
        for step in range(free.shape[0]):
            if step % stride == 0:
                record[step // stride, :] = x[:height]
            z0, y0, vz0, vy0 = free[step, 0], free[step, 1], free[step, 2], free[step, 3]
            for l in range(lanes):  # noqa: E741
                z, y, vz, vy = gather(x, c, l)
                d, y, vz, vy = z + (z0 + x[height + l]), y + y0, vz + vz0, vy + vy0
                x[closest + l] = min(x[closest + l], d)
                p = law(x, l)
                fz, fy = kernel(d, y, vz, vy, p, 0)
                # the velocity in the middle of the kick: second order where the force damps
                fz, fy = kernel(d, y, vz + half_z * fz, vy + half_y * fy, p, 0)
                advance(x, c, l, fz, fy)
        record[free.shape[0] // stride, :] = x[:height]

    return follow
