"""The drift of a stage at rest: against lines of known slope."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.alignment import analyse, steps_from_stops
from analysis.stage_drift import stage_drift

VELOCITY = np.array([0.3, -0.05])  # nm/s
TIME = 5.0 * np.arange(13)


def run(places, time=TIME, targets=None, accepted=None):
    """Result of a run whose specimen was at `places`, nm."""
    still = np.zeros((len(places), 2)) if targets is None else targets
    moved = 1e-3 * np.diff(places, axis=0)
    spread = np.tile(np.eye(2) * 1e-8, (len(moved), 1, 1))
    return analyse(steps_from_stops(still, still, moved, spread, accepted=accepted), time=time)


def drifted(time=TIME):
    return time[:, None] * VELOCITY


def test_a_straight_track_gives_its_velocity():
    found = stage_drift(run(drifted()))
    np.testing.assert_allclose(found.velocity, VELOCITY, atol=1e-9)
    np.testing.assert_allclose(found.track, drifted(), atol=1e-6)
    assert found.speed == pytest.approx(np.hypot(*VELOCITY))


def test_the_interval_holds_the_velocity_as_often_as_it_says():
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(300):
        found = stage_drift(run(drifted() + rng.normal(0, 2.0, (13, 2))))
        inside += ((found.low < VELOCITY) & (VELOCITY < found.high)).tolist()
    assert 0.93 < np.mean(inside) < 0.99


def test_neighbours_that_hang_together_widen_the_interval():
    bent = drifted() + np.stack([4.0 * np.sin(TIME / 12.0), np.zeros(13)], axis=1)
    rng = np.random.default_rng(4)
    mixed = drifted() + np.stack([rng.permutation(bent[:, 0] - drifted()[:, 0]), np.zeros(13)], 1)
    widths = [
        np.ptp([found.low[0], found.high[0]]) for found in map(stage_drift, map(run, (bent, mixed)))
    ]
    assert widths[0] > 1.5 * widths[1]


def test_a_refused_registration_begins_a_chain_of_its_own():
    accepted = [True] * 12
    accepted[5] = False
    found = stage_drift(run(drifted(), accepted=accepted))
    np.testing.assert_allclose(found.velocity, VELOCITY, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": None}, "times of the images are needed"),
        ({"targets": np.outer(np.arange(13.0), [1.0, 0.0])}, "the stage was moved"),
    ],
)
def test_what_is_no_drift_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        stage_drift(run(drifted(), **change))


def test_three_images_are_too_few():
    with pytest.raises(ValueError, match="3 images in 1 chains"):
        stage_drift(run(drifted()[:3], time=TIME[:3]))
