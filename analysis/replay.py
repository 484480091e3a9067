"""The callbacks of a live run over a recorded one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

__all__ = ["replay"]


def replay(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    *callbacks: Callable[[str, Any], object],
    speed: float = inf,
    interrupt: threading.Event | None = None,
) -> None:
    """Send recorded documents to callbacks, in their order and, if asked, in their time.

    Parameters
    ----------
    documents : iterable of (name, document)
        One run or several, from the journal or the catalog.
    callbacks : callable(name, document)
        As they would be subscribed to a RunEngine.
    speed : float
        Real-time factor: 1 as it was, 10 ten times faster, inf (default) without waiting.
    interrupt : threading.Event, optional
        Ends the replay when set.

    Raises
    ------
    ValueError
        If `speed` is not positive.
    """
    if not speed > 0.0:
        raise ValueError(f"speed is {speed}, must be positive (inf replays without waiting)")
    pause = interrupt or threading.Event()
    previous: float | None = None
    for name, doc in documents:
        time = _time(doc)
        if time is not None:
            if previous is not None and time > previous:
                pause.wait((time - previous) / speed)
            previous = time if previous is None else max(previous, time)
        if pause.is_set():
            return
        for callback in callbacks:
            callback(name, doc)


def _time(doc: Mapping[str, Any]) -> float | None:
    """Time of a document, the latest of a page; None for those that have none."""
    time = doc.get("time")
    if isinstance(time, (list, tuple)):
        return max((float(t) for t in time), default=None)
    return None if time is None else float(time)
