"""``twinscope networks``: what it shows of models, and what it refuses in a line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from analysis import datasets
from analysis.networks import TrainingOptions, experiment
from analysis.networks.card import DataFacts, ModelCard, ModelInputs, SplitFacts
from analysis.networks.dependence import DEPENDENCE
from analysis.networks.estimators import NETWORKS
from analysis.networks.experiment import Plan
from analysis.networks.registry import MODEL, REFERENCE, Registered, Registry
from station import image_recipes
from station.cli import app
from station.modelling import ModellingError, Wanted, read_properties, train_model
from station.settings import Settings

CARD = ModelCard(
    name="icp",
    version=0,
    created="2026-01-05T09:00:00+00:00",
    task="classification",
    architecture="resnet50",
    outputs=("A2", "C5"),
    inputs=ModelInputs(("deformation",), {"deformation": "m"}, 4.0, (128, 128)),
    data=DataFacts("ab" * 32, 96),
    split=SplitFacts(("r1",), ("r2",), ("r3",), "cd" * 32),
    seed=0,
    code_version="0.1.0",
    libraries={},
    metrics={"test_accuracy": 0.931},
)


def twinscope(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["networks", *words, "--data", str(folder)])


@pytest.fixture
def published(tmp_path: Path) -> Registered:
    def write(half: Path) -> None:
        (half / MODEL).write_bytes(b"network")
        (half / REFERENCE).write_bytes(b"reference")

    registry = Registry(tmp_path / "models")
    registry.publish(CARD, write)
    return registry.publish(replace(CARD, intended_use="impact copolymers"), write)


def test_models_are_listed_with_what_they_look_at_and_how_well(
    published: Registered, tmp_path: Path
) -> None:
    assert twinscope(tmp_path, "models").stdout == (
        "icp:2  deformation -> A2, C5  (test_accuracy 0.931)\n"
    )


def test_without_models_it_says_how_one_is_made(tmp_path: Path) -> None:
    assert "`twinscope networks train` makes one" in twinscope(tmp_path, "models").stdout


def test_the_card_is_shown_to_people(published: Registered, tmp_path: Path) -> None:
    shown = twinscope(tmp_path, "show", "icp").stdout
    assert shown.startswith("# Model icp:2\n")
    assert "impact copolymers" in shown


def test_the_card_is_shown_to_scripts(published: Registered, tmp_path: Path) -> None:
    shown = json.loads(twinscope(tmp_path, "show", "icp:1", "--json").stdout)
    assert (shown["name"], shown["version"]) == ("icp", 1)


@pytest.mark.parametrize("words", [("show", "pp"), ("show", "icp:7"), ("show", "ICP")])
def test_what_there_is_not_is_refused_in_a_line(
    published: Registered, tmp_path: Path, words: tuple[str, ...]
) -> None:
    refused = twinscope(tmp_path, *words)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1


def test_a_model_that_was_changed_is_refused_in_a_line(
    published: Registered, tmp_path: Path
) -> None:
    published.model.write_bytes(b"another network")
    refused = twinscope(tmp_path, "show", "icp")
    assert refused.exit_code == 2
    assert "is not the file of its card" in refused.stderr


def test_a_set_that_there_is_not_is_refused_before_a_network_is_made(tmp_path: Path) -> None:
    refused = twinscope(tmp_path, "train", str(tmp_path / "none.h5"), "icp")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "trainings").exists()


def test_a_name_that_is_no_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    nothing: object = None
    with pytest.raises(ValueError, match="model name 'ICP 3' is not allowed"):
        train_model(
            Settings(data=tmp_path),
            nothing,  # pyright: ignore[reportArgumentType]
            Wanted("ICP 3", ("deformation",)),
            TrainingOptions(),
        )


@dataclass
class Judged:
    """Stands for an experiment: remembers what was asked, and finds nothing."""

    plans: list[Plan] = field(default_factory=list)

    def __call__(self, *, plan: Plan, **asked: Any) -> Judged:
        self.plans.append(plan)
        return self

    def cells(self, *asked: Any) -> list[Any]:
        return []

    def run(self, *asked: Any) -> list[Any]:
        return []


class TestEvaluate:
    """What the command asks of an experiment."""

    @pytest.fixture
    def judged(self, monkeypatch: pytest.MonkeyPatch) -> Judged:
        judged = Judged()
        monkeypatch.setattr(experiment, "Experiment", judged)
        monkeypatch.setattr(datasets, "open_image_set", lambda path: path)
        return judged

    def asked(self, folder: Path, *words: str) -> None:
        command = ["networks", "evaluate", "set.h5", "-o", str(folder), *words]
        assert CliRunner().invoke(app, command).exit_code == 0

    def test_networks_are_trained_as_it_is_told(self, judged: Judged, tmp_path: Path) -> None:
        words = ("--epochs", "7", "--batch", "4", "--patience", "3", "--rate", "0.01")
        self.asked(tmp_path, *words, "--seed", "9")
        (plan,) = judged.plans
        told = TrainingOptions(epochs=7, batch=4, patience=3, learning_rate=0.01)
        assert plan.options == dict.fromkeys(NETWORKS, told)
        assert plan.seed == 9

    def test_untold_options_leave_results_valid_that_were_made_without(
        self, judged: Judged, tmp_path: Path
    ) -> None:
        self.asked(tmp_path)
        assert judged.plans == [Plan(repeats=1)]


def test_the_station_reads_the_dependence_of_images_where_a_card_tells_it() -> None:
    assert image_recipes.DEPENDENCE == DEPENDENCE


class TestProperties:
    def test_they_are_read_by_sample(self, tmp_path: Path) -> None:
        path = tmp_path / "properties.csv"
        path.write_text("sample,young_modulus,yield_strength\nA2,1171,21.9\nC5,1085,19.0\n")
        assert read_properties(path)["C5"] == {"young_modulus": 1085.0, "yield_strength": 19.0}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sample\nA2\n",
            "name,modulus\nA2,3\n",
            "sample,modulus\nA2,soft\n",
            "sample,modulus\nA2\n",
        ],
    )
    def test_what_is_no_table_of_them_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "properties.csv"
        path.write_text(text)
        with pytest.raises(ModellingError, match="sample,property"):
            read_properties(path)
