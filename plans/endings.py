"""How a plan ends: every part of its clean-up is tried, and the first error is the one told.

`bluesky.preprocessors.finalize_wrapper` breaks the clean-up off at its first failure and raises
that in place of the error that ended the plan.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException

__all__ = ["ending_with", "insist", "let_failures_pass"]

_log = logging.getLogger(__name__)
_ATTEMPTS = 3  # a plan that was cut short leaves a move and a frame behind: two failures at most
_LULL_S = 0.1  # in which what was stopped says so

T = TypeVar("T")


def ending_with(
    plan: MsgGenerator[T], *parts: Callable[[bool], MsgGenerator[Any]]
) -> MsgGenerator[T]:
    """Run `plan` and then every part of its clean-up, whatever becomes of those before it.

    Parameters
    ----------
    plan : generator of Msg
        The plan.
    parts : callable
        Plans in the order of their urgency; each is told whether `plan` has failed.

    Returns
    -------
    object
        What `plan` returns.

    Raises
    ------
    Exception
        The first error, of the plan or else of its clean-up; the later ones are logged.
    """
    first: Exception | None = None
    result: Any = None
    try:
        result = yield from plan
    except Exception as error:
        first = _asked_for(error)
    failed = first is not None
    for part in parts:
        try:
            yield from part(failed)
        except Exception as error:
            if first is None:
                first = error
            else:
                _log.error("the clean-up of the plan failed in part: %s", error)
    if first is not None:
        raise first
    return result


def _asked_for(error: Exception) -> Exception:
    """The abort that an error came out of, or else the error.

    What an abort stops fails, and the RunEngine throws that failure in on the way out.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, RunEngineControlException):
            return found
        found = found.__context__
    return error


def insist(device: Any, value: Any) -> MsgGenerator[None]:
    """Set `device` to `value`, again if the failure of something else comes in between.

    The RunEngine throws the failure of any status into whatever the plan does just then: a frame
    that an abort ended must not keep the beam from being blanked.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            yield from bps.mv(device, value)
            return
        except FailedStatus:
            continue
    yield from bps.mv(device, value)


def let_failures_pass() -> MsgGenerator[None]:
    """Wait until moves and frames that were stopped have said so, and pay no heed to it."""
    for _ in range(_ATTEMPTS):
        try:
            yield from bps.sleep(_LULL_S)
        except FailedStatus as error:
            _log.debug("stopped: %s", error)
