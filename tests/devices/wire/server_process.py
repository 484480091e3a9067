"""A server in a process of its own, for tests that kill it: writes each move to a file."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from devices.wire import Access, Call, Command, Result, Server


class Recorder:
    """A stage whose moves outlive its process."""

    name = "stage"

    def __init__(self, path: Path) -> None:
        self.path = path

    def describe(self) -> dict[str, Any]:
        return {}

    def commands(self) -> Mapping[str, Command]:
        return {
            "read": Command(lambda call: Result(), Access.READ, inline=True),
            "nudge": Command(self.move, Access.MOTION),
            "move": Command(self.move, Access.MOTION, long=True),
            "scan": Command(self.scan, Access.WRITE, long=True),
            "stop": Command(lambda call: Result(), Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        return {}

    def make_safe(self) -> None:
        self.write("safe")

    def write(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def move(self, call: Call) -> Result:
        self.write(str(call.args["x"]))
        return Result()

    def scan(self, call: Call) -> Result:
        assert call.operation is not None
        call.operation.cancelled.wait(30)
        return Result()


if __name__ == "__main__":
    with Server(
        [Recorder(Path(sys.argv[2]))], control=sys.argv[1], heartbeat_s=0.2, lease_s=1.0
    ) as server:
        print(server.control_address, flush=True)
        threading.Event().wait(60)
