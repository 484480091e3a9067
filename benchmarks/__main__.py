"""Run benchmarks, print their tables and write them to docs/reference/benchmarks/."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.tables import markdown, show

ALL = (
    "wire",
    "storage",
    "registration",
    "similarity",
    "transforms",
    "montage",
    "stage",
    "hysteresis",
    "framework",
    "positioning",
    "tilt",
    "cantilever",
    "envelope",
    "reconstruction",
    "generic_force",
    "parametric_force",
    "peakforce",
    "spm_files",
    "tip_shape",
    "prediction",
    "abstention",
    "formulations",
    "adaptive",
)
PAGES = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks"


def main() -> None:
    """Run what was asked for, or all; each writes its page of the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}")
    names = parser.parse_args().names or ALL
    if unknown := set(names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(ALL)}")
    for name in names:
        tables = list(importlib.import_module(f"benchmarks.{name}").measure())
        for table in tables:
            show(table)
        page = PAGES / f"{name}.md"
        page.write_text(markdown(name, tables))
        print(f"written: {page}")


if __name__ == "__main__":
    main()
