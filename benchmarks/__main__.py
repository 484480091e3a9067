"""Run the benchmarks, print their tables and write docs/reference/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.tables import Table, markdown, show

ALL = ("wire", "storage", "hysteresis", "montage")
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"


def main() -> None:
    """Run what was asked for; all of it writes the page of the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}")
    names = parser.parse_args().names or ALL
    if unknown := set(names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(ALL)}")
    tables: list[Table] = []
    for name in names:
        for table in importlib.import_module(f"benchmarks.{name}").measure():
            show(table)
            tables.append(table)
    if set(names) == set(ALL):
        PAGE.write_text(markdown(tables))
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
