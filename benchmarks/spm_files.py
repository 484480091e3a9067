"""Files of atomic force microscopes: are the numbers Gwyddion's, and how long does reading take?"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.recorded import read_channels, read_spm, write_gwy
from benchmarks import _spm_gwyddion as gwyddion
from benchmarks.tables import Table

__all__ = ["measure"]

FILES = (
    "bruker_di-1.spm",
    "bruker_di-3.spm",
    "bruker_di-5.spm",
    "tapping_calibrated.spm",
    "pfqnm_uncalibrated.spm",
    "pfqnm_calibrated.spm",
    "asylum_spot_1-1000nm.ibw",
)
TIMED = {"bruker_di-1.spm": 2, "bruker_di-5.spm": 4}  # 512 x 512, bytes a pixel
ROUNDS = 15
ELECTRONVOLT = 1.602176634e-19
# What the numbers of Gwyddion 2.62 are in, where its label says otherwise: it drops the prefix of a
# hard unit whose sensitivity has none, and labels what is in no unit as V.
RANGE_IN_MILLIVOLTS = {("bruker_di-1.spm", "AmplitudeError"), ("bruker_di-3.spm", "AmplitudeError")}


def measure() -> Iterable[Table]:
    """Yield the comparison with Gwyddion, where it is installed, and the times."""
    if gwyddion.installed():
        yield _equality()
    yield _times()


def _equality() -> Table:
    rows = []
    for name in FILES:
        recorded = read_channels(gwyddion.DATA / name)
        converted = gwyddion.convert(gwyddion.DATA / name)
        with tempfile.TemporaryDirectory() as folder:
            accepted = gwyddion.check(write_gwy(Path(folder) / "checked.gwy", recorded))
        for channel, other in zip(recorded.channels, converted, strict=True):
            factor = 1.0
            if (name, other.title) in RANGE_IN_MILLIVOLTS:
                factor = 1e-3
            elif other.unit == "eV":
                factor = ELECTRONVOLT
            expected = factor * other.data[::-1]
            known = expected != 0.0
            apart = np.abs(channel.data - expected)
            relative = float(np.max(apart[known] / np.abs(expected[known])))
            same = bool(np.all(apart[~known] == 0.0))
            rows.append(
                [
                    name,
                    channel.title,
                    channel.unit,
                    (other.unit or "none") + (f" x {factor:.9g}" if factor != 1.0 else ""),
                    f"{channel.data.shape[0]} x {channel.data.shape[1]}",
                    f"{relative:.1e}" if same else "differs where Gwyddion has 0",
                    "yes" if accepted else "no",
                ]
            )
    return Table(
        title="Every channel against Gwyddion's conversion of the same file",
        columns=[
            "file",
            "channel",
            "our unit",
            "Gwyddion's unit",
            "lines x points",
            "largest relative difference",
            "our .gwy passes gwyddion --check",
        ],
        rows=rows,
        notes="All pixels. The aim is 1e-12. Gwyddion drops the m of the header's mV where the "
        "sensitivity has no unit (the range of these channels is 3999.939 and 2999.954 mV), gives "
        "energies in eV, and calls V what was never calibrated (ours: Arb). The small files have "
        "real headers and pixels drawn at random.",
    )


def _times() -> Table:
    rows = []
    for name, size in TIMED.items():
        path = gwyddion.DATA / name
        peers: dict[str, Callable[[Path], object]] = {
            "ours, all channels": read_spm,
            "pySPM, one channel": _by_pyspm,
            "SurfaceTopography, one channel": _by_surfacetopography,
        }
        medians = _interleaved(peers, path)
        channels = len(read_spm(path).channels)
        each = medians["ours, all channels"] / channels
        rows += [
            [
                name,
                str(size),
                peer,
                f"{1e3 * seconds:.2f}",
                f"{1e3 * (each if peer.startswith('ours') else seconds):.2f}",
                f"{(each if peer.startswith('ours') else seconds) / each:.1f}",
            ]
            for peer, seconds in medians.items()
        ]
    return Table(
        title="Reading a channel of 512 x 512 pixels, header included",
        columns=["file", "bytes a pixel", "reader", "ms", "ms a channel", "times ours a channel"],
        rows=rows,
        notes=f"Medians of {ROUNDS} in turn, in one process, imports done. Ours reads every "
        "channel of the file, the others one of height.",
    )


def _interleaved(peers: dict[str, Callable[[Path], object]], path: Path) -> dict[str, float]:
    """Median of the seconds that each takes, taken in turn after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(ROUNDS + 1):
        for name, read in peers.items():
            began = time.perf_counter()
            read(path)
            if number:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _by_pyspm(path: Path) -> Any:
    import pySPM

    name = "Height" if "di-1" in path.name else "Height Sensor"
    return pySPM.Bruker(str(path)).get_channel(name).pixels


def _by_surfacetopography(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        from SurfaceTopography.IO.DI import DIReader

    return DIReader(str(path)).topography(channel_index=0).heights()
