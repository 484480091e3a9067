"""The figures of cross-axis, characterisation and drift runs show what the results hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from matplotlib.patches import Polygon

from analysis.alignment import analyse, steps_from_stops
from analysis.figures import Tiles, cross_axis_figure, drift_figure, model_figure
from analysis.stage_drift import StageDrift
from analysis.stage_model import AxisModel, Quantity, StageModel

WAY = [(1, 0), (1, 1), (2, 1), (2, 0), (2, 1), (1, 1), (1, 0), (0, 0)]
UNKNOWN = Quantity(np.nan, np.nan, np.nan, np.nan)


def exact(value):
    return Quantity(value, 0.0, value, value)


def result_of(targets, actual):
    moved = np.diff(actual, axis=0)
    covariance = np.tile(np.eye(2) * 1e-6, (len(moved), 1, 1))
    time = 10.0 * np.arange(len(targets))
    return analyse(steps_from_stops(targets, targets, moved, covariance), time=time)


@pytest.fixture
def crossed():
    """Each way out and back leaves (0.3, 0.1) µm."""
    ways = [[(0, 0)], WAY, [(-a, -b) for a, b in WAY]]
    targets = np.array([stop for way in ways for stop in way], dtype=float)
    lost = np.repeat([0.0, 1.0, 2.0], [1, len(WAY), len(WAY)])
    return result_of(targets, targets + np.outer(lost, [0.3, 0.1]))


def legend_of(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


def drawn(figure, path):
    figure.savefig(path, dpi=50)
    return path.stat().st_size


def test_the_way_back_is_quantified(crossed, tmp_path):
    figure = cross_axis_figure(crossed)
    text = figure.axes[1].texts[-1].get_text()
    # sqrt(0.3² + 0.1²) µm; eight registrations of 1 nm each
    assert "1: +x   316 ± 3.6 nm" in text
    assert "2: \N{MINUS SIGN}x   316" in text
    assert drawn(figure, tmp_path / "figure.png") > 5000


def test_the_plane_shows_target_reported_and_actual_of_all_stops(crossed):
    panel = cross_axis_figure(crossed).axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("x (µm)", "y (µm)")
    marks = {line.get_marker(): np.array(line.get_xydata()) for line in panel.lines}
    np.testing.assert_array_equal(marks["s"], crossed.target)
    np.testing.assert_array_equal(marks["o"], crossed.reported)
    np.testing.assert_array_equal(marks["^"], crossed.actual)


def test_tiles_of_each_way_out_lie_at_their_actual_positions(crossed, tmp_path):
    rng = np.random.default_rng(0)
    images = {int(n): rng.uniform(size=(8, 8)) for n in crossed.seq_num}
    figure = cross_axis_figure(crossed, Tiles(images, pixel_size_nm=3750 / 8))
    panels = figure.axes[2:]
    assert len(panels) == 2
    outlines = [patch.get_xy() for patch in panels[0].patches if isinstance(patch, Polygon)]
    centres = np.array([np.asarray(outline)[:4].mean(axis=0) for outline in outlines])
    np.testing.assert_allclose(centres, crossed.actual[:4], atol=1e-9)
    drawn(figure, tmp_path / "figure.png")


def test_a_tilt_has_no_actual_position_in_the_plane():
    tilts = np.array([(0, 0), *WAY], dtype=float)
    still = np.zeros((len(tilts), 1))
    targets = np.column_stack([tilts[:, 0], still, tilts[:, 1]])
    covariance = np.tile(np.eye(2) * 1e-6, (len(tilts) - 1, 1, 1))
    moved = np.diff(targets[:, :2], axis=0)
    units = {"x": "µm", "y": "µm", "alpha": "deg"}
    found = analyse(steps_from_stops(targets, targets, moved, covariance, units=units))
    panel = cross_axis_figure(found).axes[0]
    assert panel.get_ylabel() == "alpha (deg)"
    assert "^" not in [line.get_marker() for line in panel.lines]


def axis_model(name, screw=0.2):
    amplitudes = (exact(screw), exact(0.0))
    period, phases = (exact(20.0), (exact(0.0), exact(0.0)))
    if not screw:
        period, phases = UNKNOWN, (UNKNOWN, UNKNOWN)
    return AxisModel(
        axis=name,
        reported_scale=exact(1.0),
        reported_play=exact(0.0),
        scale=exact(1.0),
        play=exact(0.4),
        cells=(),
        backlash=exact(0.4),
        period=period,
        amplitudes=amplitudes,
        phases=phases,
        repeatability=exact(0.0),
        repeatability_length=exact(2.0),
        slip_memory=exact(0.5),
        creep=exact(0.0),
        creep_limit=exact(0.0),
        drift=exact(0.0),
        crosstalk=exact(0.0),
    )


@pytest.fixture
def characterised():
    """Loops, then a long way; the stage is what the model of x says, of play and screw alone."""
    loops = np.tile([0.0, 0.5, 1.0, 1.5, 1.0, 0.5], 4)
    path = np.concatenate([loops, np.arange(0.0, 60.0, 2.5), np.arange(60.0, 0.0, -2.5)])
    place, after = path[0] - 0.2, []
    for target in path:
        place = min(max(place, target - 0.2), target + 0.2)
        after.append(place)
    after = np.array(after)
    actual = after + 0.2 * np.sin(2 * np.pi * after / 20.0)
    found = result_of(np.stack([path, path], 1), np.stack([actual, actual], 1))
    when = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    model = StageModel((axis_model("x"), axis_model("y", screw=0.0)), when, "run", len(path))
    return replace(found, model=model)


def test_a_stage_that_is_its_model_leaves_no_residual(characterised, tmp_path):
    figure = model_figure(characterised)
    assert "actual \N{MINUS SIGN} model: 0 nm rms, 0 without its slow part" in legend_of(
        figure.axes[0]
    )
    assert drawn(figure, tmp_path / "figure.png") > 10_000


def test_the_points_of_the_screw_lie_on_its_curve(characterised):
    panel = model_figure(characterised).axes[2]
    points, curve = (np.array(line.get_xydata()) for line in panel.lines[:2])
    expected = np.interp(points[:, 0], *curve.T)
    np.testing.assert_allclose(points[:, 1], expected, atol=1.0)


def test_no_screw_is_said_to_be_none(characterised):
    panel = model_figure(characterised).axes[5]
    assert "no screw is seen" in panel.texts[0].get_text()


def test_a_run_without_a_model_has_no_figure_of_it(crossed):
    with pytest.raises(ValueError, match="no stage model to draw"):
        model_figure(crossed)


def test_a_drift_is_drawn_with_its_velocity_and_interval(tmp_path):
    elapsed = np.arange(6.0)
    velocity = np.array([0.5, -0.1])
    drift = StageDrift(
        velocity=velocity,
        stderr=np.array([0.02, 0.02]),
        low=velocity - 0.05,
        high=velocity + 0.05,
        rms=np.array([0.1, 0.1]),
        elapsed=elapsed,
        track=np.outer(elapsed, velocity),
    )
    figure = drift_figure(drift)
    words = "x: +0.500 nm/s, 95 % interval +0.450 to +0.550"
    assert words in legend_of(figure.axes[0])
    assert figure.axes[0].get_xlabel() == "time from the first image (s)"
    assert drawn(figure, tmp_path / "figure.png") > 5000
