"""Batches come from disk a few at a time, in an order that can be redone, in five orientations."""

from __future__ import annotations

import numpy as np
import pytest
from blend_images import BlendImages

from analysis.datasets import augmented
from analysis.networks.feeding import ORIENTATIONS, Feed, batches_of, oriented, streamed

IMAGES = BlendImages(12)
EVERY = tuple(range(12))


def feed(batch: int = 4, augment: bool = True, indices: tuple[int, ...] = EVERY) -> Feed:
    return Feed(IMAGES, np.arange(12), indices, batch, seed=3, augment=augment)


def test_the_orientations_are_those_of_the_augmented_set() -> None:
    image = IMAGES.images([0])
    expected, _ = augmented(image, ["A"])
    ours = np.stack([oriented(image[0], number) for number in range(ORIENTATIONS)])
    np.testing.assert_array_equal(ours, expected)


def test_five_epochs_show_every_image_in_every_orientation_once() -> None:
    images = IMAGES.images(EVERY)
    expected, _ = augmented(images, np.arange(12))
    shown = np.concatenate([x for epoch in range(5) for x, _ in feed().epoch(epoch)])
    assert sorted(x.tobytes() for x in shown) == sorted(x.tobytes() for x in expected)


def test_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    first, again = list(feed().epoch(7)), list(feed().epoch(7))
    for (a, b), (c, d) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_epochs_differ_in_order() -> None:
    orders = [np.concatenate([y for _, y in feed().epoch(epoch)]).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(EVERY)


def test_images_stay_as_they_are_without_augmentation() -> None:
    for images, numbers in feed(augment=False).epoch(2):
        np.testing.assert_array_equal(images, IMAGES.images(numbers))


def test_only_the_images_of_the_part_are_fed() -> None:
    numbers = np.concatenate([y for _, y in feed(batch=2, indices=(1, 5, 6, 9)).epoch(0)])
    assert sorted(numbers) == [1, 5, 6, 9]


def test_no_more_images_than_a_batch_are_read_at_once() -> None:
    IMAGES.read.clear()
    list(feed(batch=4).epoch(0))
    list(batches_of(IMAGES, EVERY, 5))
    assert max(IMAGES.read) <= 5


def test_frames_that_are_not_square_are_not_turned() -> None:
    wide = BlendImages(4)
    wide.square = False
    with pytest.raises(ValueError, match="cannot be turned by 90 degrees"):
        Feed(wide, np.arange(4), (0, 1), 2)


def test_the_stream_of_the_engine_has_the_batches_of_the_feed() -> None:
    expected = list(feed().epoch(0))
    stream = list(streamed(lambda: feed().epoch(0), expected[0]))
    for (a, b), (c, d) in zip(stream, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(a), c)
        np.testing.assert_array_equal(np.asarray(b), d)
