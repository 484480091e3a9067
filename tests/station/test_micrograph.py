"""Micrographs: what can serve as specimen, and what is refused."""

from __future__ import annotations

from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import tifffile

from station.micrograph import MicrographError, read_micrograph, shipped_micrograph


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (80, 96), dtype=np.uint8)


def refused(path: Path) -> str:
    with pytest.raises(MicrographError) as caught:
        read_micrograph(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["image.tif", "image.png"])
def test_a_grey_image_is_read_as_it_is(tmp_path: Path, grey: np.ndarray, name: str):
    path = tmp_path / name
    (tifffile.imwrite if name.endswith("tif") else imageio.v3.imwrite)(path, grey)
    np.testing.assert_array_equal(read_micrograph(path), grey)


def test_a_grey_image_saved_as_colour_keeps_its_greys(tmp_path: Path, grey: np.ndarray):
    path = tmp_path / "colour.png"
    imageio.v3.imwrite(path, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_allclose(read_micrograph(path) * 255, grey, atol=1e-3)


def test_the_shipped_micrograph_is_readable():
    assert shipped_micrograph().shape == (1024, 1536)


def test_a_missing_file_is_named(tmp_path: Path):
    assert "does not exist" in refused(tmp_path / "none.tif")


@pytest.mark.parametrize("name", ["text.tif", "text.png"])
def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("not an image")
    text = refused(path)
    assert "cannot be read as an image" in text
    assert "a TIFF, MRC, PNG, JPEG or BMP is needed" in text


def test_a_stack_is_refused(tmp_path: Path, grey: np.ndarray):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([grey] * 7), photometric="minisblack")
    assert "a single image is needed" in refused(path)


def test_a_thumbnail_is_refused(tmp_path: Path, grey: np.ndarray):
    path = tmp_path / "small.tif"
    tifffile.imwrite(path, grey[:20])
    assert "at least 64 x 64" in refused(path)


def test_an_image_without_contrast_is_refused(tmp_path: Path):
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, np.full((80, 80), 7, np.uint16))
    assert "contrast" in refused(path)


def test_nan_is_refused(tmp_path: Path, grey: np.ndarray):
    path = tmp_path / "nan.tif"
    image = grey.astype(np.float32)
    image[3, 3] = np.nan
    tifffile.imwrite(path, image)
    assert "not finite" in refused(path)
