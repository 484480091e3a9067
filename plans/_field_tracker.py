"""What keeps a feature in the middle of the field while the specimen is tilted.

`FieldTracker` judges each frame and is read into its event, so that everything the plan acts upon
is in the run. `TrackedStage` tilts, takes up the play that the tilt sets free, corrects for what is
predicted and records.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.protocols import Reading
from bluesky.utils import MsgGenerator
from event_model import DataKey
from numpy.typing import NDArray
from ophyd.status import Status

from analysis.tilting import Foreshortening, Prediction, Predictor, TiltedField, locate_field
from devices.microscope import Microscope
from plans._steps import reach, read_into, read_now, standing, triggered
from plans.endings import insist

__all__ = ["FieldTracker", "TrackedStage", "home_of"]

_KEPT = 4  # fields: the nearest tilt of a dose-symmetric series is at most three images old
_LOST = 3  # images in a row that cannot be registered
# The expectation guides the registration and must not decide it: at least a twentieth of the field.
_DOUBT, _LEAST_SIGMA = 2.0, 0.05
_LINEAR = ("x", "y", "z")
_SHIFTS = ("image_shift_x", "image_shift_y")


class FieldTracker:
    """Finds, frame by frame, where the field of view has gone from that of the first frame.

    Its values, µm: where the field would be without correction as predicted and as found, the
    standard errors of both, `off`, what is left between the centre of the field and the feature
    that the first frame had there, and the predicted change of height, which is that of focus. A
    frame that cannot be registered counts as found where it was predicted, with `accepted` 0.

    Parameters
    ----------
    tem : Microscope
        Whose last frame is judged.
    predictor : Predictor
        Told of every field that was found.
    foreshortening : callable
        How long a unit of the specimen looks across the tilt axis at a tilt.
    """

    parent = None

    def __init__(
        self, tem: Microscope, predictor: Predictor, foreshortening: Foreshortening
    ) -> None:
        self.name = f"{tem.name}_tracker"
        self._tem = tem
        self._foreshortening = foreshortening
        self.begin(predictor)

    def begin(self, predictor: Predictor) -> None:
        """Take the next frame as the first of a series."""
        self._predictor = predictor
        self._fields: deque[tuple[float, TiltedField]] = deque(maxlen=_KEPT)
        self._lost = 0
        self._found: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []
        self.expect(0.0)
        self.corrected(np.zeros(2), 0.0)
        self._settle(np.zeros(2), np.zeros((2, 2)), accepted=True)

    def expect(self, alpha: float) -> Prediction:
        """Predict where the field goes at a tilt (degrees)."""
        self._alpha, self.prediction = alpha, self._predictor.predict(alpha)
        return self.prediction

    def corrected(self, by: NDArray[np.float64], raised: float) -> None:
        """Learn by how much the next frame's field was shifted, (x, y), and the specimen raised.

        Since the first frame, by the plan, µm.
        """
        self._corrected, self._raised = by, raised

    @property
    def predictor(self) -> Predictor:
        """What predicts."""
        return self._predictor

    @property
    def summary(
        self,
    ) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float], float, bool]:
        """Of the last frame: off, predicted and found (x, y; µm), predicted z (µm), accepted."""
        values = self._values
        off, predicted, found = (
            (values[f"{what}_x"], values[f"{what}_y"]) for what in ("off", "predicted", "found")
        )
        return off, predicted, found, values["predicted_z"], bool(self._accepted)

    @property
    def found(self) -> list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
        """Tilt (deg), place (x, y; µm) and covariance (µm²) of all fields that were found."""
        return list(self._found)

    def trigger(self) -> Status:
        """Judge the last frame.

        Raises
        ------
        RuntimeError
            When the feature is lost: several frames in a row show nothing of what was seen before.
        """
        image, _ = self._tem.camera.last_frame
        scale = self._foreshortening(self._alpha)
        if not self._fields:
            self._keep(TiltedField(image, scale, np.zeros(2), np.zeros((2, 2))))
        else:
            self._register(image, scale)
        status = Status()
        status.set_finished()
        return status

    def _register(self, image: NDArray[np.generic], scale: float) -> None:
        pixel_um = 1e-3 * self._tem.camera.pixel_size.get()
        matrix = pixel_um * np.reshape(self._tem.camera.to_stage.get(), (2, 2))
        predicted = float(np.sqrt(np.trace(self.prediction.covariance)))
        sigma = max(_DOUBT * predicted, _LEAST_SIGMA * pixel_um * max(image.shape))
        expected = self.prediction.position + self._corrected
        reason = ""
        # of two as near the later one, which comes first in the deque
        for _, known in sorted(self._fields, key=lambda kept: abs(kept[0] - self._alpha)):
            field, registration = locate_field(known, image, scale, matrix, expected, sigma)
            if field is not None:
                self._keep(field)
                return
            reason = reason or registration.reason
        self._lost += 1
        if self._lost == _LOST:
            raise RuntimeError(
                f"the feature was lost before {self._alpha:g} deg: {_LOST} images in a row could "
                f"not be registered ({reason}); take smaller steps or a lower magnification"
            )
        self._settle(self.prediction.position, self.prediction.covariance, accepted=False)

    def _keep(self, field: TiltedField) -> None:
        self._lost = 0
        self._fields.appendleft((self._alpha, field))
        place = field.position - self._corrected
        self._predictor.observe(self._alpha, place, field.covariance)
        self._found.append((self._alpha, place, field.covariance))
        self._settle(place, field.covariance, accepted=True)

    def _settle(
        self, place: NDArray[np.float64], covariance: NDArray[np.float64], *, accepted: bool
    ) -> None:
        """Lay down what is read."""
        expected = self.prediction
        spread, errors = np.sqrt(np.diag(expected.covariance)), np.sqrt(np.diag(covariance))
        off = place + self._corrected
        self._time = time.time()
        self._accepted = int(accepted)
        self._values = {
            "predicted_z": expected.z + self._raised,
            "predicted_z_stderr": expected.z_stderr,
        }
        for axis, name in enumerate("xy"):
            self._values |= {
                f"predicted_{name}": float(expected.position[axis]),
                f"predicted_{name}_stderr": float(spread[axis]),
                f"found_{name}": float(place[axis]),
                f"found_{name}_stderr": float(errors[axis]),
                f"off_{name}": float(off[axis]),
            }

    def read(self) -> dict[str, Reading[Any]]:
        """Return what was predicted and what was found."""
        values = {**self._values, "accepted": self._accepted}
        return {
            f"{self.name}_{key}": {"value": value, "timestamp": self._time}
            for key, value in values.items()
        }

    def describe(self) -> dict[str, DataKey]:
        """Describe the values."""
        described: dict[str, DataKey] = {
            f"{self.name}_{key}": {
                "source": f"registration:{key}",
                "dtype": "number",
                "dtype_numpy": "<f8",
                "shape": [],
                "units": "µm",
                "precision": 4,
            }
            for key in self._values
        }
        described[f"{self.name}_accepted"] = {
            "source": "registration:accepted",
            "dtype": "integer",
            "dtype_numpy": "<i8",
            "shape": [],
        }
        return described


def _seen(alpha: float) -> NDArray[np.float64]:
    """How much of a move of x and y is seen: y moves along the tilted specimen."""
    return np.array([1.0, math.cos(math.radians(alpha))])


def home_of(tem: Microscope) -> MsgGenerator[dict[str, float]]:
    """Targets of all axes, and the image shift (nm) as `image_shift_x` and `_y`."""
    values = yield from standing(tem, tem.goniometer.axes)
    for name in _SHIFTS:
        values[name] = yield from read_now(getattr(tem.column, name))
    return values


@dataclass
class TrackedStage:
    """A stage that is tilted with the field of view held on a feature.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    tracker : FieldTracker
        Predicts and judges.
    home : dict of str to float
        From `home_of`; where everything was.
    over_travel : float
        How far x, y and z go back before they come to their place again, µm; 0 leaves them alone.
    settle_time : float
        Seconds.
    correct : bool
        Whether the predicted shift is taken back before the image.
    """

    tem: Microscope
    tracker: FieldTracker
    home: dict[str, float]
    over_travel: float
    settle_time: float
    correct: bool = True

    def __post_init__(self) -> None:
        self.z = self.home["z"]  # where it belongs, µm
        self._moved = np.zeros(2)  # of x and y from home, µm
        self._shift = np.zeros(2)  # of the image from home, µm

    def check(self, tilts: list[float], z_reach: float = 0.0) -> None:
        """Refuse tilts and heights beyond limits or at the pole piece; nothing has moved.

        Parameters
        ----------
        tilts : list of float
            Degrees.
        z_reach : float
            How far z may be moved up or down, µm.
        """
        goniometer = self.tem.goniometer
        for tilt in (min(tilts), max(tilts)):
            goniometer.check_value({"alpha": tilt})
        for name, way in zip(_LINEAR, (0.0, 0.0, z_reach), strict=True):
            goniometer.check_value({name: self.home[name] - way - self.over_travel})
            goniometer.check_value({name: self.home[name] + way})
        for tilt in (min(tilts), max(tilts)):
            for z in (self.home["z"] - z_reach, self.home["z"] + z_reach):
                goniometer.check_room({"alpha": tilt, "beta": self.home["beta"], "z": z})

    def look(self, alpha: float, stream: str = "primary") -> MsgGenerator[None]:
        """Tilt, bring the feature to where it was, take an image and judge it."""
        prediction = self.tracker.expect(alpha)
        yield from bps.checkpoint()
        yield from reach(self.tem, {"alpha": alpha})
        if self.correct:
            yield from self._shift_by(-prediction.position, alpha)
        yield from self.take_up_play()
        raised = math.sin(math.radians(alpha)) * self._moved[1]
        self.tracker.corrected(self._shift + _seen(alpha) * self._moved, raised)
        if self.settle_time:
            yield from bps.sleep(self.settle_time)
        yield from self._record(stream)

    def take_up_play(self) -> MsgGenerator[None]:
        """Bring x, y and z to their places from below, whatever a tilt has made of their play."""
        x, y = self._moved
        places = {"x": self.home["x"] + x, "y": self.home["y"] + y, "z": self.z}
        if self.over_travel:
            yield from reach(self.tem, {axis: at - self.over_travel for axis, at in places.items()})
        yield from reach(self.tem, places)

    def begin(self, predictor: Predictor) -> MsgGenerator[None]:
        """Start a new series from where everything was."""
        self.tracker.begin(predictor)
        yield from self._shift_by(np.zeros(2), 0.0)

    def endings(self) -> list[Callable[[bool], MsgGenerator[None]]]:
        """Return what puts image shift, tilt and stage back; z stays unless the plan failed."""
        column = self.tem.column

        def unshift(name: str, failed: bool) -> MsgGenerator[None]:
            yield from insist(getattr(column, name), self.home[name])

        def level(failed: bool) -> MsgGenerator[None]:
            yield from bps.mv(self.tem.goniometer, {"alpha": self.home["alpha"]})

        def place(failed: bool) -> MsgGenerator[None]:
            self._moved = np.zeros(2)
            if failed:
                self.z = self.home["z"]
            yield from self.take_up_play()

        return [*(partial(unshift, name) for name in _SHIFTS), level, place]

    def _shift_by(self, wanted: NDArray[np.float64], alpha: float) -> MsgGenerator[None]:
        """Shift the field by `wanted` (x, y; µm) from home: the image, or the stage if it must."""
        column = self.tem.column
        seen = _seen(alpha)
        signals = [getattr(column, name) for name in _SHIFTS]
        home = np.array([self.home[name] for name in _SHIFTS])
        limits = np.array([signal.limits for signal in signals])
        shift = wanted - seen * self._moved
        target = home + 1e3 * shift
        if np.any((target < limits[:, 0]) | (target > limits[:, 1])):
            self._moved, shift, target = wanted / seen, np.zeros(2), home
            places = {
                axis: self.home[axis] + by for axis, by in zip("xy", self._moved, strict=True)
            }
            yield from reach(self.tem, places)
        self._shift = shift
        for signal, value in zip(signals, target, strict=True):
            yield from bps.mv(signal, float(value))

    def _record(self, stream: str) -> MsgGenerator[None]:
        """Take an image, judge it and read everything into one event."""
        tem = self.tem
        yield from triggered(tem.camera)
        yield from triggered(self.tracker)
        yield from read_into(stream, tem.camera, tem.goniometer, tem.column, self.tracker)
