"""Adaptive campaigns as the station records them, asks for them and tells of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from campaign_bench import CampaignBench, campaign_bench
from rich.console import Console
from typer.testing import CliRunner

from analysis.sequential import Decision, Dependence, StoppingRule
from devices.image_classifier import ImageClassifier
from plans import Campaign, Scan, campaign
from station import predictions
from station.campaigns import read_campaign
from station.cli import app
from station.image_recipes import DEPENDENCE, RunCampaign, stopping_rule
from station.journal import Journal
from station.settings import Settings

CLASSES = ("A2", "C5")
SMALL = Scan(1.0, 4.0, 8, 8)
RULE = StoppingRule(0.95, 2, dependence=Dependence(0.1))
CAMPAIGN = Campaign(("A2", "C5"), 4, SMALL, SMALL, tip_every=4, rule=RULE)


@dataclass(frozen=True)
class Shown:
    """What a network says of every image."""

    probabilities: Any = field(default_factory=lambda: np.array([0.97, 0.03]))
    label: str = "A2"
    probability: float = 0.97
    spread: float = 0.01
    novelty: float = 0.2
    abstained: bool = False
    reason: str = ""


def classifier_of(bench: CampaignBench) -> ImageClassifier:
    return ImageClassifier(
        bench.afm, lambda *asked: Shown(), model="icp:3", classes=CLASSES, name="classifier"
    )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


def with_model(metrics: Mapping[str, float], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that name a model whose card tells these metrics."""
    card = SimpleNamespace(metrics=metrics)
    registry = SimpleNamespace(card=lambda name: SimpleNamespace(card=card))
    monkeypatch.setattr(predictions, "registry_of", lambda settings: registry)
    return Settings.model_validate({"networks": {"model": "icp"}})


class TestRecord:
    """The journal knows what was predicted."""

    def test_what_was_predicted_is_read_from_the_journal(
        self, bench: CampaignBench, tmp_path: Path
    ) -> None:
        with Journal(tmp_path / "journal") as journal:
            bench.engine.subscribe(journal)
            plan = campaign(
                bench.afm, CAMPAIGN, qualifier=bench.qualifier, classifier=classifier_of(bench)
            )
            outcome: Any = bench.engine(plan)
        record = read_campaign(tmp_path / "journal")
        assert record.campaign == CAMPAIGN
        predicted = [done.prediction for done in record.done if done.check is None]
        assert [each.probabilities for each in predicted if each] == [(0.97, 0.03)] * 4
        rest = campaign(
            bench.afm,
            record.campaign,
            qualifier=bench.qualifier,
            classifier=classifier_of(bench),
            done=record.done,
        )
        again: Any = bench.engine(rest)
        assert again.plan_result.runs == ()
        assert again.plan_result.decisions == outcome.plan_result.decisions


class TestAsked:
    """What the command line makes of what is asked."""

    def test_images_depend_as_the_card_of_the_model_tells(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = with_model({DEPENDENCE: 0.31}, monkeypatch)
        rule = stopping_rule(settings, 0.97, 3)
        assert rule == StoppingRule(0.97, 3, dependence=Dependence(0.31))

    def test_a_card_that_does_not_tell_leaves_the_default(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert stopping_rule(with_model({}, monkeypatch), 0.97, 3).dependence == Dependence()

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("A2,C5", "--until-certain", "0.99"), "no model is named"),
            (("A2,C5", "--until-certain", "0.99", "--model", "nobody"), "nobody"),
            (("--resume", "x", "--until-certain", "0.99"), "as it was begun: no --until-certain"),
        ],
    )
    def test_what_cannot_be_is_told_in_a_line(
        self, words: tuple[str, ...], told: str, tmp_path: Path
    ) -> None:
        asked = ["run", "campaign", *words, "--data", str(tmp_path), "--estimate"]
        refused = CliRunner().invoke(app, asked)
        assert refused.exit_code != 0
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1


class TestTold:
    """What is told of a campaign that has ended."""

    DECISIONS: Mapping[str, Decision] = {
        "A2": Decision(True, False, "A2", 0.994, 3),
        "C5": Decision(False, True, "C3", 0.8, 6, 2),
    }

    def outcome(self) -> Any:
        found = SimpleNamespace(counting=(1, 2, 3), runs=((0, "a"), (1, "b")))
        found.decisions = self.DECISIONS
        return SimpleNamespace(uid="u", result=found)

    def test_the_class_of_each_sample_and_whether_it_is_certain(self) -> None:
        screen = Console(width=100, record=True)
        screen.print(RunCampaign(CAMPAIGN).table(self.outcome()))
        text = screen.export_text()
        assert "3 of 8 images count" in text
        assert "C3?" in text
        assert "A2?" not in text

    def test_the_same_for_a_script(self) -> None:
        row = RunCampaign(CAMPAIGN).row(self.outcome())
        assert row["classes"]["C5"]["label"] == "C3"
        assert row["classes"]["A2"]["certain"]

    def test_the_command_that_goes_on_names_the_model(self, bench: CampaignBench) -> None:
        asked = RunCampaign(CAMPAIGN, classifier=classifier_of(bench))
        uid = CAMPAIGN.uid[:8]
        assert asked.go_on() == f"twinscope run campaign --resume {uid} --model icp:3"
