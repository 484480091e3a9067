"""Live prediction: what the callback asks, what it publishes, and that a replay is the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from event_model import DocumentRouter, compose_run
from numpy.typing import NDArray

from analysis.live import PredictionAnalysis
from analysis.networks.prediction import ModelTerms, Prediction
from analysis.networks.records import result_from_documents
from analysis.replay import replay

Documents = list[tuple[str, dict[str, Any]]]
CLASSES = ("A2", "C5")
TERMS = ModelTerms("icp:3", ("deformation",), CLASSES)


def image_run(
    channels: Mapping[str, str] | None = None, images: int = 2, **changes: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Images in the events; each channel of the n-th image is full of n nm."""
    units = {"height": "m", "deformation": "m"} if channels is None else channels
    start = {
        "plan_name": "image",
        "purpose": "raw",
        "scan_id": 3,
        "technique": "peakforce_qnm",
        "channels": list(units),
        "scan": {"size": 4.0, "lines": 8, "points": 8},
        "fields": {name: f"imager_{name}" for name in units},
    }
    run = compose_run(metadata={**start, **changes})
    yield "start", dict(run.start_doc)
    keys: dict[str, Any] = {
        f"imager_{name}": {"source": "t", "dtype": "array", "shape": [8, 8], "units": unit}
        for name, unit in units.items()
    }
    stream = run.compose_descriptor("primary", keys)
    yield "descriptor", dict(stream.descriptor_doc)
    for number in range(1, images + 1):
        data = {key: np.full((8, 8), 1e-9 * number) for key in keys}
        event = stream.compose_event(data=data, timestamps=dict.fromkeys(keys, 0.0))
        yield "event", dict(event)
    yield "stop", dict(run.compose_stop())


class Model:
    """Says what the level of the deformation is, and remembers what it was asked."""

    def __init__(self, refusal: Exception | None = None, reason: str = "") -> None:
        self.asked: list[tuple[dict[str, Any], dict[str, str], float]] = []
        self.refusal = refusal
        self.reason = reason
        self.seconds = 0.1

    def __call__(
        self, channels: Mapping[str, NDArray[Any]], units: Mapping[str, str], size_um: float
    ) -> Prediction:
        self.asked.append((dict(channels), dict(units), size_um))
        self.seconds += 0.1
        if self.refusal is not None:
            raise self.refusal
        share = float(np.mean(channels["deformation"])) / 10e-9
        values = np.array([1.0 - share, share])
        spreads = np.array([0.02, 0.02])
        return Prediction(TERMS, values, spreads, 0.5, self.reason, self.seconds)


def router(documents: Documents, model: Model) -> PredictionAnalysis:
    def emit(name: str, doc: dict[str, Any]) -> None:
        documents.append((name, doc))

    return PredictionAnalysis(emit, predict=model, terms=TERMS)


def analysed(documents: Any, model: Model | None = None) -> Documents:
    found: Documents = []
    replay(documents, router(found, Model() if model is None else model))
    return found


def stop_of(found: Documents) -> dict[str, Any]:
    return next(doc for name, doc in found if name == "stop")


def test_there_is_a_prediction_for_each_image() -> None:
    result = result_from_documents(analysed(image_run(images=3)))
    assert [each.probabilities[1] for each in result.predictions] == pytest.approx([0.1, 0.2, 0.3])


def test_what_is_read_back_is_what_was_predicted() -> None:
    (found,) = result_from_documents(analysed(image_run(images=1))).predictions
    assert (found.label, found.outputs, found.model) == ("A2", CLASSES, "icp:3")
    np.testing.assert_array_equal(found.spreads, [0.02, 0.02])
    assert found.novelty == 0.5


def test_the_model_is_asked_with_its_channel_the_unit_and_the_size() -> None:
    model = Model()
    analysed(image_run(images=1), model)
    ((channels, units, size_um),) = model.asked
    assert list(channels) == ["deformation"]
    assert units == {"deformation": "m"}
    assert size_um == 4.0


def test_an_abstention_is_told_with_its_reason() -> None:
    found = analysed(image_run(images=1), Model(reason="unlike the images"))
    (prediction,) = result_from_documents(found).predictions
    assert (prediction.abstained, prediction.reason) == (True, "unlike the images")


def test_live_and_replayed_are_the_same_documents() -> None:
    raw = list(image_run())
    live: Documents = []
    model = Model()
    callback = router(live, model)
    for name, doc in raw:  # as a RunEngine would; how long a prediction takes differs
        callback(name, doc)
    assert analysed(raw, Model()) == live


def test_the_documents_are_those_of_the_schema() -> None:
    routed = DocumentRouter()
    for name, doc in analysed(image_run()):
        routed(name, doc, validate=True)


def test_the_analysis_run_names_its_model_and_its_raw_run() -> None:
    raw = list(image_run())
    name, start = analysed(raw)[0]
    assert (name, start["raw_uid"]) == ("start", raw[0][1]["uid"])
    assert start["analysis"]["parameters"]["model"] == "icp:3"


@pytest.mark.parametrize(
    "refusal",
    [
        ValueError("model icp:3 wants deformation in m; the image has it in V"),
        RuntimeError("model icp:3 gave no answer: its process ended (killed by signal 9)"),
    ],
)
def test_a_refusal_ends_the_analysis_with_its_words(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        stop = stop_of(analysed(image_run(), Model(refusal)))
    assert (stop["exit_status"], stop["reason"]) == ("fail", str(refusal))


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": {"height": "m"}},
        {"purpose": "analysis"},
        {"scan": "unknown"},
    ],
)
def test_a_run_that_is_no_image_for_the_model_is_left_alone(changes: dict[str, Any]) -> None:
    assert analysed(image_run(**changes)) == []


def test_a_run_without_images_has_no_result() -> None:
    with pytest.raises(ValueError, match="there is no prediction: no image came"):
        result_from_documents(analysed(image_run(images=0)))


def test_documents_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="these documents are no predictions"):
        result_from_documents(image_run())


def test_a_run_without_the_channel_of_the_model_is_noted_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "analysis.live.predictions"):
        analysed(image_run(channels={"height": "m"}))
    assert "has no deformation for model icp:3" in caplog.text
