"""Moves between images take their place in the record of a run."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.alignment import analyse, steps_from_stops
from analysis.moves import Move, with_moves

TARGETS = np.array([(0, 0), (1, 0), (2, 0)], dtype=float)
RECORDED = np.array([1000.0, 1010.0, 1020.0])


@pytest.fixture
def result():
    """Images ten seconds apart, on a clock that shows twice the seconds."""
    moved = np.diff(TARGETS, axis=0)
    steps = steps_from_stops(TARGETS, TARGETS, moved, np.tile(np.eye(2) * 1e-6, (2, 1, 1)))
    return analyse(steps, time=[0.0, 20.0, 40.0])


def test_moves_lie_between_the_images_in_the_order_of_time(result):
    moves = [Move(1015.0, (1.5, 0), (1.4, 0)), Move(1005.0, (0.5, 0), (0.4, 0))]
    record = with_moves(result, RECORDED, moves)
    np.testing.assert_array_equal(record.target[:, 0], [0, 0.5, 1, 1.5, 2])
    np.testing.assert_array_equal(record.reported[:, 0], [0, 0.4, 1, 1.4, 2])
    np.testing.assert_array_equal(np.isnan(record.actual[:, 0]), [0, 1, 0, 1, 0])


def test_their_times_are_on_the_clock_of_the_images(result):
    record = with_moves(result, RECORDED, [Move(1015.0, (1.5, 0), (1.5, 0))])
    np.testing.assert_allclose(record.time, [0, 20, 30, 40])


def test_they_are_remembered_as_approaches(result):
    record = with_moves(result, RECORDED, [Move(1015.0, (3, 0), (3, 0))])
    np.testing.assert_array_equal(record.direction[:, 0], [0, 1, 1, -1])


def test_without_moves_the_record_is_that_of_the_images(result):
    assert len(with_moves(result, RECORDED, [])) == 3
