"""The command line: exit codes, one-line errors, JSON."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from event_model import compose_run
from typer.testing import CliRunner

from plans import characterise
from station.cli import app
from station.cli_runs import run_characterise
from station.journal import Journal


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TWINSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TWINSCOPE_SETTINGS", raising=False)
    monkeypatch.chdir(tmp_path)


def invoke(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def refused(*words: str, code: int) -> str:
    """The one line that a command says on stderr, with its exit code."""
    found, out, err = invoke(*words)
    assert (found, out) == (code, "")
    assert err.startswith("twinscope: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def journalled(tmp_path: Path) -> dict[str, Any]:
    """A run in the journal, closed."""
    with Journal(tmp_path / "data" / "journal") as journal:
        run = compose_run(metadata={"plan_name": "count", "scan_id": 3, "operator": "Ada"})
        journal("start", dict(run.start_doc))
        journal("stop", dict(run.compose_stop()))
    return dict(run.start_doc)


def test_the_version_is_told():
    code, out, _ = invoke("--version")
    assert code == 0
    assert out.startswith("twinscope ")


def test_the_help_imports_no_heavy_package():
    script = (
        "import sys; from station.cli import app; "
        "print([m for m in ('numpy', 'bluesky', 'ophyd', 'tiled', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_settings_are_printed_as_json():
    code, out, _ = invoke("settings", "--json")
    assert code == 0
    assert json.loads(out)["tem"]["driver"] == "simulated"


def test_a_wrong_settings_file_is_an_error_of_usage(tmp_path: Path):
    (tmp_path / "twinscope.toml").write_text("[tem]\nclock_rate = 0\n")
    assert "tem.clock_rate is 0" in refused("settings", code=2)


def test_runs_of_an_empty_journal():
    assert invoke("runs", "--json")[:2] == (0, "[]\n")


def test_runs_lists_what_the_journal_holds(journalled: dict[str, Any]):
    (row,) = json.loads(invoke("runs", "--json")[1])
    assert (row["uid"], row["scan_id"], row["exit_status"]) == (journalled["uid"], 3, "success")


@pytest.mark.parametrize("how", ["-1", "3", "prefix"])
def test_show_takes_a_prefix_a_scan_number_or_minus_one(journalled: dict[str, Any], how: str):
    name = journalled["uid"][:8] if how == "prefix" else how
    code, out, _ = invoke("show", name, "--json")
    assert code == 0
    assert json.loads(out)["uid"] == journalled["uid"]


@pytest.mark.parametrize("command", ["show", "replay", "report"])
def test_a_run_that_is_not_there_is_named(command: str):
    assert "abcdef" in refused(command, "abcdef", code=1)


def test_a_report_of_a_run_without_analysis_says_what_to_do(journalled: dict[str, Any]):
    text = refused("report", "-1", code=1)
    assert "has no finished analysis" in text
    assert f"twinscope replay {journalled['uid'][:8]}" in text


@pytest.mark.usefixtures("journalled")
def test_replay_of_a_run_without_images_is_refused():
    assert "has no stage images to analyse" in refused("replay", "-1", code=1)


@pytest.mark.usefixtures("journalled")
def test_replay_knows_two_sources():
    assert "allowed are journal and catalog" in refused("replay", "-1", "--from", "moon", code=2)


@pytest.mark.usefixtures("journalled")
def test_a_report_is_a_png():
    refused("report", "-1", "-o", "figure.bmp", code=1)


def test_an_unknown_driver_lists_those_that_exist():
    text = refused("serve", "tem", "--driver", "toaster", code=1)
    assert text == "twinscope: tem.driver 'toaster' does not exist; there are: simulated\n"


def test_an_unknown_stage_profile_is_refused():
    assert "jeol-like" in refused("serve", "tem", "--profile", "wobbly", code=2)


def test_a_micrograph_without_scale_is_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "m.tif", np.eye(100, dtype=np.uint8))
    assert "--pixel-size" in refused("serve", "tem", "--specimen", "m.tif", code=2)


def test_a_file_that_is_not_a_micrograph_is_refused(tmp_path: Path):
    (tmp_path / "m.tif").write_text("no")
    words = ("serve", "tem", "--specimen", "m.tif", "--pixel-size", "2")
    assert "cannot be read as an image" in refused(*words, code=1)


def test_a_pixel_size_of_nan_is_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "m.tif", np.eye(100, dtype=np.uint8))
    words = ("serve", "tem", "--specimen", "m.tif", "--pixel-size", "nan")
    assert "pixel_size_nm" in refused(*words, code=2)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    text = refused("run", "hysteresis", "--data", str(tmp_path / "file" / "data"), code=1)
    assert str(tmp_path / "file") in text


def test_keys_are_made_once(tmp_path: Path):
    assert invoke("keys", "new", str(tmp_path / "keys"))[0] == 0
    assert (tmp_path / "keys" / "station").stat().st_mode & 0o077 == 0
    assert "never overwritten" in refused("keys", "new", str(tmp_path / "keys"), code=1)


def test_a_characterisation_is_by_default_that_of_the_plan():
    told = inspect.signature(run_characterise).parameters
    meant = inspect.signature(characterise).parameters
    for name in ("diamond_images", "rest_images", "settle_time"):
        assert told[name].default == meant[name].default
