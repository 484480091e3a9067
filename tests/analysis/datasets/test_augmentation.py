"""Five images of one, as Bruker's application note 155 makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_runs import ImageRun, texture

from analysis.datasets import augmented, check_turnable, write_image_set

IMAGES = np.arange(2 * 3 * 3 * 1, dtype=np.float32).reshape(2, 3, 3, 1)


def test_an_image_is_kept_turned_three_times_and_flipped_upside_down() -> None:
    found, _ = augmented(IMAGES, [0, 1])
    first = IMAGES[0, ..., 0]
    expected = [first, np.rot90(first, 1), np.rot90(first, 2), np.rot90(first, 3), np.flipud(first)]
    np.testing.assert_array_equal(found[::2, ..., 0], expected)


def test_each_of_the_five_has_the_label_of_its_image() -> None:
    _, labels = augmented(IMAGES, ["A2", "C5"])
    assert labels.tolist() == ["A2", "C5"] * 5


def test_values_of_several_properties_go_along() -> None:
    _, values = augmented(IMAGES, [[1.0, 2.0], [3.0, 4.0]])
    assert values.shape == (10, 2)


def test_channels_stay_apart() -> None:
    both = np.concatenate([IMAGES, -IMAGES], axis=-1)
    found, _ = augmented(both, [0, 1])
    np.testing.assert_array_equal(found[..., 1], -found[..., 0])


@pytest.mark.parametrize(
    ("images", "targets", "told"),
    [
        (np.zeros((2, 3, 4, 1)), [0, 1], "they must be square"),
        (np.zeros((3, 3)), [0, 1], "they must be square"),
        (IMAGES, [0], "1 targets are given for 2 images"),
    ],
)
def test_what_cannot_be_augmented_is_told(
    images: np.ndarray, targets: list[int], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        augmented(images, targets)


@pytest.mark.parametrize(("lines", "points", "aspect"), [(8, 16, 1.0), (16, 16, 2.0), (8, 16, 2.0)])
def test_only_square_frames_of_square_pixels_can_be_turned(
    tmp_path: Path, lines: int, points: int, aspect: float
) -> None:
    run = ImageRun(
        tmp_path,
        data={"deformation": texture(1, lines, points)},
        told={"scan": {"size": 4.0, "aspect": aspect}},
    )
    found = write_image_set(tmp_path / "set.h5", [run.documents()], ("deformation",))
    with pytest.raises(ValueError, match="cannot be turned by 90°"):
        check_turnable(found)


def test_square_frames_of_square_pixels_can_be_turned(tmp_path: Path) -> None:
    run = ImageRun(tmp_path)
    check_turnable(write_image_set(tmp_path / "set.h5", [run.documents()], ("deformation",)))
