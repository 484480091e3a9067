"""A client in a process of its own, for tests that kill it in mid-operation."""

from __future__ import annotations

import sys
import threading

from devices.wire import Client

if __name__ == "__main__":
    client = Client(sys.argv[1], name="doomed", heartbeat_s=0.2)
    client.connect(5.0)
    client.start("stage.scan", timeout_s=60)
    client.request("ping")
    print("started", flush=True)
    threading.Event().wait(60)
