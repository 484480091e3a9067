"""The force laws: formulas, what is known in closed form, and the compiled forms."""

import math

import numpy as np
import pytest
from numba import njit
from numpy.typing import ArrayLike
from scipy.constants import epsilon_0
from scipy.integrate import trapezoid
from scipy.optimize import brentq

from sim.forces import (
    DoubleLayerHertz,
    ExponentialDamping,
    Jkr,
    LateralSpring,
    LateralWell,
    LennardJones,
    Morse,
    NoForce,
    ThresholdDamping,
    VdwDmt,
    composed_kernel,
)

CONTACT = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
LAWS = (
    CONTACT,
    Jkr(radius=10e-9, modulus=1e9, adhesion_work=0.05),
    ExponentialDamping(linear=2.2e-7, cubic=1e-5, decay=1.5e-9),
    ThresholdDamping(linear=2.2e-7, threshold=0.03),
    LateralSpring(linear=0.22, cubic=1e17),
    LateralWell(linear=0.22, cubic=1e17),
    Morse(bond_energy=5e-18, equilibrium=0.5e-9, decay=1e-9),
    LennardJones(hamaker=7.1e-20, radius=10e-9, sigma=0.5e-9),
    DoubleLayerHertz(
        radius=10e-9, modulus=1e9, tip_charge=0.01, sample_charge=0.02, debye_length=3e-9
    ),
    NoForce(),
)


def fz(law, d, vz: ArrayLike = 0.0):
    return law.components(d, 0.0, vz, 0.0)[0]


def motion(count=300):
    rng = np.random.default_rng(1)
    d = rng.uniform(-3e-9, 20e-9, count)
    d[np.abs(d) < 0.3e-9] = 0.3e-9  # where no law of the sum has a pole
    return d, rng.normal(0, 5e-9, count), rng.normal(0, 0.1, count), rng.normal(0, 0.1, count)


def called(law, values):
    kernel, parameters = composed_kernel(law), law.parameters
    return np.array([kernel(*each, parameters, 0) for each in zip(*values, strict=True)]).T


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_kernel_is_the_formula(law):
    values = motion()
    expected = np.array(law.components(*values))
    scale = np.abs(expected).max() + 1e-30
    np.testing.assert_allclose(
        called(law, [v.tolist() for v in values]), expected, atol=1e-12 * scale
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("real", "error"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_a_sum_of_all_laws_compiles_and_keeps_the_precision(real, error):
    law = sum(LAWS[1:], LAWS[0])
    kernel = composed_kernel(law)

    @njit(error_model="numpy")
    def loop(d, y, vz, vy, p, out):
        for i in range(d.size):
            out[0, i], out[1, i] = kernel(d[i], y[i], vz[i], vy[i], p, 0)

    values = motion()
    out = np.empty((2, values[0].size), real)
    d, y, vz, vy = (value.astype(real) for value in values)
    loop(d, y, vz, vy, law.parameters.astype(real), out)
    parts = np.array([np.abs(each.components(*values)) for each in LAWS]).sum(axis=0)
    assert (np.abs(out - np.array(law.components(*values))) <= error * parts + 1e-16).all()


def test_forces_add():
    damping = LAWS[2]
    values = motion()
    expected = CONTACT.components(*values)[0] + damping.components(*values)[0]
    np.testing.assert_allclose((CONTACT + damping).components(*values)[0], expected)


def test_the_kinks_of_a_sum_are_those_of_its_laws():
    assert (LAWS[8] + CONTACT + NoForce()).kinks == (0.0, 0.3e-9)


def test_sums_of_the_same_kinds_share_their_compiled_form():
    other = VdwDmt(hamaker=1e-20, radius=5e-9, modulus=2e9) + ExponentialDamping(linear=1e-7)
    assert composed_kernel(other) is composed_kernel(CONTACT + LAWS[2])


def test_a_sum_of_sums_is_flat():
    law = (CONTACT + LAWS[2]) + (LAWS[3] + NoForce())
    assert law.laws == (CONTACT, LAWS[2], LAWS[3], NoForce())


def test_the_dmt_contact_adheres_with_the_van_der_waals_force_at_its_edge():
    assert fz(CONTACT, 0.3e-9) == pytest.approx(-7.1e-20 * 10e-9 / (6 * 0.3e-9**2))


def test_the_dmt_contact_is_hertzian():
    push = fz(CONTACT, 0.3e-9 - 2e-9) - fz(CONTACT, 0.3e-9)
    assert push == pytest.approx(4 / 3 * 1e9 * math.sqrt(10e-9) * 2e-9**1.5)


def test_jkr_pulls_off_at_three_halves_pi_w_r():
    d = np.linspace(-2e-9, LAWS[1].kinks[0], 2001)
    assert fz(LAWS[1], d).min() == pytest.approx(-1.5 * math.pi * 0.05 * 10e-9, rel=1e-6)


def test_jkr_has_the_contact_radius_of_the_published_equations():
    radius, modulus, work, depth = 10e-9, 1e9, 0.05, 1e-9

    def misfit(a):
        return a**2 / radius - math.sqrt(2 * math.pi * work * a / modulus) - depth

    a = float(np.asarray(brentq(misfit, 2e-9, 20e-9, xtol=1e-20)))
    force = 4 * modulus * a**3 / (3 * radius) - math.sqrt(8 * math.pi * work * modulus * a**3)
    assert fz(LAWS[1], -depth) == pytest.approx(force, rel=1e-9)


def test_jkr_lets_go_at_its_pull_off():
    edge = LAWS[1].kinks[0]
    assert fz(LAWS[1], edge) < -1e-9
    assert fz(LAWS[1], edge * 1.000001) == 0


def test_morse_is_strongest_where_its_potential_bends():
    law = LAWS[6]
    assert fz(law, 0.5e-9 + 1e-9 * math.log(2)) == pytest.approx(-5e-18 / (2 * 1e-9))


def test_morse_takes_its_bond_energy_to_break():
    d = np.linspace(0.5e-9, 40e-9, 200001)
    assert trapezoid(fz(LAWS[6], d), d) == pytest.approx(-5e-18, rel=1e-6)


def test_lennard_jones_is_at_rest_where_both_powers_meet():
    assert fz(LAWS[7], 0.5e-9 / 30 ** (1 / 6)) == pytest.approx(0, abs=1e-20)


def test_the_double_layer_falls_by_e_in_a_debye_length():
    assert fz(LAWS[8], 3e-9) == pytest.approx(fz(LAWS[8], 0.0) / math.e)


def test_the_double_layer_has_the_published_contact_value():
    expected = 4 * math.pi * 10e-9 * 0.01 * 0.02 * 3e-9 / (78.4 * epsilon_0)
    assert fz(LAWS[8], 0.0) == pytest.approx(expected)


def test_damping_takes_energy_whichever_way_the_tip_goes():
    d, _, vz, _ = motion()
    assert (fz(LAWS[2], d, vz) * vz < 0).all()


def test_threshold_damping_spares_the_slow():
    assert fz(LAWS[3], 0.0, 0.0299) == 0
    assert fz(LAWS[3], 0.0, -0.05) == pytest.approx(2.2e-7 * 0.02)


def curl(law):
    d, y, step = 1e-9, 3e-9, 1e-14
    along_y = law.components(d, y + step, 0, 0)[0] - law.components(d, y - step, 0, 0)[0]
    along_d = law.components(d + step, y, 0, 0)[1] - law.components(d - step, y, 0, 0)[1]
    return (along_y - along_d) / (2 * step)


def test_the_lateral_well_is_a_conservative_field():
    assert abs(curl(LAWS[5])) < 1e-6 * abs(curl(LAWS[4]))


def test_the_lateral_spring_as_published_is_not():
    d, y = 1e-9, 3e-9
    slope = (0.22 * y + 1e17 * y**3) * math.exp(-d / 1.5e-9) / 1.5e-9
    assert curl(LAWS[4]) == pytest.approx(-slope, rel=1e-5)


@pytest.mark.parametrize(
    ("law", "arguments", "said"),
    [
        (VdwDmt, {"hamaker": 1e-20, "radius": -1e-9, "modulus": 1e9}, "VdwDmt radius -1e-09"),
        (VdwDmt, {"hamaker": math.nan, "radius": 1e-9, "modulus": 1e9}, "VdwDmt hamaker nan"),
        (Jkr, {"radius": 1e-9, "modulus": 0.0, "adhesion_work": 0.1}, "Jkr modulus 0.0"),
        (ExponentialDamping, {"linear": -1e-7}, "ExponentialDamping linear -1e-07"),
        (Morse, {"bond_energy": 1e-18, "equilibrium": 0, "decay": math.inf}, "Morse decay inf"),
    ],
)
def test_what_no_surface_has_is_refused(law, arguments, said):
    with pytest.raises(ValueError, match=said):
        law(**arguments)
