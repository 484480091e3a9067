"""PeakForce tapping: whole images, what spoils them, and the frames that they fill."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike

import sim.peakforce
from sim.copolymer import FORMULATIONS, Copolymer
from sim.forces import Force
from sim.peakforce import (
    CHANNELS,
    ForceProbe,
    Frame,
    ImageNuisance,
    PeakForceSettings,
    as_volts,
    scan,
    scan_time,
)
from sim.surface import Contact, Uniform
from sim.tip import Paraboloid, SphereCone, scan_surface

_R, _K = 30e-9, 5.0
_FINE = PeakForceSettings(amplitude=100e-9, sample_points=1024, poisson=0.0)
_QUIET = ForceProbe(force_noise=0.0)


def _stiffness(modulus: float) -> float:
    return 4 / 3 * modulus * math.sqrt(_R)


class _Bumps:
    """Hard paraboloids on a plane."""

    def height(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        u, v = (np.mod(np.asarray(part), 200e-9) - 100e-9 for part in (x, y))
        return np.maximum(20e-9 - (u**2 + v**2) / (2 * 20e-9), 0.0)

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        return Uniform(1e12).forces(x, y, radius)

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        return Uniform(1e12).contact(x, y, radius)


@pytest.mark.parametrize("name", ["A2", "C5"])
def test_the_modulus_of_rubber_is_recovered_within_three_percent(name: str) -> None:
    surface, frame = Copolymer(FORMULATIONS[name], 3), Frame(lines=128, points=128)
    image = scan(surface, ForceProbe(), frame, PeakForceSettings(), np.random.default_rng(0))
    x, y = frame.positions()
    rubber = surface.component(x, y) == 1
    truth = surface.contact(x, y, _R).modulus[rubber] * (1 - 0.3**2)
    assert np.median(image["dmt_modulus"][rubber]) == pytest.approx(np.median(truth), rel=0.03)


def test_an_image_has_the_channels_of_the_instrument() -> None:
    frame = Frame(lines=3, points=5)
    image = scan(
        Uniform(1e9, 9e-9), ForceProbe(), frame, PeakForceSettings(), np.random.default_rng(0)
    )
    assert list(image) == list(CHANNELS)
    assert all(data.shape == (3, 5) and data.dtype == np.float32 for data in image.values())
    np.testing.assert_allclose(image["log_dmt_modulus"], np.log10(image["dmt_modulus"]), rtol=1e-5)


def test_a_seed_makes_one_image_however_many_threads_work(monkeypatch: pytest.MonkeyPatch) -> None:
    surface, frame = Copolymer(FORMULATIONS["A2"]), Frame(lines=24, points=16)
    images = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(sim.peakforce, "_THREADS", threads)
        rng = np.random.default_rng(9)
        images.append(scan(surface, ForceProbe(), frame, PeakForceSettings(), rng))
    for name in CHANNELS:
        np.testing.assert_array_equal(images[0][name], images[1][name])
        np.testing.assert_array_equal(images[0][name], images[2][name])


def test_another_image_has_other_noise() -> None:
    rng = np.random.default_rng(9)
    one, other = (
        scan(Uniform(1e9), ForceProbe(), Frame(lines=4, points=4), PeakForceSettings(), rng)
        for _ in range(2)
    )
    assert np.all(one["peak_force_error"] != other["peak_force_error"])


def test_the_feedback_holds_the_peak_force() -> None:
    rng = np.random.default_rng(0)
    error = scan(Uniform(43e6, 22e-9), ForceProbe(), Frame(lines=32, points=32),
                 PeakForceSettings(), rng)["peak_force_error"]  # fmt: skip
    assert abs(error.mean()) < 0.05e-9
    assert error.std() < 2 * 0.25e-9


def test_the_force_errs_where_the_surface_rises_and_falls() -> None:
    # the trace goes to +x: up the left side of a bump, where the force is too high
    frame = Frame(center=(100e-9, 100e-9), size=200e-9, lines=64, points=64, line_time=0.1)
    error = scan(_Bumps(), _QUIET, frame, PeakForceSettings(), np.random.default_rng(0))[
        "peak_force_error"
    ]
    middle = error[28:36]
    assert middle[:, 12:30].max() > 1e-9
    assert middle[:, 34:52].min() < -1e-9


def test_a_tip_that_lost_the_surface_soon_finds_it_again() -> None:
    class Cliff(_Bumps):
        def height(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
            return np.where(np.add(x, 0 * np.asarray(y)) < 0, 100e-9, 0.0)

    # a cycle a pixel; 0.7 of the setpoint's 6 nm a cycle alone would take 24 of them
    frame = Frame(size=4e-6, lines=4, points=100, line_time=0.1)
    error = scan(Cliff(), _QUIET, frame, PeakForceSettings(), np.random.default_rng(0))[
        "peak_force_error"
    ]
    assert error[:, 52:56].max() < -29e-9
    assert np.abs(error[:, 68:]).max() < 0.5e-9


def test_the_height_of_a_hard_surface_is_its_dilation_by_the_tip() -> None:
    frame = Frame(center=(100e-9, 100e-9), size=200e-9, lines=64, points=64, line_time=20.0)
    tip = Paraboloid(30e-9)
    height = scan(_Bumps(), replace(_QUIET, tip=tip), frame, PeakForceSettings(),
                  np.random.default_rng(0))["height"]  # fmt: skip
    x, y = frame.positions(20)
    expected = scan_surface(_Bumps().height(x, y), frame.pixel, tip)[20:-20, 20:-20]
    difference = height - expected
    assert np.ptp(difference) < 0.05e-9


def test_a_soft_surface_looks_lower_by_its_indentation() -> None:
    heights = [
        scan(Uniform(modulus), _QUIET, Frame(lines=2, points=2), PeakForceSettings(),
             np.random.default_rng(0))["height"].mean()
        for modulus in (43e6, 1e13)
    ]  # fmt: skip
    depth = (30e-9 / _stiffness(43e6)) ** (2 / 3)
    assert heights[1] - heights[0] == pytest.approx(depth, abs=0.02e-9)


def test_a_spring_constant_that_is_believed_too_high_makes_forces_too_high() -> None:
    frame, rng = Frame(lines=2, points=2), np.random.default_rng(0)
    believed = replace(_FINE, spring_constant=1.1 * _K)
    read = scan(Uniform(43e6, 22e-9), _QUIET, frame, believed, rng)["adhesion"].mean()
    assert read == pytest.approx(1.1 * 22e-9, rel=0.01)


def test_what_is_left_of_the_background_comes_and_goes_along_the_slow_axis() -> None:
    frame, rng = Frame(lines=100, points=8, line_time=6.0), np.random.default_rng(0)
    probe = replace(_QUIET, background=1e-9)
    image = scan(Uniform(43e6, 22e-9), probe, frame, _FINE, rng)
    adhesion = image["adhesion"].mean(axis=1)
    assert np.ptp(adhesion) > 1e-9
    assert np.abs(np.diff(adhesion)).max() < 0.1 * np.ptp(adhesion)
    # the feedback holds what is measured
    assert np.abs(image["peak_force_error"]).max() < 0.1e-9


def test_chemistry_multiplies_the_adhesion() -> None:
    rng = np.random.default_rng(0)
    probe = replace(_QUIET, adhesion_factor=1.3)
    read = scan(Uniform(43e6, 20e-9), probe, Frame(lines=2, points=2), _FINE, rng)["adhesion"]
    assert read.mean() == pytest.approx(26e-9, rel=0.01)


def test_a_summit_is_touched_with_the_radius_of_both_curvatures() -> None:
    frame = Frame(center=(100e-9, 100e-9), size=10e-9, lines=9, points=9)
    probe = replace(_QUIET, tip=SphereCone(30e-9))

    class Soft(_Bumps):
        def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
            return Uniform(100e6).contact(x, y, radius)

    read = scan(Soft(), probe, frame, _FINE, np.random.default_rng(0))["dmt_modulus"][4, 4]
    radius = 1 / (1 / 30e-9 + 1 / 20e-9)
    assert read == pytest.approx(100e6 * math.sqrt(radius / 30e-9), rel=0.01)


def test_nuisances_multiply_their_channels() -> None:
    frame = Frame(lines=2, points=2)
    spoiled = ImageNuisance(modulus_gain=1.5, adhesion_gain=0.8, deformation_gain=1.1)
    plain, other = (
        scan(Uniform(43e6, 22e-9), _QUIET, frame, _FINE, np.random.default_rng(1), nuisance=each)
        for each in (None, spoiled)
    )
    for name, gain in [("dmt_modulus", 1.5), ("adhesion", 0.8), ("deformation", 1.1)]:
        np.testing.assert_allclose(other[name], gain * plain[name], rtol=1e-5)


@pytest.mark.parametrize("modulus", [20e6, 1.9e9])
def test_the_end_of_a_tip_counts_where_it_presses_in_little(modulus: float) -> None:
    frame, beyond = Frame(lines=2, points=2), 0.15
    plain, other = (
        scan(Uniform(modulus), _QUIET, frame, _FINE, np.random.default_rng(1), nuisance=each)
        for each in (None, ImageNuisance(tip_end=beyond))
    )
    sphere = (0.75 * _FINE.setpoint / (modulus * math.sqrt(_FINE.radius))) ** (2 / 3)
    # F = C depth^(1.5 + beyond), as much as the sphere's at 20 nm and a sphere's from there on
    depth = max(sphere, 20e-9 * (sphere / 20e-9) ** (1.5 / (1.5 + beyond)))
    deeper = (other["deformation"] / plain["deformation"]).mean()
    softer = (other["dmt_modulus"] / plain["dmt_modulus"]).mean()
    assert deeper == pytest.approx(depth / sphere, rel=5e-3)
    assert softer == pytest.approx((sphere / depth) ** 1.5, rel=5e-3)


def test_a_drift_of_the_sensitivity_spoils_the_hard_more_than_the_soft() -> None:
    spoiled, frame = ImageNuisance(sensitivity_drift=0.03), Frame(lines=2, points=2)
    changes = []
    for modulus in (43e6, 1.9e9):
        plain, other = (
            scan(Uniform(modulus), _QUIET, frame, _FINE, np.random.default_rng(1), nuisance=each)
            for each in (None, spoiled)
        )
        changes.append(other["dmt_modulus"].mean() / plain["dmt_modulus"].mean() - 1)
    assert changes[1] > 3 * abs(changes[0])


def test_some_pixels_of_the_modulus_are_off() -> None:
    frame = Frame(lines=100, points=100, line_time=0.1)
    image = scan(Uniform(43e6, 22e-9), _QUIET, frame, replace(_FINE, sample_points=64),
                 np.random.default_rng(1), nuisance=ImageNuisance(outliers=0.02))  # fmt: skip
    modulus = image["dmt_modulus"]
    assert np.mean(np.abs(modulus / np.median(modulus) - 1) > 0.01) == pytest.approx(
        0.02, abs=0.005
    )


def test_deformation_is_the_cleanest_channel_of_many_images() -> None:
    rng = np.random.default_rng(0)
    drawn = [ImageNuisance.drawn(rng) for _ in range(300)]
    spread = {
        name: np.std(np.log([getattr(each, f"{name}_gain") for each in drawn]))
        for name in ("modulus", "adhesion", "deformation", "dissipation")
    }
    assert min(spread, key=spread.__getitem__) == "deformation"
    assert max(spread, key=spread.__getitem__) == "modulus"
    assert 0.02 < spread["deformation"] < 0.03


def test_probes_out_of_a_box_differ_as_makers_say() -> None:
    rng = np.random.default_rng(0)
    probes = [ForceProbe.drawn(rng) for _ in range(300)]
    stiffness = np.std([probe.spring_constant / 5.0 for probe in probes])
    assert 0.03 < stiffness < 0.07
    assert np.std([probe.tip.radius for probe in probes]) == pytest.approx(1e-9, rel=0.15)
    assert 0.08 < np.std([probe.adhesion_factor for probe in probes]) < 0.25


def test_an_instrument_that_was_never_calibrated_shows_volts() -> None:
    settings = PeakForceSettings()
    image = scan(Uniform(43e6, 22e-9), ForceProbe(), Frame(lines=2, points=2), settings,
                 np.random.default_rng(0))  # fmt: skip
    volts = as_volts(image, settings)
    factor = settings.spring_constant * settings.sensitivity
    np.testing.assert_allclose(volts["adhesion"] * factor, image["adhesion"], rtol=1e-5)
    np.testing.assert_allclose(
        volts["deformation"] * settings.sensitivity, image["deformation"], rtol=1e-5
    )
    np.testing.assert_allclose(volts["log_dmt_modulus"], np.log10(volts["dmt_modulus"]), rtol=1e-5)
    np.testing.assert_array_equal(volts["height"], image["height"])


# --- frames


def test_the_first_line_is_the_lowest_and_the_first_point_the_leftmost() -> None:
    x, y = Frame(center=(5e-6, -2e-6), size=4e-6, aspect=2.0, lines=8, points=16).positions()
    np.testing.assert_allclose(x[:, 0], 3e-6 + 0.125e-6)
    np.testing.assert_allclose(y[0], -3e-6 + 0.125e-6)
    np.testing.assert_allclose(np.diff(y[:, 0]), 0.25e-6)
    np.testing.assert_allclose(np.diff(x[0]), 0.25e-6)


def test_the_fast_axis_turns_with_the_angle() -> None:
    x, y = Frame(size=4e-6, lines=4, points=4, angle=math.pi / 2).positions()
    np.testing.assert_allclose(np.diff(y[0]), 1e-6)
    np.testing.assert_allclose(np.diff(x[0]), 0.0, atol=1e-18)


def test_a_sample_that_drifts_leaves_the_frame_behind() -> None:
    still = Frame(lines=4, points=4, line_time=2.0)
    x, _ = still.positions()
    drifted, _ = replace(still, velocity=(1e-9, 0.0, 0.0)).positions()
    np.testing.assert_allclose((drifted - x)[:, 0], -1e-9 * 2.0 * np.arange(4), atol=1e-18)


def test_a_sample_that_rises_is_seen_to_rise() -> None:
    frame = Frame(lines=10, points=4, velocity=(0.0, 0.0, 0.5e-9))
    height = scan(Uniform(1e12), _QUIET, frame, PeakForceSettings(), np.random.default_rng(0))[
        "height"
    ]
    np.testing.assert_allclose(np.diff(height.mean(axis=1)), 0.5e-9, rtol=1e-3)


def test_a_margin_goes_on_as_the_frame() -> None:
    frame = Frame(lines=4, points=6, angle=0.3, velocity=(2e-9, 1e-9, 0.0))
    for inner, outer in zip(frame.positions(), frame.positions(3), strict=True):
        np.testing.assert_allclose(outer[3:-3, 3:-3], inner)


def test_a_scan_takes_a_line_s_time_a_line() -> None:
    assert scan_time(1.5, 256) == pytest.approx(256 / 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"sample_points": 100},
        {"frequency": 0.0},
        {"setpoint": -1e-9},
        {"min_force_fit": 0.8, "max_force_fit": 0.2},
        {"deformation_fit": 1.5},
        {"poisson": 0.6},
        {"gain": 2.5},
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        replace(PeakForceSettings(), **change)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frame(size=0.0),
        lambda: Frame(lines=1),
        lambda: Frame(line_time=math.nan),
        lambda: ForceProbe(spring_constant=-5.0),
        lambda: ForceProbe(force_noise=-1e-9),
        lambda: ForceProbe(sensitivity_error=0.7),
        lambda: scan_time(0.0, 256),
    ],
)
def test_impossible_frames_and_probes_are_refused(make) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        make()
