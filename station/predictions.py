"""The station's model: a process that is started, watched and asked, and never waited for for ever.

A prediction costs a library that takes seconds to import and all cores for a moment, so it is made
in a process of its own. Where that dies, who waits for an answer is told in a line, and it is
started again; where it dies again and again, or cannot start, every question is told why.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from station import StationError
from station.model_registry import models_folder, registry_of
from station.settings import Settings

if TYPE_CHECKING:
    from analysis.live.predictions import Predict, PredictionAnalysis
    from analysis.live.router import Emit
    from analysis.networks.card import ModelCard
    from analysis.networks.prediction import Prediction
    from devices.afm import Afm
    from devices.image_classifier import ImageClassifier
    from devices.wire import Client

__all__ = [
    "READY_S",
    "PredictionError",
    "PredictionWorker",
    "image_classifier",
    "make_prediction_analysis",
    "registry_of",
]

READY_S = 180.0
"""Seconds for which a question waits for a worker that starts: ten processes may share a core."""

_CONNECT_S = 10.0
_RESTARTS = 5  # without an answer in between
_END_S = 3.0  # seconds that a worker is given to end

_log = logging.getLogger(__name__)


class PredictionError(StationError, RuntimeError):
    """There is no prediction; says why."""


class PredictionWorker:
    """A model in a process of its own.

    As a context manager it is started and ended.

    Parameters
    ----------
    settings : Settings
        Section ``[networks]``, and the data folder.
    model : str, optional
        Name, or name and version; that of the settings unless given.

    Raises
    ------
    PredictionError
        There is no such model.
    """

    def __init__(self, settings: Settings, model: str | None = None) -> None:
        section = settings.networks
        wanted = model or section.model
        if wanted is None:
            raise PredictionError("no model is named: set [networks] model, or name one")
        try:
            self.card: ModelCard = registry_of(settings).card(wanted).card
        except ValueError as error:
            raise PredictionError(str(error)) from error
        self._command = _command(settings, self.card.reference)
        self._threads = section.threads
        self._timeout_s = section.timeout_s
        self._log_path = settings.data / "logs" / "predictor.log"
        self._changed = threading.Condition()
        self._client: Client | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None
        self._lost = 0  # workers since the last answer
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process, unless it was; does not wait for it."""
        with self._changed:
            if self._thread is not None or self._closing:
                return
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log_path.write_bytes(b"")
            self._thread = threading.Thread(target=self._keep, name="prediction-worker")
            self._thread.daemon = True
            self._thread.start()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until the model answers.

        Raises
        ------
        PredictionError
            It cannot be started, or not within `timeout_s` (seconds).
        """
        self._ready(timeout_s)

    def predict(
        self, channels: Mapping[str, ArrayLike], units: Mapping[str, str], size_um: float
    ) -> Prediction:
        """Ask the model what an image shows; any thread.

        Parameters
        ----------
        channels : mapping of str to array_like, shape (lines, points)
            Of the image, at least those that the model wants.
        units : mapping of str to str
            Of each channel.
        size_um : float
            Length of a line, µm.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            The image is not of the model's kind.
        PredictionError
            The model does not answer.
        """
        from analysis.networks.prediction import Prediction
        from devices.wire import ExpiredError, LimitError, WireError
        from station.prediction_service import PREDICT

        self.card.check_stream(channels, units, size_um)
        wanted = self.card.inputs.channels
        arrays = {name: np.asarray(channels[name], dtype=np.float32) for name in wanted}
        told = {"units": {name: units[name] for name in wanted}, "size_um": float(size_um)}
        client = self._ready(READY_S)
        began = time.perf_counter()
        try:
            reply = client.request(PREDICT, told, arrays=arrays, deadline_s=self._timeout_s)
        except LimitError:
            raise
        except ExpiredError as error:  # what hangs would never answer again
            self._kill()
            raise PredictionError(
                f"model {self.card.reference} gave no answer within {self._timeout_s:g} s; it is "
                "started again"
            ) from error
        except WireError as error:
            raise PredictionError(
                f"model {self.card.reference} gave no answer: {self._problem_now() or error}"
            ) from error
        with self._changed:
            self._lost = 0
        return Prediction(
            by=self.card.terms,
            values=np.array(reply.arrays["values"]),
            spreads=np.array(reply.arrays["spreads"]),
            novelty=float(reply.values["novelty"]),
            reason=str(reply.values["reason"]),
            seconds=time.perf_counter() - began,
        )

    def close(self) -> None:
        """End the process; who still waits for an answer is told so."""
        with self._changed:
            self._closing = True
            self._problem = "the station was closed"
            process, thread = self._process, self._thread
            self._changed.notify_all()
        if process is not None and process.stdin is not None:
            process.stdin.close()  # it ends with its input
        if thread is None:
            return
        thread.join(_END_S)
        if thread.is_alive() and process is not None:
            process.kill()
            thread.join(_END_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self, timeout_s: float) -> Client:
        with self._changed:
            self._changed.wait_for(
                lambda: self._client is not None or self._given_up or self._thread is None,
                timeout_s,
            )
            if self._client is not None and not self._closing:
                return self._client
            reason = self._problem or f"not ready within {timeout_s:g} s; see {self._log_path}"
            if self._thread is None and not self._closing:
                reason = "its process was not started"
        raise PredictionError(f"model {self.card.reference} does not answer: {reason}")

    @property
    def _given_up(self) -> bool:
        return self._closing or (self._problem is not None and self._lost > _RESTARTS)

    def _kill(self) -> None:
        with self._changed:
            self._client = None
            if self._process is not None:
                self._process.kill()

    def _problem_now(self) -> str | None:
        """Why the process is gone, if it is; its end may be noticed after that of the link."""
        process = self._process
        if process is not None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                return None
        with self._changed:
            self._changed.wait_for(lambda: self._problem is not None, 0.5)
            return self._problem

    def _keep(self) -> None:
        """Run the process, again and again; on a thread of its own."""
        while self._begin():
            try:
                self._attend()
            except Exception as error:  # whatever it is, somebody waits for an answer
                _log.exception("the worker of model %s cannot be kept", self.card.reference)
                self._end(f"{error}", for_good=True)

    def _begin(self) -> bool:
        """Start a process; False when there is to be none."""
        with self._changed:
            if self._given_up:
                return False
            try:
                self._process = self._spawn()
            except OSError as error:
                self._problem, self._lost = str(error), _RESTARTS + 1
                self._changed.notify_all()
                return False
            return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self._threads is not None:
            environment["TF_NUM_INTRAOP_THREADS"] = str(self._threads)
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environment,
            )

    def _attend(self) -> None:
        """Connect to the process when it is ready, and wait for its end."""
        from devices.wire import Client, WireError

        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process, process.stdout:
            line = process.stdout.readline()
            if not line:  # it ended before it was ready, and has said why
                process.wait()
                self._end(_last_line(self._log_path), for_good=True)
                return
            client = Client(json.loads(line)["control"], name="predictions")
            try:
                client.connect(_CONNECT_S)
                with self._changed:
                    self._client, self._problem = client, None
                    self._changed.notify_all()
                process.wait()
                self._end(_ended(process.returncode))
            except WireError as error:
                self._end(str(error))
                process.kill()
            finally:
                client.close()

    def _end(self, problem: str, *, for_good: bool = False) -> None:
        with self._changed:
            self._client = None
            self._lost = _RESTARTS + 1 if for_good else self._lost + 1
            if not self._closing:
                self._problem = problem
                again = "" if self._given_up else "; it is started again"
                _log.warning("model %s: %s%s", self.card.reference, problem, again)
            self._changed.notify_all()


def make_prediction_analysis(
    worker: PredictionWorker, predict: Predict | None = None
) -> Callable[[Emit], PredictionAnalysis]:
    """Return what makes the live analysis that asks a worker.

    Parameters
    ----------
    worker : PredictionWorker
        Whose model answers.
    predict : callable, optional
        What asks it; its `PredictionWorker.predict` unless given.
    """
    from analysis.live.predictions import PredictionAnalysis

    def make(emit: Emit) -> PredictionAnalysis:
        return PredictionAnalysis(emit, predict=predict or worker.predict, terms=worker.card.terms)

    return make


def image_classifier(
    afm: Afm, worker: PredictionWorker, *, name: str = "classifier"
) -> ImageClassifier:
    """Make the device through which a plan asks a worker.

    Raises
    ------
    PredictionError
        The model tells no classes.
    """
    from devices.image_classifier import ImageClassifier

    card = worker.card
    if not card.terms.classifies:
        raise PredictionError(f"model {card.reference} tells {', '.join(card.outputs)}, no classes")
    return ImageClassifier(
        afm, worker.predict, model=card.reference, classes=card.outputs, name=name
    )


def _command(settings: Settings, reference: str) -> list[str]:
    section = settings.networks
    words = ["networks", "serve", reference, "--models", str(models_folder(settings))]
    words += ["--orientations", str(section.orientations)]
    if section.key is not None:
        words += ["--key", str(section.key)]
    return [sys.executable, "-P", "-m", "station", *words]


def _ended(code: int) -> str:
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended ({how})"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("twinscope: ") if lines else f"see {log}"
