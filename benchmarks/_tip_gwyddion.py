"""Gwyddion's blind tip estimate, in a process of its own, as an independent peer.

Run as `python -m benchmarks._tip_gwyddion IN.npz OUT.npz`. IN holds `image` (m), `pixel` (m),
`size` (rows, columns of the tip), `thresholds` (m) and `method` ("partial" or "full"); OUT gets
`tips`, shape (thresholds, rows, columns), apex 0, and `seconds` of the processor. The library is
called through its public C interface (libgwyprocess2), without a display. It comes with the
package `gwyddion` of Debian and Ubuntu (`apt-get install --no-install-recommends gwyddion`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["available", "tips"]

_LIBRARY = "gwyprocess2"


def available() -> bool:
    """Tell whether the library is installed here."""
    return ctypes.util.find_library(_LIBRARY) is not None


def tips(
    image: NDArray[np.float64],
    pixel: float,
    size: tuple[int, int],
    thresholds: list[float],
    method: str,
) -> tuple[NDArray[np.float64], float]:
    """Return Gwyddion's tips (thresholds, rows, columns) in m and the seconds of one estimate."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, image=image, pixel=pixel, size=size, thresholds=thresholds, method=method)
        subprocess.run(
            [sys.executable, "-m", "benchmarks._tip_gwyddion", str(given), str(made)],
            cwd=Path(__file__).parents[1],
            check=True,
        )
        with np.load(made) as found:
            return found["tips"], float(found["seconds"])


def _library() -> Any:
    name = ctypes.util.find_library(_LIBRARY)
    if name is None:
        raise OSError("libgwyprocess2 is not installed (package gwyddion)")
    # libgwyprocess2 takes symbols of libgwyddion2 without naming it as a dependency
    ctypes.CDLL(ctypes.util.find_library("gwyddion2"), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(name)
    pointer, real, whole = ctypes.c_void_p, ctypes.c_double, ctypes.c_int
    library.gwy_process_type_init.restype = None
    library.gwy_data_field_new.restype = pointer
    library.gwy_data_field_new.argtypes = [whole, whole, real, real, whole]
    library.gwy_data_field_get_data.restype = ctypes.POINTER(real)
    library.gwy_data_field_get_data.argtypes = [pointer]
    for name in ("partial", "full"):
        function = getattr(library, f"gwy_tip_estimate_{name}")
        function.restype = pointer
        function.argtypes = [pointer, pointer, real, whole, ctypes.POINTER(whole), pointer, pointer]
    return library


def _view(library: Any, field: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.ctypeslib.as_array(library.gwy_data_field_get_data(field), shape)


def _field(library: Any, shape: tuple[int, int], pixel: float) -> tuple[int, NDArray[np.float64]]:
    rows, columns = shape
    field = library.gwy_data_field_new(columns, rows, columns * pixel, rows * pixel, 1)
    return field, _view(library, field, shape)


def _main(given: Path, made: Path) -> None:
    with np.load(given) as wanted:
        image, pixel = wanted["image"], float(wanted["pixel"])
        size = (int(wanted["size"][0]), int(wanted["size"][1]))
        thresholds, method = wanted["thresholds"], str(wanted["method"])
    library = _library()
    library.gwy_process_type_init()
    surface, pixels = _field(library, image.shape, pixel)
    pixels[...] = image
    estimate = getattr(library, f"gwy_tip_estimate_{method}")
    found, seconds = [], []
    for threshold in thresholds:
        tip, heights = _field(library, size, pixel)
        count = ctypes.c_int(0)
        begin = time.process_time()
        estimate(tip, surface, float(threshold), 0, ctypes.byref(count), None, None)
        seconds.append(time.process_time() - begin)
        heights = _view(library, tip, size)
        found.append(heights - heights.max())
    np.savez(made, tips=np.array(found), seconds=float(np.median(seconds)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
