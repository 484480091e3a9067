"""Answers kept for requests that arrive twice: a command is never executed a second time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from devices.wire.errors import ExpiredError
from devices.wire.lease import ClientKey
from devices.wire.messages import Frames

__all__ = ["Entry", "Replies"]


@dataclass
class Entry:
    """A request that was taken on: where its answer goes, and the answer once there is one."""

    route: bytes
    answer: Frames | None = None
    size: int = 0
    finished: float = 0.0


class Replies:
    """The last answers, by client and request id.

    Parameters
    ----------
    count, seconds, size
        Answers beyond this number, older than this, or beyond this many bytes are forgotten; a
        request that comes again after that is refused, since ids only count up.
    """

    def __init__(self, count: int = 256, seconds: float = 60.0, size: int = 1 << 26) -> None:
        self._count = count
        self._seconds = seconds
        self._limit = size
        self._size = 0
        self._entries: OrderedDict[tuple[ClientKey, int], Entry] = OrderedDict()
        self._floors: dict[ClientKey, int] = {}

    def find(self, key: ClientKey, request_id: int) -> Entry | None:
        """The entry of a request that was seen before.

        Raises
        ------
        ExpiredError
            If the request is so old that its answer is forgotten.
        """
        entry = self._entries.get((key, request_id))
        if entry is None and request_id <= self._floors.get(key, -1):
            raise ExpiredError(
                f"request {request_id} was handled or dropped long ago; send a new one"
            )
        return entry

    def begin(self, key: ClientKey, request_id: int, route: bytes) -> Entry:
        """Note that a request is taken on."""
        entry = self._entries[(key, request_id)] = Entry(route)
        return entry

    def finish(self, key: ClientKey, request_id: int, answer: Frames, now: float) -> Entry | None:
        """Keep the answer, and return the entry with the route it is to take."""
        entry = self._entries.get((key, request_id))
        if entry is not None:
            entry.answer = answer
            entry.finished = now
            entry.size = sum(len(frame) for frame in answer)
            self._size += entry.size
            self._entries.move_to_end((key, request_id))
            self.trim(now)
        return entry

    def working(self, key: ClientKey) -> bool:
        """Whether a request of `key` is still unanswered."""
        return any(
            entry.answer is None for (owner, _), entry in self._entries.items() if owner == key
        )

    def trim(self, now: float) -> None:
        """Forget what is too old or too much; unanswered requests stay."""
        for address, entry in list(self._entries.items()):
            if (
                len(self._entries) <= self._count
                and self._size <= self._limit
                and now - entry.finished <= self._seconds
            ):
                return
            if entry.answer is not None:
                key, request_id = address
                del self._entries[address]
                self._size -= entry.size
                self._floors[key] = max(self._floors.get(key, -1), request_id)

    def forget(self, key: ClientKey) -> None:
        """Drop what is known of a client that has long gone."""
        self._floors.pop(key, None)
