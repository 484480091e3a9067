"""The networks are those of the papers, and a file of one carries all it needs."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from analysis.networks import ModelSpec, TargetScale
from analysis.networks.architectures import (
    EMBEDDING,
    build,
    load_network,
    spec_of,
    statistics_of,
    target_scale_of,
    training_view,
)
from analysis.networks.preprocessing import Statistics

SPEC = ModelSpec("classification", ("deformation",), ("A2", "C3", "C5"), (32, 32), "small_cnn")
IMAGES = (1e-9 * np.random.default_rng(0).random((4, 32, 32, 1))).astype(np.float32)


def answers(model: keras.Model) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(IMAGES, training=False)))


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    names = tuple(str(number) for number in range(1000))
    channels = ("phase", "deformation", "dissipation")
    return build(ModelSpec("classification", channels, names, (64, 64), "resnet50"))


def test_the_50_layer_network_has_the_published_number_of_parameters(
    resnet50: keras.Model,
) -> None:
    # torchvision, ResNet50_Weights: num_params 25557032 for three channels and 1000 classes
    assert trainable(resnet50) == 25_557_032


def test_the_50_layer_network_has_50_layers_with_weights(resnet50: keras.Model) -> None:
    weighing = [
        layer
        for layer in resnet50.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        and "shortcut" not in layer.name
    ]
    assert len(weighing) == 50


def test_the_moving_averages_arrive_within_a_short_training(resnet50: keras.Model) -> None:
    kinds = [x for x in resnet50.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in kinds} == {0.9}


def test_a_seed_gives_the_same_weights_and_another_one_others() -> None:
    first, again, other = (build(SPEC, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_layers_of_one_shape_begin_with_different_weights() -> None:
    spec = ModelSpec("classification", ("phase",), ("A", "B"), (32, 32), "small_resnet")
    model = build(spec)
    one = model.get_layer("stage1_block1_1_convolution").get_weights()[0]
    other = model.get_layer("stage1_block1_2_convolution").get_weights()[0]
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


def test_a_file_of_a_network_gives_the_same_answers(tmp_path: Path) -> None:
    statistics = {"deformation": Statistics(0.5, 0.3)}
    model = build(SPEC, statistics)
    model.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(answers(again), answers(model), rtol=1e-6)
    assert spec_of(again) == SPEC
    assert statistics_of(again) == statistics


def test_a_regression_answers_in_the_units_of_its_properties() -> None:
    spec = ModelSpec("regression", ("deformation",), ("young", "izod"), (32, 32), "small_cnn")
    scale = TargetScale((1100.0, 300.0), (100.0, 150.0))
    model = build(spec, scale=scale)
    standardised = np.asarray(keras.ops.convert_to_numpy(training_view(model)(IMAGES)))
    expected = standardised * [100.0, 150.0] + [1100.0, 300.0]
    np.testing.assert_allclose(answers(model), expected, rtol=1e-5)
    assert target_scale_of(model) == scale


def test_a_network_shows_its_embedding() -> None:
    model = build(SPEC)
    assert model.get_layer(EMBEDDING).output.shape == (None, 64)


def test_mixed_precision_leaves_preprocessing_and_answers_in_float32() -> None:
    model = build(SPEC, policy="mixed_bfloat16")
    dtypes = {layer.name: layer.compute_dtype for layer in model.layers}
    assert dtypes["layer1_convolution"] == "bfloat16"
    assert {dtypes[name] for name in ("preprocessing", "embedding", "head", "outputs")} == {
        "float32"
    }
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_architecture_is_refused_with_those_that_are_known() -> None:
    spec = ModelSpec("classification", ("phase",), ("A", "B"), (32, 32), "vgg")
    with pytest.raises(ValueError, match="'vgg' is not known: choose of resnet50, small_resnet"):
        build(spec)


def test_images_that_a_network_would_halve_to_nothing_are_refused() -> None:
    spec = ModelSpec("classification", ("phase",), ("A", "B"), (16, 64), "small_cnn")
    with pytest.raises(ValueError, match="16 x 64 pixels are too small"):
        build(spec)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(ValueError, match="is not a network that can be loaded"):
        load_network(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="there is no such file"):
        load_network(tmp_path / "other.keras")


def test_a_network_of_others_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="does not say what it reads"):
        load_network(tmp_path / "model.keras")
