"""Images of probe microscopes written for Gwyddion and NetCDF, read again by their libraries."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.recorded import read_channels, write_gwy, write_netcdf
from analysis.recorded.channels import Channel, ChannelFile, Setting

pytestmark = pytest.mark.skipif(find_spec("pySPM") is None, reason="pySPM needs Python below 3.13")
DATA = Path(__file__).parents[1] / "data" / "afm"


@pytest.fixture(scope="module")
def recorded():
    found = read_channels(DATA / "pfqnm_calibrated.spm")
    return replace(found, metadata={**found.metadata, "run_uid": "c0ffee"})


@pytest.fixture(scope="module")
def gwy(recorded, tmp_path_factory):
    import gwyfile

    return gwyfile.load(str(write_gwy(tmp_path_factory.mktemp("gwy") / "all.gwy", recorded)))


@pytest.fixture(scope="module")
def dataset(recorded, tmp_path_factory):
    import xarray

    path = write_netcdf(tmp_path_factory.mktemp("nc") / "all.nc", recorded)
    with xarray.open_dataset(path, engine="h5netcdf") as found:
        return found.load()


def test_gwyddion_gets_every_channel_with_the_topmost_line_first(recorded, gwy):
    for number, channel in enumerate(recorded.channels):
        field = gwy[f"/{number}/data"]
        stored = np.asarray(field["data"]).reshape(field["yres"], field["xres"])
        np.testing.assert_array_equal(stored, channel.data[::-1])
        assert (field["xreal"], field["yreal"]) == (channel.x_size, channel.y_size)


def test_gwyddion_gets_units_and_titles(recorded, gwy):
    units = [gwy[f"/{number}/data"]["si_unit_z"]["unitstr"] for number in range(8)]
    assert units == ["m", "N", "Pa", "", "N", "m", "J", "m"]
    titles = [gwy[f"/{number}/data/title"] for number in range(8)]
    assert titles == [channel.title for channel in recorded.channels]


def test_gwyddion_gets_the_run_and_the_header(gwy):
    assert gwy["/4/meta"]["run_uid"] == "c0ffee"
    assert gwy["/4/meta"]["PFT Freq"] == "8 kHz"
    assert gwy["/4/meta"]["calibrated"] == "yes"


def test_pixels_that_were_never_recorded_are_masked_for_gwyddion(recorded, tmp_path):
    import gwyfile

    height = recorded.channels[0]
    data = height.data.copy()
    data[5:] = np.nan
    part = replace(recorded, channels=(replace(height, data=data),))
    content: Any = gwyfile.load(str(write_gwy(tmp_path / "part.gwy", part)))
    mask = np.asarray(content["/0/mask"]["data"]).reshape(data.shape)
    np.testing.assert_array_equal(mask[::-1], np.isnan(data))
    assert np.isfinite(content["/0/data"]["data"]).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gwyddion") is None, reason="Gwyddion is not installed")
@pytest.mark.parametrize("name", ["pfqnm_calibrated.spm", "bruker_di-1.spm"])
def test_gwyddion_finds_nothing_wrong_with_our_files(name, tmp_path):
    path = write_gwy(tmp_path / "checked.gwy", read_channels(DATA / name))
    checked = subprocess.run(["gwyddion", "--check", str(path)], capture_output=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_netcdf_holds_every_channel_bit_for_bit_with_its_unit(recorded, dataset):
    assert tuple(dataset.data_vars) == recorded.keys()
    for key, channel in zip(recorded.keys(), recorded.channels, strict=True):
        np.testing.assert_array_equal(dataset[key].values, channel.data)
        assert dataset[key].attrs["units"] == channel.unit
        assert dataset[key].attrs["long_name"] == channel.title


def test_netcdf_axes_are_the_middles_of_the_pixels_in_metres(dataset):
    step = 300e-9 / 32
    np.testing.assert_allclose(dataset["x"].values, (np.arange(32) + 0.5) * step)
    assert dataset["x"].attrs["units"] == "m"


def test_netcdf_tells_settings_run_and_calibration(dataset):
    assert dataset.attrs["run_uid"] == "c0ffee"
    assert dataset.attrs["calibrated"] == 1
    assert (dataset.attrs["scan_rate"], dataset.attrs["scan_rate_units"]) == (3.0731, "Hz")


def test_netcdf_keeps_channels_of_two_sizes(tmp_path):
    import xarray

    channels = tuple(
        Channel("height", "Height", np.ones((lines, 4)), "m", 4e-6, lines * 1e-6)
        for lines in (3, 5)
    )
    both = ChannelFile(channels, True, {}, None, "test", {"mode": Setting("Tapping")})
    with xarray.open_dataset(write_netcdf(tmp_path / "two.nc", both), engine="h5netcdf") as found:
        assert found["height"].shape == (3, 4)
        assert found["height_2"].dims == ("y_2", "x_2")


@pytest.mark.parametrize("write", [write_gwy, write_netcdf])
def test_a_file_that_cannot_be_written_is_refused_in_a_line(write, recorded, tmp_path):
    with pytest.raises(ValueError, match="cannot be written") as caught:
        write(tmp_path / "no folder" / "all.file", recorded)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [write_gwy, write_netcdf])
def test_nothing_is_written_half(write, recorded, tmp_path, monkeypatch):
    import h5netcdf
    from gwyfile.objects import GwyObject

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GwyObject, "tofile", full)
    monkeypatch.setattr(h5netcdf.File, "close", full)
    path = tmp_path / "all.file"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="cannot be written"):
        write(path, recorded)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_gwy, write_netcdf])
def test_a_recording_without_channels_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="no channel"):
        write(tmp_path / "none.file", ChannelFile((), True, {}, None, "test"))
