"""What ``twinscope campaign`` shows of the classes of samples, by what was predicted of images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_bench import CampaignBench, campaign_bench
from typer.testing import CliRunner

from analysis.live import PredictionAnalysis
from analysis.networks.prediction import ModelTerms, Prediction
from analysis.sequential import StoppingRule
from devices.image_classifier import ImageClassifier
from plans import Campaign, Scan, campaign
from station.campaign_report import CampaignReport, report_campaign
from station.cli import app
from station.journal import Journal
from station.settings import Settings

CLASSES = ("A2", "C5")
TERMS = ModelTerms("icp:3", ("height_sensor",), CLASSES)
SMALL = Scan(1.0, 4.0, 8, 8)
PLAIN = Campaign(("A2", "C5"), 3, SMALL, SMALL, tip_every=6)


class Model:
    """Takes every image for A2, and abstains on every third."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, channels: Mapping[str, Any], *told: Any) -> Prediction:
        self.asked += 1
        reason = "" if self.asked % 3 else "unlike the images"
        values = np.array([0.9, 0.1])
        return Prediction(TERMS, values, 0.1 * values, 0.5, reason)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


def recorded(
    bench: CampaignBench, folder: Path, *, live: Any = None, **classified: Any
) -> CampaignReport:
    """The report of a campaign, asked of a model live, in its plan, or not at all."""
    what = replace(PLAIN, rule=StoppingRule(0.999, 3)) if classified else PLAIN
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(folder / "journal"))
        bench.engine.subscribe(journal)
        if live is not None:
            router = stack.enter_context(
                closing(PredictionAnalysis(journal, predict=live, terms=TERMS))
            )
            bench.engine.subscribe(router)
        bench.engine(campaign(bench.afm, what, qualifier=bench.qualifier, **classified))
    return report_campaign(Settings(data=folder))


def shown(folder: Path, *words: str) -> str:
    return CliRunner().invoke(app, ["campaign", "-1", "--data", str(folder), *words]).stdout


def test_what_was_predicted_for_the_plan_is_pooled_by_its_rule(
    bench: CampaignBench, tmp_path: Path
) -> None:
    told: Any = ImageClassifier(bench.afm, Model(), model="icp:3", classes=CLASSES, name="teller")
    found = recorded(bench, tmp_path, classifier=told).classes["A2"]
    assert (found.label, found.images, found.abstained) == ("A2", 2, 1)
    assert 0.9 < found.confidence < 0.9**2 / (0.9**2 + 0.1**2)  # the images depend on each other


def test_what_was_predicted_beside_is_pooled_as_well(bench: CampaignBench, tmp_path: Path) -> None:
    found = recorded(bench, tmp_path, live=Model()).classes
    assert [(told.label, told.images, told.abstained) for told in found.values()] == [
        ("A2", 2, 1),
        ("A2", 2, 1),
    ]
    assert "abstained" in shown(tmp_path)
    row = json.loads(shown(tmp_path, "--json"))
    assert row["classes"]["C5"]["label"] == "A2"


def test_a_campaign_without_predictions_has_no_column_of_classes(
    bench: CampaignBench, tmp_path: Path
) -> None:
    assert recorded(bench, tmp_path).classes == {}
    assert "3 of 3" in shown(tmp_path)
    assert "class" not in shown(tmp_path)
