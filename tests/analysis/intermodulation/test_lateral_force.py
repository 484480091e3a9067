"""Forces along and across the surface in the paper's second case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.intermodulation import MeasurementError
from analysis.intermodulation.completion import complete_lateral
from analysis.intermodulation.lateral import reconstruct_lateral


def errors(case, found, relative_error):
    z = np.linspace(found.z[0], 0.0, 2001)
    y = 0.2 * found.y[-1]
    along_z, _ = found.force(z, 0.0)
    _, along_y = found.force(z, y)
    return (
        relative_error(z, along_z, case.force.conservative(z)),
        relative_error(z, along_y, case.force.lateral(z, y)),
    )


def whole_motion(case):
    """The motion with all tones, from the measured ones and the force that made them."""
    return complete_lateral(case.measurement, case.force.field, passes=4)


@pytest.mark.parametrize("name", ["paper_case_2", "paper_case_2_cubic"])
def test_forces_from_24_tones_and_the_whole_motion(name, request, relative_error):
    case = request.getfixturevalue(name)
    own = np.concatenate([case.band(0, 24), case.band(1, 24)])
    found = reconstruct_lateral(
        case.measurement, y_degrees=(0, 3), path=whole_motion(case), equation_tones=own
    )
    along_z, along_y = errors(case, found, relative_error)
    assert along_z < 0.06
    assert along_y < 0.04


def test_linear_spring_needs_no_cube_of_the_lateral_deflection(paper_case_2):
    assert reconstruct_lateral(paper_case_2.measurement).y_degrees == (0, 1)


def test_cubic_spring_needs_the_cube_of_the_lateral_deflection(paper_case_2_cubic):
    assert reconstruct_lateral(paper_case_2_cubic.measurement).y_degrees == (0, 3)


def test_64_tones_a_band_are_enough_without_knowing_the_rest(paper_case_2_cubic, relative_error):
    found = reconstruct_lateral(paper_case_2_cubic.measurement)
    along_z, along_y = errors(paper_case_2_cubic, found, relative_error)
    assert along_z < 0.05
    assert along_y < 0.03


def test_24_tones_a_band_are_told_to_be_too_few(paper_case_2):
    found = reconstruct_lateral(paper_case_2.with_tones(24), y_degrees=(0, 1))
    assert "measure more tones" in found.verdict_z.reasons[0]


def test_force_across_the_surface_is_odd_in_the_lateral_deflection(paper_case_2):
    found = reconstruct_lateral(paper_case_2.measurement)
    _, left = found.force(-1.8e-8, -3e-9)
    _, right = found.force(-1.8e-8, 3e-9)
    assert left == pytest.approx(-right, rel=1e-6)


def test_beats_in_phase_visit_most_of_the_rectangle(paper_case_2):
    found = reconstruct_lateral(paper_case_2.measurement)
    assert found.visited.shape == (found.z.size, found.y.size)
    assert found.visited.mean() > 0.9


def test_beats_out_of_phase_leave_corners_that_are_told_to_be_extrapolated(paper_case_2):
    own = paper_case_2.measurement
    # half a beat later along y: the tip swings far sideways only while it stays high
    later = np.where(own.on_axis("y"), (-1.0) ** own.tones, 1.0)
    shifted = replace(own, free=later * own.free, engaged=later * own.engaged)
    found = reconstruct_lateral(shifted, y_degrees=(0, 1))
    assert not found.visited[2, 2]
    assert "extrapolation" in found.verdict_z.reasons[-1]


def test_nothing_is_told_below_and_beside_the_visited_rectangle(paper_case_2):
    found = reconstruct_lateral(paper_case_2.measurement, y_degrees=(0, 1))
    along_z, _ = found.force([1.01 * found.z[0], -1e-9, 1e-9], [0.0, 2.0 * found.y[-1], 0.0])
    assert np.isnan(along_z).tolist() == [True, True, False]
    assert along_z[2] == 0.0


def test_forces_without_torsional_tones_are_refused(paper_case_1):
    with pytest.raises(MeasurementError, match="no tone along y"):
        reconstruct_lateral(paper_case_1.measurement)


@pytest.mark.parametrize(("degrees", "said"), [((1, 1), "of F_z is not even"), ((0, 2), "F_y")])
def test_power_of_the_wrong_parity_is_refused(paper_case_2, degrees, said):
    with pytest.raises(MeasurementError, match=said):
        reconstruct_lateral(paper_case_2.measurement, y_degrees=degrees)


def test_less_tones_than_unknowns_are_refused(paper_case_2):
    own = np.concatenate([paper_case_2.band(0, 8), paper_case_2.band(1, 24)])
    with pytest.raises(MeasurementError, match="8 tones along z give 16 equations for 22"):
        reconstruct_lateral(paper_case_2.measurement, y_degrees=(2, 1), equation_tones=own)
