"""Registration against exact Fourier shifts, scikit-image and a real micrograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.registration import register

MICROGRAPH = Path(__file__).parents[2] / "station" / "data" / "micrograph.tif"


def noisy_pair(texture, shift, snr, seed=0, shape=(128, 128), size=512, **kwargs):
    specimen = texture(size, seed, **kwargs)
    rng = np.random.default_rng(1000 + seed)
    fixed, moving = specimen.field(shape, (0.0, 0.0)), specimen.field(shape, shift)
    return (
        fixed + rng.standard_normal(shape) / snr,
        moving + rng.standard_normal(shape) / snr,
    )


@pytest.fixture(scope="module")
def sample(texture):
    """60 pairs of 128² at SNR 5, overlap 50-80 %, with their true shifts."""
    rng = np.random.default_rng(3)
    found = []
    for seed in range(60):
        loss, angle = rng.uniform(0.2, 0.5) * 128, rng.uniform(0, 2 * np.pi)
        shift = 0.8 * loss * np.array([np.sin(angle), np.cos(angle)])
        pair = noisy_pair(texture, tuple(shift), 5.0, seed, size=256)
        found.append((shift, register(*pair)))
    return found


def test_shift_is_within_a_twentieth_of_a_pixel_rms_at_snr_5(sample):
    errors = np.array([found.shift - shift for shift, found in sample])
    assert np.sqrt(np.mean(errors**2)) < 0.05


def test_intervals_cover_the_truth_in_95_percent(sample):
    z = np.array([(found.shift - shift) / found.stderr for shift, found in sample])
    # 120 intervals of 95 %: 3 binomial standard deviations below
    assert 0.89 <= np.mean(np.abs(z) < 1.96) <= 1.0
    assert 0.75 < np.sqrt(np.mean(z**2)) < 1.25


def test_every_textured_pair_is_accepted(sample):
    assert all(found.accepted for _, found in sample)


def test_sign_and_value_are_those_of_scikit_image(texture):
    from skimage.registration import phase_cross_correlation

    fixed, moving = noisy_pair(texture, (9.0, -14.0), 10.0)
    theirs = phase_cross_correlation(fixed, moving, upsample_factor=20)[0]
    np.testing.assert_allclose(register(fixed, moving).shift, theirs, atol=0.3)


def test_a_feature_at_p_in_fixed_is_at_p_minus_shift_in_moving():
    rng = np.random.default_rng(0)
    scene = rng.standard_normal((96, 96))
    found = register(scene[:64, :64], scene[12:76, 5:69])
    np.testing.assert_allclose(found.shift, (12.0, 5.0), atol=0.02)


def test_swapping_the_images_reverses_the_shift(texture):
    fixed, moving = noisy_pair(texture, (20.3, -31.7), 5.0)
    forth, back = register(fixed, moving), register(moving, fixed)
    np.testing.assert_allclose(forth.shift, -back.shift, atol=0.02)


def test_detector_gradient_and_offset_do_not_move_the_result(texture):
    fixed, moving = noisy_pair(texture, (25.4, -18.2), 5.0)
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    gradient = 20.0 * rows - 35.0 * columns + 1000.0
    found = register(fixed + gradient, moving + gradient)
    np.testing.assert_allclose(found.shift, (25.4, -18.2), atol=0.1)
    assert found.accepted


def test_gain_of_one_image_does_not_matter(texture):
    fixed, moving = noisy_pair(texture, (25.4, -18.2), 5.0)
    plain, scaled = register(fixed, moving), register(fixed, 300.0 * moving + 2000.0)
    np.testing.assert_allclose(scaled.shift, plain.shift, atol=1e-3)


def test_scan_line_jitter_widens_the_covariance_to_the_error_it_makes(texture):
    rng = np.random.default_rng(5)
    z = []
    for seed in range(12):
        specimen = texture(256, seed)
        lines = [rng.normal(0.0, 0.5, 96) for _ in range(2)]
        images = []
        for shift, jitter in zip(((0.0, 0.0), (0.0, 22.0)), lines, strict=True):
            wide = specimen.field((96, 104), (shift[0], shift[1] - 4.0))
            places = np.arange(96) + 4.0
            rows = [
                np.interp(places + j, np.arange(104), r) for r, j in zip(wide, jitter, strict=True)
            ]
            images.append(np.array(rows) + 0.02 * rng.standard_normal((96, 96)))
        found = register(*images)
        z.append((found.shift[1] - 22.0) / found.stderr[1])
    assert np.sqrt(np.mean(np.square(z))) < 1.6


def test_prior_decides_between_periods_of_a_lattice():
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[0:128, 0:128]
    fixed, moving = (
        np.cos(2 * np.pi * (rows + s) / 16)
        + np.cos(2 * np.pi * columns / 16)
        + 0.2 * rng.standard_normal((128, 128))
        for s in (0.0, 5.0)
    )
    found = register(fixed, moving, expected=(37.0, 0.0), expected_sigma=2.5)
    np.testing.assert_allclose(found.shift, (37.0, 0.0), atol=0.1)


def test_a_lattice_without_prior_is_refused_as_ambiguous():
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[0:128, 0:128]
    lattice = np.cos(2 * np.pi * rows / 16) + np.cos(2 * np.pi * columns / 16)
    images = [lattice + 0.5 * rng.standard_normal(lattice.shape) for _ in range(2)]
    found = register(*images)
    assert not found.accepted
    assert "second shift" in found.reason


def test_unrelated_fields_are_refused(texture):
    refused = [
        not register(
            noisy_pair(texture, (0, 0), 5.0, seed)[0],
            noisy_pair(texture, (0, 0), 5.0, seed + 50)[0],
        ).accepted
        for seed in range(10)
    ]
    assert np.mean(refused) >= 0.9


def test_pure_noise_is_refused():
    rng = np.random.default_rng(4)
    found = register(rng.standard_normal((64, 64)), rng.standard_normal((64, 64)))
    assert not found.accepted
    assert found.confidence < 0.5


def test_a_shift_far_from_the_expected_one_is_refused(texture):
    fixed, moving = noisy_pair(texture, (20.0, 0.0), 10.0)
    found = register(fixed, moving, expected=(-20.0, 0.0), expected_sigma=3.0)
    assert not found.accepted
    assert "sigma from the expected" in found.reason


def test_overlap_is_the_shared_part_of_the_field(texture):
    fixed, moving = noisy_pair(texture, (32.0, 64.0), 10.0)
    assert register(fixed, moving).overlap == pytest.approx(0.75 * 0.5, abs=1e-3)


def test_fields_that_are_not_square_are_registered(texture):
    fixed, moving = noisy_pair(texture, (-11.3, 40.6), 8.0, shape=(90, 201))
    np.testing.assert_allclose(register(fixed, moving).shift, (-11.3, 40.6), atol=0.1)


def test_integer_images_are_registered(texture):
    pair = [np.uint16(1000 + 50 * im) for im in noisy_pair(texture, (7.5, 3.25), 8.0)]
    np.testing.assert_allclose(register(*pair).shift, (7.5, 3.25), atol=0.1)


def test_same_pixels_give_the_same_bits(texture):
    pair = noisy_pair(texture, (7.5, 3.25), 8.0)
    first, second = register(*pair), register(*(np.asfortranarray(image) for image in pair))
    assert first.shift.tobytes() == second.shift.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


def test_windows_of_a_real_micrograph_are_registered():
    tifffile = pytest.importorskip("tifffile")
    scene = np.asarray(tifffile.imread(MICROGRAPH), dtype=float)[:900, :1500]
    rng = np.random.default_rng(6)
    wrong = []
    for _ in range(6):
        shift = rng.integers(-120, 121, 2)
        corner = rng.integers(150, 450, 2)
        windows = [scene[r : r + 256, c : c + 256] for r, c in (corner, corner + shift)]
        found = register(*(w + 5.0 * rng.standard_normal(w.shape) for w in windows))
        wrong.append(np.abs(found.shift - shift).max() > 0.1)
    assert not any(wrong)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.tuples(st.floats(-30.0, 30.0), st.floats(-30.0, 30.0)),
    gain=st.floats(0.01, 1e4),
    offset=st.floats(-1e4, 1e4),
)
def test_any_shift_is_found_whatever_gain_and_offset(texture, seed, shift, gain, offset):
    fixed, moving = noisy_pair(texture, shift, 8.0, seed, shape=(96, 96), size=192)
    found = register(gain * fixed + offset, gain * moving + offset)
    assert found.accepted
    np.testing.assert_allclose(found.shift, shift, atol=0.3)


GOOD = np.random.default_rng(0).standard_normal((32, 32))


@pytest.mark.parametrize(
    ("fixed", "moving", "words"),
    [
        (GOOD, GOOD[:, :31], "must be equal"),
        (GOOD[0], GOOD[0], "must have 2"),
        (GOOD, np.ones((32, 32)), "constant"),
        (GOOD, np.where(GOOD > 3, np.nan, GOOD) * np.nan, "NaN"),
        (GOOD[:, :1], GOOD[:, :1], "at least 16"),
        (GOOD, GOOD + 1j, "real"),
    ],
)
def test_images_that_cannot_be_registered_are_refused(fixed, moving, words):
    with pytest.raises(ValueError, match=words):
        register(fixed, moving)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expected": (1.0,)}, "two finite numbers"),
        ({"expected": (1.0, np.nan)}, "two finite numbers"),
        ({"expected_sigma": 3.0}, "without expected"),
        ({"expected": (0, 0), "expected_sigma": 0.0}, "positive"),
        ({"min_overlap": 0.0}, "between 0 and 1"),
        ({"min_overlap": 1.5}, "between 0 and 1"),
    ],
)
def test_expectations_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        register(GOOD, GOOD, **options)
