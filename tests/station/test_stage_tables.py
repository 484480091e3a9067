"""What a person reads of a verdict, a way back, a model and a drift, and what a script gets."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.console import Console

from analysis.agreement import evaluate
from analysis.alignment import HysteresisResult, analyse, steps_from_stops
from analysis.record import StageRecord
from analysis.stage_drift import StageDrift
from analysis.stage_model import AxisModel, Quantity, StageModel
from station.stage_tables import (
    closure_table,
    closures_of,
    drift_table,
    evidence_rows,
    model_rows,
    model_words,
    plain,
    stage_row,
    verdict_table,
)

PATH = np.array([0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0], dtype=float)
WAY = np.array([(0, 0), (1, 0), (1, 1), (1, 0), (0, 0)], dtype=float)


def shown(table: object) -> str:
    screen = Console(file=io.StringIO(), width=200)
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def result_of(targets: np.ndarray, actual: np.ndarray) -> HysteresisResult:
    moved = np.diff(actual, axis=0)
    spread = np.tile(np.eye(2) * 1e-6, (len(moved), 1, 1))
    return analyse(steps_from_stops(targets, targets, moved, spread))


@pytest.fixture
def stretched() -> HysteresisResult:
    """The specimen goes 5 % further than it is sent, every time."""
    targets = np.stack([PATH, np.zeros_like(PATH)], axis=1)
    found = result_of(targets, 1.05 * targets)
    return replace(found, verdict=evaluate(StageRecord.of_result(found)))


def test_a_verdict_is_a_case_and_a_sentence(stretched: HysteresisResult) -> None:
    assert stretched.verdict is not None
    text = shown(verdict_table(stretched.verdict))
    assert "x: case (b), target and reported agree, actual is elsewhere." in text
    assert "Target–actual: scale off by +5.00 %" in text


def test_the_evidence_names_each_pair(stretched: HysteresisResult) -> None:
    assert stretched.verdict is not None
    pairs = [row[:2] for row in evidence_rows(stretched.verdict.axis("x"))]
    assert pairs == [
        ("target – reported", "agree"),
        ("target – actual", "disagree"),
        ("reported – actual", "disagree"),
    ]


def test_a_way_back_is_told_in_nm() -> None:
    left = np.linspace(0.0, 0.3, len(WAY))[:, None] * [1.0, 0.0]
    text = shown(closure_table(closures_of(result_of(WAY, WAY + left))))
    assert "+300 ± 2.0" in text


def test_a_script_gets_what_there_is_and_null_for_the_rest(stretched: HysteresisResult) -> None:
    row = stage_row(stretched)
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert row["verdict"]["case"] == "b"
    assert (row["model"], row["drift"], row["closures"]) == (None, None, [])


def quantity(value: float) -> Quantity:
    return Quantity(value, 0.01, value - 0.02, value + 0.02)


def axis_model(name: str) -> AxisModel:
    unknown = Quantity(np.nan, np.nan, np.nan, np.nan)
    return AxisModel(
        axis=name,
        reported_scale=quantity(1.0),
        reported_play=quantity(0.08),
        scale=quantity(1.0),
        play=quantity(0.6),
        cells=(),
        backlash=quantity(0.7),
        period=unknown,
        amplitudes=(quantity(0.01), quantity(0.0)),
        phases=(unknown, unknown),
        repeatability=quantity(0.05),
        repeatability_length=quantity(2.0),
        slip_memory=quantity(0.7),
        creep=quantity(0.05),
        creep_limit=quantity(0.05),
        drift=quantity(0.0),
        crosstalk=quantity(0.001),
    )


@pytest.fixture
def model() -> StageModel:
    when = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    return StageModel((axis_model("x"), axis_model("y")), when, "run 6e7c", 198)


def test_a_model_is_told_in_nm_with_its_intervals(model: StageModel) -> None:
    rows = dict(model_rows(model))
    assert rows["play behind the sensor"] == ["600 [580, 620] nm"] * 2
    assert rows["period of the screw"] == ["not seen"] * 2


def test_a_model_says_when_to_measure_again(model: StageModel) -> None:
    assert "198 images; measure again after 2026-05-05 12:00" in model_words(model)


def test_a_drift_is_told_in_nm_per_second() -> None:
    pair = np.array([0.25, -0.5])
    drift = StageDrift(
        velocity=pair,
        stderr=np.array([0.01, 0.01]),
        low=pair - 0.02,
        high=pair + 0.02,
        rms=np.array([0.3, 0.3]),
        elapsed=np.arange(5.0),
        track=np.outer(np.arange(5.0), pair),
    )
    text = shown(drift_table(drift))
    assert "Drift over 4 s: 0.559 nm/s" in text
    assert "-0.500 ± 0.010" in text


def test_what_json_cannot_say_is_null() -> None:
    assert plain({"a": (float("nan"), 1.0), "b": float("inf")}) == {"a": [None, 1.0], "b": None}
