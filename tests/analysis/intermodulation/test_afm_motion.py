"""The motion that tones describe, and which powers of it fall into a band."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.intermodulation import Measurement, MeasurementError, Mode, motion
from analysis.intermodulation.motion import aliases, carriers, minimum_samples, spectrum

DF = 200.0


def two_tones(first=3.0e-9 + 1.0e-9j, second=2.0e-9j):
    return Measurement(
        tones=np.array([7, 11]),
        free=np.array([1e-9 + 0j, 1e-9]),
        engaged=np.array([first, second]),
        noise=np.zeros(2),
        modes=(Mode(9 * DF, 100.0, 1.0),),
        df=DF,
    )


def test_motion_is_the_sum_of_cosines():
    moved = motion(two_tones(), 4096)
    phase = 2.0 * np.pi * np.arange(4096) / 4096
    expected = np.real((3.0e-9 + 1.0e-9j) * np.exp(7j * phase) + 2.0e-9j * np.exp(11j * phase))
    np.testing.assert_allclose(moved.z, expected, atol=1e-20)


def test_velocity_is_the_rate_of_the_deflection():
    moved = motion(two_tones(), 4096)
    step = 1.0 / DF / 4096
    differences = (np.roll(moved.z, -1) - np.roll(moved.z, 1)) / (2.0 * step)
    np.testing.assert_allclose(moved.velocity, differences, atol=1e-4 * np.ptp(moved.velocity))


def test_spectrum_returns_the_tones_of_the_motion():
    tones = spectrum(motion(two_tones(), 4096).z)
    np.testing.assert_allclose(tones[[7, 11]], [3.0e-9 + 1.0e-9j, 2.0e-9j], atol=1e-20)


def test_spectrum_of_a_constant_is_the_constant_at_tone_0():
    assert spectrum(np.full(8, 2.5))[0] == 2.5


def test_lowest_deflection_is_found_between_samples():
    coarse, fine = motion(two_tones(), 240), motion(two_tones(), 2**18)
    assert coarse.lowest == pytest.approx(fine.z.min(), rel=1e-5)
    assert coarse.z.min() > fine.z.min() * (1.0 - 1e-3)


def test_torsional_tones_are_a_motion_of_their_own(paper_case_2):
    moved = motion(paper_case_2.measurement)
    assert moved.y is not None
    assert np.abs(moved.y).max() == pytest.approx(12.5e-9, rel=0.01)


def test_fewest_samples_keep_the_highest_power_out_of_the_band():
    samples = minimum_samples(9462, 21)
    folded = samples - 21 * 9462
    assert folded > 9462


def test_too_few_samples_are_refused():
    with pytest.raises(MeasurementError, match="20 samples cannot hold tone 11"):
        motion(two_tones(), 20)


def test_motion_of_many_pixels_at_once_is_refused():
    own = two_tones()
    many = Measurement(own.tones, own.free, np.stack([own.engaged] * 2), own.noise, own.modes, DF)
    with pytest.raises(MeasurementError, match="2 pixels are given"):
        motion(many)


def test_carriers_lie_between_the_drive_tones(paper_case_1):
    assert [middle for middle, _ in carriers(paper_case_1.with_tones(24))] == [1500.5, 9450.5]


def test_drive_of_the_paper_keeps_the_low_powers_apart():
    assert aliases((1500.5, 9450.5), 22, 44.0) == ()


def test_modes_at_a_ratio_of_three_put_the_cube_of_one_onto_the_other():
    first = aliases((1000.0, 3000.0), 5, 10.0)[0]
    assert first.order == 3
    assert (abs(first.orders[0]), first.orders[1], first.band) in {(3, 0, 1), (2, 1, 0)}


def test_modes_at_a_ratio_of_two_put_even_powers_into_the_bands():
    assert aliases((1000.0, 2000.0), 3, 10.0, parity=0)[0].order == 2
