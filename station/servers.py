"""Instrument servers as processes: start one, wait for it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from station import StationError
from station.instruments import INSTRUMENTS
from station.settings import Section, Settings

__all__ = ["READY_S", "InstrumentServer", "ServerError", "ServerFacts"]

# A simulator is compiled when it starts for the first time: 6 s of a processor to itself, a minute
# of one that ten share. A child that fails ends, so that nobody waits in vain.
READY_S = 180.0

_POLL = 0.02  # seconds between looks at a file that has no other way to tell
_END = 3.0  # seconds that a server is given to stop the stage and blank the beam


class ServerError(StationError):
    """An instrument server did not start."""


@dataclass(frozen=True)
class ServerFacts:
    """Where a server is and what it says of itself.

    Parameters
    ----------
    name : str
        Of the instrument.
    driver : str
        What stands behind it; ``"remote"`` for a server that was running already.
    control, events : str
        Addresses for commands and telemetry; `events` may be empty.
    pid : int or None
        Its process, when this station started it.
    facts : mapping
        What the driver tells of the instrument.
    """

    name: str
    driver: str
    control: str
    events: str
    pid: int | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class InstrumentServer:
    """The server of an instrument: one that runs already, or a child process of ours.

    As a context manager it is started, waited for and ended; `start` and `wait_ready` apart leave
    time for other work in between. The child ends with its parent, however that ends, and a Ctrl-C
    at the parent's terminal does not reach it.

    Parameters
    ----------
    settings : Settings
        ``address`` of the instrument's section chooses a running server, everything else there
        describes a child.
    settings_path : Path, optional
        The file that the settings came from.
    instrument : str
        ``tem`` or ``afm``.
    """

    def __init__(
        self, settings: Settings, settings_path: Path | None = None, *, instrument: str = "tem"
    ) -> None:
        kind = INSTRUMENTS[instrument]
        self._name = instrument
        self._section = kind.section(settings)
        self._words = _options(self._section, kind.options)
        self._environment = kind.environment(settings)
        self._log_path = settings.data / "logs" / f"{instrument}-server.log"
        self._settings_path = settings_path
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._facts: ServerFacts | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The child process, or None when the server is not ours."""
        return self._process

    def start(self) -> None:
        """Start the child, unless the settings name a running server; does not wait for it.

        Raises
        ------
        ServerError
            The data folder cannot be written to.
        """
        if self._section.address is not None or self._process is not None:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="twinscope-")
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, **self._environment},
                )
        except OSError as error:
            self.close()
            raise ServerError(f"data folder {self._log_path.parent.parent}: {error}") from error

    @property
    def _ready_file(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / f"{self._name}.json"

    def _command(self) -> list[str]:
        options = [*self._words, "--ready-file", str(self._ready_file)]
        if self._settings_path is not None:
            options += ["--settings", str(self._settings_path)]
        station = [sys.executable, "-P", "-m", "station"]
        return [*station, "serve", self._name, *options, "--parent", str(os.getpid())]

    def wait_ready(self, timeout_s: float = READY_S) -> ServerFacts:
        """Wait until the server answers requests.

        Parameters
        ----------
        timeout_s : float
            Seconds after which a child that is not ready is ended.

        Returns
        -------
        ServerFacts
            Where it is.

        Raises
        ------
        ServerError
            The child ended or took too long; the text is the child's own reason.
        """
        if self._facts is None:
            self._facts = self._running() if self._process is None else self._child(timeout_s)
        return self._facts

    def _running(self) -> ServerFacts:
        section = self._section
        if section.address is None:
            raise ServerError(f"the server of {self._name} was not started")
        return ServerFacts(self._name, "remote", section.address, section.events or "", None)

    def _child(self, timeout_s: float) -> ServerFacts:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while not self._ready_file.exists():
            if self._process.poll() is not None:
                reason = self._last_line()
                self.close()
                raise ServerError(f"the server of {self._name} did not start: {reason}")
            if time.monotonic() > deadline:
                self.close()
                raise ServerError(
                    f"the server of {self._name} was not ready within {timeout_s:g} s; see "
                    f"{self._log_path}"
                )
            pause.wait(_POLL)
        return ServerFacts(**json.loads(self._ready_file.read_text(encoding="utf-8")))

    def _last_line(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].removeprefix("twinscope: ") if lines else f"see {self._log_path}"

    def close(self) -> None:
        """End the child, if there is one; returns when it is gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        self._facts = None

    def __enter__(self) -> ServerFacts:
        """Start the server and wait for it."""
        self.start()
        return self.wait_ready()

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.close()


def _options(section: Section, options: Mapping[str, str]) -> list[str]:
    values = {option: getattr(section, name) for name, option in options.items()}
    return [
        word for name, value in values.items() if value is not None for word in (name, str(value))
    ]
