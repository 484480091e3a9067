"""The micrograph of what is really under the beam."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.imaging import Detector, ScanSettings, acquire, collected_electrons, field_of_view
from sim.specimen import MicrographSpecimen, ProceduralSpecimen
from sim.stage import Stage, profile

UM, NM = 1e-6, 1e-9
PERFECT = Detector(gain=1.0, offset=0.0, readout_noise=0.0)


class Even:
    """A specimen of one signal everywhere."""

    def __init__(self, signal: float) -> None:
        self.signal = signal

    def sample(self, x, y):
        return np.full(x.shape, self.signal, dtype=np.float32)


class Ramp:
    """A specimen whose signal is a coordinate, in units of 10 um above 0."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def sample(self, x, y):
        return np.float32(0.5) + np.asarray((x, y)[self.axis] / (10 * UM), dtype=np.float32)


def at(x: float, y: float = 0.0):
    return lambda times: np.tile([x, y], (times.size, 1))


def scan(specimen, positions=None, *, seed=0, shape=(64, 64), **changes):
    """Return a frame; noiseless, as a signal, unless `changes` say otherwise."""
    bright = {"electrons_per_pixel": 1e8, "detector": Detector(5e-4, 0.0, 0.0)}
    call = {k: changes.pop(k) for k in ("blanked", "image_shift") if k in changes}
    start = changes.pop("start_time", 0.0)
    settings = ScanSettings(shape=shape, **{**bright, **changes})
    rng = np.random.default_rng(seed)
    positions = positions or at(0.0)
    return acquire(specimen, positions, settings, start_time=start, rng=rng, **call)


def test_fifty_thousand_times_is_the_field_of_the_paper():
    assert field_of_view(50_000) == pytest.approx(3.75 * UM, rel=1e-12)
    assert field_of_view(100_000) == pytest.approx(1.875 * UM, rel=1e-12)


@pytest.mark.parametrize("magnification", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_magnification_is_refused(magnification):
    with pytest.raises(ValueError, match="above 0"):
        field_of_view(magnification)


def test_a_pixel_shows_the_point_of_the_convention():
    rotation, shape, shift = 0.3, (48, 64), (0.2 * UM, -0.1 * UM)
    p = np.array([1.0 * UM, -0.5 * UM])
    px = 2 * UM / 64
    matrix = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    for axis in (0, 1):
        image = scan(
            Ramp(axis),
            at(*p),
            shape=shape,
            field_of_view=2 * UM,
            rotation=rotation,
            image_shift=shift,
        )
        for r, c in ((0, 0), (47, 63), (10, 50)):
            offset = np.array([(c - 31.5) * px, (r - 23.5) * px])
            point = p + shift + matrix @ offset
            value = image[r, c] / 50000
            assert (value - 0.5) * 10 * UM == pytest.approx(point[axis], abs=3 * NM)


def test_the_settings_give_the_matrix_of_the_rotation():
    settings = ScanSettings(rotation=math.pi / 2)
    np.testing.assert_allclose(settings.camera_to_stage @ [1, 0], [0, 1], atol=1e-12)


@pytest.mark.parametrize("pixels", [(7, 0), (0, -5), (3, 11)])
def test_a_move_of_whole_pixels_moves_the_image_by_them(pixels):
    specimen, px = ProceduralSpecimen(4), 3.75 * UM / 64
    dx, dy = pixels
    here = scan(specimen).astype(float)
    moved = scan(specimen, at(dx * px, dy * px), seed=1).astype(float)
    rows, cols = np.ogrid[0:64, 0:64]
    inside = (rows + dy >= 0) & (rows + dy < 64) & (cols + dx >= 0) & (cols + dx < 64)
    r, c = np.nonzero(inside)
    np.testing.assert_allclose(moved[r, c], here[r + dy, c + dx], atol=40)  # 6 sigma of the dose


def test_a_move_of_part_of_a_pixel_is_the_fourier_shift():
    # A band-limited periodic field: mirrored cosines of whole periods in the mirrored length.
    n, px = 129, 10 * NM
    k = math.pi / (n - 1)
    i = np.arange(n)
    image = np.cos(6 * k * i)[None, :] + np.cos(10 * k * i)[:, None]
    specimen = MicrographSpecimen(image, px, origin=(0, 0))
    shift, centre = 0.37, 63.5
    frame = scan(
        specimen, at((centre + shift) * px, centre * px), shape=(128, 128), field_of_view=128 * px
    )
    expected = (np.cos(6 * k * (i[:128] + shift))[None, :] + np.cos(10 * k * i[:128])[:, None]) / 4
    np.testing.assert_allclose(frame / 50000, expected + 0.5, atol=6e-4)  # 6 sigma of the dose


def test_an_image_shift_is_a_move_of_the_stage():
    specimen = ProceduralSpecimen(4)
    shifted = scan(specimen, image_shift=(0.3 * UM, -0.2 * UM))
    moved = scan(specimen, at(0.3 * UM, -0.2 * UM))
    np.testing.assert_array_equal(shifted, moved)


def test_every_line_is_scanned_at_its_own_time():
    asked = []

    def drifting(times):
        asked.append(times)
        return np.stack([0.5 * UM * (times - 100.0), np.zeros_like(times)], axis=1)

    settings = ScanSettings(shape=(64, 64))
    image = scan(Ramp(0), drifting, start_time=100.0, dwell_time=1e-4, flyback_time=1e-3)
    line_time = 64 * 1e-4 + 1e-3
    np.testing.assert_allclose(asked[0], 100.0 + (np.arange(64) + 0.5) * line_time)
    left = (image[:, 0] / 50000 - 0.5) * 10 * UM + 31.5 * settings.pixel_size
    np.testing.assert_allclose(left, 0.5 * UM * (np.arange(64) + 0.5) * line_time, atol=2 * NM)


def test_the_time_of_a_frame_is_that_of_its_lines():
    settings = ScanSettings(shape=(100, 200), dwell_time=1e-5, flyback_time=1e-4)
    assert settings.line_time == pytest.approx(2.1e-3)
    assert settings.frame_time == pytest.approx(0.21)


def test_the_noise_of_the_dose_is_that_of_poisson():
    image = scan(Even(0.25), shape=(256, 256), electrons_per_pixel=400.0, detector=PERFECT)
    n = image.size
    assert image.mean() == pytest.approx(100.0, abs=5 * math.sqrt(100 / n))
    assert image.var() / image.mean() == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))


def test_the_default_dose_has_the_signal_to_noise_ratio_that_it_documents():
    image = scan(
        Even(0.35), shape=(256, 256), electrons_per_pixel=400.0, detector=Detector()
    ).astype(float)
    assert (image.mean() - 500.0) / image.std() == pytest.approx(12.0, abs=0.4)


def test_the_dose_is_current_times_dwell_time():
    assert collected_electrons(4e-6) == pytest.approx(400, rel=0.01)
    assert collected_electrons(1.0, 1.602176634e-19, 1.0) == pytest.approx(1.0)


def test_a_blanked_beam_gives_dark_counts_only():
    image = scan(Even(1.0), blanked=True, shape=(256, 256), detector=Detector(50.0, 500.0, 30.0))
    assert image.mean() == pytest.approx(500.0, abs=5 * 30 / 256)
    assert image.std() == pytest.approx(30.0, rel=0.02)


def test_a_bright_pixel_saturates():
    assert np.all(scan(Even(1.0), detector=Detector(1.0, 0.0, 0.0)) == 65535)


def test_the_same_generator_gives_the_same_frame():
    specimen = ProceduralSpecimen(1)
    low_dose = {"electrons_per_pixel": 100.0, "detector": Detector()}
    first, same, other = (scan(specimen, seed=seed, **low_dose) for seed in (1, 1, 2))
    assert first.dtype == np.uint16
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_frame_shows_the_actual_and_not_the_reported_position():
    play = replace(profile("ideal").x, specimen_play=600 * NM)
    stage = Stage(replace(profile("ideal"), x=play), seed=1, start_time=0.0)
    end = stage.command({"x": 2 * UM}, 0.0)
    image = scan(Ramp(0), lambda t: stage.actual(t)[:, :2], start_time=end)
    assert stage.readback(end).position[0] == 2 * UM
    assert (image.mean() / 50000 - 0.5) * 10 * UM == pytest.approx(1.7 * UM, abs=1 * NM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (0, 512)}, "two whole numbers"),
        ({"shape": (512,)}, "two whole numbers"),
        ({"shape": (512.0, 512.0)}, "two whole numbers"),
        ({"field_of_view": 0.0}, "field_of_view 0.0"),
        ({"dwell_time": math.nan}, "dwell_time nan"),
        ({"electrons_per_pixel": -1.0}, "electrons_per_pixel -1.0"),
        ({"rotation": math.inf}, "rotation inf"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ScanSettings(**change)


def test_positions_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"give \(x, y\) of each line"):
        scan(Even(0.5), lambda times: np.zeros((times.size, 5)))


def test_an_impossible_detector_is_refused():
    with pytest.raises(ValueError, match=r"gain -1\.0"):
        Detector(gain=-1.0)
