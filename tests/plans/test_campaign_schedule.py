"""The order of a campaign's images, and how it goes on after whatever was done of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans import Campaign, Course, Done, Place, Scan, Step, TipResult
from plans.scans import spiral

SEED = Campaign(("A2", "B1", "B2", "B3", "B4", "B5", "C3", "C5", "E4"))
GOOD, SUSPECT = TipResult("good", 60.0, 0.5), TipResult("suspect")
START: Any = {
    "campaign": {"index": 7, "purpose": "sample"},
    "probe_serial": "2",
    "fields": {"tip_check": {"status": "tip_status", "diameter": "tip_diameter"}},
}
STOP: Any = {"exit_status": "success", "num_events": {"primary": 1}}
TIP: Any = {**START, "campaign": {"index": 7, "purpose": "tip"}}

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)

campaigns = st.builds(
    Campaign,
    samples=st.lists(st.sampled_from("ABCDEFG"), min_size=1, max_size=5, unique=True).map(tuple),
    images=st.integers(1, 9),
    tip_every=st.integers(1, 8),
    tip_first=st.booleans(),
    order=st.sampled_from(["interleaved", "random", "by sample"]),
    together=st.integers(1, 4),
    seed=st.integers(0, 99),
)
verdicts = st.lists(
    st.sampled_from(["good", "good", "good", "worn", "bad", "suspect", "no tip"]), max_size=30
)


class Bench:
    """Does the steps of a campaign: a check finds what is next in `verdicts`, then good."""

    def __init__(self, verdicts: list[str]) -> None:
        self.verdicts = list(verdicts)
        self.probe = 1
        self.made: list[tuple[Step, Done]] = []

    def do(self, course: Course) -> Done:
        assert course.step is not None
        if str(self.probe) in course.condemned:
            self.probe += 1
        check = None
        if course.step.kind == "tip":
            check = TipResult(self.verdicts.pop(0) if self.verdicts else "good")
        done = Done(course.step.index, str(self.probe), check)
        self.made.append((course.step, done))
        course.finished(done)
        return done

    def run(self, course: Course, until: Callable[[], bool] = lambda: False) -> None:
        while course.step is not None and not until():
            self.do(course)


def scheduled(campaign: Campaign, kind: str) -> list[Step]:
    return [step for step in campaign.schedule() if step.kind == kind]


class TestSchedule:
    """The steps as they are if every check finds the tip good."""

    @EXAMPLES
    @given(campaigns)
    def test_every_sample_is_imaged_as_often_as_asked(self, campaign: Campaign) -> None:
        images = Counter(step.place.sample for step in scheduled(campaign, "image"))
        assert images == dict.fromkeys(campaign.samples, campaign.images)

    @EXAMPLES
    @given(campaigns)
    def test_the_tip_is_checked_after_every_so_many_images_and_at_the_end(
        self, campaign: Campaign
    ) -> None:
        kinds = [step.kind for step in campaign.schedule()]
        runs = "".join("t" if kind == "tip" else "i" for kind in kinds).split("t")
        assert kinds[-1] == "tip"
        body = runs[1:-1] if campaign.tip_first else runs[:-1]
        assert all(len(images) == campaign.tip_every for images in body[:-1])
        assert 1 <= len(body[-1]) <= campaign.tip_every

    @EXAMPLES
    @given(campaigns)
    def test_the_indices_are_the_order(self, campaign: Campaign) -> None:
        steps = campaign.schedule()
        assert [step.index for step in steps] == list(range(len(steps)))

    @EXAMPLES
    @given(campaigns)
    def test_no_field_is_imaged_twice_even_by_repetitions(self, campaign: Campaign) -> None:
        steps = [campaign.step(index) for index in range(3 * len(campaign.schedule()))]
        assert len({step.place for step in steps}) == len(steps)

    @EXAMPLES
    @given(campaigns)
    def test_no_two_fields_of_a_sample_touch(self, campaign: Campaign) -> None:
        width, height = campaign.scan.extent
        fields = [step.place for step in scheduled(campaign, "image")]
        for a in fields:
            for b in fields:
                if a.sample == b.sample and a is not b:
                    apart = abs(a.x - b.x) - width, abs(a.y - b.y) - height
                    assert max(apart) >= campaign.margin - 1e-6

    @EXAMPLES
    @given(campaigns)
    def test_a_campaign_read_from_its_document_makes_the_same_steps(
        self, campaign: Campaign
    ) -> None:
        read = Campaign.of_document(json.loads(json.dumps(campaign.to_document())))
        assert read == campaign
        assert read.schedule() == campaign.schedule()

    @EXAMPLES
    @given(campaigns, st.integers(0, 500))
    def test_a_step_is_told_by_its_index_alone(self, campaign: Campaign, index: int) -> None:
        step = campaign.step(index)
        assert step.index == index
        assert campaign.again(step).index == index + len(campaign.schedule())

    def test_three_samples_take_turns_until_the_tip_is_checked(self) -> None:
        names = [step.place.sample for step in SEED.schedule()]
        assert names[:17] == ["tip", *["A2", "B1", "B2"] * 5, "tip"]
        assert names[17:33] == [*["B3", "B4", "B5"] * 5, "tip"]

    def test_that_of_the_application_note_has_405_images_and_28_checks(self) -> None:
        assert len(scheduled(SEED, "image")) == 9 * 45
        assert len(scheduled(SEED, "tip")) == 27 + 1

    def test_a_random_order_is_told_by_its_seed(self) -> None:
        orders = [
            [s.place.sample for s in Campaign(("A", "B"), order="random", seed=seed).schedule()]
            for seed in (1, 1, 2)
        ]
        assert orders[0] == orders[1] != orders[2]

    def test_fields_lie_about_the_middle_of_the_sample(self) -> None:
        places = [step.place for step in scheduled(SEED, "image") if step.place.sample == "C5"]
        assert (places[0].x, places[0].y) == (0.0, 0.0)
        assert max(max(abs(p.x), abs(p.y)) for p in places) == 3 * (4.0 + SEED.margin)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"samples": ()}, "name each once, and one or more"),
            ({"samples": ("A", "A")}, "name each once, and one or more"),
            ({"samples": "A2"}, "give a sequence of names"),
            ({"samples": ("A", "tip")}, "is the tip sample"),
            ({"images": 0}, "images is 0: a whole number of at least 1"),
            ({"tip_every": 1.5}, "tip_every is 1.5"),
            ({"order": "snake"}, "choose one of interleaved, random, by sample"),
            ({"setpoint": -1.0}, "setpoint is -1 nN: it must be above 0"),
            ({"margin": float("nan")}, "margin is nan"),
        ],
    )
    def test_refuses_what_makes_no_campaign(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            Campaign(**{"samples": ("A",), **arguments})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0.0}, "size is 0 µm: it must be above 0"),
        ({"rate": float("inf")}, "rate is inf"),
        ({"lines": 0}, "lines is 0"),
        ({"points": 2.5}, "points is 2.5"),
        ({"aspect": -1.0}, "aspect is -1"),
        ({"angle": float("nan")}, "angle is nan"),
    ],
)
def test_a_scan_that_makes_no_frame_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scan(**{"size": 4.0, "rate": 1.0, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"sample": ""}, "name a position"), ({"x": float("nan")}, "x is nan"), ({"field": -1}, "-1")],
)
def test_a_place_that_is_none_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Place(**{"sample": "A2", **arguments})


def test_the_pixels_of_the_tip_scan_are_square() -> None:
    assert SEED.tip_scan.pixel_size == pytest.approx((2.5 / 512, 2.5 / 512))


def test_a_scan_lies_within_its_extent_whatever_its_angle() -> None:
    assert Scan(4.0, 1.0, aspect=2.0, angle=90.0).extent == pytest.approx((2.0, 4.0))


def test_fields_spread_from_the_middle_and_each_is_next_to_the_last() -> None:
    cells = [spiral(number) for number in range(200)]
    assert len(set(cells)) == 200
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in pairwise(cells))
    assert max(max(abs(a), abs(b)) for a, b in cells[:81]) == 4


class TestCourse:
    """What is next, after whatever was done."""

    @EXAMPLES
    @given(campaigns)
    def test_with_a_good_tip_it_is_the_schedule(self, campaign: Campaign) -> None:
        bench = Bench([])
        bench.run(Course(campaign))
        assert [step for step, _ in bench.made] == list(campaign.schedule())

    @EXAMPLES
    @given(campaigns, verdicts)
    def test_every_image_counts_once_whatever_the_checks_find(
        self, campaign: Campaign, found: list[str]
    ) -> None:
        course = Course(campaign)
        Bench(found).run(course)
        counting = Counter(
            (step.place.sample, step.number)
            for step in (campaign.step(done.index) for done in course.counting)
        )
        wanted = {(s.place.sample, s.number): 1 for s in scheduled(campaign, "image")}
        assert counting == wanted

    @EXAMPLES
    @given(campaigns, verdicts, st.integers(0, 60))
    def test_a_resumed_campaign_goes_on_as_if_nothing_had_been(
        self, campaign: Campaign, found: list[str], stop: int
    ) -> None:
        whole = Bench(found)
        whole.run(Course(campaign))
        broken = Bench(found)
        broken.run(Course(campaign), lambda: len(broken.made) == stop)
        record = [done for _, done in broken.made]
        broken.run(Course(campaign, reversed(record)))
        assert broken.made == whole.made

    @EXAMPLES
    @given(campaigns, verdicts)
    def test_nothing_is_imaged_with_a_probe_that_a_check_has_refused(
        self, campaign: Campaign, found: list[str]
    ) -> None:
        bench, course = Bench(found), Course(campaign)
        while course.step is not None:
            done = bench.do(course)
            if done.probe in course.condemned:
                assert course.condemned[done.probe].index == done.index

    @EXAMPLES
    @given(campaigns, verdicts)
    def test_what_counts_was_followed_by_a_good_check_of_its_probe(
        self, campaign: Campaign, found: list[str]
    ) -> None:
        bench, course = Bench(found), Course(campaign)
        bench.run(course)
        order = [done for _, done in bench.made]
        for image in course.counting:
            later = order[order.index(image) :]
            check = next(done for done in later if done.check is not None and done.check.good)
            assert check.probe == image.probe

    def test_a_worn_tip_has_the_images_since_the_last_good_check_made_again(self) -> None:
        campaign = Campaign(("A",), images=4, tip_every=2)
        bench = Bench(["good", "good", "worn"])
        bench.run(Course(campaign))
        numbers = [(step.kind, step.number, done.probe) for step, done in bench.made]
        assert numbers == [
            ("tip", 0, "1"),
            ("image", 0, "1"),
            ("image", 1, "1"),
            ("tip", 1, "1"),
            ("image", 2, "1"),
            ("image", 3, "1"),
            ("tip", 2, "1"),  # worn
            ("tip", 2, "2"),  # the new probe's
            ("image", 2, "2"),
            ("image", 3, "2"),
            ("tip", 2, "2"),
        ]

    def test_a_check_that_tells_nothing_is_repeated_once_elsewhere(self) -> None:
        campaign = Campaign(("A",), images=1)
        bench = Bench(["suspect", "good"])
        bench.run(Course(campaign))
        first, second = (step for step, _ in bench.made[:2])
        assert first.number == second.number == 0
        assert first.place != second.place
        assert {done.probe for _, done in bench.made} == {"1"}

    def test_a_second_check_that_tells_nothing_ends_the_use_of_the_probe(self) -> None:
        bench, course = Bench(["suspect", "no tip"]), Course(Campaign(("A",), images=1))
        bench.run(course)
        assert set(course.condemned) == {"1"}

    def test_images_of_a_probe_that_was_changed_without_a_check_are_made_again(self) -> None:
        campaign = Campaign(("A",), images=3, tip_every=3)
        bench, course = Bench([]), Course(campaign)
        bench.run(course, lambda: len(bench.made) == 3)
        bench.probe = 7
        bench.run(course)
        numbers = [(step.kind, step.number, done.probe) for step, done in bench.made[3:]]
        again = [("image", 0, "7"), ("image", 1, "7"), ("tip", 1, "7")]
        assert numbers == [("image", 2, "7"), ("tip", 1, "7"), *again]

    def test_the_baseline_of_a_probe_is_its_first_good_check(self) -> None:
        campaign = Campaign(("A",), images=2, tip_every=1)
        later = TipResult("good", 61.0)
        record = [Done(0, "1", SUSPECT), Done(5, "1", GOOD), Done(1, "1"), Done(2, "1", later)]
        course = Course(campaign, record)
        assert course.baseline("1") == GOOD
        assert course.baseline("2") is None

    def test_a_record_of_another_campaign_is_refused(self) -> None:
        campaign = Campaign(("A",), images=2)
        with pytest.raises(ValueError, match="its record is that of another campaign"):
            Course(campaign, [Done(0, "1")])

    def test_a_step_that_is_recorded_twice_is_refused(self) -> None:
        campaign = Campaign(("A",), images=2)
        with pytest.raises(ValueError, match="step 1 of campaign is recorded twice"):
            Course(campaign, [Done(1, "1"), Done(1, "1")])


class TestRecord:
    """What a recorded run did of its campaign."""

    def test_an_image_is_done_by_a_run_that_ended_well(self) -> None:
        assert Done.of_run(START, STOP, None) == Done(7, "2")

    def test_a_check_is_done_with_its_verdict(self) -> None:
        data = {"tip_status": "worn", "tip_diameter": 64.0}
        done = Done.of_run(TIP, STOP, data)
        assert done is not None
        assert done.check is not None
        assert (done.check.status, done.check.diameter) == ("worn", 64.0)

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            ({}, STOP),
            (START, {"exit_status": "abort", "num_events": {"primary": 1}}),
            (START, {"exit_status": "success", "num_events": {}}),  # stopped, with no image
            (TIP, STOP),  # stopped before the verdict
        ],
    )
    def test_nothing_is_done_by_any_other(self, start: Any, stop: Any) -> None:
        assert Done.of_run(start, stop, None) is None
