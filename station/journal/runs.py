"""The runs of a journal: which there are, which is meant, and which were never finished."""

import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from station.journal.codec import encode_line
from station.journal.errors import JournalError, RunNotFoundError
from station.journal.reader import JournalTail, read_first, read_last
from station.journal.writer import SUFFIX

Purpose = Literal["raw", "analysis"]
_WRITER_GONE = "the process that recorded the run ended before the run did"


@dataclass(frozen=True)
class RunSummary:
    """What the first and the last line of a journal file say.

    Attributes
    ----------
    uid : str
        The run's uid.
    path : Path
        Its journal file.
    start : mapping
        The start document; empty where `problem` is set.
    stop : mapping or None
        The stop document; None while the run goes on, and where its writer was killed.
    problem : str or None
        Why the file cannot be read, in one line.
    """

    uid: str
    path: Path
    start: Mapping[str, Any] = field(repr=False)
    stop: Mapping[str, Any] | None = field(repr=False)
    problem: str | None = None

    @property
    def time(self) -> float:
        """Start of the run, seconds since the epoch."""
        return float(self.start.get("time", 0.0))

    @property
    def duration(self) -> float | None:
        """Length of the run in seconds; None while it is unfinished."""
        return None if self.stop is None else float(self.stop["time"]) - self.time

    @property
    def scan_id(self) -> int | None:
        """The scan number; None for a run that has none, as an analysis."""
        return self.start.get("scan_id")

    @property
    def plan_name(self) -> str:
        """Name of the plan, or of the analysis."""
        return str(self.start.get("plan_name") or self.start.get("analysis", {}).get("name", ""))

    @property
    def purpose(self) -> Purpose:
        """Whether the run is a measurement or the analysis of one."""
        return "analysis" if self.start.get("purpose") == "analysis" else "raw"

    @property
    def raw_uid(self) -> str | None:
        """The run that an analysis run belongs to."""
        return self.start.get("raw_uid")

    @property
    def exit_status(self) -> str | None:
        """``"success"``, ``"abort"`` or ``"fail"``; None while the run is unfinished."""
        return None if self.stop is None else self.stop.get("exit_status")

    @property
    def num_events(self) -> Mapping[str, int]:
        """Number of events a stream, as the stop document has it."""
        return {} if self.stop is None else self.stop.get("num_events", {})


def journal_files(folder: str | Path) -> list[Path]:
    """List the journal files of all runs, the months in order.

    Parameters
    ----------
    folder : str or Path
        The journal folder.

    Returns
    -------
    list of Path
        One file a run.
    """
    return [path for month in _months(Path(folder)) for path in _files(month)]


def list_runs(folder: str | Path, *, most: int | None = None) -> list[RunSummary]:
    """List the runs in a journal; only the first and the last line of each file are read.

    Parameters
    ----------
    folder : str or Path
        The journal folder; one that does not exist holds no runs.
    most : int, optional
        Only so many of the newest runs.

    Returns
    -------
    list of RunSummary
        Oldest first.
    """
    runs: list[RunSummary] = []
    for month in reversed(_months(Path(folder))):
        runs[:0] = _summaries(month)
        if most is not None and len(runs) >= most:
            return runs[len(runs) - most :]
    return runs


def summarize(path: Path) -> RunSummary:
    """Summarize one journal file from its first and its last line.

    Parameters
    ----------
    path : Path
        The journal file.

    Returns
    -------
    RunSummary
        With `problem` set where the file cannot be understood.
    """
    problem, start, stop = None, {}, None
    try:
        first, last = read_first(path), read_last(path)
        if first is None or first[0] != "start":
            problem = f"{path} does not begin with a start document"
        else:
            start = first[1]
            stop = last[1] if last is not None and last[0] == "stop" else None
    except JournalError as error:
        problem = str(error)
    return RunSummary(path.name.removesuffix(SUFFIX), path, start, stop, problem)


def find_run(folder: str | Path, key: str | int, *, purpose: Purpose = "raw") -> Path:
    """Find the one run that is meant.

    Parameters
    ----------
    folder : str or Path
        The journal folder.
    key : str or int
        The first characters of a uid; -1 for the latest run, -2 for the one before; a positive
        number for the latest run with that scan number.
    purpose : {"raw", "analysis"}, optional
        Which runs negative numbers count.

    Returns
    -------
    Path
        The run's journal file.

    Raises
    ------
    RunNotFoundError
        When no run, or more than one, is meant.
    """
    folder = Path(folder)
    if isinstance(key, int) or re.fullmatch(r"-\d+", key):
        return _find_by_number(folder, int(key), purpose)
    found = [path for path in journal_files(folder) if key and path.name.startswith(key)]
    exact = [path for path in found if path.name == key + SUFFIX]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if not found:
        raise RunNotFoundError(f"no run in {folder} has a uid that begins with {key!r}")
    names = ", ".join(path.name.removesuffix(SUFFIX)[:13] for path in found[:4])
    more = ", ..." if len(found) > 4 else ""
    raise RunNotFoundError(
        f"{len(found)} runs have a uid that begins with {key!r} ({names}{more}); give more of it"
    )


def being_written(path: Path) -> bool:
    """Tell whether a process holds the run open.

    Parameters
    ----------
    path : Path
        The journal file.

    Returns
    -------
    bool
        False is certain: the lock of a process that ended, in whatever way, is gone.
    """
    with path.open("rb") as file:
        return not try_lock(file.fileno(), fcntl.LOCK_SH)


def close_abandoned(path: Path) -> dict[str, Any] | None:
    """Give a run whose writer is gone the stop document that it lacks.

    Parameters
    ----------
    path : Path
        The journal file.

    Returns
    -------
    dict or None
        The stop document that was appended, with ``exit_status="abort"``; None where there was
        nothing to do because the run is being written, or has its stop.

    Raises
    ------
    JournalError
        When the file is damaged or cannot be written.
    """
    try:
        with path.open("r+b") as file:
            if not try_lock(file.fileno(), fcntl.LOCK_EX):
                return None
            tail = JournalTail(path)
            stop = synthesize_stop(tail.read(), path.stat().st_mtime, _WRITER_GONE)
            if stop is None:
                return None
            file.truncate(tail.offset)
            file.seek(tail.offset)
            file.write(encode_line("stop", stop))
            file.flush()
            os.fsync(file.fileno())
            return stop
    except OSError as error:
        raise JournalError(f"cannot finish {path}: {error.strerror}") from error


def synthesize_stop(
    documents: Iterator[tuple[str, Mapping[str, Any]]], time: float, reason: str
) -> dict[str, Any] | None:
    """Make the stop document that a run lacks.

    Parameters
    ----------
    documents : iterator of (name, doc)
        What there is of the run.
    time : float
        When it ended, seconds since the epoch.
    reason : str
        Why it ended.

    Returns
    -------
    dict or None
        A valid stop document; None where the run has one, or nothing at all.
    """
    uid: str | None = None
    streams: dict[str, str] = {}
    events: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for name, doc in documents:
        if name == "start":
            uid = doc["uid"]
        elif name == "descriptor":
            streams[doc["uid"]] = doc.get("name", "primary")
            events[doc.get("name", "primary")] += 0
        elif name == "event":
            events[streams[doc["descriptor"]]] += 1
        elif name == "event_page":
            events[streams[doc["descriptor"]]] += len(doc["seq_num"])
        elif name == "stream_datum":
            stream = streams[doc["descriptor"]]
            frames[stream] = max(frames[stream], doc["seq_nums"]["stop"] - 1)
        elif name == "stop":
            return None
    if uid is None:
        return None
    # A stream of frames alone has no events: there the frames are what is counted.
    counts = {stream: count or frames[stream] for stream, count in events.items()}
    return {
        "uid": str(uuid4()),
        "time": time,
        "run_start": uid,
        "exit_status": "abort",
        "reason": reason,
        "num_events": counts,
    }


def _find_by_number(folder: Path, number: int, purpose: Purpose) -> Path:
    seen = 0
    for month in reversed(_months(folder)):
        for run in reversed(_summaries(month)):
            if run.problem is not None:
                continue
            if number >= 0 and run.scan_id == number:
                return run.path
            if number < 0 and run.purpose == purpose:
                seen += 1
                if seen == -number:
                    return run.path
    if number >= 0:
        raise RunNotFoundError(f"no run in {folder} has the scan number {number}")
    raise RunNotFoundError(f"run {number} was asked for, but {folder} holds {seen} {purpose} runs")


def _summaries(month: Path) -> list[RunSummary]:
    return sorted((summarize(path) for path in _files(month)), key=lambda run: run.time)


def _months(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*/[0-9]*") if path.is_dir())


def _files(month: Path) -> list[Path]:
    return sorted(month.glob(f"[!.]*{SUFFIX}"))


def try_lock(descriptor: int, kind: int) -> bool:
    """Take a file's lock, if nobody holds it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
