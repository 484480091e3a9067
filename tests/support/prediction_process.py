"""A worker that predicts without a network: run as a program, for `station.predictions`.

It says that an image is as soft as its level; a level of 1 ends it as a crash would, one of 2 makes
it hang.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from analysis.networks.prediction import ModelTerms, Prediction
from devices.wire import Server
from station.prediction_service import PredictionService

TERMS = ModelTerms("textures:1", ("deformation",), ("A2", "C5"))


class Level:
    """A predictor whose model is the mean of the image."""

    card = SimpleNamespace(reference=TERMS.model, task=TERMS.task, outputs=TERMS.outputs)

    def predict(
        self, channels: Mapping[str, Any], units: Mapping[str, str], size_um: float
    ) -> Prediction:
        """Predict, crash, hang or refuse."""
        level = float(np.mean(channels["deformation"]))
        if level == 1.0:
            os.kill(os.getpid(), signal.SIGKILL)
        if level == 2.0:
            threading.Event().wait()
        if level == 3.0:
            raise ValueError("an image of another kind")
        values = np.array([1.0 - level, level])
        return Prediction(TERMS, values, 0.1 * values, 0.5)


def main() -> None:
    """Serve until standard input ends; ``--fail`` ends at once."""
    if "--fail" in sys.argv:
        sys.exit("twinscope: the model is not what its card says")
    predictor: Any = Level()
    with Server([PredictionService(predictor)], name="textures:1") as server:
        print(json.dumps({"control": server.control_address}), flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
