"""A model of the stage from one run: against closed forms and simulated ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis._reported_fit import fit_reported
from analysis._sampling import sample
from analysis._stage_kernels import carried, creep, play, whiten
from analysis.characterisation import (
    CharacterisationPath,
    characterisation_path,
    characterisation_targets,
)
from analysis.identification import identify
from analysis.record import StageRecord
from analysis.stage_model import load_stage_model, save_stage_model
from sim import play as sim_play
from sim.stage import Stage, random_stage

NOISE = 2e-3  # µm
DWELL = 2.0
WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SEED = 5002


def run(parameters, path):
    """Record of a simulated run; 2 s to every image, half a second to every other stop."""
    stage, rng = Stage(parameters, seed=1, start_time=0.0), np.random.default_rng(1)
    time, said, was = [0.0], [], []
    for (x, y), imaged in zip(1e-6 * path.target, path.imaged, strict=True):
        now = max(time[-1], stage.command({"x": x, "y": y}, time[-1]))
        time.append(now + (DWELL if imaged else 0.5))
        said.append(1e6 * stage.readback(time[-1]).position[:2])
        was.append(1e6 * stage.actual(time[-1])[:2] + rng.normal(0, NOISE, 2))
    actual = np.where(path.imaged[:, None], was, np.nan)
    spread = np.eye(2) * NOISE**2
    return StageRecord.of(
        path.target, said, actual, covariance=spread, time=time[1:], source="twin"
    )


@pytest.fixture(scope="module")
def stage():
    return random_stage(SEED)


@pytest.fixture(scope="module")
def record(stage):
    return run(stage, characterisation_path())


@pytest.fixture(scope="module")
def model(record):
    return identify(record, measured=WHEN, settle=DWELL)


def test_a_characterisation_is_at_most_200_images():
    assert len(characterisation_targets()) <= 200


@pytest.mark.parametrize("field", [10.0, 32.0])
def test_consecutive_images_of_a_characterisation_overlap(field):
    steps = np.diff(characterisation_targets(field_of_view=field), axis=0)
    assert np.hypot(*steps.T).max() <= 0.7 * field + 1e-9


@pytest.fixture
def diamond():
    path = characterisation_path(rest_images=0)
    return path.target[path.imaged][-96:]


def test_the_axes_are_uncorrelated_on_the_diamond(diamond):
    x, y = diamond.T
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.05


def test_the_diamond_runs_over_either_axis_in_both_directions(diamond):
    way = np.diff(diamond, axis=0)
    assert (way > 0).any(axis=0).all()
    assert (way < 0).any(axis=0).all()


def test_the_last_move_to_an_image_is_no_longer_than_half_a_micrometre():
    path = characterisation_path()
    last = np.diff(path.target, axis=0)[path.imaged[1:]][1:]
    assert np.abs(last).max() <= 0.5 + 1e-9


def test_a_path_ends_where_its_centre_says():
    end = characterisation_path(centre=(10.0, -20.0)).target[-1]
    assert end - characterisation_path().target[-1] == pytest.approx([10.0, -20.0])


def test_the_targets_of_a_characterisation_are_those_of_its_images():
    path = characterisation_path()
    np.testing.assert_array_equal(characterisation_targets(), path.target[path.imaged])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"field_of_view": 1.0}, "field_of_view is 1.0 µm"),
        ({"diamond_images": 18}, "diamond_images is 18"),
        ({"rest_images": -1}, "rest_images is -1"),
    ],
)
def test_a_characterisation_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        characterisation_targets(**given)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_backlash_is_found(model, stage, axis):
    found, truth = model.axis(axis).backlash, 1e6 * getattr(stage, axis).backlash
    assert found.value == pytest.approx(truth, rel=0.05)
    assert found.low < truth < found.high


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_play_before_the_sensor_is_found(model, stage, axis):
    truth = 1e6 * getattr(stage, axis).sensor_play
    assert model.axis(axis).reported_play.value == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_period_of_the_screw_is_found(model, stage, axis):
    truth = 1e6 * getattr(stage, axis).periodic.period
    assert model.axis(axis).period.value == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_amplitude_of_the_screw_is_found(model, stage, axis):
    found, truth = model.axis(axis).amplitudes[0], 1e6 * getattr(stage, axis).periodic.amplitudes[0]
    assert found.low < truth < found.high
    assert found.high - found.low < 0.05


@pytest.mark.parametrize(("axis", "place"), [("x", (0, 1)), ("y", (1, 0))])
def test_cross_talk_is_found_to_a_thousandth(model, stage, axis, place):
    truth = stage.crosstalk[place[0]][place[1]]
    assert model.axis(axis).crosstalk.value == pytest.approx(truth, abs=1e-3)


def test_the_scale_is_found_to_a_thousandth(model):
    assert [a.scale.value for a in model.axes] == pytest.approx([1.0, 1.0], abs=1e-3)


def test_a_saved_model_is_the_model(model, tmp_path):
    path = tmp_path / "stage.json"
    save_stage_model(model, path)
    assert load_stage_model(path) == model


def test_what_is_unknown_survives_a_file(model, tmp_path):
    unknown = replace(model.axes[0].period, stderr=np.nan)
    axes = (replace(model.axes[0], period=unknown), model.axes[1])
    path = tmp_path / "stage.json"
    save_stage_model(replace(model, axes=axes), path)
    assert np.isnan(load_stage_model(path).axes[0].period.stderr)


def test_a_model_says_where_it_is_from_and_when_to_measure_again(model):
    assert (model.source, model.images, model.measured) == ("twin", 198, WHEN)
    assert not model.stale(WHEN + timedelta(hours=23))
    assert model.stale(WHEN + timedelta(hours=25))


def test_an_axis_that_was_not_identified_is_refused(model):
    with pytest.raises(ValueError, match="no axis 'z': choose of x, y"):
        model.axis("z")


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other"}', "[1]"])
def test_a_file_without_a_model_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "stage.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no stage model") as caught:
        load_stage_model(path)
    assert "\n" not in str(caught.value)


def test_too_few_images_are_refused(record):
    actual = np.where(np.arange(len(record))[:, None] < 102, record.actual, np.nan)
    few = replace(record, actual=actual)
    with pytest.raises(ValueError, match="actual x and y are known at 24 stops, 60 are needed"):
        identify(few, measured=WHEN)


def test_a_run_without_times_is_refused(record):
    timeless = StageRecord.of(record.target, record.reported, record.actual)
    with pytest.raises(ValueError, match="times and targets of all stops are needed"):
        identify(timeless, measured=WHEN)


def test_a_stage_that_never_moved_is_refused(record):
    still = np.zeros_like(record.target)
    with pytest.raises(ValueError, match="the targets of x and y never change"):
        identify(StageRecord.of(still, still, still, time=record.time), measured=WHEN)


def found_in(record):
    return identify(record, measured=WHEN, settle=DWELL)


@pytest.fixture(scope="module")
def alone(stage):
    path = characterisation_path()
    return found_in(run(stage, replace(path, target=path.target * [1.0, 0.0])))


@pytest.mark.slow
class TestARunThatLacksSomething:
    """What cannot be told is in the notes, and the rest is there."""

    def test_segments_without_a_common_origin_are_joined(self, record, stage):
        late = np.arange(len(record)) > 800
        actual = record.actual + np.where(late[:, None], [3.0, -2.0], 0.0)
        found = found_in(replace(record, actual=actual, segment=late.astype(np.int64)))
        assert found.images == 198
        assert found.axis("x").crosstalk.value == pytest.approx(stage.crosstalk[0][1], abs=1e-3)
        assert found.axis("y").backlash.value == pytest.approx(1e6 * stage.y.backlash, rel=0.05)

    def test_a_fifth_of_the_images_may_be_missing(self, record, stage):
        actual = record.actual.copy()
        actual[np.flatnonzero(np.isfinite(actual[:, 0]))[::5]] = np.nan
        found = found_in(replace(record, actual=actual))
        assert found.images == 158
        assert found.axis("x").backlash.value == pytest.approx(1e6 * stage.x.backlash, rel=0.05)

    def test_without_reversals_there_is_no_play(self, stage):
        way = np.cumsum(np.random.default_rng(3).uniform(2, 6, (120, 2)), axis=0) - 240.0
        way[:, 1] *= np.cos(np.linspace(0, 0.8, 120))
        found = found_in(run(stage, CharacterisationPath(way, np.ones(len(way), dtype=bool))))
        x = found.axis("x")
        assert np.isnan([x.play.value, x.backlash.value, x.reported_play.value]).all()
        assert "x: play and backlash are not known, for the axis hardly reverses" in found.notes
        assert x.scale.value == pytest.approx(1.0, abs=5e-3)
        assert x.period.value == pytest.approx(1e6 * stage.x.periodic.period, rel=0.02)

    def test_an_axis_that_never_moved_is_not_in_the_model(self, alone):
        assert [axis.axis for axis in alone.axes] == ["x"]
        assert alone.notes[0] == "y: not known, for it never moved"

    def test_one_axis_alone_tells_nothing_of_cross_talk(self, alone):
        assert np.isnan(alone.axis("x").crosstalk.value)
        assert "x: cross-talk is not known, for nothing else moves on its own" in alone.notes

    def test_one_axis_alone_has_its_backlash(self, alone, stage):
        found = alone.axis("x").backlash
        assert found.value == pytest.approx(1e6 * stage.x.backlash, rel=0.05)

    def test_without_reported_positions_all_play_is_behind_the_sensor(self, record, stage):
        found = found_in(replace(record, reported=np.full_like(record.reported, np.nan)))
        assert np.isnan(found.axis("x").reported_play.value)
        assert found.axis("x").backlash.value == pytest.approx(1e6 * stage.x.backlash, rel=0.05)


def test_the_reported_play_is_the_difference_of_the_two_directions():
    target = 0.1 * np.tile(np.r_[0.0:20.0, 18.0:0.0:-1.0], 5)
    reported = 1.02 * play(target, 0.04, 0.04) + 7.0
    found = fit_reported(target, reported)
    assert (found.half_play, found.scale) == pytest.approx((0.04, 1.02), rel=1e-6)


def test_what_the_motor_missed_is_what_the_reported_position_is_beside_the_play():
    target = 0.1 * np.tile(np.r_[0.0:20.0, 18.0:0.0:-1.0], 5)
    miss = np.random.default_rng(5).normal(0, 5e-3, len(target))
    found = fit_reported(target, target + miss)
    np.testing.assert_allclose(found.miss, miss, atol=2e-3)


def test_a_specimen_in_its_play_keeps_the_miss_that_it_came_with():
    miss, loose = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.5, 0.5, 0.7])
    np.testing.assert_array_equal(carried(miss, loose), [1.0, 2.0, 2.0, 4.0])


def test_the_play_is_that_of_the_simulator():
    inputs = np.random.default_rng(0).normal(size=50)
    expected, value = [], 0.1
    for number in inputs:
        value = sim_play.play(number, 0.4, value)
        expected.append(value)
    np.testing.assert_array_equal(play(inputs, 0.4, 0.1), expected)


def test_creep_relaxes_with_both_time_constants():
    output, time = np.array([0.0, 1.0, 1.0]), np.array([0.0, 10.0, 20.0])
    held = creep(output, time, np.full(3, 2.0), 0.06, 1.0, 0.6, 4.0, 60.0)
    after = np.array([2.0, 12.0])
    expected = 0.06 * (0.6 * np.exp(-after / 4.0) + 0.4 * np.exp(-after / 60.0))
    np.testing.assert_allclose(held[1:], expected)


def test_the_o_rings_hold_no_more_than_their_limit():
    output, time = np.arange(50.0), np.arange(50) * 1e-6
    held = creep(output, time, np.zeros(50), 0.06, 0.1, 0.6, 4.0, 60.0)
    assert held.max() == pytest.approx(0.1, rel=1e-4)


def test_whitening_is_the_inverse_root_of_the_covariance():
    # as written down: slip s' = m^p s + p sigma n; the motor's miss renewed with every way; drift
    # of a velocity that is a random walk from 0, q (min^2 max / 2 - min^3 / 6)
    rng = np.random.default_rng(2)
    n, sigma, memory, motor, wander = 12, 0.3, 0.6, 0.2, 1e-3
    part = np.where(rng.random(n) < 0.4, 0.0, rng.random(n))
    time = np.cumsum(rng.uniform(1, 3, n))
    slip = np.zeros((n, n))
    slip[0, 0], group = sigma**2 / (1 - memory**2), [0]
    for i in range(1, n):
        stay = memory ** part[i]
        slip[i, :i] = slip[:i, i] = stay * slip[i - 1, :i]
        slip[i, i] = stay**2 * slip[i - 1, i - 1] + (sigma * part[i]) ** 2
        group.append(group[-1] + (part[i] > 0))
    miss = motor**2 * np.equal.outer(group, group)
    low = np.minimum.outer(time - time[0], time - time[0])
    high = np.maximum.outer(time - time[0], time - time[0])
    covariance = slip + miss + wander * (low**2 * high / 2 - low**3 / 6)
    known = np.array([0, 1, 2, 4, 5, 8, 9, 11])
    covariance = covariance[np.ix_(known, known)] + np.diag(np.full(len(known), 0.05))
    columns = rng.normal(size=(len(known), 2))
    found, log_sum = whiten(
        columns, known, part, np.diff(time, prepend=time[0]), np.full(len(known), 0.05),
        sigma, memory, motor, wander,
    )  # fmt: skip
    np.testing.assert_allclose(found.T @ found, columns.T @ np.linalg.solve(covariance, columns))
    assert log_sum == pytest.approx(np.linalg.slogdet(covariance)[1])


def test_a_sample_has_the_mean_and_the_covariance_of_its_density():
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    inverse = np.linalg.inv(covariance)

    def log_density(p):
        return -0.5 * float((p - 3.0) @ inverse @ (p - 3.0))

    drawn = sample(log_density, np.array([[3.0, 3.0]]), np.full(2, 0.5), np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), [3.0, 3.0], atol=0.2)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.25)


def test_a_sample_leaves_a_mode_without_weight():
    def log_density(p):  # beside a narrow mode at 0 a wide one at 40 of e^-60 of its height
        return float(np.logaddexp(-0.5 * p @ p / 0.05**2, -60.0 - 0.5 * np.sum((p - 40.0) ** 2)))

    centres = np.array([[0.0] * 3, *[[40.0] * 3] * 30])
    drawn = sample(log_density, centres, np.full(3, 0.05), np.random.default_rng(0))
    assert np.abs(drawn).max() < 0.4
    np.testing.assert_allclose(drawn.std(axis=0), 0.05, rtol=0.25)
