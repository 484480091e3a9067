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


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _commit() -> str:
    """The commit that was measured, and whether anything but the documentation differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def markdown(name: str, tables: Sequence[Table]) -> str:
    """Return the tables of a benchmark as a page, with the commit they come from."""
    lines = [
        f"# {name.capitalize()}",
        "",
        f"Made by `python -m benchmarks {name}` at commit `{_commit()}`, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}. "
        "Times are medians; trust the ratios more.",
    ]
    for table in tables:
        lines += ["", f"## {table.title}", ""]
        lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows]
        if table.notes:
            lines += ["", table.notes]
    return "\n".join(lines) + "\n"
