"""What is said of forces: numbers in people's units, and what may not be used."""

import io

import numpy as np
from rich.console import Console

from analysis.intermodulation import ForceCurve, Mode, Verdict
from analysis.intermodulation.results import IntermodulationResult, MeanSpectrum, PixelCurve
from analysis.intermodulation.tables import MAPPED
from station.force_tables import force_row, force_table, map_lines


def result(*, curve=None, maps=None) -> IntermodulationResult:
    spectrum = MeanSpectrum(1, True, 4, np.full(2, 1e-9, np.complex128), np.zeros(2))
    return IntermodulationResult(
        raw_uid="raw",
        df=200.0,
        tones=np.array([1500, 1501]),
        axes=("z", "z"),
        modes=(Mode(300.1e3, 400.0, 40.0),),
        spectra=(spectrum,),
        curves=() if curve is None else (PixelCurve(2, -1, curve),),
        fields=(),
        maps={} if maps is None else maps,
    )


def curve(ok: bool = True) -> ForceCurve:
    z = np.linspace(-20e-9, 0.0, 101)
    force = np.where(z < -18e-9, 5e-9, 0.0) - 1.5e-9 * np.exp(-(((z + 17e-9) / 1e-9) ** 2))
    verdict = Verdict(ok, () if ok else ("the tones leave the force open",))
    return ForceCurve(z, force, 2e-7 * np.exp(-(z + 20e-9) / 1.5e-9), verdict=verdict)


def maps() -> dict[str, np.ndarray]:
    values = {name: np.full((2, 3), 1.0) for name in MAPPED}
    values["modulus"] = np.array([[1e9, 2e9, 3e9], [1e9, 2e9, np.nan]])
    values["verdict"] = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    return values


def printed(shown: object) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()


def test_a_curve_is_told_by_its_depth_its_adhesion_and_its_damping():
    (found,) = force_row(result(curve=curve()))["curves"]
    assert found["depth_nm"] == 20.0
    assert abs(found["adhesion_nN"] - 1.5) < 0.01
    assert abs(found["damping_uN_s_m"] - 0.2) < 1e-9


def test_a_curve_that_is_not_valid_says_why():
    text = printed(force_table(result(curve=curve(ok=False))))
    assert "the tones leave the force open" in text


def test_a_map_is_told_by_medians_over_what_was_found():
    row = force_row(result(maps=maps()))["map"]
    assert (row["pixels"], row["good"]) == (6, 5)
    assert row["modulus"]["median"] == 2.0
    assert row["modulus"]["unit"] == "GPa"


def test_a_page_counts_the_pixels_that_may_be_used():
    assert map_lines(result(maps=maps()))[-1] == "5 of 6 pixels are described by the law."


def test_a_run_without_an_engaged_spectrum_says_so():
    assert "none of them engaged" in printed(force_table(result()))
