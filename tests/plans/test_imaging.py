"""Images of an AFM on a simulated microscope behind the real wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import Msg
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import FailedStatus, RunEngineInterrupted
from campaign_bench import CampaignBench, Verdict, campaign_bench

from devices import TipQualifier
from devices.image_channels import MODES
from devices.wire import InstrumentError
from plans import (
    Place,
    Scan,
    TipResult,
    estimate_images,
    field_place,
    image,
    phase_series,
    tip_check,
    tip_qualification,
)

SMALL = Scan(1.0, 4.0, 16, 24)
TIP_SCAN = Scan(1.0, 4.0, 8, 16, aspect=2.0)
PLACE = Place("C5", 12.0, -7.0, field=3)
PLACES = [field_place("A2", 0, SMALL), field_place("C5", 0, SMALL), field_place("C5", 1, SMALL)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


def stream(bench: CampaignBench, name: str) -> list[dict[str, Any]]:
    of = [d["uid"] for d in bench.documents.of("descriptor") if d["name"] == name]
    return [event for event in bench.documents.of("event") if event["descriptor"] in of]


def done(bench: CampaignBench, plan: Any) -> Any:
    """Run a plan and return what it hands back."""
    outcome: Any = bench.engine(plan)
    return outcome.plan_result


def start_of(bench: CampaignBench) -> dict[str, Any]:
    return bench.documents.of("start")[-1]


def simulated(plan: Any) -> list[Msg]:
    return RunEngineSimulator().simulate_plan(plan)


def at_message(bench: CampaignBench, number: int) -> None:
    """Have the engine pause at a message of the next plan."""
    seen = 0

    def look(message: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            asked = threading.Thread(target=bench.engine.request_pause, daemon=True)
            asked.start()
            asked.join(timeout=0.2)  # the engine pauses at the next message or the one after it

    bench.engine.msg_hook = look  # pyright: ignore[reportAttributeAccessIssue]


class TestImage:
    """`image`, one run."""

    def test_is_one_event_with_all_channels_of_the_mode(self, bench: CampaignBench) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL))
        (event,) = stream(bench, "primary")
        (descriptor,) = bench.documents.of("descriptor")
        keys = descriptor["data_keys"]
        for name in MODES["PeakForce QNM"]:
            assert keys[f"afm_imager_{name}"]["shape"] == [16, 24]
        assert keys["afm_imager_deformation"]["units"] == "m"
        assert event["data"]["afm_chuck_sample"] == "C5"

    def test_has_every_channel_in_its_file(self, bench: CampaignBench) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL))
        (path,) = bench.assets.rglob("*.h5")
        with h5py.File(path) as file:
            for name in MODES["PeakForce QNM"]:
                dataset = file[f"entry/{name}"]
                assert isinstance(dataset, h5py.Dataset)
                assert dataset.shape == (1, 16, 24)

    def test_is_taken_where_it_was_asked_for(self, bench: CampaignBench) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL))
        (event,) = stream(bench, "primary")
        offsets = [event["data"][f"afm_chuck_offset_{axis}"] for axis in "xy"]
        assert offsets == pytest.approx([12.0, -7.0])

    def test_is_taken_with_the_frame_and_setpoint_that_were_asked_for(
        self, bench: CampaignBench
    ) -> None:
        scan = Scan(2.0, 3.0, 8, 16, aspect=2.0, angle=30.0)
        bench.engine(image(bench.afm, PLACE, scan, setpoint=12.5))
        (descriptor,) = bench.documents.of("descriptor")
        configured = {
            k: v for d in descriptor["configuration"].values() for k, v in d["data"].items()
        }
        told = {
            "afm_scanner_scan_size": 2.0,
            "afm_scanner_scan_rate": 3.0,
            "afm_scanner_aspect_ratio": 2.0,
            "afm_scanner_scan_angle": 30.0,
            "afm_imager_peak_force_setpoint": 12.5,
            "afm_imager_mode": "PeakForce QNM",
        }
        assert {key: configured[key] for key in told} == pytest.approx(told)

    def test_tells_sample_probe_technique_and_channels_at_the_top(
        self, bench: CampaignBench
    ) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL))
        start = start_of(bench)
        told = {name: start[name] for name in ("plan_name", "purpose", "technique", "sample")}
        assert told == {
            "plan_name": "image",
            "purpose": "raw",
            "technique": "peakforce_qnm",
            "sample": "C5",
        }
        assert start["field"] == 3
        assert start["probe_serial"] == bench.afm.probe.serial.get()
        assert start["probe_serial"] in start["session"]
        assert start["calibrated"] is True
        assert start["channels"] == list(MODES["PeakForce QNM"])
        assert start["scan"] == SMALL.to_document()

    @pytest.mark.parametrize(
        ("mode", "technique"), [("ScanAsyst", "scanasyst"), ("Tapping", "tapping")]
    )
    def test_tells_the_channels_of_its_mode(
        self, bench: CampaignBench, mode: str, technique: str
    ) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL, mode=mode))
        assert start_of(bench)["technique"] == technique
        assert start_of(bench)["channels"] == list(MODES[mode])

    def test_names_the_data_keys_of_its_channels(self, bench: CampaignBench) -> None:
        bench.engine(image(bench.afm, PLACE, SMALL))
        (descriptor,) = bench.documents.of("descriptor")
        settings = [key for each in descriptor["configuration"].values() for key in each["data"]]
        known = {*descriptor["data_keys"], *settings}
        assert set(start_of(bench)["fields"].values()) <= known

    def test_metadata_win_over_the_plans_own(self, bench: CampaignBench) -> None:
        md = {"session": "Tuesday", "operator": "ana"}
        bench.engine(image(bench.afm, PLACE, SMALL, md=md))
        assert (start_of(bench)["session"], start_of(bench)["operator"]) == ("Tuesday", "ana")

    def test_ends_with_the_tip_withdrawn(self, bench: CampaignBench) -> None:
        uid = done(bench, image(bench.afm, PLACE, SMALL)).uid
        assert bench.safe
        assert start_of(bench)["uid"] == uid

    def test_an_image_that_fails_leaves_the_tip_withdrawn(
        self, bench: CampaignBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any) -> Any:
            raise InstrumentError("the laser is off")

        monkeypatch.setattr(type(bench.simulated.drivers.imager), "scan", broken)
        with pytest.raises(FailedStatus, match="the laser is off"):
            bench.engine(image(bench.afm, PLACE, SMALL))
        assert bench.safe
        assert bench.documents.of("stop")[0]["exit_status"] == "fail"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"place": Place("B7")}, "'B7' is not allowed: choose among A2, C3, C5, tip"),
            ({"place": Place("C5", 1e6, 0.0)}, "outside"),
            ({"scan": Scan(4.0, 1000.0)}, "outside"),
            ({"scan": Scan(20.0, 10.0)}, "impossible scan: the tip would go 400 µm/s"),
            ({"scan": Scan(4.0, 8.0, 256, 1024)}, "impossible scan: .* force curves a pixel"),
            ({"scan": Scan(4.0, 1.0, 10**6)}, "outside"),
            ({"mode": "Contact"}, "'Contact' is not allowed"),
            ({"setpoint": -1.0}, "setpoint is -1 nN: it must be above 0"),
            ({"setpoint": 1e9}, "outside"),
            ({"mode": "Tapping", "setpoint": 5.0}, "Tapping keeps no peak force"),
        ],
    )
    def test_refuses_bad_input_before_anything_moves(
        self, bench: CampaignBench, arguments: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            bench.engine(image(bench.afm, **{"place": PLACE, "scan": SMALL, **arguments}))
        assert "\n" not in str(caught.value)
        assert bench.client.sent["chuck.place"] == bench.client.sent["imager.engage"] == 0
        assert bench.documents.all == []


class TestSeries:
    """`phase_series`, a run an image."""

    def test_has_a_run_a_field_in_their_order(self, bench: CampaignBench) -> None:
        series = done(bench, phase_series(bench.afm, PLACES, SMALL))
        starts = bench.documents.of("start")
        assert [run.uid for run in series.runs] == [start["uid"] for start in starts]
        told = [(start["sample"], start["field"], start["technique"]) for start in starts]
        assert told == [("A2", 0, "tapping"), ("C5", 0, "tapping"), ("C5", 1, "tapping")]
        assert bench.safe

    def test_its_runs_tell_that_they_belong_together(self, bench: CampaignBench) -> None:
        bench.engine(phase_series(bench.afm, PLACES, SMALL))
        series = [start["series"] for start in bench.documents.of("start")]
        assert [(each["index"], each["of"]) for each in series] == [(0, 3), (1, 3), (2, 3)]
        assert len({each["uid"] for each in series}) == 1

    def test_takes_phase_images_of_10_um_at_2_hz_unless_told_otherwise(
        self, bench: CampaignBench
    ) -> None:
        messages = simulated(phase_series(bench.afm, PLACES))
        frames = [m.args[0] for m in messages if m.obj is bench.afm.scanner.frame]
        assert {(frame["scan_size"], frame["scan_rate"]) for frame in frames} == {(10.0, 2.0)}

    @pytest.mark.parametrize("places", [[], [PLACE, PLACE]])
    def test_refuses_no_field_and_a_field_twice(self, bench: CampaignBench, places: Any) -> None:
        with pytest.raises(ValueError, match="name each field once, and one or more"):
            bench.engine(phase_series(bench.afm, places))

    def test_a_field_out_of_reach_is_refused_before_the_first_image(
        self, bench: CampaignBench
    ) -> None:
        with pytest.raises(ValueError, match="outside"):
            bench.engine(phase_series(bench.afm, [*PLACES, Place("C5", 1e6)], SMALL))
        assert bench.documents.all == []


class TestEstimate:
    """What images would take."""

    def test_adds_up_lines_and_distance(self, bench: CampaignBench) -> None:
        found = estimate_images(bench.afm, PLACES, Scan(4.0, 1.0))
        assert (found.images, found.tip_images, found.lines) == (3, 0, 3 * 256)
        assert found.duration == pytest.approx(3 * 256.0)
        assert found.distance == pytest.approx(3 * 256 * 2 * 4.0)
        assert found.data_mb == pytest.approx(3 * 8 * 256 * 256 * 4e-6)

    def test_moves_nothing(self, bench: CampaignBench) -> None:
        before = dict(bench.client.sent)
        estimate_images(bench.afm, PLACES, SMALL)
        moved = {
            name for name in bench.client.sent if bench.client.sent[name] > before.get(name, 0)
        }
        assert all(name.endswith(".read") for name in moved)

    def test_says_it_in_a_line(self, bench: CampaignBench) -> None:
        told = str(estimate_images(bench.afm, PLACES, Scan(4.0, 1.0)))
        assert told.startswith("3 images, 768 lines in 12.8 min or more")

    def test_refuses_what_the_plan_refuses(self, bench: CampaignBench) -> None:
        with pytest.raises(ValueError, match="impossible scan"):
            estimate_images(bench.afm, PLACES, Scan(20.0, 10.0))


class TestTipCheck:
    """`tip_check`: image and verdict in one run."""

    def test_the_verdict_is_in_the_run_of_the_image(self, bench: CampaignBench) -> None:
        bench.find("worn")
        run = done(bench, tip_check(bench.afm, bench.qualifier, scan=TIP_SCAN))
        (event,) = stream(bench, "tip_check")
        assert event["data"]["tip_qualifier_status"] == "worn"
        assert (run.verdict.status, run.verdict.diameter) == ("worn", 60.0)
        assert len(bench.documents.of("start")) == len(stream(bench, "primary")) == 1
        assert start_of(bench)["plan_name"] == "tip_check"

    def test_names_the_data_keys_of_the_verdict(self, bench: CampaignBench) -> None:
        bench.engine(tip_check(bench.afm, bench.qualifier, scan=TIP_SCAN))
        (event,) = stream(bench, "tip_check")
        assert set(start_of(bench)["fields"]["tip_check"].values()) == set(event["data"])

    def test_the_tip_is_off_the_sample_while_it_is_qualified(self, bench: CampaignBench) -> None:
        engaged: list[int] = []

        def qualify(*args: Any) -> Verdict:
            engaged.append(bench.afm.imager.engage.get())
            return Verdict()

        qualifier: Any = TipQualifier(bench.afm, qualify, name="tip")
        bench.engine(tip_check(bench.afm, qualifier, scan=TIP_SCAN))
        assert engaged == [0]

    def test_a_flat_image_tells_no_tip(self, bench: CampaignBench) -> None:
        qualifier: Any = TipQualifier(bench.afm, tip_qualification(), name="tip")
        scan = Scan(1.0, 4.0, 64, 64)
        verdict = done(bench, tip_check(bench.afm, qualifier, scan=scan)).verdict
        assert verdict.status == "no tip"
        assert np.isnan(verdict.diameter)

    def test_compares_with_the_baseline_that_it_is_given(self, bench: CampaignBench) -> None:
        was = TipResult("good", 58.0, 0.5)
        for baseline in (was, None):
            bench.engine(tip_check(bench.afm, bench.qualifier, scan=TIP_SCAN, baseline=baseline))
        first, second = bench.finds.baselines
        assert first is not None
        assert (first.diameter, first.diameter_error) == pytest.approx((58e-9, 0.5e-9))
        assert second is None

    def test_a_qualification_that_fails_ends_the_run(self, bench: CampaignBench) -> None:
        bench.find("blunt")
        with pytest.raises(FailedStatus, match="no verdict on a tip"):
            bench.engine(tip_check(bench.afm, bench.qualifier, scan=TIP_SCAN))
        assert bench.documents.of("stop")[0]["exit_status"] == "fail"
        assert bench.safe


class TestInterruption:
    """Ctrl-C at any time."""

    @pytest.mark.slow
    def test_an_abort_at_any_message_leaves_the_tip_withdrawn(self, bench: CampaignBench) -> None:
        plan = lambda: tip_check(bench.afm, bench.qualifier, scan=TIP_SCAN)  # noqa: E731
        for number in range(1, len(simulated(plan())), 3):
            at_message(bench, number)
            try:
                bench.engine(plan())
            except RunEngineInterrupted:
                bench.engine.abort("the user had enough")
            assert bench.safe, f"after an abort at message {number}"

    @pytest.mark.slow
    def test_a_pause_at_any_message_loses_nothing(self, bench: CampaignBench) -> None:
        plan = lambda: image(bench.afm, PLACE, SMALL)  # noqa: E731
        for number in range(1, len(simulated(plan())), 3):
            at_message(bench, number)
            try:
                bench.engine(plan())
            except RunEngineInterrupted:
                bench.engine.resume()
            stop = bench.documents.of("stop")[-1]
            told = (stop["exit_status"], stop["num_events"])
            assert told == ("success", {"primary": 1}), f"after a pause at message {number}"
            assert bench.safe

    def test_who_withdraws_the_tip_in_mid_engage_is_not_gone_against(self, tmp_path: Path) -> None:
        with campaign_bench(tmp_path / "assets", rate=10.0) as bench:

            def look(message: Msg) -> None:
                if getattr(message.obj, "name", "") == "afm_imager_engage":
                    threading.Timer(0.2, bench.afm.withdraw).start()

            bench.engine.msg_hook = look  # pyright: ignore[reportAttributeAccessIssue]
            with pytest.raises(FailedStatus, match="withdrawn"):
                bench.engine(image(bench.afm, PLACE, SMALL))
            assert bench.client.sent["imager.engage"] == 1
            assert bench.safe

    def test_an_abort_in_mid_image_ends_it(self, tmp_path: Path) -> None:
        with campaign_bench(tmp_path / "assets", rate=200.0) as bench:

            def stop(name: str, doc: dict[str, Any]) -> None:
                threading.Timer(0.5, bench.engine.request_pause).start()

            bench.engine.subscribe(stop, "start")
            with pytest.raises(RunEngineInterrupted):
                bench.engine(image(bench.afm, PLACE, Scan(1.0, 0.1, 128, 16)))
            bench.engine.abort("the user had enough")
            assert bench.safe
            assert bench.documents.of("stop")[0]["exit_status"] == "abort"
            assert stream(bench, "primary") == []

    def test_a_frame_goes_on_through_a_pause(self, tmp_path: Path) -> None:
        with campaign_bench(tmp_path / "assets", rate=200.0) as bench:

            def stop(name: str, doc: dict[str, Any]) -> None:
                threading.Timer(0.5, bench.engine.request_pause).start()

            bench.engine.subscribe(stop, "start")
            with pytest.raises(RunEngineInterrupted):
                bench.engine(image(bench.afm, PLACE, Scan(1.0, 0.1, 32, 16)))
            bench.engine.resume()
            assert len(stream(bench, "primary")) == 1
            assert bench.client.sent["imager.acquire"] == 1


class TestMessages:
    """The plans message by message, with nobody answering."""

    def test_the_chuck_moves_after_the_tip_is_withdrawn_and_before_it_engages(
        self, bench: CampaignBench
    ) -> None:
        messages = simulated(image(bench.afm, PLACE, SMALL))
        told = [(m.command, getattr(m.obj, "name", None)) for m in messages]
        order = [
            ("stop", "afm_head_withdrawal"),
            ("set", "afm_chuck_place"),
            ("set", "afm_imager_engage"),
            ("trigger", "afm_imager"),
        ]
        places = [told.index(each) for each in order]
        assert places == sorted(places)

    def test_the_tip_is_withdrawn_before_anything_else_is_cleaned_up(
        self, bench: CampaignBench
    ) -> None:
        messages = simulated(image(bench.afm, PLACE, SMALL))
        after = messages[[m.command for m in messages].index("close_run") + 1 :]
        told = [(m.command, getattr(m.obj, "name", None)) for m in after]
        ending = [each for each in told if each[0] in ("stop", "unstage")]
        assert ending == [("stop", "afm_head_withdrawal"), ("unstage", "afm_imager")]

    def test_the_tip_is_off_the_tip_sample_before_the_verdict(self, bench: CampaignBench) -> None:
        messages = simulated(tip_check(bench.afm, bench.qualifier))
        told = [(m.command, getattr(m.obj, "name", None)) for m in messages]
        image_taken = told.index(("trigger", "afm_imager"))
        verdict = told.index(("trigger", "tip_qualifier"))
        assert ("stop", "afm_head_withdrawal") in told[image_taken:verdict]

    def test_a_series_may_be_paused_before_every_image(self, bench: CampaignBench) -> None:
        messages = simulated(phase_series(bench.afm, PLACES, SMALL))
        assert sum(message.command == "checkpoint" for message in messages) == len(PLACES)

    def test_nothing_is_rewound(self, bench: CampaignBench) -> None:
        messages = simulated(image(bench.afm, PLACE, SMALL))
        assert False in [m.args[0] for m in messages if m.command == "rewindable"]


def test_an_uncalibrated_probe_is_told_as_such(bench: CampaignBench) -> None:
    bench.afm.probe.calibrated.set(0).wait(timeout=30)
    bench.engine(image(bench.afm, PLACE, SMALL))
    assert start_of(bench)["calibrated"] is False
    (descriptor,) = bench.documents.of("descriptor")
    assert descriptor["data_keys"]["afm_imager_adhesion"]["units"] == "V"


@pytest.mark.slow
def test_an_image_shows_the_modulus_of_the_sample_in_its_gain(tmp_path: Path) -> None:
    with campaign_bench(tmp_path / "assets", compute=None) as bench:
        bench.engine(image(bench.afm, PLACE, SMALL, setpoint=30.0))
        channels, _ = bench.afm.imager.last_image
        truth = bench.simulated.imaging_truth.nuisance
        modulus = float(np.median(channels["dmt_modulus"])) / truth.modulus_gain
        assert modulus == pytest.approx(130e6 * (1 - 0.3**2), rel=0.15)  # E* to E, a drawn probe
