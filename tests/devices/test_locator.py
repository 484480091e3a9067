"""The locator as a plan meets it: a verdict on the camera's last frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from numpy.typing import NDArray

from devices.locator import Locator
from devices.wire import RefusedError


@dataclass(frozen=True)
class Fix:
    position: NDArray[np.float64] = field(default_factory=lambda: np.array([1.0, 2.0]))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.diag([4e-6, 9e-6]))
    accepted: bool = True
    reason: str = "accepted: as it should be"


class Finder:
    """Finds what it is told to, and remembers what it was asked."""

    def __init__(self, fix: Fix) -> None:
        self.fix = fix
        self.images: list[NDArray[Any]] = []
        self.expected: list[tuple[float, float]] = []

    def __call__(self, image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        self.images.append(image)
        self.expected.append(expected)
        return self.fix


def looking(bench: Any, finder: Any) -> Locator:
    """A locator that has looked at one frame."""
    locator = Locator(bench.tem, finder, name="atlas")
    bench.tem.camera.stage()
    bench.tem.camera.trigger().wait(timeout=30)
    bench.tem.camera.unstage()
    locator.trigger().wait(timeout=30)
    return locator


def values(locator: Locator) -> dict[str, Any]:
    reading: Any = locator.read()
    return {key: entry["value"] for key, entry in reading.items()}


def test_a_fix_is_read_with_its_standard_errors_and_its_reason(bench: Any) -> None:
    assert values(looking(bench, Finder(Fix()))) == {
        "atlas_x": 1.0,
        "atlas_y": 2.0,
        "atlas_stderr_x": pytest.approx(2e-3),
        "atlas_stderr_y": pytest.approx(3e-3),
        "atlas_accepted": 1,
        "atlas_reason": "accepted: as it should be",
    }


def test_a_refusal_is_read_as_well(bench: Any) -> None:
    nowhere = Fix(np.full(2, np.nan), np.full((2, 2), np.nan), False, "refused: nothing there")
    found = values(looking(bench, Finder(nowhere)))
    assert found["atlas_accepted"] == 0
    assert np.isnan(found["atlas_x"])
    assert found["atlas_reason"] == "refused: nothing there"


def test_it_looks_at_the_last_frame(bench: Any) -> None:
    finder = Finder(Fix())
    looking(bench, finder)
    assert finder.images[0] is bench.tem.camera.last_frame[0]


def test_a_frame_is_expected_where_the_stage_is_plus_the_image_shift(bench: Any) -> None:
    finder = Finder(Fix())
    bench.tem.goniometer.set({"x": 3.0, "y": -2.0}).wait(timeout=30)
    bench.tem.column.image_shift_x.put(500.0)
    bench.tem.column.image_shift_y.put(-250.0)
    looking(bench, finder)
    assert finder.expected[0] == pytest.approx((3.5, -2.25), abs=0.2)  # less the sensor's play


def test_a_finder_that_fails_fails_the_status_with_its_cause(bench: Any) -> None:
    def fail(image: NDArray[Any], expected: tuple[float, float]) -> Fix:
        raise ValueError("the atlas is empty")

    with pytest.raises(ValueError, match="the atlas is empty"):
        looking(bench, fail)


def test_without_a_frame_there_is_nothing_to_look_at(bench: Any) -> None:
    locator = Locator(bench.tem, Finder(Fix()), name="atlas")
    with pytest.raises(RefusedError, match="no frame to look at: trigger the camera first"):
        locator.trigger()


def test_before_it_has_looked_it_has_nothing_to_say(bench: Any) -> None:
    locator = Locator(bench.tem, Finder(Fix()), name="atlas")
    with pytest.raises(RefusedError, match="has not looked yet: trigger it first"):
        locator.x.get()


def test_its_verdict_is_in_the_run_of_any_plan(bench: Any, engine: Any, documents: Any) -> None:
    detectors: list[Any] = [Locator(bench.tem, Finder(Fix()), name="atlas")]

    @bpp.stage_decorator([bench.tem.camera])
    def plan() -> Any:
        yield from bps.open_run()
        yield from bps.trigger(bench.tem.camera, wait=True)
        yield from bps.trigger_and_read(detectors)
        yield from bps.close_run()

    engine(plan())
    (event,) = documents.of("event")
    assert event["data"]["atlas_reason"] == "accepted: as it should be"
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"]["atlas_x"]["units"] == "µm"
