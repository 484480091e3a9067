"""Where is an image from? The answer decides which images may be told apart, and which may not.

Images of one session share a probe and a day, images of one place show the same thing: what a
network learns of one side of such a pair it knows of the other. So the record of an image holds
what tells this, with the uid of the run that holds the rest.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ImageRecord"]


@dataclass(frozen=True)
class ImageRecord:
    """Where one image is from.

    Parameters
    ----------
    run_uid : str
        Of the run that holds it; of a file, the uid that its run has when it is taken into a
        catalog.
    event : int
        Number of the event in that run.
    sample : str
        What is imaged: the label.
    probe : str
        Serial number.
    session : str
        Probe and day: what is constant as long as nobody comes near.
    field : int
        Number of the field on the sample.
    x, y : float or None
        Middle of the field on the sample, µm; None where nobody knows.
    technique : str
        ``peakforce_qnm``, ``scanasyst`` or ``tapping``.
    time : float
        Of the image, s since the epoch.
    size : float
        Fast side of the frame, µm.
    shape : (int, int)
        Lines and points of the image as it is in the set.
    calibrated : bool
        Whether the deflection of the probe was calibrated.
    source : str
        ``run`` or the name of the file that it was read from.
    aspect : float
        Fast side by slow side.
    angle : float
        Of the fast side from x, deg.
    """

    run_uid: str
    event: int
    sample: str
    probe: str
    session: str
    field: int
    x: float | None
    y: float | None
    technique: str
    time: float
    size: float
    shape: tuple[int, int]
    calibrated: bool
    source: str
    aspect: float = 1.0
    angle: float = 0.0

    @property
    def extent(self) -> tuple[float, float]:
        """Sides along x and y of what the frame, turned by its angle, lies in, µm."""
        cos, sin = (abs(f(math.radians(self.angle))) for f in (math.cos, math.sin))
        slow = self.size / self.aspect
        return self.size * cos + slow * sin, self.size * sin + slow * cos

    def __str__(self) -> str:
        name = self.source if self.source != "run" else f"run {self.run_uid[:8]}"
        return name if self.event == 1 else f"image {self.event} of {name}"

    def to_json(self) -> str:
        """The record as one line of JSON: the same for the same record everywhere."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ImageRecord:
        """The record that `to_json` wrote.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            told: dict[str, Any] = json.loads(text)
            return cls(**{**told, "shape": tuple(told["shape"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no record of an image: {error}") from None
