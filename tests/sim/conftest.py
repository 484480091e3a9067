"""The compiled code of `sim` is compiled once, before the first test is timed."""

import numpy as np
import pytest

from sim.fleet import run_fleet
from sim.imaging import ScanSettings, acquire
from sim.specimen import MicrographSpecimen, ProceduralSpecimen
from sim.stage import Stage, profile, warm_up


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    warm_up()
    stage = Stage(profile("ideal"), seed=0, start_time=0.0)
    run_fleet([profile("ideal")], [[0.0] * 5])
    rng = np.random.default_rng(0)
    image = rng.random((16, 16))
    settings = ScanSettings(shape=(4, 4))
    for specimen in (ProceduralSpecimen(0), MicrographSpecimen(image, 1e-9)):
        acquire(specimen, lambda t: stage.actual(t)[:, :2], settings, start_time=0.0, rng=rng)
