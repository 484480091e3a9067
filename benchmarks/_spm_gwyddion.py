"""Gwyddion's own conversion of scanning probe files: the oracle of ours.

Gwyddion runs as a program of its own, headless; nothing of it is imported. As a script this makes
the small files of `tests/data/afm` (pixels drawn at random behind real headers) and stores what
Gwyddion makes of them and of the real files: python -m benchmarks._spm_gwyddion FOLDER_OF_FILES.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GwyddionChannel", "check", "convert", "installed"]

DATA = Path(__file__).parents[1] / "tests" / "data" / "afm"
_REAL = ("bruker_di-1.spm", "bruker_di-3.spm", "bruker_di-5.spm", "asylum_spot_1-1000nm.ibw")
_SAMPLES = 64
_LINES, _POINTS = 20, 32
_HEADER = 81920
_STORES_FOUR_BYTES = 0x09200000  # NanoScope 9.2 and newer, whatever the header says of an image
# Sensitivities of a calibrated probe, in the units that NanoScope writes.
_CALIBRATED = {
    "@Sens. DeflSens: V 1.000000 ": "@Sens. DeflSens: V 66.52150 nm/V",
    "@Sens. ForceDeflSens: V 1.000000 ": "@Sens. ForceDeflSens: V 24.00000 nN/V",
    "@Sens. ForceSens: V 0.006000000 V/Arb": "@Sens. ForceSens: V 2.500000 nN/Arb",
    "@Sens. StiffnessSens: V 1.000000 ": "@Sens. StiffnessSens: V 3.000000 MPa/Arb",
    "@Sens. LogStiffnessSens: V 1.000000 ": (
        "@Sens. LogStiffnessSens: V 1.000000 log(Pa)/log(Arb)"
    ),
    "@Sens. DissipationSens: V 1.000000 ": "@Sens. DissipationSens: V 7.000000 keV/Arb",
    "@Sens. DeformationSens: V 1.000000 ": "@Sens. DeformationSens: V 3151.500 nm/V",
}
_AMPLITUDE = {
    "@Sens. Amplitude Error: V 1.000000 ": "@Sens. Amplitude Error: V 20.00000 nm/V",
}


@dataclass(frozen=True)
class GwyddionChannel:
    """A channel as Gwyddion converted it; `data` has the topmost line first."""

    title: str
    unit: str
    data: NDArray[np.float64]
    x_size: float
    y_size: float


def installed() -> bool:
    """Whether Gwyddion is there."""
    return shutil.which("gwyddion") is not None


def convert(path: Path) -> list[GwyddionChannel]:
    """Let Gwyddion convert a file, and read what it wrote."""
    import gwyfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "converted.gwy"
        subprocess.run(
            ["gwyddion", f"--convert-to-gwy={target}", str(path)],
            check=True,
            capture_output=True,
            timeout=120,
        )
        content: Any = gwyfile.load(str(target))
    found = []
    number = 0
    while f"/{number}/data" in content:
        field = content[f"/{number}/data"]
        unit = field.get("si_unit_z")
        found.append(
            GwyddionChannel(
                title=content.get(f"/{number}/data/title", ""),
                unit="" if unit is None else unit.get("unitstr", ""),
                data=np.array(field["data"], dtype=float).reshape(field["yres"], field["xres"]),
                x_size=field["xreal"],
                y_size=field["yreal"],
            )
        )
        number += 1
    return found


def check(path: Path) -> bool:
    """Whether Gwyddion finds nothing wrong with a .gwy file."""
    done = subprocess.run(
        ["gwyddion", "--check", str(path)], capture_output=True, timeout=120, check=False
    )
    return done.returncode == 0 and not done.stderr.strip()


def summary(channels: list[GwyddionChannel], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return statistics and samples of each channel, with rows counted from the lowest line."""
    found = []
    for channel in channels:
        data = channel.data[::-1]
        rows = rng.integers(0, data.shape[0], _SAMPLES)
        columns = rng.integers(0, data.shape[1], _SAMPLES)
        found.append(
            {
                "title": channel.title,
                "unit": channel.unit,
                "shape": list(data.shape),
                "x_size": channel.x_size,
                "y_size": channel.y_size,
                "least": data.min(),
                "greatest": data.max(),
                "root_mean_square": float(np.sqrt(np.mean(data**2))),
                "mean_of_lines": data.mean(axis=1)[:: max(1, data.shape[0] // 16)].tolist(),
                "rows": rows.tolist(),
                "columns": columns.tolist(),
                "values": data[rows, columns].tolist(),
            }
        )
    return found


def with_random_pixels(header: str, changes: Mapping[str, str], rng: np.random.Generator) -> bytes:
    """Return a file with the images that a header announces, made small."""
    for before, after in changes.items():
        if before not in header:
            raise ValueError(f"the header has no {before!r}")
        header = header.replace(before, after)
    found = re.search(r"\\Version: (0x[0-9A-F]+)", header)
    four = found is not None and int(found[1], 16) >= _STORES_FOUR_BYTES
    header = re.sub(r"(Samps/line|Valid data len X): \d+", rf"\1: {_POINTS}", header)
    header = re.sub(r"(Number of lines|Valid data len Y|Lines): \d+", rf"\1: {_LINES}", header)
    parts = re.split(r"(?=\\\*Ciao image list)", header)
    pixels = []
    place = _HEADER
    for number, part in enumerate(parts[1:], start=1):
        size = int(re.findall(r"Bytes/pixel: (\d)", part)[0])
        most = 2 ** (8 * size - 1)
        raw = rng.integers(-most, most, (_LINES, _POINTS)).astype(f"<i{4 if four else size}")
        part = re.sub(r"Data offset: \d+", f"Data offset: {place}", part)
        parts[number] = re.sub(r"Data length: \d+", f"Data length: {raw.nbytes}", part)
        pixels.append(raw.tobytes())
        place += raw.nbytes
    text = "".join(parts).replace("\r", "").rstrip("\n") + "\n"
    content = text.replace("\n", "\r\n").encode("latin1")
    return content.ljust(_HEADER, b"\0") + b"".join(pixels)


def make(source: Path) -> None:
    """Make the small files, and store what Gwyddion makes of all."""
    rng = np.random.default_rng(20240614)
    qnm = (source / "pfqnm_header_only_v9.70.hdr").read_bytes().decode("latin1")
    tapping = (source / "bruker_di-3.spm").read_bytes()
    tapping = tapping[: tapping.index(b"*File list end") + 14].decode("latin1")
    small = {
        "pfqnm_uncalibrated.spm": (qnm, {}),
        "pfqnm_calibrated.spm": (qnm, _CALIBRATED),
        "tapping_calibrated.spm": (tapping, _AMPLITUDE),
    }
    DATA.mkdir(exist_ok=True)
    for name, (header, changes) in small.items():
        (DATA / name).write_bytes(with_random_pixels(header, changes, rng))
    for name in _REAL:
        shutil.copyfile(source / name, DATA / name)
    shutil.copyfile(source / "pfqnm_header_only_v9.70.hdr", DATA / "pfqnm_header_only_v9.70.hdr")
    stored = {name: summary(convert(DATA / name), rng) for name in (*_REAL, *small)}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in stored.items()]
    (DATA / "gwyddion.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
