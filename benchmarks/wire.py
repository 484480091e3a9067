"""How fast the wire is beside temscript's HTTP server and a plain REQ/REP server with pickle.

Three jobs: the positions of the five stage axes; the reading that a move needs, positions and
whether the stage moves (two requests to temscript, one to the others); and a frame of 2048 x 2048
pixels of 16 bits. Each server has a process of its own, on loopback. The peers take turns, round
by round, so that what else the machine does disturbs all of them alike; medians and their ratios
are printed.

    python -m benchmarks wire

temscript (https://github.com/niermann/temscript) is what a station would otherwise use for a
Thermo Fisher TEM; it answers from its NullMicroscope. REQ/REP with pickle is the usual
home-made server: quick, and unsafe, because who can reach it can run any code in it.
"""

from __future__ import annotations

import argparse
import importlib
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.tables import Table
from devices.wire import Access, Client, Command, Result, Server

ROOT = Path(__file__).resolve().parent.parent
SHAPE = (2048, 2048)
JOBS = ("positions", "reading", "frame")
TITLES = {
    "positions": "positions",
    "reading": "positions and status",
    "frame": "2048 x 2048 x 16 bit",
}
REQUESTS = 100  # a round
IN_FLIGHT = 64  # requests sent before the first answer is waited for: what HTTP and REQ cannot
FRAMES = 4  # a round
SLOW_FRAMES = 2  # a round, for a peer that needs a tenth of a second each
AXES = ("x", "y", "z", "alpha", "beta")


class Bench:
    """The service that is measured: a reading as the TEM server gives it, and a frame."""

    name = "bench"

    def describe(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    def commands(self) -> Mapping[str, Command]:
        """A reading, served as the stage's is, and a frame, served as the camera's is."""
        image = np.zeros(SHAPE, np.uint16)
        position: dict[str, Any] = dict.fromkeys(AXES, 1.5e-6)
        state = {"positions": position, "moving": dict.fromkeys(AXES, False)}
        return {
            "positions": Command(lambda call: Result(position), Access.READ, inline=True),
            "read": Command(lambda call: Result(state), Access.READ, inline=True),
            "frame": Command(lambda call: Result({}, {"image": image}), Access.READ),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Nothing to publish."""
        return {}

    def make_safe(self) -> None:
        """Nothing moves."""


def serve_wire() -> None:
    """Serve with our own wire until killed."""
    with Server([Bench()]) as server:
        print(server.control_address, flush=True)
        sys.stdin.read()


def serve_pickle() -> None:
    """Serve pickles over REP until killed."""
    position = dict.fromkeys(AXES, 1.5e-6)
    answers = {
        "positions": position,
        "read": {"positions": position, "moving": dict.fromkeys(AXES, False)},
        "frame": np.zeros(SHAPE, np.uint16),
    }
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        print(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}", flush=True)
        while True:
            asked = pickle.loads(socket.recv())  # noqa: S301 - the peer that is measured
            socket.send(pickle.dumps(answers[asked], protocol=5))


def serve_temscript() -> None:
    """Serve temscript's NullMicroscope, which exposes in no time, until killed."""
    simulated = importlib.import_module("temscript.null_microscope").NullMicroscope
    http = importlib.import_module("temscript.server")

    def quiet(handler: object, format: str, *args: object) -> None:
        """Keep the log of every request off the terminal."""

    http.MicroscopeHandler.log_message = quiet  # it has no other switch
    server = http.MicroscopeServer(("127.0.0.1", 0), lambda: simulated(wait_exposure=False))
    print(f"127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


SERVERS: dict[str, Callable[[], None]] = {
    "wire": serve_wire,
    "pickle": serve_pickle,
    "temscript": serve_temscript,
}


@contextmanager
def process(kind: str) -> Iterator[str]:
    """Address of a server that runs in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


Job = Callable[[], object]


@contextmanager
def peers() -> Iterator[dict[str, tuple[Job, Job, Job]]]:
    """The three jobs of each peer."""
    remote = importlib.import_module("temscript.remote_microscope").RemoteMicroscope

    with ExitStack() as stack:
        client = stack.enter_context(Client(stack.enter_context(process("wire")), name="bench"))
        context = stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.REQ))
        socket.connect(stack.enter_context(process("pickle")))

        def ask(what: str) -> object:
            socket.send(pickle.dumps(what, protocol=5))
            return pickle.loads(socket.recv())  # noqa: S301 - the peer that is measured

        def gather(op: str) -> None:
            for future in [client.submit(op) for _ in range(IN_FLIGHT)]:
                future.result()

        found: dict[str, tuple[Job, Job, Job]] = {
            "twinscope": (
                lambda: client.request("bench.positions").values,
                lambda: client.request("bench.read").values,
                lambda: client.request("bench.frame", deadline_s=5).arrays["image"],
            ),
            "twinscope, futures": (
                lambda: client.submit("bench.positions").result(),
                lambda: client.submit("bench.read").result(),
                lambda: client.submit("bench.frame", deadline_s=5).result().arrays["image"],
            ),
            f"twinscope, {IN_FLIGHT} in flight": (
                lambda: gather("bench.positions"),
                lambda: gather("bench.read"),
                lambda: client.request("bench.frame", deadline_s=5).arrays["image"],
            ),
            "REQ/REP, pickle": (
                lambda: ask("positions"),
                lambda: ask("read"),
                lambda: ask("frame"),
            ),
        }
        host, port = stack.enter_context(process("temscript")).split(":")
        for transport in ("JSON", "PICKLE"):
            server = remote((host, int(port)), transport)
            found[f"temscript, {transport}"] = (
                server.get_stage_position,
                lambda server=server: (server.get_stage_position(), server.get_stage_status()),
                lambda server=server: dict(server.acquire("CCD") or {})["CCD"],
            )
        yield found


def timed(job: Job, count: int) -> list[float]:
    """Milliseconds of each of `count` calls."""
    times: list[float] = []
    for _ in range(count):
        begin = time.perf_counter()
        job()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def sample(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every reading and frame, by peer."""
    times: dict[str, dict[str, list[float]]] = {}
    with peers() as found:
        for name, (positions, read, frame) in found.items():
            timed(positions, 20)
            timed(read, 20)
            image = frame()
            assert isinstance(image, np.ndarray)
            assert (image.shape, image.dtype.itemsize) == (SHAPE, 2), name
            times[name] = {job: [] for job in JOBS}
        for _ in range(rounds):
            for name, (positions, read, frame) in found.items():
                at_once = IN_FLIGHT if name.endswith("in flight") else 1
                for job, work in (("positions", positions), ("reading", read)):
                    spent = timed(work, REQUESTS // at_once + 1)
                    times[name][job] += [each / at_once for each in spent]
                frames = SLOW_FRAMES if name.startswith("temscript") else FRAMES
                times[name]["frame"] += timed(frame, frames)
    return times


def measure(rounds: int = 12) -> list[Table]:
    """Return medians, tails and ratios as a table."""
    times = sample(rounds)
    ours = {job: statistics.median(times["twinscope"][job]) for job in JOBS}
    rows = []
    for job in JOBS:
        for name, jobs in times.items():
            if job == "frame" and name.endswith("in flight"):
                continue  # the same as one at a time
            median = statistics.median(jobs[job])
            tail = float(np.percentile(jobs[job], 95))
            figures = [f"{median:.3f}", f"{tail:.3f}", f"{1e3 / median:.0f}"]
            rows.append([TITLES[job], name, *figures, f"{median / ours[job]:.1f}"])
    return [
        Table(
            title="The wire: request and frame, beside HTTP and pickled REQ/REP",
            columns=["work", "peer", "median (ms)", "p95 (ms)", "per s", "times ours"],
            rows=rows,
            notes="Each server in a process of its own on loopback, peers in turn, medians. Aims: "
            "round trip at most 0.25 ms, frame at most 8 ms, 4 and 15 times as fast as temscript "
            "with JSON. Positions and status are one request of ours and two of temscript's.",
        )
    ]


def main() -> None:
    """Serve one of the peers; the benchmark starts them itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", choices=SERVERS, required=True)
    SERVERS[parser.parse_args().serve]()


if __name__ == "__main__":
    main()
