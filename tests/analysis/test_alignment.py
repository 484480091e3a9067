"""Steps, classes and deficits of stages whose backlash is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.alignment import StepClass, analyse, legs, steps_from_stops


def result(targets, reported, actual, sigma=1e-3, accepted=None):
    """Result of a run with noiseless displacements and a registration error of `sigma` um."""
    moved = np.diff(actual, axis=0)
    covariance = np.broadcast_to(np.eye(2) * sigma**2, (len(moved), 2, 2))
    return analyse(steps_from_stops(targets, reported, moved, covariance, accepted=accepted))


def along_x(positions):
    return np.stack([np.asarray(positions, dtype=float), np.zeros(len(positions))], axis=1)


def classes_of(positions):
    steps = result(along_x(positions), along_x(positions), along_x(positions)).steps
    return [step[0] for step in steps.step_class]


F, L, U, N = StepClass.FIRST, StepClass.LATER, StepClass.UNKNOWN, StepClass.NONE


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        ([0, 1, 2], [U, U]),
        ([0, 1, 2, 1, 0], [U, U, F, L]),
        ([0, 1, 0, 1], [U, F, F]),
        ([0, 1, 2, 1, 1, 0, -1], [U, U, F, N, L, L]),
    ],
)
def test_class_of_a_step_follows_from_the_commands_to_its_axis(targets, classes):
    assert classes_of(targets) == classes


def test_rounding_of_targets_is_no_step():
    assert classes_of([0.0, 0.1 + 0.2, 0.3]) == [U, N]


def test_steps_of_the_other_axis_do_not_change_the_history():
    targets = np.array([(0, 0), (1, 0), (0, 0), (0, 1), (0, 2), (-1, 0)], dtype=float)
    targets[-1] = (-1, 2)
    steps = result(targets, targets, targets).steps
    assert [c[0] for c in steps.step_class] == [U, F, N, N, L]
    assert [c[1] for c in steps.step_class] == [N, N, U, U, N]


def test_a_leg_goes_on_over_the_boundary_of_two_repeats(stage_run):
    targets, reported, actual = stage_run(1.0, 5, 3, (0.6, 0.35))
    steps = result(targets, reported, actual).steps
    # -x: two repeats of 5 and, where the plan turns to the -1 direction, 10 in one go
    assert [leg.size for leg in legs(steps, 0, -1)] == [5, 5, 10, 5, 5]
    assert [leg.size for leg in legs(steps, 0, +1)] == [5, 5, 5, 5, 5]


def test_deficit_is_the_play_put_in(stage_run):
    found = result(*stage_run(1.0, 5, 3, (0.6, 0.35), (0.08, 0.05)))
    for axis, play, shown in (("x", 0.6, 0.08), ("y", 0.35, 0.05)):
        for direction in (1, -1):
            deficit = found.deficit(axis, direction)
            assert deficit.actual.value == pytest.approx(play + shown, abs=1e-9)
            assert deficit.reported.value == pytest.approx(shown, abs=1e-9)
            assert deficit.actual.recovery_steps == 1
            assert deficit.actual.significant


def test_deficit_of_a_step_smaller_than_the_play_is_summed_over_steps(stage_run):
    found = result(*stage_run(0.25, 8, 3, (0.6, 0.35)))
    estimate = found.deficit("x", 1).actual
    assert estimate.value == pytest.approx(0.6, abs=1e-9)
    assert estimate.recovery_steps >= 3
    assert found.deficit("y", 1).actual.value == pytest.approx(0.35, abs=1e-9)
    assert found.deficit("y", 1).actual.recovery_steps >= 2


def test_leg_too_short_to_recover_says_so(stage_run):
    estimate = result(*stage_run(0.1, 4, 3, (0.9, 0.0))).deficit("x", 1).actual
    assert not estimate.recovered
    assert not estimate.significant
    assert "too short" in estimate.note
    assert np.isnan(estimate.low)


def test_ideal_stage_has_no_significant_deficit(stage_run):
    found = result(*stage_run(1.0, 5, 3, (0.0, 0.0)))
    assert not any(d.actual.significant or d.reported.significant for d in found.deficits)


def test_unequal_steps_are_measured_against_their_own_command(stage_run):
    targets = along_x([0, 1, 2, 3, 2.2, 1.2, 0.7, -0.4, 0.5, 1.5, 2.2, 3.0])
    actual = np.zeros_like(targets)
    place = 0.0
    for row, target in enumerate(targets[:, 0]):
        place = min(max(place, target - 0.2), target + 0.2)
        actual[row, 0] = place
    found = result(targets, targets, actual)
    assert found.deficit("x", 1).actual.value == pytest.approx(0.4, abs=1e-9)


def test_scale_error_of_the_images_is_no_deficit(stage_run):
    targets, reported, actual = stage_run(1.0, 5, 3, (0.0, 0.0))
    assert result(targets, reported, 1.05 * actual).deficit("x", 1).actual.value == pytest.approx(
        0.0, abs=1e-9
    )


def test_mean_of_later_less_first_when_the_first_step_recovers(stage_run):
    rng = np.random.default_rng(1)
    targets, reported, actual = stage_run(1.0, 5, 3, (0.6, 0.35))
    actual = actual + 0.02 * rng.standard_normal(actual.shape)
    found = result(targets, reported, actual)
    moved = np.diff(actual[:, 0])
    rows = legs(found.steps, 0, 1)
    by_hand = np.mean([moved[leg[1:]].mean() - moved[leg[0]] for leg in rows])
    assert found.deficit("x", 1).actual.value == pytest.approx(by_hand, abs=1e-12)


def test_counts_of_steps_by_class(stage_run):
    deficit = result(*stage_run(1.0, 5, 3, (0.6, 0.35))).deficit("x", 1)
    assert (deficit.steps, deficit.first_steps, deficit.later_steps) == (30, 5, 20)
    assert deficit.unknown_steps == 5


def test_refused_registration_ends_the_use_of_its_leg(stage_run):
    targets, reported, actual = stage_run(1.0, 5, 3, (0.6, 0.35))
    accepted = np.ones(len(targets) - 1, dtype=bool)
    whole = result(targets, reported, actual)
    first = legs(whole.steps, 0, 1)[0]
    accepted[first[0]] = False
    found = result(targets, reported, actual, accepted=accepted).deficit("x", 1).actual
    assert found.legs == 4
    assert found.value == pytest.approx(0.6, abs=1e-9)


def test_actual_position_starts_at_the_reported_one_and_adds_displacements(stage_run):
    targets, reported, actual = stage_run(1.0, 5, 2, (0.6, 0.35))
    found = result(targets, reported, actual + 5.0)
    expected = actual - actual[0] + reported[0]
    np.testing.assert_allclose(found.actual, expected, atol=1e-12)
    assert set(found.chain) == {0}


def test_after_a_refused_registration_the_chain_starts_again(stage_run):
    targets, reported, actual = stage_run(1.0, 5, 1, (0.6, 0.35))
    accepted = np.ones(len(targets) - 1, dtype=bool)
    accepted[3] = False
    found = result(targets, reported, actual, accepted=accepted)
    np.testing.assert_array_equal(found.actual[4], reported[4])
    assert found.chain[3] == 0
    assert found.chain[4] == 1


def test_error_of_the_actual_position_grows_as_the_root_of_the_steps(stage_run):
    found = result(*stage_run(1.0, 5, 1, (0.6, 0.35)), sigma=2e-3)
    np.testing.assert_allclose(
        found.actual_stderr[:, 0], 2e-3 * np.sqrt(np.arange(len(found.actual)))
    )


def test_reported_deficit_of_a_tilt_is_its_play_and_the_actual_one_is_unknown(stage_run):
    targets, reported, _ = (a[:, 0] for a in stage_run(0.5, 4, 2, (0.4, 0.0), (0.08, 0.0)))
    still = np.zeros((len(targets), 2))
    found = analyse(
        steps_from_stops(
            np.column_stack([still, targets]),
            np.column_stack([still, reported]),
            np.diff(still, axis=0),
            np.tile(np.eye(2) * 1e-6, (len(targets) - 1, 1, 1)),
            units={"x": "µm", "y": "µm", "alpha": "deg"},
        )
    )
    assert {(d.axis, d.unit) for d in found.deficits} == {("alpha", "deg")}
    deficit = found.deficit("alpha", 1)
    assert deficit.reported.value == pytest.approx(0.08, abs=1e-9)
    assert np.isnan(deficit.actual.value)
    assert deficit.actual.note == "images do not show alpha"


def test_a_step_of_two_axes_at_once_belongs_to_neither():
    targets = np.array([(0, 0, 0), (1, 0, 0), (0, 0, 0), (1, 0, 1), (2, 0, 1)], dtype=float)
    units = {"x": "µm", "y": "µm", "z": "µm"}
    moved, nothing = np.diff(targets[:, :2], axis=0), np.zeros((4, 2, 2))
    steps = steps_from_stops(targets, targets, moved, nothing, units=units)
    assert steps.of_axis(0).tolist() == [0, 1, 3]
    assert steps.of_axis(2).tolist() == []
    assert [leg.tolist() for leg in legs(steps, 0, 1)] == []


def test_cross_axis_displacement_is_reported():
    targets = along_x([0, 1, 2, 3, 2, 1, 0])
    actual = targets.copy()
    actual[:, 1] = 0.01 * targets[:, 0]
    found = result(targets, targets, actual)
    assert found.deficit("x", 1).cross_displacement == pytest.approx(0.01)
    assert found.deficit("x", -1).cross_displacement == pytest.approx(-0.01)


def test_run_of_one_reversal_states_that_its_scatter_is_borrowed():
    rng = np.random.default_rng(0)
    targets = along_x([0, 1, 2, 3, 2, 1, 0, -1])
    actual = targets + 0.01 * rng.standard_normal(targets.shape)
    estimate = result(targets, targets, actual).deficit("x", -1).actual
    assert estimate.legs == 1
    assert "one reversal" in estimate.note
    assert np.isfinite(estimate.high)


def test_legs_of_two_steps_cannot_tell_whether_the_second_has_recovered(stage_run):
    estimate = result(*stage_run(1.0, 2, 3, (0.6, 0.35))).deficit("x", 1).actual
    assert estimate.value == pytest.approx(0.6, abs=1e-9)
    assert "cannot be told" in estimate.note


def test_run_without_reversal_has_no_deficit():
    line = along_x([0, 1, 2, 3])
    estimate = result(line, line, line).deficit("x", 1).actual
    assert np.isnan(estimate.value)
    assert "no reversal" in estimate.note


def test_registration_error_bounds_the_interval_from_below(stage_run):
    found = result(*stage_run(1.0, 5, 3, (0.6, 0.35)), sigma=0.01).deficit("x", 1).actual
    # one leg: a first step and a quarter of four later ones
    assert found.stderr == pytest.approx(0.01 * np.sqrt(1.25) / np.sqrt(5), rel=0.02)


@pytest.mark.parametrize(("repeats", "step"), [(2, 1.0), (3, 1.0), (3, 0.25)])
def test_intervals_cover_the_deficit_put_in(stage_run, repeats, step):
    rng = np.random.default_rng(11)
    steps = 5 if step == 1.0 else 8
    targets, reported, actual = stage_run(step, steps, repeats, (0.6, 0.35))
    covered = []
    for _ in range(40):
        # position noise: neighbouring displacements share it
        noisy = actual + 0.04 * rng.standard_normal(actual.shape)
        found = result(targets, reported, noisy)
        covered += [
            d.actual.low <= (0.6 if d.axis == "x" else 0.35) <= d.actual.high
            for d in found.deficits
            if d.actual.recovered
        ]
    # 160 intervals of 95 %: 3 binomial standard deviations below
    assert np.mean(covered) >= 0.90


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="must be"):
        steps_from_stops(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2, 2)))
