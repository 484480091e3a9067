"""An image while it is being scanned: seen line by line, stopped, withdrawn from, left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from afm_bench import PERFECT, AfmBench, imaging_bench
from bluesky.suspenders import SuspendCeil

from devices.wire import Client
from sim.peakforce import ForceProbe

LINES = 1000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench at which an image takes long enough to be met in its middle."""
    with imaging_bench(tmp_path / "assets", rate=30.0, heartbeat_s=0.3) as bench:
        bench.afm.scanner.lines.set(LINES).wait(timeout=60)
        bench.engage("rubber")
        bench.afm.imager.stage()
        yield bench
        bench.afm.imager.unstage()


@pytest.fixture
def high_bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench whose tip is withdrawn and takes long to come down."""
    with imaging_bench(tmp_path / "assets", rate=0.1) as bench:
        yield bench


def begun(bench: AfmBench, until: Any) -> Any:
    """Trigger an image and wait until some of its lines are there."""
    status = bench.afm.imager.trigger()
    lines: list[float] = []
    status.watch(lambda **progress: lines.append(progress["current"]))
    until(lambda: bool(lines) and lines[-1] > 2)
    return status


def told_lines(bench: AfmBench) -> list[int]:
    """Return a list that grows with every number of the line that the server tells by itself."""
    lines = [0]
    bench.afm.imager.line.subscribe(lambda value, **_: lines.append(value), run=False)
    return lines


def withdrawn(bench: AfmBench) -> bool:
    return bench.simulated.head.read().withdrawn


def test_lines_come_one_after_the_other(bench: AfmBench, until: Any) -> None:
    seen: list[float] = []
    status = bench.afm.imager.trigger()
    status.watch(lambda **progress: seen.append(progress["current"]))
    until(lambda: len(seen) > 3)
    assert seen == sorted(seen)
    assert 0 < seen[-1] < LINES
    assert not status.done


def test_progress_tells_how_many_lines_there_will_be(bench: AfmBench, until: Any) -> None:
    told: list[dict[str, Any]] = []
    status = bench.afm.imager.trigger()
    status.watch(lambda **progress: told.append(progress))
    until(lambda: bool(told))
    assert (told[0]["target"], told[0]["unit"], told[0]["name"]) == (LINES, "lines", "afm_imager")
    assert told[0]["time_remaining"] == pytest.approx(LINES, rel=0.2)


def test_what_is_there_can_be_seen_and_the_rest_is_nan(bench: AfmBench, until: Any) -> None:
    begun(bench, until)
    lines, channels = bench.afm.imager.partial()
    assert 2 < lines < LINES
    for array in channels.values():
        assert array.shape == (LINES, 16)
        assert np.isfinite(array[:lines]).all()
        assert np.isnan(array[lines:]).all()


def test_only_new_lines_are_asked_for(bench: AfmBench, until: Any) -> None:
    begun(bench, until)
    first, before = bench.afm.imager.partial()
    lines = told_lines(bench)
    until(lambda: lines[-1] > first + 3)
    second, after = bench.afm.imager.partial()
    assert second > first
    for name, array in before.items():
        np.testing.assert_array_equal(after[name][:first], array[:first])
    begun_at = bench.client.request("imager.partial").values["begun"]
    reply = bench.client.request("imager.partial", {"begun": begun_at, "since": first})
    assert reply.values["since"] == first


def test_before_the_first_image_there_is_nothing(high_bench: AfmBench) -> None:
    assert high_bench.afm.imager.partial() == (0, {})


def test_a_new_image_begins_with_nothing_of_the_last(bench: AfmBench, until: Any) -> None:
    imager = bench.afm.imager
    begun(bench, until)
    imager.partial()
    imager.stop()
    status = begun(bench, until)
    assert imager.image.get() == 2
    lines, channels = imager.partial()
    assert 2 < lines < LINES
    assert np.isnan(channels["height"][lines:]).all()
    assert not status.done


def test_a_stop_ends_the_image_and_leaves_the_tip_engaged(bench: AfmBench, until: Any) -> None:
    status = begun(bench, until)
    bench.afm.imager.stop()
    with pytest.raises(Exception, match=r"the image was aborted: by ana; scan again"):
        status.wait(timeout=30)
    assert bench.afm.imager.engage.get() == 1
    assert not withdrawn(bench)


def test_an_aborted_image_leaves_no_file(bench: AfmBench, until: Any) -> None:
    status = begun(bench, until)
    bench.afm.stop()
    until(lambda: status.done)
    bench.afm.imager.unstage()
    assert not list(bench.assets.rglob("*.h5"))


def test_an_aborted_image_counts_as_distance_but_not_as_a_frame(
    bench: AfmBench, until: Any
) -> None:
    status = begun(bench, until)
    bench.afm.imager.stop()
    until(lambda: status.done)
    lines = bench.afm.imager.line.get()
    assert bench.afm.probe.tip_frame_count.get() == 0
    assert bench.afm.probe.tip_scanned_distance.get() == pytest.approx(4.0 * lines)


def test_a_withdrawal_ends_the_image(bench: AfmBench, until: Any) -> None:
    status = begun(bench, until)
    bench.afm.withdraw()
    with pytest.raises(Exception, match=r"image was aborted: the tip was withdrawn, by ana"):
        status.wait(timeout=30)
    until(lambda: withdrawn(bench))
    assert bench.afm.imager.engage.get() == 0


def test_anybody_may_end_an_image(bench: AfmBench, until: Any) -> None:
    status = begun(bench, until)
    with Client(bench.server.control_address, name="bob") as other:
        other.stop("imager.abort")
    with pytest.raises(Exception, match="aborted: by bob"):
        status.wait(timeout=30)


def test_unstaging_ends_the_image(bench: AfmBench, until: Any) -> None:
    status = begun(bench, until)
    bench.afm.imager.unstage()
    until(lambda: status.done)
    assert status.exception(timeout=30) is not None


def test_a_server_that_closes_withdraws_the_tip(bench: AfmBench, until: Any) -> None:
    begun(bench, until)
    bench.server.close()
    until(lambda: withdrawn(bench))


_CLIENT = """
import sys, threading
from devices.wire import Client

client = Client(sys.argv[1], name="eve", heartbeat_s=0.3)
client.connect(30)
client.start("imager.acquire", deadline_s=30.0, timeout_s=600.0)
threading.Event().wait(60)
"""


@pytest.mark.slow
def test_a_client_that_dies_in_mid_image_leaves_the_tip_withdrawn(
    bench: AfmBench, until: Any
) -> None:
    bench.client.release_lease()
    doomed = subprocess.Popen([sys.executable, "-c", _CLIENT, bench.server.control_address])
    lines = told_lines(bench)
    until(lambda: lines[-1] > 2)
    doomed.kill()
    doomed.wait()
    until(lambda: withdrawn(bench))
    assert bench.afm.imager.line.get() < LINES
    assert bench.afm.imager.engage.get() == 0


def test_nothing_else_begins_in_mid_image(bench: AfmBench, until: Any) -> None:
    begun(bench, until)
    afm = bench.afm
    for setting, value in (
        (afm.scanner.scan_size, 1.0),
        (afm.imager.peak_force_setpoint, 5.0),
        (afm.head.z, 4000.0),
        (afm.scanner.line, (0.0, 0.0, 1.0, 0.0)),
    ):
        with pytest.raises(Exception, match="has to wait: an image is being scanned"):
            setting.set(value).wait(timeout=30)


def test_line_and_feedback_error_come_by_themselves(bench: AfmBench, until: Any) -> None:
    lines = told_lines(bench)
    bench.afm.imager.trigger()
    until(lambda: len(set(lines)) > 3)
    assert lines == sorted(lines)


def test_a_suspender_sees_the_feedback_error(tmp_path: Path, until: Any) -> None:
    noisy = replace(PERFECT, probe=ForceProbe(force_noise=1e-9))
    with imaging_bench(tmp_path / "assets", rate=30.0, imaging=noisy) as bench:
        bench.engage("even")
        suspender = SuspendCeil(bench.afm.imager.feedback_error, 0.01)  # nN
        suspender.install(bench.engine)
        bench.afm.imager.stage()
        bench.afm.imager.trigger()
        until(lambda: suspender.tripped)
        bench.afm.imager.unstage()
        suspender.remove()


def test_an_engage_that_is_stopped_withdraws_the_tip(high_bench: AfmBench, until: Any) -> None:
    status = high_bench.afm.imager.engage.set(1)
    until(lambda: not withdrawn(high_bench))
    high_bench.afm.imager.stop()
    with pytest.raises(Exception, match=r"engage was aborted: by ana; tip withdrawn; engage again"):
        status.wait(timeout=30)
    until(lambda: high_bench.simulated.head.read().moving or withdrawn(high_bench))
    assert high_bench.afm.imager.engage.get() == 0


def test_a_withdrawal_ends_an_engage(high_bench: AfmBench, until: Any) -> None:
    status = high_bench.afm.imager.engage.set(1)
    until(lambda: not withdrawn(high_bench))
    high_bench.afm.withdraw()
    with pytest.raises(Exception, match="the tip was withdrawn, by ana"):
        status.wait(timeout=30)


def test_an_engaged_tip_engages_at_once(bench: AfmBench) -> None:
    z = bench.afm.head.z.get()
    bench.afm.imager.engage.set(1).wait(timeout=30)
    assert bench.afm.head.z.get() == z
