"""The analysis room costs nothing at start-up."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("scipy", "matplotlib", "h5py", "tiled", "skimage", "pandas", "dask", "numba")


def test_importing_the_live_analysis_imports_nothing_heavy():
    code = (
        "import sys, analysis.live, analysis.replay, analysis.figures;"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
