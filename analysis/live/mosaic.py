"""Live analysis of a mosaic: from fields as they arrive to their positions and one image of all.

Holds no science: `analysis.tiles` registers, `analysis.positions` solves, `analysis.montage`
blends and `analysis.mosaic` reads the documents back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..mosaic import grid_order, result_from_documents
from ..mosaic.tables import HINTS, KEYS, vector
from ..mosaic.tiles import Neighbour, TileStream
from ..positions import Outlier, Positions
from .router import AnalysisRouter, Emit, Publisher, Reading, RunAnalysis

__all__ = ["MosaicAnalysis", "Progress"]

_log = logging.getLogger(__name__)

_AXES = ("x", "y")
_MICROMETRE = ("µm", "μm", "um")  # micro sign, Greek mu, ASCII
_IMAGES_IN_MEMORY = 256 * 2**20  # bytes

Progress = Callable[[str, str, int, int], object]


class MosaicAnalysis(AnalysisRouter):
    """Registers each new field of a mosaic against its neighbours and solves for all positions.

    Emits one "pair" event a registration while the run goes on; at the end a "position" event a
    field, an "outlier" event a pair that all others contradict, and one "mosaic" event on the
    whole. With a folder it writes ``<raw uid>.ome.tif``, tells of it in one "montage" event, and
    draws ``<raw uid>.png``. `analysis.mosaic.result_from_documents` makes the result of them.

    Parameters
    ----------
    emit : callable(name, document)
    prior_sigma : float
        How far a field may be from its reported position (standard deviation), µm. What all
        fields share does not count.
    drift_sigma : float
        Drift of the specimen while a frame is scanned (standard deviation), nm/s. A settled holder
        drifts by 0.03 nm/s, and scanning usually begins below 0.2 to 0.5 nm/s.
    folder : path, optional
        Where montage and figure go; none are made without.
    progress : callable(raw_uid, what, done, all), optional
        Called after each field ("fields registered") and each part of the montage ("montage").
        What it raises ends the analysis, with no file half written.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        prior_sigma: float = 0.5,
        drift_sigma: float = 0.1,
        folder: Path | str | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not prior_sigma > 0.0:
            raise ValueError(f"prior_sigma is {prior_sigma} µm, must be positive")
        if not drift_sigma >= 0.0:
            raise ValueError(f"drift_sigma is {drift_sigma} nm/s, must be 0 or more")
        parameters = {"prior_sigma": float(prior_sigma), "drift_sigma": float(drift_sigma)}
        super().__init__(emit, name="mosaic", parameters=parameters)
        self._folder = None if folder is None else Path(folder)
        self._progress = progress

    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether the run says that it is a mosaic, and names what places its fields."""
        fields, mosaic = start["fields"], start.get("mosaic")
        axes = fields.get("axes")
        return (
            isinstance(mosaic, Mapping)
            and all(isinstance(fields.get(key), str) for key in ("pixel_size", "camera_to_stage"))
            and isinstance(axes, Mapping)
            and all(axis in axes for axis in _AXES)
        )

    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin with a run."""
        return _RunMosaic(
            start, publisher, self._parameters, _Files(start["uid"], self._folder), self._progress
        )


@dataclass(frozen=True)
class _Files:
    """Where the files of a run go."""

    raw_uid: str
    folder: Path | None

    def named(self, suffix: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.raw_uid}{suffix}"


@dataclass(frozen=True)
class _Field:
    """A field: event number, place in the grid, positions (x, y) µm, and how to read it again."""

    seq_num: int
    grid: tuple[int, int]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    reload: Callable[[], NDArray[Any]]
    problem: str


class _Recording:
    """Hands events on, and keeps their documents for the result."""

    def __init__(self, publisher: Publisher, raw_uid: str) -> None:
        self._publisher = publisher
        start = {"analysis": {"name": "mosaic"}, "raw_uid": raw_uid}
        self.documents: list[tuple[str, Mapping[str, Any]]] = [("start", start)]

    def declare(self, stream: str, time: float) -> None:
        self._publisher.declare(stream, KEYS[stream], HINTS[stream], time)
        self.documents.append(("descriptor", {"uid": stream, "name": stream}))

    def event(self, stream: str, row: Mapping[str, Any], time: float) -> None:
        self._publisher.event(stream, row, time)
        number = len(self.documents)
        self.documents.append(("event", {"descriptor": stream, "seq_num": number, "data": row}))


class _RunMosaic(RunAnalysis):
    def __init__(
        self,
        start: Mapping[str, Any],
        publisher: Publisher,
        parameters: Mapping[str, float],
        files: _Files,
        progress: Progress | None,
    ) -> None:
        self._raw_uid = str(start["uid"])
        self._keys = start["fields"]
        grid = start["mosaic"]
        rows, columns = int(grid["rows"]), int(grid["columns"])
        self._grid = grid_order(rows, columns, serpentine=bool(grid.get("serpentine", False)))
        self._out = _Recording(publisher, self._raw_uid)
        self._parameters = parameters
        self._files = files
        self._progress = progress
        self._fields: list[_Field] = []
        self._stream: TileStream | None = None
        self._pixel_um = float("nan")
        self._matrix = np.eye(2)
        self._shape = (0, 0)

    def reading(self, reading: Reading) -> None:
        """Register a field against those that it overlaps."""
        field = self._field(reading)
        if not self._fields:
            self._scale(reading)
            self._out.declare("pair", reading.time)
        if self._stream is None and reading.image is not None:
            self._begin(reading, reading.image)
        if reading.image is not None and reading.image.shape != self._shape:
            problem = f"the image has shape {reading.image.shape}, must be {self._shape}"
            field = replace(field, problem=problem)
        self._fields.append(field)
        self._register(field, reading.image, reading.time)
        self._tell("fields registered", len(self._fields), len(self._grid))

    def _register(self, field: _Field, image: NDArray[Any] | None, time: float) -> None:
        if self._stream is None:  # made up for when the first image comes
            return
        place = self._first_pixel(field.reported)
        if image is None or field.problem:
            found = self._stream.skip(place, field.problem)
        else:
            found = self._stream.add(image, place)
        for neighbour in found:
            self._out.event("pair", self._pair_row(neighbour), time)

    def finish(self, time: float) -> str:
        """Solve for the positions; blend and draw, where there is a folder."""
        if self._stream is None:
            raise ValueError("the mosaic has no field with an image")
        found = self._stream.positions()
        actual = [self._centre(place) for place in found.position]
        to_stage = self._pixel_um * self._matrix
        self._out.declare("position", time)
        for number, field in enumerate(self._fields):
            covariance = to_stage @ found.relative_covariance[number][::-1, ::-1] @ to_stage.T
            row = {
                "raw_seq_num": field.seq_num,
                "row": field.grid[0],
                "column": field.grid[1],
                **vector("target", field.target),
                **vector("reported", field.reported),
                **vector("actual", actual[number], covariance),
                "group": int(found.group[number]),
                "imaged": not field.problem,
                "reason": field.problem,
            }
            self._out.event("position", row, time)
        self._out.declare("outlier", time)
        for outlier in found.outliers:
            self._out.event("outlier", self._outlier_row(outlier), time)
        self._out.declare("mosaic", time)
        self._out.event("mosaic", self._whole(found), time)
        if self._files.folder is not None:
            self._write(found, time)
        return ""

    def _field(self, reading: Reading) -> _Field:
        number = len(self._fields)
        grid = self._grid[number] if number < len(self._grid) else (-1, -1)
        axes = self._keys["axes"]
        places = [
            np.array([self._length(reading, axes[axis][which]) for axis in _AXES])
            for which in ("target", "reported")
        ]
        place = (int(grid[0]), int(grid[1]))
        return _Field(reading.seq_num, place, places[0], places[1], reading.reload, reading.problem)

    def _length(self, reading: Reading, key: str) -> float:
        value = float(self._value(reading, key))
        unit = reading.units.get(key, "µm")
        if unit not in _MICROMETRE:
            raise ValueError(f"{key} is recorded in {unit}, must be µm to compare with the images")
        if not np.isfinite(value):
            raise ValueError(f"{key} of event {reading.seq_num} is {value}, must be finite")
        return value

    def _value(self, reading: Reading, key: str) -> Any:
        if key not in reading.data:
            raise ValueError(f"the run does not record {key}, which its start document names")
        return reading.data[key]

    def _scale(self, reading: Reading) -> None:
        self._pixel_um = float(self._value(reading, self._keys["pixel_size"])) * 1e-3
        matrix = self._value(reading, self._keys["camera_to_stage"])
        self._matrix = np.reshape(np.array(matrix, dtype=float), (2, 2))

    def _begin(self, reading: Reading, image: NDArray[Any]) -> None:
        """Open the stream at the first image, for it alone tells the shape."""
        self._shape = (int(image.shape[0]), int(image.shape[1]))
        area = abs(float(np.linalg.det(self._matrix)))
        dwell_time = reading.data.get(self._keys.get("dwell_time", ""), 0.0)  # µs
        drift = self._parameters["drift_sigma"] * 1e-3 * float(dwell_time) * 1e-6 * image.size  # µm
        pixel = self._pixel_um * np.sqrt(area)
        self._stream = TileStream(
            self._shape,
            self._parameters["prior_sigma"] / pixel,
            drift_sigma=drift / pixel,
            load=self._load,
            keep=max(4, _IMAGES_IN_MEMORY // max(1, image.nbytes)),
        )
        for earlier in self._fields:
            self._register(earlier, None, reading.time)

    def _first_pixel(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Position (rows, columns) px of the first pixel of a field at (x, y) µm."""
        middle = (np.array(self._shape) - 1) / 2
        return np.linalg.solve(self._pixel_um * self._matrix, place)[::-1] - middle

    def _centre(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        middle = (np.array(self._shape) - 1) / 2
        return self._pixel_um * self._matrix @ (position + middle)[::-1]

    def _load(self, number: int) -> NDArray[Any]:
        return self._fields[number].reload()

    def _pair_row(self, pair: Neighbour) -> dict[str, Any]:
        first, second = self._fields[pair.first], self._fields[pair.second]
        to_stage = self._pixel_um * self._matrix
        shift, covariance = np.full(2, np.nan), np.full((2, 2), np.nan)
        if pair.pair is not None:
            shift = to_stage @ pair.pair.shift[::-1]
            covariance = to_stage @ pair.pair.covariance[::-1, ::-1] @ to_stage.T
        return {
            "raw_seq_num_first": first.seq_num,
            "raw_seq_num": second.seq_num,
            **vector("expected_shift", second.reported - first.reported),
            **vector("shift", shift, covariance),
            "accepted": pair.accepted,
            "reason": pair.reason,
        }

    def _outlier_row(self, outlier: Outlier) -> dict[str, Any]:
        first, second = self._fields[outlier.first], self._fields[outlier.second]
        to_stage = self._pixel_um * self._matrix
        says, others = (to_stage @ v[::-1] for v in (outlier.shift, outlier.predicted))
        words = ", ".join(
            f"{axis} {1e3 * a:.0f} nm where all others say {1e3 * b:.0f} nm"
            for axis, a, b in zip(_AXES, says, others, strict=True)
        )
        return {
            "raw_seq_num_first": first.seq_num,
            "raw_seq_num": second.seq_num,
            **vector("shift", says),
            **vector("predicted_shift", others),
            "z": outlier.z,
            "reason": f"fields {_named(first)} and {_named(second)}: {words} "
            f"({outlier.z:.1f} sigma)",
        }

    def _whole(self, found: Positions) -> dict[str, Any]:
        assert self._stream is not None
        # of the area of a pixel: a misfit in px has no direction here
        pixel = self._pixel_um * np.sqrt(abs(np.linalg.det(self._matrix)))
        return {
            "fields": len(self._fields),
            "field_width": self._pixel_um * self._shape[1],
            "field_height": self._pixel_um * self._shape[0],
            "imaged": sum(not field.problem for field in self._fields),
            "pairs": len(self._stream.found),
            "accepted_pairs": len(self._stream.pairs),
            "outliers": len(found.outliers),
            "unchecked_pairs": len(found.unchecked),
            "groups": int(found.group.max()) + 1,
            "scale": found.scale,
            "loops": len(found.closure.fields),
            "closure_rms": found.closure.rms * float(pixel),
            "closure_worst_z": float(found.closure.z.max(initial=0.0)),
        }

    def _write(self, found: Positions, time: float) -> None:
        """Blend the fields that have an image, tell of the file, and draw the figure."""
        from ..montage import overview
        from ..mosaic.figure import save_figure

        row = self._montage_row(found)
        self._out.declare("montage", time)
        self._out.event("montage", row, time)
        path = self._files.named(".ome.tif")
        try:
            result = result_from_documents(self._out.documents)
            image = overview(path) if row["file"] else None
            save_figure(self._files.named(".png"), result, self._matrix, image)
        except OSError as error:
            _log.warning("no figure of mosaic %s: %s", self._raw_uid[:8], error)

    def _montage_row(self, found: Positions) -> dict[str, Any]:
        from ..montage import balance, write_montage

        shown = [number for number, field in enumerate(self._fields) if not field.problem]
        places = found.position[shown]
        path = self._files.named(".ome.tif")
        row: dict[str, Any] = {
            "file": "",
            "rows": 0,
            "columns": 0,
            "levels": 0,
            "pixel_size": self._pixel_um * 1e3,
            **vector("first_pixel", np.full(2, np.nan)),
            "reason": "",
        }

        def load(number: int) -> NDArray[Any]:
            return self._load(shown[number])

        def load_and_tell(number: int) -> NDArray[Any]:
            self._tell("fields levelled", number + 1, len(shown))
            return load(number)

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            info = write_montage(
                path,
                load,
                places,
                pixel_size_nm=self._pixel_um * 1e3,
                camera_to_stage=self._matrix,
                levelled=balance(load_and_tell, places),
                progress=lambda done, total: self._tell("montage", done, total),
            )
        except OSError as error:
            row["reason"] = f"{path.name} cannot be written: {error.strerror or error}"
            return row
        corner = self._pixel_um * self._matrix @ info.origin[::-1]
        return {
            **row,
            "file": path.name,
            "rows": info.shape[0],
            "columns": info.shape[1],
            "levels": info.levels,
            **vector("first_pixel", corner),
        }

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(self._raw_uid, what, done, total)


def _named(field: _Field) -> str:
    return f"{field.seq_num} (row {field.grid[0] + 1}, column {field.grid[1] + 1})"
