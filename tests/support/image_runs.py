"""Runs of images as `plans.image` leaves them, without a microscope."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from event_model import compose_run
from numpy.typing import ArrayLike, NDArray

from devices.frames import RecordFile
from devices.image_channels import CHANNELS
from plans.scans import Scan, field_place

Document = tuple[str, dict[str, Any]]


def texture(seed: int, lines: int = 16, points: int = 16) -> NDArray[np.float32]:
    """Draw an image like no other, a deformation in metres."""
    values = np.random.default_rng(seed).lognormal(size=(lines, points))
    return (1e-9 * values).astype(np.float32)


@dataclass(frozen=True)
class ImageRun:
    """A run of one image, and what its start document tells.

    Parameters
    ----------
    folder : Path
        Of the file with its pixels.
    sample : str
    number : int
        Of the field on it.
    day : int
        Of the session; a probe a day.
    data : mapping of str to array
        By channel.
    calibrated : bool
        What is not calibrated is in volts.
    size : float
        µm.
    technique : str
    place : bool
        Whether the start document has one.
    status : str or None
        How the run ended; None where it did not.
    told : mapping
        What else, or else, the start document has.
    """

    folder: Path
    sample: str = "A2"
    number: int = 0
    day: int = 1
    data: Mapping[str, ArrayLike] = field(default_factory=lambda: {"deformation": texture(0)})
    calibrated: bool = True
    size: float = 4.0
    technique: str = "peakforce_qnm"
    place: bool = True
    status: Literal["success", "abort", "fail"] | None = "success"
    told: Mapping[str, Any] = field(default_factory=dict)

    def documents(self) -> list[Document]:
        """Write the pixels, and give the documents in their order."""
        time = 1.7e9 + 86400.0 * self.day + self.number
        run = compose_run(time=time, metadata=self._metadata())
        keys = {name: f"afm_imager_{name}" for name in self.data}
        arrays = {keys[name]: np.asarray(array, np.float32) for name, array in self.data.items()}
        bundle = run.compose_descriptor(
            "primary",
            {
                keys[name]: {
                    "source": "test",
                    "dtype": "array",
                    "dtype_numpy": "<f4",
                    "shape": list(np.shape(array)),
                    "external": "STREAM:",
                    "units": CHANNELS[name].unit_of(self.calibrated),
                    "object_name": "afm_imager",
                }
                for name, array in self.data.items()
            },
            object_keys={"afm_imager": list(keys.values())},
            hints={},
            configuration={},
        )
        start, descriptor = dict(run.start_doc), dict(bundle.descriptor_doc)
        found = [("start", start), ("descriptor", descriptor)]
        found += _pointing(self.folder, arrays, str(start["uid"]), str(descriptor["uid"]))
        event = bundle.compose_event(data={}, timestamps={}, time=time, validate=False)
        found.append(("event", dict(event)))
        if self.status is not None:
            found.append(("stop", dict(run.compose_stop(exit_status=self.status, time=time + 1))))
        return found

    def _metadata(self) -> dict[str, Any]:
        lines, points = np.shape(next(iter(self.data.values())))
        scan = Scan(self.size, 1.0, lines, points)
        place = field_place(self.sample, self.number, scan)
        where = {"place": {"sample": self.sample, "x": place.x, "y": place.y}}
        return {
            "plan_name": "image",
            "plan_args": where if self.place else {},
            "purpose": "raw",
            "technique": self.technique,
            "sample": self.sample,
            "field": self.number,
            "probe_serial": f"P{self.day}",
            "session": f"2026-01-{self.day:02d} P{self.day}",
            "calibrated": self.calibrated,
            "channels": list(self.data),
            "scan": scan.to_document(),
            "fields": {name: f"afm_imager_{name}" for name in self.data},
            **self.told,
        }


def campaign_of(
    folder: Path, samples: Iterable[str], sessions: int, images: int, lines: int = 16
) -> list[ImageRun]:
    """Image samples on several days with a probe each, no field twice."""
    return [
        ImageRun(
            folder,
            sample=sample,
            number=day * images + number,
            day=1 + day,
            data={"deformation": texture(hash_of(sample, day, number), lines, lines)},
        )
        for day in range(sessions)
        for number in range(images)
        for sample in samples
    ]


def hash_of(sample: str, *numbers: int) -> int:
    """Return a seed for an image, the same in every process."""
    return int.from_bytes(uuid.uuid5(uuid.NAMESPACE_OID, f"{sample} {numbers}").bytes[:4])


def _pointing(
    folder: Path, arrays: Mapping[str, NDArray[np.float32]], run: str, descriptor: str
) -> list[Document]:
    """Write the arrays; complete the documents of the file as a RunEngine does."""
    datasets = {key: f"/entry/{key}" for key in arrays}
    file = RecordFile(folder / f"{run}.h5", datasets)
    try:
        file.append(dict(arrays))
        found = file.collect()
    finally:
        file.close()
    return [
        (name, {**doc, "run_start": run})
        if name == "stream_resource"
        else (name, {**doc, "descriptor": descriptor, "seq_nums": {"start": 1, "stop": 2}})
        for name, doc in found
    ]
