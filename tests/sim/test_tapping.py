"""Tapping mode: the phase of a tip that meets the surface once a cycle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sim.copolymer import FORMULATIONS, Copolymer
from sim.peakforce import Frame, ImageNuisance
from sim.surface import Uniform
from sim.tapping import CHANNELS, TappingSettings, phase_scan, tapping_lag, tapping_probe

_R, _K = 8e-9, 40.0


def _law(modulus: float, adhesion: float = 0.0, relaxation: float = 0.0) -> np.ndarray:
    stiffness = 4 / 3 * modulus * math.sqrt(_R)
    touch = (adhesion / stiffness) ** (2 / 3)
    return np.array([[stiffness], [adhesion], [touch], [relaxation]])


def _simulated(modulus: float, relaxation: float, height: float, quality: float) -> complex:
    """Return the deflection at the drive's frequency over its free value, turned by 90 deg."""
    stiffness = 4 / 3 * modulus * math.sqrt(_R)
    free = 60e-9

    def slope(t: float, state: np.ndarray) -> tuple[float, float]:
        z, v = state  # nm, and nm per radian of the drive
        x = max(-(height + 1e-9 * z), 0.0)
        rate = 2 * math.pi * 300e3 * v * 1e-9
        force = stiffness * (x**1.5 - 1.5 * relaxation * math.sqrt(x) * rate)
        drive = free * 1e9 / quality * math.cos(t)
        return v, -z - v / quality + drive + force / _K * 1e9

    last = 2 * math.pi * 260
    t = np.linspace(last - 8 * 2 * math.pi, last, 1600, endpoint=False)
    run = solve_ivp(slope, (0.0, last), (0.0, 0.0), t_eval=t, rtol=1e-7, max_step=0.15)
    return complex(2 * np.mean(run.y[0] * np.exp(-1j * t)) / (free * 1e9) * 1j)


@pytest.mark.parametrize("relaxation", [0.0, 0.04e-6])
def test_the_lag_is_that_of_the_equation_of_motion(relaxation: float) -> None:
    quality = 60.0
    answer = _simulated(1e9, relaxation, 38e-9, quality)
    lag_of_answer = math.pi / 2 - math.atan2(answer.imag, answer.real)
    settings = TappingSettings(300e3, quality, 60e-9, abs(answer))
    lag, _ = tapping_lag(_law(1e9, 0.0, relaxation), _K, settings)
    assert math.degrees(float(lag[0])) == pytest.approx(math.degrees(lag_of_answer), abs=1.5)


@pytest.mark.parametrize("setpoint", [0.5, 0.7, 0.9])
def test_a_surface_that_takes_nothing_leaves_the_sine_of_the_setpoint(setpoint: float) -> None:
    lag, _ = tapping_lag(_law(2e9), _K, TappingSettings(setpoint=setpoint))
    assert math.sin(float(lag[0])) == pytest.approx(setpoint)


def test_the_sine_of_the_lag_counts_the_energy_that_adhesion_takes() -> None:
    settings = TappingSettings()
    law = _law(2e9, 6e-9)
    lag, depth = tapping_lag(law, _K, settings)
    assert depth > law[2]  # so that all of the neck is torn
    lost = 0.6 * 6e-9 * law[2, 0]
    scale = settings.quality_factor / (math.pi * _K * settings.amplitude * settings.free_amplitude)
    assert math.sin(float(lag[0])) - settings.setpoint == pytest.approx(scale * lost, rel=1e-6)


def test_softer_surfaces_are_pressed_deeper() -> None:
    depths = [float(tapping_lag(_law(e), _K, TappingSettings())[1][0]) for e in (2e9, 0.3e9, 40e6)]
    assert depths[0] < depths[1] < depths[2]


@pytest.mark.parametrize("name", ["A2", "C5"])
def test_rubber_is_dark_its_inclusions_lighter_and_the_matrix_bright(name: str) -> None:
    surface, frame = Copolymer(FORMULATIONS[name], 2), Frame(size=10e-6, line_time=0.5)
    image = phase_scan(surface, tapping_probe(), frame, TappingSettings(), np.random.default_rng(0))
    component = surface.component(*frame.positions())
    matrix, rubber, inclusion = (np.median(image["phase"][component == k]) for k in range(3))
    assert rubber + 5 < inclusion < matrix


def test_the_image_is_net_repulsive_throughout() -> None:
    surface, frame = Copolymer(FORMULATIONS["A2"], 2), Frame(size=10e-6, lines=64, points=64)
    image = phase_scan(surface, tapping_probe(), frame, TappingSettings(), np.random.default_rng(0))
    # phase is 90 deg less the lag: above 0 on the repulsive branch, but for noise
    assert np.quantile(image["phase"], 0.001) > 0


def test_an_image_has_height_error_and_phase() -> None:
    image = phase_scan(Uniform(2e9), tapping_probe(), Frame(lines=3, points=5), TappingSettings(),
                       np.random.default_rng(0))  # fmt: skip
    assert list(image) == list(CHANNELS)
    assert all(data.shape == (3, 5) and data.dtype == np.float32 for data in image.values())


def test_a_seed_makes_one_image() -> None:
    arguments = Uniform(2e9, 5e-9), tapping_probe(), Frame(lines=8, points=8), TappingSettings()
    one, same = (phase_scan(*arguments, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one["phase"], same["phase"])


def test_lines_and_drift_shift_the_phase_of_whole_lines() -> None:
    nuisance = ImageNuisance(phase_line_noise=math.radians(2.0), phase_drift=math.radians(0.5))
    frame, rng = Frame(lines=200, points=50), np.random.default_rng(1)
    image = phase_scan(
        Uniform(2e9), tapping_probe(), frame, TappingSettings(), rng, nuisance=nuisance
    )
    phase = image["phase"]
    steps = np.diff(phase.mean(axis=1))
    assert steps.std() == pytest.approx(math.hypot(2.0 * math.sqrt(2), 0.5), rel=0.15)
    assert phase.std(axis=1).mean() < 0.7


def test_probes_and_settings_of_many_days_differ() -> None:
    rng = np.random.default_rng(0)
    assert len({tapping_probe(rng).tip.radius for _ in range(5)}) == 5
    assert len({TappingSettings.drawn(rng).setpoint for _ in range(5)}) == 5


@pytest.mark.parametrize(
    "change", [{"setpoint": 1.0}, {"setpoint": 0.0}, {"frequency": -1.0}, {"quality_factor": 0.0}]
)
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        replace(TappingSettings(), **change)
