"""The engines against converged tones, closed forms, CVODE and each other."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numba.extending import register_jitable
from sksundae.cvode import CVODE

from sim.cantilever import (
    Cantilever,
    Drive,
    ExactEngine,
    FastEngine,
    Mode,
    Tones,
    free_spectra,
)
from sim.cantilever.paper import case_1, case_2
from sim.forces import ExponentialDamping, Force, Jkr, LateralWell, NoForce, VdwDmt

CONTACT = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
# compiling a law takes seconds, and many of them where the machine is busy
pytestmark = pytest.mark.timeout(240)

DATA = Path(__file__).parents[1] / "data" / "imafm"
_NM = 1e-9


@register_jitable
def _pull(d, y, vz, vy, p, o):
    return -p[o] * (d - p[o + 1]), -p[o + 2] * y


@dataclass(frozen=True)
class Springs(Force):
    """Linear springs to a height and to the middle: with them the motion has a closed form."""

    across: float
    rest: float
    along: float

    def components(self, d, y, vz, vy):
        return -self.across * (np.asarray(d) - self.rest), -self.along * np.asarray(y)

    @property
    def kernels(self):
        return (_pull,)

    @property
    def parameters(self):
        return np.array([self.across, self.rest, self.along])


CASES = {
    "case1_g3_0": (case_1(0.0), "Z2"),
    "case1_g3_1e-5": (case_1(1e-5), "Z2"),
    "case1_g3_1e-4": (case_1(1e-4), "Z2"),
    "case2_c3_0": (case_2(0.0), "Y2"),
    "case2_c3_0.1": (case_2(1e17), "Y2"),
}


def missed(engine, name):
    """By how much the tones miss the converged ones, as a part of what the surface changes."""
    (cantilever, drive, force, height, tones), second = CASES[name]
    spectra = engine.simulate(cantilever, drive, force, [height], tones)
    truth = np.load(DATA / f"{name}.npz")
    found = np.concatenate([spectra.z[0], spectra.y[0]]) / _NM
    return max(
        np.linalg.norm(part - truth[band]) / np.linalg.norm(truth[band] - truth[f"{band}_free"])
        for part, band in ((found[:64], "Z1"), (found[64:], second))
    )


# without dissipation the second case takes two periods to settle within 1e-6
@pytest.mark.parametrize("name", CASES)
def test_the_exact_engine_meets_the_converged_tones(name):
    assert missed(ExactEngine(settling=2), name) < 1.5e-6


@pytest.mark.parametrize("name", CASES)
def test_the_fast_engine_comes_within_2e_3_of_the_converged_tones(name):
    assert missed(FastEngine(), name) < 2e-3


def test_in_double_precision_the_fast_engine_converges():
    assert missed(FastEngine(steps_per_cycle=80, dtype="float64"), "case1_g3_0") < 2e-4


def test_the_mean_deflection_is_that_of_the_reference():
    cantilever, drive, force, height, _ = case_1()
    spectra = ExactEngine().simulate(cantilever, drive, force, [height], Tones(z=(0,)))
    truth = float(np.load(DATA / "case1_g3_0.npz")["mean_z"])
    assert spectra.z[0, 0] == pytest.approx(truth * _NM, rel=1e-5)


# the reference takes its least distance at its own steps, and so a little short of the turn
def test_the_closest_approach_is_that_of_the_reference():
    cantilever, drive, force, height, tones = case_1()
    spectra = ExactEngine().simulate(cantilever, drive, force, [height], tones)
    truth = float(np.load(DATA / "case1_g3_0.npz")["d_min"])
    assert truth * _NM - 0.02e-9 < spectra.closest[0] < truth * _NM


def springy():
    first, drive, _, height, tones = case_1()
    modes = (*first.modes, replace(first.modes[0], frequency=250e3, axis="y"))
    cantilever = Cantilever(modes)
    forces = np.vstack([drive.forces, 0.3 * drive.forces[:1]])
    wanted = Tones(z=(0, *tones.z, 11000), y=tones.z[:64])
    return cantilever, replace(drive, forces=forces), height, wanted


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        (ExactEngine(settling=3), 1e-7),
        (FastEngine(dtype="float64", settling=3, lanes=16), 1e-3),
    ],
)
def test_springs_shift_the_resonances_as_in_the_closed_form(engine, error):
    cantilever, drive, height, tones = springy()
    law = Springs(across=0.05, rest=height - 1e-9, along=0.02)
    spectra = engine.simulate(cantilever, drive, law, [height], tones)
    free = free_spectra(cantilever, drive, tones)
    for axis, spring, steady in (("z", 0.05, -0.05e-9), ("y", 0.02, 0.0)):
        numbers = np.array(getattr(tones, axis))
        chi = cantilever.response(numbers * drive.df, axis)
        expected = (getattr(free, axis)[0] + np.where(numbers == 0, chi * steady, 0)) / (
            1 + chi * spring
        )
        change = np.linalg.norm(expected - getattr(free, axis)[0])
        assert np.linalg.norm(getattr(spectra, axis)[0] - expected) < error * change


def soft():
    """A short period with a low quality factor, in which another integrator finishes too."""
    mode = Mode(frequency=30e3, quality_factor=3.0, spring_constant=1.0)
    cantilever = Cantilever((mode,))
    drive = Drive.for_amplitudes(cantilever, 2e3, [(14, 4e-9, 0), (16, 4e-9, 0)])
    force = VdwDmt(hamaker=1e-20, radius=10e-9, modulus=1e7) + ExponentialDamping(1e-6, 0.0, 2e-9)
    return cantilever, drive, force, 6e-9, Tones(z=(0, 2, 12, 13, 14, 15, 16, 18, 30, 45))


@pytest.fixture(scope="module")
def soft_truth():
    cantilever, drive, force, height, tones = soft()
    mode = cantilever.modes[0]
    rate = 2 * np.pi * mode.frequency
    spin = 2 * np.pi * drive.df * np.array(drive.tones)

    def slope(t, state, out):
        pull = force.components(height + state[0], 0, state[1] * rate, 0)[0]
        drive_force = (drive.forces[0] * np.exp(1j * spin * t)).real.sum()
        out[0] = rate * state[1]
        out[1] = rate * (
            (pull + drive_force) / mode.spring_constant - state[0] - state[1] / mode.quality_factor
        )

    samples, period = 2048, 1 / drive.df
    times = np.concatenate([[0.0], period * (2 + np.arange(samples) / samples)])
    solver = CVODE(slope, method="Adams", rtol=1e-10, atol=1e-18, max_num_steps=100_000)
    z = solver.solve(times, np.zeros(2)).y[1:, 0]
    values = np.fft.rfft(z) / samples
    return np.where(np.array(tones.z) == 0, 1, 2) * values[list(tones.z)]


def test_the_exact_engine_agrees_with_cvode(soft_truth):
    spectra = ExactEngine(tolerance=1e-10, settling=3).simulate(*arguments(soft()))
    np.testing.assert_allclose(spectra.z[0], soft_truth, rtol=0, atol=1e-7 * 4e-9)


def test_the_fast_engine_agrees_with_cvode(soft_truth):
    engine = FastEngine(steps_per_cycle=200, settling=3)
    spectra = engine.simulate(*arguments(soft()))
    np.testing.assert_allclose(spectra.z[0], soft_truth, rtol=0, atol=1e-3 * 4e-9)


def arguments(case, pixels=1):
    cantilever, drive, force, height, tones = case
    return cantilever, drive, force, [height] * pixels, tones


def work_of_the_surface(case):
    """Work of the tip's force in a period, from the tones: negative where energy is lost."""
    cantilever, drive, _, _, tones = case
    spectra = ExactEngine(settling=2).simulate(*arguments(case))
    free = free_spectra(cantilever, drive, tones)
    frequencies = np.array(tones.z) * drive.df
    force = (spectra.z - free.z)[0] / cantilever.response(frequencies)
    power = 0.5 * (force * np.conj(2j * np.pi * frequencies * spectra.z[0])).real.sum()
    return power / drive.df


def test_a_conservative_force_does_no_work_in_a_period():
    cantilever, drive, _, height, tones = case_1()
    without = ExponentialDamping(linear=0.0)
    lossless = (cantilever, drive, CONTACT + without, height, tones)
    lossy = work_of_the_surface(case_1())
    assert lossy < 0
    assert abs(work_of_the_surface(lossless)) < 1e-3 * abs(lossy)


@pytest.mark.parametrize("engine", [ExactEngine(), FastEngine()])
def test_without_a_force_the_motion_is_the_free_one(engine):
    cantilever, drive, _, height, tones = case_1()
    spectra = engine.simulate(cantilever, drive, NoForce(), [height, 1e-6], tones)
    free = free_spectra(cantilever, drive, tones)
    np.testing.assert_array_equal(spectra.z, np.repeat(free.z, 2, axis=0))


def test_far_away_the_motion_is_the_free_one():
    cantilever, drive, force, _, tones = case_1()
    spectra = FastEngine().simulate(cantilever, drive, force, [1e-3], tones)
    free = free_spectra(cantilever, drive, tones)
    np.testing.assert_allclose(spectra.z, free.z, rtol=0, atol=1e-18)


def test_every_pixel_has_its_own_height_and_force():
    cantilever, drive, _, height, tones = case_1()
    count = 70  # more than go abreast
    heights = height + np.linspace(0, 4e-9, count)
    forces = [
        VdwDmt(7.1e-20, 10e-9, modulus) + ExponentialDamping(linear=2.2e-7)
        for modulus in np.linspace(0.5e9, 2e9, count)
    ]
    together = FastEngine().simulate(cantilever, drive, forces, heights, tones)
    for pixel in (0, 40, 69):
        alone = FastEngine().simulate(cantilever, drive, forces[pixel], [heights[pixel]], tones)
        np.testing.assert_allclose(together.z[pixel], alone.z[0], rtol=0, atol=1e-15)
        assert together.closest[pixel] == alone.closest[0]


def test_the_exact_engine_takes_forces_pixel_by_pixel():
    soft_cantilever, drive, force, height, tones = soft()
    stiff = VdwDmt(1e-20, 10e-9, 2e7, intermolecular=0.5e-9) + ExponentialDamping(1e-6, 0.0, 2e-9)
    both = ExactEngine().simulate(soft_cantilever, drive, [force, stiff], [height, 5e-9], tones)
    alone = ExactEngine().simulate(soft_cantilever, drive, stiff, [5e-9], tones)
    np.testing.assert_array_equal(both.z[1], alone.z[0])


@pytest.mark.parametrize("engine", [ExactEngine, FastEngine])
def test_periods_of_a_settled_motion_are_the_same(engine):
    once = engine(settling=4).simulate(*arguments(soft()))
    thrice = engine(settling=4, measured=3).simulate(*arguments(soft()))
    np.testing.assert_allclose(thrice.z, once.z, rtol=0, atol=1e-5 * 4e-9)


@pytest.mark.parametrize("engine", [ExactEngine(), FastEngine()])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heights": [-1e-9]}, "height .*-1e-09"),
        ({"heights": [np.nan]}, "height .*nan"),
        ({"heights": 17e-9}, "heights of shape"),
        ({"heights": []}, "heights of shape"),
        ({"forces": [NoForce()] * 2}, "2 forces are not allowed"),
        ({"tones": Tones(y=(1500,))}, "no mode moves along y"),
        ({"drive": Drive(200.0, (1500,), np.ones((1, 1), complex))}, "drive forces for 1 modes"),
    ],
)
def test_what_cannot_be_simulated_is_refused(engine, change, said):
    cantilever, drive, force, height, tones = case_1()
    asked = {"drive": drive, "forces": force, "heights": [height], "tones": tones}
    with pytest.raises(ValueError, match=said):
        engine.simulate(cantilever, **(asked | change))


def test_forces_of_different_kinds_are_refused():
    cantilever, drive, force, height, tones = case_1()
    with pytest.raises(ValueError, match="different kinds"):
        FastEngine().simulate(cantilever, drive, [force, NoForce()], [height] * 2, tones)


@pytest.mark.parametrize(
    ("engine", "arguments", "said"),
    [
        (FastEngine, {"steps_per_cycle": 4}, "steps_per_cycle 4"),
        (FastEngine, {"lanes": 0}, "lanes 0"),
        (FastEngine, {"dtype": "float16"}, "dtype 'float16'"),
        (FastEngine, {"settling": -1}, "settling -1"),
        (ExactEngine, {"tolerance": 0.0}, "tolerance 0.0"),
        (ExactEngine, {"measured": 0}, "measured 0"),
    ],
)
def test_engines_that_cannot_run_are_refused(engine, arguments, said):
    with pytest.raises(ValueError, match=said):
        engine(**arguments)


OTHERS = {
    "Jkr": (case_1(), Jkr(10e-9, 1e9, 0.05) + ExponentialDamping(2.2e-7)),
    "LateralWell": (
        case_2(),
        VdwDmt(7.1e-20, 10e-9, 1e9) + LateralWell(0.22, 1e16) + ExponentialDamping(2.2e-7),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_engines_agree_on_other_forces(name):
    (cantilever, drive, _, height, tones), force = OTHERS[name]
    asked = (cantilever, drive, force, [height], tones)
    fast, exact = FastEngine().simulate(*asked), ExactEngine(1e-10).simulate(*asked)
    free = free_spectra(cantilever, drive, tones)
    for axis in ("z", "y"):
        change = np.linalg.norm(getattr(exact, axis) - getattr(free, axis))
        assert np.linalg.norm(getattr(fast, axis) - getattr(exact, axis)) <= 2e-3 * change


def test_a_force_too_stiff_for_the_steps_is_reported():
    cantilever, drive, _, height, tones = case_1()
    hard = VdwDmt(7.1e-20, 10e-9, modulus=1e15) + ExponentialDamping(linear=2.2e-7)
    with pytest.raises(FloatingPointError, match="too stiff"):
        FastEngine().simulate(cantilever, drive, hard, [height], tones)
