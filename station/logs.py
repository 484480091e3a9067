"""Where messages go: everything to a file that rotates, one line an error to the screen."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from station import StationError

__all__ = ["LogError", "logging_to"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MEGABYTE = 1 << 20


class LogError(StationError):
    """The log folder cannot be written to."""


class _OneLine(logging.Formatter):
    """Message, then the exception's own words; the traceback is for the file."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().strip().splitlines()[0] if record.getMessage().strip() else ""
        if record.exc_info and record.exc_info[1] is not None:
            reason = str(record.exc_info[1]).strip() or type(record.exc_info[1]).__name__
            text = f"{text}: {reason.splitlines()[0]}"
        return f"{record.name}: {text}"


def _is_news(record: logging.LogRecord) -> bool:
    # The RunEngine logs what it then raises, and the person at the desk is told what was raised.
    return record.name not in ("bluesky", "bluesky.RE")


@contextmanager
def logging_to(folder: Path) -> Iterator[Path]:
    """Send the messages of all libraries to ``<folder>/station.log`` while the context lasts.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.

    Yields
    ------
    Path
        The log file.

    Raises
    ------
    LogError
        It cannot be written.
    """
    path = folder / "station.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path, maxBytes=_MEGABYTE, backupCount=5, encoding="utf-8"
        )
    except OSError as error:
        raise LogError(f"log {path} cannot be written: {error}") from error
    file.setFormatter(logging.Formatter(_FORMAT))
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    screen.setFormatter(_OneLine())
    screen.addFilter(_is_news)
    root = logging.getLogger()
    for handler in (file, screen):
        root.addHandler(handler)
    try:
        yield path
    finally:
        for handler in (file, screen):
            root.removeHandler(handler)
            handler.close()
