"""The live analysis: results come through futures, the RunEngine's thread never waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_model import compose_run

from station.journal import Journal, list_runs
from station.live import LiveAnalysis, LiveAnalysisError

PIXEL_NM = 10.0
TARGETS = (0.0, 0.2, 0.4, 0.2, 0.0, 0.2, 0.4)
# What the stage really did, pixels along x at each stop: short by 5 after each reversal.
PIXELS = (0, 20, 40, 25, 5, 20, 40)


def stage_run(positions: tuple[int, ...] = PIXELS) -> Iterator[tuple[str, dict[str, Any]]]:
    """A raw run along x with its images in the events."""
    scene = np.random.default_rng(1).normal(size=(160, 240))
    scene = np.sum([np.roll(scene, shift, axis) for shift in range(3) for axis in (0, 1)], axis=0)
    run = compose_run(
        metadata={
            "plan_name": "hysteresis",
            "purpose": "raw",
            "scan_id": 7,
            "fields": {
                "image": "image",
                "pixel_size": "pixel_size",
                "camera_to_stage": "rotation",
                "axes": {"x": {"reported": "x", "target": "x_target"}},
            },
        }
    )
    yield "start", dict(run.start_doc)
    keys: dict[str, Any] = {
        name: {"source": "test", "dtype": "number", "shape": []} for name in ("x", "x_target")
    }
    keys["image"] = {"source": "test", "dtype": "array", "shape": [128, 128]}
    stream = run.compose_descriptor(
        "primary",
        keys,
        configuration={
            "camera": {
                "data": {"pixel_size": PIXEL_NM, "rotation": [[1.0, 0.0], [0.0, 1.0]]},
                "timestamps": {"pixel_size": 0.0, "rotation": 0.0},
                "data_keys": {},
            }
        },
    )
    yield "descriptor", dict(stream.descriptor_doc)
    for target, column in zip(TARGETS, positions, strict=False):
        # The field moves with the stage: what it shows begins `column` pixels further right.
        image = scene[16:144, 48 + column : 176 + column]
        data = {"image": image, "x": target, "x_target": target}
        event = stream.compose_event(data=data, timestamps=dict.fromkeys(data, 0.0))
        yield "event", dict(event)
    yield "stop", dict(run.compose_stop())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path) as opened:
        yield opened


@pytest.fixture
def live(journal: Journal) -> Iterator[LiveAnalysis]:
    analysis = LiveAnalysis(journal)
    yield analysis
    analysis.close()


def send(live: LiveAnalysis, documents: Any) -> str:
    uid = ""
    for name, doc in documents:
        uid = doc["uid"] if name == "start" else uid
        live(name, doc)
    return uid


def test_the_future_holds_the_displacements_that_the_images_show(live: LiveAnalysis):
    result = live.future(send(live, stage_run())).result(timeout=60)
    found = result.steps.actual_displacement[:, 0] * 1e3 / PIXEL_NM
    np.testing.assert_allclose(found, np.diff(PIXELS), atol=0.05)


def test_the_journal_holds_an_analysis_run_that_names_its_raw_run(
    live: LiveAnalysis, journal: Journal
):
    uid = send(live, stage_run())
    live.future(uid).result(timeout=60)
    (run,) = list_runs(journal.folder)
    assert (run.purpose, run.raw_uid, run.exit_status) == ("analysis", uid, "success")


def test_a_future_can_be_asked_for_before_the_run_has_ended(live: LiveAnalysis):
    documents = list(stage_run())
    uid = send(live, documents[:4])
    future = live.future(uid)
    send(live, documents[4:])
    assert future.result(timeout=60).raw_uid == uid


def test_runs_that_are_open_together_do_not_mix(live: LiveAnalysis):
    both = [list(stage_run()), list(stage_run())]
    for pair in zip(*both, strict=True):
        for name, doc in pair:
            live(name, doc)
    for documents in both:
        uid = documents[0][1]["uid"]
        assert live.future(uid).result(timeout=60).raw_uid == uid


def test_a_run_without_images_fails_its_future_in_words(live: LiveAnalysis):
    run = compose_run(metadata={"plan_name": "count"})
    uid = send(live, [("start", dict(run.start_doc)), ("stop", dict(run.compose_stop()))])
    with pytest.raises(LiveAnalysisError, match="was not analysed: no stage images"):
        live.future(uid).result(timeout=60)


def test_a_run_of_another_session_fails_at_once(live: LiveAnalysis):
    with pytest.raises(LiveAnalysisError, match="not one of the last"):
        live.future("5f3a").result(timeout=0)


def test_a_run_of_one_stop_says_why_there_is_no_result(live: LiveAnalysis):
    uid = send(live, stage_run(PIXELS[:1]))
    with pytest.raises(LiveAnalysisError, match="at least two stops"):
        live.future(uid).result(timeout=60)


def test_a_plan_that_gives_up_waiting_takes_the_result_from_nobody(live: LiveAnalysis):
    documents = list(stage_run())
    uid = send(live, documents[:4])
    assert not live.future(uid).cancel()
    send(live, documents[4:])
    assert live.future(uid).result(timeout=60).raw_uid == uid


def test_an_analysis_that_cannot_be_recorded_fails_its_future():
    def full(_name: str, _doc: Mapping[str, Any]) -> None:
        raise OSError("disk full")

    live = LiveAnalysis(full)
    future = live.future(send(live, stage_run()))
    with pytest.raises(LiveAnalysisError, match="the log has why"):
        future.result(timeout=60)
    live.close()


def test_a_run_that_is_open_when_the_station_closes_fails_its_future(tmp_path: Path):
    journal = Journal(tmp_path)
    live = LiveAnalysis(journal)
    future = live.future(send(live, list(stage_run())[:2]))
    journal.close()  # what is left cannot be recorded either
    live.close()
    with pytest.raises(LiveAnalysisError):
        future.result(timeout=0)


class Stuck:
    """An analysis that waits."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.seen: list[str] = []

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        self.go_on.wait(10)
        self.seen.append(name)

    def close(self) -> None:
        """Nothing is open."""


def test_a_document_is_taken_while_the_analysis_is_busy_and_none_is_lost(journal: Journal):
    router = Stuck()
    live = LiveAnalysis(journal, lambda _emit: router)  # type: ignore[arg-type, return-value]
    documents = list(stage_run())
    send(live, documents)
    assert router.seen == []
    router.go_on.set()
    live.close()
    assert router.seen == [name for name, _ in documents]
