"""How a feature moves when the specimen is tilted: geometry, order of tilts and prediction."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.tilting import (
    SCHEMES,
    HoldLast,
    NoPrediction,
    TiltedField,
    TiltPredictor,
    cosine,
    fit_tilt_geometry,
    locate_field,
    tilt_scheme,
    turned,
    unchanged,
)
from sim.specimen import ProceduralSpecimen
from sim.stage import Stage, StageParameters, profile
from sim.stage_effects import TiltGeometry

NM = 1e-3
TILTS = np.arange(-60.0, 61.0, 5.0)
SURE = np.eye(2) * NM**2


def rigid_stage(axis_y: float, axis_z: float) -> StageParameters:
    """A stage that does nothing but turn about its axis."""
    return replace(profile("ideal"), tilt=TiltGeometry(axis_y, axis_z, wobble=(0.0, 0.0)))


def simulated(stage: StageParameters, tilts: Any) -> np.ndarray:
    """Where the simulator has the specimen at each tilt, (n, 3) µm."""
    simulator, time = Stage(stage, seed=0, start_time=0.0), 0.0
    places = []
    for tilt in tilts:
        time = simulator.command({"alpha": math.radians(tilt)}, time) + 1.0
        places.append(simulator.actual(time)[:3] * 1e6)
    return np.array(places)


def test_a_feature_goes_round_the_axis_as_the_simulators_does() -> None:
    stage = rigid_stage(axis_y=1.5e-6, axis_z=-8e-6)
    places = simulated(stage, [0.0, *TILTS])
    moved = places[1:, 1:] - places[0, 1:]
    np.testing.assert_allclose(turned(TILTS, -1.5, 8.0).T, moved, atol=1e-6)


def test_a_feature_on_the_axis_does_not_move() -> None:
    assert not turned(TILTS, 0.0, 0.0).any()


def test_the_fit_finds_the_axis_of_the_simulator() -> None:
    places = simulated(rigid_stage(axis_y=1.5e-6, axis_z=-8e-6), TILTS)
    found = fit_tilt_geometry(TILTS, places[:, 1], NM)
    assert (found.y_offset, found.z_offset) == pytest.approx((-1.5, 8.0), abs=1e-6)


def test_the_fits_errors_are_those_of_repeated_fits() -> None:
    rng = np.random.default_rng(1)
    tilts = np.linspace(-40, 40, 9)
    truth = turned(tilts, 2.0, -3.0)[0]
    fits = [fit_tilt_geometry(tilts, truth + rng.normal(0, 0.1, 9), 0.1) for _ in range(400)]
    spread = np.std([(f.y_offset, f.z_offset) for f in fits], axis=0)
    expected = math.sqrt(np.mean([f.covariance[1, 1] for f in fits]))
    assert spread[1] == pytest.approx(expected, rel=0.2)


def test_what_the_geometry_does_not_explain_widens_the_errors() -> None:
    rng = np.random.default_rng(2)
    strayed = turned(TILTS, 2.0, -3.0)[0] + rng.normal(0, 0.1, TILTS.size)
    trusted, strict = fit_tilt_geometry(TILTS, strayed, 0.1), fit_tilt_geometry(TILTS, strayed, NM)
    np.testing.assert_allclose(strict.stderr, trusted.stderr, rtol=0.3)


@pytest.mark.parametrize(
    ("alpha", "y", "stderr", "message"),
    [
        ([0, 1], [0, 1], 1.0, "at least 3"),
        ([0, 1, 1], [0, 1, 1], 1.0, "2 different tilts"),
        ([0, 1, 2], [0, 1], 1.0, "one y for each tilt"),
        ([0, 1, 2], [0, 1, math.nan], 1.0, "finite numbers"),
        ([0, 1, 2], [0, 1, 2], 0.0, "stderr above 0"),
    ],
)
def test_the_fit_refuses_what_it_cannot_use(
    alpha: Any, y: Any, stderr: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_tilt_geometry(alpha, y, stderr)


def test_a_dose_symmetric_series_goes_outwards_in_turns() -> None:
    assert tilt_scheme(-12, 12, 3, "dose-symmetric") == [0, 3, -3, -6, 6, 9, -9, -12, 12]


def test_a_lopsided_dose_symmetric_series_ends_on_the_longer_side() -> None:
    assert tilt_scheme(-3, 12, 3, "dose-symmetric") == [0, 3, -3, 6, 9, 12]


def test_a_bidirectional_series_returns_to_its_middle() -> None:
    assert tilt_scheme(-6, 6, 3, "bidirectional") == [0, 3, 6, -3, -6]


@given(
    start=st.integers(-70, 0),
    span=st.integers(1, 70),
    step=st.integers(1, 10),
    scheme=st.sampled_from(SCHEMES),
)
def test_every_scheme_takes_each_tilt_once(start: int, span: int, step: int, scheme: str) -> None:
    assert sorted(tilt_scheme(start, start + span, step, scheme)) == list(
        range(start, start + span + 1, step)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-60, 60, 3, "spiral"), "choose of dose-symmetric, continuous, bidirectional"),
        ((60, -60, 3, "continuous"), "from low to high"),
        ((-60, 60, 0, "continuous"), "step above 0"),
        ((-60, math.nan, 3, "continuous"), "finite"),
    ],
)
def test_a_series_that_is_none_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tilt_scheme(*arguments)


def errors(predictor: Any, tilts: list[float], places: np.ndarray) -> np.ndarray:
    """What a predictor gets wrong at every tilt but the first, (n - 1, 2) µm."""
    wrong = []
    for tilt, place in zip(tilts, places, strict=True):
        wrong.append(place - predictor.predict(tilt).position)
        predictor.observe(tilt, place, SURE)
    return np.array(wrong[1:])


def series(
    rng: np.random.Generator, tilts: list[float], *, walk: float, stray: float, height: float = 0.0
) -> np.ndarray:
    """Places of a feature that walks and strays at random beside its geometry, (n, 2) µm."""
    places = np.cumsum(rng.normal(0, walk, (len(tilts), 2)), axis=0)
    places += rng.normal(0, stray, places.shape)
    places[:, 1] += turned(tilts, 0.0, height)[0]
    return places - places[0]


def rms(wrong: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wrong**2)))


DOSE_SYMMETRIC = tilt_scheme(-60, 60, 3, "dose-symmetric")


def test_geometry_alone_is_predicted_to_the_nanometre_once_it_is_seen() -> None:
    places = series(np.random.default_rng(0), DOSE_SYMMETRIC, walk=0.0, stray=0.0, height=12.0)
    assert np.abs(errors(TiltPredictor(), DOSE_SYMMETRIC, places)[10:]).max() < 2 * NM


def test_a_walk_is_predicted_as_well_as_by_holding_the_last_place() -> None:
    rng = np.random.default_rng(3)
    tilts = tilt_scheme(-60, 60, 3, "continuous")
    runs = [series(rng, tilts, walk=0.08, stray=0.0) for _ in range(10)]
    held = rms(np.concatenate([errors(HoldLast(), tilts, run) for run in runs]))
    learnt = rms(np.concatenate([errors(TiltPredictor(), tilts, run) for run in runs]))
    assert learnt < 1.08 * held


def test_straying_is_averaged_where_holding_the_last_place_doubles_its_variance() -> None:
    rng = np.random.default_rng(4)
    runs = [series(rng, DOSE_SYMMETRIC, walk=0.0, stray=0.12) for _ in range(10)]

    def later(predictor: Any) -> float:
        return rms(np.concatenate([errors(predictor(), DOSE_SYMMETRIC, r)[15:] for r in runs]))

    assert later(TiltPredictor) < 0.85 * later(HoldLast)  # 0.71 if all else were known


def krios_series() -> tuple[list[float], np.ndarray]:
    """Tilts, and image shifts (µm) that kept the feature in the field, of a recorded series."""
    text = (Path(__file__).parents[1] / "data" / "em" / "tilt_series.mdoc").read_text()
    tilts = [float(tilt) for tilt in re.findall(r"TiltAngle = (\S+)", text)]
    shifts = [list(map(float, pair.split())) for pair in re.findall(r"ImageShift = (.+)", text)]
    return tilts, np.array(shifts) - shifts[0]


def test_on_a_krios_holding_the_last_place_is_errs_by_47_and_91_nm() -> None:
    wrong = errors(HoldLast(), *krios_series())
    np.testing.assert_allclose(np.sqrt(np.mean(wrong**2, axis=0)), [47 * NM, 91 * NM], rtol=0.1)


def test_on_a_krios_learning_costs_little_over_holding_which_is_best_there() -> None:
    learnt, held = (errors(p, *krios_series()) for p in (TiltPredictor(), HoldLast()))
    assert rms(learnt) < 1.2 * rms(held)


def test_the_stated_errors_of_a_prediction_are_those_it_makes() -> None:
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(10):
        predictor = TiltPredictor()
        places = series(rng, DOSE_SYMMETRIC, walk=0.07, stray=0.05, height=4.0)
        for tilt, place in zip(DOSE_SYMMETRIC, places, strict=True):
            expected = predictor.predict(tilt)
            if tilt != DOSE_SYMMETRIC[0]:
                ratios.append((place - expected.position) / np.sqrt(np.diag(expected.covariance)))
            predictor.observe(tilt, place, SURE)
    assert rms(np.array(ratios)) == pytest.approx(1.0, abs=0.12)


def test_the_change_of_focus_is_that_of_the_geometry() -> None:
    tilts = DOSE_SYMMETRIC
    places = np.zeros((len(tilts), 2))
    places[:, 1] = turned(tilts, 2.0, -6.0)[0]
    predictor = TiltPredictor()
    for tilt, place in zip(tilts, places, strict=True):
        predictor.observe(tilt, place, SURE)
    found = predictor.predict(50.0)
    assert abs(found.z - turned(50.0, 2.0, -6.0)[1]) < 3 * found.z_stderr < 1.0


def test_holding_holds_the_nearest_of_the_last_tilts() -> None:
    predictor = HoldLast()
    predictor.observe(3.0, (0.1, 0.2), SURE)
    predictor.observe(-3.0, (-0.1, 0.4), SURE)
    np.testing.assert_allclose(predictor.predict(6.0).position, (0.1, 0.2))


def test_no_prediction_stays_at_the_first_place() -> None:
    predictor = NoPrediction()
    predictor.observe(3.0, (0.1, 0.2), SURE)
    assert not predictor.predict(6.0).position.any()


PIXEL_UM = 0.03
TURNED = PIXEL_UM * np.array([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])


def picture(tilt: float, centre: tuple[float, float], foreshortening: Any) -> np.ndarray:
    """A flat specimen at a tilt, about a place (µm as seen), with the scan turned by 0.4 rad."""
    rows, columns = np.indices((160, 160)) - 79.5
    x, y = np.tensordot(TURNED, np.stack([columns, rows]), 1) + np.reshape(centre, (2, 1, 1))
    return ProceduralSpecimen(7).sample(1e-6 * x, 1e-6 * y / foreshortening(tilt))


@pytest.mark.parametrize(("first", "second"), [(45.0, 51.0), (51.0, 45.0)])
@pytest.mark.parametrize("foreshortening", [cosine, unchanged])
def test_a_field_is_found_in_spite_of_foreshortening(
    first: float, second: float, foreshortening: Any
) -> None:
    at, to = (0.1, -0.2), (0.25, 0.15)
    known = TiltedField(
        picture(first, at, foreshortening), foreshortening(first), np.array(at), np.zeros((2, 2))
    )
    image = picture(second, to, foreshortening)
    field, found = locate_field(known, image, foreshortening(second), TURNED, np.zeros(2), 0.4)
    assert field is not None, found.reason
    np.testing.assert_allclose(field.position, to, atol=0.1 * PIXEL_UM)
