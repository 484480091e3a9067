"""The simulated AFM: its spectra, heights and times against closed forms and its own truth."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from afm_bench import BIMODAL, Tapper, quiet
from scipy.constants import Boltzmann

from devices import Comb
from devices.drivers.simulated_afm import AfmParameters, SimulatedAFM
from devices.wire import CancelledError, InstrumentError
from sim.cantilever import Cantilever, Drive, Mode, Tones
from sim.clock import ManualClock

START = 1_700_000_000.0


def _ignore(pixels: int) -> None:
    pass


def _instrument(
    parameters: AfmParameters | None = None, comb: Comb = BIMODAL, engine: Any = None
) -> tuple[SimulatedAFM, ManualClock]:
    clock = ManualClock(START)
    parameters = quiet() if parameters is None else parameters
    afm = SimulatedAFM(parameters, seed=1, clock=clock, engine=engine or Tapper())
    afm.lockin.set_comb(comb)
    return afm, clock


def _go(afm: SimulatedAFM, clock: ManualClock, z: float) -> None:
    clock.advance(afm.head.start_move(z))


def _above(afm: SimulatedAFM, clock: ManualClock, height: float) -> None:
    """Put the resting tip `height` (m) above the surface where the line begins."""
    touch = afm.truth.surface_z(*afm.scanner.points(1), clock.now())
    _go(afm, clock, float(touch[0]) + height)


def _acquire(afm: SimulatedAFM, pixels: int) -> np.ndarray:
    return afm.lockin.acquire(pixels, threading.Event(), _ignore)


def test_off_the_surface_every_volt_acts_on_every_mode() -> None:
    afm, _ = _instrument()
    spectra = _acquire(afm, 1)[0]
    parameters = afm.truth.parameters
    frequencies = np.array(BIMODAL.drive_tones) * BIMODAL.df
    expected = sum(
        gain * mode.response(frequencies) * np.array(BIMODAL.drive_amplitude)
        for gain, mode in zip(parameters.shaker_gain, parameters.cantilever.modes, strict=True)
    )
    driven = [BIMODAL.tones.index(tone) for tone in BIMODAL.drive_tones]
    np.testing.assert_allclose(50e-9 * spectra[driven], expected, rtol=1e-12)
    others = np.delete(spectra, driven)
    np.testing.assert_array_equal(others, np.zeros_like(others))


def test_the_drive_phase_turns_the_motion() -> None:
    afm, _ = _instrument()
    before = _acquire(afm, 1)
    afm.lockin.set_comb(replace(BIMODAL, drive_phase=(0.5, 0.5, 0.5, 0.5)))
    np.testing.assert_allclose(_acquire(afm, 1), before * np.exp(0.5j), atol=1e-18)


def test_a_torsional_mode_is_seen_in_the_torsional_signal() -> None:
    modes = Cantilever((Mode(3e5, 400, 40), Mode(1.9e6, 1000, 2000, axis="y")))
    comb = Comb(1000.0, (300, 300, 1900, 1900), (300, 1900), (0.1, 0.1), axes=(0, 1, 0, 1))
    afm, _ = _instrument(quiet(cantilever=modes), comb)
    flexural, crossed, crossed_too, torsional = np.abs(_acquire(afm, 1)[0])
    assert crossed < 1e-3 * flexural
    assert crossed_too < 1e-1 * torsional


def test_a_pixel_takes_a_period() -> None:
    afm, clock = _instrument()
    before = clock.now()
    _acquire(afm, 100)
    assert clock.now() - before == pytest.approx(100 / 200.0)


def test_the_scanner_flies_back_before_the_next_line() -> None:
    afm, clock = _instrument()
    clock.advance(afm.scanner.set_line((0.0, 0.0, 4e-6, 0.0)))
    _acquire(afm, 10)
    before = clock.now()
    _acquire(afm, 10)
    assert clock.now() - before == pytest.approx(10 / 200.0 + 4e-6 / 100e-6)


def test_the_same_seed_gives_the_same_spectra_and_each_line_its_own_noise() -> None:
    one, _ = _instrument(AfmParameters())
    other, _ = _instrument(AfmParameters())
    first = _acquire(one, 3)
    np.testing.assert_array_equal(first, _acquire(other, 3))
    assert np.all(first != _acquire(one, 3))


def test_thermal_noise_has_the_energy_of_equipartition() -> None:
    afm, _ = _instrument(
        quiet(
            temperature=300.0, cantilever=Cantilever((Mode(3e5, 400, 40.0),)), shaker_gain=(1.0,)
        ),
        Comb(200.0, tuple(range(1, 3500))),
    )
    tones = 50e-9 * _acquire(afm, 40)
    energy = 40.0 * np.mean(np.sum(np.abs(tones) ** 2, axis=1) / 2)
    assert energy == pytest.approx(Boltzmann * 300.0, rel=0.1)


def test_detector_noise_has_its_density_in_both_quadratures() -> None:
    comb = Comb(200.0, tuple(range(4000, 4100)))
    afm, _ = _instrument(quiet(detector_noise=(100e-15, 0.0)), comb)
    tones = 50e-9 * _acquire(afm, 200)
    for part in (tones.real, tones.imag):
        assert part.std() == pytest.approx(100e-15 * np.sqrt(200.0), rel=0.02)


def test_a_drive_that_is_switched_off_moves_nothing() -> None:
    afm, _ = _instrument()
    afm.lockin.switch_off()
    np.testing.assert_array_equal(_acquire(afm, 2), np.zeros((2, 48)))
    afm.lockin.set_comb(BIMODAL)
    assert np.any(_acquire(afm, 2))


def test_tuning_gives_whole_periods_of_whole_samples() -> None:
    afm, _ = _instrument()
    frequency, df = afm.lockin.tune(300_123.4, 199.99)
    assert frequency / df == pytest.approx(round(frequency / df), abs=1e-9)
    assert afm.lockin.sample_rate / df == pytest.approx(
        round(afm.lockin.sample_rate / df), abs=1e-9
    )
    assert df == pytest.approx(199.99, rel=1e-5)


def test_the_head_goes_at_its_speed_and_withdraws_faster() -> None:
    afm, clock = _instrument()
    assert afm.head.read().withdrawn
    duration = afm.head.start_move(3e-6)
    clock.advance(0.5 * duration)
    reading = afm.head.read()
    assert (reading.moving, reading.withdrawn) == (True, False)
    assert reading.z == pytest.approx(4e-6)
    afm.head.withdraw()
    clock.advance(0.5 * duration)
    assert afm.head.read().withdrawn


def test_a_stopped_head_stays_where_it_is() -> None:
    afm, clock = _instrument()
    clock.advance(0.25 * afm.head.start_move(1e-6))
    afm.head.stop()
    clock.advance(10.0)
    reading = afm.head.read()
    assert (reading.z, reading.moving) == (pytest.approx(4e-6), False)


def test_a_resting_tip_in_the_surface_is_bent_by_how_deep_it_is() -> None:
    afm, clock = _instrument()
    _above(afm, clock, 5e-9)
    assert afm.head.read().deflection == 0.0
    _above(afm, clock, -5e-9)
    assert 50e-9 * afm.head.read().deflection == pytest.approx(5e-9, rel=0.02)


def test_the_surface_drifts() -> None:
    afm, clock = _instrument(quiet(drift=(1e-9, 0.0, 2e-12)))
    x, y = np.linspace(0, 1e-6, 50), np.zeros(50)
    before = afm.truth.surface_z(x, y, clock.now())
    np.testing.assert_allclose(
        afm.truth.surface_z(x + 10e-9, y, clock.now() + 10.0), before + 20e-12, atol=1e-18
    )


def test_the_line_goes_from_its_start_to_its_end_over_the_middles_of_the_pixels() -> None:
    afm, clock = _instrument()
    clock.advance(afm.scanner.set_line((1e-6, 0.0, 3e-6, 1e-6)))
    reading = afm.scanner.read()
    assert (reading.x, reading.y) == (1e-6, 0.0)
    x, y = afm.scanner.points(2)
    np.testing.assert_allclose((x, y), ((1.5e-6, 2.5e-6), (0.25e-6, 0.75e-6)))
    _acquire(afm, 2)
    reading = afm.scanner.read()
    assert (reading.x, reading.y) == (3e-6, 1e-6)


def test_the_feedback_follows_the_relief_line_by_line() -> None:
    afm, clock = _instrument()
    clock.advance(afm.scanner.set_line((0.0, 0.0, 1e-6, 0.0)))
    _above(afm, clock, 22e-9)
    afm.head.follow(8e-9 / 50e-9)
    for _ in range(29):
        _acquire(afm, 64)
    spectra = _acquire(afm, 64)
    driven = list(BIMODAL.driven())
    amplitude = 50e-9 * np.sqrt((np.abs(spectra[:, driven]) ** 2).sum(axis=1))
    np.testing.assert_allclose(amplitude, 8e-9, atol=0.05e-9)
    surface = afm.truth.surface_z(*afm.scanner.points(64), clock.now())
    assert np.ptp(surface) > 3e-9
    assert np.ptp(afm.head.trace(64) - surface) < 0.2e-9


def test_a_head_that_does_not_follow_keeps_its_height() -> None:
    afm, clock = _instrument()
    clock.advance(afm.scanner.set_line((0.0, 0.0, 1e-6, 0.0)))
    _above(afm, clock, 15e-9)
    z = afm.head.read().z
    _acquire(afm, 16)
    _acquire(afm, 16)
    np.testing.assert_allclose(afm.head.trace(16), z)


def test_a_profile_that_was_learnt_is_lifted_as_a_whole() -> None:
    afm, clock = _instrument()
    clock.advance(afm.scanner.set_line((0.0, 0.0, 1e-6, 0.0)))
    _above(afm, clock, 22e-9)
    afm.head.follow(8e-9 / 50e-9)
    for _ in range(10):
        _acquire(afm, 32)
    afm.head.follow(None)
    _acquire(afm, 32)
    low = afm.head.trace(32)
    _go(afm, clock, afm.head.read().z + 200e-9)
    _acquire(afm, 32)
    np.testing.assert_allclose(afm.head.trace(32), low + 200e-9)


def test_a_line_that_ends_as_the_tip_is_withdrawn_leaves_it_withdrawn() -> None:
    afm, clock = _instrument()
    _above(afm, clock, 15e-9)
    afm.head.follow(8e-9 / 50e-9)
    afm.lockin.acquire(4, threading.Event(), lambda done: afm.head.withdraw())
    clock.advance(1.0)
    assert afm.head.read().withdrawn


def test_an_abort_ends_a_line_before_its_end() -> None:
    afm, _ = _instrument()
    abort = threading.Event()
    with pytest.raises(CancelledError):
        afm.lockin.acquire(200, abort, lambda done: abort.set())


def test_progress_tells_the_pixels_that_are_done() -> None:
    afm, _ = _instrument()
    told: list[int] = []
    afm.lockin.acquire(130, threading.Event(), told.append)
    assert told == [64, 128, 130]


def test_a_tip_deep_in_the_sample_is_reported() -> None:
    afm, clock = _instrument()
    _above(afm, clock, -60e-9)
    with pytest.raises(InstrumentError, match=r"pressed 6\d nm into the sample at pixel 0"):
        _acquire(afm, 1)


def test_gains_for_other_modes_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="1 shaker gains for 2 modes"):
        quiet(shaker_gain=(1.0,))


@pytest.mark.slow  # numba may compile
@pytest.mark.timeout(300)
def test_a_pixel_is_the_engines_answer_for_what_lies_under_it() -> None:
    from sim.cantilever import FastEngine

    engine = FastEngine()
    afm, clock = _instrument(engine=engine)
    clock.advance(afm.scanner.set_line((0.0, 0.0, 1e-6, 0.0)))
    _above(afm, clock, 17e-9)
    begun = clock.now()
    volts = _acquire(afm, 8)
    x, y = afm.scanner.points(8)
    times = begun + (np.arange(8) + 0.5) / BIMODAL.df
    truth = afm.truth
    np.testing.assert_allclose(
        truth.heights, afm.head.trace(8) - truth.surface_z(x, y, times), atol=1e-18
    )
    forces = truth.surface.forces(x, y, 10e-9)
    gains = np.array(truth.parameters.shaker_gain)
    drive = Drive(
        BIMODAL.df, BIMODAL.drive_tones, np.outer(gains, np.array(BIMODAL.drive_amplitude))
    )
    expected = engine.simulate(
        truth.parameters.cantilever, drive, forces, truth.heights, Tones(BIMODAL.tones)
    )
    np.testing.assert_allclose(50e-9 * volts, expected.z, rtol=1e-12)
    np.testing.assert_allclose(truth.closest, expected.closest)
    assert truth.closest.min() < 0
