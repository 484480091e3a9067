"""Campaigns that leave a sample when its class is certain, or the probe tells no more of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky.simulators import RunEngineSimulator
from campaign_bench import CampaignBench, campaign_bench
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.sequential import Decision, Dependence, StoppingRule
from devices.image_classifier import ImageClassifier
from plans import (
    AdaptiveEstimate,
    Campaign,
    ClassResult,
    Course,
    Done,
    ImagingEstimate,
    ProbeError,
    Scan,
    Step,
    TipResult,
    campaign,
    estimate_campaign,
    probes_from_box,
)

FIRST = "RTESPA-150-30-0001"  # the probe that the simulator begins with
SMALL = Scan(1.0, 4.0, 8, 8)
CLASSES = ("A2", "C3", "C5")
RULE = StoppingRule(0.95, 2, dependence=Dependence(0.1))
REPEATING = StoppingRule(0.95, 2, dependence=Dependence(0.8))
CLEAR, UNCLEAR = (0.98, 0.01, 0.01), (0.4, 0.3, 0.3)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def adaptive(**changes: Any) -> Campaign:
    """Return a campaign of two samples of up to six images each, a check after four."""
    told: dict[str, Any] = {"samples": ("A2", "C5"), "images": 6, "tip_every": 4, "rule": RULE}
    return Campaign(**{**told, "scan": SMALL, "tip_scan": SMALL, **changes})


def says(*probabilities: float, abstained: bool = False) -> ClassResult:
    return ClassResult(CLASSES, probabilities, abstained)


class Walk:
    """Does the steps of a campaign: images show what `shows` says, checks find `verdicts`."""

    def __init__(
        self, shows: Callable[[Step], ClassResult | None], verdicts: tuple[str, ...] = ()
    ) -> None:
        self.shows = shows
        self.verdicts = list(verdicts)
        self.probe = 1
        self.made: list[tuple[Step, Done]] = []

    def run(self, course: Course, most: int | None = None) -> Course:
        while course.step is not None and (most is None or len(self.made) < most):
            step = course.step
            if str(self.probe) in course.condemned:
                self.probe += 1
            if step.kind == "tip":
                found = TipResult(self.verdicts.pop(0) if self.verdicts else "good")
                done = Done(step.index, str(self.probe), found)
            else:
                done = Done(step.index, str(self.probe), prediction=self.shows(step))
            self.made.append((step, done))
            course.finished(done)
        return course

    @property
    def images(self) -> Counter[str]:
        return Counter(step.place.sample for step, _ in self.made if step.kind == "image")

    @property
    def kinds(self) -> str:
        return "".join(step.kind[0] for step, _ in self.made)


def clear(step: Step) -> ClassResult:
    """Show plainly what the sample is."""
    return says(*(0.98 if name == step.place.sample else 0.01 for name in CLASSES))


def unclear(step: Step) -> ClassResult:
    return says(*UNCLEAR)


class TestCourse:
    """Which images a campaign with a rule takes."""

    def test_a_sample_has_no_more_images_than_make_its_class_certain(self) -> None:
        walk = Walk(clear)
        course = walk.run(Course(adaptive()))
        assert walk.images == {"A2": 2, "C5": 2}
        assert [found.label for found in course.decisions.values()] == ["A2", "C5"]
        assert all(found.certain for found in course.decisions.values())

    def test_a_sample_that_is_not_certain_has_all_its_images(self) -> None:
        walk = Walk(lambda step: clear(step) if step.place.sample == "A2" else unclear(step))
        course = walk.run(Course(adaptive()))
        assert walk.images == {"A2": 2, "C5": 6}
        assert not course.decisions["C5"].certain

    def test_the_tip_is_checked_after_so_many_images_that_were_taken(self) -> None:
        walk = Walk(lambda step: clear(step) if step.place.sample == "A2" else unclear(step))
        walk.run(Course(adaptive()))
        assert walk.kinds == "tiiiitiiiit"

    def test_the_last_images_are_followed_by_a_check(self) -> None:
        walk = Walk(clear)
        course = walk.run(Course(adaptive(tip_every=50)))
        assert walk.kinds == "tiiiit"
        assert len(course.counting) == 4

    def test_a_sample_of_which_the_probe_tells_no_more_is_left(self) -> None:
        walk = Walk(unclear)
        course = walk.run(Course(adaptive(images=40, rule=REPEATING)))
        assert 2 <= walk.images["A2"] == walk.images["C5"] < 20
        assert course.decisions["A2"].exhausted
        assert not course.decisions["A2"].certain

    def test_a_sample_that_was_left_is_imaged_on_with_a_new_probe(self) -> None:
        def shows(step: Step) -> ClassResult:
            if step.place.sample == "A2":
                return says(*UNCLEAR)
            return says(0.05, 0.9, 0.05) if step.number % 2 else says(0.05, 0.05, 0.9)

        walk = Walk(shows, ("good", "good", "worn"))
        walk.run(Course(adaptive(images=12, rule=REPEATING)))
        probes = [done.probe for step, done in walk.made if step.place.sample == "A2"]
        assert probes[:3] == ["1", "1", "2"]

    def test_there_is_a_check_for_every_new_probe_that_may_tell_more(self) -> None:
        # scheduled are two checks; each worn tip calls for a few images more, and for another
        walk = Walk(unclear, ("good", *["worn", "good", "good"] * 3))
        what = adaptive(images=20, tip_every=100, rule=REPEATING)
        course = walk.run(Course(what))
        assert all(found.settled for found in course.decisions.values())
        order = [step.index for step, _ in walk.made]
        assert len(set(order)) == len(order)

    def test_images_that_are_abstained_on_make_nothing_certain(self) -> None:
        walk = Walk(lambda step: says(*CLEAR, abstained=True))
        course = walk.run(Course(adaptive()))
        assert walk.images == {"A2": 6, "C5": 6}
        assert course.decisions["A2"] == Decision(abstained=6)

    def test_images_without_a_prediction_make_nothing_certain(self) -> None:
        walk = Walk(lambda step: None)
        walk.run(Course(adaptive()))
        assert walk.images == {"A2": 6, "C5": 6}

    def test_what_a_bad_tip_showed_is_forgotten_and_imaged_again(self) -> None:
        walk = Walk(clear, ("good", "worn"))
        course = walk.run(Course(adaptive()))
        told = [(step.kind, step.number, step.attempt, done.probe) for step, done in walk.made]
        first = [("image", 0, 0, "1"), ("image", 0, 0, "1"), ("image", 1, 0, "1")]
        assert told[:5] == [("tip", 0, 0, "1"), *first, ("image", 1, 0, "1")]
        assert told[5:7] == [("tip", 1, 0, "1"), ("tip", 1, 1, "2")]
        assert [entry[:1] + entry[2:] for entry in told[7:]] == [
            *[("image", 1, "2")] * 4,
            ("tip", 2, "2"),
        ]
        assert {image.probe for image in course.counting} == {"2"}
        assert all(found.certain for found in course.decisions.values())

    def test_images_of_a_bad_tip_whose_sample_is_certain_without_are_not_imaged_again(self) -> None:
        walk = Walk(lambda step: clear(step) if step.attempt else unclear(step), ("good", "worn"))
        walk.run(Course(adaptive(samples=("A2",), images=4)))
        # four unclear images are lost; of their repetitions two are enough
        assert walk.images == {"A2": 4 + 2}

    @EXAMPLES
    @given(
        st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=4, unique=True).map(tuple),
        st.integers(2, 7),
        st.integers(1, 20),
        st.sampled_from([RULE, REPEATING]),
        st.sampled_from(["interleaved", "random", "by sample"]),
        st.lists(st.sampled_from(["good", "good", "worn", "suspect"]), max_size=12).map(tuple),
        st.integers(0, 2**16),
    )
    def test_is_over_when_each_sample_is_settled_or_has_all_its_images_by_good_tips(
        self,
        samples: tuple[str, ...],
        images: int,
        every: int,
        rule: StoppingRule,
        order: str,
        verdicts: tuple[str, ...],
        seed: int,
    ) -> None:
        what = adaptive(samples=samples, images=images, tip_every=every, rule=rule, order=order)
        walk = Walk(drawn_by(seed), verdicts)
        course = walk.run(Course(what))
        counting = Counter(what.step(done.index).place.sample for done in course.counting)
        for sample, found in course.decisions.items():
            assert found.settled or counting[sample] == images

    @EXAMPLES
    @given(
        st.integers(0, 2**16),
        st.integers(1, 30),
        st.lists(st.sampled_from(["good", "good", "worn", "suspect"]), max_size=8).map(tuple),
    )
    def test_broken_off_anywhere_and_gone_on_with_it_takes_the_same_images(
        self, seed: int, stop: int, verdicts: tuple[str, ...]
    ) -> None:
        what = adaptive(samples=("A2", "C3", "C5"), tip_every=3)
        whole, broken = Walk(drawn_by(seed), verdicts), Walk(drawn_by(seed), verdicts)
        once = whole.run(Course(what))
        broken.run(Course(what), most=stop)
        again = broken.run(Course(what, [done for _, done in reversed(broken.made)]))
        assert broken.made == whole.made
        assert again.decisions == once.decisions

    def test_without_a_rule_predictions_change_nothing(self) -> None:
        walk = Walk(clear)
        course = walk.run(Course(adaptive(rule=None)))
        assert walk.images == {"A2": 6, "C5": 6}
        assert course.decisions == {}

    def test_predictions_of_different_classes_are_not_mixed(self) -> None:
        other = ClassResult(("A2", "B1"), (0.5, 0.5))
        record = [
            Done(0, "1", TipResult("good")),
            Done(1, "1", prediction=other),
            Done(2, "1", prediction=says(*CLEAR)),
        ]
        with pytest.raises(ValueError, match="models of different classes"):
            Course(adaptive(samples=("A2",)), record)


def drawn_by(seed: int) -> Callable[[Step], ClassResult]:
    """Show what is drawn for the field, the same whenever it is imaged."""

    def shows(step: Step) -> ClassResult:
        rng = np.random.default_rng([seed, step.index])
        drawn = rng.dirichlet([0.4, 0.4, 0.4])
        return says(*drawn.tolist(), abstained=bool(rng.random() < 0.2))

    return shows


class TestCampaign:
    """The rule as a campaign has it."""

    def test_any_of_its_runs_tells_the_rule(self) -> None:
        what = adaptive()
        assert Campaign.of_document(json.loads(json.dumps(what.to_document()))) == what

    def test_campaigns_of_old_had_none(self) -> None:
        document = adaptive(rule=None).to_document()
        del document["rule"]
        assert Campaign.of_document(document).rule is None

    def test_refuses_fewer_images_than_the_rule_needs(self) -> None:
        with pytest.raises(ValueError, match="images is 2: the rule needs at least 3 of a sample"):
            adaptive(images=2, rule=StoppingRule(0.9, 3))


@dataclass(frozen=True)
class Shown:
    """What a network says."""

    probabilities: NDArray[np.float64]
    abstained: bool = False
    reason: str = ""
    spread: float = 0.01
    novelty: float = 0.2

    @property
    def label(self) -> str:
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        return float(self.probabilities.max())


@dataclass
class Network:
    """Says one after the other what it is told to, then that it is the first class."""

    answers: list[Any] = field(default_factory=list)
    asked: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def __call__(
        self, channels: Mapping[str, NDArray[Any]], units: Mapping[str, str], size_um: float
    ) -> Shown:
        self.asked.append((dict(units), size_um))
        answer = self.answers.pop(0) if self.answers else CLEAR
        if isinstance(answer, Exception):
            raise answer
        return Shown(np.array(answer))


@dataclass
class Bench:
    """A bench with a classifier."""

    afm: CampaignBench
    network: Network
    classifier: ImageClassifier

    def run(self, what: Campaign, **arguments: Any) -> Any:
        """Run a campaign and return what it hands back."""
        told = {"classifier": self.classifier, **arguments}
        plan = campaign(self.afm.afm, what, qualifier=self.afm.qualifier, **told)
        outcome: Any = self.afm.engine(plan)
        return outcome.plan_result

    @property
    def starts(self) -> list[dict[str, Any]]:
        return self.afm.documents.of("start")

    @property
    def indices(self) -> list[int]:
        return [start["campaign"]["index"] for start in self.starts]

    def events(self, stream: str) -> dict[str, dict[str, Any]]:
        """Data of the event of each run in a stream, by the uid of the run."""
        of = {d["uid"]: d for d in self.afm.documents.of("descriptor") if d["name"] == stream}
        return {
            of[event["descriptor"]]["run_start"]: event["data"]
            for event in self.afm.documents.of("event")
            if event["descriptor"] in of
        }

    @property
    def record(self) -> list[Done]:
        """What the documents, written and read again, say was done."""
        checks, said = self.events("tip_check"), self.events("prediction")
        stops = {stop["run_start"]: stop for stop in self.afm.documents.of("stop")}
        told = []
        for start in self.starts:
            uid = start["uid"]
            written = [start, stops[uid], checks.get(uid), said.get(uid)]
            told.append(
                Done.of_run(*(json.loads(json.dumps(doc, default=list)) for doc in written))
            )
        return [done for done in told if done is not None]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with campaign_bench(tmp_path / "assets") as opened:
        network = Network()
        classifier = ImageClassifier(
            opened.afm, network, model="icp:3", classes=CLASSES, name="classifier"
        )
        yield Bench(opened, network, classifier)


class TestPlan:
    """An adaptive campaign on a simulated AFM behind the real wire."""

    def test_stops_imaging_samples_that_are_certain(self, bench: Bench) -> None:
        found = bench.run(adaptive())
        assert bench.indices == [0, 1, 2, 3, 4, 5]
        assert [step.place.sample for step in map(adaptive().step, found.counting)] == [
            "A2",
            "C5",
            "A2",
            "C5",
        ]
        assert {sample: (d.label, d.certain) for sample, d in found.decisions.items()} == {
            "A2": ("A2", True),
            "C5": ("A2", True),
        }
        assert bench.afm.safe

    def test_every_prediction_is_in_the_run_of_its_image(self, bench: Bench) -> None:
        bench.network.answers = [UNCLEAR]
        bench.run(adaptive())
        images = [s["uid"] for s in bench.starts if s["campaign"]["purpose"] == "sample"]
        said = bench.events("prediction")
        assert list(said) == images
        np.testing.assert_allclose(said[images[0]]["classifier_probabilities"], UNCLEAR)
        assert said[images[1]]["classifier_label"] == "A2"

    def test_the_start_tells_the_model_and_where_its_prediction_is(self, bench: Bench) -> None:
        bench.run(adaptive())
        tip, image = bench.starts[:2]
        assert image["classifier"] == {"model": "icp:3", "classes": list(CLASSES)}
        assert image["fields"]["prediction"]["label"] == "classifier_label"
        assert "classifier" not in tip

    def test_the_tip_is_withdrawn_while_the_image_is_looked_at(self, bench: Bench) -> None:
        states: list[bool] = []
        say = bench.network.__call__

        def look(*asked: Any) -> Shown:
            states.append(bench.afm.safe)
            return say(*asked)

        bench.classifier = ImageClassifier(
            bench.afm.afm, look, model="icp:3", classes=CLASSES, name="classifier"
        )
        bench.run(adaptive())
        assert states == [True] * 4

    def test_goes_on_from_its_record_as_if_it_had_not_been_broken_off(self, bench: Bench) -> None:
        bench.network.answers = [CLEAR, UNCLEAR]
        bench.afm.find("good", "worn")
        what = adaptive()
        with pytest.raises(ProbeError):
            bench.run(what)
        before = list(bench.indices)
        bench.afm.afm.probe.load.set("2").wait(timeout=30)
        found = bench.run(what, done=bench.record)
        walk = Walk(lambda step: says(*CLEAR))
        walk.made = [(what.step(done.index), done) for done in bench.record[: len(before)]]
        walk.probe = 2
        expected = walk.run(Course(what, [done for _, done in walk.made]))
        assert bench.indices == [done.index for _, done in walk.made]
        assert found.counting == tuple(done.index for done in expected.counting)

    def test_a_complete_one_has_nothing_left_to_do(self, bench: Bench) -> None:
        what = adaptive()
        found = bench.run(what)
        again = bench.run(what, done=bench.record)
        assert again.runs == ()
        assert again.decisions == found.decisions

    def test_a_new_probe_takes_again_what_a_worn_tip_showed(self, bench: Bench) -> None:
        bench.afm.find("good", "worn")
        found = bench.run(adaptive(), new_probe=probes_from_box(bench.afm.afm, ["2"]))
        serials = {start["campaign"]["index"]: start["probe_serial"] for start in bench.starts}
        assert {serials[index] for index in found.counting} == {"2"}
        assert len(found.counting) == 4

    def test_a_classifier_that_fails_costs_no_image(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.network.answers = [RuntimeError("the worker was killed")]
        found = bench.run(adaptive())
        counting = Counter(adaptive().step(index).place.sample for index in found.counting)
        assert counting == {"A2": 3, "C5": 2}
        assert {stop["exit_status"] for stop in bench.afm.documents.of("stop")} == {"success"}
        assert "the image is not classified: the worker was killed" in caplog.text

    def test_without_a_rule_images_are_classified_and_all_taken(self, bench: Bench) -> None:
        found = bench.run(adaptive(images=3, rule=None))
        assert len(found.counting) == 6
        assert len(bench.events("prediction")) == 6
        assert found.decisions == {}

    def test_may_be_rehearsed_message_by_message(self, bench: Bench) -> None:
        plan = campaign(
            bench.afm.afm, adaptive(), qualifier=bench.afm.qualifier, classifier=bench.classifier
        )
        messages = RunEngineSimulator().simulate_plan(plan)
        triggers = [m.obj.name for m in messages if m.command == "trigger"]
        assert triggers.count("classifier") == 12  # nobody answers: no class is certain


class TestRefusals:
    """What is refused before anything moves."""

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (None, "it needs a classifier"),
            ((), "model icp:3 tells no classes apart"),
            (("A2", "B1"), "tells A2, B1 apart, but the images .* classified as A2, C3, C5"),
        ],
    )
    def test_a_classifier_that_cannot_decide(
        self, bench: Bench, classes: Any, message: str
    ) -> None:
        classifier = None
        if classes is not None:
            classifier = ImageClassifier(
                bench.afm.afm, bench.network, model="icp:3", classes=classes, name="classifier"
            )
        done = [Done(0, FIRST, TipResult("good")), Done(1, FIRST, prediction=says(*CLEAR))]
        with pytest.raises(ValueError, match=message) as caught:
            bench.run(adaptive(), classifier=classifier, done=done)
        assert "\n" not in str(caught.value)
        assert bench.afm.documents.all == []
        assert bench.afm.client.sent["chuck.place"] == 0


class TestEstimate:
    """What an adaptive campaign would take."""

    def test_tells_the_least_and_the_most(self, bench: Bench) -> None:
        found = estimate_campaign(bench.afm.afm, adaptive())
        assert isinstance(found, AdaptiveEstimate)
        assert (found.images, found.tip_images) == (12, 4)
        assert (found.least.images, found.least.tip_images) == (4, 2)
        assert str(found).startswith("at least 4 images and 2 of the tip sample")
        assert "\nat most 12 images and 4 of the tip sample" in str(found)

    def test_the_least_is_what_the_confidence_needs(self, bench: Bench) -> None:
        sure = adaptive(rule=StoppingRule(0.99999, 1, 0.0, Dependence(0.0)))
        found = estimate_campaign(bench.afm.afm, sure)
        assert isinstance(found, AdaptiveEstimate)
        assert found.least.images == 4  # no image tells more than one in a thousand

    def test_counts_what_is_left(self, bench: Bench) -> None:
        done = [Done(0, FIRST, TipResult("good")), Done(1, FIRST, prediction=says(*CLEAR))]
        found = estimate_campaign(bench.afm.afm, adaptive(), done=done)
        assert isinstance(found, AdaptiveEstimate)
        assert (found.least.images, found.images) == (3, 11)

    def test_a_fixed_campaign_has_one_number(self, bench: Bench) -> None:
        found = estimate_campaign(bench.afm.afm, adaptive(rule=None))
        assert type(found) is ImagingEstimate
