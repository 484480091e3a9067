"""A training learns, stops early, goes on after a kill with the same numbers, leaves no ruins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blend_images import BlendImages, Parts, parts_of

from analysis.networks import ModelSpec, Progress, TrainingOptions
from analysis.networks.architectures import load_network
from analysis.networks.trained import Trained, read_trained
from analysis.networks.training import TrainingStoppedError, predicted, train

# each training compiles a step of its own: seconds on a machine that does much else
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IMAGES = BlendImages(30)
PARTS = parts_of(30)
SPEC = ModelSpec("classification", ("deformation",), ("A", "B", "C"), (32, 32), "small_cnn")
SHORT = TrainingOptions(epochs=3, batch=9, seed=5)


def trained(folder: Path, **changed: Any) -> Trained:
    given: dict[str, Any] = {
        "image_set": IMAGES,
        "targets": IMAGES.classes,
        "split": PARTS,
        "spec": SPEC,
        "options": SHORT,
        "folder": folder,
    }
    return train(**(given | changed))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("short") / "training")


def test_three_blends_are_told_apart(tmp_path: Path) -> None:
    options = TrainingOptions(epochs=25, batch=9, learning_rate=1e-2)
    result = trained(tmp_path / "training", options=options)
    assert result.history[result.best_epoch]["validation_score"] >= 0.8


def test_the_share_of_rubber_is_learnt_as_a_value(tmp_path: Path) -> None:
    result = trained(
        tmp_path / "training",
        targets=100 * IMAGES.shares,
        spec=ModelSpec("regression", ("deformation",), ("rubber",), (32, 32), "small_cnn"),
        options=TrainingOptions(epochs=25, batch=9, learning_rate=1e-2),
    )
    truth = 100 * IMAGES.shares[list(PARTS.validation)]
    assert np.abs(result.validation - truth).mean() < 0.7 * np.abs(truth - truth.mean()).mean()


def test_what_is_left_is_the_network_and_its_record(short: Trained) -> None:
    folder = short.model.parent
    assert sorted(path.name for path in folder.iterdir()) == ["model.keras", "trained.json"]


def test_the_network_in_the_file_is_that_of_the_best_epoch(short: Trained) -> None:
    again = predicted(load_network(short.model), IMAGES, short.validation_indices)
    np.testing.assert_allclose(again, short.validation, rtol=1e-5, atol=1e-5)
    logits = short.validation - short.validation.max(axis=1, keepdims=True)
    truth = [SPEC.outputs.index(IMAGES.classes[index]) for index in short.validation_indices]
    chosen = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[range(6), truth]
    least = min(epoch["validation_loss"] for epoch in short.history)
    assert -chosen.mean() == pytest.approx(least, rel=1e-4)


def test_the_record_is_read_back(short: Trained) -> None:
    again = read_trained(short.model.parent)
    assert again is not None
    assert (again.spec, again.options, again.history) == (short.spec, short.options, short.history)


def test_a_training_that_ended_is_not_done_again(short: Trained) -> None:
    def refuse(progress: Progress) -> None:
        raise AssertionError("trained again")

    assert trained(short.model.parent, progress=refuse).fingerprint == short.fingerprint


def test_a_killed_training_goes_on_with_the_same_numbers(short: Trained, tmp_path: Path) -> None:
    class Killed(BaseException):
        """As a kill, nothing catches it."""

    def kill(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (3, 1):
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "training", progress=kill)
    assert not (tmp_path / "training" / "model.keras").exists()
    seen: list[int] = []
    result = trained(tmp_path / "training", progress=lambda progress: seen.append(progress.epoch))
    assert set(seen) == {3}
    np.testing.assert_allclose(result.validation, short.validation, rtol=1e-4, atol=1e-4)
    losses = [[epoch["loss"] for epoch in one.history] for one in (result, short)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_stop_keeps_the_last_whole_epoch_and_no_network(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    asked = iter([False, False, True])  # two batches are an epoch
    with pytest.raises(TrainingStoppedError, match="stopped in epoch 2 of 3: train again"):
        trained(folder, stop=lambda: next(asked))
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]


def test_the_training_ends_when_the_validation_loss_no_longer_falls(tmp_path: Path) -> None:
    options = replace(SHORT, epochs=40, patience=1, learning_rate=0.3, warm_up=0)
    result = trained(tmp_path / "training", options=options)
    losses = [epoch["validation_loss"] for epoch in result.history]
    assert result.epochs < 40
    assert result.best_epoch == int(np.argmin(losses)) == result.epochs - 2


def test_the_test_part_is_never_read(tmp_path: Path) -> None:
    read: set[int] = set()

    class Watched(BlendImages):
        def images(self, indices: Any) -> Any:
            read.update(int(index) for index in indices)
            return super().images(indices)

    trained(tmp_path / "training", image_set=Watched(30), options=replace(SHORT, epochs=1))
    assert read == {*PARTS.train, *PARTS.validation}


def test_progress_is_told_after_each_batch(tmp_path: Path) -> None:
    told: list[tuple[int, int, int, int]] = []

    def show(progress: Progress) -> None:
        told.append((progress.epoch, progress.epochs, progress.batch, progress.batches))

    trained(tmp_path / "training", options=replace(SHORT, epochs=2), progress=show)
    assert told == [(1, 2, 1, 2), (1, 2, 2, 2), (2, 2, 1, 2), (2, 2, 2, 2)]


def test_the_folder_of_another_training_is_refused(short: Trained) -> None:
    with pytest.raises(ValueError, match="holds the training of something else"):
        trained(short.model.parent, options=replace(SHORT, seed=6))


def test_a_network_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    result = trained(folder, options=replace(SHORT, epochs=1))
    result.model.write_bytes(result.model.read_bytes() + b" ")
    with pytest.raises(ValueError, match="is not the network that was trained there"):
        read_trained(folder)


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="is not a checkpoint: remove it"):
        trained(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"image_set": BlendImages(30, units={"deformation": "V"})},
            r"deformation is in V: a network wants m; calibrate the probe",
        ),
        ({"image_set": BlendImages(30, ("phase",))}, "channel deformation is missing"),
        (
            {"image_set": BlendImages(30, ("phase", "deformation"))},
            "the images have the channels phase, deformation: deformation are read",
        ),
        ({"image_set": BlendImages(30, side=48)}, "48 x 48 pixels: 32 x 32 are read"),
        ({"targets": ["A"] * 29}, "29 targets for 30 images"),
        ({"targets": ["A", "B", "Z"] * 10}, "class Z is not one of A, B, C"),
        (
            {"split": Parts((0, 1, 2, 3, 4), (6,), (7,))},
            "class C has 1 training images: 2 at least",
        ),
        ({"split": Parts((0, 1), (1,), (2,))}, "image 1 is in two parts of the split"),
        ({"split": Parts((0, 1), (30,), (2,))}, "image 30 of the split does not exist"),
        ({"options": replace(SHORT, start_from="/nowhere.keras")}, "no network in /nowhere.keras"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        trained(tmp_path / "training", **changed)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "training").exists()


def test_a_property_that_is_not_known_of_every_image_is_refused(tmp_path: Path) -> None:
    values = IMAGES.shares.copy()
    values[7] = np.nan
    spec = ModelSpec("regression", ("deformation",), ("izod",), (32, 32), "small_cnn")
    with pytest.raises(ValueError, match="izod is not known of every image"):
        trained(tmp_path / "training", targets=values, spec=spec)


def test_a_loss_that_overflows_ends_the_training_with_advice(tmp_path: Path) -> None:
    spec = ModelSpec("regression", ("deformation",), ("izod",), (32, 32), "small_cnn")
    options = replace(SHORT, learning_rate=1e30, warm_up=0)
    with pytest.raises(ValueError, match="train with a lower learning rate"):
        trained(tmp_path / "training", targets=IMAGES.shares, spec=spec, options=options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs 0 is not allowed: 1 or more"),
        ({"learning_rate": float("nan")}, "learning_rate nan is not allowed"),
        ({"precision": "half"}, "precision 'half' is not allowed: one of auto"),
        ({"freeze": True}, "freeze without start_from"),
    ],
)
def test_options_that_mean_nothing_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**changed)
