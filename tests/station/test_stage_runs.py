"""Stage experiments by the command line: run, estimate, replay, report; errors in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from analysis.stage_model import load_stage_model
from sim.stage import profile

slow = [pytest.mark.slow, pytest.mark.timeout(300)]
CROSS = ("run", "cross-axis", "--steps", "2", "--clock-rate", "50", "--json")


@dataclass(frozen=True)
class Recorded:
    """A run that the command line has recorded, and where."""

    folder: Path
    told: dict[str, Any]


def twinscope(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "station", *words],
        env={**os.environ, "TWINSCOPE_DATA": str(folder), "XDG_CONFIG_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("recorded")
    done = twinscope(folder, *CROSS)
    assert done.returncode == 0, done.stderr
    yield Recorded(folder, json.loads(done.stdout))
    twinscope(folder, "catalog", "stop")


class TestCrossAxis:
    """What one recorded cross-axis run gives."""

    pytestmark = slow

    def test_a_stage_with_play_is_inconsistent(self, recorded: Recorded):
        verdict = recorded.told["verdict"]
        assert verdict["case"] == "f"
        assert [axis["axis"] for axis in verdict["axes"]] == ["x", "y"]

    def test_each_direction_closes_as_its_images_say(self, recorded: Recorded):
        closures = recorded.told["closures"]
        found = [(closure["axis"], closure["direction"]) for closure in closures]
        assert found == [("x", 1), ("x", -1), ("y", 1), ("y", -1)]
        along = closures[1]["actual"][0]  # from the one side of the play to the other
        assert -1.3 < along < -0.5  # µm; the play of x is 0.65 µm, its cells add to it

    @pytest.mark.parametrize("source", ["journal", "catalog"])
    def test_a_replay_gives_the_same_numbers_bit_for_bit(self, recorded: Recorded, source: str):
        done = twinscope(recorded.folder, "replay", "-1", "--from", source, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert told["verdict"] == recorded.told["verdict"]
        assert told["closures"] == recorded.told["closures"]

    def test_a_report_is_a_figure_and_a_page_with_the_verdict(self, recorded: Recorded):
        done = twinscope(recorded.folder, "report", "-1", "-o", "out.png")
        assert done.returncode == 0, done.stderr
        page = (recorded.folder / "out.md").read_text(encoding="utf-8")
        assert "# Cross-axis motion, scan 1" in page
        assert "x: case (f), inconsistent. Target–reported: depends on the direction" in page
        assert (recorded.folder / "out.png").stat().st_size > 100_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_characterisation_finds_the_play_of_the_stage(tmp_path: Path):
    words = ("--settle-time", "0", "--diamond-images", "16", "--clock-rate", "50")
    done = twinscope(
        tmp_path, "run", "characterise", *words, "--model", "models/stage.json", "--json"
    )
    twinscope(tmp_path, "catalog", "stop")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    model = load_stage_model(tmp_path / told["model_file"])
    assert told["uid"] in model.source
    play = 1e6 * profile("jeol-like").y.specimen_play
    found = model.axis("y").play
    assert found.value == pytest.approx(play, abs=0.03)


@pytest.mark.slow
def test_a_drift_is_measured_at_rest(tmp_path: Path):
    words = ("--duration", "4", "--interval", "1", "--clock-rate", "20", "--json")
    done = twinscope(tmp_path, "run", "drift", *words)
    twinscope(tmp_path, "catalog", "stop")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["drift"]["track"]) == 5
    assert told["verdict"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hysteresis", "cross-axis", "characterise", "drift", "mosaic"])
def test_an_estimate_runs_nothing(tmp_path: Path, name: str):
    done = twinscope(tmp_path, "run", name, "--estimate", "--clock-rate", "50", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["estimate"]
    assert told["images"] > 0
    assert told["duration"] > 0.0
    runs = twinscope(tmp_path, "runs", "--json")
    assert json.loads(runs.stdout) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cross-axis", "--axes", "x"), "two axes are needed"),
        (("cross-axis", "--step", "9"), "leaves no overlap"),
        (("drift", "--interval", "0"), "interval is 0"),
        (("characterise", "--diamond-images", "18"), "diamond_images is 18"),
        (("drift", "--field-of-view", "-1"), "field"),
    ],
)
def test_what_is_not_allowed_is_told_in_a_line(tmp_path: Path, words: Any, message: str):
    done = twinscope(tmp_path, "run", *words, "--clock-rate", "50")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("twinscope: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
