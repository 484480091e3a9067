"""A force of unknown form from tones alone: the paper's converged tones, and hopeless input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.constants import Boltzmann

from analysis.intermodulation import ForceCurve, Measurement, MeasurementError, Mode, response
from analysis.intermodulation._generic_evidence import Estimate
from analysis.intermodulation._generic_verdict import judge
from analysis.intermodulation.generic import reconstruct
from analysis.intermodulation.lateral import LateralForces
from sim import cantilever as simulated
from sim.cantilever import Cantilever, Drive, ExactEngine, Tones, free_spectra
from sim.cantilever.paper import case_1
from sim.forces import DoubleLayerHertz, ExponentialDamping, LennardJones

# A fit takes seconds of a processor, compiling for the first time some more.
pytestmark = pytest.mark.timeout(300)

_NORMAL_90 = 1.645
_ATOMS = LennardJones(hamaker=2e-19, radius=15e-9, sigma=0.6e-9)
_CHARGES = DoubleLayerHertz(
    radius=10e-9, modulus=1e8, tip_charge=0.03, sample_charge=0.03, debye_length=3e-9
)
# Of the resting tip: it comes as close as 1.3 nm, where these atoms attract.
_FAR = 15.2e-9


def _noisy(clean: Measurement, detector: float, seed: int) -> Measurement:
    """Add the thermal noise of 300 K and a white detector's, of one period."""
    power = np.full(clean.tones.size, detector**2)
    for mode in clean.modes:
        resistance = mode.spring_constant / (mode.quality_factor * 2.0 * np.pi * mode.frequency)
        gain = np.abs(response((mode,), clean.frequencies)) ** 2
        power += 4.0 * Boltzmann * 300.0 * resistance * gain
    noise = np.sqrt(power * clean.df)
    normal = np.random.default_rng(seed).standard_normal((2, noise.size))
    engaged = clean.engaged + noise * (normal[0] + 1j * normal[1])
    return replace(clean, engaged=engaged, noise=noise)


def _curve(measurement: Measurement) -> ForceCurve:
    found = reconstruct(measurement)
    assert isinstance(found, ForceCurve)
    return found


def _coverage(error, deviation) -> float:
    return float(np.mean(np.abs(error) <= _NORMAL_90 * deviation))


def _over_atoms(atoms: LennardJones, height: float) -> Measurement:
    """Return the tones of the paper's cantilever at 10 nm and 4 nm over such atoms, no noise."""
    cantilever, *_ = case_1()
    tones = Tones(z=(*range(1489, 1513), *range(9439, 9463)))
    pairs = [(1500, 5e-9, 0), (1501, 5e-9, 0), (9450, 2e-9, 1), (9451, 2e-9, 1)]
    drive = Drive.for_amplitudes(cantilever, 200.0, pairs)
    surface = atoms + ExponentialDamping(linear=2e-7, decay=1e-9)
    engine = ExactEngine(settling=2)
    engaged = engine.simulate(cantilever, drive, surface, np.array([height]), tones)
    return Measurement(
        tones=np.array(tones.z),
        free=free_spectra(cantilever, drive, tones).z[0],
        engaged=engaged.z[0],
        noise=np.zeros(len(tones.z)),
        modes=tuple(
            Mode(mode.frequency, mode.quality_factor, mode.spring_constant)
            for mode in cantilever.modes
        ),
        df=200.0,
    )


def _in_liquid(surface: DoubleLayerHertz, height: float) -> Measurement:
    """Return the tones of a soft cantilever of Q = 5 over charged surfaces, no noise."""
    mode = simulated.Mode(frequency=30e3, quality_factor=5.0, spring_constant=1.0)
    cantilever, tones = Cantilever((mode,)), Tones(z=tuple(range(130, 171)))
    amplitude = 0.3 * height
    drive = Drive.for_amplitudes(cantilever, 200.0, [(149, amplitude, 0), (150, amplitude, 0)])
    engaged = ExactEngine(settling=2).simulate(
        cantilever, drive, surface, np.array([height]), tones
    )
    return Measurement(
        tones=np.array(tones.z),
        free=free_spectra(cantilever, drive, tones).z[0],
        engaged=engaged.z[0],
        noise=np.zeros(len(tones.z)),
        modes=(Mode(mode.frequency, mode.quality_factor, mode.spring_constant),),
        df=200.0,
    )


@pytest.fixture(scope="module")
def clean_curve(paper_case_1):
    return _curve(paper_case_1.with_tones(24))


@pytest.fixture(scope="module")
def cubic_curve(paper_case_1_cubic):
    return _curve(paper_case_1_cubic.with_tones(24))


@pytest.fixture(scope="module")
def noisy_curves(paper_case_1):
    tones = paper_case_1.with_tones(24)
    return [_curve(_noisy(tones, 100e-15, seed)) for seed in range(2)]


@pytest.fixture(scope="module")
def attracted():
    return _curve(_over_atoms(_ATOMS, _FAR))


@pytest.fixture(scope="module")
def field(paper_case_2_cubic):
    found = reconstruct(paper_case_2_cubic.with_tones(48))
    assert isinstance(found, LateralForces)
    return found


def _dissipative_error(curve, force, relative_error):
    velocity = 0.2 * 0.154  # of the largest velocity of case 1, m/s
    true = force.normal(curve.z, velocity) - force.normal(curve.z, 0.0)
    return relative_error(curve.z, curve.force(curve.z, velocity) - curve.force(curve.z), true)


@pytest.mark.slow
class TestTheForceOfThePaper:
    def test_conservative_force_without_noise_is_within_2_percent(
        self, clean_curve, paper_case_1, relative_error
    ):
        true = paper_case_1.force.conservative(clean_curve.z)
        assert relative_error(clean_curve.z, clean_curve.conservative, true) < 0.02

    def test_dissipative_force_without_noise_is_within_1_percent(
        self, clean_curve, paper_case_1, relative_error
    ):
        assert _dissipative_error(clean_curve, paper_case_1.force, relative_error) < 0.01

    def test_band_without_noise_holds_the_conservative_force(self, clean_curve, paper_case_1):
        off = clean_curve.conservative - paper_case_1.force.conservative(clean_curve.z)
        assert _coverage(off, clean_curve.bands.conservative) > 0.8

    def test_verdict_with_cubic_damping_is_ok(self, cubic_curve):
        assert cubic_curve.verdict.ok

    def test_verdict_without_noise_is_ok(self, clean_curve):
        assert clean_curve.verdict.ok

    def test_no_cubic_damping_is_found_where_there_is_none(self, clean_curve):
        assert clean_curve.cubic_damping is None

    def test_cubic_damping_is_found_where_it_is(self, cubic_curve, paper_case_1_cubic):
        contact = cubic_curve.z[0] + 2e-9
        z = np.array([contact])
        fast = cubic_curve.force(z, 0.1) - cubic_curve.force(z)
        true = paper_case_1_cubic.force.normal(z, 0.1) - paper_case_1_cubic.force.normal(z, 0.0)
        assert fast == pytest.approx(true, rel=0.1)

    def test_cubic_damping_does_not_spoil_the_conservative_force(
        self, cubic_curve, paper_case_1_cubic, relative_error
    ):
        true = paper_case_1_cubic.force.conservative(cubic_curve.z)
        assert relative_error(cubic_curve.z, cubic_curve.conservative, true) < 0.04


@pytest.mark.slow
class TestNoiseOfOnePeriod:
    def test_conservative_force_is_within_5_percent(
        self, noisy_curves, paper_case_1, relative_error
    ):
        errors = [
            relative_error(c.z, c.conservative, paper_case_1.force.conservative(c.z))
            for c in noisy_curves
        ]
        assert np.median(errors) < 0.05

    def test_dissipative_force_is_within_12_percent(
        self, noisy_curves, paper_case_1, relative_error
    ):
        errors = [_dissipative_error(c, paper_case_1.force, relative_error) for c in noisy_curves]
        assert np.median(errors) < 0.12

    def test_bands_hold_the_conservative_force(self, noisy_curves, paper_case_1):
        held = [
            _coverage(c.conservative - paper_case_1.force.conservative(c.z), c.bands.conservative)
            for c in noisy_curves
        ]
        assert np.mean(held) > 0.8

    def test_bands_hold_the_damping(self, noisy_curves):
        true = 2.2e-7 * np.exp(-(17e-9 + noisy_curves[0].z) / 1.5e-9)
        held = [
            _coverage(np.interp(noisy_curves[0].z, c.z, c.damping) - true, c.bands.damping)
            for c in noisy_curves
        ]
        assert np.mean(held) > 0.8

    def test_chi2_is_what_is_expected_of_noise(self, noisy_curves):
        assert all(0.5 < c.chi2 / c.degrees_of_freedom < 1.5 for c in noisy_curves)


@pytest.mark.slow
class TestFieldAlongZAndY:
    def test_force_along_z_is_within_3_percent(self, field, paper_case_2_cubic):
        true, _ = paper_case_2_cubic.force.field(field.z[:, None], field.y[None, :])
        seen = field.visited
        off = np.linalg.norm((field.force_z - true)[seen])
        assert off < 0.03 * np.linalg.norm(true[seen])

    def test_force_along_y_is_within_3_percent(self, field, paper_case_2_cubic):
        true = paper_case_2_cubic.force.lateral(field.z[:, None], field.y[None, :])
        seen = field.visited
        off = np.linalg.norm((field.force_y - true)[seen])
        assert off < 0.03 * np.linalg.norm(true[seen])

    def test_powers_of_y_are_those_of_the_force(self, field):
        assert field.y_degrees == (0, 3)


@pytest.mark.slow
class TestAttractionThatReachesBeyondTheRestPoint:
    def test_is_within_3_percent(self, attracted, relative_error):
        true, _ = _ATOMS.components(_FAR + attracted.z, 0.0, 0.0, 0.0)
        assert relative_error(attracted.z, attracted.conservative, true) < 0.03

    def test_is_held_by_the_band(self, attracted):
        true, _ = _ATOMS.components(_FAR + attracted.z, 0.0, 0.0, 0.0)
        assert _coverage(attracted.conservative - true, attracted.bands.conservative) > 0.8


class TestAForceWithoutDamping:
    def test_has_none_found(self):
        found = _curve(_in_liquid(_CHARGES, 12e-9))
        velocity = np.full_like(found.z, 1e-3)
        dissipative = found.force(found.z, velocity) - found.conservative
        assert np.abs(dissipative).max() < 0.01 * np.abs(found.conservative).max()

    def test_is_found_beside_tones_that_it_does_not_move(self):
        tones = _in_liquid(_CHARGES, 12e-9)
        moved = np.abs(tones.tones - 150) < 12
        found = _curve(replace(tones, engaged=np.where(moved, tones.engaged, tones.free)))
        true, _ = _CHARGES.components(12e-9 + found.z, 0.0, 0.0, 0.0)
        largest = np.abs(true).max()
        assert found.conservative[0] == pytest.approx(true[0], abs=0.05 * largest)


class TestWhereTheUncertaintyLies:
    """The same 10 % of the force left open, along all of the curve or at its lowest deflections."""

    z = np.linspace(-1.0, 0.0, 401)
    force = 1e-9 * np.exp(-(1.0 + z) / 0.1)
    settled = Estimate(np.log([2e-3]), 0.0, (), 80.0, 80.0)

    def _verdict(self, shape):
        spread = 0.1 * shape * np.linalg.norm(self.force) / np.linalg.norm(shape)
        silent = np.zeros(self.z.size), np.zeros(self.z.size)
        return judge(self.settled, (self.force, spread), silent)

    def test_all_along_the_curve_it_is_what_the_band_says(self):
        assert self._verdict(np.ones(self.z.size)).ok

    def test_at_the_wall_it_may_hide_a_steeper_one(self):
        verdict = self._verdict(np.exp(-(1.0 + self.z) / 0.02))
        assert any("the wall is not resolved" in reason for reason in verdict.reasons)


class TestWhatCannotBeTold:
    def test_a_force_that_reaches_above_the_rest_point_is_said_so(self):
        found = _curve(_in_liquid(_CHARGES, 5e-9))
        assert any("reaches the rest point" in reason for reason in found.verdict.reasons)

    @pytest.mark.slow
    def test_a_wall_that_was_hardly_touched_is_said_so(self):
        atoms = LennardJones(hamaker=1e-19, radius=10e-9, sigma=0.8e-9)
        found = _curve(_over_atoms(atoms, 14.2e-9))
        assert any("the wall is not resolved" in reason for reason in found.verdict.reasons)

    @pytest.mark.slow
    def test_random_tones_are_not_taken_for_a_field(self, paper_case_2):
        tones = paper_case_2.with_tones(24)
        normal = np.random.default_rng(3).standard_normal((2, tones.tones.size))
        engaged = tones.free + 0.3e-9 * (normal[0] + 1j * normal[1])
        found = reconstruct(replace(tones, engaged=engaged))
        assert isinstance(found, LateralForces)
        assert (found.verdict_z.ok, found.verdict_y.ok) == (False, False)

    def test_a_tip_that_never_touched_is_said_so(self, paper_case_1):
        tones = paper_case_1.with_tones(24)
        away = _noisy(replace(tones, engaged=tones.free), 100e-15, 0)
        found = _curve(away)
        assert not found.verdict.ok
        assert "never touched" in found.verdict.reasons[0]

    def test_force_of_a_tip_that_never_touched_is_zero(self, paper_case_1):
        tones = paper_case_1.with_tones(24)
        assert not _curve(replace(tones, engaged=tones.free)).conservative.any()

    @pytest.mark.slow
    def test_random_tones_are_not_taken_for_a_force(self, paper_case_1):
        tones = paper_case_1.with_tones(24)
        normal = np.random.default_rng(3).standard_normal((2, tones.tones.size))
        engaged = tones.free + 0.3e-9 * (normal[0] + 1j * normal[1])
        assert not _curve(replace(tones, engaged=engaged)).verdict.ok

    def test_a_handful_of_tones_is_refused(self, paper_case_1):
        few = paper_case_1.measurement.select(paper_case_1.band(0, 4))
        with pytest.raises(MeasurementError, match="4 tones along z tell no force"):
            reconstruct(few)

    def test_several_pixels_are_refused(self, paper_case_1):
        tones = paper_case_1.with_tones(24)
        pixels = replace(tones, engaged=np.stack([tones.engaged, tones.engaged]))
        with pytest.raises(MeasurementError, match="2 pixels are given"):
            reconstruct(pixels)

    def test_a_mode_along_y_alone_needs_tones_along_z(self):
        tones = np.arange(100, 110)
        lateral = Measurement(
            tones=tones,
            free=np.full(10, 1e-9),
            engaged=np.full(10, 2e-9),
            noise=np.zeros(10),
            modes=(Mode(10.5e3, 100.0, 1.0, "y"),),
            df=100.0,
            axes=("y",) * 10,
        )
        with pytest.raises(MeasurementError, match="no tones along z"):
            reconstruct(lateral)
