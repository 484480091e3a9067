"""A flyer that follows the folder to which an instrument writes its images.

NanoScope offers no interface that is public, but writes a file an image: the folder is the
interface. A file is taken when its size has settled and it can be read whole, so that one that is
half written is waited for. How a file is read is not known here: `read` does it, and refuses with a
ValueError what is not complete.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, Signal

from devices._captured_images import CapturedFile, CapturedImages, LeftOut, kind_of
from devices.status import RequestStatus
from devices.wire import BusyError, CancelledError, LimitError, RefusedError

__all__ = ["CaptureFolder", "CaptureTimes"]

_log = logging.getLogger(__name__)
_JOIN_S = 30.0  # a file that is being read is read to its end


@dataclass(frozen=True)
class CaptureTimes:
    """How long a file is given.

    Parameters
    ----------
    settle : float
        Seconds without a change after which a file is looked at.
    patience : float
        Seconds without a change after which one that is not complete is reported and left out.
    """

    settle: float = 1.0
    patience: float = 120.0

    def __post_init__(self) -> None:
        if not 0.0 < self.settle <= self.patience:
            raise LimitError(
                f"capture times settle {self.settle:g} s and patience {self.patience:g} s are not "
                "allowed: settle is above 0 and at most patience"
            )


@dataclass
class _Growing:
    """A file that is not taken yet."""

    stamp: tuple[int, int]
    since: float
    reason: str = ""


class CaptureFolder(Device):
    """Follows a folder; each new file that is complete becomes an event.

    Its images go through `streams`, each with one kind of image, which the run declares when it has
    seen the first of that kind: see `plans.capture.capture`. Files that were there before kickoff
    are of no interest, unless they are written anew.

    Parameters
    ----------
    folder : str or Path
        The folder; must exist.
    read : callable(path) -> CapturedFile
        Reads a file; raises ValueError for one that is not complete, or no such file.
    name : str
        Of the device, and before the data keys of the channels: ``afm_imager`` gives those that
        an imager of ours has.
    asset_folder : Path
        Where the arrays go.
    pattern : str
        Of the files' names.
    times : CaptureTimes
        How long files are given.

    Attributes
    ----------
    expected : Signal
        Files after which the capture is complete; 0: when `finish` is called.
    """

    expected = Cpt(Signal, value=0, kind="config")

    def __init__(
        self,
        folder: str | Path,
        read: Callable[[Path], CapturedFile],
        *,
        name: str,
        asset_folder: str | Path,
        pattern: str = "*.spm",
        times: CaptureTimes = CaptureTimes(),
    ) -> None:
        super().__init__("", name=name)
        self._folder = Path(folder)
        self._read = read
        self._assets = Path(asset_folder)
        self._pattern = pattern
        self._times = times
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finish = threading.Event()
        self._cancel = threading.Event()
        self._status: RequestStatus | None = None
        self._failure: Exception | None = None
        self._taken = 0
        self._ended = False
        self._streams: list[CapturedImages] = []
        self._left_out = LeftOut(name, "left_out")

    @property
    def streams(self) -> tuple[CapturedImages | LeftOut, ...]:
        """What has events to be collected."""
        with self._lock:
            found = (*self._streams, self._left_out)
        return tuple(stream for stream in found if stream.waiting)

    @property
    def taken(self) -> int:
        """Files that became events since kickoff."""
        return self._taken

    def kickoff(self) -> RequestStatus:
        """Begin to look; done when the folder is watched.

        Raises
        ------
        RefusedError
            There is no such folder.
        BusyError
            It is followed already.
        """
        if self._thread is not None and self._thread.is_alive():
            raise BusyError(f"{self.name} follows {self._folder} already: stop it first")
        if not self._folder.is_dir():
            raise RefusedError(f"{self.name} cannot follow {self._folder}: there is no such folder")
        expected = self.expected.get()
        if isinstance(expected, bool) or not isinstance(expected, int) or expected < 0:
            raise LimitError(
                f"{self.name} expected {expected!r} is not allowed: a number of files, or 0 for as "
                "many as come"
            )
        self._close()
        self._finish.clear()
        self._cancel.clear()
        self._taken, self._failure, self._status, self._ended = 0, None, None, False
        self._left_out = LeftOut(self.name, "left_out")
        seen = self._stamps()
        self._thread = threading.Thread(
            target=self._follow, args=(seen, expected), name=f"{self.name}-capture", daemon=True
        )
        self._thread.start()
        status = RequestStatus(self, f"{self.name} kickoff")
        status.set_finished()
        return status

    def complete(self) -> RequestStatus:
        """Return a status that is done when the last file was taken.

        That is after `expected` files, or when `finish` was called and no file is growing.

        Raises
        ------
        RefusedError
            Before kickoff.
        """
        if self._thread is None:
            raise RefusedError(f"{self.name} follows no folder: kickoff comes before complete")
        status = RequestStatus(self, f"{self.name} capture from {self._folder}")
        with self._lock:
            self._status = status
            ended = self._ended
        if ended:
            self._tell()
        return status

    def finish(self) -> None:
        """End the capture with the files that are there; one that still grows is waited for."""
        self._finish.set()

    def stop(self, *, success: bool = False) -> None:
        """End the capture at once; a status of `complete` fails, unless `success`."""
        if not success:
            self._failure = self._failure or CancelledError(
                f"{self.name} was stopped after {self._taken} files"
            )
        self._cancel.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def unstage(self) -> list[object]:
        """Stop, and close the files of arrays."""
        self.stop(success=True)
        self._close()
        return super().unstage()

    def describe_collect(self) -> dict[str, Any]:
        """Refuse: which streams there are is known when files have come.

        Raises
        ------
        RefusedError
            Tells what to do.
        """
        raise RefusedError(
            f"{self.name} has a stream for each kind of image: run it with plans.capture.capture, "
            "which declares them as they come"
        )

    def collect(self) -> tuple[()]:
        """Return nothing: its `streams` are collected."""
        return ()

    def _close(self) -> None:
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """Size and time of change of each file."""
        found = {}
        for path in self._folder.glob(self._pattern):
            try:
                told = path.stat()
            except OSError:  # gone since it was listed
                continue
            found[path] = told.st_size, told.st_mtime_ns
        return found

    def _follow(self, seen: dict[Path, tuple[int, int]], expected: int) -> None:
        from watchfiles import watch

        growing: dict[Path, _Growing] = {}
        step = int(1e3 * self._times.settle)
        changes = watch(
            self._folder,
            watch_filter=None,
            debounce=step,
            rust_timeout=step,
            yield_on_timeout=True,  # a share that tells of no changes is looked at all the same
            stop_event=self._cancel,
            raise_interrupt=False,
            recursive=False,
        )
        try:
            for _ in changes:
                finishing = self._finish.is_set()  # before the look: what came before it counts
                self._look(seen, growing)
                for path in sorted(growing, key=lambda path: growing[path].stamp[1]):
                    if not self._cancel.is_set() and not (expected and self._taken >= expected):
                        self._try(path, growing, seen)
                complete = expected and self._taken >= expected
                if complete or (finishing and not growing):
                    break
        except Exception as error:  # whatever it is, somebody waits for the status
            _log.exception("%s cannot follow %s any longer", self.name, self._folder)
            self._failure = error
        finally:
            changes.close()
            self._end()

    def _look(self, seen: Mapping[Path, tuple[int, int]], growing: dict[Path, _Growing]) -> None:
        """Bring up to date what is known of the files that are not taken yet."""
        now = time.monotonic()
        stamps = self._stamps()
        for path in [path for path in growing if path not in stamps]:
            del growing[path]
        for path, stamp in stamps.items():
            if seen.get(path) == stamp:
                continue
            if path not in growing or growing[path].stamp != stamp:
                growing[path] = _Growing(stamp, now)

    def _try(
        self, path: Path, growing: dict[Path, _Growing], seen: dict[Path, tuple[int, int]]
    ) -> None:
        """Take a file that has settled, or leave it out when it has had its time."""
        file = growing[path]
        rested = time.monotonic() - file.since
        if rested < self._times.settle:
            return
        try:
            recorded = self._read(path)
        except ValueError as error:
            file.reason = str(error)
        else:
            if self._stamps().get(path) != file.stamp:  # written while it was read
                return
            self._take(path, recorded)
            seen[path] = file.stamp
            del growing[path]
            return
        if rested >= self._times.patience:
            _log.warning("%s leaves %s out: %s", self.name, path.name, file.reason)
            self._left_out.add(path.name, file.reason)
            seen[path] = file.stamp
            del growing[path]

    def _take(self, path: Path, recorded: CapturedFile) -> None:
        kind = kind_of(recorded)
        with self._lock:
            stream = next((stream for stream in self._streams if stream.kind == kind), None)
            number = len(self._streams) + 1
        if stream is None:
            name = "primary" if number == 1 else f"primary_{number}"
            stream = CapturedImages(self.name, name, recorded, self._assets)
            stream.add(path.name, recorded)
            with self._lock:
                self._streams.append(stream)
        else:
            stream.add(path.name, recorded)
        self._taken += 1

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        self._tell()

    def _tell(self) -> None:
        """End the status of `complete`, if somebody has asked for it."""
        with self._lock:
            status, self._status = self._status, None
        if status is None:
            return
        if self._failure is None:
            status.set_finished()
        else:
            status.set_exception(self._failure)
