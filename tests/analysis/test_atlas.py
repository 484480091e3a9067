"""An image found among images: against positions that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from analysis.atlas import Atlas, Feature

PIXEL = 0.05  # µm
SIZE = 96
TURNED = PIXEL * np.array([[0.8, -0.6], [0.6, 0.8]])
PLAIN = PIXEL * np.eye(2)


@pytest.fixture(scope="module")
def scene():
    """A specimen of 400 x 400 pixels of white and coloured structure."""
    white = np.random.default_rng(3).normal(size=(400, 400))
    return gaussian_filter(white, 1.5) + 2.0 * gaussian_filter(white[::-1], 6.0)


def seen(scene, row, column, seed, shape=(SIZE, SIZE)):
    """What is seen with the first pixel at (row, column), with some noise."""
    noise = 0.02 * np.random.default_rng(seed).normal(size=shape)
    return scene[row : row + shape[0], column : column + shape[1]] + noise


def middle(row, column, matrix):
    """(x, y) µm of the middle of a field."""
    half = 0.5 * (SIZE - 1)
    return matrix @ np.array([column + half, row + half])


CORNERS = [(row, column) for row in (20, 90, 160) for column in (20, 90, 160)]


def atlas_of(scene, matrix=PLAIN, corners=CORNERS):
    images = [seen(scene, corner[0], corner[1], seed=k) for k, corner in enumerate(corners)]
    position = np.array([middle(corner[0], corner[1], matrix) for corner in corners])
    covariance = np.broadcast_to(1e-6 * np.eye(2), (len(corners), 2, 2))
    return Atlas(images, position, covariance, matrix)


@pytest.mark.parametrize("matrix", [PLAIN, TURNED])
@pytest.mark.parametrize("corner", [(60, 55), (150, 25), (100, 140)])
def test_an_image_is_found_where_it_was_taken(scene, matrix, corner):
    truth = middle(corner[0], corner[1], matrix)
    fix = atlas_of(scene, matrix).locate(
        seen(scene, corner[0], corner[1], seed=50), truth + 0.3, 0.5
    )
    assert fix.accepted
    np.testing.assert_allclose(fix.position, truth, atol=0.05 * PIXEL)


def test_the_standard_error_is_that_found(scene):
    atlas, z = atlas_of(scene), []
    for k, corner in enumerate([(50, 50), (60, 120), (130, 60), (120, 130), (80, 100), (140, 95)]):
        truth = middle(corner[0], corner[1], PLAIN)
        fix = atlas.locate(seen(scene, corner[0], corner[1], seed=60 + k), truth, 0.5)
        z.append((fix.position - truth) / np.sqrt(np.diag(fix.covariance)))
    assert np.sqrt(np.mean(np.square(z))) < 2.0


def test_an_image_between_two_fields_is_held_to_both(scene):
    # halfway between the fields at columns 20 and 90
    image, truth = seen(scene, 20, 55, seed=70), middle(20, 55, PLAIN)
    both = atlas_of(scene).locate(image, truth, 0.5)
    one = atlas_of(scene, corners=[(20, 20)]).locate(image, truth, 0.5)
    assert np.trace(both.covariance) < 0.6 * np.trace(one.covariance)


def test_a_place_outside_the_atlas_is_refused(scene):
    fix = atlas_of(scene).locate(seen(scene, 20, 20, seed=0), (100.0, 0.0))
    assert not fix.accepted
    assert "outside the atlas" in fix.reason
    assert np.isnan(fix.position).all()


def test_an_image_of_something_else_is_refused(scene):
    other = np.random.default_rng(9).normal(size=(SIZE, SIZE))
    fix = atlas_of(scene).locate(gaussian_filter(other, 1.5), middle(60, 60, PLAIN), 0.5)
    assert not fix.accepted
    assert fix.reason.startswith("refused")


def test_a_blank_image_is_refused(scene):
    fix = atlas_of(scene).locate(np.full((SIZE, SIZE), 500.0), middle(60, 60, PLAIN), 0.5)
    assert not fix.accepted
    assert "constant" in fix.reason


def test_an_image_of_another_size_is_refused(scene):
    fix = atlas_of(scene).locate(seen(scene, 20, 20, 0, (64, 64)), middle(20, 20, PLAIN))
    assert not fix.accepted
    assert "shape" in fix.reason


def test_fields_that_contradict_each_other_place_nothing(scene):
    atlas = atlas_of(scene, corners=[(20, 20), (20, 90)])
    wrong = atlas.position + np.array([(0.0, 0.0), (0.2, 0.0)])
    torn = Atlas(atlas.images, wrong, atlas.covariance, PLAIN)
    fix = torn.locate(seen(scene, 20, 55, seed=1), middle(20, 55, PLAIN), 0.5)
    assert not fix.accepted
    assert "apart" in fix.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "has 0 images"),
        ({"position": np.zeros((2, 2))}, "positions of shape"),
        ({"matrix": np.zeros((2, 2))}, "must be 2x2 and regular"),
    ],
)
def test_an_atlas_that_does_not_fit_together_is_refused(scene, change, message):
    whole = atlas_of(scene, corners=CORNERS[:1])
    parts = {name: getattr(whole, name) for name in ("images", "position", "covariance", "matrix")}
    with pytest.raises(ValueError, match=message):
        Atlas(**{**parts, **change})


@pytest.mark.parametrize("matrix", [PLAIN, TURNED])
def test_a_feature_is_found_wherever_it_is(scene, matrix):
    template = seen(scene, 70, 110, seed=80, shape=(32, 40))
    image = seen(scene, 40, 60, seed=81)
    fix = Feature(template, matrix).locate(image, (0.0, 0.0))
    assert fix.accepted
    half = 0.5 * (SIZE - 1)
    of_feature = np.array([110 + 19.5, 70 + 15.5])  # columns, rows
    of_image = np.array([60 + half, 40 + half])
    np.testing.assert_allclose(fix.position, matrix @ (of_image - of_feature), atol=0.1 * PIXEL)


def test_a_feature_that_is_not_there_is_refused(scene):
    template = seen(scene, 300, 300, seed=82, shape=(32, 32))
    fix = Feature(template, PLAIN).locate(seen(scene, 40, 60, seed=83), (0.0, 0.0))
    assert not fix.accepted


def test_a_feature_that_is_there_twice_is_refused(scene):
    image = seen(scene, 40, 60, seed=84)
    image[50:82, 50:82] = image[4:36, 4:36]
    fix = Feature(image[4:36, 4:36].copy(), PLAIN).locate(image, (0.0, 0.0))
    assert not fix.accepted
    assert "second place" in fix.reason
