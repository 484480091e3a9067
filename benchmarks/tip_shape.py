"""Is the tip's shape right, does a change of 2 nm show, and how long does it take?

Against Gwyddion's blind estimate, called live where its library is installed (`_tip_gwyddion`),
against the tips that made the images of the simulated tip sample, and against the true tip of
ColabBTR's published vectors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.tip_shape import TipEstimate, estimate_tip, frontier_tip, qualify, reconstruct
from analysis.tip_shape.reconstruction import Method
from analysis.tip_shape.section import section
from benchmarks import _tip_gwyddion
from benchmarks._tip_cases import DATA, PIXEL, continuous_image, places, tip_image
from benchmarks.tables import Table
from sim.tip import Double, SphereCone, Tip, Worn

__all__ = ["measure"]

_NM = 1e-9
_SQUARE = (256, 256)
_CAMPAIGN = (256, 512)
_WITHOUT = "Gwyddion: not installed here (apt-get install --no-install-recommends gwyddion)"
_FEATURES = 30.0  # angstrom: higher than the noise of ColabBTR's frames by ten times
_SEEN = -110.0  # angstrom: as deep as its features show the tip


def _gwyddion(
    image: NDArray[np.float64], size: int, thresholds: Sequence[float], method: str = "partial"
) -> tuple[NDArray[np.float64], float] | None:
    if not _tip_gwyddion.available():
        return None
    return _tip_gwyddion.tips(image, PIXEL, (size, size), list(thresholds), method)


def _equality(images: int) -> Table:
    tip, rows = SphereCone(30 * _NM), []
    cases: tuple[tuple[Method, int, float, int], ...] = (
        ("partial", 33, 0.0, images),
        ("partial", 33, 0.3, images),
        ("full", 21, 0.05, 2),
    )
    for method, size, threshold, count in cases:
        misses, ours, theirs = [], [], []
        for place in places(count, 3):
            image = tip_image(tip, place, (128, 160), 0.0, np.random.default_rng(0))
            found = _gwyddion(image, size, [threshold * _NM], method)
            start = np.zeros((size, size))
            passes = 1 if method == "partial" else 100
            reconstruct(image[:64, :64], start, method=method, passes=1)  # compiles
            begin = time.thread_time()
            mine = reconstruct(image, start, threshold * _NM, method=method, passes=passes)
            ours.append(time.thread_time() - begin)
            if found is not None:
                misses.append(np.abs(mine - found[0][0]).max() / _NM)
                theirs.append(found[1])
        known = bool(misses)
        rows.append(
            [
                f"{method}, {size} x {size}, threshold {threshold} nm",
                f"{max(misses):.3f}" if known else "-",
                f"{np.median(ours) * 1e3:.1f}",
                f"{np.median(theirs) * 1e3:.1f}" if known else "-",
                f"{np.median(theirs) / np.median(ours):.1f}" if known else "-",
            ]
        )
    return Table(
        title="Without noise: against Gwyddion",
        columns=["method", "largest difference (nm)", "ours (ms)", "Gwyddion (ms)", "ratio"],
        rows=rows,
        notes=f"{images} images of 128 x 160 pixels, 2 for the full estimate; all points of the "
        "tip. Aim: 0.1 nm. The partial estimate is stopped after one pass, as Gwyddion's is; times "
        "are of the processor." + ("" if _tip_gwyddion.available() else " " + _WITHOUT),
    )


def _widths(estimate: TipEstimate) -> list[float]:
    return [width / _NM for width in estimate.diameters]


def _accuracy(images: int) -> Table:
    tip, rows = SphereCone(30 * _NM), []
    true = [2 * tip.half_width(height) / _NM for height in (10 * _NM, 20 * _NM)]
    for noise in (0.0, 0.1, 0.3, 0.5):
        ours, errors, theirs, seconds = [], [], [], []
        for seed, place in enumerate(places(images, 5)):
            image = tip_image(tip, place, _CAMPAIGN, noise * _NM, np.random.default_rng(seed))
            begin = time.thread_time()
            estimate = estimate_tip(image, PIXEL)
            seconds.append(time.thread_time() - begin)
            ours.append(_widths(estimate))
            errors.append(estimate.diameter_errors[1] / _NM)
            peer = _gwyddion(image, 33, [2 * noise * _NM])
            if peer is not None:
                cut = section(peer[0][0], 20 * _NM, (PIXEL, PIXEL))
                theirs.append(cut.diameter / _NM)
        low, high = np.array(ours).T
        rows.append(
            [
                f"{noise}",
                f"{low.mean() - true[0]:+.2f} ± {low.std(ddof=1):.2f}",
                f"{high.mean() - true[1]:+.2f} ± {high.std(ddof=1):.2f}",
                f"{np.mean(errors):.2f}",
                f"{np.mean(theirs) - true[1]:+.2f}" if theirs else "-",
                f"{np.median(seconds):.2f}",
            ]
        )
    return Table(
        title="Effective tip diameter of a 30 nm tip",
        columns=[
            "noise (nm)",
            "at 10 nm, less truth (nm)",
            "at 20 nm, less truth (nm)",
            "its stated error (nm)",
            "Gwyddion, threshold 2 noise (nm)",
            "ours (s)",
        ],
        rows=rows,
        notes=f"{images} places, 512 x 256 pixels of 4.9 nm; mean and standard deviation from "
        "place to place. Aim: 1 nm at 0.3 nm of noise."
        + ("" if _tip_gwyddion.available() else " " + _WITHOUT),
    )


def _changes(images: int, fine_images: int) -> Table:
    rows = []
    for name, make, shape, noise, count in (
        ("512 x 256", tip_image, _CAMPAIGN, 0.1, images),
        ("512 x 256", tip_image, _CAMPAIGN, 0.3, images),
        ("512 x 256", tip_image, _CAMPAIGN, 0.5, images),
        ("256 x 256", tip_image, _SQUARE, 0.3, images),
        ("256 x 256, finer surface", continuous_image, _SQUARE, 0.3, fine_images),
    ):
        series: dict[int, list[TipEstimate]] = {}
        for radius in (30, 32):
            rng = np.random.default_rng([radius, 9])
            tip = SphereCone(radius * _NM)
            series[radius] = [
                estimate_tip(make(tip, place, shape, noise * _NM, rng), PIXEL)
                for place in places(count, radius)
            ]
        before, after = series[30], series[32]
        grown = [qualify(b, baseline=a) for a in before for b in after]
        same = [qualify(b, baseline=a) for a in before for b in before if a is not b]
        rows.append(
            [
                name,
                f"{noise}",
                f"{np.mean([v.change for v in grown]) / _NM:.2f}",
                f"{100 * np.mean([v.changed and v.change > 0 for v in grown]):.1f}",
                f"{100 * np.mean([v.changed for v in same]):.1f}",
                f"{100 * np.mean([v.status == 'worn' for v in grown]):.1f}",
                f"{100 * np.mean([v.status != 'good' for v in same]):.1f}",
                f"{len(grown)}, {len(same)}",
            ]
        )
    return Table(
        title="A radius of 30 nm that has become 32 nm",
        columns=[
            "image",
            "noise (nm)",
            "change of diameter (nm)",
            "told (%)",
            "told falsely (%)",
            "beyond 2 nm (%)",
            "falsely not good (%)",
            "pairs",
        ],
        rows=rows,
        notes="Every image is of another place, with noise of its own. Told: by more than 2.5 "
        "standard errors of the change. Aim: at least 95 % and at most 5 %. Beyond 2 nm: the limit "
        "that calls a tip worn. Finer surface: features between the pixels, dilated on a grid "
        "three times finer.",
    )


def _kinds(images: int) -> Table:
    kinds: list[tuple[str, Tip]] = [
        ("30 nm", SphereCone(30 * _NM)),
        ("worn flat, 18 nm", Worn(30 * _NM, plateau=18 * _NM)),
        ("double, (60, 20) nm, 6 nm", Double(SphereCone(30 * _NM), (60 * _NM, 20 * _NM), 6 * _NM)),
        ("double, (-40, 50) nm, 2 nm", Double(SphereCone(30 * _NM), (-40e-9, 50e-9), 2 * _NM)),
        ("double, (70, -10) nm, 12 nm", Double(SphereCone(30 * _NM), (70e-9, -10e-9), 12 * _NM)),
        ("blunt, 70 nm", SphereCone(70 * _NM)),
    ]
    first = tip_image(kinds[0][1], (0.0, 0.0), _SQUARE, 0.3 * _NM, np.random.default_rng(1))
    baseline = estimate_tip(first, PIXEL)
    rows = []
    for name, tip in kinds:
        found = []
        for seed, place in enumerate(places(images, 7)):
            image = tip_image(tip, place, _SQUARE, 0.3 * _NM, np.random.default_rng(seed))
            found.append(qualify(estimate_tip(image, PIXEL), baseline=baseline).status)
        counts = {status: found.count(status) for status in sorted(set(found))}
        rows.append([name, ", ".join(f"{status} {n}" for status, n in counts.items())])
    return Table(
        title="Verdicts",
        columns=["tip", f"of {images} images"],
        rows=rows,
        notes="256 x 256 pixels, 0.3 nm of noise, each of another place, against the baseline of a "
        "30 nm tip.",
    )


def _speed(repeats: int) -> Table:
    rows = []
    for shape in (_SQUARE, _CAMPAIGN):
        image = tip_image(
            SphereCone(30 * _NM), (0.0, 0.0), shape, 0.3 * _NM, np.random.default_rng(0)
        )
        seconds = []
        for _ in range(repeats):
            begin = time.thread_time()
            estimate_tip(image, PIXEL)
            seconds.append(time.thread_time() - begin)
        rows.append([f"{shape[1]} x {shape[0]}", f"{np.median(seconds):.2f}"])
    return Table(
        title="Time of one estimate",
        columns=["pixels", "seconds"],
        rows=rows,
        notes="Noise, filter, sweep, tip, halves, certainty; median of "
        f"{repeats}, processor time of one core. Aim: 2 s for 256 x 256.",
    )


def _published() -> Table:
    with np.load(DATA / "btr_single.npz") as found:
        frames, true = found["frames_angstrom"].astype(float), found["tip_angstrom"][:13, :13]
    side = int(np.sqrt(len(frames)))
    mosaic = np.block([[frames[side * i + j] for j in range(side)] for i in range(side)])
    seen = true >= _SEEN

    def row(name: str, tip: NDArray[np.float64]) -> list[str]:
        cut = np.maximum(tip, _SEEN) - np.maximum(true, _SEEN)
        near = np.sqrt(np.mean((tip - true)[seen] ** 2))
        return [name, f"{near:.1f}", f"{np.sqrt(np.mean(cut**2)):.1f}"]

    angstrom, start = 1e-10, np.zeros((13, 13))
    thresholds = [0.0, 6.0, 12.0, 18.0, 24.0, 30.0]
    rows = [row("low quantile of the bounds", frontier_tip(list(frames), (13, 13), _FEATURES))]
    rows += [row(f"partial, {t:.0f} Å", reconstruct(mosaic, start, t)) for t in thresholds]
    peer = _gwyddion(mosaic * angstrom, 13, [t * angstrom for t in thresholds])
    if peer is not None:
        tips = peer[0] / angstrom
        rows += [
            row(f"Gwyddion partial, {t:.0f} Å", tip)
            for t, tip in zip(thresholds, tips, strict=True)
        ]
    return Table(
        title="ColabBTR's single tip",
        columns=["method, threshold", "where seen (Å)", "cut at 110 Å (Å)"],
        rows=rows,
        notes=f"{len(frames)} noisy frames of 30 x 30 pixels; rms of tip less true tip over its "
        f"{int(seen.sum())} points down to 110 Å, which is as high as the features are, and over "
        "all points with both tips cut there." + ("" if peer else " " + _WITHOUT),
    )


def measure(images: int = 12, fine_images: int = 6, kinds: int = 6) -> list[Table]:
    """Measure equality, accuracy, changes, verdicts, time and the published vectors.

    Returns
    -------
    list of Table
    """
    return [
        _equality(4),
        _accuracy(images // 2),
        _changes(images, fine_images),
        _kinds(kinds),
        _speed(5),
        _published(),
    ]
