"""The polymer blend: where which polymer lies, and what it does to a tip."""

from __future__ import annotations

import numpy as np
import pytest

from sim.forces import VdwDmt
from sim.surface import Even, Material, PolymerBlend, Uniform, pp_rubber, ps_ldpe


def _patch(side: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(0.0, side, points)
    x, y = np.meshgrid(axis, axis)
    return x, y


def test_each_polymer_takes_its_share_of_the_area() -> None:
    material = pp_rubber(seed=1).material(*_patch(40e-6, 200))
    shares = np.bincount(material.ravel(), minlength=3) / material.size
    np.testing.assert_allclose(shares, (0.75, 0.18, 0.07), atol=0.02)


def test_the_same_seed_makes_the_same_surface_and_another_another() -> None:
    x, y = _patch(2e-6, 30)
    np.testing.assert_array_equal(ps_ldpe(4).height(x, y), ps_ldpe(4).height(x, y))
    assert np.any(ps_ldpe(4).material(x, y) != ps_ldpe(5).material(x, y))


def test_a_point_is_the_same_wherever_it_is_asked_from() -> None:
    blend = ps_ldpe(2)
    x, y = _patch(1e-6, 20)
    assert blend.height(x, y)[7, 9] == pytest.approx(float(blend.height(x[7, 9], y[7, 9])))


def test_domains_come_at_their_period() -> None:
    blend = PolymerBlend(ps_ldpe().materials, (0.5, 0.5), period=500e-9, roughness=0.0, seed=3)
    side, points = 20e-6, 200
    height = blend.height(*_patch(side, points))
    power = np.abs(np.fft.fft2(height - height.mean())) ** 2
    k = np.fft.fftfreq(points, side / (points - 1))
    radius = np.hypot(*np.meshgrid(k, k))
    power[radius > 2 / 500e-9] = 0.0  # the overtones of the domains' edges
    assert float((radius * power).sum() / power.sum()) == pytest.approx(1 / 500e-9, rel=0.15)


def test_an_inner_polymer_stands_out_by_the_relief() -> None:
    blend = PolymerBlend(ps_ldpe().materials, (0.5, 0.5), relief=6e-9, roughness=0.0, seed=1)
    height = blend.height(*_patch(10e-6, 100))
    assert height.min() == pytest.approx(0.0, abs=0.1e-9)
    assert height.max() == pytest.approx(6e-9, abs=0.1e-9)


def test_the_roughness_is_the_rms_within_a_polymer() -> None:
    blend = PolymerBlend(ps_ldpe().materials, (0.5, 0.5), relief=0.0, roughness=1e-9, seed=1)
    assert float(blend.height(*_patch(5e-6, 200)).std()) == pytest.approx(1e-9, rel=0.05)


def test_the_force_at_a_point_is_that_of_its_polymer() -> None:
    blend = ps_ldpe(0)
    x, y = np.linspace(0, 3e-6, 40), np.zeros(40)
    laws = blend.forces(x, y, 10e-9)
    for law, index in zip(laws, blend.material(x, y), strict=True):
        assert law == blend.materials[index].force(10e-9)
    assert len({law.kernels for law in laws}) == 1


def test_a_polymer_pulls_with_its_adhesion_and_damps() -> None:
    polymer = Material("P", modulus=1e9, hamaker=7.1e-20, damping=2e-7)
    force, _ = polymer.force(10e-9).components(0.3e-9, 0.0, np.array([0.0, 0.1]), 0.0)
    adhesion = -7.1e-20 * 10e-9 / (6 * 0.3e-9**2)
    assert force[0] == pytest.approx(adhesion)
    assert force[1] - force[0] == pytest.approx(-2e-7 * 0.1 * np.exp(-0.3 / 1.5))


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.0, 0.0), (1.0,)])
def test_fractions_that_are_no_shares_of_a_whole_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        PolymerBlend(ps_ldpe().materials, fractions)


def test_an_even_surface_is_flat_and_has_one_law() -> None:
    law = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
    surface = Even(law)
    np.testing.assert_array_equal(surface.height(np.arange(3.0), 0.0), np.zeros(3))
    assert surface.forces(np.arange(3.0), 0.0, radius=20e-9) == [law] * 3


def test_the_contact_at_a_point_is_that_of_its_polymer() -> None:
    blend = pp_rubber(1)
    x, y = _patch(3e-6, 30)
    contact, material = blend.contact(x, y, 20e-9), blend.material(x, y)
    for index, polymer in enumerate(blend.materials):
        here = material == index
        assert set(contact.modulus[here]) == {polymer.modulus}
        assert contact.adhesion[here] == pytest.approx(polymer.adhesion(20e-9))
    np.testing.assert_array_equal(contact.snap_in, contact.adhesion)


def test_a_polymer_pulls_off_with_the_least_of_its_force() -> None:
    polymer = Material("P", modulus=1e9, hamaker=7.1e-20, damping=0.0)
    d = np.linspace(0.0, 3e-9, 3001)
    force, _ = polymer.force(10e-9).components(d, 0.0, 0.0, 0.0)
    assert polymer.adhesion(10e-9) == pytest.approx(-force.min(), rel=1e-4)


def test_a_relaxing_contact_damps_as_the_polymer_does() -> None:
    polymer = Material("P", modulus=1e9, hamaker=7.1e-20, damping=2e-7, decay=1.5e-9)
    stiffness = 2 * 1e9 * np.sqrt(10e-9 * 1.5e-9)  # of a Hertz contact that is 1.5 nm deep
    assert polymer.relaxation(10e-9) * stiffness == pytest.approx(2e-7)


def test_an_even_surface_presses_and_pulls_as_its_law() -> None:
    law = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
    contact = Even(law).contact(np.zeros((2, 3)), 0.0, 10e-9)
    assert contact.modulus.shape == (2, 3)
    assert contact.modulus == pytest.approx(1e9, rel=1e-6)
    assert contact.adhesion == pytest.approx(7.1e-20 * 10e-9 / (6 * 0.3e-9**2))


def test_a_uniform_surface_has_a_law_with_its_modulus_and_adhesion() -> None:
    (law,) = Uniform(2e9, 5e-9).forces([0.0], [0.0], 10e-9)
    assert isinstance(law, VdwDmt)
    assert law.modulus == 2e9
    force, _ = law.components(0.3e-9, 0.0, 0.0, 0.0)
    assert float(force) == pytest.approx(-5e-9)


@pytest.mark.parametrize(
    "values", [(0.0,), (1e9, -1e-9), (1e9, 1e-9, 2e-9), (1e9, 1e-9, 0.0, -1.0)]
)
def test_a_uniform_surface_that_cannot_be_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        Uniform(*values)
