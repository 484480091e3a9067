"""A set of three samples, five sessions and three fields a session and sample."""

from __future__ import annotations

import pytest
from image_runs import campaign_of

from analysis.datasets import ImageSet, write_image_set

SAMPLES = ("A2", "C3", "C5")


@pytest.fixture(scope="session")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("set")
    runs = [run.documents() for run in campaign_of(folder, SAMPLES, sessions=5, images=3)]
    return write_image_set(folder / "set.h5", runs, ("deformation",))
