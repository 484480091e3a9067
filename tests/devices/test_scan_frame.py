"""Frames and imaging settings as such: what they are together, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.image_channels import CHANNELS, MODES, channels_of
from devices.imaging_settings import (
    ImagingLimits,
    ImagingSettings,
    check_curves,
    check_settings,
)
from devices.scan_frame import FrameLimits, ScanFrame, check_frame
from devices.wire import LimitError
from sim.peakforce import Frame

RANGES = FrameLimits().ranges({"x": (-10e-6, 10e-6), "y": (-10e-6, 10e-6)})


def test_an_image_takes_its_lines_over_the_rate() -> None:
    assert ScanFrame(lines=256, scan_rate=1.5).duration == pytest.approx(256 / 1.5)


def test_the_tip_goes_there_and_back_in_a_line() -> None:
    # 4 µm at 1 Hz: 8 µm/s, as the instrument itself states it
    assert ScanFrame(scan_size=4e-6, scan_rate=1.0).tip_velocity == pytest.approx(8e-6)
    assert ScanFrame(scan_size=4e-6).scanned_distance(256) == pytest.approx(2.048e-3)


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(-math.pi, math.pi),
    st.sampled_from([1.0, 2.0, 4.0]),
)
def test_a_place_in_the_frame_is_where_the_simulator_has_that_pixel(
    along: float, up: float, angle: float, aspect: float
) -> None:
    frame = ScanFrame(3e-6, aspect, 1.0, 101, 101, angle, 1e-6, -2e-6)
    x, y = Frame((1e-6, -2e-6), 3e-6, aspect, 101, 101, angle).positions()
    row, column = round(up * 100), round(along * 100)
    place = frame.place((column + 0.5) / 101, (row + 0.5) / 101)
    np.testing.assert_allclose(place, (x[row, column], y[row, column]), atol=1e-15)


def test_the_largest_frame_fits_exactly() -> None:
    check_frame(ScanFrame(scan_size=20e-6), RANGES)


def test_a_frame_of_another_aspect_is_less_high() -> None:
    check_frame(ScanFrame(scan_size=10e-6, aspect_ratio=2.0, y_offset=7.5e-6), RANGES)
    with pytest.raises(LimitError, match=r"from 2\.5 to 12\.5 µm along y"):
        check_frame(ScanFrame(scan_size=10e-6, y_offset=7.5e-6), RANGES)


@pytest.mark.parametrize(
    "changes",
    [{"lines": 2.5}, {"lines": True}, {"scan_size": "wide"}, {"scan_rate": math.inf}],
)
def test_what_is_no_number_is_no_frame(changes: dict[str, object]) -> None:
    with pytest.raises(LimitError, match=r"is not allowed: a (whole|finite) number"):
        replace(ScanFrame(), **changes)  # pyright: ignore[reportArgumentType]


def test_a_frame_comes_back_from_the_wire() -> None:
    frame = ScanFrame(2.5e-6, 2.0, 1.5, 256, 512, 0.1, 1e-6, -1e-6)
    assert ScanFrame.from_wire({**frame.to_wire(), "time": 1.0}) == frame


def test_settings_come_back_from_the_wire() -> None:
    settings = ImagingSettings("Tapping", sample_points=64, include_adhesion_force=False)
    assert ImagingSettings.from_wire({**settings.to_wire(), "time": 1.0}) == settings


def test_a_pixel_needs_one_force_curve() -> None:
    # 2 kHz: 1000 curves in the half second of a trace at 1 Hz
    check_curves(ImagingSettings(), ScanFrame(samples_per_line=1000, scan_rate=1.0))
    with pytest.raises(LimitError, match="force curves a pixel"):
        check_curves(ImagingSettings(), ScanFrame(samples_per_line=1001, scan_rate=1.0))


def test_the_defaults_are_allowed() -> None:
    check_settings(ImagingSettings(), ImagingLimits())
    check_frame(ScanFrame(), RANGES)


def test_every_channel_of_every_mode_is_known() -> None:
    for mode in MODES:
        assert all(CHANNELS[channel.name] is channel for channel in channels_of(mode))


def test_no_uncalibrated_channel_claims_a_force() -> None:
    units = {channel.unit_of(calibrated=False) for channel in CHANNELS.values()}
    assert not units & {"N", "Pa", "J", "nN", "MPa"}
