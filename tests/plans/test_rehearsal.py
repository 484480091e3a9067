"""What a rehearsal tells of a plan: against calculation by hand, and what the microscope does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from hypothesis import given
from hypothesis import strategies as st
from ophyd.sim import SynAxis

import plans._walk
from devices.approaches import OverTravel, PlayInversion
from devices.goniometer import Axis
from devices.positioning import CompensatedStage
from devices.wire import LimitError
from plans import hysteresis, mosaic
from plans._exposures import Exposure, most_exposed
from plans.characterisation import characterise
from plans.cross_axis import cross_axis
from plans.drift import measure_drift
from plans.rehearsal import rehearse
from sim.motion import plan_leg

SHORT: Any = {"axes": ("x",), "step": 0.5, "steps": 2, "repeats": 1}
# The bench: x and y at 20 µm/s, z at 10 µm/s; 32 x 48 pixels of 1 µs and 78.125 nm.
FRAME_S = 32 * 48 * 1e-6
PIXEL_ANGSTROM = 781.25


def dose_of_an_image(bench: Any) -> float:
    return bench.simulated.camera.read().electrons_per_pixel / PIXEL_ANGSTROM**2


def changes(bench: Any) -> dict[str, int]:
    """What was asked of the server but readings."""
    return {name: n for name, n in bench.client.sent.items() if not name.endswith(".read")}


def asked(plan: Any, *signals: Any, answers: Mapping[Any, Any] | None = None) -> list[Any]:
    """What a plan reads of signals when it has done what `plan` does."""
    found: list[Any] = []

    def reading() -> Any:
        yield from plan
        for signal in signals:
            found.append((yield from bps.rd(signal)))  # noqa: PERF401

    rehearse(reading(), answers=answers)
    return found


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes that tell of no ramps and no late readings: a move takes distance over speed."""
    said: Any = Axis.capabilities
    told = {"acceleration_time": 0.0, "readback_lag": 0.0}
    monkeypatch.setattr(Axis, "capabilities", property(lambda axis: {**said.fget(axis), **told}))


def test_counts_the_moves_and_images_of_a_hysteresis_run(bench: Any) -> None:
    would = rehearse(hysteresis(bench.tem, **SHORT))
    # 1 + 4 x 1 x 2 stops, and the way home
    assert (would.moves, would.images) == (10, 9)


def test_tells_the_way_and_the_extent_of_each_axis(bench: Any) -> None:
    bench.tem.goniometer.x.set(3.0).wait(30)
    would = rehearse(hysteresis(bench.tem, **SHORT))
    assert would.travel == {"x": pytest.approx(4.0)}
    assert would.extents == {"x": (pytest.approx(2.0), pytest.approx(4.0))}
    assert would.units == {"x": "µm"}


def test_moves_take_distance_over_speed_and_frames_their_pixels(bench: Any, steady: None) -> None:
    would = rehearse(hysteresis(bench.tem, **SHORT, settle_time=2.0))
    assert would.moving == pytest.approx(8 * 0.5 / 20)
    assert would.exposing == pytest.approx(9 * FRAME_S)
    assert would.sleeping == pytest.approx(9 * 2.0)
    assert would.duration == pytest.approx(would.moving + would.exposing + would.sleeping)


def test_axes_that_move_together_take_as_long_as_the_slowest(bench: Any, steady: None) -> None:
    would = rehearse(bps.mv(bench.tem.goniometer, {"x": 10.0, "z": 10.0}))
    assert would.duration == pytest.approx(10.0 / 10)


def test_axes_that_are_set_side_by_side_move_at_once(bench: Any, steady: None) -> None:
    axes = bench.tem.goniometer
    would = rehearse(bps.mv(axes.x, 10.0, axes.z, 10.0))
    assert (would.moves, would.duration) == (2, pytest.approx(10.0 / 10))


def test_what_is_not_waited_for_goes_on_meanwhile(bench: Any, steady: None) -> None:
    def plan() -> Any:
        yield from bps.abs_set(bench.tem.goniometer.x, 20.0, group="stage")
        yield from bps.sleep(0.7)
        yield from bps.wait("stage")

    assert rehearse(plan()).duration == pytest.approx(1.0)


@pytest.mark.parametrize("distance", [0.5, 5.0, 6.0, 50.0])
def test_ramps_and_late_readings_count_where_the_instrument_tells_them(
    bench: Any, monkeypatch: pytest.MonkeyPatch, distance: float
) -> None:
    ramp, lag, said = 0.3, 0.2, dict(bench.tem.goniometer.x.capabilities)
    told = {**said, "acceleration_time": ramp, "readback_lag": lag}
    monkeypatch.setattr(Axis, "capabilities", told)
    *_, leg = plan_leg(1e-6 * distance, 0.0, said["speed"], said["speed"] / ramp)
    assert rehearse(bps.mv(bench.tem.goniometer.x, distance)).moving == pytest.approx(leg + lag)


@pytest.mark.parametrize(
    ("make", "images"),
    [
        (lambda tem: hysteresis(tem, **SHORT), 9),
        (lambda tem: cross_axis(tem, step=0.5, steps=1), 17),
        (lambda tem: mosaic(tem, 2, 2, over_travel=0.5), 4),
        (lambda tem: measure_drift(tem, duration=0.2, interval=0.1), 3),
    ],
    ids=["hysteresis", "cross_axis", "mosaic", "measure_drift"],
)
def test_the_microscope_then_does_as_much(
    bench: Any, engine: RunEngine, make: Any, images: int
) -> None:
    would = rehearse(make(bench.tem))
    assert changes(bench) == {}
    engine(make(bench.tem))
    sent = bench.client.sent
    assert would.images == sent["camera.acquire"] == images
    assert would.moves == sent["stage.move"]


@pytest.mark.slow
def test_a_characterisation_can_be_rehearsed(bench: Any) -> None:
    bench.tem.column.field_of_view.set(32.0).wait(30)
    would = rehearse(characterise(bench.tem))
    assert 100 < would.images <= 200 < would.moves
    assert would.sleeping == pytest.approx(would.images * 1.0)


def test_asks_as_often_for_a_long_plan_as_for_a_short_one(bench: Any) -> None:
    rehearse(mosaic(bench.tem, 1, 2))
    short = bench.client.sent.total()
    rehearse(mosaic(bench.tem, 8, 8))
    assert bench.client.sent.total() == 2 * short


def test_writes_nothing(bench: Any) -> None:
    rehearse(mosaic(bench.tem, 2, 2))
    assert not list(bench.assets.rglob("*"))
    assert not bench.tem.camera.recording


def test_consecutive_fields_overlap_by_what_the_step_leaves(bench: Any) -> None:
    assert rehearse(hysteresis(bench.tem, **SHORT)).overlap == pytest.approx(1 - 0.5 / 3.75)
    assert rehearse(mosaic(bench.tem, 2, 2, overlap=0.3)).overlap == pytest.approx(0.3)


def test_a_shift_of_the_image_moves_the_field(bench: Any) -> None:
    def plan() -> Any:
        yield from bps.trigger(bench.tem.camera, wait=True)
        yield from bps.mv(bench.tem.column.image_shift_x, 750.0)
        yield from bps.trigger(bench.tem.camera, wait=True)

    assert rehearse(plan()).overlap == pytest.approx(0.8)


def test_a_turned_camera_sees_other_sides_overlap(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = {"tem_camera_to_stage": [[0.0, -1.0], [1.0, 0.0]]}
    would = rehearse(hysteresis(bench.tem, **SHORT), answers=turned)
    assert would.overlap == pytest.approx(1 - 0.5 / 2.5)


def test_one_image_overlaps_with_none(bench: Any) -> None:
    assert math.isnan(rehearse(mosaic(bench.tem, 1, 1)).overlap)


@pytest.mark.parametrize(
    ("rows", "columns", "together"), [(1, 1, 1), (1, 3, 2), (2, 2, 4), (3, 4, 4)]
)
def test_dose_adds_up_where_fields_overlap(
    bench: Any, rows: int, columns: int, together: int
) -> None:
    would = rehearse(mosaic(bench.tem, rows, columns))
    assert would.dose_per_image == pytest.approx(dose_of_an_image(bench))
    assert would.dose == pytest.approx(together * would.dose_per_image)


def test_all_images_of_one_field_add_up(bench: Any) -> None:
    would = rehearse(measure_drift(bench.tem))
    assert would.dose == pytest.approx(13 * dose_of_an_image(bench))


def test_a_blanked_beam_does_no_harm(bench: Any) -> None:
    bench.tem.column.beam_blank.set(1).wait(30)
    would = rehearse(bp.count([bench.tem.camera], 3))
    assert (would.images, would.dose, would.beam_on) == (3, 0.0, 0.0)


def test_an_unknown_dose_stays_unknown(bench: Any) -> None:
    would = rehearse(mosaic(bench.tem), answers={"tem_camera_electrons_per_pixel": math.nan})
    assert math.isnan(would.dose)


def test_the_beam_is_on_for_frames_only_where_it_is_blanked_between(bench: Any) -> None:
    would = rehearse(measure_drift(bench.tem, blank_between=True))
    assert would.beam_on == pytest.approx(13 * FRAME_S)


def test_the_beam_is_on_throughout_where_it_is_not(bench: Any) -> None:
    would = rehearse(measure_drift(bench.tem, blank_between=False))
    assert would.beam_on == would.duration > 50.0


boxes = st.lists(
    st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 4)] * 2, st.integers(1, 3)),
    min_size=1,
    max_size=8,
)


@given(boxes=boxes)
def test_the_most_exposed_spot_is_found(boxes: list[tuple[int, int, int, int, int]]) -> None:
    dose = np.zeros((10, 10))
    for x, y, width, height, electrons in boxes:
        dose[x : x + width, y : y + height] += electrons
    exposures = [
        Exposure(np.array([x, y], float), np.array([x + width, y + height], float), electrons)
        for x, y, width, height, electrons in boxes
    ]
    assert most_exposed(exposures) == dose.max()


def test_a_limit_is_named_with_the_step_that_breaks_it(bench: Any) -> None:
    far = bp.scan([bench.tem.camera], bench.tem.goniometer.x, 0.0, 2000.0, 5)
    message = r"step 3 of the plan, after 2 moves and 2 images: tem_goniometer_x target 1000 µm"
    with pytest.raises(LimitError, match=message):
        rehearse(far)
    assert changes(bench) == {}


def test_the_pole_piece_is_minded_where_the_plan_will_stand(bench: Any) -> None:
    goniometer = bench.tem.goniometer  # 1.5 mm |sin alpha| + 1 mm |sin beta| + |z|: 1.9 mm

    def plan() -> Any:
        yield from bps.mv(goniometer, {"alpha": 60.0, "z": 200.0})
        yield from bps.mv(goniometer.beta, 25.0)

    with pytest.raises(LimitError, match=r"step 2 of the plan, after 1 moves .* pole piece, 22 µm"):
        rehearse(plan())


def test_a_compensated_stage_is_walked_by_its_approach(bench: Any, steady: None) -> None:
    approach = OverTravel({"x": 10.0})
    stage = CompensatedStage(bench.tem.goniometer, approach, name="stage")

    def plan() -> Any:
        yield from bps.mv(stage.x, 20.0)  # by 10: 20 µm of way, 1 s
        yield from bps.mv(stage, {"x": 15.0})  # by 5: 15 and 10 µm, 1.25 s

    told = rehearse(plan())
    assert told.moves == 4
    assert told.travel["x"] == pytest.approx(45.0)
    assert told.duration == pytest.approx(2.25)


def test_a_play_inversion_is_walked_as_the_stage_will_do_it(bench: Any, engine: RunEngine) -> None:
    stage = CompensatedStage(bench.tem.goniometer, PlayInversion({"x": 0.6}), name="stage")

    def plan() -> Any:
        for target in (5.0, 8.0, 3.0, 3.2, 4.0):
            yield from bps.mv(stage.x, target)

    told = rehearse(plan())
    engine(plan())
    assert bench.client.sent["stage.move"] == told.moves


def test_settings_are_checked_as_well(bench: Any) -> None:
    with pytest.raises(LimitError, match=r"step 1 of the plan.*magnification target 1 is outside"):
        rehearse(bps.mv(bench.tem.column.magnification, 1.0))


def test_other_devices_are_asked_for_their_limits_only() -> None:
    motor = SynAxis(name="motor")
    would = rehearse(bps.mvr(motor, 2.0))
    assert (would.moves, would.images, would.duration) == (0, 0, 0.0)
    assert motor.position == 0


def test_a_bad_argument_is_refused_in_the_words_of_the_plan(bench: Any) -> None:
    with pytest.raises(ValueError, match="steps is 0: a whole number of at least 1 is needed"):
        rehearse(hysteresis(bench.tem, steps=0))


def test_positions_are_read_as_the_plan_has_set_them(bench: Any) -> None:
    goniometer = bench.tem.goniometer
    moves = bps.mv(goniometer, {"x": 4.0, "y": -2.0})
    assert asked(moves, goniometer.x, goniometer.y.target, goniometer.z.target) == [4.0, -2.0, 0.0]


def test_relative_moves_add_up(bench: Any) -> None:
    def plan() -> Any:
        yield from bps.mvr(bench.tem.goniometer.x, 2.0)
        yield from bps.mvr(bench.tem.goniometer.x, 3.0)

    assert rehearse(plan()).extents == {"x": (2.0, 5.0)}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("column.magnification", 20_000.0),
        ("column.field_of_view", 8.0),
        ("camera.shape", (64, 24)),
        ("camera.dwell_time", 4.0),
    ],
)
def test_what_follows_from_a_setting_is_what_the_microscope_then_says(
    bench: Any, setting: str, value: Any
) -> None:
    device, name = setting.split(".")
    signal = getattr(getattr(bench.tem, device), name)
    column, camera = bench.tem.column, bench.tem.camera
    follow = [column.magnification, column.field_of_view]
    follow += [camera.field_of_view, camera.pixel_size, camera.electrons_per_pixel]
    foretold = asked(bps.mv(signal, value), *follow)
    signal.set(value).wait(30)
    np.testing.assert_allclose(foretold, [each.get() for each in follow], rtol=1e-9)


def closed_loop(bench: Any) -> Any:
    """Move until the stage says that it is beyond 3 µm."""
    goniometer = bench.tem.goniometer
    for target in range(1, 6):
        yield from bps.mv(goniometer.x, target)
        if (yield from bps.rd(goniometer.x.reported)) > 3.0:
            break


def test_a_plan_that_acts_on_readings_gets_what_it_has_set(bench: Any) -> None:
    assert rehearse(closed_loop(bench)).moves == 4


def test_or_what_the_caller_answers(bench: Any) -> None:
    reported = bench.tem.goniometer.x.reported
    assert rehearse(closed_loop(bench), answers={reported: 7.0}).moves == 1
    assert rehearse(closed_loop(bench), answers={reported.name: 2.0}).moves == 5


def test_a_plan_that_waits_for_something_else_is_refused() -> None:
    def waiting() -> Any:
        while True:
            yield from bps.wait_for([])

    with pytest.raises(
        ValueError, match="the plan waits for a result that a rehearsal does not have"
    ):
        rehearse(waiting())


def test_the_live_analysis_of_a_plan_is_not_asked(bench: Any) -> None:
    class Results:
        def future(self, raw_uid: str) -> Any:
            raise AssertionError("there is no run to analyse")

    assert rehearse(hysteresis(bench.tem, **SHORT, analysis=Results())).images == 9


def test_a_plan_without_end_is_refused(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans._walk, "_MOST_MESSAGES", 100)
    with pytest.raises(ValueError, match="more than 100 messages: it does not end"):
        rehearse(bp.count([bench.tem.camera], None))


def test_reads_in_a_few_lines(bench: Any, steady: None) -> None:
    text = str(rehearse(hysteresis(bench.tem, **SHORT, settle_time=30.0)))
    first, second, third, last = text.splitlines()
    assert first.startswith("10 moves and 9 images in 4.5 min")
    assert second == "x from -1 to 1 µm, a way of 4 µm"
    assert "e/Å² an image" in third
    assert last == "consecutive images share at least 87% of the field"


def test_a_plan_of_nothing_reads_so() -> None:
    assert str(rehearse(bps.null())).startswith("0 moves and 0 images in 0 s")
