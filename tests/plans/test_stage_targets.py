"""Where the hysteresis plan sends an axis."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans.stage import hysteresis_targets

steps = st.integers(1, 12)
repeats = st.integers(1, 6)


@given(steps=steps, repeats=repeats)
def test_every_move_is_one_step(steps: int, repeats: int) -> None:
    targets = hysteresis_targets(0.0, 1.0, steps, repeats)
    assert {abs(b - a) for a, b in itertools.pairwise(targets)} == {1.0}


@given(start=st.floats(-500, 500), step=st.floats(1e-3, 5), steps=steps, repeats=repeats)
def test_the_axis_ends_exactly_where_it_began(
    start: float, step: float, steps: int, repeats: int
) -> None:
    assert hysteresis_targets(start, step, steps, repeats)[-1] == start


@given(steps=steps, repeats=repeats)
def test_both_directions_are_explored_equally_far(steps: int, repeats: int) -> None:
    targets = hysteresis_targets(0.0, 1.0, steps, repeats)
    assert (min(targets), max(targets)) == (-steps, steps)


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
def test_each_direction_meets_its_reversals(repeats: int) -> None:
    moves = [b - a for a, b in itertools.pairwise(hysteresis_targets(0.0, 1.0, 4, repeats))]
    reversals = [after for before, after in itertools.pairwise(moves) if before != after]
    assert reversals.count(1.0) == reversals.count(-1.0) == 2 * repeats - 1


@given(steps=steps, repeats=repeats)
def test_the_number_of_stops_is_as_documented(steps: int, repeats: int) -> None:
    assert len(hysteresis_targets(0.0, 1.0, steps, repeats)) == 1 + 4 * repeats * steps
