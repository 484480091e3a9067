"""The errors that cross the wire, each with a code that both ends know.

A server turns what a handler raises into ``{code, message, vendor_code, retryable}``; the client
raises the class of that code again, so that a plan sees the instrument's own reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "BusyError",
    "CancelledError",
    "ConnectionLost",
    "ExpiredError",
    "InstrumentError",
    "InternalError",
    "LeaseError",
    "LimitError",
    "ProtocolError",
    "RefusedError",
    "SecurityError",
    "StaleStream",
    "StateUnknown",
    "UnknownCommandError",
    "WireError",
    "error_from_wire",
    "error_to_wire",
]


class WireError(Exception):
    """An error with a code that survives the wire.

    Parameters
    ----------
    code : str
        Names the class of the error.
    message : str
        One line: what was asked, what is allowed, what to do.
    vendor_code : int or str, optional
        The instrument's own code for the reason.
    retryable : bool
        Whether the same request may succeed later without anybody changing anything.
    """

    def __init__(
        self,
        code: str,
        message: str,
        vendor_code: int | str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.vendor_code = vendor_code
        self.retryable = retryable

    def __str__(self) -> str:
        if self.vendor_code is None:
            return self.message
        return f"{self.message} (instrument code {self.vendor_code})"


class _CodedError(WireError):
    """A `WireError` whose class has the code."""

    CODE: ClassVar[str] = "error"

    def __init__(
        self, message: str, vendor_code: int | str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(self.CODE, message, vendor_code, retryable)
        self.args = (message,)


class LimitError(_CodedError, ValueError):
    """A value is outside what is allowed; nothing has moved."""

    CODE = "limit"


class RefusedError(_CodedError):
    """The server will not do this for this client or in this state; nothing has happened."""

    CODE = "refused"


class BusyError(_CodedError):
    """The instrument does something else just now; nothing has happened."""

    CODE = "busy"


class LeaseError(_CodedError):
    """Somebody else holds the lease; nothing has happened."""

    CODE = "lease"


class ExpiredError(_CodedError, TimeoutError):
    """The deadline passed before the command began, or before a read was answered."""

    CODE = "expired"


class ProtocolError(_CodedError):
    """A message that is not of this protocol, or of another version of it."""

    CODE = "protocol"

    request_id: int | None = None


class UnknownCommandError(_CodedError):
    """The server has no such command, topic or operation."""

    CODE = "unknown"


class ConnectionLost(_CodedError, ConnectionError):  # noqa: N818 - says what happened
    """The link to the server is down, or went down while waiting."""

    CODE = "connection"


class StateUnknown(_CodedError):  # noqa: N818 - says what happened
    """A command was sent and never answered: read the state before the next one."""

    CODE = "state-unknown"


class InstrumentError(_CodedError):
    """The instrument failed, for the reason that it gives."""

    CODE = "instrument"


class CancelledError(_CodedError):
    """A running operation was cancelled or stopped."""

    CODE = "cancelled"


class SecurityError(_CodedError):
    """Keys are missing, readable by others, or not accepted."""

    CODE = "security"


class StaleStream(_CodedError):  # noqa: N818 - says what happened
    """Events were lost between the server and this subscriber."""

    CODE = "stale"


class InternalError(_CodedError):
    """A handler failed in a way that its author did not foresee; the server's log has the trace."""

    CODE = "internal"


_CLASSES: Mapping[str, type[_CodedError]] = {
    cls.CODE: cls
    for cls in (
        LimitError,
        RefusedError,
        BusyError,
        LeaseError,
        ExpiredError,
        ProtocolError,
        UnknownCommandError,
        ConnectionLost,
        StateUnknown,
        InstrumentError,
        CancelledError,
        SecurityError,
        StaleStream,
        InternalError,
    )
}


def error_to_wire(error: WireError) -> dict[str, Any]:
    """The mapping that stands for `error` in a message."""
    return {
        "code": error.code,
        "message": error.message,
        "vendor_code": error.vendor_code,
        "retryable": error.retryable,
    }


def error_from_wire(mapping: Mapping[str, Any]) -> WireError:
    """The error that `mapping` stands for; an unknown code gives a plain `WireError`."""
    code = str(mapping.get("code", "error"))
    message = str(mapping.get("message", "the server gave no reason"))
    vendor_code = mapping.get("vendor_code")
    if not isinstance(vendor_code, int | str):
        vendor_code = None
    retryable = bool(mapping.get("retryable", False))
    cls = _CLASSES.get(code)
    if cls is None:
        return WireError(code, message, vendor_code, retryable)
    return cls(message, vendor_code, retryable)
