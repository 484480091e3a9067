"""The ball, the tilt axes and the cross-talk against rotations of SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim.kinematics import place, swing
from sim.records import pack_body
from sim.stage import Stage, profile
from sim.stage_effects import SphericalMount, TiltGeometry

UM, NM, MM = 1e-6, 1e-9, 1e-3
DEG = np.pi / 180


def placed(axes, **geometry) -> np.ndarray:
    """Return where an ideal stage with `geometry` puts the specimen."""
    body = pack_body(replace(profile("ideal"), **geometry), 0.0)[0]
    out = np.empty(5)
    place(np.array(axes, dtype=float), body, out)
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_ball_swings_the_rod_as_a_rotation_does(seed):
    x, y, z = np.random.default_rng(seed).uniform(-1, 1, 3) * MM
    length = 80 * MM
    rotation = Rotation.from_euler("z", y / length) * Rotation.from_euler("y", -z / length)
    expected = rotation.apply([length + x, 0, 0]) - [length, 0, 0]
    np.testing.assert_allclose(swing(x, y, z, length), expected, atol=1e-3 * NM)


@pytest.mark.parametrize(("y", "fall"), [(1 * MM, 6.25 * UM), (100 * UM, 62.5 * NM)])
def test_the_arc_falls_short_along_the_rod_by_its_sagitta(y, fall):
    found = placed([0, y, 0, 0, 0], mount=SphericalMount(80 * MM, residual=1.0))
    assert found[0] == pytest.approx(-fall, rel=1e-3)


def test_a_makers_linearisation_leaves_its_part_of_the_arc():
    whole, part, none = (
        placed([0, MM, 0, 0, 0], mount=SphericalMount(80 * MM, residual))
        for residual in (1.0, 0.3, 0.0)
    )
    assert part[0] == pytest.approx(0.3 * whole[0])
    assert none.tolist() == [0, MM, 0, 0, 0]


def test_y_turns_the_specimen_in_its_plane():
    stage = Stage(replace(profile("ideal"), mount=SphericalMount(80 * MM)), seed=1, start_time=0.0)
    end = stage.command({"y": 0.99 * MM}, 0.0)
    assert stage.rotation(end)[0] == pytest.approx(0.99 / 80)
    assert Stage(profile("ideal"), seed=1, start_time=0.0).rotation(1.0)[0] == 0


@pytest.mark.parametrize("seed", range(5))
def test_tilts_are_rotations_about_their_offset_axes(seed):
    rng = np.random.default_rng(seed)
    position = rng.uniform(-50, 50, 3) * UM
    alpha, beta = rng.uniform(-60, 60) * DEG, rng.uniform(-25, 25) * DEG
    axis = np.array([0.0, 1 * UM, 12 * UM])
    cradle = np.array([3 * UM, 0.0, 30 * UM])
    tilt = TiltGeometry(axis[1], axis[2], cradle[0], cradle[2], wobble=(0.0, 0.0))
    found = placed([*position, alpha, beta], tilt=tilt)
    in_rod = position + cradle - Rotation.from_euler("y", beta).apply(cradle)
    expected = Rotation.from_euler("x", alpha).apply(in_rod - axis) + axis
    np.testing.assert_allclose(found[:3], expected, atol=1e-3 * NM)
    assert found[3:].tolist() == [alpha, beta]


def test_an_error_in_eucentric_height_moves_y_by_its_sine_and_the_focus_by_its_cosine():
    tilt = TiltGeometry(0.0, 10 * UM, wobble=(0.0, 0.0))
    found = placed([0, 0, 0, 30 * DEG, 0], tilt=tilt)
    assert found[1] == pytest.approx(10 * UM * 0.5)
    assert found[2] == pytest.approx(10 * UM * (1 - np.sqrt(3) / 2))


def test_the_wobble_is_two_harmonics_of_alpha_and_zero_at_zero():
    phases = ((0.4, 1.1), (2.3, 0.2), (4.0, 2.6))
    tilt = TiltGeometry(0.0, 0.0, 0.0, 0.0, (60 * NM, 40 * NM), phases)
    for alpha in np.linspace(-60, 60, 9) * DEG:
        found = placed([0, 0, 0, alpha, 0], tilt=tilt)
        for axis, (p, q) in enumerate(phases):
            expected = 60 * NM * (np.sin(alpha + p) - np.sin(p))
            expected += 40 * NM * (np.sin(2 * alpha + q) - np.sin(q))
            assert found[axis] == pytest.approx(expected, abs=1e-6 * NM)


def test_crosstalk_is_a_matrix():
    k = ((0.0, 0.002, 0.0005), (-0.0026, 0.0, 0.001), (0.0, 0.0, 0.0))
    found = placed([10 * UM, 20 * UM, 30 * UM, 0, 0], crosstalk=k)
    expected = (np.eye(3) + k) @ np.array([10, 20, 30]) * UM
    np.testing.assert_allclose(found[:3], expected, rtol=1e-12)
