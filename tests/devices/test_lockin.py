"""The lock-in's files and documents, over the real wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from afm_bench import BIMODAL, AfmBench, afm_bench, quiet

from analysis.assets import AssetReader
from devices import Comb
from devices.wire import BusyError, CancelledError, LimitError, RefusedError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AfmBench]:
    with afm_bench(tmp_path / "assets", parameters=quiet(), rate=1000.0) as bench:
        bench.afm.lockin.comb.set(BIMODAL).wait(timeout=30)
        bench.afm.lockin.pixels.set(3).wait(timeout=30)
        yield bench


@pytest.fixture
def slow_bench(tmp_path: Path) -> Iterator[AfmBench]:
    """A bench at which a line takes a minute."""
    with afm_bench(tmp_path / "assets", parameters=quiet(), rate=1.0) as bench:
        bench.afm.lockin.comb.set(Comb(10.0, (30_090,), (30_090,), (0.1,))).wait(timeout=30)
        bench.afm.lockin.pixels.set(600).wait(timeout=30)
        yield bench


def array_of(documents: Any, data_key: str) -> np.ndarray:
    """Read an array of a run as a stranger would: by uri, parameters and indices."""
    (resource,) = (d for d in documents.of("stream_resource") if d["data_key"] == data_key)
    indices = [
        datum["indices"]["start"]
        for datum in documents.of("stream_datum")
        if datum["stream_resource"] == resource["uid"]
    ]
    with h5py.File(unquote(urlparse(resource["uri"]).path), "r", swmr=True) as file:
        dataset = file[resource["parameters"]["dataset"]]
        assert isinstance(dataset, h5py.Dataset)
        return dataset[indices]


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.h5"))


def test_a_run_makes_valid_documents_for_both_arrays(bench: AfmBench) -> None:
    bench.engine(bp.count([bench.afm.lockin], num=2))
    resources = {doc["data_key"]: doc for doc in bench.documents.of("stream_resource")}
    assert set(resources) == {"afm_lockin_spectra", "afm_lockin_z"}
    assert resources["afm_lockin_spectra"]["parameters"]["chunk_shape"] == [1, 3, 48]
    assert len({doc["uri"] for doc in resources.values()}) == 1
    data = bench.documents.of("stream_datum")
    assert sorted(datum["seq_nums"]["start"] for datum in data) == [1, 1, 2, 2]
    (event, _) = bench.documents.of("event")
    assert list(event["data"]) == ["afm_lockin_time"]


def test_the_file_holds_the_spectra_and_heights_that_were_acquired(bench: AfmBench) -> None:
    taken: list[np.ndarray] = []

    @bpp.stage_decorator([bench.afm.lockin])
    @bpp.run_decorator()
    def plan() -> Any:
        for z in (4000.0, 3000.0):
            yield from bps.mv(bench.afm.head.z, z)
            yield from bps.trigger_and_read([bench.afm.lockin])
            taken.append(bench.afm.lockin.spectra.get())

    bench.engine(plan())
    spectra = array_of(bench.documents, "afm_lockin_spectra")
    assert (spectra.dtype, spectra.shape) == (np.complex128, (2, 3, 48))
    np.testing.assert_array_equal(spectra, np.stack(taken))
    np.testing.assert_allclose(
        array_of(bench.documents, "afm_lockin_z"), np.repeat([[4e-6], [3e-6]], 3, axis=1)
    )


def test_free_spectra_are_the_response_of_the_cantilever_in_metres(bench: AfmBench) -> None:
    bench.engine(bp.count([bench.afm.lockin]))
    spectra = array_of(bench.documents, "afm_lockin_spectra")[0]
    parameters = bench.simulated.truth.parameters
    mode, gain = parameters.cantilever.modes[0], parameters.shaker_gain[0]
    column = BIMODAL.tones.index(1504)
    expected = mode.response(1504 * 200.0) * gain * BIMODAL.drive_amplitude[0]
    np.testing.assert_allclose(spectra[:, column], np.full(3, expected), rtol=1e-3)


def test_the_reader_of_analysis_finds_both_arrays(bench: AfmBench) -> None:
    bench.engine(bp.count([bench.afm.lockin], num=2))
    reader = AssetReader()
    for doc in bench.documents.of("stream_resource"):
        reader.stream_resource(doc)
    for doc in bench.documents.of("stream_datum"):
        reader.stream_datum(doc)
    assert reader.frame("afm_lockin_spectra", 2).shape == (3, 48)
    np.testing.assert_array_equal(reader.frame("afm_lockin_z", 1), np.full(3, 5e-6))


@pytest.mark.slow  # tiled takes seconds to import
@pytest.mark.parametrize("pixels", [3, 1])
def test_the_catalogs_reader_finds_the_complex_spectra(bench: AfmBench, pixels: int) -> None:
    bench.afm.lockin.pixels.set(pixels).wait(timeout=30)
    bench.engine(bp.count([bench.afm.lockin], num=2))
    from bluesky_tiled_plugins.writing.consolidators import HDF5Consolidator

    (descriptor,) = bench.documents.of("descriptor")
    for resource in bench.documents.of("stream_resource"):
        consolidator = HDF5Consolidator(resource, descriptor)
        for datum in bench.documents.of("stream_datum"):
            if datum["stream_resource"] == resource["uid"]:
                consolidator.consume_stream_datum(datum)
        read = np.asarray(consolidator.init_adapter().read())
        expected = array_of(bench.documents, resource["data_key"])
        assert read.dtype == expected.dtype
        np.testing.assert_array_equal(read, expected)


def test_the_arrays_are_described_with_their_dimensions_and_units(bench: AfmBench) -> None:
    described = bench.afm.lockin.describe()
    assert list(described) == ["afm_lockin_spectra", "afm_lockin_z", "afm_lockin_time"]
    spectra, z = described["afm_lockin_spectra"], described["afm_lockin_z"]
    assert (spectra["shape"], spectra["dims"]) == ([3, 48], ["pixel", "tone"])
    assert (spectra["dtype_numpy"], spectra["external"]) == ("<c16", "STREAM:")
    assert (z["shape"], z["dims"], z["dtype_numpy"]) == ([3], ["pixel"], "<f8")
    assert spectra["units"] == z["units"] == "m"


def test_the_height_of_a_single_pixel_is_a_number(bench: AfmBench) -> None:
    bench.afm.lockin.pixels.set(1).wait(timeout=30)
    described = bench.afm.lockin.describe()
    assert described["afm_lockin_z"]["shape"] == described["afm_lockin_z"]["dims"] == []
    assert described["afm_lockin_spectra"]["shape"] == [1, 48]
    bench.engine(bp.count([bench.afm.lockin], num=2))
    assert array_of(bench.documents, "afm_lockin_z").shape == (2,)
    assert bench.afm.lockin.z.get().shape == (1,)


def test_configuration_is_the_comb(bench: AfmBench) -> None:
    values = {k: entry["value"] for k, entry in bench.afm.lockin.read_configuration().items()}
    assert values == {
        "afm_lockin_tones": list(BIMODAL.tones),
        "afm_lockin_axes": [0] * 48,
        "afm_lockin_df": 200.0,
        "afm_lockin_drive_tones": [1504, 1505, 9478, 9479],
        "afm_lockin_drive_amplitude": [0.109, 0.109, 0.476, 0.476],
        "afm_lockin_drive_phase": [0.0] * 4,
        "afm_lockin_driving": 1,
        "afm_lockin_pixels": 3,
        "afm_lockin_sample_rate": 50e6,
    }
    described = bench.afm.lockin.describe_configuration()
    assert list(described) == list(values)
    assert described["afm_lockin_tones"]["shape"] == [48]
    units = {key: entry.get("units") for key, entry in described.items()}
    assert units["afm_lockin_df"] == "Hz"
    assert units["afm_lockin_drive_amplitude"] == "V"
    assert units["afm_lockin_drive_phase"] == "rad"


def test_configuration_is_one_request(bench: AfmBench) -> None:
    bench.client.sent.clear()
    bench.afm.lockin.read_configuration()
    assert sum(bench.client.sent.values()) == 1


def test_the_comb_is_set_by_one_request_and_read_back(bench: AfmBench) -> None:
    comb = Comb(100.0, (3009, 3010), (3009,), (0.2,), (0.5,), (0, 1))
    bench.client.sent.clear()
    bench.engine(bps.mv(bench.afm.lockin.comb, comb, bench.afm.lockin.pixels, 7))
    assert bench.client.sent == {"lockin.set": 2}
    assert bench.afm.lockin.comb.get() == comb
    assert bench.afm.lockin.pixels.get() == 7


def test_a_comb_may_be_given_as_a_mapping(bench: AfmBench) -> None:
    bench.engine(bps.mv(bench.afm.lockin.comb, {"df": 100.0, "tones": [3009]}))
    assert bench.afm.lockin.comb.get() == Comb(100.0, (3009,))


@pytest.mark.parametrize(
    "comb",
    [
        Comb(200.0, (10**6,)),
        Comb(200.0, (1504,), (1504,), (11.0,)),
        {"df": 200.0, "tones": [1504, 1504]},
        {"df": 200.0, "tones": [1504.5]},
        Comb(200.0, tuple(range(1, 194))),
        1504,
    ],
)
def test_a_wrong_comb_is_refused_before_anything_is_sent(bench: AfmBench, comb: Any) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError):
        bench.afm.lockin.comb.set(comb)
    assert not bench.client.sent


def test_a_df_that_is_not_exact_is_refused_by_the_server_with_the_nearest(
    bench: AfmBench,
) -> None:
    with pytest.raises(LimitError, match=r"nearest is 200\.0\d* Hz|nearest is 200 Hz"):
        bench.afm.lockin.comb.set(Comb(200.003, (1504,))).wait(timeout=30)
    frequency, df = bench.afm.lockin.tune(300_850.0, 200.003)
    bench.afm.lockin.comb.set(Comb(df, (round(frequency / df),))).wait(timeout=30)
    assert bench.afm.lockin.df.get() == pytest.approx(df)


@pytest.mark.parametrize("pixels", [0, 4097, 2.5, float("nan"), "3"])
def test_a_wrong_number_of_pixels_is_refused_before_anything_is_sent(
    bench: AfmBench, pixels: Any
) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError):
        bench.afm.lockin.pixels.set(pixels)
    assert not bench.client.sent


def test_one_array_of_the_comb_cannot_be_set_alone(bench: AfmBench) -> None:
    with pytest.raises(RefusedError, match=r"set afm_lockin\.comb whole"):
        bench.afm.lockin.tones.set([1, 2])


def test_comb_and_pixels_keep_while_a_run_writes_spectra(bench: AfmBench) -> None:
    lockin = bench.afm.lockin
    lockin.stage()
    lockin.trigger().wait(timeout=30)
    list(lockin.collect_asset_docs())
    with pytest.raises(BusyError, match="end the run"):
        lockin.comb.set(BIMODAL)
    with pytest.raises(BusyError, match="end the run"):
        lockin.pixels.set(5)
    lockin.unstage()
    lockin.pixels.set(5).wait(timeout=30)


def test_a_line_that_nobody_collected_leaves_no_trace_when_the_next_has_another_shape(
    bench: AfmBench,
) -> None:
    afm = bench.afm

    @bpp.stage_decorator([afm.lockin])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.mv(afm.lockin.pixels, 1)
        yield from bps.trigger(afm.lockin, wait=True)
        yield from bps.create("approach")
        yield from bps.read(afm.head)
        yield from bps.save()
        yield from bps.mv(afm.lockin.pixels, 4)
        yield from bps.trigger_and_read([afm.lockin, afm.head])

    bench.engine(plan())
    streams = {doc["name"]: doc for doc in bench.documents.of("descriptor")}
    assert "afm_lockin_spectra" not in streams["approach"]["data_keys"]
    assert array_of(bench.documents, "afm_lockin_spectra").shape == (1, 4, 48)
    assert len(files_in(bench.assets)) == 1


def test_the_time_of_a_line_is_its_middle_on_the_instruments_clock(bench: AfmBench) -> None:
    before = bench.simulated.head.read().time
    bench.engine(bp.count([bench.afm.lockin]))
    after = bench.simulated.head.read().time
    (event,) = bench.documents.of("event")
    assert before + 0.5 * 3 / 200.0 <= event["data"]["afm_lockin_time"] <= after - 0.5 * 3 / 200.0


def test_each_run_has_its_own_file_and_a_run_without_a_line_none(bench: AfmBench) -> None:
    bench.engine(bp.count([bench.afm.lockin]))
    bench.afm.lockin.stage()
    bench.afm.lockin.unstage()
    bench.engine(bp.count([bench.afm.lockin]))
    assert len(files_in(bench.assets)) == 2


def test_before_the_first_line_the_arrays_are_empty_and_the_time_unknown(bench: AfmBench) -> None:
    assert bench.afm.lockin.spectra.get().shape == (0, 0)
    assert bench.afm.lockin.z.get().shape == (0,)
    assert np.isnan(bench.afm.lockin.time.get())


def test_a_lock_in_that_is_not_staged_says_what_to_do(bench: AfmBench) -> None:
    with pytest.raises(RefusedError, match="not staged"):
        bench.afm.lockin.trigger()


def test_an_aborted_line_fails_with_the_cause_and_leaves_no_file(slow_bench: AfmBench) -> None:
    lockin = slow_bench.afm.lockin
    lockin.stage()
    status = lockin.trigger()
    lockin.stop()
    with pytest.raises(CancelledError):
        status.wait(timeout=30)
    lockin.unstage()
    assert files_in(slow_bench.assets) == []


def test_unstaging_in_mid_line_ends_the_line(slow_bench: AfmBench, until: Any) -> None:
    lockin = slow_bench.afm.lockin
    lockin.stage()
    status = lockin.trigger()
    lockin.unstage()
    until(lambda: status.done)
    assert status.exception() is not None


def test_unstaging_needs_no_link(bench: AfmBench) -> None:
    lockin = bench.afm.lockin
    lockin.stage()
    lockin.trigger().wait(timeout=30)
    bench.server.close()
    lockin.unstage()
    with h5py.File(files_in(bench.assets)[0], "r") as file:
        spectra = file["/entry/spectra"]
        assert isinstance(spectra, h5py.Dataset)
        assert spectra.shape == (1, 3, 48)


@pytest.mark.slow  # starts the catalog's service
@pytest.mark.timeout(300)
def test_the_catalog_gives_back_what_was_acquired(tmp_path: Path) -> None:
    from station.catalog import ensure_catalog, open_catalog, stop_catalog, wait_archived
    from station.journal import Journal

    assets = tmp_path / "assets"
    with Journal(tmp_path / "journal") as journal, afm_bench(assets, rate=1000.0) as bench:
        bench.afm.lockin.comb.set(BIMODAL).wait(timeout=30)
        bench.afm.lockin.pixels.set(4).wait(timeout=30)
        bench.engine.subscribe(journal)
        result: Any = bench.engine(bp.count([bench.afm.lockin, bench.afm.head], num=2))
        (uid,) = result.run_start_uids
        last = bench.afm.lockin.spectra.get()
    try:
        ensure_catalog(tmp_path)
        wait_archived(tmp_path, uid)
        primary = open_catalog(tmp_path)[uid]["primary"]
        spectra = np.asarray(primary["afm_lockin_spectra"].read())
        assert (spectra.dtype, spectra.shape) == (np.complex128, (2, 4, 48))
        np.testing.assert_array_equal(spectra[1], last)
        assert list(primary["afm_head_lifted"].read()) == [1, 1]
    finally:
        stop_catalog(tmp_path)
