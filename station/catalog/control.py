"""Starting, stopping and asking the catalog service, from any process."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from station.catalog.layout import (
    CatalogAddress,
    CatalogError,
    Layout,
    read_state,
)
from station.journal import journal_file, journal_files, try_lock

_POLL_S = 0.02


@dataclass(frozen=True)
class CatalogStatus:
    """What the catalog has of the journal.

    Attributes
    ----------
    address : CatalogAddress or None
        Where the service listens; None when none runs.
    archived, waiting : int
        How many runs are archived, and how many are being archived or wait for it.
    aside : tuple of (str, str)
        Uid and reason of each run that cannot be archived.
    log : Path
        The service's log.
    """

    address: CatalogAddress | None
    archived: int
    waiting: int
    aside: tuple[tuple[str, str], ...]
    log: Path

    @property
    def running(self) -> bool:
        """Whether a service runs and is ready."""
        return self.address is not None


def ensure_catalog(data_dir: str | Path | Layout, *, timeout: float = 60.0) -> CatalogAddress:
    """Find the catalog service of a data folder; start one if none runs.

    The service is a process of its own, which goes on when its caller ends.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.
    timeout : float, optional
        How long to wait until it is ready, in seconds.

    Returns
    -------
    CatalogAddress
        Where it listens.

    Raises
    ------
    CatalogError
        When it is not ready in time; names the log file that has the cause.
    """
    layout = Layout.of(data_dir)
    deadline = time.monotonic() + timeout
    address = layout.running_address()
    if address is None:
        layout.prepare()
        with _starting(layout, deadline):
            address = layout.running_address() or _start(layout, deadline)
    return address


def stop_catalog(data_dir: str | Path | Layout, *, timeout: float = 5.0) -> bool:
    """End the catalog service of a data folder.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.
    timeout : float, optional
        How long it may take before it is killed, in seconds. Nothing is lost by that: the journal
        has it all.

    Returns
    -------
    bool
        Whether one ran.
    """
    layout = Layout.of(data_dir)
    pid = layout.running_pid()
    if pid is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if layout.running_pid() != pid:
                return True
            _pause()
    raise CatalogError(f"the catalog service (process {pid}) does not end; see {layout.log}")


@contextlib.contextmanager
def catalog_while(data_dir: str | Path | Layout) -> Iterator[Future[CatalogAddress]]:
    """Have a catalog service while the context lasts; one that ran before is left running.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Yields
    ------
    concurrent.futures.Future of CatalogAddress
        The service, which comes up in the background.
    """
    with (
        catalog_in_use(data_dir),
        ThreadPoolExecutor(1, thread_name_prefix="catalog-start") as background,
    ):
        yield background.submit(ensure_catalog, data_dir)


@contextlib.contextmanager
def catalog_in_use(data_dir: str | Path | Layout) -> Iterator[None]:
    """Keep others from ending the catalog service while the context lasts.

    A service that did not run before is ended with the context, unless another process uses it by
    then; it is left to that one.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Raises
    ------
    CatalogError
        When the catalog's folder cannot be written to.
    """
    layout = Layout.of(data_dir)
    layout.prepare()
    with (layout.catalog / "users.lock").open("a") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)  # waits for one that is just ending the service
        ran_before = layout.running_pid() is not None
        try:
            yield
        finally:
            if not ran_before and try_lock(file.fileno(), fcntl.LOCK_EX):
                stop_catalog(layout)


def catalog_status(data_dir: str | Path | Layout) -> CatalogStatus:
    """Tell what the catalog has of the journal; works without a service, too.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Returns
    -------
    CatalogStatus
        Counts, and the runs that were set aside with their reasons.
    """
    layout = Layout.of(data_dir)
    archived, waiting, aside = 0, 0, []
    for path in journal_files(layout.journal):
        state = read_state(layout, path.stem)
        fits = state is not None and state.fits(path.stat())
        if state is not None and fits and state.state == "aside":
            aside.append((path.stem, state.reason))
        elif state is not None and fits and state.state == "archived":
            archived += 1
        else:
            waiting += 1
    return CatalogStatus(layout.running_address(), archived, waiting, tuple(aside), layout.log)


def wait_archived(data_dir: str | Path | Layout, uid: str, timeout: float = 30.0) -> None:
    """Wait until the catalog holds a whole run.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.
    uid : str
        The run's whole uid.
    timeout : float, optional
        How long to wait, in seconds.

    Raises
    ------
    CatalogError
        When the journal has no such run, the run cannot be archived, or the time is over.
    """
    layout = Layout.of(data_dir)
    deadline = time.monotonic() + timeout
    while True:
        path = journal_file(layout.journal, uid)
        if path is None:
            raise CatalogError(f"the journal in {layout.journal} has no run {uid}")
        state = read_state(layout, uid)
        if state is not None and state.fits(path.stat()):
            if state.state == "archived":
                return
            if state.state == "aside":
                raise CatalogError(f"run {uid} cannot be archived: {state.reason}")
        if time.monotonic() > deadline:
            running = "" if layout.running_pid() else "; no catalog service runs"
            raise CatalogError(
                f"run {uid} was not archived within {timeout:.0f} s{running}; see {layout.log}"
            )
        _pause()


@contextlib.contextmanager
def _starting(layout: Layout, deadline: float) -> Iterator[None]:
    """Let one caller at a time start a service; the others find the one that it started."""
    with (layout.catalog / "starting.lock").open("a") as file:
        while not try_lock(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise CatalogError(f"another process is still starting a service; see {layout.log}")
            _pause()
        yield


def _start(layout: Layout, deadline: float) -> CatalogAddress:
    ready, say_ready = os.pipe()
    command = [sys.executable, "-m", "station.catalog.service", "--data", str(layout.data)]
    try:
        with layout.log.open("ab") as log:
            # The process that is started here forks the service and ends at once.
            subprocess.run(
                [*command, "--detach", "--ready-fd", str(say_ready)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(say_ready,),
                check=False,  # one that cannot start closes the pipe without a word
            )
        os.close(say_ready)
        say_ready = -1
        # A pipe that ends without a word: the service has died. A station that has been up for long
        # may have more files open than select can watch.
        waiting = select.poll()
        waiting.register(ready, select.POLLIN)
        while not waiting.poll(100):
            if time.monotonic() > deadline:
                raise CatalogError(f"the catalog service was not ready in time; see {layout.log}")
        os.read(ready, 16)
    finally:
        os.close(ready)
        if say_ready >= 0:
            os.close(say_ready)
    address = layout.running_address()
    if address is None:
        raise CatalogError(f"the catalog service did not start; the cause is in {layout.log}")
    return address


def _pause() -> None:
    threading.Event().wait(_POLL_S)
