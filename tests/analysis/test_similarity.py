"""Frames turned and scaled by known amounts, against closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from analysis.calibration import camera_to_stage
from analysis.similarity import carry_calibration, register_similarity

SIZE = 160


@pytest.fixture(scope="module")
def canvas(texture):
    """A band-limited specimen: a quintic spline of it is exact to 1e-3, at half the pixels too."""
    return texture(640, seed=3, slope=1.0, cutoff=0.09).field((640, 640), (0.0, 0.0))


def seen(canvas, scale=1.0, rotation_deg=0.0, shift=(0.0, 0.0), place=(320.0, 320.0)):
    """Field about `place` whose middle is displaced and whose columns are turned and stretched."""
    angle = np.radians(rotation_deg)
    down, right = (np.mgrid[:SIZE, :SIZE] - 0.5 * (SIZE - 1)).astype(float)
    x = scale * (np.cos(angle) * right - np.sin(angle) * down)
    y = scale * (np.sin(angle) * right + np.cos(angle) * down)
    at = [place[0] + shift[0] + y, place[1] + shift[1] + x]
    return map_coordinates(canvas, at, order=5, mode="grid-wrap")


def noisy(image, seed, sigma=0.2):
    return image + sigma * np.random.default_rng(seed).standard_normal(image.shape)


@pytest.mark.parametrize(
    ("scale", "rotation_deg", "shift"),
    [
        (1.0, 0.0, (3.4, -5.2)),
        (1.0, 180.0, (0.0, 0.0)),
        (1.3, 37.0, (12.0, -20.0)),
        (0.75, -110.0, (-15.0, 8.0)),
        (2.0, 90.0, (10.0, 15.0)),
        (0.5, -20.0, (-18.0, 20.0)),
    ],
)
def test_scale_rotation_and_shift_are_what_was_put_in(canvas, scale, rotation_deg, shift):
    fixed, moving = noisy(seen(canvas), 1), noisy(seen(canvas, scale, rotation_deg, shift), 2)
    found = register_similarity(fixed, moving)
    assert found.accepted
    assert found.scale == pytest.approx(scale, rel=5e-3, abs=4.0 * found.scale_stderr)
    turn = (found.rotation_deg - rotation_deg + 180.0) % 360.0 - 180.0
    assert turn == pytest.approx(0.0, abs=4.0 * found.rotation_stderr_deg)
    np.testing.assert_allclose(found.shift, shift, atol=0.25)
    assert found.scale_stderr < 3e-3 * scale
    assert found.rotation_stderr_deg < 0.15


@pytest.fixture(scope="module")
def sample(canvas):
    """16 pairs at SNR 1: errors of (ln scale, rotation, shift) and their standard errors."""
    rng, errors, sizes = np.random.default_rng(5), [], []
    for seed in range(16):
        log_scale, angle = rng.uniform(-0.5, 0.5), rng.uniform(-180.0, 180.0)
        shift, place = rng.uniform(-15.0, 15.0, 2), rng.uniform(0.0, 640.0, 2)
        pair = seen(canvas, place=place), seen(canvas, np.exp(log_scale), angle, shift, place)
        found = register_similarity(
            *(noisy(image, 2 * seed + k, 1.0) for k, image in enumerate(pair)),
            expected_scale=np.exp(log_scale),
            expected_rotation_deg=angle + 1.0,
            scale_reach=1.04,
            rotation_reach_deg=3.0,
        )
        turn = np.radians((found.rotation_deg - angle + 180.0) % 360.0 - 180.0)
        errors.append([np.log(found.scale) - log_scale, turn, *(found.shift - shift)])
        sizes.append(np.sqrt(np.diag(found.covariance)))
    return np.array(errors), np.array(sizes)


def test_intervals_cover_the_truth_in_95_percent(sample):
    z = sample[0] / sample[1]
    # 64 intervals: 2.5 binomial standard deviations below
    assert np.mean(np.abs(z) < 1.96) >= 0.88
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.3


def test_errors_are_fractions_of_a_pixel_at_the_edge_at_snr_1(sample):
    edge = np.sqrt(np.mean(sample[0][:, :2] ** 2)) * SIZE / 2
    assert edge < 0.5


def test_matrix_is_that_of_scikit_image(canvas):
    from skimage.transform import SimilarityTransform, warp

    fixed, moving = seen(canvas), seen(canvas, 1.2, 25.0, (6.0, -4.0))
    found = register_similarity(fixed, moving)
    transform = SimilarityTransform(matrix=found.matrix)
    assert transform.scale == pytest.approx(found.scale)
    assert np.degrees(transform.rotation) == pytest.approx(found.rotation_deg)
    resampled = warp(fixed, transform, order=3, cval=np.nan)
    inside = np.isfinite(resampled)
    assert np.corrcoef(resampled[inside], moving[inside])[0, 1] > 0.999


def test_for_equal_frames_it_is_what_register_finds(canvas):
    from analysis.registration import register

    fixed, moving = noisy(seen(canvas), 1), noisy(seen(canvas, shift=(7.3, -9.6)), 2)
    found = register_similarity(fixed, moving)
    np.testing.assert_allclose(found.shift, register(fixed, moving).shift, atol=0.1)


def test_exchanged_images_give_the_inverse(canvas):
    fixed, moving = noisy(seen(canvas), 1), noisy(seen(canvas, 1.3, 37.0, (12.0, -20.0)), 2)
    forth, back = register_similarity(fixed, moving), register_similarity(moving, fixed)
    np.testing.assert_allclose(forth.matrix @ back.matrix, np.eye(3), atol=0.2)
    assert back.scale_stderr / back.scale == pytest.approx(
        forth.scale_stderr / forth.scale, rel=0.3
    )


def test_gain_and_offset_do_not_matter(canvas):
    fixed, moving = noisy(seen(canvas), 1), noisy(seen(canvas, 1.1, 10.0), 2)
    found = register_similarity(fixed, 300.0 * moving + 5e4)
    assert found.scale == pytest.approx(1.1, rel=2e-3)


def test_a_lattice_is_refused_as_ambiguous_and_told_apart_by_a_smaller_reach():
    down, right = np.mgrid[:SIZE, :SIZE] - 0.5 * (SIZE - 1)

    def lattice(angle):
        x = np.cos(angle) * right - np.sin(angle) * down
        y = np.sin(angle) * right + np.cos(angle) * down
        return np.cos(2 * np.pi * x / 14) + np.cos(2 * np.pi * y / 14)

    fixed, moving = noisy(lattice(0.0), 1), noisy(lattice(np.radians(5.0)), 2)
    blind = register_similarity(fixed, moving)
    assert not blind.accepted
    told = register_similarity(
        fixed,
        moving,
        scale_reach=1.05,
        rotation_reach_deg=10.0,
        expected=(0.0, 0.0),
        expected_sigma=1.0,
    )
    assert told.rotation_deg == pytest.approx(5.0, abs=0.1)


@pytest.mark.slow
def test_different_specimens_are_refused(canvas):
    fixed, moving = noisy(seen(canvas), 1), noisy(seen(canvas, place=(0.0, 0.0)), 2)
    found = register_similarity(fixed, moving, scale_reach=1.2, rotation_reach_deg=60.0)
    assert not found.accepted
    assert np.isnan(found.scale) or found.reason.startswith("refused")


def test_a_calibration_is_carried_to_another_magnification_and_scan_rotation(canvas):
    rng = np.random.default_rng(4)
    moves = rng.uniform(-1.0, 1.0, (20, 2))
    # 10 nm pixels, columns along x, rows along y
    known = camera_to_stage(moves + 0.002 * rng.standard_normal((20, 2)), moves[:, ::-1] / 0.01)
    found = register_similarity(noisy(seen(canvas), 1), noisy(seen(canvas, 1.5, 30.0), 2))
    now = carry_calibration(known, found)
    assert now.scale == pytest.approx(0.015, abs=4.0 * now.stderr["scale"])
    assert now.rotation_deg == pytest.approx(30.0, abs=4.0 * now.stderr["rotation_deg"])
    assert now.stderr["scale"] > 1.5 * known.stderr["scale"]


def test_errors_of_a_carried_calibration_are_those_of_simulated_ones():
    from dataclasses import replace

    rng = np.random.default_rng(7)
    block = 1e-10 * np.array([[2.0, 0.5], [0.5, 1.0]])
    moves = rng.uniform(-1.0, 1.0, (20, 2))
    known = camera_to_stage(moves, moves[:, ::-1] / 0.01)
    known = replace(known, covariance=np.kron(np.eye(2), block))
    scene = np.kron(rng.standard_normal((20, 20)), np.ones((8, 8)))
    found = register_similarity(scene, np.rot90(scene))
    found = replace(found, covariance=np.diag([1e-6, 4e-6, 0.0, 0.0]))
    drawn = []
    for _ in range(2000):
        error = rng.multivariate_normal(np.zeros(4), known.covariance).reshape(2, 2)
        turned = replace(
            found,
            scale=found.scale * np.exp(1e-3 * rng.standard_normal()),
            rotation_deg=found.rotation_deg + np.degrees(2e-3 * rng.standard_normal()),
        )
        drawn.append(carry_calibration(replace(known, matrix=known.matrix + error), turned).matrix)
    spread = np.cov(np.reshape(drawn, (-1, 4)).T)
    np.testing.assert_allclose(
        carry_calibration(known, found).covariance, spread, atol=0.12 * spread.max()
    )


def test_a_refused_similarity_carries_nothing():
    from dataclasses import replace

    rng = np.random.default_rng(1)
    scene = np.kron(rng.standard_normal((20, 20)), np.ones((8, 8)))
    refused = replace(register_similarity(scene, scene), accepted=False)
    known = camera_to_stage([[1, 0], [0, 1], [1, 1]], [[0, 10], [10, 0], [10, 10]])
    with pytest.raises(ValueError, match="not accepted"):
        carry_calibration(known, refused)


GOOD = np.random.default_rng(0).standard_normal((SIZE, SIZE))


@pytest.mark.parametrize(
    ("moving", "options", "words"),
    [
        (GOOD[:, 1:], {}, "must be equal"),
        (GOOD[:50], {}, "at least 96"),
        (GOOD * np.nan, {}, "NaN"),
        (np.ones_like(GOOD), {}, "constant"),
        (GOOD * 1j, {}, "real"),
        (GOOD, {"expected_scale": 0.0}, "expected_scale is 0"),
        (GOOD, {"scale_reach": 0.5}, "scale_reach is 0.5"),
        (GOOD, {"rotation_reach_deg": 200.0}, "rotation_reach_deg is 200"),
        (GOOD, {"expected": (1.0, np.nan)}, "two finite"),
        (GOOD, {"expected_sigma": 1.0}, "without expected"),
        (GOOD, {"min_overlap": 1.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_registered_is_refused(moving, options, words):
    with pytest.raises(ValueError, match=words):
        register_similarity(GOOD, moving, **options)
