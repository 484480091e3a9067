"""The whole way by the command line: run, look, replay from both sources, report, demo."""

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ("--axes", "x,y", "--steps", "2", "--repeats", "2", "--clock-rate", "50")


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
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("recorded")
    done = twinscope(folder, "run", "hysteresis", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    yield Recorded(folder, json.loads(done.stdout))
    twinscope(folder, "catalog", "stop")


def test_a_run_tells_a_deficit_for_each_direction(recorded: Recorded):
    found = [(row["axis"], row["direction"]) for row in recorded.told["deficits"]]
    assert found == [("x", 1), ("x", -1), ("y", 1), ("y", -1)]


@pytest.mark.parametrize("source", ["journal", "catalog"])
def test_a_replay_gives_the_same_numbers_bit_for_bit(recorded: Recorded, source: str):
    done = twinscope(recorded.folder, "replay", "-1", "--from", source, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["same"] is True
    assert told["uid"] == recorded.told["uid"]
    assert told["deficits"] == recorded.told["deficits"]


def test_show_gives_the_deficits_of_the_analysis(recorded: Recorded):
    told = json.loads(twinscope(recorded.folder, "show", "1", "--json").stdout)
    assert told["deficits"] == recorded.told["deficits"]
    assert told["streams"]["primary"]["events"] == 2 * 17


def test_a_report_is_a_figure_and_a_page_that_name_the_run(recorded: Recorded):
    done = twinscope(recorded.folder, "report", "-1", "-o", "out.png")
    assert done.returncode == 0, done.stderr
    assert (recorded.folder / "out.png").read_bytes().startswith(PNG)
    assert recorded.told["uid"] in (recorded.folder / "out.md").read_text(encoding="utf-8")


def test_a_report_without_the_images_still_has_the_numbers(recorded: Recorded, tmp_path: Path):
    assets, away = recorded.folder / "assets", tmp_path / "away"
    assets.rename(away)
    try:
        done = twinscope(recorded.folder, "report", "-1", "-o", "without.png")
    finally:
        away.rename(assets)
    assert done.returncode == 0, done.stderr
    assert (recorded.folder / "without.png").exists()


def test_a_demo_tells_uids_and_figure_and_leaves_no_service_running(tmp_path: Path):
    script = (
        "from station.demo import run_demo; from station.experiments import Hysteresis; "
        "from station.settings import load_settings; "
        "run_demo(load_settings(None, {'tem': {'clock_rate': 50, 'specimen': 'micrograph'}}), "
        "None, open_figure=False, as_json=True, experiment=Hysteresis(('x', 'y'), 1.0, 2, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TWINSCOPE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert Path(told["figure"]).read_bytes().startswith(PNG)
    assert [row["axis"] for row in told["deficits"]] == ["x", "x", "y", "y"]
    status = json.loads(twinscope(tmp_path, "catalog", "status", "--json").stdout)
    assert status["running"] is False
    assert status["archived"] == 2
