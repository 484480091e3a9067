"""Campaigns on a simulated AFM behind the real wire, with verdicts that a test chooses."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import Msg
from bluesky.simulators import RunEngineSimulator
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import FailedStatus, RunEngineInterrupted
from campaign_bench import CampaignBench, campaign_bench
from ophyd import Signal

from devices.drivers.simulated_imaging import ImagingParameters
from devices.wire import ExpiredError, InstrumentError
from plans import (
    Campaign,
    Done,
    ProbeError,
    Scan,
    TipResult,
    campaign,
    estimate_campaign,
    probes_from_box,
)

SMALL = Scan(1.0, 4.0, 8, 8)
FIRST = "RTESPA-150-30-0001"  # the probe that the simulator begins with


def small(**changes: Any) -> Campaign:
    """Return two samples, two images each, a check before, after two and after four."""
    told: dict[str, Any] = {"samples": ("A2", "C5"), "images": 2, "tip_every": 2}
    return Campaign(**{**told, "scan": SMALL, "tip_scan": SMALL, **changes})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


def run(bench: CampaignBench, what: Campaign, **arguments: Any) -> Any:
    """Run a campaign and return what it hands back."""
    outcome: Any = bench.engine(campaign(bench.afm, what, qualifier=bench.qualifier, **arguments))
    return outcome.plan_result


def starts(bench: CampaignBench) -> list[dict[str, Any]]:
    return bench.documents.of("start")


def indices(bench: CampaignBench) -> list[int]:
    return [start["campaign"]["index"] for start in starts(bench)]


def record(bench: CampaignBench) -> list[Done]:
    """What the documents say was done."""
    stops = {stop["run_start"]: stop for stop in bench.documents.of("stop")}
    checks = {d["uid"]: d["run_start"] for d in bench.documents.of("descriptor")}
    streams = {d["uid"]: d["name"] for d in bench.documents.of("descriptor")}
    found = {
        checks[event["descriptor"]]: event["data"]
        for event in bench.documents.of("event")
        if streams[event["descriptor"]] == "tip_check"
    }
    told = [
        Done.of_run(start, stops[start["uid"]], found.get(start["uid"]))
        for start in starts(bench)
        if start["uid"] in stops
    ]
    return [done for done in told if done is not None]


def images_of(bench: CampaignBench, what: Campaign, counting: Any) -> Counter[tuple[str, int]]:
    steps = [what.step(index) for index in counting]
    return Counter((step.place.sample, step.number) for step in steps)


def every(what: Campaign) -> Counter[tuple[str, int]]:
    return Counter((sample, number) for sample in what.samples for number in range(what.images))


class TestCampaign:
    """A campaign from its beginning to its end."""

    def test_does_every_step_in_a_run_of_its_own(self, bench: CampaignBench) -> None:
        found = run(bench, small())
        assert indices(bench) == list(range(7))
        assert [uid for _, uid in found.runs] == [start["uid"] for start in starts(bench)]
        assert images_of(bench, small(), found.counting) == every(small())
        assert bench.safe

    def test_its_runs_answer_which_images_of_a_sample_a_probe_made(
        self, bench: CampaignBench
    ) -> None:
        run(bench, small())
        asked = {"sample": "C5", "probe_serial": FIRST, "technique": "peakforce_qnm"}
        matching = [s for s in starts(bench) if asked.items() <= s.items()]
        assert [start["field"] for start in matching] == [0, 1]
        assert all("deformation" in start["channels"] for start in matching)

    def test_its_runs_tell_what_they_are_in_the_campaign(self, bench: CampaignBench) -> None:
        what = small(name="nine polymers")
        run(bench, what)
        told = starts(bench)[2]["campaign"]
        assert {name: told[name] for name in ("uid", "name", "index", "of", "purpose")} == {
            "uid": what.uid,
            "name": "nine polymers",
            "index": 2,
            "of": 7,
            "purpose": "sample",
        }
        purposes = [start["campaign"]["purpose"] for start in starts(bench)]
        assert purposes == ["tip", "sample", "sample", "tip", "sample", "sample", "tip"]

    def test_any_of_its_runs_tells_the_whole_campaign(self, bench: CampaignBench) -> None:
        what = small(order="random", seed=5)
        run(bench, what)
        definition = json.loads(json.dumps(starts(bench)[3]["campaign"]["definition"]))
        assert Campaign.of_document(definition) == what

    def test_samples_and_tip_sample_are_imaged_each_in_its_way(self, bench: CampaignBench) -> None:
        run(bench, small(tip_scan=Scan(0.5, 4.0, 8, 16, aspect=2.0)))
        tip, sample = starts(bench)[0], starts(bench)[1]
        assert (tip["plan_name"], tip["technique"]) == ("tip_check", "scanasyst")
        assert (sample["plan_name"], sample["technique"]) == ("image", "peakforce_qnm")
        assert (tip["scan"]["size"], sample["scan"]["size"]) == (0.5, 1.0)

    def test_the_baseline_is_the_first_good_check_of_the_probe(self, bench: CampaignBench) -> None:
        run(bench, small())
        first, *later = bench.finds.baselines
        assert first is None
        assert [baseline.diameter for baseline in later] == pytest.approx([60e-9, 60e-9])

    def test_metadata_are_in_every_run(self, bench: CampaignBench) -> None:
        run(bench, small(), md={"operator": "ana"})
        assert {start["operator"] for start in starts(bench)} == {"ana"}


class TestLateAnswers:
    """An instrument that does not answer in time."""

    @staticmethod
    def late(bench: CampaignBench, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have so many readings of the chuck fail."""
        read, left = bench.afm.chuck.read, [times]

        def answer() -> Any:
            if left[0]:
                left[0] -= 1
                raise ExpiredError("chuck.read was not answered in time; try again")
            return read()

        monkeypatch.setattr(bench.afm.chuck, "read", answer)

    def test_an_image_is_begun_again(
        self, bench: CampaignBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.late(bench, 2, monkeypatch)
        found = run(bench, small())
        assert indices(bench) == [0, 0, 0, 1, 2, 3, 4, 5, 6]
        assert [entry.index for entry in record(bench)] == list(range(7))
        assert images_of(bench, small(), found.counting) == every(small())

    def test_the_third_time_it_ends_the_campaign(
        self, bench: CampaignBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.late(bench, 3, monkeypatch)
        with pytest.raises(ExpiredError, match="not answered in time"):
            run(bench, small())
        assert bench.safe


class TestVerdicts:
    """What is done when a check does not find the tip good."""

    def test_a_worn_tip_without_another_probe_stops_the_campaign(
        self, bench: CampaignBench
    ) -> None:
        bench.find("good", "worn")
        with pytest.raises(ProbeError, match=r"step 3 .* worn: as it is; put in a new probe"):
            run(bench, small())
        assert indices(bench) == [0, 1, 2, 3]
        assert bench.safe

    def test_the_verdict_is_recorded_before_it_is_acted_upon(self, bench: CampaignBench) -> None:
        bench.find("good", "worn")
        with pytest.raises(ProbeError):
            run(bench, small())
        last = record(bench)[-1]
        assert last.check is not None
        assert (last.index, last.check.status) == (3, "worn")
        assert bench.documents.of("stop")[-1]["exit_status"] == "success"

    def test_a_new_probe_is_checked_and_takes_the_images_again(self, bench: CampaignBench) -> None:
        bench.find("good", "bad")
        what = small()
        found = run(bench, what, new_probe=probes_from_box(bench.afm, ["2", "3"]))
        told = [(s["campaign"]["index"], s["probe_serial"]) for s in starts(bench)]
        old = [(0, FIRST), (1, FIRST), (2, FIRST), (3, FIRST)]
        again = [(10, "2"), (8, "2"), (9, "2"), (17, "2"), (4, "2"), (5, "2"), (6, "2")]
        assert told == old + again
        assert images_of(bench, what, found.counting) == every(what)

    def test_images_that_are_taken_again_are_taken_elsewhere(self, bench: CampaignBench) -> None:
        bench.find("good", "bad")
        run(bench, small(), new_probe=probes_from_box(bench.afm, ["2"]))
        fields = [(start["sample"], start["field"]) for start in starts(bench)]
        assert len(set(fields)) == len(fields)

    def test_the_tip_is_withdrawn_when_a_new_probe_is_put_in(self, bench: CampaignBench) -> None:
        states: list[bool] = []
        box = probes_from_box(bench.afm, ["2"])

        def look(worn: Done) -> Any:
            states.append(bench.safe)
            yield from box(worn)

        bench.find("good", "worn")
        run(bench, small(), new_probe=look)
        assert states == [True]

    @pytest.mark.parametrize("status", ["suspect", "no tip"])
    def test_a_check_that_tells_nothing_is_repeated_once_elsewhere(
        self, bench: CampaignBench, status: str
    ) -> None:
        bench.find("good", status, "good")
        run(bench, small())
        assert indices(bench) == [0, 1, 2, 3, 10, 4, 5, 6]
        first, second = (s["field"] for s in starts(bench) if s["campaign"]["index"] in (3, 10))
        assert first != second

    def test_a_second_check_that_tells_nothing_asks_for_a_new_probe(
        self, bench: CampaignBench
    ) -> None:
        bench.find("suspect", "suspect")
        with pytest.raises(ProbeError, match=r"step 7 .* suspect"):
            run(bench, small())

    def test_a_new_probe_has_a_baseline_of_its_own(self, bench: CampaignBench) -> None:
        bench.find("good", "worn")
        run(bench, small(), new_probe=probes_from_box(bench.afm, ["2"]))
        assert [baseline is None for baseline in bench.finds.baselines[:4]] == [
            True,
            False,
            True,
            False,
        ]

    def test_an_empty_box_ends_the_campaign(self, bench: CampaignBench) -> None:
        bench.find("bad", "bad")
        with pytest.raises(ProbeError, match="probe 2 bad: as it is; it was the last of the box"):
            run(bench, small(), new_probe=probes_from_box(bench.afm, [FIRST, "2"]))

    def test_three_new_probes_in_a_row_that_are_bad_tell_of_a_bad_tip_sample(
        self, bench: CampaignBench
    ) -> None:
        bench.find(*["bad"] * 9)
        box = probes_from_box(bench.afm, ["2", "3", "4", "5", "6"])
        with pytest.raises(ProbeError, match="look at the tip sample"):
            run(bench, small(), new_probe=box)
        assert len(starts(bench)) == 4

    def test_a_hook_that_puts_no_new_probe_in_is_found_out(self, bench: CampaignBench) -> None:
        bench.find("bad")
        with pytest.raises(ProbeError, match="it is in the holder still"):
            run(bench, small(), new_probe=lambda worn: iter(()))


class TestResume:
    """A campaign that goes on from its record."""

    def test_does_what_was_not_done(self, bench: CampaignBench) -> None:
        what = small()
        found = run(
            bench, what, done=[Done(0, FIRST, TipResult("good", 60.0, 0.5)), Done(1, FIRST)]
        )
        assert indices(bench) == [2, 3, 4, 5, 6]
        assert images_of(bench, what, found.counting) == every(what)

    def test_a_complete_campaign_has_nothing_left_to_do(self, bench: CampaignBench) -> None:
        what = small()
        run(bench, what)
        before = len(starts(bench))
        assert run(bench, what, done=record(bench)).runs == ()
        assert len(starts(bench)) == before

    def test_knows_the_baseline_from_the_record(self, bench: CampaignBench) -> None:
        run(bench, small(), done=[Done(0, FIRST, TipResult("good", 58.0, 0.5))])
        assert bench.finds.baselines[0].diameter == pytest.approx(58e-9)

    def test_goes_on_with_a_new_probe_after_a_worn_one(self, bench: CampaignBench) -> None:
        what = small()
        bench.find("good", "worn")
        with pytest.raises(ProbeError):
            run(bench, what)
        bench.afm.probe.load.set("2").wait(timeout=30)
        found = run(bench, what, done=record(bench))
        assert indices(bench)[4:] == [10, 8, 9, 17, 4, 5, 6]
        assert images_of(bench, what, found.counting) == every(what)

    def test_does_not_go_on_with_the_worn_one(self, bench: CampaignBench) -> None:
        what = small()
        bench.find("good", "worn")
        with pytest.raises(ProbeError):
            run(bench, what)
        before = len(starts(bench))
        with pytest.raises(ProbeError, match="put in a new probe"):
            run(bench, what, done=record(bench))
        assert len(starts(bench)) == before

    def test_an_image_that_failed_is_taken_again(
        self, bench: CampaignBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any) -> Any:
            raise InstrumentError("the laser is off")

        def break_it(name: str, doc: dict[str, Any]) -> None:
            if len(starts(bench)) == 3:
                patch.setattr(type(bench.simulated.drivers.imager), "scan", broken)

        what = small()
        with monkeypatch.context() as patch:
            bench.engine.subscribe(break_it, "start")
            with pytest.raises(FailedStatus, match="the laser is off"):
                run(bench, what)
        assert bench.safe
        found = run(bench, what, done=record(bench))
        # more often still where an answer was late
        assert set(indices(bench)) == set(range(7))
        assert indices(bench).count(2) >= 2
        assert images_of(bench, what, found.counting) == every(what)


class TestInterruption:
    """Ctrl-C at any time."""

    @pytest.mark.slow
    @pytest.mark.parametrize("ending", ["abort", "stop"])
    def test_a_campaign_that_is_ended_again_and_again_misses_nothing(
        self, bench: CampaignBench, ending: str
    ) -> None:
        what = small()
        found, ended, number = None, 0, 0
        while found is None:
            number += 7
            self.pause_after(bench, number)
            try:
                found = run(bench, what, done=record(bench))
            except RunEngineInterrupted:
                getattr(bench.engine, ending)()
                ended += 1
            assert bench.safe
        assert ended > 5
        done = [entry.index for entry in record(bench)]
        assert sorted(done) == list(range(7))
        assert images_of(bench, what, found.counting) == every(what)

    def test_a_pause_between_images_loses_nothing(self, bench: CampaignBench) -> None:
        def pause(name: str, doc: dict[str, Any]) -> None:
            if len(starts(bench)) == 2:
                ask = threading.Thread(target=lambda: bench.engine.request_pause(defer=True))
                ask.daemon = True
                ask.start()

        bench.engine.subscribe(pause, "start")
        with pytest.raises(RunEngineInterrupted):
            run(bench, small())
        assert bench.safe
        assert len(bench.documents.of("stop")) == len(starts(bench)) < 7
        bench.engine.resume()
        assert indices(bench) == list(range(7))

    def test_a_suspension_in_mid_image_loses_nothing(self, bench: CampaignBench) -> None:
        trouble = Signal(name="trouble", value=0)

        def suspend(name: str, doc: dict[str, Any]) -> None:
            if doc["campaign"]["index"] in (1, 3):
                trouble.put(1)
                threading.Timer(0.3, trouble.put, (0,)).start()

        bench.engine.install_suspender(SuspendBoolHigh(trouble))
        bench.engine.subscribe(suspend, "start")
        found = run(bench, small())
        assert indices(bench) == list(range(7))
        assert images_of(bench, small(), found.counting) == every(small())
        assert bench.safe

    @staticmethod
    def pause_after(bench: CampaignBench, number: int) -> None:
        left = number

        def look(message: Msg) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                asked = threading.Thread(target=bench.engine.request_pause, daemon=True)
                asked.start()
                asked.join(timeout=0.2)

        bench.engine.msg_hook = look  # pyright: ignore[reportAttributeAccessIssue]


class TestRefusals:
    """What is refused before anything moves."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"samples": ("A2", "B7")}, "'B7' is not allowed"),
            ({"tip_sample": "titanium"}, "'titanium' is not allowed"),
            ({"images": 4000, "margin": 500.0}, "outside"),
            ({"scan": Scan(20.0, 10.0)}, "impossible scan"),
            ({"mode": "Contact"}, "'Contact' is not allowed"),
            ({"tip_mode": "Tapping"}, "Tapping keeps no peak force"),
        ],
    )
    def test_what_cannot_be_done(self, bench: CampaignBench, changes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            run(bench, small(**changes))
        assert "\n" not in str(caught.value)
        assert bench.client.sent["chuck.place"] == bench.client.sent["imager.engage"] == 0
        assert bench.documents.all == []

    def test_a_probe_without_a_number(self, tmp_path: Path) -> None:
        nameless = ImagingParameters(serial="")
        with (
            campaign_bench(tmp_path / "assets", imaging=nameless) as bench,
            pytest.raises(ValueError, match="afm_probe has no serial number"),
        ):
            run(bench, small())

    def test_a_record_of_another_campaign(self, bench: CampaignBench) -> None:
        with pytest.raises(ValueError, match="its record is that of another campaign"):
            run(bench, small(), done=[Done(0, FIRST)])


class TestEstimate:
    """What a campaign would take."""

    def test_that_of_the_application_note_is_33_hours_of_scanning(self, tmp_path: Path) -> None:
        what = Campaign(("A2", "C3", "C5"), images=135)
        with campaign_bench(tmp_path / "assets") as bench:
            found = estimate_campaign(bench.afm, what)
        assert (found.images, found.tip_images) == (405, 28)
        assert found.duration == pytest.approx(405 * 256.0 + 28 * 512.0)
        assert found.distance == pytest.approx(256 * 2 * (405 * 4.0 + 28 * 2.5))

    def test_counts_what_is_left(self, bench: CampaignBench) -> None:
        done = [Done(0, FIRST, TipResult("good")), Done(1, FIRST)]
        found = estimate_campaign(bench.afm, small(), done=done)
        assert (found.images, found.tip_images) == (3, 2)

    def test_counts_what_a_worn_tip_has_taken_again(self, bench: CampaignBench) -> None:
        done = [Done(0, FIRST, TipResult("good")), Done(1, FIRST), Done(2, FIRST)]
        done.append(Done(3, FIRST, TipResult("worn")))
        found = estimate_campaign(bench.afm, small(), done=done)
        assert (found.images, found.tip_images) == (4, 3)

    def test_refuses_what_the_campaign_refuses(self, bench: CampaignBench) -> None:
        with pytest.raises(ValueError, match="'B7' is not allowed"):
            estimate_campaign(bench.afm, small(samples=("B7",)))


class TestMessages:
    """The plan message by message, with nobody answering."""

    def test_it_may_be_paused_before_every_image(self, bench: CampaignBench) -> None:
        messages = simulated(bench)
        assert sum(message.command == "checkpoint" for message in messages) == 7

    def test_every_engage_is_followed_by_a_withdrawal(self, bench: CampaignBench) -> None:
        told = [
            getattr(m.obj, "name", "")
            for m in simulated(bench)
            if (m.command, getattr(m.obj, "name", "")) == ("set", "afm_imager_engage")
            or m.command == "stop"
        ]
        engages = [place for place, name in enumerate(told) if name == "afm_imager_engage"]
        assert len(engages) == 7
        assert all(told[place + 1] == "afm_head_withdrawal" for place in engages)

    def test_every_place_is_another_one(self, bench: CampaignBench) -> None:
        moves = [m for m in simulated(bench) if getattr(m.obj, "name", "") == "afm_chuck_place"]
        places = [move.args[0] for move in moves]
        assert len(set(places)) == len(places) == 7


def simulated(bench: CampaignBench) -> list[Msg]:
    plan = campaign(bench.afm, small(), qualifier=bench.qualifier)
    return RunEngineSimulator().simulate_plan(plan)
