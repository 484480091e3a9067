"""The lease: one client writes and moves at a time, the others observe.

It is taken by the first write of a client, or held on purpose by ``lease.acquire``; every message
of its holder renews it. A holder that falls silent loses it; one that does not write for a while
gives it up, unless it was acquired on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from devices.wire.errors import LeaseError

__all__ = ["ClientKey", "Ending", "Lease"]

ClientKey = tuple[str, str]  # authenticated user (public key) and the client's own identifier


class Ending(StrEnum):
    """Why a lease ended by itself."""

    SILENT = "silent"
    VANISHED = "silent since a command of its ran"
    IDLE = "idle"


@dataclass
class _Holder:
    key: ClientKey
    name: str
    deliberate: bool
    seen: float
    used: float
    unwatched: bool  # a command of its came or ran that it has not been heard of since


class Lease:
    """Who may write and move.

    Parameters
    ----------
    silence_s : float
        Seconds without any message after which the holder has vanished.
    idle_s : float
        Seconds without a write after which a lease that was taken in passing is free again.
    """

    def __init__(self, silence_s: float, idle_s: float) -> None:
        self.silence_s = silence_s
        self.idle_s = idle_s
        self._holder: _Holder | None = None
        self._blocked = ""

    @property
    def holder(self) -> str | None:
        """The name of the client that holds the lease."""
        return self._holder.name if self._holder else None

    @property
    def key(self) -> ClientKey | None:
        """The key of the client that holds the lease."""
        return self._holder.key if self._holder else None

    @property
    def blocked(self) -> bool:
        """Whether nobody may write just now."""
        return bool(self._blocked)

    def block(self, reason: str) -> None:
        """Give the lease to nobody, because of `reason`; an empty one ends that."""
        self._blocked = reason

    def seen(self, key: ClientKey, now: float) -> None:
        """Renew: a message of `key` arrived."""
        if self._holder and self._holder.key == key:
            self._holder.seen = now
            self._holder.unwatched = False

    def take(
        self,
        key: ClientKey,
        name: str,
        now: float,
        *,
        deliberate: bool = False,
        force: bool = False,
    ) -> None:
        """Take or renew the lease for `key`, or raise `LeaseError` with the holder's name."""
        if self._blocked:
            raise LeaseError(f"nobody may write: {self._blocked}; try again", retryable=True)
        holder = self._holder
        if holder is None or (force and holder.key != key):
            self._holder = _Holder(key, name, deliberate, now, now, not deliberate)
        elif holder.key == key:
            holder.used = holder.seen = now
            holder.unwatched = not deliberate
            holder.deliberate = holder.deliberate or deliberate
        else:
            raise LeaseError(
                f"{holder.name!r} holds the lease (last heard {now - holder.seen:.1f} s ago); one "
                "client writes at a time: read only, or wait until it is released",
                retryable=True,
            )

    def release(self, key: ClientKey) -> bool:
        """Give the lease up, if `key` holds it."""
        if self._holder is None or self._holder.key != key:
            return False
        self._holder = None
        return True

    def expire(self, now: float, *, working: bool) -> Ending | None:
        """End a lease that is over; `working` says that something of the holder's still runs.

        A holder that vanished in mid-motion is found out after `silence_s`, when the motion has
        long come to its end: what ran since it was last heard of is remembered.
        """
        holder = self._holder
        if holder is None:
            return None
        if working:
            holder.used = now
            holder.unwatched = True
        if now - holder.seen > self.silence_s:
            self._holder = None
            return Ending.VANISHED if holder.unwatched else Ending.SILENT
        if not holder.deliberate and now - holder.used > self.idle_s:
            self._holder = None
            return Ending.IDLE
        return None
