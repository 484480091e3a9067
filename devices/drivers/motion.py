"""The stage as a server offers it: limits, motion watched to its end, and a stop that always works.

The server decides when a move is over, not the client: all axes report rest, stay at rest for
their settling time, and are where they were sent. Leginon, instamatic and supertem each wait for a
*stable* idle because a JEOL stage may report rest just after the command and at each reversal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.drivers.arguments import finite_number, no_others, within
from devices.drivers.protocols import AxisReading, AxisSpecification, StageDriver, StageReading
from devices.units import Unit, unit_of
from devices.wire import (
    Access,
    BusyError,
    Call,
    CancelledError,
    Command,
    InstrumentError,
    RefusedError,
    Result,
)

__all__ = ["StageService"]

_OVERDUE_FACTOR = 2.0  # a move that takes twice its time and _OVERDUE_S is not coming to an end
_OVERDUE_S = 10.0
_PATIENCE_S = 0.1  # in which a stage that is busy with a command is waited for with a reading

_CANCELLED = "cancelled by its client"


@dataclass(eq=False)
class _Move:
    """A move under way, and why it ends before its time, if it does.

    The first reason is kept, but for a mere cancellation: a stop cancels first and says who
    stopped afterwards.
    """

    targets: Mapping[str, float]
    reason: str = ""

    def end(self, reason: str) -> None:
        if self.reason in ("", _CANCELLED):
            self.reason = reason


class StageService:
    """Commands ``stage.read``, ``stage.move`` and ``stage.stop``, and telemetry ``stage.position``.

    Parameters
    ----------
    driver : StageDriver
        The stage.
    poll_s : float
        Seconds between two readings while the stage moves; a JEOL goniometer wants 0.3.
    """

    name = "stage"

    def __init__(self, driver: StageDriver, *, poll_s: float = 0.05) -> None:
        self._driver = driver
        self._poll_s = poll_s
        self._one_at_a_time = threading.Lock()
        self._moves: list[_Move] = []
        self._moves_lock = threading.Condition()
        self._halting = threading.Lock()
        self._never = threading.Event()
        self._latest: StageReading | None = None

    def describe(self) -> dict[str, Any]:
        """Return the axes with their units, limits (SI) and speeds, and the pole piece's rule."""
        rule = self._driver.pole_piece
        return {
            "pole_piece": None if rule is None else asdict(rule),
            "axes": {
                name: {
                    "unit": axis.unit,
                    "lower": axis.lower,
                    "upper": axis.upper,
                    "speed": axis.speed,
                    "settling_time": axis.settling_time,
                    "tolerance": axis.tolerance,
                    "acceleration_time": axis.acceleration_time,
                    "readback_lag": axis.readback_lag,
                }
                for name, axis in self._driver.axes.items()
            },
        }

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "move": Command(run=self._move, access=Access.MOTION, check=self._check, long=True),
            "stop": Command(run=self._stop, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"stage.position": self._snapshot}

    def make_safe(self) -> None:
        """Stop the stage: whoever moved it has gone."""
        self._halt("the client that moved it has gone")

    def _snapshot(self) -> dict[str, Any]:
        return _values(self._reading())

    def _reading(self) -> StageReading:
        """Read the stage; while it does not answer a command, return the latest reading.

        A vendor's call that hangs shall not hang whoever asks where the stage is.
        """
        patience = -1.0 if self._latest is None else _PATIENCE_S
        if not self._one_at_a_time.acquire(timeout=patience):
            assert self._latest is not None
            return self._latest
        try:
            self._latest = self._driver.read()
            return self._latest
        finally:
            self._one_at_a_time.release()

    def _read(self, call: Call) -> Result:
        no_others(call.args, "stage.read")
        return Result(self._snapshot())

    def _stop(self, call: Call) -> Result:
        self._halt(f"stopped by {call.client}")
        return Result({})

    def _halt(self, reason: str) -> None:
        with self._halting:
            self._end_all(reason)
            self._driver.stop()

    def _halt_for(self, cancelled: _Move) -> None:
        """Stop the stage for a move that was cancelled, unless a stop has done so already.

        The lock keeps this stop from coming late, when a move that was sent after the other stop
        was answered is under way.
        """
        with self._halting:
            if cancelled.reason:
                return
            axes = _list(cancelled.targets)
            self._end_all(f"the stage was stopped because {axes} was cancelled", but=cancelled)
            cancelled.end(_CANCELLED)
            self._driver.stop()

    def _end_all(self, reason: str, but: _Move | None = None) -> None:
        with self._moves_lock:
            for move in self._moves:
                if move is not but:
                    move.end(reason)
            self._moves_lock.notify_all()

    def _check(self, args: dict[str, Any]) -> None:
        no_others(args, "stage.move", "targets")
        targets = args.get("targets")
        axes = self._driver.axes
        if not isinstance(targets, dict) or not targets:
            raise RefusedError(
                "stage.move has no targets: give {axis: target}, the axes are " + ", ".join(axes)
            )
        for name, target in targets.items():
            if name not in axes:
                raise RefusedError(
                    f"stage has no axis {name!r}: choose among {', '.join(axes)} and move again"
                )
            axis = axes[name]
            unit = unit_of(axis.unit)
            number = finite_number(f"{name} target", target, unit)
            within(f"{name} target", number, (axis.lower, axis.upper), unit)
        with self._moves_lock:
            self._refuse_busy(targets)

    def _refuse_busy(self, targets: Mapping[str, float]) -> None:
        going_on = [move for move in self._moves if not move.reason]
        busy = sorted({name for move in going_on for name in move.targets} & set(targets))
        if busy:
            raise BusyError(
                f"{', '.join(busy)} is moving: wait for its end, or stop the stage first"
            )

    def _move(self, call: Call) -> Result:
        targets = {name: float(target) for name, target in call.args["targets"].items()}
        move = _Move(targets)
        with self._moves_lock:
            self._refuse_busy(targets)
            self._moves.append(move)
        try:
            self._await_stopped(call, move)
            reading = self._drive(call, move)
        finally:
            with self._moves_lock:
                self._moves.remove(move)
                self._moves_lock.notify_all()
        if not move.reason and call.operation is not None and call.operation.cancelled.is_set():
            move.end(_CANCELLED)
        self._verify(move, reading)
        return Result(_values(reading))

    def _drive(self, call: Call, move: _Move) -> StageReading:
        """Start a move and follow it to its end; whatever goes wrong, nothing goes on unwatched."""
        try:
            with self._one_at_a_time:
                self._latest = self._driver.read()
                begun = self._latest.time
                expected = self._driver.start_move(move.targets)
                if move.reason:
                    self._driver.stop()  # again: the first may have come just before the start
            return self._watch(call, move, begun, expected)
        except Exception as error:
            self._halt(f"{_list(move.targets)} failed: {error}")
            raise

    def _await_stopped(self, call: Call, move: _Move) -> None:
        """Let earlier moves of the same axes, which were stopped, come to rest first."""

        def at_rest() -> bool:
            earlier = self._moves[: self._moves.index(move)]
            return not any(set(other.targets) & set(move.targets) for other in earlier)

        with self._moves_lock:
            rested = self._moves_lock.wait_for(lambda: move.reason or at_rest(), _OVERDUE_S)
        if call.operation is not None and call.operation.cancelled.is_set():
            move.end(_CANCELLED)
        if move.reason:
            raise CancelledError(f"{_list(move.targets)} not moved: {move.reason}")
        if not rested:
            raise BusyError(
                f"{_list(move.targets)} still not at rest {_OVERDUE_S:g} s after a stop: look at "
                "the stage, then move again"
            )

    def _watch(self, call: Call, move: _Move, begun: float, expected: float) -> StageReading:
        """Follow a move to its end and return the last reading."""
        axes = {name: self._driver.axes[name] for name in move.targets}
        settling = max(axis.settling_time for axis in axes.values())
        # counted from the first reading: the answer to the command may have been long in coming
        patience, overdue = _OVERDUE_FACTOR * expected + settling + _OVERDUE_S, None
        operation = call.operation
        seen_moving, rest_since = False, None
        while True:
            if operation is not None and operation.cancelled.is_set():
                self._halt_for(move)
            halted = bool(move.reason)
            reading = self._reading()
            overdue = reading.time + patience if overdue is None else overdue
            if any(reading.axes[name].moving for name in axes):
                seen_moving, rest_since = True, None
            elif rest_since is None and (seen_moving or halted or reading.time >= begun + expected):
                rest_since = reading.time
            elif rest_since is not None and reading.time >= rest_since + settling:
                break
            if rest_since is None and reading.time > overdue:
                raise InstrumentError(
                    f"{_list(axes)} still moving after {reading.time - begun:.1f} s where "
                    f"{expected:.1f} s were expected: stage stopped; look at it, then move again"
                )
            if operation is not None:
                elapsed = reading.time - begun
                remaining = max(0.0, expected + settling - elapsed)
                operation.progress(**_values(reading), elapsed=elapsed, remaining=remaining)
            self._never.wait(self._poll_s)
        return reading

    def _verify(self, move: _Move, reading: StageReading) -> None:
        for name in move.targets:
            axis = self._driver.axes[name]
            unit = unit_of(axis.unit)
            position, target = reading.axes[name].position, move.targets[name]
            if reading.axes[name].limited:
                raise InstrumentError(_limit_hit(name, axis, reading.axes[name], target), 2)
            if abs(position - target) <= axis.tolerance:
                continue
            where = f"{_show(unit, position)} on its way to {_show(unit, target)}"
            if move.reason:
                raise CancelledError(f"{name} ended at {where}: {move.reason}")
            raise InstrumentError(
                f"{name} came to rest at {where}, further off than {_show(unit, axis.tolerance)}: "
                "see that nothing blocks the stage, then move again"
            )
        if move.reason:
            raise CancelledError(
                f"{_list(move.targets)} ended before the move was over: {move.reason}"
            )


def _limit_hit(name: str, axis: AxisSpecification, reading: AxisReading, target: float) -> str:
    unit = unit_of(axis.unit)
    side, limit = ("upper", axis.upper) if reading.direction > 0 else ("lower", axis.lower)
    return (
        f"{name} ran into its {side} limit switch at {_show(unit, reading.position)} on its way to "
        f"{_show(unit, target)}, its {side} limit is {_show(unit, limit)}: see what stands in its "
        "way, move it back, then try a nearer target"
    )


def _values(reading: StageReading) -> dict[str, Any]:
    return {
        "time": reading.time,
        "axes": {
            name: {
                "position": axis.position,
                "target": axis.target,
                "moving": axis.moving,
                "direction": axis.direction,
                "travel": axis.travel,
                "status": axis.status,
            }
            for name, axis in reading.axes.items()
        },
    }


def _show(unit: Unit, value: float) -> str:
    return unit.show(unit.from_si(value))


def _list(axes: Mapping[str, object]) -> str:
    return ", ".join(axes)
