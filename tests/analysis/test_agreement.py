"""The six cases of Fiedler et al. 2023, fig. 2: against simulated stages of known case."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.agreement import evaluate
from analysis.record import StageRecord
from plans.stage import hysteresis_targets
from sim.fleet import run_fleet
from sim.stage_family import CASES, random_case

NOISE = 3e-3  # µm, of the measured actual position
AXES = {"x": "µm", "y": "µm"}

# the first of them compiles the fleet of stages
pytestmark = pytest.mark.timeout(180)


def paper_sequence(step=1.0):
    path = np.array(hysteresis_targets(0.0, step, 5, 3))
    still = np.zeros_like(path)
    return np.concatenate([np.stack([path, still], 1), np.stack([still, path], 1)])


def simulated(stages, path, dwell=1.0):
    targets = np.full((len(path), 5), np.nan)
    targets[:, :2] = 1e-6 * path
    run = run_fleet(stages, targets, dwell=dwell)
    records = []
    for number in range(len(stages)):
        sent, said, was = (a[number, :, :2] * 1e6 for a in (run.target, run.reported, run.actual))
        was = was + np.random.default_rng(number).normal(0, NOISE, was.shape)
        spread = np.eye(2) * NOISE**2
        time = run.time[number]
        records.append(StageRecord.of(sent, said, was, covariance=spread, time=time))
    return records


@pytest.mark.parametrize("case", CASES)
def test_stages_of_a_case_are_told(case):
    stages = [random_case(case, seed) for seed in range(10)]
    found = [evaluate(record).case for record in simulated(stages, paper_sequence())]
    assert found == [case] * len(stages)


def line(scales, play=(0.0, 0.0), spread=0.0, seed=0, step=1.0, path=None):
    """Record of a stage in closed form: reported and actual scaled, short by play on each side."""
    rng = np.random.default_rng(seed)
    path = paper_sequence(step) if path is None else path
    way = np.sign(np.diff(path, axis=0, prepend=path[:1]))
    for stop in range(1, len(way)):
        way[stop] = np.where(way[stop] == 0, way[stop - 1], way[stop])
    kinds = [s * path - 0.5 * p * way for s, p in zip(scales, play, strict=True)]
    kinds = [k + rng.normal(0, 2e-3, path.shape) for k in kinds]
    kinds[1] += rng.normal(0, spread, path.shape)
    return StageRecord.of(path, *kinds, axes=AXES, covariance=np.eye(2) * 4e-6)


def test_the_scale_is_recovered_within_its_interval():
    found = evaluate(line((1.0, 1.05))).axis("x").comparisons[1].line
    assert found is not None
    assert found.scale_low < 0.05 < found.scale_high
    assert found.scale_high - found.scale_low < 2e-3


def test_the_direction_effect_is_the_play():
    found = evaluate(line((1.0, 1.0), play=(0.0, 0.3))).axis("y")
    assert found.comparisons[1].direction_effect == pytest.approx(-0.3, abs=0.01)
    assert found.case == "f"


def test_the_spread_is_what_does_not_repeat_less_the_measurement():
    found = evaluate(line((1.0, 1.0), spread=0.1)).axis("x").comparisons[1].spread
    assert found is not None
    assert found.low < 0.1 < found.high


def test_an_error_that_repeats_is_no_inconsistency():
    record = line((1.0, 1.0))
    screw = 0.1 * np.sin(2 * np.pi * record.target / 7.0)
    bent = StageRecord.of(record.target, record.reported, record.actual + screw)
    found = evaluate(bent)
    assert found.case == "b"
    assert "repeatably not straight" in str(found)


def test_axes_of_two_cases_are_together_what_holds_for_both():
    record = line((1.0, 1.0))
    actual = record.actual * [1.05, 1.0]
    found = evaluate(StageRecord.of(record.target, record.reported, actual))
    assert [axis.case for axis in found.axes] == ["b", "a"]
    assert found.case == "b"


def test_two_errors_below_the_tolerance_that_add_up_leave_the_closer_pair():
    found = evaluate(line((1.007, 1.012)))
    assert found.axis("x").case == "d"


def test_one_direction_only_is_said_not_to_show_hysteresis():
    path = np.stack([np.arange(20.0), np.zeros(20)], axis=1)
    found = evaluate(line((1.0, 1.0), play=(0.0, 0.3), path=path))
    assert found.axis("x").case == "a"
    assert "one direction of approach only: hysteresis cannot be known" in str(found)


def test_an_axis_without_images_has_no_case_but_its_reported_positions_are_judged():
    record = line((1.05, 1.0))
    found = evaluate(StageRecord.of(record.target, record.reported))
    assert found.case is None
    assert found.axis("x").comparisons[0].agrees is False
    assert "actual position is not known" in str(found)


def test_missing_images_leave_a_verdict_on_the_rest():
    record = line((1.0, 1.05))
    actual = record.actual.copy()
    actual[::3] = np.nan
    assert evaluate(StageRecord.of(record.target, record.reported, actual)).case == "b"


def test_segments_may_have_origins_of_their_own():
    record = line((1.0, 1.0))
    segment = np.repeat(np.arange(len(record) // 11), 11)[: len(record)]
    segment = np.append(segment, np.full(len(record) - len(segment), segment[-1]))
    actual = record.actual + 3.0 * segment[:, None]
    moved = StageRecord.of(record.target, record.reported, actual, segment=segment)
    assert evaluate(moved).case == "a"


def test_a_record_without_a_move_is_refused():
    with pytest.raises(ValueError, match="no axis was moved"):
        evaluate(StageRecord.of(np.zeros((5, 2))))


def test_a_tolerance_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="tolerance is 1"):
        evaluate(line((1.0, 1.0)), tolerance=1.0)
