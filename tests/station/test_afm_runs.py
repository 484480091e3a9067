"""The AFM by the command line and at the desk: serve, calibrate, spectra, maps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.wire import Client
from station.desk import Desk
from station.drivers import DriverError, open_afm
from station.engine import Station
from station.servers import InstrumentServer
from station.settings import AFMSettings, Settings, StorageSettings, TEMSettings

FAST = ("--clock-rate", "200")
SMALL = ("--rows", "2", "--columns", "4", "--x=-0.02,0.02", "--y=-0.02,0.02")
slow = [pytest.mark.slow, pytest.mark.timeout(300)]


def twinscope(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "station", *words],
        env={
            **os.environ,
            "TWINSCOPE_DATA": str(folder),
            "TWINSCOPE_STORAGE__CATALOG": "false",
            "XDG_CONFIG_HOME": str(folder),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_an_afm_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DriverError, match=r"afm.driver 'toaster' does not exist"):
        open_afm(AFMSettings(driver="toaster"))


def test_a_driver_of_ones_own_is_imported_by_its_name() -> None:
    with pytest.raises(DriverError, match=r"afm.driver 'nowhere:open_it' cannot be imported"):
        open_afm(AFMSettings(driver="nowhere:open_it"))


def test_a_surface_that_does_not_exist_is_refused() -> None:
    settings = AFMSettings(surface="moon")
    with (
        pytest.raises(DriverError, match=r"afm.surface 'moon' does not exist; there are: ps-ldpe"),
        open_afm(settings),
    ):
        pass


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("afm")
    return Settings(data=folder, instruments=("afm",), afm=AFMSettings(clock_rate=200.0))


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Any]:
    """A server of the AFM, compiled and running, for all tests that need one."""
    with InstrumentServer(settings, instrument="afm") as facts:
        yield facts


class TestServed:
    """What a server of the AFM is good for."""

    pytestmark = slow

    def test_a_server_offers_the_parts_of_an_afm(self, server: Any):
        client = Client(server.control, server.events, name="test")
        try:
            services = client.connect().services
        finally:
            client.close()
        assert {"head", "scanner", "lockin", "probe"} <= set(services)
        assert server.name == "afm"
        assert server.facts["surface"] == "ps-ldpe"

    def test_a_station_of_an_afm_has_its_head_in_the_baseline(self, server: Any, tmp_path: Path):
        from bluesky.plans import count

        afm = AFMSettings(address=server.control, events=server.events)
        documents: list[tuple[str, Any]] = []
        with Station(Settings(data=tmp_path, instruments=("afm",), afm=afm)) as station:
            assert station.servers["tem"].process is None
            station.RE(count([]), lambda name, doc: documents.append((name, doc)))
            assert station.afm.head.withdrawn.get() == 1
        baseline = [doc for name, doc in documents if name == "descriptor"]
        assert "afm_head_z" in baseline[0]["data_keys"]

    def test_a_desk_may_have_both_instruments(self, server: Any, tmp_path: Path):
        settings = Settings(
            data=tmp_path,
            instruments=("tem", "afm"),
            tem=TEMSettings(profile="ideal", clock_rate=50.0),
            afm=AFMSettings(address=server.control, events=server.events),
            storage=StorageSettings(catalog=False),
        )
        desk = Desk(settings)
        try:
            assert desk.failures == {}
            assert desk.tem is not None
            assert desk.afm is not None
            assert desk.label == "sim afm"  # of the second the station knows its address alone
        finally:
            desk.close()

    def test_a_probe_is_calibrated(self, server: Any, tmp_path: Path):
        words = ("--address", server.control, "--method", "sweep", "--json")
        done = twinscope(tmp_path, "run", "calibrate-probe", *words)
        assert done.returncode == 0, done.stderr
        modes = json.loads(done.stdout)["modes"]
        assert modes[0]["frequency"]["value"] == pytest.approx(300.9e3, abs=20.0)
        assert modes[1]["quality_factor"]["value"] == pytest.approx(1145.0, rel=0.05)

    def test_a_force_map_is_recorded(self, server: Any, tmp_path: Path):
        words = ("--address", server.control, "--start", "2450", *SMALL, "--json")
        done = twinscope(tmp_path, "run", "force-map", *words)
        assert done.returncode == 0, done.stderr
        uid = json.loads(done.stdout)["uid"]
        runs = json.loads(twinscope(tmp_path, "runs", "--json").stdout)
        recorded = {run["uid"]: run for run in runs}
        assert recorded[uid]["exit_status"] == "success"
        assert [run["plan_name"] for run in runs] == ["calibrate_probe", "force_map"]
        assert json.loads(done.stdout)["forces"]["map"]["pixels"] == 8
        replayed = json.loads(twinscope(tmp_path, "replay", uid, "--json").stdout)
        assert replayed["same"]
        written = twinscope(tmp_path, "report", uid)
        assert written.returncode == 0, written.stderr
        figure, page = map(Path, written.stdout.split())
        assert figure.stat().st_size > 10_000
        assert "# Force map" in page.read_text()
        watched = twinscope(tmp_path, "watch", uid, "-o", "watched")
        assert watched.returncode == 0, watched.stderr
        assert watched.stdout.endswith("success\n")
        assert (tmp_path / "watched" / "figure.png").stat().st_size > 10_000
        assert "force_map" in (tmp_path / "watched" / "index.html").read_text()

    @pytest.mark.parametrize("name", ["calibrate-probe", "force-map"])
    def test_an_estimate_runs_nothing(self, server: Any, tmp_path: Path, name: str):
        words = ("--address", server.control, "--estimate", "--json")
        done = twinscope(tmp_path, "run", name, *words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["estimate"]["duration"] > 0.0
        assert json.loads(twinscope(tmp_path, "runs", "--json").stdout) == []

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("calibrate-probe", "--method", "guess"), "method is 'guess'"),
            (("point-spectrum", "--ratio", "2", "--as-calibrated"), "ratio is 2"),
            (("force-map", "--rows", "0", "--as-calibrated"), "rows is 0"),
        ],
    )
    def test_what_is_not_allowed_is_told_in_a_line(
        self, server: Any, tmp_path: Path, words: Any, message: str
    ):
        done = twinscope(tmp_path, "run", *words, "--address", server.control)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("twinscope: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr


@pytest.mark.slow
def test_an_afm_that_does_not_answer_is_told_at_the_desk(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path,
        instruments=("afm",),
        afm=AFMSettings(address="tcp://127.0.0.1:9"),
        storage=StorageSettings(catalog=False),
    )
    desk = Desk(settings)
    try:
        assert "afm is not connected" in desk.failures["afm"]
        assert desk.afm is None
        assert desk.label == "no afm"
    finally:
        desk.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_leaves_the_tip_withdrawn(tmp_path: Path):
    words = ("run", "force-map", "--rows", "2000", "--columns", "4", "--as-calibrated", *FAST)
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "station", *words, "--start", "2450"],
        env={**os.environ, "TWINSCOPE_DATA": str(tmp_path), "TWINSCOPE_STORAGE__CATALOG": "false"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_for(lambda: any((tmp_path / "assets").rglob("*.h5")))
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "stopped by Ctrl-C: the tip is withdrawn, the drive is off, run " in told


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return condition()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_command_of_the_afm_starts_the_afm_alone(tmp_path: Path):
    words = (*FAST, "--method", "sweep", "--json")
    done = twinscope(tmp_path, "run", "calibrate-probe", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "logs" / "afm-server.log").exists()
    assert not (tmp_path / "logs" / "tem-server.log").exists()
