"""The image classifier as a plan meets it: a prediction on the AFM's last image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from campaign_bench import CampaignBench, campaign_bench
from numpy.typing import NDArray

from devices.image_classifier import ImageClassifier
from devices.wire import RefusedError

FRAME = {
    "scan_size": 2.0,
    "aspect_ratio": 1.0,
    "scan_rate": 4.0,
    "lines": 8,
    "samples_per_line": 8,
}
CLASSES = ("A2", "C3", "C5")


@dataclass(frozen=True)
class Found:
    """What a network says."""

    label: str = "C3"
    probability: float = 0.75
    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.array([0.2, 0.75, 0.05]))
    spread: float = 0.03
    novelty: float = 0.4
    abstained: bool = False
    reason: str = ""


class Network:
    """Says what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.found: Any = Found()
        self.asked: list[tuple[Mapping[str, NDArray[Any]], Mapping[str, str], float]] = []

    def __call__(
        self, channels: Mapping[str, NDArray[Any]], units: Mapping[str, str], size_um: float
    ) -> Any:
        self.asked.append((channels, units, size_um))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def classifier(bench: CampaignBench, network: Network) -> Any:
    return ImageClassifier(
        bench.afm, network, model="icp:3", classes=CLASSES, name="image_classifier"
    )


def scan(bench: CampaignBench, mode: str = "PeakForce QNM") -> None:
    """Take an image."""
    imager = bench.afm.imager
    bench.afm.scanner.frame.set(FRAME).wait(timeout=30)
    imager.mode.set(mode).wait(timeout=30)
    imager.stage()
    imager.engage.set(1).wait(timeout=30)
    imager.trigger().wait(timeout=30)
    imager.unstage()
    bench.afm.withdraw()


def test_a_prediction_is_read_with_all_that_tells_how_sure_it_is(
    bench: CampaignBench, classifier: Any
) -> None:
    scan(bench)
    classifier.trigger().wait(timeout=30)
    read = {key: entry["value"] for key, entry in classifier.read().items()}
    np.testing.assert_array_equal(read.pop("image_classifier_probabilities"), [0.2, 0.75, 0.05])
    assert read == {
        "image_classifier_label": "C3",
        "image_classifier_probability": 0.75,
        "image_classifier_spread": 0.03,
        "image_classifier_novelty": 0.4,
        "image_classifier_abstained": 0,
        "image_classifier_reason": "",
    }


def test_an_abstention_is_read_with_its_reason(
    bench: CampaignBench, classifier: Any, network: Network
) -> None:
    network.found = Found(abstained=True, reason="unlike the images", novelty=3.0)
    scan(bench)
    classifier.trigger().wait(timeout=30)
    assert classifier.abstained.get() == 1
    assert classifier.reason.get() == "unlike the images"


def test_model_and_classes_are_recorded_as_configuration(classifier: Any) -> None:
    configured = classifier.read_configuration()
    assert configured["image_classifier_model"]["value"] == "icp:3"
    assert configured["image_classifier_classes"]["value"] == list(CLASSES)


def test_it_looks_at_the_channels_of_the_last_image_with_units_and_size(
    bench: CampaignBench, classifier: Any, network: Network
) -> None:
    scan(bench)
    classifier.trigger().wait(timeout=30)
    ((channels, units, size_um),) = network.asked
    last, _ = bench.afm.imager.last_image
    assert channels["deformation"] is last["deformation"]
    assert (units["deformation"], units["adhesion"]) == ("m", "N")
    assert size_um == pytest.approx(2.0)


def test_a_channel_of_a_mode_that_was_left_has_no_unit_any_more(
    bench: CampaignBench, classifier: Any, network: Network
) -> None:
    scan(bench)
    bench.afm.imager.mode.set("Tapping").wait(timeout=30)
    classifier.trigger().wait(timeout=30)
    ((_, units, _),) = network.asked
    assert units["deformation"] == ""


def test_a_refusal_fails_the_status_with_its_cause(
    bench: CampaignBench, classifier: Any, network: Network
) -> None:
    network.found = ValueError("model icp:3 wants phase; the image has deformation")
    scan(bench)
    with pytest.raises(ValueError, match="wants phase"):
        classifier.trigger().wait(timeout=30)


def test_probabilities_of_other_classes_fail_the_status(
    bench: CampaignBench, classifier: Any, network: Network
) -> None:
    network.found = Found(probabilities=np.array([0.5, 0.5]))
    scan(bench)
    with pytest.raises(ValueError, match="2 probabilities for 3 classes"):
        classifier.trigger().wait(timeout=30)


def test_without_an_image_there_is_nothing_to_look_at(classifier: Any) -> None:
    with pytest.raises(RefusedError, match="no image to look at: take one"):
        classifier.trigger()


def test_before_it_has_looked_it_has_nothing_to_say(classifier: Any) -> None:
    with pytest.raises(RefusedError, match="has not looked yet: trigger it first"):
        classifier.label.get()


def test_a_plan_reads_it_into_its_run(bench: CampaignBench, classifier: Any) -> None:
    scan(bench)

    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.trigger(classifier, wait=True)
        yield from bps.create("prediction")
        yield from bps.read(classifier)
        yield from bps.save()

    bench.engine(plan())
    (event,) = bench.documents.of("event")
    assert event["data"]["image_classifier_label"] == "C3"
