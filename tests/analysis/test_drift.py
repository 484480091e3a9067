"""Scans whose lines are displaced by known amounts, and series of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from analysis.drift import average_series, drift_velocity, measure_common_drift, measure_drift

SIZE = 160
MIDDLE = 0.5 * (SIZE - 1)
START = np.array([60.0, 70.0])
ZERO = np.zeros(2)


@pytest.fixture(scope="module")
def canvas(texture):
    """One period of a specimen, band-limited: a quintic spline of it is exact to 1e-3."""
    return texture(320, seed=4, cutoff=0.15).field((320, 320), (0.0, 0.0))


def scanned(canvas, place, velocity=(0.0, 0.0), jumps: Any = ZERO, slow="down"):
    """Scan line by line, each line at its own place (rows, columns) px."""
    steps = np.arange(SIZE) - MIDDLE
    away = np.stack([steps * v for v in velocity], axis=1)
    if slow == "up":
        away = away[::-1]
    lines = (away + jumps)[:, None] if slow != "right" else away[None, :]
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    at = [rows + place[0] + lines[..., 0], columns + place[1] + lines[..., 1]]
    return map_coordinates(canvas, at, order=5, mode="grid-wrap")


def noisy(image, seed, sigma=0.1):
    return image + sigma * np.random.default_rng(seed).standard_normal(image.shape)


def unlike(seed):
    return np.random.default_rng(seed).standard_normal((SIZE, SIZE))


@pytest.fixture(scope="module")
def drifting(canvas):
    """14 pairs at SNR 5 of drift up to 0.02 px per line: what was put in and what was found."""
    rng, found = np.random.default_rng(2), []
    for seed in range(14):
        velocity, shift = rng.uniform(-0.02, 0.02, 2), rng.uniform(-6.0, 6.0, 2)
        place = rng.uniform(0.0, 320.0, 2)
        fixed = noisy(scanned(canvas, place), 2 * seed, 0.2)
        moving = noisy(scanned(canvas, place + shift, velocity), 2 * seed + 1, 0.2)
        found.append((shift, velocity, measure_drift(fixed, moving)))
    return found


def test_velocity_of_noiseless_scans_is_what_was_put_in(canvas):
    found = measure_drift(
        scanned(canvas, START), scanned(canvas, START + np.array([2.3, -4.1]), (0.02, -0.03))
    )
    np.testing.assert_allclose(found.velocity, (0.02, -0.03), atol=1e-4)
    np.testing.assert_allclose(found.shift, (2.3, -4.1), atol=0.01)


def test_standard_errors_of_shift_and_velocity_cover_the_truth(drifting):
    z = [
        (found.coefficients - (shift, velocity)) / found.stderr
        for shift, velocity, found in drifting
    ]
    # 56 values: 3 standard deviations of their rms
    assert 0.7 < np.sqrt(np.mean(np.square(z))) < 1.3
    assert np.mean(np.abs(z) < 1.96) > 0.87


def test_chi2_of_a_linear_drift_is_that_of_a_line(drifting):
    ratio = np.mean([found.chi2 / found.degrees for _, _, found in drifting])
    assert 0.6 < ratio < 1.5


def test_a_bent_drift_shows_in_chi2_and_is_found_by_a_higher_order(canvas):
    steps = np.arange(SIZE) - MIDDLE
    bend = np.stack([0.0 * steps, 3e-4 * steps**2], axis=1)
    pair = [noisy(scanned(canvas, START), 1), noisy(scanned(canvas, START, jumps=bend), 2)]
    straight, bent = measure_drift(*pair), measure_drift(*pair, order=2)
    assert straight.chi2 > 5.0 * straight.degrees
    assert bent.coefficients[2, 1] == pytest.approx(3e-4, abs=4.0 * bent.stderr[2, 1])
    assert bent.chi2 < 3.0 * bent.degrees


def test_displacement_of_any_line_follows_from_the_coefficients(drifting):
    shift, velocity, found = drifting[0]
    np.testing.assert_allclose(
        found.at([0, SIZE - 1], MIDDLE), shift + np.outer((-MIDDLE, MIDDLE), velocity), atol=0.1
    )


@pytest.mark.parametrize("rms", [(0.0, 0.5), (0.15, 0.3)])
def test_jitter_is_what_was_put_in(canvas, rms):
    rng = np.random.default_rng(8)
    jumps = [rng.standard_normal((SIZE, 2)) * rms for _ in range(2)]
    fixed, moving = (
        noisy(scanned(canvas, START + place, jumps=j), seed)
        for seed, (place, j) in enumerate(zip((0.0, 1.5), jumps, strict=True))
    )
    found = measure_drift(fixed, moving)
    np.testing.assert_array_less(np.abs(found.jitter - rms), 3.0 * found.jitter_stderr + 0.02)
    assert found.jitter_stderr[1] < 0.05


def test_noise_is_not_taken_for_jitter(canvas):
    variances = []
    for seed in range(4):
        pair = [noisy(scanned(canvas, START + p), 2 * seed + p, 0.5) for p in (0, 1)]
        found = measure_drift(*pair)
        variances.append(found.jitter / found.jitter_stderr)
    assert np.mean(variances) < 1.5


def test_drift_that_both_scans_share_does_not_show(canvas):
    pair = [noisy(scanned(canvas, START, (0.01, 0.02)), seed) for seed in (1, 2)]
    found = measure_drift(*pair)
    assert (np.abs(found.velocity) < 4.0 * found.stderr[1]).all()


@pytest.mark.parametrize("slow", ["up", "right"])
def test_drift_that_both_scans_share_shows_in_another_slow_direction(canvas, slow):
    velocity = (0.012, -0.02)
    fixed = noisy(scanned(canvas, START, velocity), 1)
    moving = noisy(scanned(canvas, START + np.array([1.2, -0.7]), velocity, slow=slow), 2)
    found = measure_common_drift(fixed, moving, moving_scan=slow)
    error = np.abs([found.fixed_velocity - velocity, found.moving_velocity - velocity])
    assert (error < 4.0 * found.stderr).all()
    assert found.stderr.max() < 1e-3


def test_scans_at_right_angles_tell_each_drift(canvas):
    fixed = noisy(scanned(canvas, START, (0.0, 0.02)), 1)
    moving = noisy(scanned(canvas, START, (-0.01, 0.0), slow="right"), 2)
    found = measure_common_drift(fixed, moving, moving_scan="right")
    np.testing.assert_allclose(found.fixed_velocity, (0.0, 0.02), atol=1e-3)
    np.testing.assert_allclose(found.moving_velocity, (-0.01, 0.0), atol=1e-3)


def test_scans_of_different_specimens_are_refused():
    found = measure_drift(unlike(1), unlike(2))
    assert not found.accepted
    assert found.reason.startswith("refused")
    assert np.isnan(found.velocity).all()


def test_velocity_within_a_frame_follows_from_the_places_of_frames():
    times = np.arange(5) * 3.0
    places = np.array([5.0, 6.0]) + np.outer(times, (0.4, -0.1))
    found = drift_velocity(places, times, line_s=0.01)
    np.testing.assert_allclose(found.velocity, (0.4, -0.1), atol=1e-9)
    np.testing.assert_allclose(found.per_line, (0.004, -0.001), atol=1e-11)


def test_error_of_the_velocity_is_that_of_a_line_through_points():
    times, sigma = np.arange(11.0), 0.3
    covariances = np.broadcast_to(sigma**2 * np.eye(2), (11, 2, 2))
    found = drift_velocity(np.zeros((11, 2)), times, line_s=1.0, covariances=covariances)
    # sigma² / sum (t - mean)², 110 s² here
    np.testing.assert_allclose(found.covariance, np.eye(2) * sigma**2 / 110.0, rtol=1e-3)


@pytest.fixture(scope="module")
def series(canvas):
    """12 frames at SNR 1 of a field that drifts, one of another place, one blank."""
    rng = np.random.default_rng(6)
    places = np.arange(12)[:, None] * (0.8, -0.6) + rng.normal(0.0, 0.3, (12, 2))
    frames = [
        noisy(scanned(canvas, START + p, (0.005, -0.00375)), 50 + k, 1.0)
        for k, p in enumerate(places)
    ]
    frames[3], frames[7] = unlike(3), np.full((SIZE, SIZE), 2.0)
    return places, frames, average_series(frames, velocity=(0.005, -0.00375))


def test_frames_that_do_not_belong_are_left_out_and_named(series):
    assert [item.index for item in series[2].left_out] == [3, 7]
    assert str(series[2].left_out[1]) == "frame 7: refused: constant"
    assert np.isnan(series[2].shift[[3, 7]]).all()


def test_places_of_the_frames_are_the_truth_within_their_errors(series):
    places, _, found = series
    kept = np.isfinite(found.shift[:, 0])
    error = (found.shift - places)[kept]
    error -= error.mean(axis=0)
    z = error / np.sqrt(np.diagonal(found.covariance[kept], axis1=1, axis2=2))
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert np.sqrt(np.mean(z**2)) < 1.5


def test_mean_is_the_specimen_within_its_standard_error(canvas, series):
    places, _, found = series
    truth = scanned(canvas, START + places[found.reference])
    inside = found.counts == 10
    z = (found.mean - truth)[inside] / found.stderr[inside]
    assert inside.mean() > 0.85
    # t of 9 degrees of freedom has the variance 9/7; the spline makes noise of neighbours alike
    assert 0.9 < np.std(z) < 1.35


def test_gain_in_snr_is_the_root_of_the_number_of_frames(series):
    found = series[2]
    assert found.ideal_gain == pytest.approx(np.sqrt(10.0))
    # a quintic spline takes up to 20 % of the variance of white noise (0.1 of its size) away
    assert 0.9 < found.snr_gain / found.ideal_gain < 1.2


def test_counts_are_smaller_where_frames_have_drifted_away(series):
    found = series[2]
    assert found.counts.max() == 10
    assert found.counts[0, 0] < 10


def test_undone_drift_makes_the_mean_sharper(canvas, series):
    places, frames, found = series
    plain = average_series(frames)
    inside = (found.counts == 10) & (plain.counts == 10)
    errors = [
        np.std((item.mean - scanned(canvas, START + places[item.reference]))[inside])
        for item in (found, plain)
    ]
    assert errors[0] < errors[1]


def test_the_mean_is_closer_to_the_specimen_than_with_whole_pixel_shifts(canvas, series):
    places, frames, found = series
    rolled = [
        np.roll(frame, np.rint(place - places[found.reference]).astype(int), axis=(0, 1))
        for index, (frame, place) in enumerate(zip(frames, places, strict=True))
        if index not in (3, 7)
    ]
    truth, inside = scanned(canvas, START + places[found.reference]), found.counts == 10
    errors = [np.std((mean - truth)[inside]) for mean in (found.mean, np.mean(rolled, axis=0))]
    assert errors[0] < errors[1]


def test_frames_are_read_one_at_a_time(canvas):
    class Loader:
        reads = 0

        def __iter__(self):
            for seed in range(3):
                Loader.reads += 1
                yield noisy(scanned(canvas, START), seed)

    assert average_series(Loader()).counts.max() == 3
    assert Loader.reads == 9


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([unlike(1)], "at least two"),
        ([unlike(1), unlike(1)[1:]], "frame 1 has shape"),
        ([unlike(1), unlike(1) * np.nan], "frame 1 holds NaN"),
        ([unlike(1), unlike(1) * 1j], "must be real"),
        ([unlike(1), unlike(2)], "no two of 2 frames"),
        (iter([unlike(1), unlike(1)]), "only once"),
    ],
)
def test_series_that_cannot_be_averaged_are_refused(frames, words):
    with pytest.raises(ValueError, match=words):
        average_series(frames)


@pytest.mark.parametrize(
    ("fixed", "moving", "options", "words"),
    [
        (unlike(1), unlike(1)[:, 1:], {}, "must be equal"),
        (unlike(1), unlike(1) * np.nan, {}, "NaN"),
        (unlike(1), np.ones((SIZE, SIZE)), {}, "constant"),
        (unlike(1)[:50], unlike(1)[:50], {}, "at least 96"),
        (unlike(1), unlike(1), {"order": 5}, "order is 5"),
    ],
)
def test_scans_that_cannot_be_compared_are_refused(fixed, moving, options, words):
    with pytest.raises(ValueError, match=words):
        measure_drift(fixed, moving, **options)


def test_velocities_out_of_too_little_are_refused():
    with pytest.raises(ValueError, match="two at different times"):
        drift_velocity([[0, 0], [1, 1]], [2.0, 2.0], line_s=0.1)
    with pytest.raises(ValueError, match="line_s is 0"):
        drift_velocity([[0, 0], [1, 1]], [2.0, 3.0], line_s=0)
