"""The motion of the tip in compiled arithmetic, a block of slow time at a time.

The tones of a band are a carrier times a slow envelope, a short series in each block. What the
force does to the tones that were not measured is the ringing of the modes after each push.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "FAST",
    "Along",
    "Bands",
    "Resonators",
    "add_tones",
    "carried",
    "motion",
    "respond",
    "series",
]

# Arithmetic may be reordered, but infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}


class Along(NamedTuple):
    """Samples along a motion.

    Parameters
    ----------
    places : ndarray of int, shape (n,)
        In the period.
    weights : ndarray, shape (n,)
        How many samples each stands for.
    z, velocity : ndarray, shape (n,)
        Deflection, m, and its rate, m/s.
    offsets : ndarray, shape (n,)
        Place in the sample's block, -1 to 1.
    rows : ndarray, shape (groups, 2, n)
        Cosine and sine of each band's carrier.
    starts : ndarray of int, shape (blocks + 1,)
        Where the samples of each block begin.
    """

    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    z: NDArray[np.float64]
    velocity: NDArray[np.float64]
    offsets: NDArray[np.float32]
    rows: NDArray[np.float32]
    starts: NDArray[np.int64]


class Bands(NamedTuple):
    """What moments bring to tones: real and imaginary part, (K, blocks * 5), and each one's group.

    Loops of their own: the threads of a linear algebra library cost more than this work.
    """

    real: NDArray[np.floating]
    imag: NDArray[np.floating]
    groups: NDArray[np.int64]


class Resonators(NamedTuple):
    """Modes as they ring after a push, gain Im exp(rate t).

    Parameters
    ----------
    rates : ndarray of complex, shape (modes,)
        1/s.
    gains : ndarray, shape (modes,)
        m for the push of 1 N for one sample.
    prompt : ndarray, shape (modes,)
        m in the sample of the push itself, where a sum over samples misses the bend of the ringing
        at its beginning: the second term of Euler and Maclaurin's formula.
    decays : ndarray of complex, shape (modes, stride + 1)
        exp(rate t) after 0 to stride samples.
    settled : ndarray of complex, shape (modes,)
        What the same push in each period before leaves, the last included: 1 / (1 - exp(rate T)).
    """

    rates: NDArray[np.complex128]
    gains: NDArray[np.float64]
    prompt: NDArray[np.float64]
    decays: NDArray[np.complex128]
    settled: NDArray[np.complex128]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def series(bands, scale, tones, blocks, out):
    """Fill the Taylor series of each band in each block: an expansion into tones read backwards.

    Parameters
    ----------
    bands : Bands
    scale : ndarray, shape (K,)
        By which an expansion is larger than a phase factor.
    tones : ndarray of complex, shape (K,)
    blocks : int
    out : ndarray of complex, shape (groups, blocks, 5)
    """
    orders = bands.real.shape[1] // blocks
    real, imag = np.zeros((2, out.shape[0], blocks * orders))
    for k in range(tones.size):
        group = bands.groups[k]
        a, b = tones[k].real / scale[k], tones[k].imag / scale[k]
        for i in range(blocks * orders):
            real[group, i] += a * bands.real[k, i] + b * bands.imag[k, i]
            imag[group, i] += b * bands.real[k, i] - a * bands.imag[k, i]
    for group in range(out.shape[0]):
        for i in range(blocks * orders):
            out[group, i // orders, i % orders] = complex(real[group, i], imag[group, i])


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def motion(envelopes, carriers, firsts):
    """Return the deflection of the whole period.

    Parameters
    ----------
    envelopes : ndarray of complex, shape (groups, blocks, 5)
        Of each band, a series in each block.
    carriers : ndarray, shape (groups, 2, samples)
        Cosine and sine of each band's middle.
    firsts : ndarray of int, shape (blocks + 1,)
        First sample of each block.

    Returns
    -------
    ndarray, shape (samples,)
        m.
    """
    blocks = envelopes.shape[1]
    z = np.zeros(carriers.shape[2])
    step = 2.0 * blocks / z.size
    for block in range(blocks):
        own = slice(firsts[block], firsts[block + 1])
        start = step * firsts[block] - (2.0 * block + 1.0)
        for group in range(envelopes.shape[0]):
            # In variables of their own, so that the loop over the samples vectorises.
            a0, a1, a2, a3, a4 = _terms(envelopes[group, block].real)
            b0, b1, b2, b3, b4 = _terms(envelopes[group, block].imag)
            cosine, sine, out = carriers[group, 0, own], carriers[group, 1, own], z[own]
            for i in range(out.size):
                x = start + step * i
                real = a0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))
                imag = b0 + x * (b1 + x * (b2 + x * (b3 + x * b4)))
                out[i] += real * cosine[i] - imag * sine[i]
    return z


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _terms(series):
    return series[0], series[1], series[2], series[3], series[4]


@njit(cache=True, error_model="numpy", nogil=True)
def carried(places, firsts, carriers):
    """Return the offsets, the rows and the starts of samples, see `Along`."""
    count, groups, samples = places.size, carriers.shape[0], carriers.shape[2]
    blocks = firsts.size - 1
    starts = np.searchsorted(places, firsts)
    offsets = np.empty(count, dtype=np.float32)
    rows = np.empty((groups, 2, count), dtype=np.float32)
    step = 2.0 * blocks / samples
    for block in range(blocks):
        for i in range(starts[block], starts[block + 1]):
            offsets[i] = step * places[i] - (2.0 * block + 1.0)
    for group in range(groups):
        for part in range(2):
            for i in range(count):
                rows[group, part, i] = carriers[group, part, places[i]]
    return offsets, rows, starts


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def add_tones(envelopes, offsets, rows, starts, out):
    """Add the tones of all bands to a signal at the samples, shape (n,)."""
    for block in range(starts.size - 1):
        own = slice(starts[block], starts[block + 1])
        x, signal = offsets[own], out[own]
        for group in range(envelopes.shape[0]):
            a0, a1, a2, a3, a4 = _terms(envelopes[group, block].real)
            b0, b1, b2, b3, b4 = _terms(envelopes[group, block].imag)
            cosine, sine = rows[group, 0, own], rows[group, 1, own]
            for i in range(x.size):
                real = a0 + x[i] * (a1 + x[i] * (a2 + x[i] * (a3 + x[i] * a4)))
                imag = b0 + x[i] * (b1 + x[i] * (b2 + x[i] * (b3 + x[i] * b4)))
                signal[i] += real * cosine[i] - imag * sine[i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def respond(force, places, samples, resonators):
    """Return how the cantilever answers the same pushes in each period, once it has settled.

    Parameters
    ----------
    force : ndarray, shape (n,)
        N, times the number of samples that each push lasts.
    places : ndarray of int, shape (n,)
        Of the pushes in the period.
    samples : int
        Of the period.
    resonators : Resonators

    Returns
    -------
    z, velocity : ndarray, shape (n,)
        m and m/s.
    """
    rates, gains, prompt, decays, settled = resonators
    z, velocity = np.zeros((2, force.size))
    last = force.size - 1
    for mode in range(rates.size):
        # Once from rest: when the motion has settled, what is there at the end of the period is
        # this and what is left of the same in all the periods before.
        a, b, before = 0.0, 0.0, places[0]
        for i in range(force.size):
            decay = decays[mode, places[i] - before]
            before = places[i]
            a, b = a * decay.real - b * decay.imag + force[i], a * decay.imag + b * decay.real
        part, gain, rate = settled[mode], gains[mode], rates[mode]
        a, b = a * part.real - b * part.imag, a * part.imag + b * part.real
        before -= samples
        for i in range(force.size):
            decay = decays[mode, places[i] - before]
            before = places[i]
            a, b = a * decay.real - b * decay.imag, a * decay.imag + b * decay.real
            z[i] += gain * b + prompt[mode] * force[i]
            # A push changes the velocity at once: it is half felt in its own sample.
            bend = (force[min(i + 1, last)] - force[max(i - 1, 0)]) / 24.0
            velocity[i] += gain * (rate.real * b + rate.imag * (a + 0.5 * force[i] - bend))
            a += force[i]
    return z, velocity
