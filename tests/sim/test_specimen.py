"""What is there to be seen."""

import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from sim.specimen import MicrographSpecimen, ProceduralSpecimen

UM, NM = 1e-6, 1e-9


def grid(n: int, pixel: float, x: float = 0.0, y: float = 0.0):
    axis = (np.arange(n) - (n - 1) / 2) * pixel
    gx, gy = np.meshgrid(axis, axis)
    return gx + x, gy + y


def correlation(a, b) -> float:
    """Return the greatest normalised circular cross-correlation of two fields."""
    a, b = (f - f.mean() for f in (a, b))
    c = np.fft.irfft2(np.fft.rfft2(a) * np.conj(np.fft.rfft2(b)))
    return float(c.max() / math.sqrt((a * a).sum() * (b * b).sum()))


@pytest.fixture(scope="module")
def micrograph():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (37, 53)).astype(np.uint8)


def test_the_texture_is_a_signal_between_0_and_1():
    signal = ProceduralSpecimen(1).sample(*grid(256, 80 * NM))
    assert signal.dtype == np.float32
    assert signal.min() > 0
    assert signal.max() < 1
    assert signal.std() > 0.05


def test_the_same_seed_gives_the_same_texture_and_another_another():
    points = grid(128, 10 * NM)
    first, same, other = (ProceduralSpecimen(seed).sample(*points) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert correlation(first, other) < 0.6
    assert not np.allclose(first, other)


def test_a_point_has_its_signal_whatever_is_asked_with_it():
    specimen = ProceduralSpecimen(1)
    x, y = grid(64, 30 * NM)
    together = specimen.sample(x, y)
    order = np.random.default_rng(0).permutation(x.size)
    shuffled = specimen.sample(x.ravel()[order], y.ravel()[order])
    np.testing.assert_array_equal(shuffled, together.ravel()[order])


def test_the_texture_is_continuously_differentiable():
    specimen = ProceduralSpecimen(1)
    y = np.zeros(200_001)
    x = np.linspace(0.0, 2 * UM, y.size)
    step = x[1]
    signal = specimen.sample(x, y).astype(float)
    slope = np.diff(signal) / step
    assert np.abs(np.diff(signal)).max() < 1e-3  # 0.01 nm: no edge
    assert np.abs(slope).max() * 1 * NM < 0.1


def test_the_texture_has_features_at_all_scales():
    specimen = ProceduralSpecimen(1)
    for pixel in (2 * NM, 8 * NM, 32 * NM, 128 * NM):
        signal = specimen.sample(*grid(128, pixel)).astype(float)
        blurred = signal.reshape(32, 4, 32, 4).mean(axis=(1, 3)).repeat(4, 0).repeat(4, 1)
        assert blurred.std() > 0.01  # coarser than four pixels
        assert (signal - blurred).std() > 0.004  # finer than four pixels


@pytest.mark.parametrize("distance", [20.48 * UM, 65.536 * UM, 1e-3, 0.1])
def test_the_texture_does_not_repeat(distance):
    specimen = ProceduralSpecimen(1)

    def field(x, y):
        """Return small-scale contrast, which has many independent details to compare."""
        signal = specimen.sample(*grid(256, 10 * NM, x, y)).astype(float)
        return signal - (np.roll(signal, 3, 0) + np.roll(signal, 3, 1)) / 2

    here = field(0.0, 0.0)
    assert correlation(here, field(0.1 * UM, 0.0)) > 0.8
    assert correlation(here, field(distance, 0.0)) < 0.3
    assert correlation(here, field(0.0, distance)) < 0.3


@pytest.mark.parametrize("distance", [1e-3, 1.0])
def test_the_texture_is_as_good_far_away(distance):
    signal = ProceduralSpecimen(1).sample(*grid(128, 20 * NM, distance, -distance))
    assert signal.std() > 0.04


def test_a_micrograph_is_reproduced_at_its_pixels(micrograph):
    specimen = MicrographSpecimen(micrograph, 5 * NM)
    rows, cols = micrograph.shape
    x, y = np.meshgrid(
        (np.arange(cols) - (cols - 1) / 2) * 5 * NM, (np.arange(rows) - (rows - 1) / 2) * 5 * NM
    )
    np.testing.assert_allclose(specimen.sample(x, y), micrograph / 255, atol=1e-6)


def test_between_its_pixels_it_is_the_cubic_spline_of_scipy(micrograph):
    specimen = MicrographSpecimen(micrograph, 5 * NM, origin=(0, 0))
    rng = np.random.default_rng(2)
    rows, cols = rng.uniform(-150, 150, (2, 500))
    expected = map_coordinates(micrograph / 255, [rows, cols], order=3, mode="mirror")
    signal = specimen.sample(cols * 5 * NM, rows * 5 * NM)
    np.testing.assert_allclose(signal, np.clip(expected, 0, 1), atol=1e-6)


def test_beyond_its_edges_it_is_mirrored(micrograph):
    specimen = MicrographSpecimen(micrograph, 1 * NM, origin=(0, 0))
    y = np.full(20, 5 * NM)
    x = np.linspace(0.3, 12, 20) * NM
    edge = 52 * NM
    np.testing.assert_allclose(specimen.sample(-x, y), specimen.sample(x, y), atol=1e-6)
    np.testing.assert_allclose(
        specimen.sample(edge + x, y), specimen.sample(edge - x, y), atol=1e-6
    )


@pytest.mark.parametrize(
    ("image", "pixel_size", "message"),
    [
        (np.ones((64, 64)), 1e-9, "constant"),
        (np.eye(64)[None], 1e-9, "2-D greyscale"),
        (np.full((64, 64), np.nan), 1e-9, "NaN"),
        (np.where(np.eye(64) > 0, np.inf, 0.0), 1e-9, "NaN or infinity"),
        (np.eye(8), 1e-9, "too small"),
        (np.zeros((0, 64)), 1e-9, "too small"),
        (np.eye(64).astype(complex), 1e-9, "real numbers"),
        (np.eye(64), 0.0, "pixel size 0.0 m"),
        (np.eye(64), math.nan, "pixel size nan m"),
    ],
)
def test_a_micrograph_that_is_none_is_refused(image, pixel_size, message):
    with pytest.raises(ValueError, match=message) as caught:
        MicrographSpecimen(image, pixel_size)
    assert "\n" not in str(caught.value)


def test_an_origin_outside_the_micrograph_is_refused():
    with pytest.raises(ValueError, match=r"row 0..63, column 0..63"):
        MicrographSpecimen(np.eye(64), 1e-9, origin=(70, 0))


@pytest.mark.parametrize("specimen", [ProceduralSpecimen(0), MicrographSpecimen(np.eye(64), 1e-9)])
def test_bad_points_are_refused(specimen):
    with pytest.raises(ValueError, match="equal shapes"):
        specimen.sample(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="finite metres"):
        specimen.sample(np.array([np.nan]), np.zeros(1))


def test_a_negative_specimen_seed_is_refused():
    with pytest.raises(ValueError, match="seed -1"):
        ProceduralSpecimen(-1)
