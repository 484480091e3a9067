"""Runs become a set of images with their provenance, or one line that says why not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from image_runs import ImageRun, campaign_of, texture

from analysis.datasets import ImageRecord, ImageSet, open_image_set, write_image_set

TWO = {"deformation": texture(1), "dissipation": texture(2)}


def written(folder: Path, *runs: ImageRun, **changes: Any) -> ImageSet:
    channels = changes.pop("channels", ("deformation",))
    return write_image_set(
        folder / "set.h5", [run.documents() for run in runs], channels, **changes
    )


class TestContent:
    def test_images_are_those_of_the_runs(self, tmp_path: Path):
        found = written(tmp_path, ImageRun(tmp_path, data=TWO), channels=("dissipation",))
        np.testing.assert_array_equal(found.images()[0, ..., 0], TWO["dissipation"])

    def test_channels_are_the_last_axis_in_the_order_asked_for(self, tmp_path: Path):
        run = ImageRun(tmp_path, data=TWO)
        images = written(tmp_path, run, channels=("dissipation", "deformation")).images()
        assert images.dtype == np.float32
        np.testing.assert_array_equal(
            images[0], np.stack([TWO["dissipation"], TWO["deformation"]], axis=-1)
        )

    def test_units_are_those_of_the_runs(self, tmp_path: Path):
        found = written(tmp_path, ImageRun(tmp_path, data=TWO), channels=tuple(TWO))
        assert found.units == {"deformation": "m", "dissipation": "J"}

    def test_a_record_tells_where_its_image_is_from(self, tmp_path: Path):
        run = ImageRun(tmp_path, sample="C5", number=1, day=7)
        documents = run.documents()
        found = write_image_set(tmp_path / "set.h5", [documents], ("deformation",))
        assert found.records == (
            ImageRecord(
                run_uid=documents[0][1]["uid"],
                event=1,
                sample="C5",
                probe="P7",
                session="2026-01-07 P7",
                field=1,
                x=10.0,  # next to the first: 4 µm and the margin of 6 µm
                y=0.0,
                technique="peakforce_qnm",
                time=1.7e9 + 7 * 86400.0 + 1,
                size=4.0,
                shape=(16, 16),
                calibrated=True,
                source="run",
            ),
        )

    def test_a_run_that_tells_no_place_has_none(self, tmp_path: Path):
        record = written(tmp_path, ImageRun(tmp_path, place=False)).records[0]
        assert (record.x, record.y) == (None, None)

    def test_labels_are_the_samples(self, image_set: ImageSet):
        assert image_set.labels()[:4] == ("A2", "C3", "C5", "A2")
        assert image_set.counts() == {"A2": 15, "C3": 15, "C5": 15}

    def test_images_are_read_in_any_order(self, image_set: ImageSet):
        every = image_set.images()
        np.testing.assert_array_equal(image_set.images([7, 2, 7]), every[[7, 2, 7]])

    def test_an_opened_file_is_what_was_written(self, image_set: ImageSet):
        assert open_image_set(image_set.path) == image_set

    def test_lines_are_averaged_over_areas(self, tmp_path: Path):
        image = texture(3, 12, 12)
        run = ImageRun(tmp_path, data={"deformation": image})
        found = written(tmp_path, run, lines=4).images()[0, ..., 0]
        expected = image.reshape(4, 3, 4, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_images_of_several_numbers_of_lines_are_averaged_to_one(self, tmp_path: Path):
        runs = [
            ImageRun(tmp_path, data={"deformation": texture(lines, lines, lines)}, number=lines)
            for lines in (16, 24)
        ]
        assert written(tmp_path, *runs, lines=8).images().shape == (2, 8, 8, 1)

    def test_an_average_of_a_part_of_a_pixel_keeps_the_mean(self, tmp_path: Path):
        image = texture(3, 14, 14)
        run = ImageRun(tmp_path, data={"deformation": image})
        found = written(tmp_path, run, lines=9).images()
        assert found.mean() == pytest.approx(image.mean(), rel=1e-5)

    def test_progress_is_told_after_every_run(self, tmp_path: Path):
        told: list[tuple[int, int]] = []
        runs = campaign_of(tmp_path, ("A2",), 1, 3)
        written(tmp_path, *runs, progress=lambda done, of: told.append((done, of)))
        assert told == [(1, 3), (2, 3), (3, 3)]

    def test_runs_are_read_one_at_a_time(self, tmp_path: Path):
        begun: list[int] = []

        def runs() -> Any:
            for number in range(3):
                begun.append(number)
                yield ImageRun(
                    tmp_path, number=number, data={"deformation": texture(number)}
                ).documents()

        seen: list[int] = []
        write_image_set(
            tmp_path / "set.h5",
            runs(),
            ("deformation",),
            progress=lambda done, _: seen.append(len(begun)),
        )
        assert seen == [1, 2, 3]

    def test_no_more_than_was_asked_for_is_in_memory(self, tmp_path: Path):
        runs = campaign_of(tmp_path, ("A2",), 1, 24, lines=128)  # 64 kB an image
        path = written(tmp_path, *runs).path
        tracemalloc.start()
        try:
            open_image_set(path).images([3, 17])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * 128 * 128 * 4


class TestHash:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> list[Any]:
        return [run.documents() for run in campaign_of(tmp_path, ("A2", "C5"), 1, 2)]

    def test_it_is_the_same_in_any_order(self, tmp_path: Path, runs: list[Any]):
        first = write_image_set(tmp_path / "a.h5", runs, ("deformation",))
        second = write_image_set(tmp_path / "b.h5", runs[::-1], ("deformation",))
        assert first.content_hash == second.content_hash

    def test_it_is_another_of_other_pixels(self, tmp_path: Path, runs: list[Any]):
        first = write_image_set(tmp_path / "a.h5", runs, ("deformation",))
        uid = runs[0][0][1]["uid"]
        with h5py.File(tmp_path / f"{uid}.h5", "r+") as file:
            file["entry/afm_imager_deformation"][0, 0, 0] *= 1.001  # type: ignore[index]
        second = write_image_set(tmp_path / "b.h5", runs, ("deformation",))
        assert first.content_hash != second.content_hash

    def test_it_is_another_of_another_label(self, tmp_path: Path, runs: list[Any]):
        first = write_image_set(tmp_path / "a.h5", runs, ("deformation",))
        runs[0][0] = ("start", {**runs[0][0][1], "sample": "B1"})
        second = write_image_set(tmp_path / "b.h5", runs, ("deformation",))
        assert first.content_hash != second.content_hash

    def test_a_view_has_the_hash_of_a_set_of_the_same(self, tmp_path: Path, runs: list[Any]):
        every = write_image_set(tmp_path / "a.h5", runs, ("deformation",))
        fewer = write_image_set(tmp_path / "b.h5", runs[1:3], ("deformation",))
        assert every.only(indices=[2, 1]).content_hash == fewer.content_hash

    def test_a_file_that_was_changed_is_found(self, tmp_path: Path, runs: list[Any]):
        found = write_image_set(tmp_path / "a.h5", runs, ("deformation",))
        found.verify()
        with h5py.File(found.path, "r+") as file:
            file["images/deformation"][3, 0, 0] = 1.0  # type: ignore[index]
        with pytest.raises(ValueError, match=r"deformation of run .* is not what was written"):
            found.verify()


class TestViews:
    def test_samples_are_selected(self, image_set: ImageSet):
        assert set(image_set.only(samples=("A2", "C5")).labels()) == {"A2", "C5"}

    def test_a_selection_of_a_selection_reads_its_own_images(self, image_set: ImageSet):
        chosen = image_set.only(samples=("C3",)).only(indices=[4, 0])
        first, second = (image_set.labels().index("C3") + 3 * place for place in (0, 4))
        np.testing.assert_array_equal(chosen.images(), image_set.images([second, first]))

    def test_channels_are_selected_in_their_order(self, tmp_path: Path):
        found = written(tmp_path, ImageRun(tmp_path, data=TWO), channels=tuple(TWO))
        turned = found.only(channels=("dissipation", "deformation"))
        np.testing.assert_array_equal(turned.images(), found.images()[..., ::-1])
        assert found.only(channels=("dissipation",)).units == {"dissipation": "J"}

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"samples": ("X9",)}, "no sample 'X9' in this image set: it has A2, C3, C5"),
            ({"channels": ("phase",)}, "no channel 'phase' in this image set: it has deformation"),
            ({"channels": "phase"}, "give a sequence of names"),
            ({"indices": [45]}, "image 45 is asked for, of 0 to 44"),
            ({"indices": []}, "no image"),
        ],
    )
    def test_what_is_not_there_is_told(
        self, image_set: ImageSet, asked: Mapping[str, Any], told: str
    ):
        with pytest.raises(ValueError, match=told):
            image_set.only(**asked)


UNIQUE = {"deformation": texture(77)}


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"size": 2.0}, "has a scan size of 2 µm, run .* has a scan size of 4 µm"),
            ({"technique": "scanasyst"}, "has the technique scanasyst"),
            ({"data": {"deformation": texture(5, 8, 8)}}, "has 8 lines of 8 points"),
            ({"calibrated": False}, "deformation is in V, as its probe was not calibrated"),
            ({"data": {"adhesion": texture(5)}}, "has no channel deformation: it has adhesion"),
            ({"status": None}, "is not finished"),
            ({"status": "abort"}, "did not end well: abort"),
            ({"data": {"deformation": np.full((16, 16), np.nan)}}, "256 pixels without a value"),
            ({"told": {"scan": {"size": 4.0, "aspect": 2.0}}}, "has the aspect 2, run .* 1"),
        ],
    )
    def test_a_run_unlike_the_others_is_named(
        self, tmp_path: Path, change: Mapping[str, Any], told: str
    ):
        odd = ImageRun(tmp_path, **{"number": 1, "data": UNIQUE, **change})
        with pytest.raises(ValueError, match=f"^run [0-9a-f]{{8}}:? .*{told}") as refused:
            written(tmp_path, ImageRun(tmp_path), odd)
        assert "\n" not in str(refused.value)

    def test_a_run_whose_file_is_gone_is_named(self, tmp_path: Path):
        documents = ImageRun(tmp_path).documents()
        uid = documents[0][1]["uid"]
        (tmp_path / f"{uid}.h5").unlink()
        with pytest.raises(ValueError, match=f"image 1 of run {uid[:8]}: .* does not exist"):
            write_image_set(tmp_path / "set.h5", [documents], ("deformation",))

    def test_nothing_is_left_of_what_was_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="is not finished"):
            written(tmp_path / "made", ImageRun(tmp_path), ImageRun(tmp_path, status=None))
        assert not list((tmp_path / "made").iterdir())

    def test_what_was_there_stays_when_a_run_is_refused(self, tmp_path: Path):
        before = written(tmp_path, ImageRun(tmp_path))
        with pytest.raises(ValueError, match="is not finished"):
            written(tmp_path, ImageRun(tmp_path), ImageRun(tmp_path, status=None))
        assert open_image_set(before.path) == before

    def test_a_run_is_not_taken_twice(self, tmp_path: Path):
        run = ImageRun(tmp_path).documents()
        with pytest.raises(ValueError, match="is given twice"):
            write_image_set(tmp_path / "set.h5", [run, run], ("deformation",))

    def test_a_run_without_images_is_named(self, tmp_path: Path):
        documents = [("start", {"uid": "0123456789", "time": 0.0}), ("stop", {})]
        with pytest.raises(ValueError, match="run 01234567 is no run of images"):
            write_image_set(tmp_path / "set.h5", [documents], ("deformation",))

    def test_no_runs_make_no_set(self, tmp_path: Path):
        with pytest.raises(ValueError, match=r"no image is given to make set\.h5 of"):
            written(tmp_path)

    def test_lines_are_not_made_more(self, tmp_path: Path):
        with pytest.raises(ValueError, match="16 lines of 16 points: it cannot be averaged to 20"):
            written(tmp_path, ImageRun(tmp_path), lines=20)

    def test_phase_needs_no_calibration(self, tmp_path: Path):
        run = ImageRun(tmp_path, data={"phase": texture(1)}, technique="tapping", calibrated=False)
        assert written(tmp_path, run, channels=("phase",)).units == {"phase": "deg"}

    def test_a_file_of_another_kind_is_no_set(self, tmp_path: Path):
        (tmp_path / "text.h5").write_text("no HDF5")
        with h5py.File(tmp_path / "other.h5", "w"):
            pass
        for name, told in (
            ("text.h5", "cannot be read as an image set"),
            ("other.h5", "is no image set of this version"),
            ("none.h5", "there is no image set"),
        ):
            with pytest.raises(ValueError, match=told):
                open_image_set(tmp_path / name)
