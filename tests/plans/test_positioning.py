"""Positioning stubs, on a microscope behind the real wire; the truth is the simulator's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import MsgGenerator, RunEngineInterrupted
from numpy.typing import NDArray

from devices import Microscope
from devices.approaches import OverTravel
from devices.drivers import CameraSettings, tem_services
from devices.drivers.simulated import SimulatedTEM
from devices.locator import Locator
from devices.positioning import CompensatedStage
from devices.wire import Client, LimitError, Server
from plans._imaging_run import with_beam
from plans.positioning import (
    PositioningError,
    closed_loop,
    coarse_fine,
    move_to_feature,
    recall,
    remember,
    survey,
)
from sim.clock import ScaledClock
from sim.specimen import ProceduralSpecimen


@dataclass(frozen=True)
class Fix:
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    accepted: bool = True
    reason: str = "accepted"


NOWHERE = Fix(np.full(2, np.nan), np.full((2, 2), np.nan), False, "refused: too much drift")


def seen(bench: Any) -> NDArray[np.float64]:
    """Where the middle of an image really is, (x, y) µm."""
    shift = np.array(bench.simulated.column.read().image_shift)
    now = bench.simulated.stage._clock.now()
    return 1e6 * (bench.simulated.truth.actual(now)[:2] + shift)


class Oracle:
    """Finds an image where the simulator knows that it is; refuses those it is told to."""

    def __init__(self, bench: Any, refuse: Callable[[int], bool] = lambda number: False) -> None:
        self.bench = bench
        self.refuse = refuse
        self.asked = 0

    def __call__(self, image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        self.asked += 1
        if self.refuse(self.asked):
            return NOWHERE
        return Fix(seen(self.bench), 1e-6 * np.eye(2))


def oracle(bench: Any, **options: Any) -> Locator:
    return Locator(bench.tem, Oracle(bench, **options), name="oracle")


def in_a_run(engine: RunEngine, tem: Microscope, stub: Callable[[], MsgGenerator[Any]]) -> Any:
    """Run a stub with the camera staged, as an outer plan does; return what it returns."""

    results = []

    @bpp.stage_decorator([tem.camera])
    @bpp.run_decorator()
    def plan() -> MsgGenerator[None]:
        results.append((yield from stub()))

    engine(plan())
    return results[0]


def shift_nm(bench: Any) -> tuple[float, float]:
    column = bench.tem.column
    return column.image_shift_x.get(), column.image_shift_y.get()


def test_the_image_shift_takes_up_what_the_stage_misses(bench: Any, engine: Any) -> None:
    found = in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (8.0, -5.0)))
    # what has crept since, a second or so on this clock
    np.testing.assert_allclose(seen(bench), (8.0, -5.0), atol=0.06)
    assert (found.moves, found.images, found.accepted) == (1, 1, True)
    assert np.hypot(*shift_nm(bench)) > 50.0


def test_the_residual_is_what_was_missing_at_the_image(bench: Any, engine: Any) -> None:
    found = in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (8.0, -5.0)))
    assert 1e3 * found.residual == pytest.approx(np.hypot(*shift_nm(bench)), rel=1e-6)
    assert found.stderr == pytest.approx(1e-3)


def test_a_second_image_has_little_left_to_correct(bench: Any, engine: Any) -> None:
    found = in_a_run(
        engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (8.0, -5.0), images=2)
    )
    assert (found.moves, found.images) == (1, 2)
    assert found.residual < 0.06


def test_an_old_image_shift_does_not_add_up(bench: Any, engine: Any) -> None:
    bench.tem.column.image_shift_x.put(4000.0)
    in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (3.0, 0.0)))
    assert abs(shift_nm(bench)[0]) < 2000.0


def test_what_the_image_shift_cannot_take_the_stage_does(bench: Any, engine: Any) -> None:
    # the locator's frame lies 7 µm off the stage's, more than 5 µm of image shift
    def find(image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        return Fix(seen(bench) + np.array([7.0, 0.0]), 1e-6 * np.eye(2))

    locator = Locator(bench.tem, find, name="far")
    found = in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, locator, (3.0, 0.0)))
    assert (found.moves, found.images) == (2, 2)
    np.testing.assert_allclose(seen(bench), (-4.0, 0.0), atol=0.06)


def test_a_point_that_stays_out_of_reach_is_told(bench: Any, engine: Any) -> None:
    def find(image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        return Fix(np.array([100.0, 0.0]), 1e-6 * np.eye(2))

    locator = Locator(bench.tem, find, name="stuck")
    with pytest.raises(PositioningError, match="µm are missing after 2 moves"):
        in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, locator, (3.0, 0.0)))


@pytest.mark.parametrize("stub", [coarse_fine, closed_loop])
def test_a_refused_fix_ends_it_with_its_cause(bench: Any, engine: Any, stub: Any) -> None:
    locator = oracle(bench, refuse=lambda number: True)
    with pytest.raises(PositioningError, match="oracle: refused: too much drift"):
        in_a_run(engine, bench.tem, lambda: stub(bench.tem, locator, (3.0, 0.0)))


def test_every_fix_is_an_event_of_the_run(bench: Any, engine: Any, documents: Any) -> None:
    in_a_run(
        engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (8.0, -5.0), images=2)
    )
    (descriptor,) = documents.of("descriptor")
    assert descriptor["name"] == "oracle"
    first, second = (event["data"] for event in documents.of("event"))
    assert (first["tem_column_image_shift_x"], first["oracle_accepted"]) == (0.0, 1)
    assert second["tem_column_image_shift_x"] != 0.0


def test_a_refused_fix_is_in_the_run(bench: Any, engine: Any, documents: Any) -> None:
    locator = oracle(bench, refuse=lambda number: True)
    with pytest.raises(PositioningError):
        in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, locator, (3.0, 0.0)))
    (event,) = documents.of("event")
    assert event["data"]["oracle_reason"] == "refused: too much drift"


def test_a_closed_loop_moves_until_it_is_near_enough(bench: Any, engine: Any) -> None:
    found = in_a_run(
        engine,
        bench.tem,
        lambda: closed_loop(bench.tem, oracle(bench), (8.0, -5.0), tolerance=0.15, most_moves=8),
    )
    assert found.accepted
    assert found.residual <= 0.15
    assert found.moves == found.images > 1
    assert shift_nm(bench) == (0.0, 0.0)


def test_a_closed_loop_says_when_its_moves_are_used_up(bench: Any, engine: Any) -> None:
    found = in_a_run(
        engine,
        bench.tem,
        lambda: closed_loop(bench.tem, oracle(bench), (8.0, -5.0), tolerance=1e-6, most_moves=2),
    )
    assert (found.moves, found.accepted) == (2, False)


def test_the_stage_given_is_the_one_that_moves(bench: Any, engine: Any) -> None:
    stage = CompensatedStage(bench.tem.goniometer, OverTravel({"x": 10.0}), name="corrected")
    in_a_run(
        engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (3.0, 0.0), stage=stage)
    )
    assert bench.client.sent["stage.move"] == 2


def test_a_survey_tells_where_the_stage_really_goes(bench: Any, engine: Any) -> None:
    locator = oracle(bench, refuse=lambda number: number == 2)
    found = in_a_run(
        engine, bench.tem, lambda: survey(bench.tem, locator, [(3, 0), (5, 1), (4, 2)])
    )
    np.testing.assert_array_equal(found.asked, [(3, 0), (5, 1), (4, 2)])
    assert np.isnan(found.found[1]).all()
    np.testing.assert_allclose(found.found[[0, 2]], found.asked[[0, 2]], atol=2.0)


@pytest.mark.parametrize("compensated", [False, True])
def test_a_move_that_a_pause_broke_off_is_made_again(
    slow_bench: Any, engine: RunEngine, compensated: bool
) -> None:
    tem, found = slow_bench.tem, []
    stage = CompensatedStage(tem.goniometer, OverTravel({"y": 2.0}), name="corrected")
    moved_by = stage if compensated else None

    @bpp.stage_decorator([tem.camera])
    @bpp.run_decorator()
    def plan() -> MsgGenerator[None]:
        threading.Timer(0.1, engine.request_pause).start()
        found.append((yield from survey(tem, oracle(slow_bench), [(4.0, 0.0)], stage=moved_by)))

    with pytest.raises(RunEngineInterrupted):
        engine(bpp.rewindable_wrapper(plan(), False))
    engine.resume()
    np.testing.assert_allclose(found[0].found, [(4.0, 0.0)], atol=1.0)


@pytest.mark.parametrize("stub", [coarse_fine, closed_loop])
def test_in_a_dry_run_the_stage_is_supposed_to_go_where_it_is_sent(bench: Any, stub: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(stub(bench.tem, oracle(bench), (8.0, -5.0)))
    sent = [message.args[0] for message in messages if message.command == "set"]
    assert {"x": 8.0, "y": -5.0} in sent
    assert bench.client.sent["stage.move"] == 0


def test_a_target_outside_the_limits_moves_nothing(bench: Any, engine: Any) -> None:
    with pytest.raises(LimitError, match="outside"):
        in_a_run(engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (1e6, 0.0)))
    assert bench.client.sent["stage.move"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"most_moves": 0}, "most_moves is 0"),
        ({"lead": -1.0}, "lead is -1 s: it must be 0 or more"),
        ({"interval": float("nan")}, "interval is nan: a finite number is needed"),
    ],
)
def test_counts_that_cannot_be_are_refused(
    bench: Any, engine: Any, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        in_a_run(
            engine, bench.tem, lambda: coarse_fine(bench.tem, oracle(bench), (0, 0), **options)
        )


@pytest.mark.parametrize("lead", [0.0, 7.0])
def test_a_drift_is_corrected_beforehand(bench: Any, engine: Any, lead: float) -> None:
    # 20 nm/s along x, told without error at the instrument's times of the images
    times: list[float] = []

    def drifting(image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        times.append(bench.tem.camera.time.get())
        shift = 1e-3 * np.array(shift_nm(bench))
        return Fix(np.array([5.0 + 0.02 * (times[-1] - times[0]), 1.0]) + shift, 1e-10 * np.eye(2))

    locator = Locator(bench.tem, drifting, name="drifting")
    in_a_run(
        engine,
        bench.tem,
        lambda: coarse_fine(bench.tem, locator, (5.0, 1.0), images=2, interval=0.3, lead=lead),
    )
    assert shift_nm(bench)[0] == pytest.approx(-20.0 * (times[-1] - times[0] + lead), abs=1.0)


def test_a_stub_can_have_a_run_of_its_own(bench: Any, engine: Any, documents: Any) -> None:
    where = oracle(bench)
    done = engine(with_beam(bench.tem, lambda: coarse_fine(bench.tem, where, (8.0, -5.0))))
    assert done.plan_result.images == 1
    assert bench.tem.column.beam_blank.get() == 1
    assert bench.tem.goniometer.x.target.get() == pytest.approx(8.0)  # it stays
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_a_refused_fix_in_a_run_of_its_own_blanks_the_beam(bench: Any, engine: Any) -> None:
    where = oracle(bench, refuse=lambda number: True)
    with pytest.raises(PositioningError, match="too much drift"):
        engine(with_beam(bench.tem, lambda: coarse_fine(bench.tem, where, (8.0, -5.0))))
    assert bench.tem.column.beam_blank.get() == 1


@dataclass(frozen=True)
class TexturedBench:
    simulated: SimulatedTEM
    tem: Microscope


@pytest.fixture
def textured(tmp_path: Path) -> Iterator[TexturedBench]:
    """A microscope with something to recognise: 128 x 128 pixels of 31 nm."""
    simulated = SimulatedTEM("jeol-like", ProceduralSpecimen(4), 4, ScaledClock(50.0))
    simulated.camera.configure(CameraSettings((128, 128), 1.6e-6))
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.002)
    with (
        Server(services) as server,
        closing(Client(server.control_address, name="ana")) as client,
        closing(Microscope(client, asset_folder=tmp_path)) as tem,
    ):
        tem.wait_for_connection(timeout=30)
        yield TexturedBench(simulated, tem)


def test_a_remembered_place_is_found_again(textured: TexturedBench, engine: Any) -> None:
    tem = textured.tem
    places = []

    def there_and_back() -> MsgGenerator[Any]:
        yield from bps.mv(tem.goniometer, {"x": 6.0, "y": 2.0})
        yield from bps.sleep(0.2)  # ten seconds of the instrument's: what creeps has crept
        remembered = yield from remember(tem)
        places.append(seen(textured))
        yield from bps.mv(tem.goniometer, {"x": -9.0, "y": -4.0})
        found = yield from recall(tem, remembered, images=2)
        places.append(seen(textured))
        return found

    found = in_a_run(engine, tem, there_and_back)
    assert found.accepted
    np.testing.assert_allclose(places[1], places[0], atol=0.06)


def test_a_place_is_not_recalled_at_another_magnification(
    textured: TexturedBench, engine: Any
) -> None:
    tem = textured.tem

    def there_and_back() -> MsgGenerator[Any]:
        remembered = yield from remember(tem)
        yield from bps.mv(tem.column.field_of_view, 8.0)
        yield from recall(tem, remembered)

    with pytest.raises(ValueError, match="go back to its magnification first"):
        in_a_run(engine, tem, there_and_back)


def test_a_feature_is_brought_to_the_middle(textured: TexturedBench, engine: Any) -> None:
    tem = textured.tem
    pixel_um = 1e-3 * tem.camera.pixel_size.get()
    places = []

    def look_and_go() -> MsgGenerator[Any]:
        remembered = yield from remember(tem)
        places.append(seen(textured))
        template = remembered.image[20:60, 70:110]
        found = yield from move_to_feature(tem, template)
        places.append(seen(textured))
        return found

    found = in_a_run(engine, tem, look_and_go)
    assert (found.moves, found.images, found.accepted) == (0, 2, True)
    # of the template's middle from the image's, (columns, rows)
    offset = pixel_um * np.array([70 + 19.5 - 63.5, 20 + 19.5 - 63.5])
    np.testing.assert_allclose(places[1] - places[0], offset, atol=0.06)


def test_a_feature_larger_than_the_field_is_refused(textured: TexturedBench, engine: Any) -> None:
    with pytest.raises(ValueError, match="must fit the field"):
        in_a_run(engine, textured.tem, lambda: move_to_feature(textured.tem, np.zeros((200, 200))))
