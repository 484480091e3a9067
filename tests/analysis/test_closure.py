"""Whether a stage comes back: against the closed form of a play."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.alignment import analyse, steps_from_stops
from analysis.closure import closures

WIDTHS = (0.3, 0.2)  # µm of play, x and y
OUT = [(1, 0), (1, 1), (2, 1), (2, 0)]


def excursion(sign, axis):
    """Two axes stepped in turn, outward along one of them and back."""
    way = [*OUT, *reversed(OUT[:-1]), (0, 0)]
    return [(sign * a, b)[:: 1 - 2 * axis] for a, b in way]


def played(targets, width):
    place, found = 0.0, []
    for target in targets:
        place = min(max(place, target - width / 2), target + width / 2)
        found.append(place)
    return np.array(found)


def result(targets, accepted=None):
    targets = np.array(targets, dtype=float)
    actual = np.stack([played(targets[:, k], WIDTHS[k]) for k in range(2)], axis=1)
    moved = np.diff(actual, axis=0)
    spread = np.tile(np.eye(2) * 1e-6, (len(moved), 1, 1))
    return analyse(steps_from_stops(targets, targets, moved, spread, accepted=accepted))


@pytest.fixture
def found():
    ways = [excursion(1, 0), excursion(1, 0), excursion(-1, 0), excursion(1, 1)]
    return closures(result([(0, 0), *(stop for way in ways for stop in way)]))


def test_each_excursion_is_found_with_its_direction(found):
    assert [(c.axis, c.direction) for c in found] == [("x", 1), ("x", 1), ("x", -1), ("y", 1)]


def test_the_first_way_out_and_back_leaves_half_the_play(found):
    np.testing.assert_allclose(found[0].actual, [0.15, 0.1])


def test_the_same_way_again_leaves_nothing(found):
    np.testing.assert_allclose(found[1].actual, 0.0, atol=1e-12)


def test_a_way_to_the_other_side_leaves_the_whole_play(found):
    np.testing.assert_allclose(found[2].actual, [-0.3, 0.0], atol=1e-12)


def test_the_standard_error_is_that_of_the_sum_of_the_registrations(found):
    np.testing.assert_allclose(found[0].stderr, np.sqrt(8e-6))


def test_a_missing_image_leaves_it_unknown():
    targets = [(0, 0), *excursion(1, 0)]
    accepted = [True] * (len(targets) - 1)
    accepted[3] = False
    (closure,) = closures(result(targets, accepted))
    assert np.isnan(closure.distance)


def test_one_axis_alone_is_no_cross_axis_excursion():
    assert closures(result([(0, 0), (1, 0), (2, 0), (1, 0), (0, 0)])) == ()


def test_axes_that_move_at_once_are_no_excursion():
    assert closures(result([(0, 0), (1, 1), (2, 2), (1, 1), (0, 0)])) == ()
