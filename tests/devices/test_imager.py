"""The imager over the real wire: its images, their files and documents, and what they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from afm_bench import PERFECT, SAMPLES, AfmBench, Rubber, imaging_bench, quiet

from analysis.assets import AssetReader
from devices.wire import BusyError, RefusedError
from sim.peakforce import ForceProbe

QNM = (
    "height_sensor",
    "peak_force_error",
    "dmt_modulus",
    "log_dmt_modulus",
    "adhesion",
    "deformation",
    "dissipation",
    "height",
)
POISSON = 1 - 0.3**2  # from the effective modulus to that of the sample


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    with imaging_bench(tmp_path / "assets") as bench:
        yield bench


@pytest.fixture
def raw_bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench whose probe was never calibrated."""
    with imaging_bench(tmp_path / "assets", imaging=replace(PERFECT, calibrated=False)) as bench:
        yield bench


def take(bench: AfmBench, *also: Any) -> dict[str, np.ndarray]:
    """Take an image in a run and return its channels."""

    @bpp.stage_decorator([bench.afm.imager])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.trigger_and_read([bench.afm.imager, *also])

    bench.engine(plan())
    channels, _ = bench.afm.imager.last_image
    return dict(channels)


def dataset_of(bench: AfmBench, channel: str) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Read a channel of a run as a stranger would, with the attributes of dataset and entry."""
    key = f"afm_imager_{channel}"
    (resource,) = (d for d in bench.documents.of("stream_resource") if d["data_key"] == key)
    with h5py.File(unquote(urlparse(resource["uri"]).path), "r", swmr=True) as file:
        dataset = file[resource["parameters"]["dataset"]]
        assert isinstance(dataset, h5py.Dataset)
        return dataset[:], dict(dataset.attrs), dict(file["entry"].attrs)


def truth_of(bench: AfmBench) -> tuple[np.ndarray, np.ndarray]:
    """Where on the sample the pixels of the last image are."""
    return bench.simulated.imaging_truth.frame.positions()


def test_the_modulus_over_rubber_is_that_of_the_sample(bench: AfmBench) -> None:
    fine = {"peak_force_setpoint": 30.0, "sample_points": 1024}
    bench.afm.imager.settings.set(fine).wait(timeout=60)
    bench.engage("rubber")
    image = take(bench)
    x, _ = truth_of(bench)
    inside = x > 0.1e-6  # a tip's width from the edge
    assert image["dmt_modulus"][inside].mean() == pytest.approx(80e6 * POISSON, rel=0.03)


def test_the_height_is_that_of_the_sample(bench: AfmBench) -> None:
    bench.engage("rubber")
    image = take(bench)
    x, y = truth_of(bench)
    # within one polymer: the piezo is lower by the indentation, the same everywhere
    for inside in (x > 0.1e-6, x < -0.1e-6):
        difference = image["height"][inside] - Rubber().height(x, y)[inside]
        assert np.ptp(difference) < 0.5e-9


def test_row_0_is_the_first_line_at_the_lower_end_and_column_0_the_left(bench: AfmBench) -> None:
    bench.engage("rubber")
    image = take(bench)
    assert image["dmt_modulus"][:, 0].mean() > 10 * image["dmt_modulus"][:, -1].mean()
    _, y = truth_of(bench)
    assert y[0, 0] < y[-1, 0]


def test_the_chuck_and_the_scanners_offset_decide_what_is_under_the_frame(bench: AfmBench) -> None:
    bench.afm.chuck.place.set(("rubber", 3.0, -1.0)).wait(timeout=60)
    bench.afm.scanner.frame.set({"x_offset": -0.5, "y_offset": 0.25}).wait(timeout=60)
    bench.engage()
    take(bench)
    frame = bench.simulated.imaging_truth.frame
    np.testing.assert_allclose(frame.center, (2.5e-6, -0.75e-6), rtol=1e-9)
    assert frame.size == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        ("PeakForce QNM", QNM),
        ("ScanAsyst", ("height_sensor", "peak_force_error", "height")),
        ("Tapping", ("height", "amplitude_error", "phase")),
    ],
)
def test_the_mode_decides_the_channels(
    bench: AfmBench, mode: str, channels: tuple[str, ...]
) -> None:
    bench.engage("even", mode)
    image = take(bench)
    (descriptor,) = bench.documents.of("descriptor")
    external = {k for k, entry in descriptor["data_keys"].items() if "external" in entry}
    assert external == {f"afm_imager_{channel}" for channel in channels}
    assert bench.afm.imager.channels.get() == list(channels)
    assert {name: array.shape for name, array in image.items()} == dict.fromkeys(channels, (12, 16))


def test_count_makes_valid_documents_for_every_channel(bench: AfmBench) -> None:
    bench.engage("even")
    bench.engine(bp.count([bench.afm.imager], num=2))
    resources = {doc["data_key"]: doc for doc in bench.documents.of("stream_resource")}
    assert set(resources) == {f"afm_imager_{channel}" for channel in QNM}
    assert len({doc["uri"] for doc in resources.values()}) == 1
    data = bench.documents.of("stream_datum")
    assert sorted({datum["seq_nums"]["start"] for datum in data}) == [1, 2]
    (event, _) = bench.documents.of("event")
    assert list(event["data"]) == ["afm_imager_time", "afm_imager_feedback_error"]


def test_the_reader_of_analysis_finds_the_channels(bench: AfmBench) -> None:
    bench.engage("even")
    bench.engine(bp.count([bench.afm.imager]))
    reader = AssetReader()
    for doc in bench.documents.of("stream_resource"):
        reader.stream_resource(doc)
    for doc in bench.documents.of("stream_datum"):
        reader.stream_datum(doc)
    channels, _ = bench.afm.imager.last_image
    found = reader.frame("afm_imager_adhesion", 1)
    np.testing.assert_array_equal(found, channels["adhesion"])


@pytest.mark.slow  # tiled takes seconds to import
def test_the_catalogs_reader_finds_the_channels(bench: AfmBench) -> None:
    bench.engage("even")
    bench.engine(bp.count([bench.afm.imager], num=2))
    from bluesky_tiled_plugins.writing.consolidators import HDF5Consolidator

    (descriptor,) = bench.documents.of("descriptor")
    for resource in bench.documents.of("stream_resource"):
        consolidator = HDF5Consolidator(resource, descriptor)
        for datum in bench.documents.of("stream_datum"):
            if datum["stream_resource"] == resource["uid"]:
                consolidator.consume_stream_datum(datum)
        read = np.asarray(consolidator.init_adapter().read())
        assert (read.shape, read.dtype) == ((2, 12, 16), np.float32)


def test_the_file_alone_tells_what_it_shows(bench: AfmBench) -> None:
    bench.engage("rubber")
    image = take(bench)
    data, attributes, entry = dataset_of(bench, "deformation")
    assert (data.dtype, data.shape) == (np.float32, (1, 12, 16))
    np.testing.assert_array_equal(data[0], image["deformation"])
    assert attributes["units"] == "m"
    assert attributes["long_name"] == "Deformation"
    assert bool(attributes["calibrated"]) is True
    assert attributes["scan_size_m"] == pytest.approx(2e-6)
    np.testing.assert_allclose(attributes["pixel_size_m"], (2e-6 / 12, 2e-6 / 16))
    assert entry["mode"] == "PeakForce QNM"
    assert entry["sample"] == "rubber"
    assert entry["probe_serial"] == "RTESPA-150-30-0001"
    assert entry["peak_force_setpoint_N"] == pytest.approx(10e-9)


def test_units_are_si_under_a_calibrated_probe(bench: AfmBench) -> None:
    described = bench.afm.imager.describe()
    units = {channel: described[f"afm_imager_{channel}"]["units"] for channel in QNM}
    assert units == dict(zip(QNM, ("m", "N", "Pa", "1", "N", "m", "J", "m"), strict=True))


def test_an_uncalibrated_probe_gives_volts_in_documents_and_file(raw_bench: AfmBench) -> None:
    raw_bench.engage("even")
    take(raw_bench)
    (descriptor,) = raw_bench.documents.of("descriptor")
    units = {channel: descriptor["data_keys"][f"afm_imager_{channel}"]["units"] for channel in QNM}
    expected = ("m", "V", "V m^-2", "1", "V", "V", "V m", "m")
    assert units == dict(zip(QNM, expected, strict=True))
    for channel in QNM:
        _, attributes, _ = dataset_of(raw_bench, channel)
        assert attributes["units"] == units[channel]
        assert bool(attributes["calibrated"]) is False


def test_volts_are_newtons_over_stiffness_and_sensitivity(
    bench: AfmBench, raw_bench: AfmBench
) -> None:
    for each in (bench, raw_bench):
        each.engage("rubber")
    newtons, volts = take(bench)["adhesion"], take(raw_bench)["adhesion"]
    np.testing.assert_allclose(volts, newtons / (5.0 * 60e-9), rtol=1e-4)


def test_configuration_speaks_the_vocabulary_of_the_instruments_files(bench: AfmBench) -> None:
    bench.engage("even")
    take(bench)
    (descriptor,) = bench.documents.of("descriptor")
    configuration = descriptor["configuration"]["afm_imager"]["data"]
    assert configuration == {
        "afm_imager_mode": "PeakForce QNM",
        "afm_imager_channels": list(QNM),
        "afm_imager_peak_force_setpoint": 10.0,
        "afm_imager_pft_frequency": 2000.0,
        "afm_imager_peak_force_amplitude": 150.0,
        "afm_imager_sample_points": 256,
        "afm_imager_peak_force_engage_setpoint": 0.15,
        "afm_imager_min_force_fit_boundary": 20.0,
        "afm_imager_max_force_fit_boundary": 80.0,
        "afm_imager_deformation_fit_region": 0.85,
        "afm_imager_sample_poissons_ratio": 0.3,
        "afm_imager_tip_half_angle": pytest.approx(17.99, abs=0.01),
        "afm_imager_include_adhesion_force": 1,
        "afm_imager_target_amplitude": 50.0,
        "afm_imager_amplitude_setpoint": 70.0,
    }


def test_frame_sample_and_probe_are_recorded_with_an_image(bench: AfmBench) -> None:
    bench.engage("even")
    take(bench, bench.afm.chuck, bench.afm.scanner, bench.afm.probe)
    (descriptor,), (event,) = (bench.documents.of(kind) for kind in ("descriptor", "event"))
    scanner = descriptor["configuration"]["afm_scanner"]["data"]
    assert scanner["afm_scanner_scan_size"] == 2.0
    assert scanner["afm_scanner_samples_per_line"] == 16
    probe = descriptor["configuration"]["afm_probe"]["data"]
    assert probe["afm_probe_serial"] == "RTESPA-150-30-0001"
    assert probe["afm_probe_calibrated"] == 1
    assert event["data"]["afm_chuck_sample"] == "even"
    assert event["data"]["afm_probe_tip_frame_count"] == 1
    # 12 lines of 2 µm, there and back
    assert event["data"]["afm_probe_tip_scanned_distance"] == pytest.approx(48.0)


def test_reading_and_describing_agree_and_take_one_request(bench: AfmBench) -> None:
    imager = bench.afm.imager
    bench.client.sent.clear()
    described = [key for key, entry in imager.describe().items() if "external" not in entry]
    assert bench.client.sent == {"imager.read": 1}
    assert list(imager.read()) == described
    assert list(imager.read_configuration()) == list(imager.describe_configuration())


def test_the_time_of_an_image_is_its_middle_on_the_instruments_clock(bench: AfmBench) -> None:
    bench.engage("even")
    before = bench.simulated.head.read().time
    take(bench)
    after = bench.simulated.head.read().time
    middle = bench.afm.imager.time.get()
    assert before + 6.0 <= middle <= after - 6.0  # 12 lines of a second


def test_the_feedback_error_is_that_of_the_last_lines(tmp_path: Path) -> None:
    noisy = replace(PERFECT, probe=ForceProbe(force_noise=0.5e-9))
    with imaging_bench(tmp_path / "assets", imaging=noisy) as bench:
        bench.engage("even")
        error = take(bench)["peak_force_error"][-8:]
        expected = 1e9 * float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
        assert bench.afm.imager.feedback_error.get() == pytest.approx(expected, rel=1e-6)
        assert bench.afm.imager.describe()["afm_imager_feedback_error"]["units"] == "nN"


def test_the_feedback_error_of_tapping_is_an_amplitude(bench: AfmBench) -> None:
    bench.engage("rubber")
    take(bench)
    bench.afm.withdraw()
    bench.engage("rubber", "Tapping")
    assert bench.afm.imager.feedback_error.get() == 0.0  # that of the last image was a force
    assert bench.afm.imager.describe()["afm_imager_feedback_error"]["units"] == "nm"


def test_settings_stay_while_a_run_writes_images(bench: AfmBench) -> None:
    afm = bench.afm
    bench.engage("even")

    @bpp.stage_decorator([afm.imager])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.trigger_and_read([afm.imager])
        for signal, value in (
            (afm.imager.peak_force_setpoint, 20.0),
            (afm.scanner.lines, 20),
            (afm.chuck.sample, "rubber"),
            (afm.probe.calibrated, 0),
        ):
            with pytest.raises(BusyError, match=f"{signal.name} cannot change while a run"):
                signal.set(value)
        yield from bps.null()

    bench.engine(plan())


def test_an_imager_that_is_not_staged_says_what_to_do(bench: AfmBench) -> None:
    bench.engage("even")
    with pytest.raises(RefusedError, match=r"RE\(count\(\[afm.imager\]\)\)"):
        bench.afm.imager.trigger()


def test_the_same_seed_gives_the_same_image_whatever_the_clock(tmp_path: Path) -> None:
    images = []
    for rate in (500.0, 1000.0):
        noisy = replace(PERFECT, probe=None, nuisances=True)
        with imaging_bench(tmp_path / str(rate), rate=rate, imaging=noisy) as bench:
            bench.engage("rubber")
            images.append(take(bench))
    for name in QNM:
        np.testing.assert_array_equal(images[0][name], images[1][name])


def test_drift_carries_the_sample_away_under_the_frame(tmp_path: Path) -> None:
    drifting = quiet(drift=(1e-9, 0.0, 0.0))
    with imaging_bench(tmp_path / "assets", parameters=drifting, samples=SAMPLES) as bench:
        bench.engage("rubber")
        take(bench)
        x, _ = truth_of(bench)
        # 11 lines of a second at 1 nm/s
        assert x[-1, 0] - x[0, 0] == pytest.approx(-11e-9, rel=1e-6)
