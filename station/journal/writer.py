"""Writing the journal: the one subscriber of a RunEngine that a run may not do without.

One file a run, one line a document, written before the RunEngine goes on. The writing process
holds a lock on the file for as long as the run is open; the kernel lets go of it when the process
ends, however it ends. So another process can tell a run that is going on from one whose writer
was killed, without a guess from times or process numbers.
"""

import fcntl
import os
import re
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from station.journal.codec import encode_line
from station.journal.errors import JournalError

SUFFIX = ".jsonl"
_NEW = ".new"
_SYNC_PERIOD_S = 1.0
_SAFE_UID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}")


class Journal:
    """Append-only record of every document, ready to be subscribed to a RunEngine.

    A run lies in ``<folder>/YYYY/MM/<uid>.jsonl`` (year and month of its start, UTC). A run whose
    uid the journal holds already, as that of an analysis done again, replaces the older one in
    one step when its stop document is written; until then the older one stays.

    Parameters
    ----------
    folder : str or Path
        The journal folder; it is made where it is missing.

    Raises
    ------
    JournalError
        When the folder cannot be written, at once and not in mid-run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        self._lock = threading.Lock()
        self._runs: dict[str, _RunFile] = {}
        self._owners: dict[str, str] = {}
        _check_writable(self.folder)
        journal = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(journal()))

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write one document; documents of several runs may come interleaved.

        Parameters
        ----------
        name : str
            Name of the document.
        doc : mapping
            The document.

        Raises
        ------
        JournalError
            When it cannot be written: the run must not go on.
        """
        line = encode_line(name, doc)
        if name == "start":
            self._open(doc, line)
            return
        uid, run = self._find(name, doc)
        if name != "stop":
            run.write(line, sync=name == "descriptor")
            return
        with self._lock:
            self._forget_run(uid)
        try:
            run.write(line, sync=True)
            run.publish()
        finally:  # a run whose end cannot be written must not look as if it went on
            run.release()

    def close(self) -> None:
        """Let go of the runs that are still open; they count as unfinished from then on."""
        with self._lock:
            runs = list(self._runs.values())
            self._runs.clear()
            self._owners.clear()
        for run in runs:
            run.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, start: Mapping[str, Any], line: bytes) -> None:
        uid = str(start["uid"])
        if not _SAFE_UID.fullmatch(uid):
            raise JournalError(
                f"run uid {uid!r} cannot name a file; a uid has letters, digits, '-', '_' and '.'"
            )
        with self._lock:
            if uid in self._runs:
                raise JournalError(f"run {uid} is open already; close it with its stop document")
            self._runs[uid] = _RunFile(self.folder, uid, float(start["time"]), line)

    def _find(self, name: str, doc: Mapping[str, Any]) -> tuple[str, "_RunFile"]:
        with self._lock:
            uid = self._owner(doc)
            if uid is None or uid not in self._runs:
                raise JournalError(
                    f"{name} document of a run that is not open: its start is missing"
                )
            if name in ("descriptor", "stream_resource", "resource"):
                self._owners[doc["uid"]] = uid
            return uid, self._runs[uid]

    def _owner(self, doc: Mapping[str, Any]) -> str | None:
        if "run_start" in doc:
            return doc["run_start"]
        for reference in ("descriptor", "stream_resource", "resource"):
            if reference in doc:
                return self._owners.get(doc[reference])
        return next(iter(self._runs)) if len(self._runs) == 1 else None

    def _forget_run(self, uid: str) -> None:
        self._runs.pop(uid, None)
        for key in [key for key, owner in self._owners.items() if owner == uid]:
            del self._owners[key]


class _RunFile:
    """The file of one run, locked while it is open."""

    def __init__(self, folder: Path, uid: str, start_time: float, first_line: bytes) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._size = 0
        self._synced = time.monotonic()
        self._fd = -1
        started = datetime.fromtimestamp(start_time, UTC)
        existing = journal_file(folder, uid)
        self._target = existing or folder / f"{started:%Y}" / f"{started:%m}" / f"{uid}{SUFFIX}"
        self._path = self._target.with_name(f".{uid}.{secrets.token_hex(4)}{_NEW}")
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(
                self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644
            )
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        try:
            self.write(first_line, sync=True)
            if existing is None:
                self.publish()
        except BaseException:
            self._path.unlink(missing_ok=True)
            self.release()
            raise

    def write(self, line: bytes, *, sync: bool) -> None:
        """Append a line; a line that does not fit on the disk leaves nothing behind."""
        with self._lock:
            try:
                self._append(line)
                now = time.monotonic()
                if sync or now - self._synced >= _SYNC_PERIOD_S:
                    os.fdatasync(self._fd)
                    self._synced = now
            except OSError as error:
                self._cut_back()
                raise _cannot_write(self._folder, error) from error

    def publish(self) -> None:
        """Put the run in its place, if it is not there yet."""
        if self._path == self._target:
            return
        try:
            os.replace(self._path, self._target)
            self._path = self._target
            parent = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(parent)
            finally:
                os.close(parent)
        except OSError as error:
            raise _cannot_write(self._folder, error) from error

    def release(self) -> None:
        """Let go of the lock."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:  # a disk that is nearly full takes a part, and tells why with the next
            rest = rest[os.write(self._fd, rest) :]
        self._size += len(line)

    def _cut_back(self) -> None:
        """Remove the part of a line that was written, so that the next one stands alone."""
        if self._fd >= 0:
            os.ftruncate(self._fd, self._size)


def journal_file(folder: Path, uid: str) -> Path | None:
    """Find the file of a run by its whole uid; None where the journal has no such run."""
    return next(folder.glob(f"[0-9]*/[0-9]*/{uid}{SUFFIX}"), None)


def _forget(journal: Journal | None) -> None:
    """In a forked child: close the files, so that the lock is the parent's alone."""
    if journal is not None:
        journal._lock = threading.Lock()  # noqa: SLF001  the parent's may be held
        for run in journal._runs.values():  # noqa: SLF001
            run._lock = threading.Lock()  # noqa: SLF001
        journal.close()


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(4)}.probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write the journal in {folder}: {error.strerror}; a run goes on only while it is "
        "recorded: make the folder writable, free space, or choose another data folder"
    )
