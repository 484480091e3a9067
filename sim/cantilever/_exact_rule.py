"""Nodes and integrals of one step: Gauss quadrature, drawn together towards the kinks it touches.

A force is smooth between its kinks, so Gauss-Legendre nodes integrate it with an error that falls
exponentially with their number. At a kink it may go as a root of the distance; where a step begins
or ends on one, time is a square of the variable there, in which a root is smooth again.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

__all__ = ["BEGINS", "COLUMNS", "ENDS", "LATER", "NODES", "POINTS", "TAIL", "Rule", "rule"]

NODES = 15
POINTS = NODES + 1  # the nodes and the end: one vector
LATER = POINTS  # first column of the moments in time after the zeroth, which stands at the end
TAIL = LATER + 3  # first column of the two highest coefficients of the integrand
COLUMNS = 2 * POINTS  # two vectors; the last ones are zero

ENDS, BEGINS = 1, 2  # on a kink; summed, they are the kind of a step


class Rule(NamedTuple):
    """The nodes and integrals of the four kinds of steps.

    Parameters
    ----------
    places : ndarray, shape (4 * POINTS,)
        Of the nodes and the end, as a part of the step.
    weights : ndarray, shape (4 * NODES * COLUMNS,)
        By which the values at the nodes are multiplied and summed. The first POINTS columns give
        the integral from the beginning to each point, in units of the step; then come the
        integrals with the first, second and third power of time, and the two highest Legendre
        coefficients.
    """

    places: NDArray[np.float64]
    weights: NDArray[np.float64]


@cache
def rule() -> Rule:
    """Return the rule of all steps."""
    nodes, weights = legendre.leggauss(NODES)
    orders = np.arange(NODES)
    values = legendre.legvander(nodes, NODES - 1)
    coefficients = (values * weights[:, None]).T * (orders[:, None] + 0.5)
    integrals = np.array(
        [legendre.legval(nodes, legendre.legint(each, lbnd=-1)) for each in np.eye(NODES)]
    ).T
    until = integrals @ coefficients / 2
    places, sums = np.ones((4, POINTS)), np.zeros((4, NODES, COLUMNS))
    for kind in range(4):
        time, rate = _time(kind, (nodes + 1) / 2)
        places[kind, :NODES] = time
        sums[kind, :, :NODES] = until.T * rate[:, None]
        for power, column in enumerate((NODES, LATER, LATER + 1, LATER + 2)):
            sums[kind, :, column] = weights / 2 * rate * time**power
        sums[kind, :, TAIL : TAIL + 2] = (coefficients[-2:] * rate).T
    return Rule(places.ravel(), sums.ravel())


def _time(
    kind: int, variable: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return time and its slope where the step's variable goes from 0 to 1."""
    s = variable
    match kind:
        case 0:
            return s, np.ones_like(s)
        case 1:
            return s * (2 - s), 2 * (1 - s)
        case 2:
            return s**2, 2 * s
        case _:
            return s**2 * (3 - 2 * s), 6 * s * (1 - s)
