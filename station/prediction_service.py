"""The process in which a model predicts: TensorFlow is imported here and nowhere else.

It is a server like those of the instruments, on an address of this machine that it chooses; it
says where on its standard output, and ends when its standard input does: with whoever started it,
however that ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devices.wire import Access, Call, Command, LimitError, Result, Server

if TYPE_CHECKING:
    from analysis.networks.predictor import Predictor
    from analysis.networks.registry import Registry

__all__ = ["PREDICT", "SERVICE", "PredictionService", "serve_model"]

SERVICE = "predictor"
PREDICT = f"{SERVICE}.predict"

_ENVIRONMENT: Mapping[str, str] = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # warnings only
    "TF_DETERMINISTIC_OPS": "1",  # what was said live is said again
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # leaves a graphics processor to a training as well
}
_NICE = 5  # the plan, its documents and the instrument go first


class PredictionService:
    """A predictor behind a server.

    Parameters
    ----------
    predictor : Predictor
        Compiled.
    """

    name = SERVICE

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def describe(self) -> dict[str, Any]:
        """Say which model answers."""
        card = self._predictor.card
        return {"model": card.reference, "task": card.task, "outputs": list(card.outputs)}

    def commands(self) -> Mapping[str, Command]:
        """Return the one command."""
        return {"predict": Command(self._predict, Access.READ)}

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Publish nothing."""
        return {}

    def make_safe(self) -> None:
        """Nothing moves here."""

    def _predict(self, call: Call) -> Result:
        units, size_um = dict(call.args["units"]), float(call.args["size_um"])
        try:
            found = self._predictor.predict(call.arrays, units, size_um)
        except ValueError as error:
            raise LimitError(" ".join(str(error).split())) from error
        return Result(
            {"novelty": found.novelty, "reason": found.reason, "seconds": found.seconds},
            {"values": found.values, "spreads": found.spreads},
        )


def serve_model(registry: Registry, name: str, *, orientations: int = 1) -> None:
    """Serve a model until standard input ends.

    Parameters
    ----------
    registry : Registry
        Where it is.
    name : str
        And version, as ``icp:3``.
    orientations : int
        As of `analysis.networks.predictor.Predictor`.

    Raises
    ------
    ValueError
        There is no such model, or it is not what its card says.
    """
    with os.fdopen(_own_output(), "w", encoding="utf-8") as ready:
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        os.nice(_NICE)
        from analysis.networks.predictor import Predictor

        predictor = Predictor(registry.load(name), orientations)
        with Server([PredictionService(predictor)], name=predictor.card.reference) as server:
            ready.write(json.dumps({"control": server.control_address, "pid": os.getpid()}) + "\n")
            ready.flush()
            sys.stdin.buffer.read()


def _own_output() -> int:
    """Keep standard output for what is said on purpose; libraries write to the log."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept
