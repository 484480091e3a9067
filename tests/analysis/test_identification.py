"""A model of the stage from one run: against closed forms and simulated ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis._sampling import sample
from analysis._stage_kernels import creep, play, whiten
from analysis.characterisation import characterisation_targets
from analysis.identification import identify
from analysis.record import StageRecord
from analysis.stage_model import load_stage_model, save_stage_model
from sim import play as sim_play
from sim.fleet import run_fleet
from sim.stage import random_stage

NOISE = 2e-3  # µm
DWELL = 2.0
WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SEED = 5002


@pytest.fixture(scope="module")
def stage():
    return random_stage(SEED)


@pytest.fixture(scope="module")
def record(stage):
    path = characterisation_targets()
    targets = np.full((len(path), 5), np.nan)
    targets[:, :2] = 1e-6 * path
    run = run_fleet([stage], targets, dwell=DWELL)
    sent, said, was = (a[0, :, :2] * 1e6 for a in (run.target, run.reported, run.actual))
    was = was + np.random.default_rng(1).normal(0, NOISE, was.shape)
    return StageRecord.of(
        sent, said, was, covariance=np.eye(2) * NOISE**2, time=run.time[0], source="twin"
    )


@pytest.fixture(scope="module")
def model(record):
    return identify(record, measured=WHEN, settle=DWELL)


def test_a_characterisation_is_at_most_200_images():
    assert len(characterisation_targets()) <= 200


@pytest.mark.parametrize("field", [10.0, 32.0])
def test_consecutive_images_of_a_characterisation_overlap(field):
    steps = np.diff(characterisation_targets(field_of_view=field), axis=0)
    assert np.hypot(*steps.T).max() <= 0.7 * field + 1e-9


def test_the_axes_are_uncorrelated_on_the_diamond():
    x, y = characterisation_targets()[-100:-12].T
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.05


def test_the_diamond_runs_over_either_axis_in_both_directions():
    way = np.diff(characterisation_targets()[-100:-12], axis=0)
    assert (way > 0).any(axis=0).all()
    assert (way < 0).any(axis=0).all()


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
    few = StageRecord.of(record.target[:20], record.reported[:20], record.actual[:20])
    with pytest.raises(ValueError, match="known at 20 stops of one segment, 60 are needed"):
        identify(few, measured=WHEN)


def test_a_run_without_times_is_refused(record):
    timeless = StageRecord.of(record.target, record.reported, record.actual)
    with pytest.raises(ValueError, match="times and targets of all stops are needed"):
        identify(timeless, measured=WHEN)


def test_the_play_is_that_of_the_simulator():
    inputs = np.random.default_rng(0).normal(size=50)
    expected, value = [], 0.1
    for number in inputs:
        value = sim_play.play(number, 0.4, value)
        expected.append(value)
    np.testing.assert_array_equal(play(inputs, 0.4, 0.1), expected)


def test_creep_relaxes_with_both_time_constants():
    output, time = np.array([0.0, 1.0, 1.0]), np.array([0.0, 10.0, 20.0])
    held = creep(output, time, 2.0, 0.06, 1.0, 0.6, 4.0, 60.0)
    after = np.array([2.0, 12.0])
    expected = 0.06 * (0.6 * np.exp(-after / 4.0) + 0.4 * np.exp(-after / 60.0))
    np.testing.assert_allclose(held[1:], expected)


def test_the_o_rings_hold_no_more_than_their_limit():
    output, time = np.arange(50.0), np.arange(50) * 1e-6
    held = creep(output, time, 0.0, 0.06, 0.1, 0.6, 4.0, 60.0)
    assert held.max() == pytest.approx(0.1, rel=1e-4)


def test_whitening_is_the_inverse_root_of_the_covariance():
    # the slip as written down: s' = m^p s + p sigma n; the motor's miss renewed with every way
    rng = np.random.default_rng(2)
    n, sigma, memory, motor, walk = 12, 0.3, 0.6, 0.2, 0.01
    part = np.where(rng.random(n) < 0.4, 0.0, rng.random(n))
    interval, variance = np.full(n, 2.0), np.full(n, 0.05)
    slip, miss = np.zeros((n, n)), np.zeros((n, n))
    spread, drawn = sigma**2 / (1 - memory**2), 0
    slip[0, 0], group = spread, [0]
    for i in range(1, n):
        stay = memory ** part[i]
        slip[i, :i] = slip[:i, i] = stay * slip[i - 1, :i]
        slip[i, i] = stay**2 * slip[i - 1, i - 1] + (sigma * part[i]) ** 2 + walk * interval[i]
        drawn += part[i] > 0
        group.append(drawn)
    miss = motor**2 * (np.array(group)[:, None] == np.array(group)[None, :])
    covariance = slip + miss + np.diag(variance)
    columns = rng.normal(size=(n, 2))
    known = np.ones(n, dtype=bool)
    found, log_sum = whiten(columns, part, interval, variance, sigma, memory, motor, walk, known)
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
