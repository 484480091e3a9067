"""Combs and probe calibrations: what is kept, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices import Comb, CombLimits, ProbeCalibration
from devices.comb import check_comb
from devices.wire import LimitError

LIMITS = CombLimits(
    tones=4,
    drive_tones=2,
    df=(10.0, 1000.0),
    frequency=(1e3, 1e6),
    drive_amplitude=1.0,
    pixels=100,
)
COMB = Comb(200.0, (10, 11), (10, 11), (0.25, 0.25), (0.0, 1.0))
PROBE = ProbeCalibration((3e5,), (400.0,), (40.0,), (0,), 1e-8, (5e-8, 6e-8))


def test_frequencies_are_multiples_of_df() -> None:
    assert COMB.frequencies == (2000.0, 2200.0)


def test_by_default_all_tones_are_flexural_and_all_phases_zero() -> None:
    comb = Comb(200.0, (10, 11), (10,), (0.5,))
    assert (comb.axes, comb.drive_phase) == ((0, 0), (0.0,))


def test_arrays_of_numpy_are_taken_as_numbers() -> None:
    comb = Comb(np.float64(200), np.arange(10, 12), axes=np.array([0, 1]))  # type: ignore[arg-type]
    assert (comb.tones, comb.axes) == ((10, 11), (0, 1))
    assert all(type(tone) is int for tone in comb.tones)


def test_a_comb_survives_the_wire() -> None:
    assert Comb.from_wire(COMB.to_wire()) == COMB


def test_the_driven_tones_among_the_measured_ones_are_those_of_the_axis() -> None:
    comb = Comb(200.0, (10, 11, 12, 11), (11, 13), (0.1, 0.1), axes=(0, 0, 0, 1))
    assert comb.driven() == (1,)
    assert comb.driven(axis=1) == (3,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"df": 0.0}, "above 0"),
        ({"df": float("nan")}, "finite"),
        ({"df": "200"}, "finite numbers"),
        ({"tones": ()}, "measures nothing"),
        ({"tones": (10, 10.5)}, "whole numbers"),
        ({"tones": (10, True)}, "whole numbers"),
        ({"tones": (10, 0)}, "1 or more"),
        ({"tones": (10, 10)}, "10 come twice"),
        ({"tones": 10}, "not a sequence"),
        ({"axes": (0,)}, "1 axes for 2 tones"),
        ({"axes": (0, 2)}, "0 flexural, 1 torsional"),
        ({"drive_tones": (10, 10)}, "drive tones 10 come twice"),
        ({"drive_amplitude": (0.1,)}, "1 drive amplitudes for 2 drive tones"),
        ({"drive_amplitude": (0.1, float("inf"))}, "finite numbers"),
        ({"drive_phase": (0.0,)}, "1 drive phases for 2 drive tones"),
    ],
)
def test_a_comb_that_no_lock_in_could_do_is_refused_in_one_line(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LimitError, match=reason) as caught:
        replace(COMB, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("comb", "reason"),
    [
        (Comb(200.0, (10, 11, 12, 13, 14)), "5 tones: the lock-in has 4"),
        (Comb(200.0, (10,), (10, 11, 12), (0.1,) * 3), "3 drive tones: the lock-in has 2"),
        (Comb(5.0, (1000,)), r"df 5 Hz is outside 10\.\.1000 Hz"),
        (Comb(200.0, (6000,)), "tone 6000 at 1200000 Hz is outside"),
        (Comb(200.0, (10,), (6000,), (0.1,)), "drive tone 6000 at 1200000 Hz is outside"),
        (Comb(200.0, (10,), (10, 11), (0.6, 0.6)), r"sum to 1\.2 V: the output clips above 1 V"),
        (Comb(200.0, (10,), (10,), (-0.1,)), "below 0 V"),
    ],
)
def test_a_comb_beyond_the_limits_is_refused(comb: Comb, reason: str) -> None:
    with pytest.raises(LimitError, match=reason):
        check_comb(comb, LIMITS)


def test_a_comb_at_the_limits_is_allowed() -> None:
    check_comb(Comb(1000.0, (1, 2, 3, 1000), (1, 2), (0.5, 0.5)), LIMITS)


def test_limits_survive_the_wire() -> None:
    assert CombLimits.from_wire(LIMITS.to_wire()) == LIMITS


def test_what_is_no_comb_is_refused() -> None:
    with pytest.raises(LimitError, match="a comb is df and tones"):
        Comb.from_wire({"df": 200.0})
    with pytest.raises(LimitError, match="a comb is df and tones"):
        Comb.from_wire(200.0)


def test_a_calibration_survives_the_wire() -> None:
    assert ProbeCalibration.from_wire({"time": 0.0, **PROBE.to_wire()}) == PROBE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"resonance_frequency": (3e5, 2e6)}, "modes do not match"),
        ({"quality_factor": (0.0,)}, "above 0"),
        ({"spring_constant": (float("nan"),)}, "finite numbers above 0"),
        ({"spring_constant": 40.0}, "not a sequence"),
        ({"mode_axis": (2,)}, "0 is flexural, 1 torsional"),
        ({"radius": -1e-9}, "radius holds"),
        ({"sensitivity": (5e-8,)}, "give two"),
        ({"mode_axis": ()}, "modes do not match"),
    ],
)
def test_a_calibration_of_no_probe_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LimitError, match=reason):
        replace(PROBE, **changes)
