"""Spectra of a run become forces and maps, as analysis documents that anybody can read back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import event_model
import h5py
import numpy as np
import pytest

from analysis.intermodulation.results import result_from_documents
from analysis.live import IntermodulationAnalysis
from analysis.replay import replay

# A fit takes seconds of a processor, compiling for the first time some more.
pytestmark = pytest.mark.timeout(300)

DATA = Path(__file__).parents[1] / "data" / "imafm" / "case1_g3_0.npz"
NOISE = 1.4e-12  # m a quadrature: 100 fm/rtHz and one period of 5 ms
PIXELS = 6
HEIGHT = 17e-9
FIELDS = {
    "spectra": "afm_lockin_spectra",
    "z": "afm_lockin_z",
    "lifted": "afm_head_lifted",
    "height": "afm_approach_height_nm",
    "comb": {"tones": "afm_lockin_tones", "axes": "afm_lockin_axes", "df": "afm_lockin_df"},
    "probe": {
        "resonance_frequency": "afm_probe_resonance_frequency",
        "quality_factor": "afm_probe_quality_factor",
        "spring_constant": "afm_probe_spring_constant",
        "mode_axis": "afm_probe_mode_axis",
        "radius": "afm_probe_radius",
    },
}
PROBE = {
    "afm_probe_resonance_frequency": [300.1e3, 1890.1e3],
    "afm_probe_quality_factor": [400.0, 1200.0],
    "afm_probe_spring_constant": [40.0, 2000.0],
    "afm_probe_mode_axis": [0, 0],
    "afm_probe_radius": 10.0,
}


def tones():
    data = np.load(DATA)
    band = slice(20, 44)
    numbers = np.concatenate([data["n1"][band], data["n2"][band]])
    free = np.concatenate([data["Z1_free"][band], data["Z2_free"][band]])
    engaged = np.concatenate([data["Z1"][band], data["Z2"][band]])
    return numbers, 1e-9 * free, 1e-9 * engaged


class Spectra:
    """Writes the documents and the HDF5 file of a run of spectra."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "spectra.h5"

    def documents(self, states, *, noise=NOISE, rows=0):
        """Make a run whose events are free or engaged as `states` (1 is lifted) says."""
        numbers, free, engaged = tones()
        rng = np.random.default_rng(1)
        shape = (len(states), PIXELS, numbers.size)
        scatter = noise * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
        clean = np.array([free if lifted else engaged for lifted in states])
        with h5py.File(self._path, "w") as file:
            file["entry/spectra"] = clean[:, None, :] + scatter
            file["entry/z"] = np.full(shape[:2], HEIGHT)
        metadata = {"purpose": "raw", "fields": FIELDS, "num_points": len(states)}
        if rows:
            metadata["shape"] = [rows, PIXELS]
        run = event_model.compose_run(metadata=metadata)
        documents = [("start", dict(run.start_doc))]
        keys = {
            "afm_lockin_spectra": (PIXELS, numbers.size),
            "afm_lockin_z": (PIXELS,),
        }
        data_keys = {
            key: {"source": "s", "dtype": "array", "shape": list(size), "external": "STREAM:"}
            for key, size in keys.items()
        }
        data_keys["afm_head_lifted"] = {"source": "s", "dtype": "integer", "shape": []}
        configuration = {
            "afm_lockin_tones": numbers.tolist(),
            "afm_lockin_axes": [0] * numbers.size,
            "afm_lockin_df": 200.0,
            **PROBE,
        }
        bundle = run.compose_descriptor(
            "primary",
            data_keys,
            configuration={"afm": {"data": configuration, "timestamps": {}, "data_keys": {}}},
        )
        documents.append(("descriptor", dict(bundle.descriptor_doc)))
        resources = []
        for key, dataset in (("afm_lockin_spectra", "spectra"), ("afm_lockin_z", "z")):
            resource = event_model.compose_stream_resource(
                mimetype="application/x-hdf5",
                uri="file://localhost" + quote(self._path.as_posix()),
                data_key=key,
                parameters={"dataset": f"/entry/{dataset}"},
            )
            documents.append(("stream_resource", dict(resource.stream_resource_doc)))
            resources.append(resource)
        for index, lifted in enumerate(states):
            for resource in resources:
                datum = resource.compose_stream_datum(
                    indices={"start": index, "stop": index + 1},
                    seq_nums={"start": index + 1, "stop": index + 2},
                    descriptor=bundle.descriptor_doc,
                )
                documents.append(("stream_datum", dict(datum)))
            event = bundle.compose_event(
                data={"afm_head_lifted": lifted}, timestamps={"afm_head_lifted": 0.0}
            )
            documents.append(("event", dict(event)))
        documents.append(("stop", dict(run.compose_stop())))
        return documents


@pytest.fixture
def spectra(tmp_path):
    return Spectra(tmp_path)


def analysed(documents):
    found = []
    router = IntermodulationAnalysis(lambda name, doc: found.append((name, doc)))
    replay(documents, router)
    router.close()
    return found


def stop_of(documents):
    (stop,) = [doc for name, doc in documents if name == "stop"]
    return stop


def true_force(z):
    d = HEIGHT + z
    near = -7.1e-20 * 10e-9 / 6.0 / np.maximum(d, 0.3e-9) ** 2
    return near + 4.0 / 3.0 * 1e9 * np.sqrt(10e-9) * np.maximum(0.3e-9 - d, 0.0) ** 1.5


@pytest.fixture(scope="module")
def raw_point(tmp_path_factory):
    return Spectra(tmp_path_factory.mktemp("point")).documents([1, 0])


@pytest.fixture(scope="module")
def point(raw_point):
    return analysed(raw_point)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    raw = Spectra(tmp_path_factory.mktemp("map")).documents([1, 0, 0, 1], rows=2)
    return result_from_documents(analysed(raw))


def test_every_document_obeys_the_event_model(point):
    for name, doc in point:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_the_free_spectrum_is_the_mean_of_its_pixels(point):
    numbers, free, _ = tones()
    found = result_from_documents(point).spectra[0]
    assert found.lifted
    assert np.abs(found.tones - free).max() < 5.0 * NOISE / np.sqrt(PIXELS)
    np.testing.assert_array_equal(result_from_documents(point).tones, numbers)


def test_the_noise_is_what_free_pixels_scatter_by(point):
    found = result_from_documents(point).spectra[0].noise
    assert np.median(found) * np.sqrt(PIXELS) == pytest.approx(NOISE, rel=0.1)


def test_the_force_curve_is_that_of_the_tip_and_the_surface(point):
    (found,) = result_from_documents(point).curves
    curve = found.curve
    error = curve.conservative - true_force(curve.z)
    assert np.sqrt(np.mean(error**2) / np.mean(true_force(curve.z) ** 2)) < 0.06
    assert curve.bands is not None


def test_the_result_makes_the_measurement_again(point):
    _, free, engaged = tones()
    measured = result_from_documents(point).measurement()
    assert np.abs(measured.engaged - engaged).max() < 5.0 * NOISE
    assert measured.df == 200.0
    assert measured.modes[1].frequency == 1890.1e3
    assert np.abs(measured.free - free).max() < 5.0 * NOISE


def test_the_same_run_gives_the_same_numbers(raw_point, point):
    first, again = (
        [doc["data"] for name, doc in documents if name == "event"]
        for documents in (point, analysed(raw_point))
    )
    np.testing.assert_equal(first, again)


def test_an_engaged_spectrum_without_a_free_one_is_refused_in_one_line(spectra):
    found = analysed(spectra.documents([0, 1]))
    assert stop_of(found)["exit_status"] == "fail"
    assert "no free spectrum was taken before it" in stop_of(found)["reason"]


def test_a_map_has_a_row_of_pixels_for_each_line(mapped):
    assert mapped.maps["modulus"].shape == (2, PIXELS)
    assert np.nanmedian(mapped.maps["modulus"]) == pytest.approx(1e9, rel=0.1)
    assert np.nanmedian(mapped.maps["adhesion"]) == pytest.approx(1.3e-9, rel=0.4)


def test_a_line_of_a_map_gives_the_curve_of_its_middle_pixel(mapped):
    assert [found.pixel for found in mapped.curves] == [PIXELS // 2]


def test_the_surface_lies_the_height_of_the_tip_below_the_head(mapped):
    np.testing.assert_allclose(mapped.maps["topography"], 0.0, atol=1e-9)


def test_a_run_of_images_is_left_to_others():
    fields = {"image": "camera_image", "pixel_size": "p", "camera_to_stage": "m"}
    analysis = IntermodulationAnalysis(lambda name, doc: None)
    assert not analysis.wants({"uid": "u", "fields": fields})
