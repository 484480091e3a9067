"""A published model: what it says of an image, and what it refuses; truth by Keras itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from published_model import CLASSES, SIZE_UM, Textures, publish_textures
from scipy.special import softmax

from analysis.networks.card import hash_of_split
from analysis.networks.dependence import DEPENDENCE
from analysis.networks.prediction import Prediction
from analysis.networks.predictor import Predictor
from analysis.networks.registry import Registered

UNITS = {"deformation": "m"}

# TensorFlow's arrays do not yet take the keyword of numpy 2; nothing of ours can mend that.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(300),  # importing TensorFlow
]


@dataclass(frozen=True)
class Model:
    registered: Registered
    predictor: Predictor
    textures: Textures

    def say(self, image: NDArray[Any]) -> Prediction:
        return self.predictor.predict({"deformation": image}, UNITS, SIZE_UM)


def answers_of(path: Path, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """What Keras says the network answers."""
    from analysis.networks.architectures import load_network

    network: Any = load_network(path)
    return np.asarray(network(images, training=False), dtype=np.float64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models")
    textures = Textures.drawn()
    registered = publish_textures(folder, textures)
    return Model(registered, Predictor(registered), textures)


@pytest.fixture(scope="module")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("regressors")
    textures = Textures.drawn()
    registered = publish_textures(folder, textures, properties=("modulus", "strength"))
    return Model(registered, Predictor(registered), textures)


class TestAnswer:
    def test_it_is_that_of_the_network_at_the_temperature_of_the_card(self, model: Model) -> None:
        image = model.textures.pixels[3]
        (logits,) = answers_of(model.registered.model, image[np.newaxis])
        expected = softmax(logits / model.registered.card.temperature)
        found = model.say(image[..., 0])
        np.testing.assert_allclose(found.values, expected, atol=1e-4)
        assert found.label == CLASSES[int(np.argmax(expected))]
        assert found.probability == found.values.max()

    def test_the_same_image_gives_the_same_bits(self, model: Model) -> None:
        image = model.textures.pixels[5, ..., 0]
        first, second = model.say(image), model.say(image)
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(first.spreads, second.spreads)
        assert first.novelty == second.novelty

    def test_a_finer_image_is_averaged_over_areas(self, model: Model) -> None:
        image = model.textures.pixels[7, ..., 0]
        fine = np.kron(image, np.ones((2, 2), dtype=np.float32))
        np.testing.assert_allclose(model.say(fine).values, model.say(image).values, atol=1e-5)

    def test_in_eight_orientations_it_does_not_matter_how_an_image_lies(self, model: Model) -> None:
        predictor = Predictor(model.registered, orientations=8)
        image = model.textures.pixels[2, ..., 0]
        values = [
            predictor.predict({"deformation": turned}, UNITS, SIZE_UM).values
            for turned in (image, np.rot90(image), image[::-1], image.T)
        ]
        np.testing.assert_allclose(values, np.broadcast_to(values[0], (4, 2)), atol=1e-5)

    def test_it_says_which_model_answered_and_how_long_it_took(self, model: Model) -> None:
        found = model.say(model.textures.pixels[0, ..., 0])
        assert found.model == "textures:1"
        assert 0.0 < found.seconds

    def test_properties_come_with_the_scatter_of_their_errors(self, regressor: Model) -> None:
        found = regressor.say(regressor.textures.pixels[0, ..., 0])
        assert found.outputs == ("modulus", "strength")
        assert (found.label, found.probabilities.size) == ("", 0)
        held = list(regressor.textures.split.validation)
        answers = answers_of(regressor.registered.model, regressor.textures.pixels[held])
        errors = answers - regressor.textures.values[held]
        rms = np.sqrt(np.mean(errors**2, axis=0))
        np.testing.assert_array_less(0.99 * rms, found.spreads)
        np.testing.assert_array_less(found.spreads, 2.0 * rms)


class TestAbstention:
    def test_it_speaks_of_most_images_that_are_like_those_it_knows(self, model: Model) -> None:
        test = model.textures.pixels[list(model.textures.split.test), ..., 0]
        assert np.mean([model.say(image).abstained for image in test]) < 0.25

    def test_it_abstains_on_noise_however_sure_the_network_is(self, model: Model) -> None:
        noise = np.random.default_rng(0).normal(5e-9, 5e-9, (32, 32))
        found = model.say(noise)
        assert found.abstained
        assert found.reason.endswith(f"novelty {found.novelty:.2f}, above 1")

    def test_it_abstains_where_much_was_not_measured(self, model: Model) -> None:
        image = model.textures.pixels[0, ..., 0].copy()
        image[:8] = np.nan
        assert model.say(image).reason == "25 % of the pixels were not measured"

    def test_a_few_lost_pixels_are_passed_over(self, model: Model) -> None:
        test = model.textures.split.test
        image = model.textures.pixels[test[0], ..., 0].copy()
        image[5, 5] = np.nan
        found = model.say(image)
        assert np.isfinite(found.values).all()


class TestRefusal:
    @pytest.mark.parametrize(
        ("channels", "units", "size_um", "told"),
        [
            ({"phase": (32, 32)}, {"phase": "deg"}, SIZE_UM, "wants deformation; the image has ph"),
            ({"deformation": (32, 32)}, {"deformation": "V"}, SIZE_UM, "; calibrate the probe$"),
            ({"deformation": (32, 32)}, UNITS, 10.0, r"frames of 4 µm; the image is of 10 µm$"),
            ({"deformation": (16, 16)}, UNITS, SIZE_UM, "deformation has 16 x 16$"),
            ({"deformation": (32, 64)}, UNITS, SIZE_UM, "deformation has 32 x 64$"),
        ],
    )
    def test_an_image_of_another_kind_is_refused_in_one_line(
        self, model: Model, channels: Any, units: Any, size_um: float, told: str
    ) -> None:
        images = {name: np.ones(shape) for name, shape in channels.items()}
        with pytest.raises(ValueError, match=told) as caught:
            model.predictor.predict(images, units, size_um)
        assert "\n" not in str(caught.value)

    def test_a_number_of_orientations_that_there_is_not_is_refused(self, model: Model) -> None:
        with pytest.raises(ValueError, match="orientations is 3; allowed are 1, 2, 4, 8"):
            Predictor(model.registered, orientations=3)


class TestCard:
    def test_it_names_the_data_and_the_runs_of_each_part(self, model: Model) -> None:
        card, textures = model.registered.card, model.textures
        assert card.data.content_hash == textures.content_hash
        uids = [[textures.records[i].run_uid for i in part] for part in textures.parts]
        assert [
            list(part) for part in (card.split.train, card.split.validation, card.split.test)
        ] == uids
        assert card.split.hash == hash_of_split(*uids)

    def test_it_tells_how_well_the_model_does_on_the_test_part(self, model: Model) -> None:
        test = list(model.textures.split.test)
        said = [model.say(image).label for image in model.textures.pixels[test, ..., 0]]
        right = np.mean([a == model.textures.names[i] for a, i in zip(said, test, strict=True)])
        assert model.registered.card.metrics["test_accuracy"] == pytest.approx(right)

    def test_it_tells_how_far_images_of_a_session_that_was_held_out_repeat_each_other(
        self, model: Model, tmp_path: Path
    ) -> None:
        validated = set(model.textures.split.validation)
        records = tuple(
            replace(record, session=f"{record.session} again") if index in validated else record
            for index, record in enumerate(model.textures.records)
        )
        textures = replace(model.textures, records=records)
        card = publish_textures(tmp_path, textures, model.registered.model).card
        assert 0.0 < card.metrics[DEPENDENCE] < 1.0

    def test_sessions_that_the_network_was_trained_with_do_not_tell_it(self, model: Model) -> None:
        assert DEPENDENCE not in model.registered.card.metrics

    def test_too_small_a_validation_part_is_refused_before_anything_is_written(
        self, model: Model, tmp_path: Path
    ) -> None:
        textures = replace(model.textures, split=replace(model.textures.split, validation=(1,)))
        with pytest.raises(ValueError, match="1 validation images: give 2 or more"):
            publish_textures(tmp_path, textures, model.registered.model)
        assert not (tmp_path / "textures").exists()
