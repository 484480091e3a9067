"""Forces as tents along the motion: what does a force that is known at nodes give at each tone?

A force that is linear between nodes along z, times any power of velocity or lateral deflection, is
a sum of tents (hat functions); the tones of each tent along the motion are the columns of eq. 12 of
Borysov et al. Near a resonance only the slow part of a signal matters: products with the carrier
are shared between slow instants, and one small Fourier sum gives all tones of the band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Nodes", "groups", "tent_spectra"]

_NODES = 120
# The nodes lie closest, by a factor cosh(3.5) = 17, where the tip turns and forces are steep.
_CROWDING = 3.5
# Forces may reach above the rest point, as a double layer or dispersion forces do; how far,
# in units of the depth. A tail that is cut off there comes back, mirrored, as an error below.
_ABOVE = 1.0
_WIDEST_BAND = 128
_GAP = 64
# Instants in the shortest beat of a band: between them the beat is taken as straight.
_INSTANTS, _FEWEST_INSTANTS = 128, 256


@dataclass(frozen=True, eq=False)
class Nodes:
    """Deflections between which a force is linear.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Rising, m; the force is zero at the last and above.
    """

    z: NDArray[np.float64]

    @classmethod
    def over(cls, lowest: float, highest: float) -> Nodes:
        """Return nodes from the lowest deflection to above the rest point."""
        top = min(_ABOVE * -lowest, highest)
        u = np.linspace(0.0, _CROWDING, _NODES)
        return cls(lowest + (top - lowest) * np.sinh(u) / np.sinh(_CROWDING))

    @property
    def depth(self) -> float:
        """How far the lowest node lies below the rest point, m."""
        return -float(self.z[0])

    @property
    def x(self) -> NDArray[np.float64]:
        """Height above the lowest node in units of the depth, shape (n,)."""
        return (self.z - self.z[0]) / self.depth

    def hinges(self) -> NDArray[np.float64]:
        """Return functions with one kink each, zero above it, (n, n - 1).

        Independent normal weights of unit variance make the second derivative with respect to x
        white noise of unit density.
        """
        x = self.x
        ramps = np.maximum(x[None, :] - x[:, None], 0.0) * np.sqrt(np.gradient(x))
        return ramps[:, 1:]

    def weights(self, z: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the interval each deflection lies in (-1 above all) and the share of its end."""
        return _intervals(self.z, z)

    def value(self, nodal: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a function given at the nodes, at other deflections."""
        place, share = self.weights(z)
        found = (1.0 - share) * nodal[place] + share * nodal[place + 1]
        return np.where(place < 0, 0.0, found)

    def slope(self, nodal: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return its derivative, per m."""
        place, _ = self.weights(z)
        return np.where(place < 0, 0.0, (np.diff(nodal) / np.diff(self.z))[place])


def groups(tones: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the places of rising tones that lie together, no more than a band's width each."""
    found = []
    for run in np.split(np.arange(tones.size), np.flatnonzero(np.diff(tones) > _GAP) + 1):
        chunks = (tones[run] - tones[run[0]]) // _WIDEST_BAND
        found += [run[chunks == chunk] for chunk in np.unique(chunks)]
    return found


def tent_spectra(
    nodes: Nodes,
    z: NDArray[np.float64],
    factors: NDArray[np.float64],
    tones: NDArray[np.int64],
) -> NDArray[np.complex128]:
    """Return the tones of each tent times each factor along the motion.

    Parameters
    ----------
    nodes : Nodes
    z : ndarray, shape (samples,)
        Deflection over one period; the number of samples is a power of 2.
    factors : ndarray, shape (f, samples)
    tones : ndarray of int, shape (k,)
        Rising.

    Returns
    -------
    ndarray of complex, shape (f, k, n)
    """
    samples = z.size
    place, share = nodes.weights(z)
    found = np.zeros((len(factors), tones.size, nodes.z.size), dtype=np.complex128)
    for group in groups(tones):
        centre = int(tones[group].mean())
        offset = tones[group] - centre
        wanted = max(_INSTANTS * int(np.abs(offset).max()), _FEWEST_INSTANTS)
        instants = min(1 << (wanted - 1).bit_length(), samples // 4)
        sums = _deposit(place, share, factors, centre, instants, nodes.z.size)
        slow = np.exp(-2j * np.pi / instants * np.outer(offset, np.arange(instants)))
        slow *= 2.0 / (samples * np.sinc(offset / instants) ** 2)[:, None]
        found[:, group] = slow @ sums
    return found


@njit(cache=True)
def _intervals(edges, z):
    """Return what `Nodes.weights` does, quickly for a signal that changes slowly."""
    place, share = np.empty(z.size, dtype=np.int64), np.empty(z.size)
    j, last = 0, edges.size - 2
    for i in range(z.size):
        while j < last and z[i] >= edges[j + 1]:
            j += 1
        while j > 0 and z[i] < edges[j]:
            j -= 1
        place[i] = -1 if z[i] > edges[-1] else j
        share[i] = (z[i] - edges[j]) / (edges[j + 1] - edges[j])
    return place, share


@njit(cache=True)
def _deposit(place, share, factors, centre, instants, count):
    """Share signals times tents and carrier between neighbouring instants, (f, instants, count)."""
    samples, length = place.size, place.size // instants
    sums = np.zeros((len(factors), instants, count), dtype=np.complex128)
    turn = np.exp(-2j * np.pi / samples * centre)
    carrier = 1.0 / turn
    for i in range(samples):
        carrier *= turn
        j = place[i]
        if j < 0:
            continue
        now = i // length
        later = (now + 1) % instants
        lapse = (i - now * length) / length
        for f in range(len(factors)):
            signal = factors[f, i] * carrier
            begin, end = (1.0 - share[i]) * signal, share[i] * signal
            sums[f, now, j] += (1.0 - lapse) * begin
            sums[f, now, j + 1] += (1.0 - lapse) * end
            sums[f, later, j] += lapse * begin
            sums[f, later, j + 1] += lapse * end
    return sums
