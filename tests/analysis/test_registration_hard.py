"""Registration where it is hard: few particles, lattices, detector patterns, distorted scans."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from analysis.registration import register

ROOT = Path(__file__).parents[2]


def particles(size, places, radii):
    """Discs with soft edges on nothing."""
    rows, columns = np.mgrid[0:size, 0:size]
    scene = np.zeros((size, size))
    for (row, column), radius in zip(places, radii, strict=True):
        scene += np.clip(radius + 0.5 - np.hypot(rows - row, columns - column), 0.0, 1.0)
    return gaussian_filter(scene, 1.0)


def lattice(size, period, unlike, seed):
    """Square lattice of columns of atoms whose brightness differs by `unlike`."""
    rng = np.random.default_rng(seed)
    sites = np.arange(0.0, size + period, period)
    rows, columns = np.mgrid[0:size, 0:size]
    scene = np.zeros((size, size))
    for row in sites:
        for column in sites:
            near = (
                slice(max(0, int(row) - 12), int(row) + 13),
                slice(max(0, int(column) - 12), int(column) + 13),
            )
            square = (rows[near] - row) ** 2 + (columns[near] - column) ** 2
            scene[near] += (1 + unlike * rng.standard_normal()) * np.exp(
                -square / (0.1 * period**2)
            )
    return scene / scene.std()


def cut(scene, corner, size, noise, rng):
    row, column = corner
    field = scene[row : row + size, column : column + size]
    return field + noise * rng.standard_normal((size, size))


def test_few_particles_are_registered():
    rng = np.random.default_rng(1)
    scene = particles(400, rng.uniform(0, 400, (30, 2)), rng.uniform(3, 8, 30))
    pair = cut(scene, (20, 30), 256, 0.05, rng), cut(scene, (110, 100), 256, 0.05, rng)
    found = register(*pair)
    assert found.accepted
    np.testing.assert_allclose(found.shift, (90.0, 70.0), atol=0.1)


def test_one_particle_that_fits_on_another_is_refused():
    rng = np.random.default_rng(2)
    fields = [particles(256, [place], [6.0]) for place in ((80, 90), (150, 120))]
    found = register(*(field + 0.1 * rng.standard_normal(field.shape) for field in fields))
    assert not found.accepted
    assert "stands clear" in found.reason


def test_an_uneven_lattice_tells_its_shift():
    rng = np.random.default_rng(3)
    scene = lattice(420, 14.0, 0.1, 3)
    pair = cut(scene, (10, 20), 256, 0.1, rng), cut(scene, (80, 73), 256, 0.1, rng)
    found = register(*pair)
    assert found.accepted
    np.testing.assert_allclose(found.shift, (70.0, 53.0), atol=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_an_even_lattice_is_refused_whatever_the_shift(seed):
    rng = np.random.default_rng(seed)
    scene = lattice(420, 14.0, 0.0, seed)
    corner = rng.integers(0, 120, 2)
    found = register(cut(scene, (60, 60), 256, 0.3, rng), cut(scene, corner, 256, 0.3, rng))
    assert not found.accepted
    assert "periodic" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_an_even_lattice_with_the_stage_s_expectation_is_registered(seed):
    rng = np.random.default_rng(seed)
    scene = lattice(420, 14.0, 0.0, seed)
    corner = rng.integers(0, 120, 2)
    shift = corner - 60.0
    found = register(
        cut(scene, (60, 60), 256, 0.3, rng),
        cut(scene, corner, 256, 0.3, rng),
        expected=shift + rng.normal(0.0, 14.0 / 8.0, 2),
        expected_sigma=14.0 / 8.0,
    )
    assert found.accepted
    np.testing.assert_allclose(found.shift, shift, atol=0.1)


@pytest.mark.parametrize("kind", ["pixels", "columns", "lines"])
def test_a_pattern_of_the_detector_is_not_taken_for_the_specimen(texture, kind):
    rng = np.random.default_rng(4)
    pattern = {
        "pixels": 0.4 * rng.standard_normal((192, 192)),
        "columns": 0.4 * rng.standard_normal((1, 192)),
        "lines": 0.4 * rng.standard_normal((192, 1)),
    }[kind]
    specimen = texture(512, 4)
    fields = [specimen.field((192, 192), shift) for shift in ((0.0, 0.0), (101.3, -57.6))]
    found = register(*(f + pattern + 0.2 * rng.standard_normal(f.shape) for f in fields))
    assert found.accepted
    np.testing.assert_allclose(found.shift, (101.3, -57.6), atol=0.3)


def test_drift_within_the_frames_is_in_the_covariance(texture):
    rng = np.random.default_rng(5)
    lines = np.arange(128)
    inside = []
    for seed in range(40):
        canvas = texture(320, seed).field((320, 320), (0.0, 0.0))
        images = []
        shift = np.array([50.0, 0.0])
        for place in (np.array([80.0, 80.0]), 80.0 + shift):
            drift = rng.normal(0.0, 1.0, 2) / 128
            rows = place[0] + lines + drift[0] * (lines - 63.5)
            start = 80.0 + drift[1] * (lines - 63.5)
            at = [
                np.broadcast_to(rows[:, None], (128, 128)),
                start[:, None] + np.arange(128)[None, :],
            ]
            image = map_coordinates(canvas, at, order=5, mode="grid-wrap")
            images.append(image + 0.05 * rng.standard_normal(image.shape))
        found = register(*images)
        if found.accepted:
            inside += list(np.abs(found.shift - shift) < 1.96 * found.stderr)
    # without the drift a tenth of them would be inside
    assert len(inside) > 40
    assert np.mean(inside) > 0.8


def test_saturated_images_are_refused():
    scene = np.full((64, 64), 255, np.uint8)
    scene[:20] = np.random.default_rng(6).integers(0, 255, (20, 64))
    with pytest.raises(ValueError, match="saturated"):
        register(scene, scene)


def test_fields_that_share_nothing_are_refused_though_expected_to(texture):
    fields = [texture(256, seed).field((128, 128), (0.0, 0.0)) for seed in (1, 2)]
    rng = np.random.default_rng(7)
    fields = [f + 0.2 * rng.standard_normal(f.shape) for f in fields]
    found = register(*fields, expected=(30.0, 10.0), expected_sigma=10.0)
    assert not found.accepted


def test_an_expectation_beyond_the_field_is_refused(texture):
    rng = np.random.default_rng(8)
    fields = [
        texture(256, 1).field((128, 128), s) + 0.1 * rng.standard_normal((128, 128))
        for s in ((0.0, 0.0), (20.0, 0.0))
    ]
    found = register(*fields, expected=(400.0, 0.0), expected_sigma=5.0)
    assert not found.accepted
    assert "sigma from the expected" in found.reason


_BITS = """
import numpy as np
from analysis.registration import register
rng = np.random.default_rng(9)
scene = np.cumsum(np.cumsum(rng.standard_normal((400, 400)), axis=0), axis=1)
found = register(scene[:256, :256], scene[70:326, 40:296])
print(found.shift.tobytes().hex(), found.covariance.tobytes().hex())
"""


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_a_bit():
    answers = {
        subprocess.run(
            [sys.executable, "-c", _BITS],
            env=os.environ | {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in ("1", "2")
    }
    assert len(answers) == 1


def test_hot_pixels_do_not_hold_the_images_together(texture):
    rng = np.random.default_rng(10)
    hot = 50.0 * (rng.random((192, 192)) < 0.002)
    fields = [texture(512, 3).field((192, 192), shift) for shift in ((0.0, 0.0), (60.0, -33.0))]
    found = register(*(f + hot + 0.2 * rng.standard_normal(f.shape) for f in fields))
    assert found.accepted
    np.testing.assert_allclose(found.shift, (60.0, -33.0), atol=0.3)


def test_an_aperture_at_rest_does_not_hold_the_images_together(texture):
    rng = np.random.default_rng(11)
    inside = gaussian_filter(1.0 * (np.hypot(*np.mgrid[-1:1:192j, -1:1:192j]) < 0.9), 2.0)
    fields = [texture(512, 3).field((192, 192), shift) for shift in ((0.0, 0.0), (40.0, -33.0))]
    found = register(*(inside * (10.0 + f) + 0.2 * rng.standard_normal(f.shape) for f in fields))
    assert found.accepted
    np.testing.assert_allclose(found.shift, (40.0, -33.0), atol=0.3)
