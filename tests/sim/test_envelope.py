"""The envelope engine against converged tones, closed forms and the engine that follows all."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ive

from sim.cantilever import Cantilever, Drive, ExactEngine, Mode, Tones, free_spectra, paper
from sim.cantilever._envelope_average import Orbits, averages
from sim.cantilever.envelope import EnvelopeEngine
from sim.forces import ExponentialDamping, Force, Morse, NoForce, VdwDmt

DATA = Path(__file__).parents[1] / "data" / "imafm"
NM = 1e-9
RIGID = Orbits((2 * np.pi * 300e3, 2 * np.pi * 1.89e6), (np.inf, np.inf), lateral=False)


@pytest.fixture(scope="module")
def engine() -> EnvelopeEngine:
    """An engine whose code is compiled, with the tables of the first case."""
    engine = EnvelopeEngine()
    cantilever, drive, force, height, tones = paper.case_1()
    engine.simulate(cantilever, drive, force, [height], tones)
    return engine


def error(found: np.ndarray, truth: np.ndarray, free: np.ndarray) -> float:
    """Return how far tones are off, as a part of what the surface changes."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth - free))


@pytest.mark.parametrize(
    ("name", "cubic", "allowed"), [("0", 0.0, 5e-4), ("1e-5", 1e-5, 5e-4), ("1e-4", 1e-4, 1e-3)]
)
def test_two_flexural_modes_have_the_converged_tones(engine, name, cubic, allowed):
    cantilever, drive, force, height, tones = paper.case_1(cubic)
    truth = np.load(DATA / f"case1_g3_{name}.npz")
    z = engine.simulate(cantilever, drive, force, [height], tones).z[0]
    assert error(z[:64], truth["Z1"] * NM, truth["Z1_free"] * NM) < allowed
    assert error(z[64:], truth["Z2"] * NM, truth["Z2_free"] * NM) < allowed


@pytest.mark.parametrize(("name", "c3"), [("0", 0.0), ("0.1", 1e17)])
def test_a_flexural_and_a_torsional_mode_have_the_converged_tones(engine, name, c3):
    cantilever, drive, force, height, tones = paper.case_2(c3)
    truth = np.load(DATA / f"case2_c3_{name}.npz")
    spectra = engine.simulate(cantilever, drive, force, [height], tones)
    assert error(spectra.z[0], truth["Z1"] * NM, truth["Z1_free"] * NM) < 1e-3
    assert error(spectra.y[0], truth["Y2"] * NM, truth["Y2_free"] * NM) < 1.5e-3


def test_the_closest_approach_is_the_converged_one_to_20_pm(engine):
    cantilever, drive, force, height, tones = paper.case_1()
    truth = np.load(DATA / "case1_g3_0.npz")["d_min"] * NM
    found = engine.simulate(cantilever, drive, force, [height], tones).closest
    assert found == pytest.approx(truth, abs=0.02 * NM)


def test_without_a_surface_the_motion_is_the_free_one(engine):
    cantilever, drive, _, height, tones = paper.case_1()
    spectra = engine.simulate(cantilever, drive, NoForce(), [height], tones)
    np.testing.assert_allclose(
        spectra.z, free_spectra(cantilever, drive, tones).z, rtol=0, atol=1e-20
    )


def test_the_average_of_exponential_damping_is_a_bessel_function():
    """2 <F exp(-i phase)> = -2 i gamma w r exp(-h / lambda) I_1(r / lambda) lambda / r."""
    damping, decay, height = 2.2e-7, 1.5 * NM, 17 * NM
    radii = np.array([[8.0, 0.0], [14.0, 0.0], [16.9, 0.0]]) * NM
    force = ExponentialDamping(damping, 0.0, decay)
    for r in radii:
        depth = height - r[0]
        found = averages(force, RIGID, RIGID.response(), depth, r[None], 2 * decay, 32)[0]
        bessel = ive(1, r[0] / decay) * decay * np.exp(-depth / decay)
        expected = -2 * damping * RIGID.frequencies[0] * bessel
        np.testing.assert_allclose(found, [0.0, expected, 0.0, 0.0], rtol=1e-9, atol=1e-20)


def test_the_average_of_a_van_der_waals_force_has_its_closed_form():
    """2 <F cos(phase)> = (H R / 3) r / (h^2 - r^2)^(3/2), Giessibl 1997."""
    height, r = 17 * NM, 15 * NM
    found = averages(
        VdwDmt(7.1e-20, 10 * NM, 1e9), RIGID, RIGID.response(), height - r,
        np.array([[r, 0.0]]), height - r, 32,
    )[0]  # fmt: skip
    expected = 7.1e-20 * 10 * NM / 3 * r / (height**2 - r**2) ** 1.5
    np.testing.assert_allclose(found, [expected, 0.0, 0.0, 0.0], rtol=1e-9, atol=1e-20)


def test_pixels_of_a_line_do_not_know_of_each_other(engine):
    cantilever, drive, force, _, tones = paper.case_1()
    heights = np.array([18.0, 15.5, 21.0, 15.5, 17.0]) * NM
    line = engine.simulate(cantilever, drive, force, heights, tones)
    alone = [engine.simulate(cantilever, drive, force, [h], tones).z[0] for h in heights]
    np.testing.assert_allclose(line.z, alone, rtol=0, atol=1e-15)


def test_each_pixel_has_its_own_force(engine):
    cantilever, drive, force, height, tones = paper.case_1()
    other = paper.case_1(1e-4)[2]
    both = engine.simulate(cantilever, drive, [other, force, other], [height] * 3, tones).z
    for row, law in zip(both, (other, force, other), strict=True):
        alone = engine.simulate(cantilever, drive, law, [height], tones).z[0]
        np.testing.assert_allclose(row, alone, rtol=0, atol=1e-15)


def test_when_the_measurement_begins_does_not_change_steady_tones(engine):
    cantilever, drive, force, height, tones = paper.case_1()
    longer = EnvelopeEngine(settling=15.0).simulate(cantilever, drive, force, [height], tones)
    usual = engine.simulate(cantilever, drive, force, [height], tones)
    free = free_spectra(cantilever, drive, tones).z
    assert error(usual.z, longer.z, free) < 1e-5


def against_all_motion(
    cantilever: Cantilever, drive: Drive, force: Force, height: float, tones: Tones
) -> float:
    arguments = (cantilever, drive, force, [height], tones)
    truth = ExactEngine(1e-8).simulate(*arguments).z
    found = EnvelopeEngine().simulate(*arguments).z
    return error(found, truth, free_spectra(cantilever, drive, tones).z)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "allowed"), [(14 * NM, 1e-3), (20 * NM, 1e-3), (22 * NM, 3e-3)])
def test_other_heights_agree_with_the_motion_followed_exactly(height, allowed):
    cantilever, drive, force, _, tones = paper.case_1()
    assert against_all_motion(cantilever, drive, force, height, tones) < allowed


@pytest.mark.slow
def test_a_stiff_surface_takes_shorter_steps_and_agrees():
    cantilever, drive, _, height, tones = paper.case_1()
    force = VdwDmt(7.1e-20, 10 * NM, 10e9) + ExponentialDamping(2.2e-7)
    assert against_all_motion(cantilever, drive, force, height, tones) < 2e-3


@pytest.mark.slow
def test_a_morse_force_agrees_with_the_motion_followed_exactly():
    cantilever, drive, _, height, tones = paper.case_1()
    force = Morse(3e-18, 1 * NM, 1 * NM) + ExponentialDamping(2.2e-7)
    assert against_all_motion(cantilever, drive, force, height, tones) < 6e-3


@pytest.mark.slow
def test_one_flexural_mode_agrees_with_the_motion_followed_exactly():
    cantilever = Cantilever((Mode(300.1e3, 400.0, 40.0),))
    drive = Drive.for_amplitudes(cantilever, 200.0, ((1500, 10 * NM, 0), (1501, 10 * NM, 0)))
    tones = Tones(z=tuple(range(1480, 1520)))
    force = paper.case_1()[2]
    assert against_all_motion(cantilever, drive, force, 17 * NM, tones) < 2e-3


def refused(**changes) -> str:
    """Return the line with which the first case is refused after changes."""
    cantilever, drive, force, height, tones = paper.case_1()
    arguments = {
        "cantilever": cantilever, "drive": drive, "forces": force, "heights": [height],
        "tones": tones,
    } | changes  # fmt: skip
    with pytest.raises(ValueError, match="not allowed") as caught:
        EnvelopeEngine(materials=2).simulate(**arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_modes_of_another_kind_are_refused():
    modes = paper.case_2()[0].modes
    assert "z, z and z, or z and y" in refused(cantilever=Cantilever((*modes, modes[0])))


def test_a_drive_without_force_is_refused():
    cantilever, drive, _, _, _ = paper.case_1()
    still = Drive(drive.df, drive.tones, 0 * drive.forces)
    assert "a drive without force along z" in refused(cantilever=cantilever, drive=still)


def test_modes_whose_overtones_meet_are_refused():
    first, second = paper.case_1()[0].modes
    double = Mode(2 * first.frequency, second.quality_factor, second.spring_constant)
    cantilever = Cantilever((first, double))
    drive = Drive.for_amplitudes(cantilever, 200.0, ((1500, 5 * NM, 0), (3001, 5 * NM, 1)))
    line = refused(cantilever=cantilever, drive=drive, tones=Tones(z=(1500,)))
    assert "is a resonance" in line


def test_tones_far_from_the_modes_are_refused():
    assert "z tones: tone 3000 is not allowed" in refused(tones=Tones(z=(1500, 3000)))


def test_lateral_tones_without_a_lateral_mode_are_refused():
    assert "no mode moves along it" in refused(tones=Tones(y=(9450,)))


@pytest.mark.parametrize("height", [0.0, -1 * NM, np.nan, np.inf, 17.0])
def test_heights_that_are_none_are_refused(height):
    assert "1 to 1000 nm above the surface" in refused(heights=[height])


def test_more_laws_than_tables_are_refused():
    laws = [VdwDmt(7.1e-20, 10 * NM, modulus) for modulus in (1e9, 2e9, 3e9)]
    assert "3 different force laws" in refused(forces=laws, heights=[17 * NM] * 3)


def test_a_number_of_forces_that_is_not_that_of_pixels_is_refused():
    assert "2 forces" in refused(forces=[paper.case_1()[2]] * 2)


@pytest.mark.slow
def test_a_wall_too_steep_for_averaging_is_refused():
    assert "not resolved" in refused(forces=Morse(1e-18, 0.4 * NM, 0.1 * NM))


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 10), ("steps", 130), ("settling", -1.0), ("materials", 0)]
)
def test_parameters_that_cannot_be_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} .* is not allowed"):
        EnvelopeEngine(**{name: value})
