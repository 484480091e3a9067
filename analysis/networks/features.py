"""An image in some sixty numbers: levels, two components, domains and texture, without a network.

What a careful analyst would measure, so that a network has something honest to beat: percentiles of
the channel; the share, the levels and the domains of the two components of a blend; the spectrum of
lengths; co-occurrence of grey levels (Haralick et al., IEEE Trans. Syst. Man Cybern. 3, 610 (1973))
and local binary patterns (Ojala et al., IEEE Trans. Pattern Anal. 24, 971 (2002)). The channels are
prepared as for a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from .channels import check_channels
from .checkpoints import written_whole
from .feeding import ImageSource, batches_of

__all__ = ["feature_names", "feature_table", "features_of", "prepared_channel"]

Floats = NDArray[np.float64]

_VERSION = 1  # of the numbers below: a table of another one is measured anew
_BATCH = 32
_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_OUTERMOST = (0.5, 99.5)  # percentiles beyond which outliers are
_LEAST_DOMAIN = 12  # pixels; smaller ones are noise
_DISTANCES = (1, 2, 4, 8)  # pixels between which grey levels are compared
_GREY = 16  # levels of a co-occurrence matrix
_PROPERTIES = ("contrast", "homogeneity", "correlation", "energy")
_RINGS = 10  # of the spectrum, equal steps of log frequency
_NEIGHBOURS, _RADIUS = 8, 1.0
_LEAST_MODULUS = 1e5  # Pa: below it no force curve was fitted
_OUTLIER = 4.0 * 1.4826  # median absolute deviations, four standard deviations of a Gaussian
_SCALE = {"deformation": 1e9, "adhesion": 1e9, "dissipation": 1e18}


def prepared_channel(channel: str, image: NDArray[np.float32]) -> Floats:
    """Prepare a channel as the preprocessing of a network does.

    Parameters
    ----------
    channel : str
        Its name.
    image : ndarray, shape (lines, points)
        SI units.

    Returns
    -------
    ndarray of float64, shape (lines, points)
        Relative phase, decades of modulus, nm, nN or aJ.
    """
    (name,) = check_channels([channel])
    values = np.asarray(image, dtype=np.float64)
    known = np.isfinite(values)
    values = np.where(known, values, values[known].mean() if known.any() else 0.0)
    if name == "phase":
        _, low, high = _components(values)
        return (values - low) / max(high - low, 1e-3)
    if name == "dmt_modulus":
        return _decades(values)
    return values * _SCALE[name]


def _decades(modulus: Floats) -> Floats:
    """log10 of the modulus, outliers replaced by the median around them."""
    decades = np.log10(np.maximum(modulus, _LEAST_MODULUS))
    around = ndimage.median_filter(decades, 3, mode="nearest")
    off = np.abs(decades - around)
    keep = (modulus > _LEAST_MODULUS) & (off <= _OUTLIER * np.median(off))
    return np.where(keep, decades, around)


def _components(values: Floats) -> tuple[float, float, float]:
    """Threshold between two components, and the level of each."""
    from skimage.filters import threshold_otsu

    inner = np.clip(values, *np.percentile(values, _OUTERMOST))
    if inner.min() == inner.max():
        return float(inner.min()), float(inner.min()), float(inner.min())
    threshold = float(threshold_otsu(inner))
    high = inner > threshold
    return threshold, float(np.median(inner[~high])), float(np.median(inner[high]))


Group = Callable[[Floats], dict[str, float]]


def _levels(image: Floats) -> dict[str, float]:
    """Where the values lie."""
    inner = np.clip(image, *np.percentile(image, _OUTERMOST)).ravel()
    found = {
        f"percentile_{which}": float(value)
        for which, value in zip(_PERCENTILES, np.percentile(image, _PERCENTILES), strict=True)
    }
    constant = inner.std() <= 1e-12 * max(1.0, float(np.abs(inner).max()))
    found["mean"], found["spread"] = float(inner.mean()), float(inner.std())
    found["skewness"] = 0.0 if constant else float(stats.skew(inner))
    found["kurtosis"] = 0.0 if constant else float(stats.kurtosis(inner))
    return found


def _domains(image: Floats) -> dict[str, float]:
    """Share, levels and domains of the component that fills less of the image."""
    from skimage.measure import label, regionprops

    threshold, low, high = _components(image)
    upper = image > threshold
    minor = upper if upper.mean() <= 0.5 else ~upper
    filled = np.asarray(ndimage.binary_fill_holes(minor), dtype=np.bool_)
    regions = [
        region
        for region in regionprops(np.asarray(label(filled, connectivity=1)))
        if region.area >= _LEAST_DOMAIN
    ]
    sizes = np.array([region.area for region in regions], dtype=np.float64)
    diameters = np.sqrt(4 / np.pi * sizes) if sizes.size else np.zeros(1)
    holes = filled & ~minor
    found = {
        "share": float(minor.mean()),
        "filled_share": float(filled.mean()),
        "low_level": low,
        "high_level": high,
        "level_ratio": float(high / low) if low > 0 else 0.0,
        "domains": float(len(regions)),
        "diameter": float(np.median(diameters)),
        "diameter_90": float(np.percentile(diameters, 90)),
        "diameter_spread": float(np.std(np.log(np.maximum(diameters, 1.0)))),
        "area_weighted_diameter": (
            float(np.average(diameters, weights=sizes)) if sizes.size else 0.0
        ),
        "hole_share": float(holes.sum() / max(filled.sum(), 1)),
        "holes": float(np.asarray(label(holes, connectivity=1)).max()),
    }
    for name in ("eccentricity", "solidity"):
        values = [float(getattr(region, name)) for region in regions]
        found[name] = float(np.mean(values)) if values else 0.0
    inner = np.asarray(ndimage.binary_erosion(filled, border_value=1), dtype=np.bool_)
    found["edge_length"] = float((filled & ~inner).mean())
    return found


def _spectrum(image: Floats) -> dict[str, float]:
    """Share of the variance in rings of spatial frequency, from the image's side to two pixels."""
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    across, along = np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1])
    frequency = np.hypot(across[:, np.newaxis], along)
    edges = np.geomspace(1 / max(image.shape), 0.5, _RINGS + 1)
    sums, _ = np.histogram(frequency, bins=edges, weights=power)
    total = sums.sum()
    shares = sums / total if total > 0 else sums
    return {f"spectrum_{ring}": float(np.log10(share + 1e-9)) for ring, share in enumerate(shares)}


def _texture(image: Floats) -> dict[str, float]:
    """Co-occurrence of grey levels and local patterns."""
    from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

    low, high = np.percentile(image, _OUTERMOST)
    scaled = np.clip((image - low) / (high - low), 0, 1) if high > low else np.zeros_like(image)
    grey = np.minimum(scaled * _GREY, _GREY - 1).astype(np.uint8)
    matrix = graycomatrix(
        grey, _DISTANCES, [0, np.pi / 2], levels=_GREY, symmetric=True, normed=True
    )
    found = {}
    for name in _PROPERTIES:
        values = graycoprops(matrix, name).mean(axis=1)
        found |= {
            f"{name}_{distance}": float(value)
            for distance, value in zip(_DISTANCES, values, strict=True)
        }
    fine = np.round(scaled * 255).astype(np.uint8)
    patterns = local_binary_pattern(fine, _NEIGHBOURS, _RADIUS, method="uniform")
    counts = np.bincount(patterns.astype(np.intp).ravel(), minlength=_NEIGHBOURS + 2)
    shares = counts / counts.sum()
    return found | {f"pattern_{number}": float(share) for number, share in enumerate(shares)}


_GROUPS: tuple[Group, ...] = (_levels, _domains, _spectrum, _texture)


def features_of(channels: Sequence[str], image: NDArray[np.float32]) -> dict[str, float]:
    """Measure an image.

    Parameters
    ----------
    channels : sequence of str
        Names of the channels.
    image : ndarray, shape (lines, points, channels)
        SI units.

    Returns
    -------
    dict
        Numbers by name, ``deformation.share`` and so on; all finite.
    """
    found: dict[str, float] = {}
    for place, channel in enumerate(channels):
        prepared = prepared_channel(channel, image[..., place])
        for group in _GROUPS:
            found |= {f"{channel}.{name}": value for name, value in group(prepared).items()}
    return found


def feature_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the numbers, in the order of a table."""
    return tuple(features_of(channels, np.zeros((32, 32, len(channels)), dtype=np.float32)))


def feature_table(
    image_set: ImageSource, indices: Sequence[int], folder: Path | None = None
) -> Floats:
    """Measure images, each of them once.

    Parameters
    ----------
    image_set : ImageSource
        The images; a few at a time are in memory.
    indices : sequence of int
        Which of them.
    folder : Path, optional
        Where what was measured is kept, by the hash of the pixels; it may be shared by all sets.

    Returns
    -------
    ndarray of float64, shape (n, features)
        In the order of `feature_names`.
    """
    channels = image_set.channels
    known = _read_known(folder, channels)
    keys = [_key(image_set, index) for index in indices]
    places = {key: index for key, index in zip(keys, indices, strict=True) if key not in known}
    images = batches_of(image_set, list(places.values()), _BATCH)
    each = (image for batch in images for image in batch)
    for key, image in zip(places, each, strict=True):
        known[key] = np.array(list(features_of(channels, image).values()))
    if folder is not None and places:
        _write_known(folder, channels, known)
    width = len(feature_names(channels))
    return np.stack([known[key] for key in keys]) if keys else np.empty((0, width))


def _key(image_set: ImageSource, index: int) -> str:
    """What tells an image from all others."""
    digest = image_set.digests[index]
    return "-".join(digest[name] for name in image_set.channels)


def _path(folder: Path, channels: Sequence[str]) -> Path:
    """Where the numbers of these channels are kept."""
    return folder / f"features-{'-'.join(channels)}.npz"


def _read_known(folder: Path | None, channels: Sequence[str]) -> dict[str, Floats]:
    """What was measured before, by these very measures."""
    path = None if folder is None else _path(folder, channels)
    if path is None or not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        if about != _about(channels):
            return {}
        return dict(zip(stored["keys"].tolist(), stored["values"], strict=True))


def _write_known(folder: Path, channels: Sequence[str], known: dict[str, Floats]) -> None:
    """Keep what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    about = np.frombuffer(json.dumps(_about(channels)).encode(), dtype=np.uint8)
    keys, values = np.array(list(known)), np.stack(list(known.values()))
    written_whole(
        _path(folder, channels),
        lambda beside: np.savez(beside, allow_pickle=False, about=about, keys=keys, values=values),
    )


def _about(channels: Sequence[str]) -> dict[str, object]:
    """What the numbers of a file are."""
    return {"version": _VERSION, "names": list(feature_names(channels))}
