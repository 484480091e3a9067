"""What a training leaves: the network, and a record of how it was trained and what it reached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channels import ModelSpec
from .checkpoints import written_whole
from .options import TrainingOptions

__all__ = ["MODEL_FILE", "Trained", "read_trained", "write_trained"]

MODEL_FILE = "model.keras"
_RECORD = "trained.json"


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that was trained.

    Parameters
    ----------
    model : Path
        The ``.keras`` file, from raw images to logits or values.
    spec : ModelSpec
        What it reads and answers.
    options : TrainingOptions
        How it was trained.
    history : tuple of mapping
        Of each epoch: ``loss``, ``validation_loss``, ``validation_score`` (accuracy, or mean R² of
        the properties), ``seconds``.
    best_epoch : int
        From 0, whose weights were kept.
    validation_indices : tuple of int
        Images of the validation part.
    validation : ndarray of float64, shape (n, outputs)
        Logits or values of the network for them.
    fingerprint : str
        Hash of spec, options, split, targets and images.
    """

    model: Path
    spec: ModelSpec
    options: TrainingOptions
    history: tuple[Mapping[str, Any], ...]
    best_epoch: int
    validation_indices: tuple[int, ...]
    validation: NDArray[np.float64]
    fingerprint: str

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.history)

    @property
    def seconds(self) -> float:
        """How long all epochs took."""
        return float(sum(epoch["seconds"] for epoch in self.history))


def write_trained(trained: Trained) -> None:
    """Write the record of a training beside its network."""
    record = {
        "fingerprint": trained.fingerprint,
        "model_sha256": _sha256(trained.model),
        "spec": trained.spec.as_dict(),
        "options": trained.options.as_dict(),
        "best_epoch": trained.best_epoch,
        "history": list(trained.history),
        "validation_indices": list(trained.validation_indices),
        "validation": trained.validation.tolist(),
    }
    text = json.dumps(record, indent=1)
    path = trained.model.with_name(_RECORD)
    written_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def read_trained(folder: Path) -> Trained | None:
    """Read what a training left in its folder; None where it has not ended.

    Raises
    ------
    ValueError
        The network is not the one that was trained there.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    model = folder / MODEL_FILE
    if not model.is_file() or _sha256(model) != record["model_sha256"]:
        raise ValueError(f"{model} is not the network that was trained there: train it anew")
    spec = ModelSpec.from_dict(record["spec"])
    return Trained(
        model=model,
        spec=spec,
        options=TrainingOptions.from_dict(record["options"]),
        history=tuple(record["history"]),
        best_epoch=record["best_epoch"],
        validation_indices=tuple(record["validation_indices"]),
        validation=np.asarray(record["validation"]).reshape(-1, len(spec.outputs)),
        fingerprint=record["fingerprint"],
    )


def _sha256(path: Path) -> str:
    """Hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
