"""The catalog service: a Tiled server and the archiver that feeds it, in one process.

Started by `ensure_catalog`, or by hand: ``python -m station.catalog.service --data DIR``. One
service a data folder; SIGTERM ends it.
"""

import argparse
import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from station.catalog.layout import CatalogError, Layout
from station.journal import try_lock

READY = b"ready\n"
_LOG_BYTES = 2_000_000
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.02
_log = logging.getLogger("station.catalog.service")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service until it is told to end.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line.

    Returns
    -------
    int
        Exit status of the process.
    """
    parser = argparse.ArgumentParser(prog="station.catalog.service", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    parser.add_argument("--ready-fd", type=int, help="where to say that the service is ready")
    options = parser.parse_args(arguments)
    layout = Layout.of(options.data)
    if options.detach and os.fork() > 0:
        # The child goes on as an orphan: it outlives its caller, who need not reap it.
        os._exit(0)
    if options.detach:
        os.setsid()
    try:
        layout.prepare()
        with _only_one(layout):
            _start_log(layout)
            _run(layout, options.ready_fd, quiet=options.detach)
    except CatalogError as error:
        _log.error("%s", error)
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception:
        _log.exception("the catalog service failed")
        return 1
    return 0


def _run(layout: Layout, ready: int | None, *, quiet: bool) -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # A server in this very process answers or is gone; long retries would only delay the end.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "3")
    os.environ.setdefault("TILED_RETRY_TIMEOUT", "3")
    from station.catalog.archiver import Archiver
    from station.catalog.server import serve

    with serve(layout) as uri:
        layout.publish(uri)
        _log.info("catalog of %s at %s, process %d", layout.data, uri, os.getpid())
        if not quiet:
            sys.stdout.write(f"catalog of {layout.data} at {uri}; Ctrl-C ends it\n")
            sys.stdout.flush()
        if ready is not None and not _awaited(ready):
            _log.info("ending: who started the service has gone before it was ready")
            return
        archiver = Archiver(layout, uri)
        archiver.start()
        ended.wait()
        _log.info("ending")
        archiver.stop(timeout=0.7)


def _awaited(ready: int) -> bool:
    """Say that the service is ready; tell whether anybody hears it."""
    try:
        os.write(ready, READY)
    except BrokenPipeError:
        return False
    finally:
        os.close(ready)
    return True


@contextlib.contextmanager
def _only_one(layout: Layout) -> Iterator[None]:
    descriptor = os.open(layout.lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        # Another process that asks whether a service runs holds the lock for an instant.
        for _ in range(_LOCK_TRIES):
            if try_lock(descriptor, fcntl.LOCK_EX):
                break
            threading.Event().wait(_LOCK_PAUSE_S)
        else:
            raise CatalogError(f"a catalog service runs for {layout.data} already")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        with contextlib.suppress(FileNotFoundError):
            layout.address.replace(layout.last_address)
        yield
    finally:
        os.close(descriptor)


def _start_log(layout: Layout) -> None:
    handler = logging.handlers.RotatingFileHandler(
        layout.log, maxBytes=_LOG_BYTES, backupCount=3, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("station").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Library threads that wait for nothing must not keep a service alive that has ended.
    os._exit(status)
