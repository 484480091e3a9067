"""Other people's registration of two fields, each as they offer it, behind one signature.

Every function takes (fixed, moving) and returns the shift (rows, columns, px) with the sign of
`analysis.registration.register`. Their packages are of the `bench` extra and are imported where
they are called: one that is missing is reported, not fatal. hyperspy is GPL and pystackreg carries
the licence of its authors: neither is imported by anything else of ours.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAPER", "PEERS", "SKIMAGE", "SKIMAGE_MASKED", "SKIMAGE_PLAIN", "Peer", "shift_of"]

Field = NDArray[np.float32]
Peer = Callable[[Field, Field], Any]

PAPER = "paper (full FFT cross-correlation)"
SKIMAGE = "skimage, phase, upsample 10"
SKIMAGE_PLAIN = "skimage, normalization=None, upsample 10"
SKIMAGE_MASKED = "skimage masked (overlap-normalised NCC)"


def _paper(fixed: Field, moving: Field) -> Any:
    """Fiedler et al. (seed of this project): zero mean, greatest |value| 1, full correlation."""
    from scipy.signal import correlate

    images = []
    for image in (fixed, moving):
        centred = image - image.mean()
        images.append(centred / np.abs(centred).max())
    correlation = correlate(images[0], images[1], mode="full", method="fft")
    peak = np.unravel_index(np.argmax(correlation), correlation.shape)
    return np.array(peak) - (np.array(moving.shape) - 1)


def _skimage(fixed: Field, moving: Field) -> Any:
    from skimage.registration import phase_cross_correlation

    return phase_cross_correlation(fixed, moving, upsample_factor=10)[0]


def _skimage_plain(fixed: Field, moving: Field) -> Any:
    from skimage.registration import phase_cross_correlation

    # None is documented, the annotation says str
    options: dict[str, Any] = {"upsample_factor": 10, "normalization": None}
    return phase_cross_correlation(fixed, moving, **options)[0]


def _skimage_masked(fixed: Field, moving: Field) -> Any:
    """Padfield's correlation; with nothing masked it is normalised by the overlap alone."""
    from skimage.registration import phase_cross_correlation

    everywhere = np.ones(fixed.shape, dtype=bool)
    return phase_cross_correlation(
        fixed, moving, reference_mask=everywhere, moving_mask=everywhere, overlap_ratio=0.15
    )[0]


def _opencv_phase(fixed: Field, moving: Field) -> Any:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    window = cv2.createHanningWindow(fixed.shape[::-1], cv2.CV_32F)
    (column, row), _ = cv2.phaseCorrelate(fixed, moving, window)
    return -np.array([row, column])


def _opencv_template(fixed: Field, moving: Field) -> Any:
    """The middle of the moving field, half its width and height, looked for in the fixed one."""
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    rows, columns = moving.shape
    corner = np.array([rows // 4, columns // 4])
    template = moving[corner[0] : corner[0] + rows // 2, corner[1] : corner[1] + columns // 2]
    score = cv2.matchTemplate(fixed, np.ascontiguousarray(template), cv2.TM_CCOEFF_NORMED)
    return np.array(np.unravel_index(np.argmax(score), score.shape)) - corner


def _m2stitch(fixed: Field, moving: Field) -> Any:
    """What `m2stitch.stitch_images` does with a pair before it looks at the others."""
    pairwise = importlib.import_module("m2stitch._translation_computation")
    rows, columns = fixed.shape
    peaks = pairwise.multi_peak_max(pairwise.pcm(fixed, moving))
    return pairwise.interpret_translation(
        fixed, moving, peaks[0], peaks[1], -rows, rows, -columns, columns
    )[1:]


def _ashlar(fixed: Field, moving: Field) -> Any:
    """The registration of a pair of tiles; its `reg` needs Java, this does not."""
    return importlib.import_module("ashlar.utils").register(fixed, moving, 2.0)[0]


def _pystackreg(fixed: Field, moving: Field) -> Any:
    """Thévenaz' pyramid of gradient descents, translation only."""
    stackreg = importlib.import_module("pystackreg").StackReg
    matrix = stackreg(stackreg.TRANSLATION).register(fixed, moving)
    return -np.array([matrix[1, 2], matrix[0, 2]])


def _multiview_stitcher(fixed: Field, moving: Field) -> Any:
    xarray = importlib.import_module("xarray")
    found = importlib.import_module(
        "multiview_stitcher.registration"
    ).phase_correlation_registration(
        xarray.DataArray(fixed, dims=("y", "x")), xarray.DataArray(moving, dims=("y", "x"))
    )
    return -np.asarray(found["affine_matrix"])[:2, 2]


def _hyperspy(fixed: Field, moving: Field) -> Any:
    signal = importlib.import_module("hyperspy.api").signals.Signal2D(np.stack([fixed, moving]))
    return -signal.estimate_shift2D(sub_pixel_factor=10, show_progressbar=False)[1]


PEERS: dict[str, Peer] = {
    PAPER: _paper,
    SKIMAGE: _skimage,
    SKIMAGE_PLAIN: _skimage_plain,
    "OpenCV phaseCorrelate, Hann": _opencv_phase,
    "OpenCV matchTemplate, half field": _opencv_template,
    "m2stitch": _m2stitch,
    "ashlar, sigma 2": _ashlar,
    "pystackreg": _pystackreg,
    SKIMAGE_MASKED: _skimage_masked,
    "multiview-stitcher": _multiview_stitcher,
    "hyperspy estimate_shift2D": _hyperspy,
}


def shift_of(name: str, fixed: Field, moving: Field) -> NDArray[np.float64]:
    """Return the shift a peer finds, px; NaN where it raises or returns none.

    Parameters
    ----------
    name : str
        Of `PEERS`.
    fixed, moving : ndarray of float32, shape (rows, columns)

    Returns
    -------
    ndarray, shape (2,)

    Raises
    ------
    ImportError
        If the peer is not installed.
    """
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            # copies: some filter in place
            shift = np.asarray(PEERS[name](fixed.copy(), moving.copy()), dtype=float)
        except ImportError:
            raise
        except Exception as problem:  # a peer that breaks on a pair has failed on that pair
            logging.getLogger(__name__).debug("%s: %r", name, problem)
            shift = np.full(2, np.nan)
    return shift if shift.shape == (2,) else np.full(2, np.nan)
