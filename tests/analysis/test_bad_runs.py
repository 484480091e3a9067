"""Runs that lack something: what cannot be known is said, and the rest is given."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest

from analysis.alignment import result_from_documents
from analysis.live import HysteresisAnalysis
from analysis.replay import replay


def result(documents) -> Any:
    found = []
    router = HysteresisAnalysis(lambda name, doc: found.append((name, doc)))
    replay(documents, router)
    router.close()
    return result_from_documents(found)


@pytest.fixture
def path(stage_run):
    """Targets, reported and actual positions on axes of 0.3 and 0.2 µm of play, 0.05 of it seen."""
    return stage_run(0.4, 3, 2, (0.25, 0.15), (0.05, 0.05))


def frames(raw_run) -> Any:
    return h5py.File(raw_run.path, "r+")


def compared(found, axis, first, second):
    (comparison,) = [
        comparison
        for comparison in found.verdict.axis(axis).comparisons
        if (comparison.first, comparison.second) == (first, second)
    ]
    return comparison


def without_registration(found):
    assert not found.steps.accepted.any()
    assert compared(found, "x", "target", "reported").consistent is False  # by 50 nm of play
    unknown = compared(found, "x", "target", "actual")
    assert (unknown.stops, unknown.agrees, unknown.consistent) == (0, None, None)


def test_without_texture_target_and_reported_are_still_compared(raw_run, path):
    documents = raw_run.documents(*path)
    with frames(raw_run) as file:
        file["entry/data"][:] = 2000
    without_registration(result(documents))


def test_without_overlap_target_and_reported_are_still_compared(raw_run, path):
    rng = np.random.default_rng(1)
    documents = raw_run.documents(*path)
    with frames(raw_run) as file:  # every image of another specimen
        data = file["entry/data"]
        for index in range(len(data)):
            data[index] = rng.normal(2000.0, 300.0, data.shape[1:]).clip(0, 65535)
    without_registration(result(documents))


def test_a_missing_image_leaves_a_verdict_and_deficits(raw_run, path):
    documents = raw_run.documents(*path)
    with frames(raw_run) as file:
        file["entry/data"][7] = 2000  # blank
    found = result(documents)
    assert np.count_nonzero(~found.steps.accepted) == 2
    assert found.verdict.case == "f"
    assert found.deficit("x", 1).actual.value == pytest.approx(0.3, abs=0.01)


def test_with_one_direction_only_the_verdict_says_what_it_could_not_see(raw_run):
    targets = np.array([(0.4 * k, 0.0) for k in range(8)])
    found = result(raw_run.documents(targets, targets, targets))
    assert (
        found.verdict.axis("x").reason
        == "Consistent, as far as one direction of approach can tell."
    )
    assert np.isnan(compared(found, "x", "target", "actual").direction_p)
