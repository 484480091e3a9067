"""Rate-independent hysteresis: the play operator and sums of it (Prandtl-Ishlinskii).

For an input u that is monotone on a stretch, the play operator with half width r is (Krejci 1996,
*Hysteresis, Convexity and Dissipation in Hyperbolic Equations*, ch. II)

    P[u](t) = max(u(t) - r, min(u(t) + r, P(t0))).

The output depends on the turning points of the input only, not on its speed. Rising and falling
may have widths of their own (generalised play; Al Janaideh, Rakheja and Su 2011, IEEE/ASME Trans.
Mechatron. 16, 734). An operator of Prandtl-Ishlinskii is a weighted sum of plays; the reference
model puts it behind a common play:  y = w0 P_2[e] + sum_j w_j P_j[P_2[e]], w0 + sum_j w_j = 1.
"""

from __future__ import annotations

import numba

__all__ = ["CELLS", "play", "play_between"]

CELLS = 3  # Prandtl-Ishlinskii cells that an axis may have


@numba.njit(cache=True, error_model="numpy")
def play(position: float, half_width: float, previous: float) -> float:
    """Return the play operator's output for a monotone input that was at `previous` before."""
    return max(position - half_width, min(position + half_width, previous))


@numba.njit(cache=True, error_model="numpy")
def play_between(position: float, rising: float, falling: float, previous: float) -> float:
    """Return the output of a play that lags by `rising` upwards and `falling` downwards.

    Parameters
    ----------
    position : float
        The input.
    rising, falling : float
        Distance of the output from the input when pushed from below and from above.
    previous : float
        The output before.
    """
    return max(position - rising, min(position + falling, previous))
