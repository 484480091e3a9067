"""Force laws for fits: their formulas, their slopes, and how they add up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.intermodulation import models
from analysis.intermodulation.models import (
    DoubleLayerHertz,
    ExponentialDamping,
    Jkr,
    LateralSpring,
    LateralWell,
    LennardJones,
    Model,
    Morse,
    Prior,
    State,
    ThresholdDamping,
    VdwDmt,
)
from sim import forces

_RADIUS = 10e-9
# Each law with values of its fitted parameters, and the simulator's law of the same parameters.
_PAIRS = [
    (
        VdwDmt(_RADIUS),
        (7.1e-20, 1e9, 0.3e-9),
        forces.VdwDmt(hamaker=7.1e-20, radius=_RADIUS, modulus=1e9, intermolecular=0.3e-9),
    ),
    (
        Morse(0.3e-9),
        (2e-18, 0.5e-9),
        forces.Morse(bond_energy=2e-18, equilibrium=0.3e-9, decay=0.5e-9),
    ),
    (
        LennardJones(_RADIUS),
        (1e-19, 0.5e-9),
        forces.LennardJones(hamaker=1e-19, radius=_RADIUS, sigma=0.5e-9),
    ),
    (
        Jkr(_RADIUS),
        (1e9, 0.05),
        forces.Jkr(radius=_RADIUS, modulus=1e9, adhesion_work=0.05),
    ),
    (
        DoubleLayerHertz(_RADIUS),
        (1e8, 4e-4, 2e-9),
        forces.DoubleLayerHertz(
            radius=_RADIUS,
            modulus=1e8,
            tip_charge=0.02,
            sample_charge=0.02,
            debye_length=2e-9,
        ),
    ),
    (
        ExponentialDamping(),
        (2.2e-7, 1e-4, 1.5e-9),
        forces.ExponentialDamping(linear=2.2e-7, cubic=1e-4, decay=1.5e-9),
    ),
    (
        ThresholdDamping(),
        (2.2e-7, 0.02, 1.5e-9),
        forces.ThresholdDamping(linear=2.2e-7, threshold=0.02, decay=1.5e-9),
    ),
    (
        LateralSpring(),
        (0.22, 1e17, 1.5e-9),
        forces.LateralSpring(linear=0.22, cubic=1e17, decay=1.5e-9),
    ),
    (
        LateralWell(),
        (0.22, 1e17, 1.5e-9),
        forces.LateralWell(linear=0.22, cubic=1e17, decay=1.5e-9),
    ),
]
_NAMES = [type(law).__name__ for law, _, _ in _PAIRS]


@pytest.fixture
def state():
    rng = np.random.default_rng(4)
    count = 200
    return State(
        d=rng.uniform(0.35e-9, 4e-9, count) - np.where(np.arange(count) % 2, 0.0, 3e-9),
        vz=rng.uniform(-0.1, 0.1, count),
        y=rng.uniform(-10e-9, 10e-9, count),
    )


def _above(law, state):
    """The state where the law has a meaning: Lennard-Jones has none in the surface."""
    kept = state.d > 0.0 if isinstance(law, LennardJones) else np.ones(state.d.size, bool)
    return State(state.d[kept], state.vz[kept], state.y[kept])


@pytest.mark.parametrize(("law", "values", "truth"), _PAIRS, ids=_NAMES)
def test_law_is_the_simulators(law, values, truth, state):
    state = _above(law, state)
    expected = truth.components(state.d, state.y, state.vz, np.zeros_like(state.vz))
    found = law.force(np.array(values), state)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-18)


@pytest.mark.parametrize("law", [VdwDmt(_RADIUS), ExponentialDamping()], ids=["contact", "damping"])
def test_slopes_in_closed_form_are_the_differences_of_the_force(law, state):
    values = np.array({VdwDmt: _PAIRS[0][1], ExponentialDamping: _PAIRS[5][1]}[type(law)])
    own, expected = law.slopes(values, state), models.Law.slopes(law, values, state)
    for name in ("force", "parameters", "distance", "velocity"):
        wanted = getattr(expected, name)
        scale = np.abs(wanted).max(axis=-1, keepdims=True)
        off = np.abs(getattr(own, name) - wanted)
        assert (off <= 1e-5 * scale + 1e-300).all(), name


def test_force_of_a_sum_is_the_sum_of_the_forces(state):
    model = VdwDmt(_RADIUS) + ExponentialDamping() + LateralWell()
    values = [*_PAIRS[0][1], *_PAIRS[5][1], *_PAIRS[8][1]]
    parts = [law.force(np.array(v), state) for law, v, _ in (_PAIRS[0], _PAIRS[5], _PAIRS[8])]
    np.testing.assert_allclose(model.force(values, state), sum(parts))


def test_known_parameter_is_not_fitted():
    model = VdwDmt(_RADIUS, modulus=1e9) + ExponentialDamping(cubic=0.0)
    names = [parameter.name for parameter in model.parameters]
    assert names == ["hamaker", "intermolecular", "linear", "decay"]


def test_names_that_two_laws_share_carry_the_law():
    names = [parameter.name for parameter in (Morse() + ExponentialDamping()).parameters]
    assert names == ["bond_energy", "morse_decay", "linear", "cubic", "exponential_damping_decay"]


def test_jump_of_jkr_is_half_where_the_interval_is_half_in_contact():
    values = np.array(_PAIRS[3][1])
    pull_off = forces.Jkr(radius=_RADIUS, modulus=1e9, adhesion_work=0.05).pull_off
    d = np.array([pull_off * (1.0 - 1e-5), pull_off])
    full = Jkr(_RADIUS).force(values, State(d, np.zeros(2)))[0, 0]
    half = Jkr(_RADIUS).force(values, State(d, np.ones(2), interval=1e-12))[0, 1]
    assert half == pytest.approx(0.5 * full, rel=1e-2)


def test_same_law_twice_is_refused():
    with pytest.raises(ValueError, match="ExponentialDamping is in the model 2 times"):
        Model((ExponentialDamping(), VdwDmt(_RADIUS), ExponentialDamping()))


@pytest.mark.parametrize("radius", [0.0, -1e-9, math.nan, None])
def test_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match="radius of VdwDmt"):
        VdwDmt(radius)


def test_prior_with_negative_deviation_is_refused():
    with pytest.raises(ValueError, match="no mean and standard deviation"):
        Prior(1.0, -0.1)


def test_lateral_law_needs_a_lateral_deflection():
    with pytest.raises(ValueError, match="needs a lateral signal"):
        Model((LateralSpring(),)).force([0.2, 0.0, 1e-9], State(np.ones(2), np.ones(2)))
