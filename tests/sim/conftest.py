"""The compiled code of `sim` is compiled once, before the first test is timed."""

import numpy as np
import pytest

from sim.copolymer import FORMULATIONS, Copolymer
from sim.fleet import run_fleet
from sim.imaging import ScanSettings, acquire
from sim.peakforce import ForceProbe, Frame, PeakForceSettings, force_curve, read_curve, scan
from sim.specimen import MicrographSpecimen, ProceduralSpecimen
from sim.stage import Stage, profile, warm_up
from sim.surface import Uniform
from sim.tip_sample import TipSample


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
    for surface in (Copolymer(FORMULATIONS["A2"]), TipSample()):
        scan(surface, ForceProbe(), Frame(lines=2, points=2), PeakForceSettings(), rng)
    contact = Uniform(1e9).contact([0.0], [0.0], 30e-9)
    _, force = force_curve(contact, ForceProbe(), PeakForceSettings(), 1e-9)
    read_curve(force, PeakForceSettings())
