"""A network begins with what one of another channel has learnt, but for the scale of its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blend_images import BlendImages, parts_of

from analysis.networks import ModelSpec, TrainingOptions
from analysis.networks.architectures import build, load_network, statistics_of
from analysis.networks.preprocessing import Statistics
from analysis.networks.training import train
from analysis.networks.transfer import take_over

CLASSES = ("A", "B", "C")


def spec(*channels: str, outputs: tuple[str, ...] = CLASSES) -> ModelSpec:
    return ModelSpec("classification", channels, outputs, (32, 32), "small_cnn")


def test_all_weights_are_taken_over_and_the_scale_of_the_input_is_not() -> None:
    source = build(spec("deformation"), {"deformation": Statistics(4.0, 2.0)}, seed=1)
    target = build(spec("phase"), {"phase": Statistics(0.5, 0.4)}, seed=2)
    take_over(source, target)
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert statistics_of(target) == {"phase": Statistics(0.5, 0.4)}


def test_a_head_of_other_classes_begins_anew() -> None:
    source = build(spec("deformation"), seed=1)
    target = build(spec("deformation", outputs=("X", "Y")), seed=2)
    before = target.get_layer("head").get_weights()
    take_over(source, target)
    np.testing.assert_array_equal(target.get_layer("head").get_weights()[0], before[0])


def test_more_channels_of_the_same_image_give_what_one_gave() -> None:
    source, target = build(spec("deformation")), build(spec("deformation", "adhesion"), seed=2)
    take_over(source, target)
    image = np.random.default_rng(0).random((2, 32, 32, 1)).astype(np.float32) * 1e-9
    both = np.repeat(image, 2, axis=-1)  # both are scaled by nm and nN alike
    np.testing.assert_allclose(
        np.asarray(target(both)), np.asarray(source(image)), rtol=1e-3, atol=1e-4
    )


def test_a_network_of_another_kind_is_refused() -> None:
    other = ModelSpec("classification", ("phase",), CLASSES, (32, 32), "small_resnet")
    with pytest.raises(ValueError, match="a small_cnn cannot begin as a small_resnet"):
        take_over(build(other), build(spec("phase")))


def test_of_a_frozen_network_only_the_head_is_trained(tmp_path: Path) -> None:
    source = build(spec("deformation"), seed=1)
    source.save(tmp_path / "source.keras")
    images = BlendImages(30, ("phase",))
    options = TrainingOptions(
        epochs=1, batch=9, start_from=str(tmp_path / "source.keras"), freeze=True
    )
    parts = parts_of(30)
    result = train(images, images.classes, parts, spec("phase"), options, tmp_path / "training")
    trained = load_network(result.model)
    for layer in source.layers:
        pairs = zip(layer.get_weights(), trained.get_layer(layer.name).get_weights(), strict=True)
        same = all(np.array_equal(ours, theirs) for ours, theirs in pairs)
        assert same == (layer.name != "head")
