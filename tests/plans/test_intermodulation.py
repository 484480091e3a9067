"""The AFM's plans on a simulated microscope behind the real wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from afm_bench import AfmBench, Tapper, afm_bench, quiet
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import FailedStatus, RunEngineInterrupted

from devices.drivers.simulated_afm import AfmParameters
from devices.wire import InstrumentError
from plans import (
    ApproachError,
    Guard,
    Tapping,
    amplitude_series,
    calibrate_probe,
    estimate_map,
    force_map,
    free_spectrum,
    height_series,
    paper_comb,
    paper_excitation,
    point_spectrum,
)
from plans._afm_run import probe_modes
from sim.cantilever import FastEngine

# The surface of the simulated AFM is at 2300 nm and a few nm of relief.
NEAR = Tapping(guard=Guard(start=2400.0))
SMALL: Any = {"x": (-0.1, 0.1), "y": (-0.1, 0.1), "shape": (3, 8), "tapping": NEAR}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench with noise; a second of the test is minutes of the microscope, so nothing drifts."""
    parameters = AfmParameters(drift=(0.0, 0.0, 0.0))
    with afm_bench(tmp_path / "assets", rate=500.0, parameters=parameters) as opened:
        yield opened


@pytest.fixture
def still(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench without noise and drift."""
    with afm_bench(tmp_path / "assets", rate=500.0, parameters=quiet()) as opened:
        yield opened


def stream(bench: AfmBench, name: str) -> list[dict[str, Any]]:
    of = [d["uid"] for d in bench.documents.of("descriptor") if d["name"] == name]
    return [event for event in bench.documents.of("event") if event["descriptor"] in of]


def done(bench: AfmBench, plan: Any) -> Any:
    """Run a plan and return what it hands back."""
    outcome: Any = bench.engine(plan)
    return outcome.plan_result


def lifted(bench: AfmBench) -> list[int]:
    return [event["data"]["afm_head_lifted"] for event in stream(bench, "primary")]


def answered(stub: Any) -> Any:
    try:
        while True:
            next(stub)
    except StopIteration as end:
        return end.value


def assert_safe(bench: AfmBench) -> None:
    assert bench.simulated.head.read().withdrawn
    assert not bench.afm.lockin.driving.get()
    assert bench.afm.head.feedback.get() == "off"


def surface_nm(bench: AfmBench) -> float:
    reading = bench.simulated.scanner.read()
    place = np.array([reading.x]), np.array([reading.y])
    return 1e9 * float(bench.simulated.truth.surface_z(*place, reading.time)[0])


class TestCalibration:
    """What `calibrate_probe` finds, against the hidden cantilever."""

    @pytest.mark.parametrize("method", ["thermal", "sweep"])
    def test_resonance_and_quality_factor_are_those_of_the_hidden_cantilever(
        self, bench: AfmBench, method: Any
    ) -> None:
        found = done(bench, calibrate_probe(bench.afm, method)).result
        modes = bench.simulated.truth.parameters.cantilever.modes
        for mode, truth in zip(found, modes, strict=True):
            for name, value in (
                ("frequency", truth.frequency),
                ("quality_factor", truth.quality_factor),
            ):
                estimate = getattr(mode, name)
                assert estimate.value == pytest.approx(value, abs=4.5 * estimate.deviation)
                assert estimate.deviation < 0.02 * value

    def test_the_spring_constant_is_told_by_the_thermal_motion(self, bench: AfmBench) -> None:
        found = done(bench, calibrate_probe(bench.afm)).result
        spring = found[0].spring_constant
        truth = bench.simulated.truth.parameters.cantilever.modes[0].spring_constant
        assert spring.value == pytest.approx(truth, abs=4.5 * spring.deviation)
        assert spring.deviation < 0.02 * truth

    def test_a_spring_constant_below_the_noise_is_kept(self, bench: AfmBench) -> None:
        result = done(bench, calibrate_probe(bench.afm, pixels=100))
        assert result.result[1].spring_constant is None
        assert bench.afm.probe.spring_constant.get()[1] == 2000.0

    def test_what_was_found_is_in_force_and_in_the_run(self, bench: AfmBench) -> None:
        result = done(bench, calibrate_probe(bench.afm, "sweep")).result
        (event,) = stream(bench, "calibration")
        frequencies = [mode.frequency.value for mode in result]
        assert bench.afm.probe.resonance_frequency.get() == pytest.approx(frequencies)
        recorded = event["data"]["afm_probe_resonance_frequency_deviation"]
        assert recorded == pytest.approx([mode.frequency.deviation for mode in result])

    def test_a_probe_that_is_not_there_is_not_calibrated(self, bench: AfmBench) -> None:
        probe = bench.afm.probe
        probe.resonance_frequency.set([500e3, 1.89e6]).wait(30)
        with pytest.raises(ValueError, match=r"not that of an oscillator|does not hold"):
            bench.engine(calibrate_probe(bench.afm, "sweep"))
        assert probe.resonance_frequency.get() == [500e3, 1.89e6]
        assert_safe(bench)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"method": "guess"}, "method is 'guess': thermal or sweep"),
            ({"pixels": 3}, "pixels is 3: 10 or more"),
            ({"pixels": 10**6}, "outside"),
            ({"temperature": -3.0}, "temperature is -3 K: it must be above 0"),
        ],
    )
    def test_refuses_bad_input_before_anything_is_driven(
        self, bench: AfmBench, arguments: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            bench.engine(calibrate_probe(bench.afm, **arguments))
        assert "\n" not in str(caught.value)
        assert bench.documents.all == []


class TestDrive:
    """The drive for the asked amplitudes."""

    def test_the_free_tip_swings_as_asked(self, bench: AfmBench) -> None:
        modes = answered(probe_modes(bench.afm))
        bench.engine(free_spectrum(bench.afm, paper_comb(modes, 200.0, (20.0, 3.0)), pixels=4))
        (event,) = bench.documents.of("stream_resource")[:1]
        assert event["data_key"] == "afm_lockin_spectra"
        spectra = bench.afm.lockin.spectra.get()
        excitation = answered(paper_excitation(bench.afm, (20.0, 3.0)))
        assert excitation.beats(spectra) == pytest.approx([20.0, 3.0], rel=0.02)

    def test_more_than_the_lock_in_gives_is_refused(self, bench: AfmBench) -> None:
        excitation = answered(paper_excitation(bench.afm, (900.0, 900.0)))
        with pytest.raises(ValueError, match="take smaller amplitudes"):
            bench.engine(free_spectrum(bench.afm, excitation))
        assert_safe(bench)

    def test_a_run_of_a_free_spectrum_is_lifted(self, bench: AfmBench) -> None:
        bench.engine(free_spectrum(bench.afm, pixels=4))
        assert lifted(bench) == [1]
        assert_safe(bench)


class TestPoint:
    """`point_spectrum` and its series."""

    def test_records_free_engaged_and_again_free_spectra(self, bench: AfmBench) -> None:
        bench.engine(point_spectrum(bench.afm, pixels=4, tapping=NEAR))
        assert lifted(bench) == [1, 0, 1]
        assert bench.documents.of("start")[0]["num_points"] == 3
        assert_safe(bench)

    def test_names_the_fields_that_the_analysis_needs(self, bench: AfmBench) -> None:
        bench.engine(point_spectrum(bench.afm, pixels=4, tapping=NEAR))
        (descriptor,) = (d for d in bench.documents.of("descriptor") if d["name"] == "primary")
        fields = bench.documents.of("start")[0]["fields"]
        data = {fields[name] for name in ("spectra", "z", "lifted", "time")}
        assert data <= set(descriptor["data_keys"])
        recorded = set().union(*(d["data"] for d in descriptor["configuration"].values()))
        assert {*fields["comb"].values(), *fields["probe"].values()} <= recorded
        assert fields["lifted"] == "afm_head_lifted"
        assert descriptor["data_keys"][fields["spectra"]]["shape"] == [4, 48]

    def test_every_event_has_its_spectra_in_the_file(self, bench: AfmBench) -> None:
        bench.engine(point_spectrum(bench.afm, pixels=4, tapping=NEAR))
        indices = [d["indices"]["start"] for d in bench.documents.of("stream_datum")]
        assert sorted(indices) == [0, 0, 1, 1, 2, 2]  # spectra and heights
        (path,) = bench.assets.rglob("*.h5")
        with h5py.File(path) as file:
            spectra = file["entry/spectra"]
            assert isinstance(spectra, h5py.Dataset)
            assert spectra.shape == (3, 4, 48)

    def test_engages_at_the_asked_ratio_of_the_amplitude(self, bench: AfmBench) -> None:
        how = Tapping(guard=Guard(ratio=0.7, start=2400.0))
        found = done(bench, point_spectrum(bench.afm, pixels=4, tapping=how)).approach
        assert 0.65 < found.ratio <= 0.7
        engaged = stream(bench, "primary")[1]["data"]["afm_head_amplitude"]
        assert engaged == pytest.approx(0.7 * found.free, rel=0.05)

    def test_engages_at_the_asked_height(self, still: AfmBench) -> None:
        how = Tapping(guard=Guard(ratio=None, height=17.0, start=2400.0))
        found = done(still, point_spectrum(still.afm, pixels=4, tapping=how)).approach
        assert found.z - surface_nm(still) == pytest.approx(17.0, abs=1.0)

    def test_the_first_touch_tells_where_the_surface_is(self, still: AfmBench) -> None:
        found = done(still, point_spectrum(still.afm, pixels=4, tapping=NEAR)).approach
        assert found.surface == pytest.approx(surface_nm(still), abs=2 * found.uncertainty + 0.1)
        assert stream(still, "engaged")[0]["data"]["afm_approach_surface_nm"] == found.surface

    @pytest.mark.slow
    @pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0)])  # a soft and a stiff polymer
    def test_forces_that_reach_out_do_not_mislead_about_the_surface(
        self, tmp_path: Path, place: tuple[float, float]
    ) -> None:
        still = AfmParameters(drift=(0.0, 0.0, 0.0))
        with afm_bench(
            tmp_path / "assets", rate=500.0, parameters=still, engine=FastEngine()
        ) as bench:
            bench.afm.scanner.line.set((*place, *place)).wait(30)
            run = done(bench, point_spectrum(bench.afm, pixels=4, tapping=NEAR))
            assert run.approach.surface == pytest.approx(surface_nm(bench), abs=2.0)

    def test_every_step_of_the_approach_is_recorded(self, bench: AfmBench) -> None:
        run = done(bench, point_spectrum(bench.afm, pixels=4, tapping=NEAR))
        steps = stream(bench, "approach")
        assert len(steps) == run.approach.looks
        assert {"afm_head_amplitude", "afm_approach_products_nm"} <= set(steps[0]["data"])

    def test_heights_are_gone_through_from_above(self, bench: AfmBench) -> None:
        run = done(bench, height_series(bench.afm, [15.0, 20.0, 18.0], pixels=4, tapping=NEAR))
        surface = run.approach.surface
        heights = [event["data"]["afm_head_z"] - surface for event in stream(bench, "primary")]
        assert heights[1:-1] == pytest.approx([20.0, 18.0, 15.0], abs=1e-3)
        assert lifted(bench) == [1, 0, 0, 0, 1]
        assert_safe(bench)

    def test_a_height_that_asks_too_much_ends_the_series(self, bench: AfmBench) -> None:
        with pytest.raises(ApproachError, match="ask for greater heights"):
            bench.engine(height_series(bench.afm, [20.0, 6.0], pixels=4, tapping=NEAR))
        assert_safe(bench)

    def test_every_amplitude_has_a_run_of_its_own(self, bench: AfmBench) -> None:
        series = done(bench, amplitude_series(bench.afm, [0.5, 1.0], pixels=4, tapping=NEAR))
        first, second = (run.approach for run in series.runs)
        assert second.free == pytest.approx(2 * first.free, rel=0.03)
        assert len(bench.documents.of("start")) == 2
        assert_safe(bench)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"pixels": 0}, "pixels"),
            ({"pixels": 10**6}, "outside"),
            ({"tapping": Tapping(lift=-5.0)}, "lift is -5 nm: it must be above 0"),
            ({"tapping": Tapping(lift=1e6)}, "outside"),
            ({"tapping": Tapping(guard=Guard(start=1e5))}, "outside"),
            ({"tapping": Tapping(guard=Guard(start=10.0, lowest=20.0))}, "goes downwards"),
            (
                {"tapping": Tapping(guard=Guard(ratio=None, height=40.0))},
                "the free tip reaches 25 nm: it would not touch",
            ),
        ],
    )
    def test_refuses_bad_input_before_anything_moves(
        self, bench: AfmBench, arguments: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            bench.engine(point_spectrum(bench.afm, **arguments))
        assert "\n" not in str(caught.value)
        assert bench.client.sent["head.move"] == 0
        assert bench.documents.all == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 0.9, "height": 10.0}, "either ratio or height"),
        ({"ratio": None}, "either ratio or height"),
        ({"ratio": 1.2}, "between the floor, 0.4, and 1"),
        ({"ratio": 0.3}, "between the floor, 0.4, and 1"),
        ({"floor": 0.1}, "0.25 to 0.95"),
        ({"step": 0.0}, "step is 0 nm"),
        ({"ratio": None, "height": -1.0}, "height is -1 nm"),
    ],
)
def test_a_guard_that_guards_nothing_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Guard(**arguments)


class TestGuard:
    """What ends an approach."""

    def test_no_surface_within_range_is_told(self, bench: AfmBench) -> None:
        how = Tapping(guard=Guard(start=3000.0, lowest=2900.0))
        with pytest.raises(ApproachError, match="no surface within range"):
            bench.engine(point_spectrum(bench.afm, pixels=4, tapping=how))
        assert bench.documents.of("stop")[0]["exit_status"] == "fail"
        assert_safe(bench)

    def test_an_amplitude_below_the_floor_is_told(self, bench: AfmBench) -> None:
        how = Tapping(guard=Guard(ratio=0.95, floor=0.9, start=2400.0, step=23.0))
        with pytest.raises(ApproachError, match="below 90% of the free"):
            bench.engine(point_spectrum(bench.afm, pixels=4, tapping=how))
        assert_safe(bench)

    def test_a_tip_that_does_not_answer_the_drive_is_not_lowered(self, tmp_path: Path) -> None:
        unplugged = AfmParameters(shaker_gain=(1e-20, 1e-20))
        with afm_bench(tmp_path / "assets", rate=500.0, parameters=unplugged) as bench:
            with pytest.raises(ValueError, match=r"does not answer|take smaller amplitudes"):
                bench.engine(point_spectrum(bench.afm, pixels=4, tapping=NEAR))
            assert bench.client.sent["head.move"] == 0
            assert_safe(bench)


class TestMap:
    """`force_map`."""

    def test_has_a_line_a_row_between_free_spectra(self, bench: AfmBench) -> None:
        bench.engine(force_map(bench.afm, **SMALL))
        assert lifted(bench) == [1, 0, 0, 0, 1]
        assert bench.documents.of("start")[0]["num_points"] == 5
        lines = [event["data"]["afm_scanner_line"] for event in stream(bench, "primary")][1:4]
        expected = [[-0.1, y, 0.1, y] for y in (-0.2 / 3, 0.0, 0.2 / 3)]
        np.testing.assert_allclose(lines, expected, atol=1e-9)
        assert_safe(bench)

    def test_the_height_follows_the_surface(self, bench: AfmBench) -> None:
        flat = {**SMALL, "y": (-0.005, 0.005)}  # so that a line tells of the next
        run = done(bench, force_map(bench.afm, **flat))
        engaged = [event["data"]["afm_head_amplitude"] for event in stream(bench, "primary")][1:4]
        np.testing.assert_allclose(engaged, run.approach.engaged, rtol=0.05)

    def test_without_feedback_the_height_is_constant(self, bench: AfmBench) -> None:
        bench.engine(force_map(bench.afm, **SMALL, feedback="off"))
        heights = [event["data"]["afm_head_z"] for event in stream(bench, "primary")][1:4]
        assert np.ptp(heights) == 0.0

    def test_an_estimate_moves_nothing(self, bench: AfmBench) -> None:
        estimate = answered(estimate_map(bench.afm, **SMALL))
        assert estimate.acquisitions == 3 + 2 + 2
        assert bench.client.sent["head.move"] == bench.client.sent["scanner.set_line"] == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"x": (0.0, 0.0)}, "span no field"),
            ({"x": (0.0, 99.0)}, "outside"),
            ({"y": (0.0, float("nan"))}, "edge is nan"),
            ({"shape": (0, 8)}, "rows is 0"),
            ({"shape": (8, 10**6)}, "outside"),
            ({"shape": 8}, "rows and columns"),
            ({"feedback": "pixel"}, "feedback is 'pixel': line or off"),
        ],
    )
    def test_refuses_bad_input_before_anything_moves(
        self, bench: AfmBench, arguments: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            bench.engine(force_map(bench.afm, **{**SMALL, **arguments}))
        assert "\n" not in str(caught.value)
        assert bench.client.sent["head.move"] == 0
        assert bench.documents.all == []

    def test_a_pause_between_lines_loses_nothing(self, bench: AfmBench) -> None:
        def pause(name: str, doc: dict[str, Any]) -> None:
            if "afm_scanner_line" in doc["data"] and doc["seq_num"] == 2:
                ask = partial(bench.engine.request_pause, defer=True)
                threading.Thread(target=ask, daemon=True).start()

        bench.engine.subscribe(pause, "event")
        with pytest.raises(RunEngineInterrupted):
            bench.engine(force_map(bench.afm, **{**SMALL, "shape": (40, 8)}))
        bench.engine.resume()
        assert lifted(bench) == [1] + [0] * 40 + [1]
        assert bench.documents.of("stop")[0]["exit_status"] == "success"

    def test_a_pause_at_any_time_loses_nothing(self, bench: AfmBench) -> None:
        def pause(name: str, doc: dict[str, Any]) -> None:
            if "afm_scanner_line" in doc["data"] and doc["seq_num"] == 2:
                threading.Timer(0.02, bench.engine.request_pause).start()

        bench.engine.subscribe(pause, "event")
        with pytest.raises(RunEngineInterrupted):
            bench.engine(force_map(bench.afm, **{**SMALL, "shape": (40, 8)}))
        bench.engine.resume()
        assert lifted(bench) == [1] + [0] * 40 + [1]

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_an_abort_leaves_the_microscope_safe(self, bench: AfmBench, number: int) -> None:
        def stop(name: str, doc: dict[str, Any]) -> None:
            if "afm_scanner_line" in doc["data"] and doc["seq_num"] == number:
                threading.Thread(target=bench.engine.request_pause, daemon=True).start()

        bench.engine.subscribe(stop, "event")
        with pytest.raises(RunEngineInterrupted):
            bench.engine(force_map(bench.afm, **SMALL))
        bench.engine.abort("the user had enough")
        assert bench.documents.of("stop")[0]["exit_status"] == "abort"
        assert_safe(bench)

    def test_an_abort_in_mid_approach_leaves_the_microscope_safe(self, bench: AfmBench) -> None:
        def stop(name: str, doc: dict[str, Any]) -> None:
            if doc["seq_num"] == 12:
                threading.Thread(target=bench.engine.request_pause, daemon=True).start()

        bench.engine.subscribe(stop, "event")
        with pytest.raises(RunEngineInterrupted):
            bench.engine(point_spectrum(bench.afm, pixels=4))
        bench.engine.abort("the user had enough")
        assert_safe(bench)

    def test_an_acquisition_that_fails_leaves_the_microscope_safe(
        self, bench: AfmBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: Tapper, *args: Any) -> Any:
            raise InstrumentError("the laser is off")

        def break_it(name: str, doc: dict[str, Any]) -> None:
            if "afm_scanner_line" in doc["data"] and doc["seq_num"] == 2:
                monkeypatch.setattr(Tapper, "simulate", broken)

        bench.engine.subscribe(break_it, "event")
        with pytest.raises(FailedStatus, match="the laser is off"):
            bench.engine(force_map(bench.afm, **SMALL))
        assert bench.documents.of("stop")[0]["exit_status"] == "fail"
        assert_safe(bench)


class TestMessages:
    """The plans message by message, with nobody answering."""

    def test_the_tip_is_withdrawn_before_anything_else_is_cleaned_up(self, bench: AfmBench) -> None:
        messages = RunEngineSimulator().simulate_plan(point_spectrum(bench.afm))
        after = messages[[m.command for m in messages].index("close_run") + 1 :]
        told = [(m.command, getattr(m.obj, "name", None)) for m in after]
        told = [each for each in told if each[0] in ("stop", "unstage", "set")]
        assert told == [
            ("stop", "afm_head_withdrawal"),
            ("unstage", "afm_lockin"),
            ("set", "afm_lockin_comb"),
            ("set", "afm_head_feedback"),
        ]

    def test_the_comb_that_is_left_drives_nothing(self, bench: AfmBench) -> None:
        messages = RunEngineSimulator().simulate_plan(force_map(bench.afm, **SMALL))
        combs = [m.args[0] for m in messages if m.obj is bench.afm.lockin.comb]
        assert combs[0].drive_tones
        assert combs[-1].drive_tones == ()

    def test_a_map_may_be_paused_before_every_line(self, bench: AfmBench) -> None:
        messages = RunEngineSimulator().simulate_plan(force_map(bench.afm, **SMALL))
        assert sum(message.command == "checkpoint" for message in messages) >= 3

    def test_nothing_is_rewound(self, bench: AfmBench) -> None:
        messages = RunEngineSimulator().simulate_plan(calibrate_probe(bench.afm))
        flags = [message.args[0] for message in messages if message.command == "rewindable"]
        assert False in flags
