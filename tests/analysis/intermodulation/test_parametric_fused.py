"""The compiled equations of a map's law are those of any law, and so are the fits made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.intermodulation._parametric_fused import FusedProblem, FusedSolver, is_fusible
from analysis.intermodulation._parametric_problem import Problem
from analysis.intermodulation._parametric_solver import Solver
from analysis.intermodulation.models import ExponentialDamping, Jkr, Model, Prior, VdwDmt
from analysis.intermodulation.parametric import PixelVerdict, Sampling, fit_map

_CUBIC = Model((VdwDmt(10e-9), ExponentialDamping()))
_LINEAR = VdwDmt(10e-9) + ExponentialDamping(cubic=0.0)
_VALUES = np.array([9e-20, 0.8e9, 0.35e-9, 1.5e-7, 5e-5, 1.3e-9, 17.1e-9])
_CLOSEST = -3.1e-9
_BEGIN = np.append(_VALUES[:-1], _CLOSEST)
_START = np.delete(_BEGIN, 4)
_PRIORS = {"intermolecular": Prior(0.3e-9, 0.09e-9), "height": Prior(17e-9, 3e-9)}
_SAMPLING = Sampling(2**17, 16)
_NEAR = {
    "hamaker": 9e-20,
    "modulus": 0.8e9,
    "intermolecular": 0.35e-9,
    "linear": 1.5e-7,
    "decay": 1.3e-9,
    "height": 17.1e-9,
}


def _drawn(measurement, seeds):
    """The measurement with white noise of 100 fm/sqrt(Hz), a pixel for each seed."""
    noise = np.full(measurement.tones.size, 100e-15 * np.sqrt(measurement.df))
    parts = np.stack([np.random.default_rng(s).standard_normal((2, noise.size)) for s in seeds])
    engaged = measurement.engaged + noise * (parts[:, 0] + 1j * parts[:, 1])
    return replace(measurement, engaged=engaged, noise=noise)


@pytest.fixture(scope="module")
def pixels(paper_case_1):
    return _drawn(paper_case_1.with_tones(24), range(12))


@pytest.fixture(scope="module")
def one(pixels):
    return pixels.pixel(0)


@pytest.fixture(scope="module")
def both(one):
    """Any law's equations and the compiled ones."""
    return tuple(kind(one, _CUBIC, _SAMPLING, _PRIORS) for kind in (Problem, FusedProblem))


@pytest.fixture(scope="module")
def motions(one, both):
    return tuple(
        problem.completed(one.engaged, problem.contact(one.engaged, _CLOSEST), _VALUES)
        for problem in both
    )


def test_completed_motion_is_that_of_any_law(motions):
    expected, found = motions
    places = (found.samples.places, expected.samples.places)
    shared, own, other = np.intersect1d(*places, return_indices=True)
    assert shared.size > 0.9 * expected.samples.places.size
    # A hundredth of what the number of samples leaves, and a fifth of the noise of a tone.
    np.testing.assert_allclose(found.z[own], expected.z[other], atol=3e-13)
    np.testing.assert_allclose(found.velocity[own], expected.velocity[other], atol=5e-5)


def test_tones_and_slopes_are_those_of_any_law(one, both):
    (expected, slopes), (found, own) = (
        problem.linearised(problem.contact(one.engaged, _CLOSEST), _VALUES) for problem in both
    )
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)
    errors = np.linalg.norm(own - slopes, axis=0) / np.linalg.norm(slopes, axis=0)
    assert errors.max() < 1e-5


def test_noise_of_the_equations_is_that_of_any_law(one, both, motions):
    force = both[0].force(one.engaged)
    expected, found = (
        np.tril(problem.covariance(motion, _VALUES, force))
        for problem, motion in zip(both, motions, strict=True)
    )
    # Slopes of the force far from the surface are told by few samples, and beyond 8 nm not at all.
    assert np.linalg.norm(found - expected) < 1e-2 * np.linalg.norm(expected)


def test_fit_ends_at_the_values_of_any_law(one):
    general, fused = (
        Solver(kind(one, _LINEAR, _SAMPLING, _PRIORS), 1).fit(one.engaged, _START)
        for kind in (Problem, FusedProblem)
    )
    off = np.abs(fused.values - general.values)
    # A step that promises a tenth of a standard deviation is not taken any more, and chi2 is
    # rugged on that scale: samples cross the kink of the contact.
    assert (off < 0.2 * np.sqrt(np.diag(general.covariance))).all()
    np.testing.assert_allclose(np.diag(fused.covariance), np.diag(general.covariance), rtol=0.05)


def test_attraction_and_its_slopes_are_those_of_any_law(one):
    values = np.append(_START[:-1], 17e-9)
    distances = np.linspace(-2e-9, 17e-9, 257)
    (expected, slopes), (found, own) = (
        kind(one, _LINEAR, _SAMPLING, _PRIORS).attraction(values, distances)
        for kind in (Problem, FusedProblem)
    )
    assert found == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(own, slopes, rtol=1e-6)


def test_best_of_several_starts_is_taken(one):
    solver = FusedSolver(FusedProblem(one, _LINEAR, _SAMPLING, _PRIORS), 1)
    far = np.append(_START[:-1], -9e-9)
    expected = solver.fit(one.engaged, _START)
    np.testing.assert_allclose(solver.fit(one.engaged, _START, far).values, expected.values)


def test_known_height_and_parameter_stay(one):
    priors = {"height": Prior(17e-9, 0.0), "intermolecular": Prior(0.3e-9, 0.0)}
    problem = FusedProblem(one, _LINEAR, _SAMPLING, priors)
    found = FusedSolver(problem, 1).fit(one.engaged, _START)
    assert found.values[2] == pytest.approx(0.3e-9, rel=1e-12)
    assert found.values[-1] == pytest.approx(17e-9, rel=1e-12)


def test_cubic_damping_is_fitted(paper_case_1_cubic):
    drawn = _drawn(paper_case_1_cubic.with_tones(24), [5]).pixel(0)
    found = FusedSolver(FusedProblem(drawn, _CUBIC, _SAMPLING, _PRIORS), 1).fit(
        drawn.engaged, _BEGIN
    )
    deviation = np.sqrt(found.covariance[4, 4])
    assert found.converged
    assert abs(found.values[4] - 1e-4) < 4.0 * deviation


def test_parameters_of_a_map_hold_the_truth_within_their_deviations(pixels):
    found = fit_map(pixels, _LINEAR, start=_NEAR)
    assert (found.verdict == PixelVerdict.GOOD).all()
    for name, true in {"modulus": 1e9, "linear": 2.2e-7, "decay": 1.5e-9}.items():
        place = found.names.index(name)
        off = (found.values[:, place] - true) / found.deviations[:, place]
        # The mean square of 12 draws of unit variance is below 3 but for one in 10 000.
        assert np.mean(off**2) < 3.0, name


def test_pixel_that_no_law_describes_is_marked(pixels):
    engaged = np.array(pixels.engaged[:3])
    engaged[1] = engaged[1].conj()
    broken = replace(pixels, engaged=engaged)
    found = fit_map(broken, _LINEAR, start=_NEAR)
    bad = (PixelVerdict.NOT_DESCRIBED, PixelVerdict.NOT_CONVERGED)
    assert found.verdict[1] in bad
    assert found.verdict[[0, 2]].tolist() == [PixelVerdict.GOOD] * 2


def test_start_without_a_force_is_refused(one):
    solver = FusedSolver(FusedProblem(one, _LINEAR, _SAMPLING, _PRIORS), 1)
    with pytest.raises(np.linalg.LinAlgError, match="no number"):
        solver.fit(one.engaged, np.append(_START[:-1], np.nan))


@pytest.mark.parametrize(
    ("model", "sampling", "expected"),
    [
        (_LINEAR, _SAMPLING, True),
        (_CUBIC, _SAMPLING, True),
        (Jkr(10e-9) + ExponentialDamping(), _SAMPLING, False),
        (Model((VdwDmt(10e-9),)), _SAMPLING, False),
        (_LINEAR, Sampling(2**15, 1), False),
    ],
)
def test_other_laws_and_coarse_samples_are_left_to_the_general_way(one, model, sampling, expected):
    assert is_fusible(model, one, sampling) is expected
