"""PeakForce tapping: force curves, the channels read from them, and what sampling does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from sim.peakforce import (
    ForceProbe,
    Frame,
    PeakForceSettings,
    force_curve,
    read_curve,
    scan,
)
from sim.surface import Contact, Uniform

_R, _K = 30e-9, 5.0
_FINE = PeakForceSettings(amplitude=100e-9, sample_points=1024, poisson=0.0)
_QUIET = ForceProbe(force_noise=0.0)


def _contact(modulus: float, adhesion: float = 0.0, **more: float) -> Contact:
    return Uniform(modulus, adhesion, **more).contact([0.0], [0.0], _R)


def _stiffness(modulus: float) -> float:
    return 4 / 3 * modulus * math.sqrt(_R)


# --- a force curve


@pytest.mark.parametrize("modulus", [43e6, 1.9e9])
def test_spring_and_contact_balance_at_every_sample(modulus: float) -> None:
    z, force = force_curve(_contact(modulus, 10e-9), _QUIET, _FINE, 30e-9)
    stiffness = _stiffness(modulus)
    lowest = (40e-9 / stiffness) ** (2 / 3) + 30e-9 / _K
    for i in (512, 530, 560):

        def excess(x: float, i: int = i) -> float:
            return stiffness * x**1.5 - 10e-9 - _K * (lowest + z[i] - x)

        x = float(brentq(excess, 0.0, 1e-7, xtol=1e-18))  # pyright: ignore[reportArgumentType]
        assert force[i] == pytest.approx(stiffness * x**1.5 - 10e-9, abs=1e-15)


def test_the_peak_is_the_force_that_was_asked_for() -> None:
    _, force = force_curve(_contact(43e6, 22e-9), _QUIET, _FINE, 30e-9)
    assert force.argmax() == force.size // 2
    assert force.max() == pytest.approx(30e-9, rel=1e-9)


def test_the_tip_comes_off_at_the_adhesion() -> None:
    _, force = force_curve(_contact(43e6, 22e-9), _QUIET, _FINE, 30e-9)
    assert force.min() == pytest.approx(-22e-9, rel=0.01)
    assert force[-1] == 0.0


def test_the_tip_snaps_in_more_gently() -> None:
    _, force = force_curve(_contact(43e6, 22e-9, snap_in=4e-9), _QUIET, _FINE, 30e-9)
    approach = force[:512]
    assert -4e-9 < approach.min() < -2e-9  # the spring gives way


def test_without_adhesion_nothing_is_lost() -> None:
    z, force = force_curve(_contact(43e6), _QUIET, _FINE, 30e-9)
    np.testing.assert_allclose(force[512:], force[512:0:-1], atol=1e-18)
    assert read_curve(force, _FINE)["dissipation"] == pytest.approx(0.0, abs=1e-24)
    assert z.max() == 0.0


@pytest.mark.parametrize(("modulus", "adhesion"), [(43e6, 22e-9), (170e6, 22e-9), (1.9e9, 9e-9)])
def test_adhesion_costs_the_energy_under_its_branch_and_that_of_the_spring(
    modulus: float, adhesion: float
) -> None:
    fine = replace(_FINE, amplitude=50e-9)
    _, force = force_curve(_contact(modulus, adhesion), _QUIET, fine, 30e-9)
    neck = (adhesion / _stiffness(modulus)) ** (2 / 3)
    expected = 0.6 * adhesion * neck + adhesion**2 / (2 * _K)
    assert read_curve(force, fine)["dissipation"] == pytest.approx(expected, rel=0.03)


def test_a_viscous_contact_loses_the_work_of_its_dashpot() -> None:
    modulus, relaxation, stiff = 43e6, 50e-9, replace(_QUIET, spring_constant=5e3)
    settings = replace(_FINE, spring_constant=5e3)
    _, force = force_curve(_contact(modulus, relaxation=relaxation), stiff, settings, 30e-9)
    depth = (30e-9 / _stiffness(modulus)) ** (2 / 3)
    rate = 2 * math.pi * settings.frequency
    span = math.acos(1 - depth / settings.amplitude)

    def power(phase: float) -> float:  # per radian: 3/2 K tau sqrt(x) v^2
        x = depth - settings.amplitude * (1 - math.cos(phase))
        v = settings.amplitude * rate * math.sin(phase)
        return 1.5 * _stiffness(modulus) * relaxation * math.sqrt(max(x, 0.0)) * v**2 / rate

    expected, _ = quad(power, -span, span)
    assert read_curve(force, settings)["dissipation"] == pytest.approx(expected, rel=0.01)


def test_a_lag_of_the_force_is_taken_for_a_loss() -> None:
    flat, late = (
        scan(Uniform(43e6), replace(_QUIET, synchronisation=lag), Frame(lines=2, points=2), _FINE,
             np.random.default_rng(0))["dissipation"].mean()
        for lag in (0.0, 1e-6)
    )  # fmt: skip
    assert flat == pytest.approx(0.0, abs=1e-20)
    assert abs(late) > 1e-17


# --- the channels of a curve


@pytest.mark.parametrize("modulus", [10e6, 43e6, 170e6])
def test_the_modulus_of_a_dmt_contact_is_found(modulus: float) -> None:
    _, force = force_curve(_contact(modulus, 15e-9), _QUIET, _FINE, 30e-9)
    assert read_curve(force, _FINE)["dmt_modulus"] == pytest.approx(modulus, rel=0.005)


def test_the_modulus_is_stated_for_the_poisson_s_ratio_of_the_settings() -> None:
    _, force = force_curve(_contact(43e6), _QUIET, _FINE, 30e-9)
    stated = read_curve(force, replace(_FINE, poisson=0.5))["dmt_modulus"]
    assert stated == pytest.approx(0.75 * read_curve(force, _FINE)["dmt_modulus"])


def test_a_fit_without_the_adhesion_finds_a_hertz_contact_only() -> None:
    settings = replace(_FINE, include_adhesion=False)
    _, free = force_curve(_contact(43e6), _QUIET, settings, 30e-9)
    _, sticky = force_curve(_contact(43e6, 22e-9), _QUIET, settings, 30e-9)
    assert read_curve(free, settings)["dmt_modulus"] == pytest.approx(43e6, rel=0.005)
    assert read_curve(sticky, settings)["dmt_modulus"] > 1.2 * 43e6


def test_the_deformation_is_the_way_from_the_threshold_to_the_peak() -> None:
    _, force = force_curve(_contact(43e6, 22e-9), _QUIET, _FINE, 30e-9)
    depths = (np.array([30e-9, 4.5e-9]) + 22e-9) / _stiffness(43e6)
    expected = -np.diff(depths ** (2 / 3))[0]
    assert read_curve(force, _FINE)["deformation"] == pytest.approx(expected, rel=0.003)


def test_the_channels_refer_to_the_base_line() -> None:
    _, force = force_curve(_contact(43e6, 22e-9), _QUIET, _FINE, 30e-9)
    plain, lifted = read_curve(force, _FINE), read_curve(force + 3e-9, _FINE)
    assert lifted == pytest.approx(plain, rel=1e-6)


def test_a_curve_without_contact_is_read_without_fault() -> None:
    rng = np.random.default_rng(1)
    read = read_curve(0.25e-9 * rng.standard_normal(1024), _FINE)
    assert all(math.isfinite(value) for value in read.values())
    assert read["peak_force_error"] == pytest.approx(-30e-9, abs=1e-9)


# --- sampling, the table of figures for 30 nN, 100 nm, 0.25 nN of noise, 4000 curves

_SAMPLED = [
    (43e6, 22e-9, 64, 44.8, 19.9, 11.4, 260),
    (43e6, 22e-9, 256, 43.0, 22.0, 11.3, 286),
    (43e6, 22e-9, 1024, 42.8, 22.1, 11.2, 270),
    (170e6, 22e-9, 64, 206, 12.9, 4.68, 76),
    (170e6, 22e-9, 256, 174, 20.7, 4.48, 125),
    (170e6, 22e-9, 1024, 169, 22.0, 4.44, 136),
    (1.9e9, 9e-9, 64, 2290, 1.5, 1.20, 4.6),
    (1.9e9, 9e-9, 256, 1830, 8.6, 1.08, 16),
    (1.9e9, 9e-9, 1024, 1816, 8.6, 1.04, 13),
]


@pytest.mark.parametrize("row", _SAMPLED, ids=lambda row: f"{row[0] / 1e6:.0f} MPa, {row[2]}")
def test_sampling_biases_the_channels_as_the_table_says(row: tuple[float, ...]) -> None:
    modulus, adhesion, points, *expected = row
    settings = replace(_FINE, sample_points=int(points))
    frame = Frame(lines=64, points=64, line_time=64 / 1000)
    image = scan(
        Uniform(modulus, adhesion), ForceProbe(), frame, settings, np.random.default_rng(2)
    )
    names = ("dmt_modulus", "adhesion", "deformation", "dissipation")
    for name, unit, figure in zip(names, (1e6, 1e-9, 1e-9, 1e-18), expected, strict=True):
        data = image[name].astype(np.float64) / unit
        # the noise of a curve, and 2 % for how the threshold's crossing is found among samples
        assert np.median(data) == pytest.approx(figure, abs=data.std() + 0.02 * figure), name


@pytest.mark.parametrize(("points", "spread"), [(64, 42), (256, 12), (1024, 5)])
def test_the_probe_is_unfit_for_the_matrix_at_few_points(points: int, spread: float) -> None:
    settings = replace(_FINE, sample_points=points)
    image = scan(
        Uniform(1.9e9, 9e-9), ForceProbe(), Frame(lines=64, points=64), settings,
        np.random.default_rng(3),
    )["dmt_modulus"]  # fmt: skip
    assert 100 * image.std() / image.mean() == pytest.approx(spread, rel=0.15)
