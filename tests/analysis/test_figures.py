"""The hysteresis figure shows what the result holds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from analysis.alignment import analyse, steps_from_stops
from analysis.figures import Tiles, hysteresis_figure


@pytest.fixture
def result(stage_run):
    targets, reported, actual = stage_run(1.0, 3, 2, (0.6, 0.35), (0.08, 0.0))
    moved = np.diff(actual, axis=0)
    covariance = np.broadcast_to(np.eye(2) * 1e-6, (len(moved), 2, 2))
    return analyse(steps_from_stops(targets, reported, moved, covariance))


@pytest.fixture
def tiles(result):
    rng = np.random.default_rng(0)
    images = {int(n): rng.uniform(size=(16, 16)) for n in result.seq_num}
    return Tiles(images, pixel_size_nm=3750 / 16)


def drawn(figure, path):
    figure.savefig(path, dpi=50)
    return path.stat().st_size


def test_there_is_a_panel_an_axis_with_its_units(result):
    panels = hysteresis_figure(result).axes
    assert [p.get_xlabel() for p in panels] == ["reported x (µm)", "reported y (µm)"]
    assert all("(nm)" in p.get_ylabel() for p in panels)


def test_deficits_are_written_with_their_intervals(result):
    text = hysteresis_figure(result).axes[0].texts[0].get_text()
    # 0.68 µm of play; registration 1 nm, five quarters of it in a leg, three legs, t = 4.30
    assert "+x actual     680  [  677,   683]" in text
    assert "−x reported    80  [   80,    80]" in text


def test_first_steps_after_reversals_are_marked_red(result):
    from matplotlib.colors import to_hex

    panel = hysteresis_figure(result).axes[0]
    faces = [to_hex(line.get_markerfacecolor()) for line in panel.lines if line.get_marker() != ""]
    # three reversals to +x and three to -x, each drawn for the reported and the actual position
    assert faces.count("#d00000") == 2 * 6


def test_steps_of_unknown_history_are_open(result):
    panel = hysteresis_figure(result).axes[0]
    faces = [line.get_markerfacecolor() for line in panel.lines]
    assert faces.count("white") == 2 * 3


def test_tiles_of_one_leg_lie_at_their_actual_positions(result, tiles, tmp_path):
    from matplotlib.patches import Polygon

    figure = hysteresis_figure(result, tiles)
    assert drawn(figure, tmp_path / "figure.png") > 10_000
    panel = figure.axes[1]
    assert panel.get_xlabel() == "actual x (µm)"
    outlines = [patch.get_xy() for patch in panel.patches if isinstance(patch, Polygon)]
    centres = {np.round(outline[:4].mean(axis=0), 6)[0] for outline in outlines}
    assert centres <= set(np.round(result.actual[:, 0], 6))
    assert len(centres) == 4


def test_tiles_of_y_run_along_the_page(result, tiles):
    panel = hysteresis_figure(result, tiles).axes[3]
    assert panel.get_xlabel() == "actual y (µm)"
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # turned, not mirrored


def test_leg_without_images_says_so(result):
    figure = hysteresis_figure(result, Tiles({}, 1.0))
    assert "no images" in figure.axes[1].texts[0].get_text()


def test_caption_defines_the_actual_position(result):
    assert "actual = reported at the first stop" in hysteresis_figure(result).get_supxlabel()


def test_run_of_one_axis_has_one_panel(tmp_path):
    targets = np.array([(0, 0), (1, 0), (2, 0), (1, 0), (0, 0)], dtype=float)
    moved = np.diff(targets, axis=0)
    found = analyse(steps_from_stops(targets, targets, moved, np.tile(np.eye(2) * 1e-6, (4, 1, 1))))
    figure = hysteresis_figure(found)
    assert len(figure.axes) == 1
    drawn(figure, tmp_path / "figure.png")


def test_steps_of_a_tilt_are_drawn_as_reported_in_degrees(stage_run, tmp_path):
    targets, reported, _ = (a[:, 0] for a in stage_run(0.5, 4, 2, (0.0, 0.0), (0.08, 0.0)))
    still = np.zeros((len(targets), 2))
    units = {"x": "µm", "y": "µm", "alpha": "deg"}
    steps = steps_from_stops(
        np.column_stack([still, targets]),
        np.column_stack([still, reported]),
        np.diff(still, axis=0),
        np.tile(np.eye(2) * 1e-6, (len(targets) - 1, 1, 1)),
        units=units,
    )
    figure = hysteresis_figure(analyse(steps), Tiles({1: np.zeros((4, 4))}, 1.0))
    (panel,) = figure.axes
    assert panel.get_title(loc="left").endswith("steps along alpha")
    assert panel.get_ylabel() == "alpha: difference from target (deg)"
    text = panel.texts[0].get_text()
    assert "+alpha reported 0.0800" in text
    assert "actual" not in text
    drawn(figure, tmp_path / "figure.png")


def test_refused_registrations_break_the_line_and_are_not_drawn(stage_run, tmp_path):
    targets, reported, actual = stage_run(1.0, 3, 2, (0.6, 0.35))
    moved = np.diff(actual, axis=0)
    moved[4] = np.nan
    covariance = np.tile(np.eye(2) * 1e-6, (len(moved), 1, 1))
    covariance[4] = np.nan
    drawn(
        hysteresis_figure(analyse(steps_from_stops(targets, reported, moved, covariance))),
        tmp_path / "figure.png",
    )


def test_figure_does_not_touch_pyplot(result):
    hysteresis_figure(result)
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
