"""No part of a split knows another: not by session, not by place, not by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_runs import ImageRun, campaign_of, texture
from sklearn.model_selection import StratifiedGroupKFold

from analysis.datasets import (
    Grouping,
    ImageRecord,
    ImageSet,
    LeakError,
    Split,
    check_split,
    crossed_splits,
    find_copies,
    grouped_splits,
    split_groups,
    write_image_set,
)
from analysis.datasets._folding import stratified_folds

RECORD = ImageRecord(
    run_uid="0123456789",
    event=1,
    sample="A2",
    probe="P1",
    session="day 1",
    field=0,
    x=0.0,
    y=0.0,
    technique="peakforce_qnm",
    time=0.0,
    size=4.0,
    shape=(16, 16),
    calibrated=True,
    source="run",
)


def records(*changes: dict[str, object]) -> list[ImageRecord]:
    return [replace(RECORD, **change) for change in changes]  # type: ignore[arg-type]


def made(folder: Path, runs: list[ImageRun]) -> ImageSet:
    return write_image_set(folder / "set.h5", [run.documents() for run in runs], ("deformation",))


class TestGroups:
    def test_images_of_a_session_are_a_group(self):
        found = split_groups(
            records({"x": 0.0}, {"x": 50.0, "session": "day 2"}, {"x": 100.0}), ("session",)
        )
        assert found.tolist() == [0, 1, 0]

    def test_sessions_of_a_probe_are_a_group(self):
        found = split_groups(
            records({}, {"session": "day 2"}, {"session": "day 2", "probe": "P2"}), ("probe",)
        )
        assert found.tolist() == [0, 0, 1]

    def test_a_place_is_one_whatever_the_number_of_the_field(self):
        found = split_groups(
            records({"field": 0}, {"field": 7, "x": 1.0}, {"field": 8, "x": 20.0}), ("field",)
        )
        assert found.tolist() == [0, 0, 1]

    def test_places_of_other_samples_are_other_places(self):
        assert split_groups(records({}, {"sample": "C5"}), ("field",)).tolist() == [0, 1]

    @pytest.mark.parametrize(("distance", "groups"), [(9.9, 1), (10.0, 2)])
    def test_frames_are_apart_that_a_chuck_cannot_bring_together(
        self, distance: float, groups: int
    ):
        # 4 µm of frame and 3 µm by which each of two may miss its place
        found = split_groups(records({}, {"x": distance}), Grouping(("field",), miss=3.0))
        assert len(set(found)) == groups

    def test_a_turned_frame_reaches_as_far_as_its_corners(self):
        turned = records({"angle": 45.0}, {"x": 5.5, "angle": 45.0})
        assert set(split_groups(turned, Grouping(("field",), miss=0.0))) == {0}
        assert set(split_groups(records({}, {"x": 5.5}), Grouping(("field",), miss=0.0))) == {0, 1}

    def test_without_a_place_the_number_of_the_field_tells(self):
        nowhere = {"x": None, "y": None}
        found = split_groups(
            records({**nowhere, "field": 1}, {**nowhere, "field": 2}, {"field": 1, "x": 90.0}),
            ("field",),
        )
        assert found.tolist() == [0, 1, 0]

    def test_sessions_that_imaged_one_place_hang_together(self):
        found = split_groups(
            records(
                {"session": "1", "x": 0.0},
                {"session": "1", "x": 50.0},
                {"session": "2", "x": 50.0},
                {"session": "2", "x": 90.0},
                {"session": "3", "x": 150.0},
            )
        )
        assert found.tolist() == [0, 0, 0, 0, 1]

    @pytest.mark.parametrize(
        ("by", "told"),
        [
            ("session", "by is 'session': give one or more of session, probe, field"),
            (("day",), "give one or more of session, probe, field"),
            ((), "give one or more"),
        ],
    )
    def test_what_nothing_groups_by_is_refused(self, by: tuple[str, ...], told: str):
        with pytest.raises(ValueError, match=told):
            split_groups([RECORD], by)


class TestSplits:
    def test_every_image_is_tested_once_a_repeat(self, image_set: ImageSet):
        splits = grouped_splits(image_set, folds=5, repeats=3)
        assert len(splits) == 15
        tested = Counter(index for split in splits for index in split.test)
        assert tested == Counter(dict.fromkeys(range(45), 3))

    def test_every_image_is_in_one_part(self, image_set: ImageSet):
        for split in grouped_splits(image_set, folds=4):
            assert sorted([*split.train, *split.validation, *split.test]) == list(range(45))

    @pytest.mark.parametrize("by", [("session", "field"), ("field",), ("probe",)])
    def test_no_group_is_in_two_parts(self, image_set: ImageSet, by: tuple[str, ...]):
        groups = split_groups(image_set.records, by)
        for split in grouped_splits(image_set, folds=3, repeats=2, by=by):
            parts = [
                set(groups[list(part)]) for part in (split.train, split.validation, split.test)
            ]
            assert all(parts)
            assert not any(one & other for one, other in combinations(parts, 2))

    def test_classes_are_as_even_in_each_part_as_groups_allow(self, image_set: ImageSet):
        labels = np.array(image_set.labels())
        for split in grouped_splits(image_set, folds=5, by=("field",)):
            assert Counter(labels[list(split.test)]) == {"A2": 3, "C3": 3, "C5": 3}

    def test_a_seed_makes_the_same_splits(self, image_set: ImageSet):
        first = grouped_splits(image_set, folds=3, repeats=2, seed=5)
        assert first == grouped_splits(image_set, folds=3, repeats=2, seed=5)
        assert first != grouped_splits(image_set, folds=3, repeats=2, seed=6)

    def test_repeats_have_other_folds(self, image_set: ImageSet):
        first, second = grouped_splits(image_set, folds=2, repeats=2, by=("field",))[::2]
        assert set(first.test) not in (set(second.test), set(second.train) | set(second.validation))

    def test_validation_is_about_its_part_of_what_is_left(self, image_set: ImageSet):
        for split in grouped_splits(image_set, folds=3, validation=0.2, by=("field",)):
            assert len(split.validation) == pytest.approx(0.2 * 30, abs=1.5)

    def test_no_validation_is_needed(self, image_set: ImageSet):
        assert grouped_splits(image_set, folds=2, validation=0.0)[0].validation == ()

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 1000), folds=st.integers(2, 5))
    def test_each_class_is_trained_on_in_every_split(
        self, image_set: ImageSet, seed: int, folds: int
    ):
        labels = np.array(image_set.labels())
        for split in grouped_splits(image_set, folds=folds, seed=seed, by=("field",)):
            assert set(labels[list(split.train)]) == {"A2", "C3", "C5"}

    @pytest.mark.parametrize("seed", range(4))
    def test_the_last_group_of_a_class_is_not_for_validation(self, image_set: ImageSet, seed: int):
        chosen = [
            i
            for i, record in enumerate(image_set.records)
            if record.sample != "C5" or record.probe in ("P1", "P2", "P3")
        ]
        few = image_set.only(indices=chosen)
        for split in grouped_splits(few, folds=2, validation=0.3, seed=seed):
            assert {few.records[index].sample for index in split.train} == {"A2", "C3", "C5"}


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Three campaigns that all begin at the middle of the same two samples."""
    folder = tmp_path_factory.mktemp("campaigns")
    runs = campaign_of(folder, ("A2", "C5"), sessions=3, images=9)
    return made(folder, [replace(run, number=run.number % 9) for run in runs])


class TestCrossed:
    """Sessions of the same fields."""

    def test_every_image_is_tested_once_a_repeat(self, campaigns: ImageSet):
        splits = crossed_splits(campaigns, folds=3, repeats=2)
        assert len(splits) == 18
        tested = Counter(index for split in splits for index in split.test)
        assert tested == Counter(dict.fromkeys(range(54), 2))

    def test_no_session_and_no_place_of_the_test_is_known(self, campaigns: ImageSet):
        for split in crossed_splits(campaigns, folds=3):
            check_split(campaigns, Split((*split.train, *split.validation), (), split.test))

    def test_validation_and_training_share_no_place(self, campaigns: ImageSet):
        for split in crossed_splits(campaigns, folds=3):
            assert split.train
            assert split.validation
            check_split(campaigns, split, by=("field",))

    def test_what_shares_a_session_or_a_place_with_the_test_is_left_out(self, campaigns: ImageSet):
        for split in crossed_splits(campaigns, folds=3):
            # two sessions of three, six places of nine, two samples
            assert len(split.train) + len(split.validation) == 2 * 6 * 2

    def test_sessions_and_places_are_both_needed(self, campaigns: ImageSet):
        with pytest.raises(ValueError, match="give 'field', and 'session' or 'probe'"):
            crossed_splits(campaigns, by=("field",))

    def test_too_few_sessions_are_told(self, campaigns: ImageSet):
        with pytest.raises(ValueError, match="are 3 groups by session, too few for 4 folds"):
            crossed_splits(campaigns, folds=4)


def unevenness(fold_of: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the standard deviation of their parts over the folds."""
    parts = [
        [np.mean(fold_of[labels == name] == fold) for fold in np.unique(fold_of)]
        for name in np.unique(labels)
    ]
    return float(np.mean(np.std(parts, axis=1)))


def test_folds_are_as_even_as_those_of_scikit_learn() -> None:
    ours, theirs = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 25, 300)
        labels = np.array(["A2", "C3", "C5"])[(rng.random(300) * (1 + groups % 3)).astype(int)]
        ours.append(unevenness(stratified_folds(list(labels), groups, 5, rng), labels))
        fold_of = np.empty(300, dtype=int)
        peer = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(peer.split(labels, labels, groups)):
            fold_of[test] = fold
        theirs.append(unevenness(fold_of, labels))
    assert np.mean(ours) < 1.05 * np.mean(theirs)


class TestRefusals:
    def test_a_class_with_one_image(self, image_set: ImageSet):
        one = image_set.labels().index("C5")
        rest = [i for i, label in enumerate(image_set.labels()) if label != "C5"]
        with pytest.raises(ValueError, match=r"^C5 has one image: a class needs 3 or more"):
            grouped_splits(image_set.only(indices=[one, *rest]), folds=2)

    def test_a_class_of_one_group(self, image_set: ImageSet):
        chosen = [
            i
            for i, record in enumerate(image_set.records)
            if record.sample != "C5" or record.probe == "P1"
        ]
        with pytest.raises(ValueError, match=r"^the images of C5 are 1 group by session and field"):
            grouped_splits(image_set.only(indices=chosen), folds=2)

    def test_fewer_groups_than_folds(self, image_set: ImageSet):
        told = "^the 45 images are 5 groups by session and field, too few for 6 folds"
        with pytest.raises(ValueError, match=told):
            grouped_splits(image_set, folds=6)

    def test_sessions_of_the_same_fields_are_told_to_be_split_by_one_of_both(self, tmp_path: Path):
        # as campaigns do, that all begin at the middle of a sample
        runs = [
            replace(run, number=run.number % 3) for run in campaign_of(tmp_path, ("A2", "C5"), 4, 3)
        ]
        found = made(tmp_path, runs)
        with pytest.raises(ValueError, match="split by 'session' or 'field' alone"):
            grouped_splits(found, folds=2)
        assert len(grouped_splits(found, folds=2, by=("session",))) == 2
        assert len(grouped_splits(found, folds=3, by=("field",))) == 3

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"folds": 1}, "folds must be 2 or more"),
            ({"repeats": 0}, "repeats 1"),
            ({"validation": 0.6}, "validation is 0.6, must be 0 to 0.5"),
        ],
    )
    def test_numbers_that_make_no_split(
        self, image_set: ImageSet, asked: dict[str, float], told: str
    ):
        with pytest.raises(ValueError, match=told):
            grouped_splits(image_set, **asked)  # type: ignore[arg-type]


ORIENTED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "turned by 90°": np.rot90,
    "turned by 180°": lambda image: np.rot90(image, 2),
    "turned by 270°": lambda image: np.rot90(image, 3),
    "flipped": lambda image: image[::-1],
    "flipped left to right": lambda image: image[:, ::-1],
    "transposed": lambda image: image.T,
    "transposed about the other diagonal": lambda image: np.rot90(image, 2).T,
}


class TestLeaks:
    def planted(self, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> ImageSet:
        """Make a set with an image that comes again as that of another day, place and label."""
        runs = campaign_of(folder, ("A2", "C5"), sessions=4, images=2, lines=48)
        image = np.asarray(runs[0].data["deformation"])
        copy = ImageRun(
            folder, sample="C5", number=90, day=9, data={"deformation": change(image).copy()}
        )
        return made(folder, [*runs, copy])

    @pytest.mark.parametrize("orientation", ORIENTED)
    def test_a_planted_copy_is_refused(self, tmp_path: Path, orientation: str):
        found = self.planted(tmp_path, ORIENTED[orientation])
        uids = [found.records[index].run_uid[:8] for index in (0, 16)]
        with pytest.raises(LeakError, match="hold one image: deformation") as refused:
            grouped_splits(found, folds=5, validation=0.0)
        assert all(uid in str(refused.value) for uid in uids)

    def test_a_split_with_a_copy_on_both_sides_is_refused(self, tmp_path: Path):
        found = self.planted(tmp_path, np.rot90)
        with pytest.raises(LeakError, match=r"\(training\) and .* \(test\) hold one image"):
            check_split(found, Split((0, 2), (), (16,)))

    def test_a_split_with_both_on_one_side_is_none(self, tmp_path: Path):
        found = self.planted(tmp_path, np.rot90)
        check_split(found, Split((0, 1, 2, 3, 16), (), (8, 9, 10, 11)))

    def test_a_copy_with_another_gain_and_some_noise_is_found(self, tmp_path: Path):
        rng = np.random.default_rng(1)

        def changed(image: np.ndarray) -> np.ndarray:
            return 1.3 * image.T + rng.normal(0.0, 0.2 * image.std(), image.shape)

        (copy,) = find_copies(self.planted(tmp_path, changed))
        assert (copy.first, copy.second) == (0, 16)

    def test_other_images_are_not_taken_for_copies(self, image_set: ImageSet):
        assert find_copies(image_set) == []

    def test_a_session_on_two_sides_is_refused(self, image_set: ImageSet):
        with pytest.raises(LeakError, match="are of one session: 2026-01-01 P1"):
            check_split(image_set, Split((0,), (), (1,)))

    def test_a_session_may_be_on_two_sides_where_places_alone_count(self, image_set: ImageSet):
        check_split(image_set, Split((0,), (), (3,)), by=("field",))

    def test_a_place_on_two_sides_is_refused(self, tmp_path: Path):
        runs = [
            ImageRun(tmp_path, day=day, number=1, data={"deformation": texture(day)})
            for day in (1, 2)
        ]
        with pytest.raises(LeakError, match="show one place of A2: 10, 0 µm"):
            check_split(made(tmp_path, runs), Split((0,), (), (1,)))

    def test_validation_is_a_side_too(self, image_set: ImageSet):
        with pytest.raises(LeakError, match=r"\(validation\) and .* \(test\) are of one session"):
            check_split(image_set, Split((), (0,), (1,)))

    def test_an_image_is_in_one_part_only(self, image_set: ImageSet):
        with pytest.raises(LeakError, match="is in the training part and in the test part"):
            check_split(image_set, Split((0, 9), (), (9,)))

    def test_an_image_that_is_not_there_is_refused(self, image_set: ImageSet):
        with pytest.raises(ValueError, match="image 99 is asked for, of 0 to 44"):
            check_split(image_set, Split((0,), (), (99,)))

    def test_it_is_refused_in_one_line(self, image_set: ImageSet):
        with pytest.raises(LeakError) as refused:
            check_split(image_set, Split((0,), (), (1,)))
        assert "\n" not in str(refused.value)
