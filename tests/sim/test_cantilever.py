"""The cantilever, its drive and its free motion."""

import math

import numpy as np
import pytest

from sim.cantilever import Cantilever, Drive, Mode, Tones, free_spectra
from sim.cantilever.paper import case_1, case_2

MODE = Mode(frequency=300e3, quality_factor=400.0, spring_constant=40.0)
TORSION = Mode(frequency=1.9e6, quality_factor=1200.0, spring_constant=2000.0, axis="y")


def test_a_steady_force_bends_a_mode_by_its_stiffness():
    assert MODE.response([0.0])[0] == pytest.approx(1 / 40.0)


def test_at_resonance_a_mode_answers_q_times_and_a_quarter_cycle_late():
    assert MODE.response([300e3])[0] == pytest.approx(-1j * 400.0 / 40.0)


def test_the_modes_of_an_axis_add():
    second = Mode(frequency=1.9e6, quality_factor=1200.0, spring_constant=2000.0)
    both = Cantilever((MODE, second, TORSION)).response([310e3])
    np.testing.assert_allclose(both, MODE.response([310e3]) + second.response([310e3]))


def test_an_axis_without_modes_does_not_move():
    assert Cantilever((MODE,)).response([300e3], "y")[0] == 0


def test_a_drive_for_amplitudes_gives_them():
    cantilever = Cantilever((MODE, TORSION))
    drive = Drive.for_amplitudes(cantilever, 200.0, [(9500, 3e-9j, 1), (1500, 5e-9, 0)])
    free = free_spectra(cantilever, drive, Tones(z=(1499, 1500), y=(9500,)))
    np.testing.assert_allclose(free.z, [[0, 5e-9]])
    np.testing.assert_allclose(free.y, [[3e-9j]])


@pytest.mark.parametrize("amplitude", [12.5e-9])
def test_the_first_case_swings_as_published(amplitude):
    cantilever, drive, _, _, tones = case_1()
    free = np.abs(free_spectra(cantilever, drive, tones).z[0])
    assert free[:64].sum() == pytest.approx(amplitude)
    assert free[64:].sum() == pytest.approx(amplitude)


def test_the_second_case_swings_as_published():
    cantilever, drive, _, _, tones = case_2()
    free = free_spectra(cantilever, drive, tones)
    assert np.abs(free.z).sum() == pytest.approx(25e-9)
    assert np.abs(free.y).sum() == pytest.approx(12.5e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((-300e3, 400.0, 40.0), "mode frequency -300000.0"),
        ((300e3, -400.0, 40.0), "mode quality_factor -400.0"),
        ((300e3, 0.5, 40.0), "mode quality_factor 0.5"),
        ((300e3, 400.0, math.nan), "mode spring_constant nan"),
        ((300e3, 400.0, 40.0, "x"), "mode axis 'x'"),
    ],
)
def test_modes_that_do_not_swing_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Mode(*arguments)


@pytest.mark.parametrize(
    ("df", "tones", "forces", "said"),
    [
        (0.0, (1500,), [[1e-9]], "drive df 0.0"),
        (200.0, (1501, 1500), [[1e-9, 1e-9]], "drive tones must ascend"),
        (200.0, (1500, 1500), [[1e-9, 1e-9]], "drive tones must ascend"),
        (200.0, (0,), [[1e-9]], "drive tone 0"),
        (200.0, (1500.5,), [[1e-9]], "not whole numbers"),
        (200.0, (1500,), [1e-9], "drive forces of shape"),
        (200.0, (1500,), [[math.nan]], "not finite"),
    ],
)
def test_drives_that_are_no_comb_are_refused(df, tones, forces, said):
    with pytest.raises(ValueError, match=said):
        Drive(df, tones, np.array(forces, complex))


def test_a_drive_of_a_mode_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="drive of mode 1"):
        Drive.for_amplitudes(Cantilever((MODE,)), 200.0, [(1500, 1e-9, 1)])


def test_a_cantilever_has_modes():
    with pytest.raises(ValueError, match="without modes"):
        Cantilever(())


def test_tones_ascend():
    with pytest.raises(ValueError, match="z tones must ascend"):
        Tones(z=(3, 2))
