"""Specimens of known displacement, and raw runs made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import event_model
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

Document = tuple[str, dict[str, Any]]
FIELDS = {
    "image": "cam_image",
    "pixel_size": "cam_pixel_size",
    "camera_to_stage": "cam_to_stage",
    "axes": {
        "x": {"reported": "stage_x", "target": "stage_x_target"},
        "y": {"reported": "stage_y", "target": "stage_y_target"},
    },
}
PIXEL_NM = 25.0


class Texture:
    """A periodic specimen whose Fourier series is known, so that any shift of it is exact."""

    def __init__(self, size: int, seed: int, slope: float = 1.2, cutoff: float = 0.2) -> None:
        rng = np.random.default_rng(seed)
        rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
        radius = np.hypot(rows, columns)
        radius[0, 0] = 1.0
        amplitude = radius**-slope * np.exp(-((radius / cutoff) ** 2))
        amplitude[0, 0] = 0.0
        phases = rng.standard_normal(radius.shape) + 1j * rng.standard_normal(radius.shape)
        self._series = amplitude * phases
        self._size = size
        self._scale = float(np.fft.irfft2(self._series, s=(size, size)).std())
        self._rows, self._columns = rows, columns

    def field(self, shape: tuple[int, int], shift: tuple[float, float]) -> NDArray[np.float64]:
        """Unit-variance field of view displaced by `shift` (rows, columns) px."""
        turn = np.exp(2j * np.pi * (self._rows * shift[0] + self._columns * shift[1]))
        whole = np.fft.irfft2(self._series * turn, s=(self._size, self._size))
        return whole[: shape[0], : shape[1]] / self._scale


@pytest.fixture(scope="session")
def texture() -> Callable[..., Texture]:
    return Texture


class RawRun:
    """Writes the documents and the HDF5 file of a stage run, as a RunEngine and a camera would."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run with space.h5"

    def documents(
        self,
        targets: NDArray[np.float64],
        reported: NDArray[np.float64],
        actual: NDArray[np.float64],
        *,
        size: int = 64,
        uid: str = "6e7c2a0e-3a05-4d8c-a6ad-f2b8e3a9b8f0",
        fields: dict[str, Any] | None = None,
        to_stage: NDArray[np.float64] | None = None,
    ) -> list[Document]:
        specimen = Texture(256, seed=5)
        rng = np.random.default_rng(8)
        turn = np.eye(2) if to_stage is None else to_stage
        frames = []
        for position in actual:
            columns, rows = np.linalg.solve(turn, position * 1e3 / PIXEL_NM)
            field = specimen.field((size, size), (rows, columns))
            frames.append(field + 0.1 * rng.standard_normal(field.shape))
        with h5py.File(self.path, "w") as file:
            file.create_dataset("entry/data", data=np.uint16(2000 + 300 * np.array(frames)))

        metadata = {"scan_id": 7, "purpose": "raw"}
        metadata["fields"] = FIELDS if fields is None else fields
        run = event_model.compose_run(uid=uid, time=1000.0, metadata=metadata)
        number = {"source": "test", "dtype": "number", "shape": [], "units": "µm"}
        keys: dict[str, Any] = {
            axis[which]: number for axis in FIELDS["axes"].values() for which in axis
        }
        keys["cam_image"] = {
            "source": "test",
            "dtype": "array",
            "shape": [1, size, size],
            "external": "STREAM:",
        }
        configuration = {
            "cam": {
                "data": {"cam_pixel_size": PIXEL_NM, "cam_to_stage": turn.tolist()},
                "timestamps": {"cam_pixel_size": 1000.0, "cam_to_stage": 1000.0},
                "data_keys": {
                    "cam_pixel_size": {**number, "units": "nm"},
                    "cam_to_stage": {"source": "test", "dtype": "array", "shape": [2, 2]},
                },
            }
        }
        bundle = run.compose_descriptor("primary", keys, configuration=configuration, time=1000.0)
        assert run.compose_stream_resource is not None
        resource = run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri="file://localhost" + quote(str(self.path)),
            data_key="cam_image",
            parameters={"dataset": "/entry/data", "chunk_shape": [1, size, size]},
        )
        found: list[Document] = [
            ("start", dict(run.start_doc)),
            ("descriptor", dict(bundle.descriptor_doc)),
            ("stream_resource", dict(resource.stream_resource_doc)),
        ]
        for index in range(len(targets)):
            datum = resource.compose_stream_datum(
                indices={"start": index, "stop": index + 1},
                seq_nums={"start": index + 1, "stop": index + 2},
                descriptor=bundle.descriptor_doc,
            )
            data = {
                "stage_x": float(reported[index, 0]),
                "stage_y": float(reported[index, 1]),
                "stage_x_target": float(targets[index, 0]),
                "stage_y_target": float(targets[index, 1]),
            }
            time = 1001.0 + index
            event = bundle.compose_event(data=data, timestamps=dict.fromkeys(data, time), time=time)
            found += [("stream_datum", dict(datum)), ("event", dict(event))]
        stop = run.compose_stop(time=1100.0)
        return [*found, ("stop", dict(stop))]


@pytest.fixture
def raw_run(tmp_path: Path) -> RawRun:
    return RawRun(tmp_path)


class Stage:
    """One axis with play before and behind its sensor: the closed form of a play operator."""

    def __init__(self, hidden: float, shown: float = 0.0) -> None:
        self._plays = [shown, hidden]
        self._places = [0.0, 0.0]

    def go(self, target: float) -> tuple[float, float]:
        """Return the reported and the actual position."""
        drive = target
        for index, width in enumerate(self._plays):
            place = self._places[index]
            place = min(max(place, drive - width / 2), drive + width / 2)
            self._places[index] = drive = place
        return self._places[0], self._places[1]


def hysteresis_targets(step: float, steps: int, repeats: int) -> NDArray[np.float64]:
    """Targets of the hysteresis plan of two axes, shape (n, 2), um."""
    position, found = [0.0, 0.0], []
    for axis in range(2):
        for direction in (1, -1):
            for _ in range(repeats):
                found.append(tuple(position))
                for sign in [direction] * steps + [-direction] * steps:
                    position[axis] += sign * step
                    found.append(tuple(position))
    return np.array(found)


@pytest.fixture
def stage_run() -> Callable[..., tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    def run(
        step: float,
        steps: int,
        repeats: int,
        hidden: tuple[float, float],
        shown: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Targets, reported and actual positions of a run on axes of known play, um."""
        targets = hysteresis_targets(step, steps, repeats)
        stages = [Stage(h, s) for h, s in zip(hidden, shown, strict=True)]
        read = np.array([[s.go(t) for s, t in zip(stages, row, strict=True)] for row in targets])
        return targets, read[:, :, 0], read[:, :, 1]

    return run
