"""Images by the command line: one, a series, and a campaign that is killed and gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from station.campaigns import UnknownCampaignError, read_campaign
from station.settings import Settings
from station.watching import watch

RECORDED = Path(__file__).parents[1] / "data" / "afm" / "bruker_di-3.spm"
SMALL = ("--surface", "copolymers", "--clock-rate", "200", "--lines", "32", "--points", "32")
slow = [pytest.mark.slow, pytest.mark.timeout(300)]


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TWINSCOPE_DATA": str(folder),
        "TWINSCOPE_STORAGE__CATALOG": "false",
        "XDG_CONFIG_HOME": str(folder),
    }


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "station", *words]


def twinscope(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def images(folder: Path) -> list[dict[str, Any]]:
    """Start documents of the runs of a campaign that ended well."""
    record = read_campaign(folder / "journal")
    return [dict(each.run.start) for each in record.runs if each.done is not None]


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("image")
    done = twinscope(folder, "run", "image", "A2", "--size", "2", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestImage:
    def test_it_tells_all_channels_in_their_units(self, taken: tuple[Path, dict[str, Any]]):
        _, found = taken
        units = {name: each["unit"] for name, each in found["image"]["channels"].items()}
        assert units == {
            "height_sensor": "m",
            "peak_force_error": "N",
            "dmt_modulus": "Pa",
            "log_dmt_modulus": "1",
            "adhesion": "N",
            "deformation": "m",
            "dissipation": "J",
            "height": "m",
        }

    def test_it_is_replayed_to_the_same(self, taken: tuple[Path, dict[str, Any]]):
        folder, found = taken
        assert json.loads(twinscope(folder, "replay", found["uid"], "--json").stdout)["same"]

    def test_it_is_reported(self, taken: tuple[Path, dict[str, Any]]):
        folder, found = taken
        written = twinscope(folder, "report", found["uid"])
        assert written.returncode == 0, written.stderr
        figure, page = map(Path, written.stdout.split())
        assert figure.stat().st_size > 10_000
        assert "| deformation (nm) |" in page.read_text()

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("image", "X9"), "X9"),
            (("image", "A2", "--rate", "400"), "rate"),
            (("campaign", "A2,A2"), "name each once"),
            (("campaign",), "name samples"),
            (("campaign", "A2", "--resume", "x"), "name no samples"),
        ],
    )
    def test_what_is_not_allowed_is_told_in_a_line(
        self, words: tuple[str, ...], told: str, tmp_path: Path
    ):
        refused = twinscope(tmp_path, "run", *words, *SMALL)
        assert refused.returncode != 0
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_campaign_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    asked = ("campaign", "A2,C5", "--images", "3", "--tip-every", "3", "--name", "killed")
    began = subprocess.Popen(
        command("run", *asked, *SMALL),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(UnknownCampaignError):
            if len(images(tmp_path)) >= 3:
                break
        with contextlib.suppress(subprocess.TimeoutExpired):
            began.wait(timeout=0.2)
    os.killpg(began.pid, signal.SIGKILL)
    began.wait(timeout=30)
    before = [start["campaign"]["index"] for start in images(tmp_path)]
    assert 3 <= len(before) < 9
    resumed = twinscope(tmp_path, "run", "campaign", "--resume", "killed", *SMALL, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["images"] == 6
    done = Counter(start["campaign"]["index"] for start in images(tmp_path))
    assert done == Counter(range(9))
    found = json.loads(twinscope(tmp_path, "campaign", "killed", "--json").stdout)
    assert found["images"] == {"A2": 3, "C5": 3}
    assert len(found["tips"]) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestFiles:
    """Recorded files on the command line; what is in them is tested where they are read."""

    def test_a_recorded_image_becomes_a_run_that_can_be_reported(self, tmp_path: Path):
        done = twinscope(tmp_path, "ingest", str(RECORDED), "--json")
        assert done.returncode == 0, done.stderr
        (uid,) = json.loads(done.stdout)["added"]
        assert json.loads(twinscope(tmp_path, "ingest", str(RECORDED), "--json").stdout) == {
            "added": [],
            "known": [uid],
            "refused": {},
        }
        written = twinscope(tmp_path, "report", uid)
        assert written.returncode == 0, written.stderr

    def test_what_is_no_image_is_told_in_a_line(self, tmp_path: Path):
        (tmp_path / "no.spm").write_text("no image")
        done = twinscope(tmp_path, "ingest", "no.spm")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1

    def test_an_image_is_exported_for_gwyddion(self, taken: tuple[Path, dict[str, Any]]):
        folder, found = taken
        done = twinscope(folder, "export", found["uid"], "a2.gwy")
        assert done.stdout == "a2.gwy: 8 channels\n", done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_lines_of_an_image_are_seen_as_they_come(tmp_path: Path) -> None:
    slowly = ("--surface", "copolymers", "--clock-rate", "4", "--lines", "64", "--points", "32")
    running = subprocess.Popen(
        command("run", "image", "A2", *slowly),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    told: list[str] = []
    stop = threading.Event()
    bell = threading.Timer(240, stop.set)
    bell.start()

    def tell(words: str) -> None:
        told.append(words)
        if "line" in words:
            stop.set()

    try:
        watch(Settings(data=tmp_path), every_s=0.1, tell=tell, stop=stop)
    finally:
        bell.cancel()
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(timeout=30)
    assert re.search(r"image, run .{8}: going on, line \d+ of 64", told[-1])
    assert (tmp_path / "live" / "figure.png").stat().st_size > 10_000


def test_a_campaign_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownCampaignError, match="holds no campaign 'spring'"):
        read_campaign(tmp_path, "spring")
