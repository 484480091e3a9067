"""Impact copolymers: what they are made of, what their bulk does, and what lies where."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label

from sim.copolymer import FORMULATIONS, Copolymer, Formulation
from sim.forces import Sum

_UM, _MPA = 1e-6, 1e6

# Young's and flexural modulus and yield stress (MPa), ligament (um), Izod (J/m), elongation (%)
_TABLE = {
    "A2": (1171, 1241, 21.9, 0.363, 172, 209),
    "B1": (1348, 1429, 24.6, 0.478, 65, 79),
    "B2": (1268, 1344, 22.9, 0.387, 125, 172),
    "B3": (1193, 1264, 21.4, 0.300, 379, 317),
    "B4": (1142, 1210, 20.4, 0.257, 489, 375),
    "B5": (1038, 1100, 18.6, 0.221, 532, 409),
    "C3": (1161, 1231, 20.9, 0.256, 490, 376),
    "C5": (1085, 1150, 19.0, 0.194, 547, 426),
    "E4": (915, 970, 16.8, 0.235, 520, 398),
}


def _patch(side: float, points: int, origin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    axis = origin + np.linspace(0.0, side, points)
    x, y = np.meshgrid(axis, axis)
    return x, y


@pytest.mark.parametrize("name", _TABLE)
def test_the_bulk_of_a_sample_does_what_the_table_says(name: str) -> None:
    young, flexural, yield_stress, ligament, izod, elongation = _TABLE[name]
    bulk = FORMULATIONS[name].bulk()
    assert bulk.young / _MPA == pytest.approx(young, rel=0.003)
    assert bulk.flexural / _MPA == pytest.approx(flexural, rel=0.003)
    assert bulk.yield_stress / _MPA == pytest.approx(yield_stress, abs=0.05)
    assert FORMULATIONS[name].ligament / _UM == pytest.approx(ligament, abs=0.0006)
    assert bulk.izod == pytest.approx(izod, abs=0.6)
    assert 100 * bulk.elongation == pytest.approx(elongation, abs=0.6)


def test_the_table_has_no_other_samples() -> None:
    assert set(FORMULATIONS) == set(_TABLE)


@pytest.mark.parametrize("name", _TABLE)
def test_young_s_modulus_is_near_that_of_halpin_and_tsai(name: str) -> None:
    made = FORMULATIONS[name]
    ratio = made.rubber_modulus / made.matrix_modulus
    eta = (ratio - 1) / (ratio + 2)
    share = made.rubber_fraction
    expected = made.matrix_modulus * (1 + 2 * eta * share) / (1 - eta * share)
    assert made.bulk().young == pytest.approx(expected, rel=0.06)


def test_what_no_image_shows_changes_the_impact_strength_and_not_the_stiffness() -> None:
    rng = np.random.default_rng(1)
    made = FORMULATIONS["B3"]
    drawn = [made.bulk(rng) for _ in range(200)]
    assert {bulk.young for bulk in drawn} == {made.bulk().young}
    spread = np.std(np.log([bulk.izod for bulk in drawn]))
    assert spread > 3 * np.std(np.log([bulk.elongation for bulk in drawn]))


@pytest.mark.parametrize("name", ["A2", "C5", "E4"])
def test_rubber_and_polyethylene_take_their_shares_of_the_area(name: str) -> None:
    made = FORMULATIONS[name]
    x, y = np.random.default_rng(8).uniform(-5e-3, 5e-3, (2, 100_000))
    found = np.bincount(Copolymer(made, 3).component(x, y), minlength=3)
    assert found[1:].sum() / x.size == pytest.approx(made.rubber_fraction, rel=0.03)
    assert found[2] / found[1:].sum() == pytest.approx(made.inclusion_fraction, rel=0.06)


def test_domains_have_the_sizes_of_the_formulation() -> None:
    made = Formulation("sparse", 0.01, 0.7e-6, 0.4, 0.0, 0.3, 50e6, 1.5e9)
    side, points = 130e-6, 1100
    x, y = _patch(side, points)
    labels = np.asarray(label(Copolymer(made, 1).component(x, y) > 0))
    pixels = np.bincount(labels.ravel())[1:]
    diameters = np.sqrt(4 / np.pi * pixels) * side / points
    assert pixels.size > 150
    assert np.median(diameters) == pytest.approx(made.domain_diameter, rel=0.08)
    assert np.std(np.log(diameters)) == pytest.approx(made.domain_spread, rel=0.15)


def test_inclusions_have_rubber_all_around() -> None:
    component = Copolymer(FORMULATIONS["C5"], 2).component(*_patch(4e-6, 400))
    near = ndimage.binary_dilation(component == 2, iterations=1)
    assert not np.any(near & (component == 0))


def test_the_same_seed_makes_the_same_surface_and_another_another() -> None:
    x, y = _patch(4e-6, 40)
    made = FORMULATIONS["A2"]
    np.testing.assert_array_equal(Copolymer(made, 4).height(x, y), Copolymer(made, 4).height(x, y))
    assert np.any(Copolymer(made, 4).component(x, y) != Copolymer(made, 5).component(x, y))


def test_samples_of_one_seed_have_their_domains_elsewhere() -> None:
    x, y = _patch(20e-6, 100)
    made = FORMULATIONS["B3"]
    twin = replace(made, name="twin of B3")
    one, other = (Copolymer(each, 0).component(x, y) > 0 for each in (made, twin))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15


def test_fields_of_one_surface_differ() -> None:
    surface = Copolymer(FORMULATIONS["A2"], 0)
    fields = [surface.component(*_patch(8e-6, 60, origin)) for origin in (0.0, 1e-3, -2e-3)]
    assert np.any(fields[0] != fields[1])
    assert np.any(fields[1] != fields[2])


def test_a_point_is_the_same_wherever_it_is_asked_from() -> None:
    surface = Copolymer(FORMULATIONS["C3"], 2)
    x, y = _patch(6e-6, 30, -3e-6)
    height, contact = surface.height(x, y), surface.contact(x, y, 30e-9)
    for row, column in [(0, 0), (7, 21), (29, 3)]:
        point = x[row, column], y[row, column]
        assert height[row, column] == pytest.approx(float(surface.height(*point)))
        alone = surface.contact(*point, 30e-9)
        assert contact.modulus[row, column] == pytest.approx(float(alone.modulus))


@pytest.mark.parametrize(
    ("name", "component", "modulus"),
    [("A2", 1, 33e6), ("C5", 1, 130e6), ("A2", 0, 1.55e9), ("C5", 2, 0.3e9)],
)
def test_each_component_is_as_stiff_as_an_instrument_would_state(
    name: str, component: int, modulus: float
) -> None:
    surface = Copolymer(FORMULATIONS[name], 1)
    x, y = _patch(40e-6, 300)
    chosen = surface.component(x, y) == component
    stated = surface.contact(x, y, 30e-9).modulus[chosen] * (1 - 0.3**2)
    assert np.median(stated) == pytest.approx(modulus, rel=0.03)


def test_rubber_sticks_most_and_the_matrix_least() -> None:
    surface = Copolymer(FORMULATIONS["C5"], 1)
    x, y = _patch(10e-6, 150)
    adhesion, component = surface.contact(x, y, 30e-9).adhesion, surface.component(x, y)
    matrix, rubber, inclusion = (np.median(adhesion[component == k]) for k in range(3))
    assert matrix < inclusion < rubber
    assert rubber == pytest.approx(22e-9, rel=0.02)


def test_adhesion_grows_with_the_radius_of_the_tip() -> None:
    surface = Copolymer(FORMULATIONS["A2"])
    small, large = (surface.contact([0.0], [0.0], radius).adhesion for radius in (10e-9, 30e-9))
    assert large == pytest.approx(3 * small)


def test_domains_stand_out() -> None:
    surface = Copolymer(FORMULATIONS["E4"], 0)
    x, y = _patch(20e-6, 200)
    height, component = surface.height(x, y), surface.component(x, y)
    assert height[component == 1].mean() - height[component == 0].mean() > 2e-9


def test_the_knife_leaves_marks_along_one_direction() -> None:
    surface = Copolymer(FORMULATIONS["A2"], 7)
    x, y = _patch(4e-6, 256)
    height = np.where(surface.component(x, y) == 0, surface.height(x, y), 0.0)
    smooth = ndimage.gaussian_filter(height, 1.5)
    tensor = np.cov([np.gradient(smooth, axis=axis)[8:-8, 8:-8].ravel() for axis in (0, 1)])
    low, high = np.linalg.eigvalsh(tensor)
    assert high / low > 1.1


def test_the_laws_at_points_are_of_one_kind() -> None:
    x = np.linspace(0, 5e-6, 50)
    laws = Copolymer(FORMULATIONS["C5"], 1).forces(x, np.zeros(50), 10e-9)
    assert all(isinstance(law, Sum) for law in laws)
    assert len({law.kernels for law in laws}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"rubber_fraction": 0.6},
        {"rubber_fraction": 0.0},
        {"domain_diameter": 0.0},
        {"rubber_modulus": -1.0},
        {"inclusion_density": 1e15},
    ],
)
def test_an_impossible_formulation_is_refused(change: dict[str, float]) -> None:
    values = {
        "rubber_fraction": 0.2,
        "domain_diameter": 0.7e-6,
        "domain_spread": 0.4,
        "inclusion_density": 4e12,
        "inclusion_ratio": 0.3,
        "rubber_modulus": 50e6,
        "matrix_modulus": 1.5e9,
    }
    with pytest.raises(ValueError, match="allowed"):
        Formulation("odd", **(values | change))


def _drawn(number: int) -> np.ndarray:
    """Figures of so many drawn formulations, a row each."""
    rng = np.random.default_rng(5)
    return np.array([astuple(Formulation.drawn(rng, "new"))[1:] for _ in range(number)])


def test_drawn_formulations_fill_the_ranges_of_the_samples_and_leave_none() -> None:
    samples = np.array([astuple(made)[1:] for made in FORMULATIONS.values()])
    low, high = samples.min(axis=0), samples.max(axis=0)
    place = np.log(_drawn(500) / low) / np.log(high / low)
    assert place.min() > -1e-9
    assert place.max() < 1 + 1e-9
    np.testing.assert_allclose(
        np.quantile(place, [0.25, 0.5, 0.75], axis=0).T, [[0.25, 0.5, 0.75]] * 7, atol=0.08
    )


def test_a_figure_of_a_drawn_formulation_tells_nothing_of_another() -> None:
    between = np.corrcoef(np.log(_drawn(500)).T) - np.eye(7)
    assert np.abs(between).max() < 0.18  # four standard errors
