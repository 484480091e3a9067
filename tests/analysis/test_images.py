"""Image files of other programs: written by the libraries of their formats, or by the programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio.v3
import mrcfile
import numpy as np
import pytest
import tifffile

from analysis.recorded import read_images

DATA = Path(__file__).parents[1] / "data" / "em"


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (40, 50), dtype=np.uint16)


def test_an_ome_tiff_has_its_pixel_size(tmp_path: Path, image: np.ndarray):
    path = tmp_path / "a.ome.tif"
    metadata = {"PhysicalSizeX": 7.3, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 7.3}
    tifffile.imwrite(path, image, metadata=metadata)
    found = read_images(path)
    np.testing.assert_array_equal(found.images, image[None])
    assert found.pixel_size == pytest.approx(7.3)


def test_an_imagej_stack_has_its_pixel_size(tmp_path: Path, image: np.ndarray):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.stack([image] * 3), imagej=True, resolution=(50, 50), metadata={"unit": "um"}
    )
    found = read_images(path)
    assert found.images.shape == (3, 40, 50)
    assert found.pixel_size == pytest.approx(20.0)


def test_a_plain_tiff_does_not_tell_its_pixel_size(tmp_path: Path, image: np.ndarray):
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert np.isnan(read_images(tmp_path / "a.tif").pixel_size)


def test_a_colour_picture_is_one_image(tmp_path: Path):
    imageio.v3.imwrite(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    assert read_images(tmp_path / "a.png").images.shape == (1, 40, 50, 3)


@pytest.mark.parametrize("count", [1, 4])
def test_an_mrc_file_has_its_pixel_size_and_its_top_first(
    tmp_path: Path, image: np.ndarray, count: int
):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.squeeze(np.stack([image[::-1]] * count)))
        file.voxel_size = 36.5  # Å
    found = read_images(path)
    np.testing.assert_array_equal(found.images, np.stack([image] * count))
    assert found.pixel_size == pytest.approx(3.65)


def test_a_tilt_series_of_digitalmicrograph_has_scale_and_tilts():
    # The log of the microscope beside the file: 91 tilts of 2 degrees, pixels of 17.99 nm.
    found = read_images(DATA / "etspy_HAADF.dm3")
    assert found.images.shape == (91, 64, 64)
    assert found.pixel_size == pytest.approx(17.99, abs=0.01)
    np.testing.assert_allclose(np.diff(found.steps), 2.0)
    assert found.steps_unit == "deg"


def test_a_missing_reader_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(ValueError, match=r"pip install 'twinscope\[formats\]'"):
        read_images(DATA / "etspy_HAADF.dm3")


def test_the_gpl_reader_is_not_imported_by_default(tmp_path: Path, image: np.ndarray):

    tifffile.imwrite(tmp_path / "a.tif", image)
    code = (
        "import sys; from analysis.recorded import read_images; read_images(sys.argv[1]); "
        "assert not any(name.startswith('rsciio') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tif")], check=True, timeout=60)


@pytest.mark.parametrize("name", ["a.tif", "a.mrc", "a.dm3", "a.png", "a.xyz"])
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"not an image at all")
    with pytest.raises(ValueError, match=r"^[^\n]*cannot be read as an image[^\n]*$"):
        read_images(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.mrc does not exist"):
        read_images(tmp_path / "none.mrc")
