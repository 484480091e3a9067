"""The table of stops: what it knows of the history of an axis, and where it comes from."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.alignment import analyse, steps_from_stops
from analysis.record import StageRecord


def test_an_axis_keeps_the_direction_of_its_last_move():
    record = StageRecord.of([[0, 0], [1, 0], [1, 2], [0, 2]])
    np.testing.assert_array_equal(record.direction, [[0, 0], [1, 0], [1, 1], [-1, 1]])


def test_nobody_knows_how_the_first_stop_of_a_segment_was_approached():
    record = StageRecord.of([[0, 0], [1, 1], [2, 2]], segment=[0, 0, 1])
    np.testing.assert_array_equal(record.direction[2], [0, 0])


def test_what_is_not_given_is_unknown():
    record = StageRecord.of([[0, 0], [1, 1]])
    for values in (record.time, record.reported, record.actual, record.covariance):
        assert np.isnan(values).all()


def test_an_analysed_run_gives_its_stops_and_the_summed_variance_of_its_steps():
    target = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    moved, spread = np.array([[0.9, 0.0], [1.0, 0.0]]), np.array([np.eye(2) * 1e-4] * 2)
    record = StageRecord.of_result(analyse(steps_from_stops(target, target, moved, spread)))
    np.testing.assert_allclose(record.actual[:, 0], [0.0, 0.9, 1.9])
    np.testing.assert_allclose(record.measured_variance(0), [0.0, 1e-4, 2e-4])


def test_after_a_refused_registration_a_new_segment_begins():
    target = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    moved = np.array([[np.nan, np.nan], [1.0, 0.0]])
    spread = np.array([np.eye(2) * 1e-4] * 2)
    record = StageRecord.of_result(analyse(steps_from_stops(target, target, moved, spread)))
    np.testing.assert_array_equal(record.segment, [0, 1, 1])


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"reported has shape \(3, 2\), must be \(2, 2\)"):
        StageRecord.of(np.zeros((2, 2)), np.zeros((3, 2)))


def test_an_axis_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="'z' is not in the record: choose of x, y"):
        StageRecord.of([[0, 0]]).axis("z")
