"""The kinds of signal that a scanning probe has besides numbers: arrays, words, motions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from bluesky.protocols import Location
from event_model import DataKey
from ophyd import Device

from devices.status import MotionStatus, RequestStatus
from devices.wire import LimitError, Reply
from devices.wire.ophyd import SettingSignal, ValueSignal

__all__ = [
    "ChoiceSignal",
    "FlagSignal",
    "LongSettingSignal",
    "NumbersSignal",
    "TextSignal",
    "WholeSettings",
]

_SET_S = 5.0

_BEGIN_S = 0.9
_TIMEOUT_S = 60.0  # no piezo travels longer


class NumbersSignal(SettingSignal):
    """An array of numbers that is set whole; its length is what the server says.

    Parameters
    ----------
    check : callable, optional
        Refuses an array that the server would refuse.
    """

    def __init__(self, *, check: Callable[[Any], None] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("shape", (0,))
        super().__init__(**kwargs)
        self._check = check

    def convert(self, reading: Mapping[str, Any]) -> list[Any]:
        """Take the numbers out of a reading, into the user's unit."""
        if self._dtype_numpy[1] in "iu":
            return [int(value) for value in reading[self._key]]
        return [self.unit.from_si(value) for value in reading[self._key]]

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no sequence of numbers, or what the check refuses."""
        self.arguments(value)
        if self._check is not None:
            self._check(value)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the numbers in SI."""
        whole = self._dtype_numpy[1] in "iu"
        try:
            numbers = [int(item) if whole else self.unit.to_si(item) for item in value]
        except (TypeError, ValueError):
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give a sequence of numbers"
            ) from None
        return {self._key: numbers}

    def describe(self) -> Any:
        """Describe the array with the length that it has now."""
        described = super().describe()
        described[self.name]["shape"] = [len(self.get())]
        return described


class FlagSignal(SettingSignal):
    """A setting that is 0 or 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype_numpy="<i8", **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse anything but 0, 1, True and False."""
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise LimitError(f"{self.name} target {value!r} is not allowed: 0 or 1")

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the flag as the wire has it."""
        return {self._key: bool(value)}


class ChoiceSignal(SettingSignal):
    """A setting that is one of a few words.

    Parameters
    ----------
    choices : tuple of str
        The words.
    """

    def __init__(self, *, choices: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._choices = choices

    def convert(self, reading: Mapping[str, Any]) -> str:
        """Take the word out of a reading."""
        return str(reading[self._key])

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse any other word."""
        if value not in self._choices:
            known = " or ".join(repr(choice) for choice in self._choices)
            raise LimitError(f"{self.name} target {value!r} is not allowed: {known}")

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the word."""
        return {self._key: value}

    def describe(self) -> Any:
        """Describe the word and its alternatives."""
        described = super().describe()
        described[self.name] = {
            "source": described[self.name]["source"],
            "dtype": "string",
            "shape": [],
            "choices": list(self._choices),
        }
        return described


class TextSignal(ValueSignal):
    """A word, or a list of words, that the instrument reports."""

    def convert(self, reading: Mapping[str, Any]) -> Any:
        """Take the words out of a reading."""
        value = reading[self._key]
        return [str(word) for word in value] if isinstance(value, list | tuple) else str(value)

    def describe(self) -> dict[str, DataKey]:
        """Describe the words."""
        value = self.get()
        listed = isinstance(value, list)
        key: DataKey = {
            "source": self.source_name,
            "dtype": "array" if listed else "string",
            "shape": [len(value)] if listed else [],
        }
        return {self.name: key}


class WholeSettings(Device):
    """Several settings of a device, set together by one request: some of them, or all.

    ``set({"lines": 256, "scan_size": 4.0})`` takes the names of the device's signals, each in its
    own unit. All are looked at before anything is sent.
    """

    command: str
    """The command that sets them."""

    names: tuple[str, ...]
    """Names of the signals, which are the names on the wire as well."""

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse settings of which any is unknown or not allowed.

        Raises
        ------
        LimitError
            Before anything is sent.
        """
        self.arguments(value)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the command's arguments for checked settings, SI units."""
        if not isinstance(value, Mapping) or not value:
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give {{setting: value}} with "
                f"settings of {', '.join(self.names)}"
            )
        arguments: dict[str, Any] = {}
        for name, target in value.items():
            if name not in self.names:
                raise LimitError(
                    f"{self.name} has no {name!r}: choose among {', '.join(self.names)}"
                )
            signal = getattr(self.parent, name)
            signal.check_value(target)
            arguments.update(signal.arguments(target))
        return arguments

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, **kwargs: Any
    ) -> dict[str, Any]:
        """Return all settings by name, each in its own unit, asked of the server."""
        parent: Any = self.parent
        with parent.snapshot.shared():
            return {name: getattr(parent, name).get() for name in self.names}

    def set(self, value: Mapping[str, Any], *, timeout: float | None = None) -> RequestStatus:
        """Set some or all of the settings; the status is the request's."""
        arguments = self.arguments(value)
        parent: Any = self.parent
        future = parent.client.submit(
            self.command, arguments, deadline_s=_SET_S if timeout is None else timeout
        )
        return RequestStatus(self, f"{self.name} of {len(value)} settings").following(future)


class LongSettingSignal(SettingSignal):
    """A setting that is a motion: its status ends with it, and `stop` ends it before.

    Parameters
    ----------
    stopping : str
        The command that stops it, for example ``"head.stop"``.
    """

    def __init__(self, *, stopping: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stopping = stopping
        self._going = 0
        self._going_lock = threading.Lock()

    @property
    def position(self) -> Any:
        """The present value, asked of the server."""
        return self.get()

    def locate(self) -> Location[Any]:
        """Return where it is, as target and as reading."""
        value = self.get()
        return Location(setpoint=value, readback=value)

    def set(self, value: Any, *, timeout: float | None = None, **kwargs: Any) -> Any:
        """Start going to `value`; the status is done on arrival.

        Parameters
        ----------
        value : float or sequence of float
            In the unit of the signal.
        timeout : float, optional
            Seconds after which the motion is stopped; 60 by default.
        """
        self.check_value(value)
        initial = self.get()
        with self._going_lock:
            self._going += 1  # before the command is on its way: a stop shall follow it
        try:
            operation = self.device.client.start(
                self._command,
                self.arguments(value),
                deadline_s=_BEGIN_S,
                timeout_s=_TIMEOUT_S if timeout is None else timeout,
            )
        except BaseException:
            with self._going_lock:
                self._going -= 1
            raise
        status = self.new_status(value, initial)
        if isinstance(status, MotionStatus):
            operation.on_progress(lambda values: self._progress(status, values))
            operation.future.add_done_callback(lambda done: self._arrived(done, status))
        operation.future.add_done_callback(lambda done: self._over(done, status))
        return status

    def put(self, value: Any, **kwargs: Any) -> None:
        """Go to `value` and wait for the arrival."""
        self.set(value).wait()

    def new_status(self, value: Any, initial: Any) -> RequestStatus | MotionStatus:
        """Return the status of a motion from `initial` to `value`."""
        return RequestStatus(self, f"{self.name} to {value} {self.egu}".rstrip())

    def stop(self, *, success: bool = False) -> None:
        """Stop the motion, if there is one; its status fails. Works with a dead link."""
        with self._going_lock:
            going = self._going > 0
        if going:
            self.device.client.stop(self._stopping)

    def _progress(self, status: MotionStatus, values: Mapping[str, Any]) -> None:
        if not status.done and self._key in values:
            status.report(self.convert(values), values.get("remaining"))

    def _arrived(self, done: Future[Reply], status: MotionStatus) -> None:
        if done.exception() is None:
            self._progress(status, {**done.result().values, "remaining": 0.0})

    def _over(self, done: Future[Reply], status: Any) -> None:
        with self._going_lock:
            self._going -= 1
        self._complete(done, status)
