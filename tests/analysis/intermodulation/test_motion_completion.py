"""Tones that nobody measured, from the force along the motion."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.intermodulation import MeasurementError
from analysis.intermodulation.completion import complete, complete_lateral
from analysis.intermodulation.motion import spectrum


def test_static_deflection_is_that_of_the_simulated_cantilever(paper_case_1):
    found = complete(paper_case_1.with_tones(24), paper_case_1.force.normal)
    assert found.z.mean() == pytest.approx(3.5471274961920295e-12, rel=0.02)


def test_tones_left_out_come_back_as_they_were_measured(paper_case_1):
    own = paper_case_1.measurement
    kept = np.concatenate([paper_case_1.band(0, 24), paper_case_1.band(1, 64)])
    path = complete(own, paper_case_1.force.normal, tones=kept)
    missing = np.setdiff1d(np.arange(own.tones.size), kept)
    returned = spectrum(path.z)[own.tones[missing]]
    size = np.linalg.norm(own.engaged[missing])
    # half a picometre in all: the kink of the force folds back from half of the samples
    assert np.linalg.norm(returned - own.engaged[missing]) < 0.15 * size


def test_measured_tones_stay_as_they_are(paper_case_1):
    own = paper_case_1.with_tones(24)
    path = complete(own, paper_case_1.force.normal)
    np.testing.assert_allclose(spectrum(path.z)[own.tones], own.engaged, atol=1e-20)


def test_lateral_motion_is_completed_along_both_axes(paper_case_2):
    found = complete_lateral(paper_case_2.measurement, paper_case_2.force.field)
    assert found.z.mean() == pytest.approx(8.368460262233415e-12, rel=0.01)
    assert abs(found.lowest + 17e-9 - paper_case_2.closest) < 1e-12


def test_force_that_is_no_number_somewhere_is_refused(paper_case_1):
    with pytest.raises(MeasurementError, match="not finite on all of the motion"):
        complete(paper_case_1.with_tones(24), lambda z, velocity: np.full_like(z, np.nan))
