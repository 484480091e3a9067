"""Frames from HDF5 files that are finished, growing, missing or wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from analysis.assets import AssetError, AssetReader, FrameNotReady, path_of_uri


def reader_of(path, frames=3, indices=None, **changes):
    reader = AssetReader()
    reader.stream_datum(
        {
            "stream_resource": "r",
            "seq_nums": {"start": 1, "stop": 1 + frames},
            "indices": {"start": 0, "stop": frames if indices is None else indices},
        }
    )
    reader.stream_resource(
        {
            "uid": "r",
            "data_key": "image",
            "mimetype": "application/x-hdf5",
            "uri": f"file://localhost{path}",
            "parameters": {"dataset": "/entry/data"},
            **changes,
        }
    )
    return reader


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    return path


def test_frame_of_an_event_is_the_one_its_datum_names(stack):
    np.testing.assert_array_equal(
        reader_of(stack).frame("image", 2), np.arange(20, 40).reshape(4, 5)
    )


def test_percent_signs_in_the_uri_are_decoded():
    assert path_of_uri("file://localhost/data/run%20%C2%B5m.h5") == Path("/data/run µm.h5")


def test_file_that_is_still_written_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "growing.h5"
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset(
            "entry/data", (0, 4, 5), np.uint16, maxshape=(None, 4, 5), chunks=(1, 4, 5)
        )
        file.swmr_mode = True
        reader = reader_of(path)
        for index in range(2):
            with pytest.raises(FrameNotReady, match=f"holds {index} frames"):
                reader.frame("image", index + 1)
            data.resize(index + 1, axis=0)
            data[index] = index + 1
            data.flush()
            assert (reader.frame("image", index + 1) == index + 1).all()


def test_missing_file_may_still_come(tmp_path):
    with pytest.raises(FrameNotReady, match=r"nowhere\.h5 does not exist"):
        reader_of(tmp_path / "nowhere.h5").frame("image", 1)


def test_file_that_is_no_hdf5_is_named(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("no frames here")
    with pytest.raises(AssetError, match=r"cannot read .*text\.h5"):
        reader_of(path).frame("image", 1)


def test_event_without_datum_has_no_frame_yet(stack):
    with pytest.raises(FrameNotReady, match="event 9"):
        reader_of(stack).frame("image", 9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uri": "https://elsewhere/frames.h5"}, "only file://localhost"),
        ({"mimetype": "image/tiff"}, "must be application/x-hdf5"),
        ({"indices": 6}, "must hold one an event"),
    ],
)
def test_assets_that_will_never_be_readable_are_errors(stack, options, words):
    with pytest.raises(AssetError, match=words) as caught:
        reader_of(stack, **options).frame("image", 1)
    assert not isinstance(caught.value, FrameNotReady)
