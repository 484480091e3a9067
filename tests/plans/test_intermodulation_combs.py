"""Combs of intermodulation AFM, and what a map's lines are: closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.intermodulation.modes import Mode
from plans import Band, Excitation, SpectraEstimate, paper_comb
from plans.force_map import map_lines

FIRST, SECOND = Mode(300.1e3, 400.0, 40.0), Mode(1890.1e3, 1200.0, 2000.0)
TORSIONAL = Mode(1890.1e3, 1200.0, 2000.0, axis="y")


def test_the_papers_first_case_is_driven_and_measured_where_the_paper_does() -> None:
    comb = paper_comb((FIRST, SECOND), 200.0, (12.5, 12.5)).comb((0.1, 0.4))
    assert comb.drive_tones == (1500, 1501, 9450, 9451)
    assert comb.drive_amplitude == (0.1, 0.1, 0.4, 0.4)
    assert comb.tones == (*range(1489, 1513), *range(9439, 9463))


def test_a_torsional_mode_is_measured_in_its_own_signal() -> None:
    comb = paper_comb((TORSIONAL, FIRST), 200.0, (12.5, 25.0)).comb((0.1, 0.1))
    assert comb.axes == (0,) * 24 + (1,) * 24
    assert comb.tones[:24] == tuple(range(1489, 1513))


def test_a_mode_of_no_amplitude_is_left_out() -> None:
    excitation = paper_comb((FIRST, SECOND), 200.0, (12.5, 0.0))
    assert excitation.tones == 24
    assert excitation.reach == 12.5


def test_the_tip_reaches_as_far_as_all_flexural_beats_together() -> None:
    excitation = paper_comb((FIRST, Mode(1.0e6, 500.0, 400.0), TORSIONAL), 200.0, (10, 5, 7))
    assert excitation.reach == 15.0


def test_a_beat_is_the_sum_of_its_driven_tones() -> None:
    excitation = paper_comb((FIRST, TORSIONAL), 200.0, (12.5, 5.0))
    comb = excitation.comb((1.0, 1.0))
    spectra = np.full((3, 48), 1e-12, np.complex128)
    for place in comb.driven(0):
        spectra[:, place] = 6e-9j
    for place in comb.driven(1):
        spectra[:, place] = -2e-9
    assert excitation.beats(spectra) == pytest.approx([12.0, 4.0])


@pytest.mark.parametrize(
    ("modes", "df", "amplitudes", "options", "message"),
    [
        ((FIRST,), 200.0, (1.0, 2.0), {}, "2 amplitudes for 1 modes"),
        ((FIRST,), 0.0, (1.0,), {}, "df is 0 Hz"),
        ((FIRST,), 200.0, (1.0,), {"tones_a_band": 7}, "tones_a_band is 7"),
        ((FIRST,), 100e3, (1.0,), {}, "too coarse for a resonance at 300100 Hz"),
        ((FIRST,), 200.0, (-1.0,), {}, "amplitude is -1 nm"),
        ((FIRST, FIRST), 200.0, (1.0, 1.0), {}, "bands share tones"),
        ((FIRST,), 200.0, (0.0,), {}, "or there is none"),
    ],
)
def test_a_comb_that_cannot_be_is_refused_in_a_line(
    modes: Any, df: float, amplitudes: Any, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        paper_comb(modes, df, amplitudes, **options)
    assert "\n" not in str(caught.value)


def test_the_lines_of_a_map_lie_in_the_middle_of_their_rows() -> None:
    lines = map_lines((-1.0, 1.0), (0.0, 4.0), (4, 9))
    assert lines == [(-1.0, y, 1.0, y) for y in (0.5, 1.5, 2.5, 3.5)]


def test_an_estimate_counts_periods_of_the_base_frequency() -> None:
    excitation = Excitation(200.0, (Band((1500, 1501), tuple(range(1490, 1510)), 10.0),))
    estimate = SpectraEstimate.of(excitation, 66, 64)
    assert estimate.duration == pytest.approx(66 * 64 * 5e-3)
    assert estimate.data_mb == pytest.approx(66 * 64 * 20 * 16e-6)
