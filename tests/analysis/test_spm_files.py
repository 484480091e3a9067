"""Files of atomic force microscopes, against Gwyddion's conversion of the same files."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analysis.recorded import bruker
from analysis.recorded.asylum import read_ibw
from analysis.recorded.bruker import read_spm
from analysis.recorded.channels import channel_name, read_channels

pytestmark = pytest.mark.skipif(find_spec("pySPM") is None, reason="pySPM needs Python below 3.13")
DATA = Path(__file__).parents[1] / "data" / "afm"
GWYDDION = json.loads((DATA / "gwyddion.json").read_text())
QNM = DATA / "pfqnm_calibrated.spm"
UNCALIBRATED = DATA / "pfqnm_uncalibrated.spm"
REAL = ("bruker_di-1.spm", "bruker_di-3.spm", "bruker_di-5.spm", "asylum_spot_1-1000nm.ibw")
CHANNELS = [(file, number) for file, found in GWYDDION.items() for number in range(len(found))]
RELATIVE = 1e-12

# What Gwyddion 2.62 says is V here: it drops the "m" of the header's mV, and has no J and no Arb.
GWYDDION_TO_SI = {
    ("bruker_di-1.spm", "AmplitudeError"): 1e-3,
    ("bruker_di-3.spm", "AmplitudeError"): 1e-3,
    ("pfqnm_calibrated.spm", "Dissipation"): 1.602176634e-19,
}


@pytest.fixture(scope="module")
def files():
    return {name: read_channels(DATA / name) for name in GWYDDION}


@pytest.mark.parametrize(("name", "number"), CHANNELS)
def test_a_channel_is_what_gwyddion_makes_of_it(files, name, number):
    channel, gwyddion = files[name].channels[number], GWYDDION[name][number]
    factor = GWYDDION_TO_SI.get((name, gwyddion["title"]), 1.0)
    own = channel.data[gwyddion["rows"], gwyddion["columns"]]
    np.testing.assert_allclose(own, factor * np.array(gwyddion["values"]), rtol=RELATIVE)
    assert [channel.data.min(), channel.data.max()] == pytest.approx(
        [factor * gwyddion["least"], factor * gwyddion["greatest"]], rel=RELATIVE, abs=0.0
    )
    rms = np.sqrt(np.mean(channel.data**2))
    assert rms == pytest.approx(factor * gwyddion["root_mean_square"], rel=RELATIVE, abs=0.0)


@pytest.mark.parametrize(("name", "number"), CHANNELS)
def test_an_image_has_the_sides_that_gwyddion_gives_it(files, name, number):
    channel, gwyddion = files[name].channels[number], GWYDDION[name][number]
    assert list(channel.data.shape) == gwyddion["shape"]
    assert (channel.x_size, channel.y_size) == pytest.approx(
        (gwyddion["x_size"], gwyddion["y_size"]), rel=RELATIVE
    )


@pytest.mark.parametrize("name", REAL)
def test_all_channels_of_a_real_file_are_there(files, name):
    assert len(files[name].channels) == len(GWYDDION[name])


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("bruker_di-1.spm", ["m", "m", "deg", "V"]),
        ("bruker_di-3.spm", ["m", "V", "deg", "m"]),
        ("bruker_di-5.spm", ["m", "V"]),
        ("tapping_calibrated.spm", ["m", "m", "deg", "m"]),
        ("pfqnm_calibrated.spm", ["m", "N", "Pa", "1", "N", "m", "J", "m"]),
        ("pfqnm_uncalibrated.spm", ["m", "V", "Arb", "1", "V", "V", "Arb", "m"]),
        ("asylum_spot_1-1000nm.ibw", ["m", "m", "m", "m", "deg", "deg", "V", "V"]),
    ],
)
def test_each_channel_has_its_unit(files, name, units):
    assert [channel.unit for channel in files[name].channels] == units


def test_the_millivolts_of_an_amplitude_error_are_millivolts(files):
    raw = np.fromfile(DATA / "bruker_di-1.spm", "<i2", 512 * 512, offset=1613824)
    told = 1e-3 * 0.06103516  # V a step; the range over 65535, which all readers take by 65536
    own = files["bruker_di-1.spm"].channel("amplitude_error").data
    np.testing.assert_allclose(own.ravel(), told * raw, rtol=2e-5)


def test_names_are_those_of_the_instruments_own_set(files):
    assert files[QNM.name].keys() == (
        "height_sensor",
        "peak_force_error",
        "dmt_modulus",
        "log_dmt_modulus",
        "adhesion",
        "deformation",
        "dissipation",
        "height",
    )


def test_two_channels_of_one_name_are_both_there(files):
    file = files["bruker_di-1.spm"]
    assert [channel.title for channel in file.channels][:2] == ["Height", "Height"]
    assert file.keys() == ("height", "height_retrace", "phase", "amplitude_error")
    assert file.channels[1].interleaved
    assert not file.channels[0].interleaved


def test_directions_are_told(files):
    found = [channel.direction for channel in files["bruker_di-3.spm"].channels]
    assert found == ["trace", "retrace", "retrace", "retrace"]


@pytest.mark.parametrize(
    ("name", "calibrated"),
    [("bruker_di-3.spm", True), ("bruker_di-5.spm", False), (QNM.name, True)],
)
def test_a_file_tells_whether_its_deflection_was_calibrated(files, name, calibrated):
    assert files[name].calibrated is calibrated


def test_a_sensitivity_in_newtons_is_of_no_use_without_one_of_the_deflection(tmp_path):
    content = QNM.read_bytes()
    bare = content.replace(b"@Sens. DeflSens: V 66.52150 nm/V", b"@Sens. DeflSens: V 1.000000     ")
    (tmp_path / "bare.spm").write_bytes(bare)
    found = read_spm(tmp_path / "bare.spm")
    assert not found.calibrated
    assert not {channel.unit for channel in found.channels} & {"N", "Pa", "J"}


def test_a_setpoint_is_a_force_only_where_the_deflection_was_calibrated(files):
    assert files[QNM.name].settings["peak_force_setpoint"].unit == "nN"
    assert files["bruker_di-5.spm"].settings["peak_force_setpoint"].unit == "V"


def test_settings_have_the_names_and_units_of_the_devices(files):
    told = files["bruker_di-5.spm"].settings
    expected = {
        "mode": ("ScanAsyst", ""),
        "pft_frequency": (2000.0, "Hz"),
        "peak_force_amplitude": (150.0, "nm"),
        "sample_points": (256, ""),
        "min_force_fit_boundary": (20.0, "%"),
        "include_adhesion_force": (1, ""),
        "scan_size": (1.0, "µm"),
        "scan_rate": (0.996492, "Hz"),
        "serial": ("A6", ""),
        "tip_frame_count": (2, ""),
        "captured_automatically": (0, ""),
    }
    assert {name: (told[name].value, told[name].unit) for name in expected} == expected


def test_the_time_of_a_file_is_the_clock_of_its_instrument(files):
    import datetime

    told = datetime.datetime.fromtimestamp(files["bruker_di-1.spm"].time)
    assert told == datetime.datetime(2016, 1, 12, 9, 57, 48)


def test_an_image_that_was_ended_early_is_as_high_as_its_lines(tmp_path):
    scan, *images = (DATA / "bruker_di-5.spm").read_bytes().partition(b"\\*Ciao image list")
    half = b"".join(images).replace(b"Number of lines: 512", b"Number of lines: 256")
    half = half.replace(b"Data length: 1048576", b"Data length: 524288 ")
    half = scan + half.replace(b"Aspect Ratio: 1:1", b"Aspect Ratio: 0.5")
    (tmp_path / "half.spm").write_bytes(half)
    channel = read_spm(tmp_path / "half.spm").channels[0]
    assert channel.data.shape == (256, 512)
    assert channel.y_size == pytest.approx(0.5 * channel.x_size)


@pytest.mark.parametrize("name", ["bruker_di-1.spm", "bruker_di-3.spm", "bruker_di-5.spm"])
def test_without_pyspm_surfacetopography_reads_the_same_heights(files, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pySPM", None)
    found = read_spm(DATA / name)
    whole = [channel for channel in files[name].channels if channel.unit == "m"]
    assert [channel.title for channel in found.channels] == [channel.title for channel in whole]
    for own, expected in zip(found.channels, whole, strict=True):
        np.testing.assert_allclose(own.data, expected.data, rtol=RELATIVE)
        assert (own.x_size, own.y_size) == (expected.x_size, expected.y_size)
    assert len(found.channels) + len(found.left_out) == len(files[name].channels)


def test_without_any_reader_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pySPM", None)
    monkeypatch.setitem(sys.modules, "SurfaceTopography", None)
    monkeypatch.setitem(sys.modules, "SurfaceTopography.Exceptions", None)
    with pytest.raises(ValueError, match=r"pip install 'twinscope\[afm-files\]'"):
        read_spm(QNM)


def test_without_igor2_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "igor2", None)
    with pytest.raises(ValueError, match=r"pip install 'twinscope\[afm-files\]'"):
        read_ibw(DATA / "asylum_spot_1-1000nm.ibw")


@pytest.mark.parametrize(
    ("title", "name"),
    [("DMTModulus", "dmt_modulus"), ("Height Sensor", "height_sensor"), ("Öl %", "öl")],
)
def test_titles_become_names(title, name):
    assert channel_name(title) == name


def test_a_missing_channel_is_told_with_those_that_are_there(files):
    with pytest.raises(ValueError, match=r"no channel 'adhesion' .* height_sensor, peak_force"):
        files["bruker_di-5.spm"].channel("adhesion")


def test_a_header_without_pixels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cut off in channel 'Height Sensor'") as caught:
        read_spm(DATA / "pfqnm_header_only_v9.70.hdr")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"missing\.spm cannot be read: No such file"):
        read_channels("missing.spm")


@pytest.mark.parametrize("content", [b"", b"MZ\x90", b"?*File list\r\n", b"\\*Force file list\r\n"])
def test_what_begins_otherwise_is_refused(tmp_path, content):
    (tmp_path / "other.spm").write_bytes(content)
    for read in (read_spm, read_channels):
        with pytest.raises(ValueError, match=r"other\.spm") as caught:
            read(tmp_path / "other.spm")
        assert "\n" not in str(caught.value)


def is_read_or_refused(path):
    """Whether a file is read, or refused in one line that names it."""
    try:
        return len(read_channels(path).channels) > 0
    except ValueError as error:
        return path.name in str(error) and "\n" not in str(error)


HYPOTHESIS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@HYPOTHESIS
@given(length=st.integers(0, len(UNCALIBRATED.read_bytes()) - 1))
@example(length=43000)
def test_a_file_cut_off_anywhere_is_refused(tmp_path, length):
    path = tmp_path / "cut.spm"
    path.write_bytes(UNCALIBRATED.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"cut\.spm") as caught:
        read_channels(path)
    assert "\n" not in str(caught.value)


@HYPOTHESIS
@given(
    key=st.sampled_from(
        [
            b"Data offset",
            b"Data length",
            b"Bytes/pixel",
            b"Samps/line",
            b"Number of lines",
            b"Scan Size",
            b"Aspect Ratio",
            b"@2:Z scale",
            b"@2:Image Data",
            b"@Sens. Zsens",
            b"@Sens. DeflSens",
            b"Date",
            b"Tip Frame Count",
        ]
    ),
    value=st.one_of(
        st.text(st.characters(codec="latin1", exclude_characters="\r\n"), max_size=30),
        st.integers(-(10**30), 10**30).map(str),
        st.sampled_from(["1e999 nm", "0 0 nm", "V [Sens. X] (1 V/LSB) 1e999 V", "-1", "V ()"]),
    ),
)
def test_a_header_with_anything_in_a_line_is_read_or_refused(tmp_path, key, value):
    before, _, after = UNCALIBRATED.read_bytes().partition(b"\\" + key + b": ")
    end = after.index(b"\r\n")
    path = tmp_path / "garbled.spm"
    path.write_bytes(before + b"\\" + key + b": " + value.encode("latin1") + after[end:])
    assert is_read_or_refused(path)


@HYPOTHESIS
@given(place=st.integers(0, 43000), content=st.binary(min_size=1, max_size=40))
def test_a_header_with_anything_anywhere_is_read_or_refused(tmp_path, place, content):
    whole = UNCALIBRATED.read_bytes()
    path = tmp_path / "garbled.spm"
    path.write_bytes(whole[:place] + content + whole[place + len(content) :])
    assert is_read_or_refused(path)


@pytest.fixture(scope="module")
def wave():
    return (DATA / "asylum_spot_1-1000nm.ibw").read_bytes()


@settings(HYPOTHESIS, max_examples=40)
@given(data=st.data())
def test_a_wave_cut_off_anywhere_is_read_or_refused(tmp_path, wave, data):
    path = tmp_path / "cut.ibw"
    path.write_bytes(wave[: data.draw(st.integers(0, len(wave) - 1))])
    assert is_read_or_refused(path)


@settings(HYPOTHESIS, max_examples=60)
@given(place=st.integers(0, 400), content=st.binary(min_size=1, max_size=40))
def test_a_wave_with_anything_in_its_header_is_read_or_refused(tmp_path, wave, place, content):
    path = tmp_path / "garbled.ibw"
    path.write_bytes(wave[:place] + content + wave[place + len(content) :])
    assert is_read_or_refused(path)


@pytest.mark.parametrize("lines", [b"\\Key: value\r\n" * 200_000, b"\\*File list end\r\\K: v\r"])
def test_the_search_for_the_end_of_a_header_has_an_end(tmp_path, lines):
    path = tmp_path / "endless.spm"
    path.write_bytes(b"\\*File list\r\n" + lines)
    with pytest.raises(ValueError, match="ends within its header"):
        bruker.read_spm(path)
