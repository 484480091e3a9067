"""From the quadratures of a lock-in to complex tones.

With I = (1/T) int V cos(wt) dt and Q = (1/T) int V sin(wt) dt over whole periods, a tone
V = Re X exp(+iwt) has I = Re X / 2 and Q = -Im X / 2: its amplitude is 2 sqrt(I^2 + Q^2).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.wire import InstrumentError, WireError

__all__ = ["complex_tones", "vendor_errors"]


def complex_tones(i: ArrayLike, q: ArrayLike, *, sine: int = 1) -> NDArray[np.complex128]:
    """Return X of V(t) = Re X exp(+iwt), in the unit of the quadratures.

    Parameters
    ----------
    i, q : array_like
        Mean of V times the cosine, and of V times the sine.
    sine : int
        -1 for a lock-in whose Q is the mean of V times minus the sine.
    """
    return 2.0 * (np.asarray(i, np.float64) - 1j * sine * np.asarray(q, np.float64))


@contextmanager
def vendor_errors(who: str) -> Iterator[None]:
    """Turn what a vendor's library raises into an `InstrumentError` of one line."""
    try:
        yield
    except WireError:
        raise
    except Exception as error:  # a vendor's library raises what it likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InstrumentError(f"{who} failed: {reason}") from error
