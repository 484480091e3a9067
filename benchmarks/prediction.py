"""How soon does a network say what an image shows, and what does the plan notice of it?

The 50-layer network at 224 x 224 on two cores, from the event of an image to the event of its
prediction, through the file, the live callback and the worker process.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets import ImageSet, grouped_splits, write_image_set
from analysis.networks.channels import CLASSIFICATION, ModelSpec
from analysis.networks.publishing import Publication, publish
from benchmarks._network_runs import THREE, Recipe, SimulatedRuns, simulated_runs
from benchmarks.tables import Table
from station.live import LiveAnalysis
from station.model_registry import registry_of
from station.predictions import PredictionWorker, make_prediction_analysis
from station.settings import NetworksSettings, Settings

__all__ = ["measure"]

_CORES = 2
_SIDE = 224
_AIM_MS, _AIM_PERCENT = 150.0, 5.0
_CHANNEL = "deformation"
_MODEL = "resnet50"
_TIMES = 8  # that each image is shown
_IMAGES = 12  # of a run of the plan
_SIGNALS, _BETWEEN = 50, 0.02  # scalar events after each image, and the seconds between two
_ROUNDS = 4  # with and without prediction, in turns

Documents = list[tuple[str, dict[str, Any]]]


def _published(settings: Settings, image_set: ImageSet) -> None:
    """Publish a network that was not trained: its answers are worth nothing, its time is the same.

    Parameters
    ----------
    settings : Settings
        Where the registry is.
    image_set : ImageSet
        By which it is calibrated.
    """
    from analysis.networks.architectures import build

    spec = ModelSpec(CLASSIFICATION, (_CHANNEL,), THREE, image_set.shape, _MODEL)
    path = settings.data / "network.keras"
    build(spec).save(path)
    split = grouped_splits(image_set, folds=3, validation=0.5, by=("field",))[0]
    registry = registry_of(settings)
    publish(registry, path, image_set, image_set.labels(), split, Publication(_MODEL))


class _Clocked:
    """Takes the documents of predictions and notes when their events come."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, name: str, doc: Any) -> None:
        if name == "event":
            self.times.append(time.perf_counter())


def _latency(
    worker: PredictionWorker, runs: Iterable[Documents]
) -> tuple[list[float], list[float]]:
    """Return seconds from the last document of an image to its prediction, and within the worker.

    Parameters
    ----------
    worker : PredictionWorker
        Ready.
    runs : iterable of list of (name, document)
        One image each.
    """
    whole, asked = [], []

    def ask(*image: Any) -> Any:
        found = worker.predict(*image)
        asked.append(found.seconds)
        return found

    for documents in runs:
        clock = _Clocked()
        analysis = make_prediction_analysis(worker, ask)(clock)
        for name, doc in documents:
            began = time.perf_counter()
            analysis(name, doc)
            if clock.times:
                whole.append(clock.times.pop() - began)
    return whole, asked


def _speed(worker: PredictionWorker, runs: SimulatedRuns) -> Table:
    documents = [[(name, dict(doc)) for name, doc in run] for run in runs]
    _latency(worker, documents[:3])  # the first answers find caches cold
    loads = [os.getloadavg()[0]]
    whole, asked = _latency(worker, documents * _TIMES)
    loads.append(os.getloadavg()[0])
    rows = [
        [name, *(f"{1e3 * value:.0f}" for value in np.percentile(times, (5, 50, 95))), aim]
        for name, times, aim in (
            ("event of the image to event of the prediction", whole, f"p95 {_AIM_MS:.0f}"),
            ("of that: question to answer", asked, ""),
        )
    ]
    return Table(
        title=f"From frame to verdict: {_MODEL}, {_SIDE} x {_SIDE}",
        columns=["what", "p5 (ms)", "p50 (ms)", "p95 (ms)", "aim (ms)"],
        rows=rows,
        notes=f"{len(whole)} images; {_CORES} cores, load of the machine {min(loads):.1f} to "
        f"{max(loads):.1f} (of which this benchmark makes up to {_CORES}). Reading the file, "
        "descriptors, scatter and novelty included.",
    )


class _Signal:
    """A number that a plan reads."""

    name = "signal"
    parent = None

    def read(self) -> dict[str, Any]:
        """Return a number."""
        return {self.name: {"value": 1.0, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        """Describe it."""
        return {self.name: {"source": "benchmark", "dtype": "number", "shape": []}}


class _Image:
    """An image that a plan reads, within the event."""

    name = _CHANNEL
    parent = None

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._pixels = images[0]
        self._images = itertools.cycle(images)

    def read(self) -> dict[str, Any]:
        """Return the next image."""
        return {self.name: {"value": next(self._images), "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        """Describe it, with its unit."""
        shape = list(self._pixels.shape)
        return {self.name: {"source": "benchmark", "dtype": "array", "shape": shape, "units": "m"}}


def _plan(image: Any, size_um: float) -> Iterator[Any]:
    """Read each image, then what else there is to read while it is looked at."""
    import bluesky.plan_stubs as bps
    import bluesky.preprocessors as bpp

    signal: Any = _Signal()
    metadata = {
        "purpose": "raw",
        "fields": {_CHANNEL: _CHANNEL},
        "channels": [_CHANNEL],
        "scan": {"size": size_um},
    }

    @bpp.run_decorator(md=metadata)
    def body() -> Iterator[Any]:
        for _ in range(_IMAGES):
            yield from bps.create("primary")
            yield from bps.read(image)
            yield from bps.save()
            for _ in range(_SIGNALS):
                yield from bps.sleep(_BETWEEN)
                yield from bps.create("signals")
                yield from bps.read(signal)
                yield from bps.save()

    return body()


def _between(image: _Image, size_um: float, live: LiveAnalysis | None) -> list[float]:
    """Return the seconds between one scalar document of a plan and the next."""
    import asyncio

    from bluesky import RunEngine

    engine = RunEngine({}, loop=asyncio.new_event_loop())
    times: list[tuple[bool, float]] = []

    def note(name: str, doc: Any) -> None:
        if name == "event":
            times.append((_Signal.name in doc["data"], time.perf_counter()))

    engine.subscribe(note)
    if live is not None:
        engine.subscribe(live)
    engine(_plan(image, size_um))
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    pairs = itertools.pairwise(times)
    return [after - before for (first, before), (then, after) in pairs if first and then]


def _plan_table(worker: PredictionWorker, image_set: ImageSet) -> Table:
    image = _Image(image_set.images(range(_IMAGES))[..., 0])
    without, with_it = [], []
    for _ in range(_ROUNDS):
        without += _between(image, image_set.size_um, None)
        live = LiveAnalysis(lambda name, doc: None, make_prediction_analysis(worker))
        with_it += _between(image, image_set.size_um, live)
        live.close()
    changes = [np.median(with_it) / np.median(without), np.mean(with_it) / np.mean(without)]
    rows = [
        [
            name,
            f"{1e3 * np.median(times):.2f}",
            f"{1e3 * np.mean(times):.2f}",
            f"{1e3 * np.percentile(times, 95):.2f}",
        ]
        for name, times in (("without prediction", without), ("with it", with_it))
    ]
    rows.append(["change", *(f"{100 * (change - 1):+.1f} %" for change in changes), ""])
    return Table(
        title="The plan's own time between documents",
        columns=["", "median (ms)", "mean (ms)", "p95 (ms)"],
        rows=rows,
        notes=f"An image a second, {_SIGNALS} scalar events after each, {1e3 * _BETWEEN:.0f} ms of "
        f"sleep between two; {_ROUNDS} rounds each in turns, load {os.getloadavg()[0]:.1f}. Aim: "
        f"below {_AIM_PERCENT:.0f} %. A real image takes minutes, not a second.",
    )


def measure() -> Iterator[Table]:
    """Measure speed, and what the plan notices.

    Yields
    ------
    Table
    """
    with tempfile.TemporaryDirectory(prefix="prediction-") as temporary:
        home = Path(temporary)
        section = NetworksSettings(model=_MODEL, threads=_CORES, timeout_s=60.0)
        settings = Settings(data=home, networks=section)
        runs = simulated_runs(
            home / "frames", Recipe(samples=THREE, sessions=2, fields=5, lines=_SIDE)
        )
        image_set = write_image_set(home / "frames.h5", runs, (_CHANNEL,))
        _published(settings, image_set)
        with PredictionWorker(settings) as worker:
            worker.wait_ready()
            threading.Event().wait(1.0)  # for what was started to come to rest
            yield _speed(worker, runs)
            yield _plan_table(worker, image_set)
