"""The compensated stage of the settings."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.characterisation import characterisation_targets
from analysis.identification import identify
from analysis.record import StageRecord
from analysis.stage_model import StageModel, save_stage_model
from sim.fleet import run_fleet
from sim.stage import random_stage
from station.positioning import ModelError, compensated_stage
from station.settings import Settings, StageSettings


@pytest.fixture(scope="module")
def model() -> StageModel:
    """Measured now, on a simulated stage."""
    path = characterisation_targets()
    targets = np.full((len(path), 5), np.nan)
    targets[:, :2] = path * 1e-6
    run = run_fleet([random_stage(71)], targets, dwell=2.0)
    sent, was = run.target[0, :, :2] * 1e6, run.actual[0, :, :2] * 1e6
    record = StageRecord.of(
        sent, run.reported[0, :, :2] * 1e6, was, covariance=1e-6 * np.eye(2), time=run.time[0]
    )
    return identify(record, measured=datetime.now(UTC), settle=2.0)


def settings(data: Path, **stage: Any) -> Settings:
    return Settings(data=data, stage=StageSettings(**stage))


def test_over_travel_comes_from_where_the_settings_say(bench: Any, tmp_path: Path) -> None:
    stage = compensated_stage(bench.tem.goniometer, settings(tmp_path, over_travel_um=-4.0))
    assert stage.approach.parameters["distance_x"] == -4.0
    assert stage.approach.parameters["distance_z"] == 3.0


def test_without_over_travel_in_z_it_goes_straight(bench: Any, tmp_path: Path) -> None:
    stage = compensated_stage(bench.tem.goniometer, settings(tmp_path, over_travel_z_um=0.0))
    assert "distance_z" not in stage.approach.parameters


@pytest.mark.parametrize("approach", ["play-inversion", "learnt-map"])
def test_without_a_model_it_is_said_how_to_get_one(
    bench: Any, tmp_path: Path, approach: str
) -> None:
    with pytest.raises(ModelError, match="twinscope run characterise"):
        compensated_stage(bench.tem.goniometer, settings(tmp_path, approach=approach))


@pytest.mark.parametrize("approach", ["play-inversion", "learnt-map"])
def test_the_newest_model_of_the_data_folder_is_used(
    bench: Any, tmp_path: Path, model: StageModel, approach: str
) -> None:
    (tmp_path / "models").mkdir()
    save_stage_model(model, tmp_path / "models" / "a.json")
    stage = compensated_stage(bench.tem.goniometer, settings(tmp_path, approach=approach))
    width = model.axis("x").backlash.value
    assert stage.approach.parameters["backlash_x"] == pytest.approx(width)


def test_a_file_that_holds_no_model_is_named(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text("{}")
    with pytest.raises(ModelError, match=r"wrong\.json holds no stage model"):
        compensated_stage(
            bench.tem.goniometer, settings(tmp_path, approach="learnt-map", model=path)
        )


def test_an_old_model_is_used_and_said_to_be_old(
    bench: Any, tmp_path: Path, model: StageModel, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "old.json"
    save_stage_model(replace(model, measured=model.measured - timedelta(hours=60)), path)
    with caplog.at_level(logging.WARNING):
        compensated_stage(
            bench.tem.goniometer, settings(tmp_path, approach="learnt-map", model=path)
        )
    assert "60 h old, good for 24 h: measure it again" in caplog.text
