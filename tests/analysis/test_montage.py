"""Montages against the scene their fields were cut from, read back by tifffile."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from analysis.montage import balance, overlay, overview, write_montage


@pytest.fixture(scope="module")
def cut(texture):
    """A scene of counts, places of 3 x 3 fields of 96² in it, and the fields."""
    field = texture(320, 6, cutoff=0.1).field((256, 256), (0.0, 0.0))
    scene = (20000 + 3000 * field).astype(np.uint16)
    places = np.indices((3, 3)).reshape(2, -1).T * 70
    fields = [scene[r : r + 96, c : c + 96] for r, c in places]
    return scene, places, fields


def test_overlay_is_half_of_each_field_in_its_place():
    fixed, moving = np.full((4, 4), 2.0), np.full((4, 4), 6.0)
    expected = np.zeros((5, 6))
    expected[:4, 2:] += 1.0
    expected[1:, :4] += 3.0
    np.testing.assert_array_equal(overlay(fixed, moving, (1.2, -2.0)), expected)


def test_whole_pixel_fields_give_back_the_scene(cut, tmp_path):
    scene, places, fields = cut
    path = tmp_path / "a.ome.tif"
    info = write_montage(path, fields.__getitem__, places, pixel_size_nm=7.3)
    read = tifffile.imread(path)
    np.testing.assert_array_equal(read[:236, :236], scene[:236, :236])
    assert read.dtype == np.uint16
    assert info.shape == read.shape


def test_fractional_positions_are_resampled(texture, tmp_path):
    specimen = texture(256, 7, cutoff=0.1)
    places = [(0.0, 0.0), (0.4, 60.7), (61.3, 0.5), (60.6, 60.3)]
    fields = [specimen.field((96, 96), place).astype(np.float32) for place in places]
    path = tmp_path / "a.ome.tif"
    write_montage(path, fields.__getitem__, places, pixel_size_nm=7.3)
    read = tifffile.imread(path)[4:150, 4:150]
    truth = specimen.field((150, 150), (0.0, 0.0))[4:, 4:]
    # the fields have unit variance; linear interpolation would be 0.05 off
    assert np.sqrt(np.mean((read - truth) ** 2)) < 0.01


def test_gain_and_offset_are_found_up_to_one_of_all(cut):
    _, places, fields = cut
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0.8, 1.2, 9), rng.uniform(-800, 800, 9)
    spoilt = [g * f.astype(float) + o for g, f, o in zip(gain, fields, offset, strict=True)]
    found = balance(spoilt.__getitem__, places)
    evened = [g * f + o for g, f, o in zip(found.gain, spoilt, found.offset, strict=True)]
    slope, _ = np.polyfit(np.ravel(fields), np.ravel(evened), 1)
    line = np.polyval(np.polyfit(np.ravel(fields), np.ravel(evened), 1), np.ravel(fields))
    assert np.abs(np.ravel(evened) - line).max() < 0.02 * np.std(fields) * slope
    assert found.gain.mean() == pytest.approx(1.0)


def test_metadata_hold_pixel_size_and_stage_position(cut, tmp_path):
    _, places, fields = cut
    path = tmp_path / "a.ome.tif"
    write_montage(
        path,
        fields.__getitem__,
        places + 10,
        pixel_size_nm=10.0,
        stage_origin_um=(5.0, -3.0),
        camera_to_stage=[[0.0, -1.0], [1.0, 0.0]],
    )
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        text = file.ome_metadata or ""
    pixels = tifffile.xml2dict(text)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (10.0, "nm")
    # first pixel at (row, column) = (10, 10): turned to (x, y) = (-0.1, 0.1) um from the origin
    assert pixels["Plane"]["PositionX"] == pytest.approx(4.9)
    assert pixels["Plane"]["PositionY"] == pytest.approx(-2.9)


def test_each_level_of_the_pyramid_is_the_mean_of_the_one_above(texture, tmp_path):
    field = texture(64, 1, cutoff=0.1).field((64, 64), (0.0, 0.0)).astype(np.float32)
    places = [(0, 0), (0, 1200)]
    path = tmp_path / "a.ome.tif"
    info = write_montage(path, lambda _: field, places, pixel_size_nm=1.0)
    with tifffile.TiffFile(path) as file:
        levels = file.series[0].levels
        assert len(levels) == info.levels == 2
        full, half = (level.asarray() for level in levels)
    np.testing.assert_allclose(half[:32, :32], field.reshape(32, 2, 32, 2).mean((1, 3)), atol=1e-5)
    assert half.shape == (32, 632)
    assert full.shape == (64, 1264)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_montage_leaves_nothing_and_keeps_the_old_file(cut, tmp_path, error):
    _, places, fields = cut
    path = tmp_path / "a.ome.tif"
    path.write_bytes(b"old")

    def stop(done, total):
        raise error

    with pytest.raises(error):
        write_montage(path, fields.__getitem__, places, pixel_size_nm=1.0, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]
    assert path.read_bytes() == b"old"


def test_progress_counts_every_strip_to_the_end(cut, tmp_path):
    _, places, fields = cut
    seen = []
    path = tmp_path / "a.ome.tif"
    write_montage(
        path, fields.__getitem__, places, pixel_size_nm=1.0, progress=lambda *a: seen.append(a)
    )
    assert seen == [(k + 1, len(seen)) for k in range(len(seen))]


def test_bad_input_is_refused_before_anything_is_written(cut, tmp_path):
    _, places, fields = cut
    for bad in (
        {"path": tmp_path / "a.png", "positions": places, "pixel_size_nm": 1.0},
        {"path": tmp_path / "a.ome.tif", "positions": places, "pixel_size_nm": 0.0},
        {"path": tmp_path / "a.ome.tif", "positions": places * np.nan, "pixel_size_nm": 1.0},
    ):
        with pytest.raises(ValueError, match=r"must|not"):
            write_montage(load=fields.__getitem__, **bad)
    assert not list(tmp_path.iterdir())


def test_the_overview_is_the_coarsest_level(tmp_path):
    fields = [np.full((700, 700), 1000 * (n + 1), np.uint16) for n in range(2)]
    path = tmp_path / "m.ome.tif"
    info = write_montage(path, fields.__getitem__, [(0, 0), (0, 700)], pixel_size_nm=2.0)
    found = overview(path)
    assert info.levels == 2
    assert found.shape == (350, 700)
    assert found[0, 0] == 1000
    assert found[-1, -1] == 2000


def test_a_montage_can_be_read_by_whoever_may_read_other_files(tmp_path):
    (tmp_path / "plain").write_text("")
    path = tmp_path / "m.ome.tif"
    write_montage(path, lambda n: np.zeros((64, 64), np.uint16), [(0, 0)], pixel_size_nm=2.0)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
