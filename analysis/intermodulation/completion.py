"""What did the tip do at tones that were not measured: at rest, at harmonics, between the bands?

A force along the known motion has tones everywhere, and the cantilever answers each of them with
its response (Borysov et al., eq. 9, with no drive there). Adding that to the motion and evaluating
the force anew converges in a pass or two, because away from the resonances the cantilever is
stiff.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measurement import Measurement, MeasurementError
from .modes import response
from .motion import Motion, dense_spectrum, motion, motion_from_spectra, spectrum

__all__ = ["FieldModel", "ForceModel", "complete", "complete_lateral"]

ForceModel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
FieldModel = Callable[
    [NDArray[np.float64], NDArray[np.float64]],
    tuple[NDArray[np.float64], NDArray[np.float64]],
]

# Tones of a force with a kink fall slowly and fold back from half of the samples. As many samples
# as this power of the motion would need keep that below 1e-3 of the force.
_FINE = 84


def complete(
    measurement: Measurement,
    force: ForceModel,
    *,
    start: Motion | None = None,
    tones: ArrayLike | None = None,
    passes: int = 2,
) -> Motion:
    """Return the motion with the tones that a force must have made though nobody measured them.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, tones along z.
    force : callable
        F(z, velocity), m and m/s to N, for arrays of any length.
    start : Motion, optional
        The motion along which the first pass evaluates the force; the measured one by default.
    tones : array_like, optional
        Mask or places of the tones to take as measured, all by default.
    passes : int
        How often the force is evaluated.

    Returns
    -------
    Motion
        With as many samples as `start`.

    Raises
    ------
    MeasurementError
        If the force is no finite number somewhere along the motion.
    """
    known = measurement if tones is None else measurement.select(tones)
    path = motion(known, degree=_FINE) if start is None else start
    for _ in range(passes):
        path = _answer(known, path, {"z": force(path.z, path.velocity)})
    return path


def complete_lateral(
    measurement: Measurement,
    force: FieldModel,
    *,
    start: Motion | None = None,
    tones: ArrayLike | None = None,
    passes: int = 2,
) -> Motion:
    """Return what `complete` does, for a tip that moves along z and y.

    Parameters
    ----------
    measurement, start, tones, passes
        As in `complete`, with tones along z and y.
    force : callable
        (z, y) in m to (F_z, F_y) in N.
    """
    known = measurement if tones is None else measurement.select(tones)
    path = motion(known, degree=_FINE) if start is None else start
    for _ in range(passes):
        assert path.y is not None
        along_z, along_y = force(path.z, path.y)
        path = _answer(known, path, {"z": along_z, "y": along_y})
    return path


def _answer(known: Measurement, path: Motion, forces: dict[str, NDArray[np.float64]]) -> Motion:
    """Return the motion of the known tones and of the cantilever's answer at all others."""
    samples = path.z.size
    spectra = {}
    for axis, force in forces.items():
        if not np.isfinite(force).all():
            raise MeasurementError(f"the force along {axis} is not finite on all of the motion")
        tones = np.arange(samples // 2 + 1)
        answer = response(known.modes, tones * known.df, axis) * spectrum(force)
        own = known.tones[known.on_axis(axis)]
        answer[own] = dense_spectrum(known, axis, tones.size)[own]
        spectra[axis] = answer
    return motion_from_spectra(known.df, spectra["z"], spectra.get("y"), samples=samples)
