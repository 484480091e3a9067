"""The plans cost little at start-up: every command that runs one waits for their import."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("scipy", "matplotlib", "h5py", "tiled", "skimage", "pandas", "dask", "numba")


def test_importing_the_plans_imports_nothing_heavy():
    code = f"import sys, plans; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
