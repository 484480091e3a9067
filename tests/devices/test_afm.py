"""The AFM as a whole: head, scanner and probe over the real wire, and a tip that is withdrawn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from afm_bench import BIMODAL, AfmBench, afm_bench, quiet
from microscope_bench import make_bench

from devices import Afm, Comb, ProbeCalibration
from devices.wire import (
    BusyError,
    CancelledError,
    Client,
    ConnectionLost,
    ExpiredError,
    LeaseError,
    LimitError,
    ProtocolError,
    RefusedError,
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    with afm_bench(tmp_path / "assets", parameters=quiet(), rate=1000.0) as bench:
        bench.afm.lockin.comb.set(BIMODAL).wait(timeout=30)
        yield bench


@pytest.fixture
def slow_bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench at which a line takes minutes and the way down many seconds."""
    with afm_bench(tmp_path / "assets", parameters=quiet(), rate=0.02) as bench:
        bench.afm.lockin.comb.set(Comb(10.0, (30_090,), (30_090,), (0.1,))).wait(timeout=30)
        bench.afm.lockin.pixels.set(60).wait(timeout=30)
        yield bench


def _withdrawn(bench: AfmBench) -> bool:
    return bench.simulated.head.read().withdrawn


def test_data_keys_and_units(bench: AfmBench) -> None:
    units = {key: entry.get("units") for key, entry in bench.afm.describe().items()}
    assert units == {
        "afm_head_z": "nm",
        "afm_head_lifted": None,
        "afm_head_withdrawn": None,
        "afm_head_amplitude": "nm",
        "afm_head_deflection": "nm",
        "afm_scanner_line": "µm",
        "afm_scanner_x": "µm",
        "afm_scanner_y": "µm",
        "afm_lockin_spectra": "m",
        "afm_lockin_z": "m",
        "afm_lockin_time": "s",
    }


def test_readings_and_descriptions_have_the_same_keys(bench: AfmBench) -> None:
    afm = bench.afm
    described = [key for key, entry in afm.describe().items() if "external" not in entry]
    assert list(afm.read()) == described
    assert list(afm.read_configuration()) == list(afm.describe_configuration())


def test_reading_each_part_is_one_request(bench: AfmBench) -> None:
    bench.client.sent.clear()
    bench.afm.read()
    assert bench.client.sent == {"head.read": 1, "scanner.read": 1}


def test_a_line_with_all_that_belongs_to_it_is_one_event(bench: AfmBench) -> None:
    afm = bench.afm

    @bpp.stage_decorator([afm.lockin])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(afm.lockin.pixels, 8, afm.scanner.line, (0.0, 0.0, 1.0, 0.5))
        yield from bps.mv(afm.head.z, 3000.0)
        yield from bps.trigger_and_read([afm.lockin, afm.head, afm.scanner, afm.probe])

    bench.engine(plan())
    (descriptor,), (event,) = (bench.documents.of(kind) for kind in ("descriptor", "event"))
    assert event["data"]["afm_head_lifted"] == 1
    assert event["data"]["afm_head_z"] == pytest.approx(3000.0)
    assert event["data"]["afm_head_amplitude"] == pytest.approx(12.5, rel=0.01)
    assert event["data"]["afm_scanner_line"] == [0.0, 0.0, 1.0, 0.5]
    assert (event["data"]["afm_scanner_x"], event["data"]["afm_scanner_y"]) == (1.0, 0.5)
    probe = descriptor["configuration"]["afm_probe"]["data"]
    assert probe == {
        "afm_probe_serial": "",
        "afm_probe_calibrated": 0,
        "afm_probe_resonance_frequency": [300e3, 1.89e6],
        "afm_probe_quality_factor": [400.0, 1200.0],
        "afm_probe_spring_constant": [40.0, 2000.0],
        "afm_probe_mode_axis": [0, 0],
        "afm_probe_radius": 10.0,
        "afm_probe_sensitivity": [50.0, 50.0],
    }
    head = descriptor["configuration"]["afm_head"]["data"]
    assert head == {"afm_head_feedback": "off", "afm_head_setpoint": 0.0, "afm_head_lift": 100.0}


def test_the_tip_is_lifted_by_the_rule_that_the_plan_can_steer(bench: AfmBench) -> None:
    head = bench.afm.head
    bench.place(20.0)
    assert head.lifted.get() == 1
    bench.engine(bps.mv(head.engaged, 1, head.lift, 50.0))
    assert (head.lifted.get(), head.engaged.get()) == (0, 1)
    height = head.working_height.get()
    assert height == pytest.approx(head.z.get())
    bench.engine(bps.mv(head.z, height + 60.0))
    assert head.lifted.get() == 1
    bench.engine(bps.mv(head.z, height))
    assert head.lifted.get() == 0


def test_z_can_be_scanned_and_moved_relative(bench: AfmBench) -> None:
    bench.engine(bp.rel_scan([bench.afm.head], bench.afm.head.z, -100.0, 0.0, 3))
    heights = [event["data"]["afm_head_z"] for event in bench.documents.of("event")]
    np.testing.assert_allclose(heights, [4900.0, 4950.0, 5000.0])
    bench.engine(bps.mvr(bench.afm.head.z, -500.0))
    assert bench.afm.head.z.position == pytest.approx(4500.0)


def test_the_hint_of_the_head_is_its_height(bench: AfmBench) -> None:
    assert bench.afm.head.hints == {"fields": ["afm_head_z"]}


def test_feedback_and_setpoint_are_settings(bench: AfmBench) -> None:
    head = bench.afm.head
    bench.engine(bps.mv(head.setpoint, 9.0))
    bench.engine(bps.mv(head.feedback, "line"))
    assert (head.setpoint.get(), head.feedback.get()) == (9.0, "line")
    with pytest.raises(LimitError, match="'off' or 'line'"):
        head.feedback.set("on")


def test_feedback_brings_the_amplitude_to_the_setpoint_over_lines(bench: AfmBench) -> None:
    afm = bench.afm

    @bpp.stage_decorator([afm.lockin])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(afm.lockin.pixels, 16, afm.scanner.line, (0.0, 0.0, 0.5, 0.0))
        yield from bps.trigger_and_read([afm.lockin, afm.head])
        bench.place(25.0)
        yield from bps.mv(afm.head.engaged, 1, afm.head.setpoint, 9.0)
        yield from bps.mv(afm.head.feedback, "line")
        for _ in range(15):
            yield from bps.trigger_and_read([afm.lockin, afm.head])

    bench.engine(plan())
    events = [event["data"] for event in bench.documents.of("event")]
    assert [event["afm_head_lifted"] for event in events] == [1] + 15 * [0]
    assert events[-1]["afm_head_amplitude"] == pytest.approx(9.0, rel=0.02)
    assert afm.head.working_height.get() == pytest.approx(events[-1]["afm_head_z"])


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("head.z", 5001.0),
        ("head.z", float("nan")),
        ("head.z", "low"),
        ("head.lift", 1.0),
        ("head.setpoint", -1.0),
        ("head.engaged", 2),
        ("scanner.line", (0.0, 0.0, 1.0)),
        ("scanner.line", (0.0, 0.0, 1.0, 11.0)),
        ("scanner.line", (0.0, 0.0, 1.0, "x")),
        ("scanner.line", 1.0),
        ("probe.radius", 0.0),
        ("probe.calibration", {"radius": 1.0}),
    ],
)
def test_wrong_values_are_refused_before_anything_is_sent(
    bench: AfmBench, signal: str, value: Any
) -> None:
    device, name = signal.split(".")
    bench.client.sent.clear()
    with pytest.raises(LimitError) as caught:
        getattr(getattr(bench.afm, device), name).set(value)
    assert not bench.client.sent
    assert "\n" not in str(caught.value)


def test_the_tip_cannot_be_engaged_where_it_is_withdrawn(bench: AfmBench) -> None:
    with pytest.raises(RefusedError, match="lower it first"):
        bench.afm.head.engaged.set(1).wait(timeout=30)


def test_the_calibration_of_the_probe_can_be_set_whole_or_in_parts(bench: AfmBench) -> None:
    probe = bench.afm.probe
    calibration = ProbeCalibration(
        (301e3, 1.9e6, 2.5e6),
        (410.0, 1150.0, 800.0),
        (41.0, 2080.0, 3000.0),
        (0, 0, 1),
        9e-9,
        (50e-9, 40e-9),
    )
    bench.client.sent.clear()
    bench.engine(bps.mv(probe.calibration, calibration))
    assert bench.client.sent == {"probe.set": 1}
    assert probe.calibration.get() == calibration
    assert probe.mode_axis.get() == [0, 0, 1]
    bench.engine(bps.mv(probe.spring_constant, (42.0, 2100.0, 3100.0), probe.radius, 11.0))
    assert probe.calibration.get().spring_constant == (42.0, 2100.0, 3100.0)
    assert probe.radius.get() == 11.0
    bench.engine(bps.mv(probe.sensitivity, (55.0, 44.0)))
    assert probe.calibration.get().sensitivity == (pytest.approx(55e-9), pytest.approx(44e-9))


def test_figures_that_do_not_fit_the_modes_are_refused(bench: AfmBench) -> None:
    with pytest.raises(LimitError, match="modes do not match"):
        bench.afm.probe.quality_factor.set((400.0,))


def test_progress_of_the_height_is_told(slow_bench: AfmBench, until: Any) -> None:
    told: list[dict[str, Any]] = []
    status = slow_bench.afm.head.z.set(4500.0)
    status.watch(lambda **progress: told.append(progress))
    until(lambda: told)
    assert told[0]["unit"] == "nm"
    assert 4500.0 <= told[0]["current"] <= 5000.0
    status.wait(timeout=60)
    assert status.finish_pos == pytest.approx(4500.0)


def test_withdrawing_ends_the_way_down(slow_bench: AfmBench, until: Any) -> None:
    status = slow_bench.afm.head.z.set(1000.0)
    until(lambda: slow_bench.simulated.head.read().z < 4.9e-6)
    slow_bench.afm.withdraw()
    with pytest.raises(CancelledError, match="withdrawn"):
        status.wait(timeout=30)
    until(lambda: _withdrawn(slow_bench))


def test_withdrawing_works_while_a_line_is_acquired_and_ends_it(
    slow_bench: AfmBench, until: Any
) -> None:
    afm = slow_bench.afm
    afm.head.z.set(4900.0).wait(timeout=60)
    afm.lockin.stage()
    status = afm.lockin.trigger()
    until(lambda: slow_bench.simulated.lockin._acquisitions > 0)
    assert not status.done
    afm.withdraw()
    with pytest.raises(CancelledError, match="the tip was withdrawn, by ana"):
        status.wait(timeout=30)
    until(lambda: _withdrawn(slow_bench))
    afm.lockin.unstage()


def test_anybody_may_withdraw_without_the_lease(slow_bench: AfmBench, until: Any) -> None:
    afm = slow_bench.afm
    afm.head.z.set(4900.0).wait(timeout=60)
    slow_bench.client.acquire_lease()
    with Client(slow_bench.server.control_address, name="bob") as other:
        guest = Afm(other)
        guest.wait_for_connection(timeout=30)
        with pytest.raises(LeaseError, match="ana"):
            guest.head.z.set(4000.0).wait(timeout=30)
        guest.withdraw()
        until(lambda: _withdrawn(slow_bench))
        guest.close()


def test_a_move_sent_before_a_withdrawal_is_not_made_after_it(
    slow_bench: AfmBench, until: Any
) -> None:
    head = slow_bench.afm.head
    statuses = []
    for z in (4000.0, 3000.0):
        statuses.append(head.z.set(z))
        head.withdraw()
    for status in statuses:
        with pytest.raises((CancelledError, BusyError, ExpiredError)):
            status.wait(timeout=30)
    until(lambda: _withdrawn(slow_bench))
    assert not slow_bench.simulated.head.read().moving


def test_stopping_leaves_the_tip_where_it_is(slow_bench: AfmBench, until: Any) -> None:
    status = slow_bench.afm.head.z.set(1000.0)
    until(lambda: slow_bench.simulated.head.read().z < 4.9e-6)
    slow_bench.afm.stop()
    with pytest.raises(CancelledError, match="stopped"):
        status.wait(timeout=30)
    reading = slow_bench.simulated.head.read()
    assert (reading.moving, reading.withdrawn) == (False, False)


def test_stopping_an_instrument_at_rest_sends_nothing(bench: AfmBench) -> None:
    stops: list[str] = []
    bench.client.stop = lambda op, args=None: stops.append(op) or True  # type: ignore[method-assign]
    bench.afm.stop()
    assert stops == []


def test_a_client_that_vanishes_while_the_tip_goes_down_leaves_it_withdrawn(
    slow_bench: AfmBench, until: Any
) -> None:
    slow_bench.afm.head.z.set(1000.0)
    until(lambda: slow_bench.simulated.head.read().z < 4.9e-6)
    slow_bench.server.close()
    until(lambda: _withdrawn(slow_bench))


def test_a_collapsed_amplitude_is_told_to_the_plan(bench: AfmBench, until: Any) -> None:
    afm = bench.afm
    afm.lockin.stage()
    afm.lockin.trigger().wait(timeout=30)
    bench.place(1.0)
    status = afm.lockin.trigger()
    with pytest.raises(Exception, match=r"amplitude collapsed .* tip withdrawn: approach"):
        status.wait(timeout=30)
    until(lambda: _withdrawn(bench))
    afm.lockin.unstage()


def test_a_server_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    client = Client("tcp://127.0.0.1:9", name="ana")
    afm = Afm(client, asset_folder=tmp_path)
    with pytest.raises(ConnectionLost, match=r"afm is not connected: .*tcp://127\.0\.0\.1:9") as e:
        afm.wait_for_connection(timeout=0.2)
    assert "twinscope serve afm" in str(e.value)
    assert "\n" not in str(e.value)
    assert not afm.connected
    afm.stop()
    afm.close()
    client.close()


def test_the_server_of_another_instrument_is_refused(tmp_path: Path) -> None:
    tem = make_bench(tmp_path)
    try:
        afm = Afm(tem.client)
        with pytest.raises(ProtocolError, match="offers no head: it has stage, camera, column"):
            afm.wait_for_connection(timeout=30)
    finally:
        tem.close()


def test_without_a_folder_nothing_is_recorded_and_it_says_why(bench: AfmBench) -> None:
    afm = Afm(bench.client, name="other")
    with pytest.raises(RefusedError, match="asset_folder"):
        afm.lockin.stage()
    afm.close()


def test_the_afm_itself_is_a_detector(bench: AfmBench) -> None:
    bench.engine(bp.count([bench.afm], num=2))
    assert len(bench.documents.of("stream_datum")) == 4
    assert "afm_head_lifted" in bench.documents.of("event")[0]["data"]


def test_labels(bench: AfmBench) -> None:
    afm = bench.afm
    assert afm.lockin._ophyd_labels_ == {"detectors"}
    assert afm.head._ophyd_labels_ == afm.scanner._ophyd_labels_ == {"baseline"}


def test_the_drivers_of_an_afm_do_not_load_ophyd() -> None:
    script = (
        "import sys, devices.drivers, devices.drivers.simulated_afm, devices.drivers.presto; "
        "sys.exit('ophyd' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
