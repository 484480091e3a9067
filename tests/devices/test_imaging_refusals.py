"""What an AFM that images refuses, in one line, before anything moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from afm_bench import AfmBench, afm_bench, imaging_bench, quiet

from devices.wire import LimitError, ProtocolError, RefusedError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    with imaging_bench(tmp_path / "assets") as bench:
        yield bench


def setting_of(bench: AfmBench, path: str) -> Any:
    part: Any = bench.afm
    for name in path.split("."):
        part = getattr(part, name)
    return part


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("scanner.scan_size", 30.0, r"30 µm is outside 0\.01\.\.20 µm"),
        ("scanner.scan_size", 0.0, r"0 µm is outside"),
        ("scanner.lines", 0, r"0 is outside 2\.\.1024"),
        ("scanner.lines", 10.5, "not a whole number"),
        ("scanner.samples_per_line", 5000, r"5000 is outside 2\.\.1024"),
        ("scanner.scan_rate", -1.0, "outside"),
        ("scanner.scan_rate", float("nan"), "not finite"),
        ("scanner.aspect_ratio", 0.5, "outside 1..256"),
        ("scanner.x_offset", 11.0, r"outside -10\.\.10 µm"),
        ("scanner.frame", {"scan_size": 10.0, "scan_rate": 6.0}, r"120 µm/s .* 100 µm/s"),
        ("scanner.frame", {"scan_size": 10.0, "x_offset": 6.0}, "from 1 to 11 µm along x"),
        ("scanner.frame", {"scan_size": 16.0, "scan_angle": 45.0}, "corners reach"),
        ("scanner.frame", {"size": 10.0}, "has no 'size': choose among scan_size"),
        ("scanner.frame", {}, "give {setting: value}"),
        ("imager.mode", "Contact", "'PeakForce QNM' or 'ScanAsyst' or 'Tapping'"),
        ("imager.sample_points", 100, "one of 64, 128, 256, 1024"),
        ("imager.sample_points", True, "one of 64, 128, 256, 1024"),
        ("imager.peak_force_setpoint", 0.0, "outside"),
        ("imager.max_force_fit_boundary", 120.0, r"outside 0\.\.100 %"),
        ("imager.settings", {"min_force_fit_boundary": 90.0}, "below max_force_fit_boundary, 80"),
        ("imager.settings", {"speed": 1.0}, "has no 'speed'"),
        ("imager.engage", 0, r"withdraw\(\) takes the tip off"),
        ("chuck.sample", "B9", "choose among rubber, even"),
        ("chuck.offset_x", 3000.0, r"outside -2000\.\.2000 µm"),
        ("chuck.place", ("rubber", 0.0), r"give \(sample, dx, dy\)"),
        ("chuck.place", ("B9", 0.0, 0.0), "choose among rubber, even"),
        ("chuck.place", ("rubber", 0.0, 1e9), "place offset_y target"),
        ("probe.load", "", "a serial number"),
        ("probe.calibrated", 2, "0 or 1"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_sent(
    bench: AfmBench, path: str, value: Any, reason: str
) -> None:
    setting = setting_of(bench, path)
    bench.client.sent.clear()
    with pytest.raises(LimitError, match=reason) as caught:
        setting.set(value)
    assert "\n" not in str(caught.value)
    assert not {op for op in bench.client.sent if not op.endswith(".read")}


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("scanner.set", {"scan_size": 30e-6}, r"30 µm is outside 0\.01\.\.20 µm"),
        ("scanner.set", {"lines": 0}, r"0 is outside 2\.\.1024"),
        ("scanner.set", {"lines": "many"}, "'many' is not allowed: a whole number"),
        ("scanner.set", {"size": 1e-6}, "does not know size"),
        ("scanner.set_frame", {"scan_size": 1e-6}, "has no aspect_ratio"),
        ("imager.set", {"mode": "Contact"}, "'Contact' is not allowed"),
        ("imager.set", {"mode": ["Tapping"]}, "is not allowed: choose among"),
        ("imager.set", {"sample_points": 100}, "one of 64, 128, 256, 1024"),
        ("imager.set", {"peak_force_setpoint": 1.0}, "1e.09 nN is outside|1000000000 nN"),
        ("imager.set", {"pft_frequency": "fast"}, "a finite number"),
        ("imager.engage", {"engaged": False}, "engages only"),
        ("imager.acquire", {"lines": 3}, "does not know lines"),
        ("imager.partial", {"since": -1}, "0 or more"),
        ("chuck.place", {"sample": "B9"}, "'B9' is not there: choose of rubber, even"),
        ("chuck.place", {"offset_x": 1.0}, "outside"),
        ("probe.load", {"serial": 5}, "a text of 1 to"),
        ("probe.set", {"calibrated": "yes"}, "true or false"),
    ],
)
def test_the_server_refuses_what_a_stranger_sends(
    bench: AfmBench, command: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises((LimitError, RefusedError), match=reason) as caught:
        bench.client.request(command, arguments, deadline_s=30.0)
    assert "\n" not in str(caught.value)


def test_an_image_needs_an_engaged_tip(bench: AfmBench) -> None:
    bench.afm.imager.stage()
    with pytest.raises(RefusedError, match="not engaged: engage with the imager"):
        bench.afm.imager.trigger().wait(timeout=30)
    bench.afm.imager.unstage()


def test_a_tip_that_was_only_lowered_is_not_engaged(bench: AfmBench) -> None:
    bench.place(0.0)
    bench.afm.head.engaged.set(1).wait(timeout=30)
    with pytest.raises(RefusedError, match="the tip is not engaged"):
        bench.client.start("imager.acquire", timeout_s=30.0).future.result(30)
    with pytest.raises(RefusedError, match="withdrawn tip: withdraw it first"):
        bench.afm.imager.engage.set(1).wait(timeout=30)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"scan_size": 10.0, "scan_rate": 6.0}, "the tip would go 120 µm/s"),
        ({"scan_size": 10.0, "x_offset": 6.0}, "corners reach from 1 to 11 µm along x"),
        ({"samples_per_line": 1024, "scan_rate": 2.0}, "force curves a pixel where one"),
    ],
)
def test_what_single_settings_make_together_is_looked_at_before_the_scan(
    bench: AfmBench, frame: dict[str, Any], reason: str
) -> None:
    bench.engage("even")
    for name, value in frame.items():
        getattr(bench.afm.scanner, name).set(value).wait(timeout=30)
    with pytest.raises(LimitError, match=f"impossible scan: .*{reason}"):
        bench.client.start("imager.acquire", timeout_s=30.0).future.result(30)


def test_tapping_has_no_force_curves_to_miss(bench: AfmBench) -> None:
    frame = {"samples_per_line": 1024, "scan_rate": 2.0, "lines": 2}
    bench.afm.scanner.frame.set(frame).wait(timeout=30)
    bench.engage("even", "Tapping")
    reply = bench.client.start("imager.acquire", timeout_s=60.0).future.result(60)
    assert reply.arrays["phase"].shape == (2, 1024)


def test_the_chuck_does_not_move_under_a_lowered_tip(bench: AfmBench) -> None:
    bench.engage("even")
    with pytest.raises(RefusedError, match="under a lowered tip: withdraw it first"):
        bench.afm.chuck.sample.set("rubber").wait(timeout=30)
    assert bench.afm.chuck.sample.get() == "even"


def test_the_mode_does_not_change_at_the_sample(bench: AfmBench) -> None:
    bench.engage("even")
    with pytest.raises(RefusedError, match="'Tapping' needs the tip off the sample"):
        bench.afm.imager.mode.set("Tapping").wait(timeout=30)


def test_a_probe_is_not_changed_at_the_sample(bench: AfmBench) -> None:
    bench.engage("even")
    with pytest.raises(RefusedError, match="a new probe needs the tip withdrawn"):
        bench.afm.probe.load.set("RTESPA-150-30-0002").wait(timeout=30)


def test_an_afm_without_imager_works_and_says_that_it_has_none(tmp_path: Path) -> None:
    with afm_bench(tmp_path / "assets", parameters=quiet()) as bench:
        afm = bench.afm
        assert not afm.images
        assert "afm_imager_time" not in {**afm.read(), **afm.read_configuration()}
        afm.stop()
        with pytest.raises(ProtocolError, match="offers no imager"):
            afm.imager.trigger()
        with pytest.raises(ProtocolError, match="offers no chuck"):
            afm.chuck.place.set(("even", 0.0, 0.0))
        with pytest.raises(RefusedError, match="cannot be given a new probe from here"):
            afm.probe.load.set("another")
