"""How a benchmark hands back what it measured, and how that is printed and written."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

__all__ = ["Table", "markdown", "show"]


@dataclass(frozen=True)
class Table:
    """One benchmark's figures.

    Parameters
    ----------
    title : str
        What was measured.
    columns : sequence of str
        Headings, units included.
    rows : sequence of sequence of str
        One row a method or condition.
    notes : str
        How it was measured and what was aimed at.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""


def show(table: Table) -> None:
    """Print `table` to the terminal."""
    view = RichTable(*table.columns, title=table.title, caption=table.notes or None)
    for row in table.rows:
        view.add_row(*row)
    Console().print(view)


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables as a page of the documentation, with the commit they come from."""
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make bench` at commit `{_commit()}`, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {platform.system()}. Times are medians; trust the ratios more.",
    ]
    for table in tables:
        lines += ["", f"## {table.title}", ""]
        lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows]
        if table.notes:
            lines += ["", table.notes]
    return "\n".join(lines) + "\n"
