"""Cells are done once, on the same splits, and refuse what is not theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_runs import ImageRun, hash_of, texture
from numpy.typing import NDArray

from analysis.datasets import ImageSet, Split, write_image_set
from analysis.networks.cells import Cell, read_result, read_results, result_path
from analysis.networks.channels import Problem
from analysis.networks.experiment import (
    CellProgress,
    Experiment,
    Plan,
    shuffled_labels,
    smaller,
)
from analysis.networks.tasks import PROPERTIES, TASKS

FIVE = TASKS["five-way"].samples
LEVEL = dict(zip(FIVE, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
BULK = {name: dict.fromkeys(PROPERTIES, 100.0 * level) for name, level in LEVEL.items()}
BOTH = ("deformation", "dissipation")


class NearestMean:
    """Tells an image by its mean: the level of its sample and some noise."""

    fitted: list[tuple[Problem, int, Path, Split]]

    def __init__(self, problem: Problem, *, seed: int, folder: Path, **_: Any) -> None:
        self.problem, self.seed, self.folder = problem, seed, folder

    def fit(self, image_set: ImageSet, targets: Any, split: Split) -> NearestMean:
        type(self).fitted.append((self.problem, self.seed, self.folder, split))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").write_text("half done")
        own = self._levels(image_set, split.train)
        answers = np.asarray(targets)[list(split.train)]
        if self.problem.is_classification:
            self.means = np.array([own[answers == name].mean() for name in self.problem.outputs])
        else:
            self.slope = np.polyfit(own, answers, 1)
        return self

    def predict(self, image_set: ImageSet, indices: Sequence[int]) -> NDArray[np.float64]:
        own = self._levels(image_set, indices)[:, np.newaxis]
        if not self.problem.is_classification:
            return self.slope[0] * own + self.slope[1]
        near = np.exp(-np.abs(own - self.means))
        return near / near.sum(axis=1, keepdims=True)

    @staticmethod
    def _levels(image_set: ImageSet, indices: Sequence[int]) -> NDArray[np.float64]:
        return 1e9 * image_set.images(indices)[..., 0].mean(axis=(1, 2)).astype(np.float64)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Five samples, five sessions, three fields of each."""
    folder = tmp_path_factory.mktemp("images")
    runs = []
    for day in range(5):
        for number in range(3):
            for sample in FIVE:
                pixels = 0.4 * texture(hash_of(sample, day, number)) + 1e-9 * LEVEL[sample]
                runs.append(
                    ImageRun(
                        folder,
                        sample=sample,
                        number=3 * day + number,
                        day=1 + day,
                        data=dict.fromkeys(BOTH, pixels.astype(np.float32)),
                    ).documents()
                )
    return write_image_set(folder / "set.h5", runs, BOTH)


@pytest.fixture
def experiment(images: ImageSet, tmp_path: Path) -> Experiment:
    NearestMean.fitted = []
    return Experiment(
        [images],
        tmp_path / "table",
        Plan(folds=5),
        properties=BULK,
        estimators={"mean": NearestMean, "features+mean": NearestMean},  # pyright: ignore[reportArgumentType]
    )


def cells(experiment: Experiment, task: str = "three-way", **how: Any) -> list[Cell]:
    return experiment.cells([task], [("deformation",)], ["mean"], **how)


class TestCells:
    def test_there_is_one_for_each_combination(self, experiment: Experiment):
        found = experiment.cells(
            ["three-way", "five-way"],
            [("deformation",), ("dissipation",)],
            ["mean", "features+mean"],
            sizes=(0, 20),
        )
        assert len(found) == len({cell.name for cell in found}) == 5 * 2 * 2 * 2 * 2

    def test_properties_can_have_a_model_each_as_in_the_note(self, experiment: Experiment):
        found = cells(experiment, "five-properties", one_each=True)
        assert {cell.outputs for cell in found} == {(name,) for name in PROPERTIES}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"task": "two-way"}, "no task 'two-way': choose of three-way"),
            ({"channels": ("height",)}, "'height' is not one that a network reads"),
            ({"output": "hardness"}, "has no property 'hardness': none, it has classes"),
            ({"fold": -1}, "count from 0"),
        ],
    )
    def test_what_cannot_be_is_refused(self, changes: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            replace(Cell("three-way", ("deformation",), "mean"), **changes)


class TestRun:
    def test_each_image_is_tested_once_a_repeat(self, experiment: Experiment):
        found = experiment.run(cells(experiment))
        names = [name for result in found for name in result.images]
        assert len(names) == len(set(names)) == 45

    def test_what_is_told_is_right(self, experiment: Experiment):
        for result in experiment.run(cells(experiment)):
            assert (result.predicted.argmax(axis=1) == result.true).all()

    def test_a_finished_cell_is_not_done_again(self, experiment: Experiment):
        first = experiment.run(cells(experiment))
        again = experiment.run(cells(experiment))
        assert len(NearestMean.fitted) == 5
        np.testing.assert_array_equal(first[3].predicted, again[3].predicted)

    def test_work_that_was_ended_goes_on(self, experiment: Experiment):
        begun = experiment.run(cells(experiment), stop=lambda: len(NearestMean.fitted) == 2)
        assert len(begun) == len(read_results(experiment.folder)) == 2
        assert len(experiment.run(cells(experiment))) == len(NearestMean.fitted) == 5

    def test_a_failed_cell_leaves_no_result(self, experiment: Experiment):
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("out of memory")

        broken = replace(experiment, estimators={"mean": fail})
        with pytest.raises(RuntimeError, match="out of memory"):
            broken.run(cells(experiment))
        assert not list(experiment.folder.glob("cells/*"))

    def test_all_models_see_the_same_splits(self, experiment: Experiment):
        found = experiment.run(
            experiment.cells(["three-way"], [(c,) for c in BOTH], ["mean", "features+mean"])
        )
        for fold in range(5):
            of_fold = {result.images for result in found if result.cell.fold == fold}
            assert len(of_fold) == 1

    def test_groups_are_whole(self, experiment: Experiment):
        found = experiment.run(cells(experiment))
        tests = [set(result.groups) for result in found]
        assert sum(map(len, tests)) == len(set().union(*tests)) == 5

    def test_values_are_of_the_sample(self, experiment: Experiment):
        for result in experiment.run(cells(experiment, "five-properties")):
            expected = [[100.0 * LEVEL[name]] * len(PROPERTIES) for name in result.samples]
            np.testing.assert_array_equal(result.true, expected)

    def test_validation_is_kept_for_the_temperature(self, experiment: Experiment):
        (result, *_) = experiment.run(cells(experiment)[:1])
        split = NearestMean.fitted[0][3]
        assert result.validation_predicted.shape == (len(split.validation), 3)

    def test_half_done_work_is_cleared_and_features_are_shared(self, experiment: Experiment):
        experiment.run(
            experiment.cells(["three-way"], [("deformation",)], ["mean", "features+mean"])
        )
        assert not list((experiment.folder / "work").glob("*"))
        assert (experiment.folder / "features" / "state").exists()

    def test_progress_counts_cells(self, experiment: Experiment):
        told: list[CellProgress] = []
        experiment.run(cells(experiment), progress=told.append)
        assert [one.done for one in told] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
        assert {one.cells for one in told} == {5}

    def test_seeds_differ_from_split_to_split(self, experiment: Experiment):
        experiment.run(cells(experiment))
        assert len({seed for _, seed, _, _ in NearestMean.fitted}) == 5


class TestSize:
    def test_a_smaller_training_part_is_of_the_larger(self, experiment: Experiment):
        experiment.run(cells(experiment, sizes=(6, 12)))
        small, large = (set(fit[3].train) for fit in NearestMean.fitted[:2])
        assert len(small) == 6
        assert small < large

    def test_it_has_as_many_of_each_class(self):
        labels = ["A2"] * 20 + ["C3"] * 10
        found = smaller(Split(tuple(range(30)), (), ()), labels, 8, seed=0)
        assert sorted(labels[index] for index in found.train) == ["A2"] * 4 + ["C3"] * 4

    @pytest.mark.parametrize("size", [1, 31])
    def test_what_is_not_there_is_refused(self, size: int):
        labels = ["A2"] * 20 + ["C3"] * 10
        with pytest.raises(ValueError, match="it has 2 classes and 30 images"):
            smaller(Split(tuple(range(30)), (), ()), labels, size, seed=0)


class TestShuffledLabels:
    def test_each_class_has_as_many_images_as_before(self, images: ImageSet):
        assert sorted(shuffled_labels(images, 0, 0)) == sorted(images.labels())

    def test_they_are_others_in_each_repeat(self, images: ImageSet):
        assert shuffled_labels(images, 0, 0) != shuffled_labels(images, 0, 1)

    def test_they_say_nothing(self, images: ImageSet):
        same = [
            np.mean(np.array(shuffled_labels(images, 0, repeat)) == np.array(images.labels()))
            for repeat in range(100)
        ]
        assert np.mean(same) == pytest.approx(1 / 5, abs=0.02)

    def test_a_model_that_tells_all_samples_is_then_at_chance(self, experiment: Experiment):
        repeated = replace(experiment, plan=Plan(folds=5, repeats=6))
        found = repeated.run(cells(repeated, "shuffled"))
        right = [result.predicted.argmax(axis=1) == result.true for result in found]
        assert np.mean(np.concatenate(right)) < 0.42  # chance is 0.33


class TestRefusals:
    def test_a_missing_channel_is_named(self, experiment: Experiment):
        wanted = experiment.cells(["three-way"], [("phase",)], ["mean"])
        with pytest.raises(ValueError, match="no image set has phase of A2, C3, C5"):
            experiment.run(wanted)

    def test_a_missing_sample_is_named(self, experiment: Experiment):
        with pytest.raises(ValueError, match="no image set has deformation of A2, B1"):
            experiment.run(cells(experiment, "nine-properties"))

    def test_a_missing_property_is_named(self, experiment: Experiment):
        poor = replace(experiment, properties={**BULK, "C5": {"notched_izod": 547.0}})
        with pytest.raises(ValueError, match="no flexural_modulus of sample C5 is given"):
            poor.run(cells(poor, "five-properties"))

    def test_an_unknown_estimator_is_refused(self, experiment: Experiment):
        wanted = experiment.cells(["three-way"], [("deformation",)], ["oracle"])
        with pytest.raises(ValueError, match="no estimator 'oracle': choose of mean"):
            experiment.run(wanted)

    def test_nothing_is_trained_when_the_last_cell_cannot_be(self, experiment: Experiment):
        with pytest.raises(ValueError, match="it has 3 classes and"):
            experiment.run(cells(experiment, sizes=(0, 1000)))
        assert NearestMean.fitted == []

    def test_results_of_other_labels_are_not_taken_for_these(self, experiment: Experiment):
        experiment.run(cells(experiment, "five-properties"))
        other = replace(experiment, properties={**BULK, "C5": dict.fromkeys(PROPERTIES, 1.0)})
        with pytest.raises(ValueError, match="is of other images, labels, splits or options"):
            other.run(cells(other, "five-properties"))

    def test_results_of_other_splits_are_not_taken_for_these(self, experiment: Experiment):
        experiment.run(cells(experiment))
        other = replace(experiment, plan=Plan(folds=5, seed=1))
        with pytest.raises(ValueError, match="choose another folder"):
            other.run(cells(other))

    def test_a_damaged_result_is_named(self, experiment: Experiment):
        experiment.run(cells(experiment))
        path = result_path(experiment.folder, cells(experiment)[0])
        path.write_text(path.read_text()[:100])
        with pytest.raises(ValueError, match=f"{path.name} is no result of a cell"):
            read_results(experiment.folder)

    def test_a_result_of_another_version_is_named(self, tmp_path: Path):
        (tmp_path / "cell.json").write_text(json.dumps({"format": "twinscope cell 0"}))
        with pytest.raises(ValueError, match="not of the format 'twinscope cell 1'"):
            read_result(tmp_path / "cell.json")

    def test_a_folder_without_results_is_named(self, tmp_path: Path):
        with pytest.raises(ValueError, match="no cell is finished in"):
            read_results(tmp_path)
