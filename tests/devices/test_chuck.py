"""The chuck and the probes of an AFM over the real wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from afm_bench import SAMPLES, AfmBench, imaging_bench

from devices.drivers.simulated_imaging import ImagingParameters
from devices.wire import CancelledError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    with imaging_bench(tmp_path / "assets", imaging=ImagingParameters()) as bench:
        yield bench


@pytest.fixture
def slow_bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench whose chuck needs ten seconds from one sample to the next."""
    with imaging_bench(tmp_path / "assets", rate=0.1) as bench:
        yield bench


def under_the_tip(bench: AfmBench) -> str:
    """Name of the sample there, as the simulator knows it."""
    assert bench.simulated.drivers.chuck is not None
    return bench.simulated.drivers.chuck.read().sample


def test_positions_are_the_samples(bench: AfmBench) -> None:
    assert bench.afm.chuck.positions == ("rubber", "even")
    assert bench.afm.chuck.describe()["afm_chuck_sample"]["choices"] == ["rubber", "even"]


def test_sample_and_offsets_are_set_in_one_go(bench: AfmBench) -> None:
    chuck = bench.afm.chuck
    bench.engine(bps.mv(chuck.place, ("even", 12.5, -30.0)))
    assert chuck.place.get() == ("even", 12.5, -30.0)
    values = {key: reading["value"] for key, reading in chuck.read().items()}
    assert values == {
        "afm_chuck_sample": "even",
        "afm_chuck_offset_x": 12.5,
        "afm_chuck_offset_y": -30.0,
    }


def test_what_is_set_alone_leaves_the_rest(bench: AfmBench) -> None:
    chuck = bench.afm.chuck
    bench.engine(bps.mv(chuck.place, ("even", 12.5, -30.0)))
    bench.engine(bps.mv(chuck.offset_x, 20.0))
    bench.engine(bps.mv(chuck.sample, "rubber"))
    assert chuck.place.get() == ("rubber", 20.0, -30.0)


def test_the_sample_is_really_under_the_tip(bench: AfmBench) -> None:
    bench.afm.chuck.place.set(("even", 5.0, 6.0)).wait(timeout=60)
    assert bench.simulated.truth.surface is SAMPLES["even"]
    assert bench.simulated.truth.offset == pytest.approx((5e-6, 6e-6))


def test_a_chuck_that_is_stopped_is_between_samples(slow_bench: AfmBench, until: Any) -> None:
    chuck = slow_bench.afm.chuck
    status = chuck.sample.set("even")
    until(lambda: not under_the_tip(slow_bench))
    chuck.stop()
    with pytest.raises(CancelledError, match="stopped on its way to even"):
        status.wait(timeout=30)
    assert chuck.sample.get() == ""
    with pytest.raises(Exception, match="no sample is under the tip"):
        slow_bench.afm.imager.engage.set(1).wait(timeout=30)


def test_nothing_lowers_the_tip_while_the_chuck_moves(slow_bench: AfmBench, until: Any) -> None:
    chuck = slow_bench.afm.chuck
    status = chuck.sample.set("even")
    until(lambda: not under_the_tip(slow_bench))
    with pytest.raises(Exception, match="has to wait: the chuck is moving"):
        slow_bench.afm.head.z.set(3000.0).wait(timeout=30)
    chuck.stop()
    until(lambda: status.done)


def test_a_new_probe_is_another_with_a_fresh_tip(bench: AfmBench) -> None:
    afm, truth = bench.afm, bench.simulated.imaging_truth
    bench.engage("even")
    bench.client.start("imager.acquire", timeout_s=60.0).future.result(60)
    assert afm.probe.tip_frame_count.get() == 1
    first, spring = truth.probe, afm.probe.spring_constant.get()
    afm.withdraw()
    bench.engine(bps.mv(afm.probe.load, "RTESPA-150-30-0002"))
    assert afm.probe.serial.get() == "RTESPA-150-30-0002"
    assert afm.probe.calibrated.get() == 1
    assert afm.probe.tip_frame_count.get() == 0
    assert afm.probe.tip_scanned_distance.get() == 0.0
    assert afm.probe.spring_constant.get() != spring
    assert truth.probe.tip != first.tip


def test_the_same_serial_number_is_the_same_probe_again(bench: AfmBench) -> None:
    afm, truth = bench.afm, bench.simulated.imaging_truth
    first = truth.probe
    for serial in ("RTESPA-150-30-0002", "RTESPA-150-30-0001"):
        afm.probe.load.set(serial).wait(timeout=60)
    assert truth.probe == first


def test_the_calibration_of_a_new_probe_is_near_its_truth(bench: AfmBench) -> None:
    afm, truth = bench.afm, bench.simulated.imaging_truth
    for number in range(2, 6):
        afm.probe.load.set(f"RTESPA-150-30-{number:04d}").wait(timeout=60)
        measured = afm.probe.spring_constant.get()[0]
        assert measured == pytest.approx(truth.probe.spring_constant, rel=0.25)


def test_the_serial_number_tells_the_kind_of_probe(bench: AfmBench) -> None:
    bench.afm.probe.load.set("RTESPA-300-0001").wait(timeout=60)
    assert bench.afm.probe.radius.get() == 8.0
    assert bench.afm.probe.resonance_frequency.get()[0] == 300e3
    assert bench.afm.probe.spring_constant.get()[0] == pytest.approx(40.0, rel=0.5)


def test_a_tip_wears_with_what_it_scans(bench: AfmBench) -> None:
    truth = bench.simulated.imaging_truth
    fresh = truth.probe.tip.half_width(20e-9)
    bench.engage("even")
    bench.client.start("imager.acquire", timeout_s=60.0).future.result(60)
    assert truth.probe.tip.half_width(20e-9) > fresh


def test_whether_it_is_calibrated_can_be_told(bench: AfmBench) -> None:
    bench.engine(bps.mv(bench.afm.probe.calibrated, 0))
    assert bench.afm.imager.describe()["afm_imager_adhesion"]["units"] == "V"
