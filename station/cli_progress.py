"""How far long work is, and its tables, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from analysis.networks.options import Progress

__all__ = ["PlainTable", "print_plain_table", "progress_bar", "tell_epoch"]


class PlainTable(Protocol):
    """A table of words."""

    @property
    def title(self) -> str:
        """What it shows."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """Headings."""
        ...

    @property
    def rows(self) -> Sequence[Sequence[str]]:
        """Their words."""
        ...

    @property
    def notes(self) -> str:
        """What must be known of it."""
        ...


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """Show a bar, on a terminal, that is told how much is done of how much, and in words of what.

    Parameters
    ----------
    what : str
        Words, until others are told.
    """
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def told(done: float, total: float, words: str = what) -> None:
            bar.update(task, completed=done, total=total, description=words)

        yield told


def tell_epoch(told: Callable[..., None], done: Progress) -> None:
    """Tell a bar how far a training is."""
    share = done.epoch - 1 + done.batch / max(done.batches, 1)
    words = f"epoch {done.epoch}, loss {done.loss:.3g}, validation {done.validation_loss:.3g}"
    told(share, done.epochs, words)


def print_plain_table(table: PlainTable) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(*table.columns, title=table.title, caption=table.notes or None)
    for row in table.rows:
        shown.add_row(*row)
    Console().print(shown)
