"""Tables and figures say what the cells say; the truth is a skill that is put in by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.networks.cells import Cell, CellResult
from analysis.networks.figures import figures_of, save_figures
from analysis.networks.summary import Evaluation
from analysis.networks.table import EvaluationTable, tables_of
from analysis.networks.tasks import TASKS

SESSIONS, FIELDS, FOLDS = 10, 6, 5
SKILL = {"deformation": 4.0, "dissipation": 2.0, "phase": 1.0}
BULK = {"A2": 172.0, "B3": 379.0, "B4": 489.0, "C3": 490.0, "C5": 547.0}


def result_of(cell: Cell, skill: float, seed: int) -> CellResult:
    """Draw what a model of some skill says of the images of a fold."""
    rng = np.random.default_rng((seed, cell.fold, cell.size))
    task = cell.of_task
    rows = [
        (sample, session, number)
        for sample in task.samples
        for session in range(cell.fold, SESSIONS, FOLDS)
        for number in range(FIELDS)
    ]
    images = "phase" if cell.channels == ("phase",) else "qnm"
    if task.is_classification:
        true = np.array([task.samples.index(sample) for sample, _, _ in rows])
        if task.shuffled:
            true = rng.permutation(true)
        logits = rng.normal(size=(len(rows), len(task.samples)))
        logits[np.arange(len(rows)), true] += 0.0 if task.shuffled else skill
        predicted = np.exp(logits)
        predicted /= predicted.sum(axis=1, keepdims=True)
    else:
        true = np.array([[BULK[sample]] * len(cell.outputs) for sample, _, _ in rows])
        # the notched Izod test is told worst
        error = [60.0 if name == "notched_izod" else 20.0 for name in cell.outputs]
        predicted = true + rng.normal(size=true.shape) * error / np.sqrt(skill)
    return CellResult(
        cell=cell,
        key={"data": f"{images} {cell.task} {cell.channels}"},
        images=tuple(f"{images}-{sample}-{session}-{number}/1" for sample, session, number in rows),
        groups=tuple(str(session) for _, session, _ in rows),
        samples=tuple(sample for sample, _, _ in rows),
        true=true,
        predicted=predicted,
        validation_true=true,
        validation_predicted=predicted,
        trained=cell.size or 120,
        fit_s=1.0,
        predict_s=0.1,
    )


def results(task: str, channels: Sequence[str], models: dict[str, float], size: int = 0):
    """Cells of all folds; each model multiplies the skill of a channel."""
    return [
        result_of(
            Cell(task, (channel,), model, 0, fold, size),
            factor * SKILL[channel],
            seed=10 * list(SKILL).index(channel) + place,
        )
        for channel in channels
        for place, (model, factor) in enumerate(models.items())
        for fold in range(FOLDS)
    ]


MODELS = {"resnet50": 1.0, "small_cnn": 0.4, "features+forest": 1.0}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Evaluation(
        [
            *results("three-way", list(SKILL), MODELS),
            *results("three-way", ["deformation"], {"resnet50": 0.4}, size=30),
            *results("three-way", ["deformation"], {"resnet50": 0.6}, size=60),
            *results("five-properties", ["deformation", "phase"], MODELS),
            *results("shuffled", ["deformation"], MODELS),
        ]
    )


@pytest.fixture(scope="module")
def tables(evaluation: Evaluation) -> dict[str, EvaluationTable]:
    return {table.title: table for table in tables_of(evaluation)}


def rows_of(table: EvaluationTable, *words: str) -> list[Sequence[str]]:
    return [row for row in table.rows if all(any(w in cell for cell in row) for w in words)]


class TestTables:
    def test_each_row_has_as_many_cells_as_columns(self, tables: dict[str, EvaluationTable]):
        assert len(tables) == 9  # no two channels of the same images predict properties
        for table in tables.values():
            assert {len(row) for row in table.rows} == {len(table.columns)}

    def test_the_notes_figure_stands_beside_ours(self, tables: dict[str, EvaluationTable]):
        (row,) = rows_of(tables["Accuracy"], "deformation", "resnet50")
        assert row[-2:] == ["95.8 [78.9, 99.9]", "23/24"]

    def test_the_accuracy_is_that_of_the_cells(self, tables: dict[str, EvaluationTable]):
        own = results("three-way", ["phase"], {"resnet50": 1.0})
        seeded = [result_of(one.cell, SKILL["phase"], seed=20) for one in own]
        right = np.concatenate([one.predicted.argmax(axis=1) == one.true for one in seeded])
        (row,) = rows_of(tables["Accuracy"], "phase", "resnet50")
        assert row[3].startswith(f"{100 * right.mean():.1f} [")

    def test_a_baseline_that_is_as_good_is_said_to_be(self, tables: dict[str, EvaluationTable]):
        table = tables["Networks against baselines, on the same splits"]
        (row,) = rows_of(table, "deformation", "features+forest")
        assert row[-1] == "no difference shown"

    def test_a_network_that_is_better_is_said_to_be(self, tables: dict[str, EvaluationTable]):
        table = tables["Networks against baselines, on the same splits"]
        (row,) = rows_of(table, "dissipation", "small_cnn")
        assert row[-1] == "better"

    def test_channels_of_other_images_are_not_paired(self, tables: dict[str, EvaluationTable]):
        table = tables["Channels against each other, on the same images"]
        assert len(table.rows) == len(MODELS)
        assert not rows_of(table, "phase")

    def test_the_order_of_the_channels_is_shown(self, tables: dict[str, EvaluationTable]):
        (best, worst) = rows_of(tables["Order of difficulty"], "three samples", "resnet50")
        assert best[0] == "deformation is best"
        assert best[-1] == worst[-1] == "shown"

    def test_the_worst_property_is_shown(self, tables: dict[str, EvaluationTable]):
        (row,) = rows_of(tables["Order of difficulty"], "Izod is worst", "resnet50, deformation")
        assert row[3].rsplit(", ", 1)[1].startswith("notched Izod")
        assert row[-1] == "shown"

    def test_shuffled_labels_give_chance(self, tables: dict[str, EvaluationTable]):
        assert {row[-1] for row in tables["Shuffled labels"].rows} == {"yes"}

    def test_the_learning_curve_rises(self, tables: dict[str, EvaluationTable]):
        rows = rows_of(tables["Learning curve"], "resnet50")
        assert [row[3] for row in rows] == ["30", "60", "120"]
        assert sorted(float(row[4].split()[0]) for row in rows) == [
            float(row[4].split()[0]) for row in rows
        ]

    def test_models_of_one_property_each_are_joined(self):
        names = TASKS["five-properties"].properties[:2]
        own = [
            result_of(Cell("five-properties", ("phase",), "resnet50", 0, fold, 0, name), 1.0, 1)
            for name in names
            for fold in range(FOLDS)
        ]
        ((series, found),) = Evaluation(own).values.items()
        assert series.one_each
        assert found.outcomes.properties == names

    def test_half_a_table_is_a_table(self):
        found = tables_of(results("three-way", ["deformation"], MODELS)[:6])
        assert found[0].title == "Accuracy"
        assert len(found[0].rows) == 2

    def test_cells_of_different_images_are_refused(self):
        own = results("three-way", ["deformation"], {"resnet50": 1.0})
        own[1] = replace(own[1], key={"data": "others"})
        with pytest.raises(ValueError, match="are of different images"):
            tables_of(own)


class TestFigures:
    def test_there_is_one_for_each_question(self, evaluation: Evaluation):
        assert set(figures_of(evaluation)) == {
            "accuracy",
            "calibration",
            "confusion-three-way",
            "coverage-three-way",
            "learning",
            "properties-five-properties",
        }

    def test_the_true_label_is_horizontal(self, evaluation: Evaluation):
        axis = figures_of(evaluation)["confusion-three-way"].axes[0]
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("true label", "predicted label")

    def test_they_are_written(self, tmp_path: Path):
        (path,) = [
            path
            for path in save_figures(
                results("three-way", ["deformation"], {"resnet50": 1.0}), tmp_path / "figures"
            )
            if path.stem == "accuracy"
        ]
        assert path.read_bytes().startswith(b"\x89PNG")
