"""The commands of a TEM server, over a stage that does exactly what the test says."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from devices.drivers import (
    AxisReading,
    AxisSpecification,
    CameraSettings,
    CameraState,
    ColumnState,
    Frame,
    StageReading,
    tem_services,
)
from devices.wire import (
    Access,
    BusyError,
    Call,
    CancelledError,
    InstrumentError,
    LimitError,
    RefusedError,
)

MICRON = 1e-6


class ScriptedStage:
    """A stage whose axes take `polls` readings to arrive, and then stand `off` the target."""

    def __init__(self, polls: int = 3, off: float = 0.0, forever: bool = False) -> None:
        linear = AxisSpecification("m", -990e-6, 990e-6, 20e-6, 0.0, 150e-9)
        tilt = AxisSpecification("rad", -1.2, 1.2, 0.17, 0.0, 1e-3)
        self.axes = {"x": linear, "y": linear, "alpha": tilt}
        self.pole_piece = None
        self.positions = dict.fromkeys(self.axes, 0.0)
        self.targets = dict(self.positions)
        self.polls, self.off, self.forever = polls, off, forever
        self.left = dict.fromkeys(self.axes, 0)
        self.moves: list[dict[str, float]] = []
        self.stops = 0
        self.time = 1000.0  # instrument time passes with every reading
        self.busy = threading.Event()

    def read(self) -> StageReading:
        self.time += 0.1
        for name, left in self.left.items():
            if left and not self.forever:
                self.left[name] = left - 1
                if left == 1:
                    self.positions[name] = self.targets[name] + self.off
        if any(self.left.values()):
            self.busy.set()
        return StageReading(
            self.time,
            {
                name: AxisReading(
                    self.positions[name], self.targets[name], self.left[name] > 0, 1, 0.0
                )
                for name in self.axes
            },
        )

    def start_move(self, targets: Mapping[str, float]) -> float:
        self.moves.append(dict(targets))
        for name, target in targets.items():
            self.targets[name] = target
            self.left[name] = self.polls
        return 0.3

    def stop(self) -> None:
        self.stops += 1
        self.left = dict.fromkeys(self.axes, 0)


class StillCamera:
    def __init__(self) -> None:
        self.limits = {"rows": (16.0, 4e3), "columns": (16.0, 4e3), "dwell_time": (1e-7, 1e-3)}
        self.settings = CameraSettings((32, 48), 1e-6)
        self.aborted = threading.Event()
        self.hold = False
        self.scanning = threading.Event()

    def read(self) -> CameraState:
        return CameraState(5.0, self.settings, ((1.0, 0.0), (0.0, 1.0)), 400.0)

    def configure(self, settings: CameraSettings) -> None:
        self.settings = settings

    def acquire(self) -> Frame:
        self.scanning.set()
        if self.hold and self.aborted.wait(5):
            raise InstrumentError("aborted")
        return Frame(np.ones(self.settings.shape, np.uint16), 5.0, 6.0, 4.8e-6)

    def abort(self) -> None:
        self.aborted.set()


class StillColumn:
    def __init__(self) -> None:
        self.limits = {"magnification": (1e3, 1e6), "image_shift": (-5e-6, 5e-6)}
        self.magnification, self.shift, self.blanked = 50_000.0, (0.0, 0.0), False

    def read(self) -> ColumnState:
        width = 0.1875 / self.magnification
        return ColumnState(5.0, self.magnification, width, self.blanked, self.shift, 2e5)

    def set_magnification(self, magnification: float) -> None:
        self.magnification = magnification

    def set_image_shift(self, x: float, y: float) -> None:
        self.shift = (x, y)

    def blank(self, blanked: bool) -> None:
        self.blanked = blanked


@dataclass
class Told:
    """The server's operation, as far as a command sees it."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def progress(self, **values: Any) -> None:
        self.reports.append(values)


class Bench:
    """The services over the scripted instrument, called without a wire."""

    def __init__(self, stage: ScriptedStage | None = None) -> None:
        self.stage = ScriptedStage() if stage is None else stage
        self.camera, self.column = StillCamera(), StillColumn()
        services = tem_services(self.stage, self.camera, self.column, poll_s=0.001)
        self.services = {service.name: service for service in services}

    def call(self, operation: str, told: Told | None = None, **args: Any) -> Any:
        service, verb = operation.split(".")
        command = self.services[service].commands()[verb]
        if command.check is not None:
            command.check(args)
        call = Call(args=args, arrays={}, client="ana", operation=told)  # type: ignore[arg-type]
        return command.run(call)

    def move(self, told: Told | None = None, **targets: Any) -> Any:
        return self.call("stage.move", told, targets=targets)


def in_thread(job: Any, *args: Any, **kwargs: Any) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(job(*args, **kwargs))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_move_ends_where_it_was_sent() -> None:
    bench = Bench()
    result = bench.move(x=5 * MICRON)
    assert result.values["axes"]["x"]["position"] == 5 * MICRON
    assert not result.values["axes"]["x"]["moving"]


def test_a_move_waits_for_its_expected_time_when_the_stage_reports_rest_at_once() -> None:
    stage = ScriptedStage(polls=0)
    stage.positions["x"] = stage.targets["x"] = 0.0
    bench = Bench(stage)
    begun = stage.time
    bench.move(x=0.0)
    assert stage.time - begun >= 0.3


def test_progress_has_all_positions_and_the_time_left() -> None:
    told = Told()
    Bench().move(told, x=5 * MICRON)
    assert set(told.reports[0]["axes"]) == {"x", "y", "alpha"}
    assert 0 <= told.reports[0]["remaining"] <= 0.3


@pytest.mark.parametrize(
    ("targets", "error", "words"),
    [
        ({"gamma": 0.0}, RefusedError, "no axis 'gamma': choose among x, y, alpha"),
        ({"x": float("nan")}, LimitError, "x target nan is not finite"),
        ({"x": float("inf")}, LimitError, "x target inf is not finite"),
        ({"x": True}, RefusedError, "x target True is not a number"),
        ({"x": "1"}, RefusedError, "x target '1' is not a number"),
        ({"x": 2e-3}, LimitError, "x target 2000 µm is outside -990..990 µm"),
        ({"alpha": -1.3}, LimitError, "alpha target -74.4845134 deg is outside"),
        ({"y": 1e-6, "x": 2e-3}, LimitError, "x target 2000 µm"),
        ({}, RefusedError, "no targets"),
    ],
)
def test_a_wrong_target_is_refused_and_nothing_moves(
    targets: dict[str, Any], error: type[Exception], words: str
) -> None:
    bench = Bench()
    with pytest.raises(error, match=words.replace("(", r"\(")) as caught:
        bench.move(**targets)
    assert "\n" not in str(caught.value)
    assert bench.stage.moves == []


def test_the_limit_itself_is_allowed() -> None:
    bench = Bench()
    assert bench.move(x=990e-6).values["axes"]["x"]["position"] == 990e-6


def test_an_axis_under_way_is_busy_and_another_is_free() -> None:
    bench = Bench(ScriptedStage(forever=True))
    thread, _ = in_thread(bench.move, x=5 * MICRON)
    assert bench.stage.busy.wait(1)
    with pytest.raises(BusyError, match="x is moving"):
        bench.move(x=1 * MICRON)
    bench.services["stage"].commands()["move"].check({"targets": {"y": 0.0}})  # type: ignore[misc]
    bench.call("stage.stop")
    thread.join(1)


def test_a_stop_ends_the_move_and_names_who_stopped_it() -> None:
    bench = Bench(ScriptedStage(forever=True))
    thread, outcome = in_thread(bench.move, x=5 * MICRON)
    assert bench.stage.busy.wait(1)
    bench.call("stage.stop")
    thread.join(1)
    assert isinstance(outcome[0], CancelledError)
    assert "x ended at 0 µm on its way to 5 µm: stopped by ana" in str(outcome[0])


class CoastingStage(ScriptedStage):
    """A stage that goes on after a stop until the test lets it rest."""

    def __init__(self) -> None:
        super().__init__(forever=True)
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stops += 1
        self.stopped.set()

    def rest(self) -> None:
        self.forever = False
        self.left = dict.fromkeys(self.axes, 0)


def test_a_move_after_a_stop_waits_for_the_stage_to_come_to_rest() -> None:
    stage = CoastingStage()
    bench = Bench(stage)
    first, _ = in_thread(bench.move, x=5 * MICRON)
    assert stage.busy.wait(1)
    bench.call("stage.stop")
    second, outcome = in_thread(bench.move, x=1 * MICRON)
    second.join(0.05)
    assert stage.moves == [{"x": 5 * MICRON}]
    stage.rest()
    first.join(1)
    second.join(1)
    assert outcome[0].values["axes"]["x"]["position"] == 1 * MICRON


def test_a_stop_ends_a_move_that_waits_for_the_stage_to_come_to_rest() -> None:
    stage = CoastingStage()
    bench = Bench(stage)
    first, _ = in_thread(bench.move, x=5 * MICRON)
    assert stage.busy.wait(1)
    bench.call("stage.stop")
    second, outcome = in_thread(bench.move, x=1 * MICRON)
    second.join(0.05)
    bench.call("stage.stop")
    stage.rest()
    first.join(1)
    second.join(1)
    assert isinstance(outcome[0], CancelledError)
    assert stage.moves == [{"x": 5 * MICRON}]


def test_a_stop_does_not_hit_a_move_of_another_axis_that_comes_after_it() -> None:
    stage = CoastingStage()
    bench = Bench(stage)
    first, _ = in_thread(bench.move, x=5 * MICRON)
    assert stage.busy.wait(1)
    bench.call("stage.stop")
    second, _ = in_thread(bench.move, y=1 * MICRON)
    second.join(0.05)
    assert (len(stage.moves), stage.stops) == (2, 1)
    stage.rest()
    first.join(1)
    second.join(1)


def test_moves_that_the_cancellation_of_another_ends_are_told_why() -> None:
    bench, told = Bench(ScriptedStage(forever=True)), Told()
    first, _ = in_thread(bench.move, told, x=5 * MICRON)
    assert bench.stage.busy.wait(1)
    second, outcome = in_thread(bench.move, y=5 * MICRON)
    while len(bench.stage.moves) < 2:
        second.join(0.001)
    told.cancelled.set()
    first.join(1)
    second.join(1)
    assert isinstance(outcome[0], CancelledError)
    assert "the stage was stopped because x was cancelled" in str(outcome[0])


def test_a_move_whose_watching_breaks_down_does_not_go_on_unwatched() -> None:
    class Unplugged(ScriptedStage):
        def read(self) -> StageReading:
            if self.moves:
                raise OSError("the cable is out")
            return super().read()

    bench = Bench(Unplugged())
    with pytest.raises(OSError, match="the cable is out"):
        bench.move(x=5 * MICRON)
    assert bench.stage.stops == 1


def test_a_cancelled_move_stops_the_stage() -> None:
    bench, told = Bench(ScriptedStage(forever=True)), Told()
    thread, outcome = in_thread(bench.move, told, x=5 * MICRON)
    assert bench.stage.busy.wait(1)
    told.cancelled.set()
    thread.join(1)
    assert bench.stage.stops == 1
    assert "cancelled" in str(outcome[0])


def test_a_client_that_vanishes_leaves_stage_stopped_and_beam_blanked() -> None:
    bench = Bench(ScriptedStage(forever=True))
    thread, outcome = in_thread(bench.move, x=5 * MICRON)
    assert bench.stage.busy.wait(1)
    for service in bench.services.values():
        service.make_safe()
    thread.join(1)
    assert bench.stage.stops
    assert bench.column.blanked
    assert "has gone" in str(outcome[0])


def test_a_stage_that_stands_off_its_target_has_not_arrived() -> None:
    bench = Bench(ScriptedStage(off=-2 * MICRON))
    with pytest.raises(InstrumentError, match=r"x came to rest at 3 µm on its way to 5 µm"):
        bench.move(x=5 * MICRON)


def test_a_stage_that_never_comes_to_rest_is_stopped() -> None:
    bench = Bench(ScriptedStage(forever=True))
    with pytest.raises(InstrumentError, match="still moving after"):
        bench.move(x=5 * MICRON)
    assert bench.stage.stops == 1


def test_a_reading_that_fails_in_mid_move_stops_the_stage() -> None:
    bench = Bench(ScriptedStage(forever=True))
    thread, outcome = in_thread(bench.move, x=5 * MICRON)
    assert bench.stage.busy.wait(1)

    def broken() -> StageReading:
        raise InstrumentError("encoder lost")

    bench.stage.read = broken  # type: ignore[method-assign]
    thread.join(1)
    assert bench.stage.stops
    assert str(outcome[0]) == "encoder lost"


def test_reading_and_stopping_need_no_lease_and_moving_does() -> None:
    commands = Bench().services["stage"].commands()
    assert {verb: command.access for verb, command in commands.items()} == {
        "read": Access.READ,
        "move": Access.MOTION,
        "stop": Access.STOP,
    }


def test_the_handshake_tells_units_limits_and_speeds() -> None:
    x = Bench().services["stage"].describe()["axes"]["x"]
    assert (x["unit"], x["lower"], x["upper"], x["speed"]) == ("m", -990e-6, 990e-6, 20e-6)


def test_a_frame_comes_with_its_times_and_pixel_size() -> None:
    result = Bench().call("camera.acquire")
    assert result.arrays["image"].shape == (32, 48)
    assert (result.values["start_time"], result.values["end_time"]) == (5.0, 6.0)
    assert result.values["pixel_size"] == pytest.approx(1e-7)


def test_a_second_frame_is_refused_while_one_is_scanned_and_abort_ends_it() -> None:
    bench = Bench()
    bench.camera.hold = True
    thread, outcome = in_thread(bench.call, "camera.acquire")
    assert bench.camera.scanning.wait(1)
    with pytest.raises(BusyError):
        bench.call("camera.acquire")
    with pytest.raises(BusyError):
        bench.call("camera.configure", rows=64)
    bench.call("camera.abort")
    thread.join(1)
    assert isinstance(outcome[0], InstrumentError)


def test_a_cancelled_frame_is_aborted() -> None:
    bench, told = Bench(), Told()
    bench.camera.hold = True
    thread, _ = in_thread(bench.call, "camera.acquire", told)
    assert bench.camera.scanning.wait(1)
    told.cancelled.set()
    thread.join(1)
    assert bench.camera.aborted.is_set()


def test_configure_changes_what_it_names_and_keeps_the_rest() -> None:
    bench = Bench()
    values = bench.call("camera.configure", rows=64).values
    assert (values["rows"], values["columns"], values["dwell_time"]) == (64, 48, 1e-6)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"rows": 8}, LimitError),
        ({"rows": 64.5}, RefusedError),
        ({"columns": 10_000}, LimitError),
        ({"dwell_time": 0.0}, LimitError),
        ({"dwell_time": float("nan")}, LimitError),
        ({"binning": 2}, RefusedError),
    ],
)
def test_wrong_camera_settings_are_refused(args: dict[str, Any], error: type[Exception]) -> None:
    bench = Bench()
    with pytest.raises(error):
        bench.call("camera.configure", **args)
    assert bench.camera.settings == CameraSettings((32, 48), 1e-6)


def test_a_field_of_view_sets_the_magnification_that_gives_it() -> None:
    bench = Bench()
    values = bench.call("column.set", field_of_view=7.5e-6).values
    assert values["magnification"] == pytest.approx(25_000)
    assert values["field_of_view"] == pytest.approx(7.5e-6)


def test_one_image_shift_leaves_the_other() -> None:
    bench = Bench()
    bench.call("column.set", image_shift_x=1e-6)
    bench.call("column.set", image_shift_y=2e-6)
    assert bench.column.shift == (1e-6, 2e-6)


@pytest.mark.parametrize(
    "args",
    [
        {"magnification": 10.0},
        {"field_of_view": 1.0},
        {"image_shift_x": 1.0},
        {"beam_blank": 1},
        {"magnification": 5e4, "field_of_view": 1e-6},
        {"defocus": 1e-6},
    ],
)
def test_wrong_column_settings_are_refused(args: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises((LimitError, RefusedError)):
        bench.call("column.set", **args)
    assert bench.column.read() == StillColumn().read()


class LingeringCamera(StillCamera):
    """A camera whose first frame, aborted or not, is over when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()
        self.frames = 0

    def acquire(self) -> Frame:
        self.frames += 1
        if self.frames > 1:
            return super().acquire()
        self.scanning.set()
        self.over.wait(5)
        raise CancelledError("aborted")


def test_a_frame_after_an_abort_waits_for_the_aborted_one_to_end() -> None:
    bench, camera = Bench(), LingeringCamera()
    services = tem_services(bench.stage, camera, bench.column)
    bench.services = {service.name: service for service in services}
    first, aborted = in_thread(bench.call, "camera.acquire")
    assert camera.scanning.wait(1)
    bench.call("camera.abort")
    second, outcome = in_thread(bench.call, "camera.acquire")
    second.join(0.02)
    camera.over.set()
    first.join(1)
    second.join(1)
    assert isinstance(aborted[0], CancelledError)
    assert outcome[0].arrays["image"].shape == (32, 48)
