"""Scale, rotation, drift and jitter: how far from the truth, and do the errors say so?

Fields are cut from a specimen by a quintic spline at known places: turned by any angle, scaled by
0.5 to 2, or line by line with drift and jitter. Beside it the recipe of scikit-image for scale and
rotation (log-polar amplitude spectra) and its phase correlation for the averaging of a series.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.drift import average_series, measure_drift
from analysis.similarity import register_similarity
from benchmarks._fields import _CANVASES
from benchmarks.tables import Table

__all__ = ["measure"]

_MICROGRAPH = Path(__file__).parents[1] / "station" / "data" / "micrograph.tif"
_SCREEN_ROWS = 900  # below, the micrograph has a caption
_SIZE, _PAIRS = 320, 10
_SCAN_SIZE, _SCANS, _FRAMES = 256, 12, 16
_VELOCITY, _JITTER = 0.01, (0.1, 0.4)


def measure() -> list[Table]:
    """Scale and rotation; drift and jitter; averaging."""
    return [_similarity(), _drift(), _averaging()]


def _canvas(name: str, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Pixels of a periodic specimen of the registration benchmark."""
    return _CANVASES[name](size, rng).pixels


def _specimen(name: str, size: int, rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """Pixels of variance 1, and how to go on beyond their edge."""
    if name != "micrograph":
        return _canvas(name, size, rng), "grid-wrap"
    import tifffile

    pixels = tifffile.imread(_MICROGRAPH)[:_SCREEN_ROWS].astype(float)
    return (pixels - pixels.mean()) / pixels.std(), "mirror"


def _turned_pair(
    name: str, size: int, snr: float, rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Two fields, and the truth: ln scale, rotation (rad), shift (rows, columns) px."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    log_scale, angle = rng.uniform(-np.log(2.0), np.log(2.0)), rng.uniform(-np.pi, np.pi)
    scale = float(np.exp(log_scale))
    pixels, mode = _specimen(name, 4 * size, rng)
    shift = rng.uniform(-0.2, 0.2, 2) * size * max(1.0, scale)
    place = np.array(pixels.shape) / 2.0 + rng.uniform(-0.05, 0.05, 2) * size
    steps = np.arange(size) - 0.5 * (size - 1)
    # a larger pixel averages over more of the specimen
    wide = gaussian_filter(
        pixels, 0.5 * np.sqrt(max(0.0, scale**2 - 1.0)), mode=mode.removeprefix("grid-")
    )
    images = []
    for source, s, a, d in ((pixels, 1.0, 0.0, np.zeros(2)), (wide, scale, angle, shift)):
        rows = d[0] + s * (np.cos(a) * steps[:, None] + np.sin(a) * steps[None, :])
        columns = d[1] + s * (np.cos(a) * steps[None, :] - np.sin(a) * steps[:, None])
        at = [place[0] + rows, place[1] + columns]
        image = map_coordinates(source, at, order=5, mode=mode)
        images.append(image + max(float(image.std()), 0.1) / snr * rng.standard_normal(image.shape))
    return images, np.array([log_scale, angle, *shift])


def _similarity() -> Table:
    rows = []
    for name in ("film", "sparse", "micrograph"):
        for snr in (5.0, 1.0):
            errors, z, seconds, wrong, peer = [], [], [], 0, 0
            for seed in range(_PAIRS):
                rng = np.random.default_rng([seed, 11])
                images, truth = _turned_pair(name, _SIZE, snr, rng)
                start = time.perf_counter()
                found = register_similarity(images[0], images[1])
                seconds.append(time.perf_counter() - start)
                peer += _right(_log_polar_recipe(*images), truth, turn=np.pi)
                if not found.accepted:
                    continue
                given = np.array([np.log(found.scale), np.radians(found.rotation_deg)])
                error = np.concatenate([given, found.shift]) - truth
                error[1] = (error[1] + np.pi) % (2.0 * np.pi) - np.pi
                if not _right(given, truth):
                    wrong += 1
                    continue
                errors.append(error)
                z.append(error / np.sqrt(np.diag(found.covariance)))
            rms = np.sqrt(np.mean(np.square(errors), axis=0))
            rows.append(
                [
                    name,
                    f"{snr:g}",
                    f"{len(errors)} / {wrong} / {_PAIRS - len(errors) - wrong}",
                    f"{1e4 * rms[0]:.1f}",
                    f"{np.degrees(rms[1]):.4f}",
                    f"{np.sqrt(np.mean(rms[2:] ** 2)):.3f}",
                    f"{np.mean(np.abs(z) < 1.96):.0%}",
                    f"{np.median(seconds):.2f}",
                    f"{peer} of {_PAIRS}",
                ]
            )
    return Table(
        "Scale and rotation between two frames",
        [
            "specimen",
            "SNR",
            "right / wrong / refused",
            "rms scale (1e-4)",
            "rms rotation (deg)",
            "rms shift (px)",
            "95 % intervals hold",
            "s a pair",
            "scikit-image's recipe right",
        ],
        rows,
        f"{_SIZE}² pairs, scales 0.5 to 2, any rotation, nothing expected. Right: scale within "
        "2 %, rotation within 2 deg. The recipe knows the rotation only up to half a turn, which "
        "is not held against it.",
    )


def _right(
    given: NDArray[np.float64], truth: NDArray[np.float64], turn: float = 2.0 * np.pi
) -> bool:
    """Whether scale and rotation, the latter known up to a `turn`, are right."""
    angle = abs((given[1] - truth[1] + 0.5 * turn) % turn - 0.5 * turn)
    return bool(abs(given[0] - truth[0]) < 0.02 and angle < np.radians(2.0))


def _log_polar_recipe(
    fixed: NDArray[np.float64], moving: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scale and rotation as in the gallery of scikit-image, up to half a turn."""
    from skimage.filters import difference_of_gaussians, window
    from skimage.registration import phase_cross_correlation
    from skimage.transform import warp_polar

    shape = fixed.shape
    spectra = [
        np.abs(
            np.fft.fftshift(
                np.fft.fft2(difference_of_gaussians(image, 1, 20) * window("hann", shape))
            )
        )
        for image in (fixed, moving)
    ]
    radius = shape[0] // 4
    polar = [
        warp_polar(spectrum, radius=radius, output_shape=shape, scaling="log", order=0)[
            : shape[0] // 2
        ]
        for spectrum in spectra
    ]
    turn, stretch = phase_cross_correlation(
        polar[0],
        polar[1],
        upsample_factor=10,
        normalization=None,  # pyright: ignore[reportArgumentType]
    )[0]
    log_scale = -stretch * np.log(radius) / shape[1]
    angle = turn * 2.0 * np.pi / shape[0]
    return np.array([log_scale, angle])


def _scanned(
    pixels: NDArray[np.float64],
    place: NDArray[np.float64],
    velocity: NDArray[np.float64],
    jitter: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """A frame scanned line by line: constant drift about its middle line, jumps of each line."""
    from scipy.ndimage import map_coordinates

    steps = np.arange(_SCAN_SIZE) - 0.5 * (_SCAN_SIZE - 1)
    away = steps[:, None] * velocity + rng.standard_normal((_SCAN_SIZE, 2)) * jitter
    rows, columns = np.mgrid[:_SCAN_SIZE, :_SCAN_SIZE].astype(float)
    at = [rows + place[0] + away[:, :1], columns + place[1] + away[:, 1:]]
    return map_coordinates(pixels, at, order=5, mode="grid-wrap")


def _drift() -> Table:
    rows = []
    for name in ("film", "sparse"):
        for snr in (5.0, 1.0):
            for jitter in ((0.0, 0.0), _JITTER):
                errors, z, jumps, seconds = [], [], [], []
                for seed in range(_SCANS):
                    rng = np.random.default_rng([seed, 12])
                    pixels = _canvas(name, 2 * _SCAN_SIZE, rng)
                    velocities = rng.uniform(-_VELOCITY, _VELOCITY, (2, 2))
                    shift = rng.uniform(-10.0, 10.0, 2)
                    images = [
                        _scanned(pixels, place, velocity, jitter, rng)
                        + rng.standard_normal((_SCAN_SIZE, _SCAN_SIZE)) / snr
                        for place, velocity in zip((np.zeros(2), shift), velocities, strict=True)
                    ]
                    start = time.perf_counter()
                    found = measure_drift(images[0], images[1])
                    seconds.append(time.perf_counter() - start)
                    if not found.accepted:
                        continue
                    fixed, moving = velocities
                    down = (1.0 + moving[0]) / (1.0 + fixed[0]) - 1.0
                    truth = np.array([down, moving[1] - fixed[1] * (1.0 + down)])
                    errors.append(found.velocity - truth)
                    z.append(errors[-1] / found.stderr[1])
                    jumps.append(found.jitter)
                rms = np.sqrt(np.mean(np.square(errors), axis=0))
                mean, spread = np.mean(jumps, axis=0), np.std(jumps, axis=0)
                rows.append(
                    [
                        name,
                        f"{snr:g}",
                        f"{len(errors)} of {_SCANS}",
                        f"{1e3 * rms[0]:.2f}, {1e3 * rms[1]:.2f}",
                        f"{np.mean(np.abs(z) < 1.96):.0%}",
                        f"{jitter[0]:g}, {jitter[1]:g}",
                        f"{mean[0]:.2f} ± {spread[0]:.2f}, {mean[1]:.2f} ± {spread[1]:.2f}",
                        f"{1e3 * np.median(seconds):.0f}",
                    ]
                )
    return Table(
        "Drift and jitter from two scans of one field",
        [
            "specimen",
            "SNR",
            "accepted",
            "rms velocity (1e-3 px/line: rows, columns)",
            "95 % intervals hold",
            "jitter put in (px: across, along)",
            "found (mean ± standard deviation)",
            "ms a pair",
        ],
        rows,
        f"{_SCAN_SIZE}² scans that drift by up to {_VELOCITY} px per line against each other; "
        "sparse: four particles in a field on average.",
    )


def _averaging() -> Table:
    from scipy.ndimage import shift as moved
    from skimage.registration import phase_cross_correlation

    rows = []
    velocity = np.array([0.004, -0.006])
    for name in ("film", "sparse"):
        for snr in (5.0, 0.5):
            rng = np.random.default_rng([int(10 * snr), 13])
            pixels = _canvas(name, 2 * _SCAN_SIZE, rng)
            places = np.arange(_FRAMES)[:, None] * velocity * 1.1 * _SCAN_SIZE
            places = places + rng.normal(0.0, 0.3, places.shape)
            frames = [
                _scanned(pixels, place, velocity, (0.0, 0.0), rng)
                + rng.standard_normal((_SCAN_SIZE, _SCAN_SIZE)) / snr
                for place in places
            ]
            start = time.perf_counter()
            found = average_series(frames, velocity=velocity)
            seconds = time.perf_counter() - start
            first = found.reference
            theirs = np.zeros_like(found.mean)
            for frame in frames:
                step = phase_cross_correlation(frames[first], frame, upsample_factor=20)[0]
                theirs += moved(frame, step, order=3, mode="nearest") / _FRAMES
            still = np.zeros(2)
            truth = _scanned(pixels, places[first], still, (0.0, 0.0), rng)
            inside = found.counts == found.counts.max()
            kept = np.isfinite(found.shift[:, 0])
            error = (found.shift - places)[kept]
            own, other = (float(np.std((mean - truth)[inside])) for mean in (found.mean, theirs))
            rows.append(
                [
                    name,
                    f"{snr:g}",
                    f"{kept.sum()} of {_FRAMES}",
                    f"{np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)):.3f}",
                    f"{found.snr_gain:.2f} ({found.ideal_gain:.2f})",
                    f"{1.0 / snr / own:.2f}",
                    f"{1.0 / snr / other:.2f}",
                    f"{1e3 * seconds / _FRAMES:.0f}",
                ]
            )
    return Table(
        "Drift-corrected averaging of a series",
        [
            "specimen",
            "SNR",
            "frames used",
            "rms place (px)",
            "gain in SNR it reports (root of n)",
            "noise of a frame / error of the mean",
            "the same after scikit-image's shifts",
            "ms a frame",
        ],
        rows,
        f"{_FRAMES} frames of {_SCAN_SIZE}² that drift by (0.004, -0.006) px per line, dead time "
        "a tenth. The spline takes up to a fifth of the variance of white noise, so that the gain "
        "may exceed the root of n. scikit-image: phase_cross_correlation to the same frame, cubic "
        "shift.",
    )
