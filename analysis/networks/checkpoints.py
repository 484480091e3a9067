"""Where a training stands, in one file that is whole or not there.

Weights, the optimiser's memory and the states of random numbers are kept as arrays, what was learnt
of each epoch as JSON: so a training that was killed goes on as if it had not been, on any engine.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint", "written_whole"]

Arrays = Sequence[NDArray[Any]]

_GROUPS = ("state", "best")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training after a whole epoch.

    Parameters
    ----------
    fingerprint : str
        Of what is trained on what.
    history : tuple of mapping
        What was learnt of each epoch.
    state : sequence of ndarray
        Of the network, its random numbers and its optimiser.
    best : sequence of ndarray
        Weights of the best epoch so far.
    """

    fingerprint: str
    history: tuple[Mapping[str, Any], ...] = ()
    state: Arrays = field(default=())
    best: Arrays = field(default=())


def written_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then give it its own: nobody ever sees half of it.

    Parameters
    ----------
    path : Path
        Its name in the end.
    write : callable(path)
        Writes it.
    """
    # The ending tells some writers the format, so it stays; the number tells writers apart.
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(beside)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of an earlier one.

    Parameters
    ----------
    path : Path
        Ends in ``.npz``.
    checkpoint : Checkpoint
        What to keep.
    """
    text = json.dumps({"fingerprint": checkpoint.fingerprint, "history": list(checkpoint.history)})
    arrays: dict[str, NDArray[Any]] = {"about": np.frombuffer(text.encode(), dtype=np.uint8)}
    for group in _GROUPS:
        for number, array in enumerate(getattr(checkpoint, group)):
            arrays[f"{group}_{number:05d}"] = array
    written_whole(path, lambda beside: np.savez(beside, allow_pickle=False, **arrays))


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none.

    Raises
    ------
    ValueError
        The file is not one.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            groups = {
                group: [stored[key] for key in sorted(stored) if key.startswith(f"{group}_")]
                for group in _GROUPS
            }
        return Checkpoint(about["fingerprint"], tuple(about["history"]), **groups)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a checkpoint: remove it to begin anew") from error
