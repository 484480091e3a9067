"""The compiled code of `sim` is compiled once, before the first test is timed."""

import numpy as np
import pytest

from sim.imaging import ScanSettings, acquire
from sim.specimen import MicrographSpecimen, ProceduralSpecimen
from sim.stage import Stage, profile


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    stage = Stage(profile("jeol-like"), seed=0, start_time=0.0)
    stage.command({"x": 1e-6}, 0.0)
    stage.readback(1.0)
    rng = np.random.default_rng(0)
    image = rng.random((16, 16))
    settings = ScanSettings(shape=(4, 4))
    for specimen in (ProceduralSpecimen(0), MicrographSpecimen(image, 1e-9)):
        acquire(specimen, lambda t: stage.actual(t)[:, :2], settings, start_time=0.0, rng=rng)
