"""An image with a problem holds the next ones until somebody has looked."""

from __future__ import annotations

import threading
from typing import Any

import bluesky.plan_stubs as bps
import event_model
import pytest
from bluesky import RunEngine

from analysis.qnm import image_quality
from analysis.qnm.tables import quality_keys, row_of
from station.problems import ImageProblems


def analysed(problems: ImageProblems, force_error: float) -> None:
    """Hand on the documents of the analysis of an image with such an error, of 30 nN."""
    found = image_quality({"peak_force_error": [[force_error] * 4] * 4}, 30e-9)
    run = event_model.compose_run(metadata={"purpose": "analysis"})
    problems("start", dict(run.start_doc))
    bundle = run.compose_descriptor("quality", quality_keys())
    problems("descriptor", dict(bundle.descriptor_doc))
    row = row_of(found)
    problems("event", dict(bundle.compose_event(data=row, timestamps=dict.fromkeys(row, 0.0))))


@pytest.fixture
def problems() -> ImageProblems:
    return ImageProblems()


def test_a_good_image_is_no_problem(problems: ImageProblems) -> None:
    analysed(problems, 1e-9)
    assert problems.signal.get() == ""


def test_a_feedback_that_fails_is_told(problems: ImageProblems) -> None:
    analysed(problems, 15e-9)
    assert problems.signal.get() == "the feedback is 50% of the setpoint off"


def test_a_problem_stays_until_it_is_cleared(problems: ImageProblems) -> None:
    analysed(problems, 15e-9)
    analysed(problems, 1e-9)
    assert problems.signal.get()
    problems.clear()
    assert problems.signal.get() == ""


def test_a_problem_holds_the_next_image_until_it_is_cleared(problems: ImageProblems) -> None:
    engine = RunEngine({})
    engine.install_suspender(problems.suspender())
    order: list[str] = []
    cleared = threading.Timer(0.5, lambda: (order.append("cleared"), problems.clear()))

    def plan() -> Any:
        yield from bps.checkpoint()
        analysed(problems, 15e-9)
        cleared.start()
        yield from bps.sleep(0.1)
        yield from bps.checkpoint()
        order.append("next image")

    engine(plan())
    assert order == ["cleared", "next image"]
