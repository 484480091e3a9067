"""Run registration and its peers on pairs of fields, in processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks._fields import make_pair
from benchmarks._images import Image, load_images, real_pair
from benchmarks._outcomes import OURS, PRIOR, Outcome, Task
from benchmarks._peers import PEERS, shift_of

__all__ = [
    "easy_errors",
    "one_thread",
    "run",
    "time_methods",
]

# Standard deviation of the stage's prior on a lattice, periods.
_PRIOR_PERIODS = 1.0 / 8.0
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the processes that are started meanwhile use one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run(tasks: Sequence[Task], description: str, workers: int = 2) -> list[Outcome]:
    """Run the tasks, in an order that shows their progress fairly, and return all outcomes."""
    order = np.random.default_rng(0).permutation(len(tasks))
    with (
        one_thread(),
        ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        found = pool.map(_outcomes, [tasks[index] for index in order], chunksize=4)
        return [
            outcome
            for outcomes in track(found, description, total=len(tasks))
            for outcome in outcomes
        ]


def easy_errors() -> dict[str, float | None]:
    """Error of each peer on an easy pair (px, the greater component), None if not installed."""
    pair = make_pair("sparse", "clean", 0.95, 5.0, 512, seed=3)
    errors: dict[str, float | None] = {}
    for name in PEERS:
        try:
            error = shift_of(name, pair.fixed, pair.moving) - pair.shift
        except ImportError:
            errors[name] = None
        else:
            errors[name] = float(np.abs(error).max())
    return errors


def time_methods(methods: Sequence[str], size: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the medians of one pair's processor time and of its elapsed time, ms.

    The methods take turns on the same pairs, so that what else the machine does hits them alike.
    """
    pairs = [make_pair("film", "clean", o, s, size, 5) for o, s in ((0.7, 1.0), (0.5, 5.0))]
    pairs.append(make_pair("sparse", "clean", 0.35, 1.0, size, 5))
    calls: dict[str, Callable[[Any, Any], Any]] = {
        name: _register if name == OURS else _peer(name) for name in methods
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for turn in range(repeats + 1):
        pair = pairs[turn % len(pairs)]
        for name, call in calls.items():
            elapsed, processor = time.perf_counter(), time.process_time()
            call(pair.fixed, pair.moving)
            processor, elapsed = time.process_time() - processor, time.perf_counter() - elapsed
            if turn:  # the first turn imports and compiles
                spent[name].append((1e3 * processor, 1e3 * elapsed))
    return {
        name: (statistics.median(p for p, _ in times), statistics.median(e for _, e in times))
        for name, times in spent.items()
    }


def _register(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> Any:
    from analysis.registration import register

    return register(fixed, moving)


def _peer(name: str) -> Callable[[Any, Any], Any]:
    return lambda fixed, moving: shift_of(name, fixed, moving)


@lru_cache(maxsize=1)
def _images() -> dict[str, Image]:
    return {image.name: image for image in load_images()}


def _outcomes(task: Task) -> list[Outcome]:
    unknown = np.full(2, np.nan)
    period = 0.0
    if task.real:
        pair = real_pair(_images()[task.specimen], task.size, task.snr, task.distortion, task.seed)
        if pair is None:
            return []
        limit = unknown
    else:
        pair = make_pair(
            task.specimen, task.distortion, task.overlap, task.snr, task.size, task.seed
        )
        limit, period = pair.limit, pair.period
    outcomes = []
    for method in task.methods:
        if method in (OURS, PRIOR):
            sigma = _PRIOR_PERIODS * period if method == PRIOR else None
            shift, stderr, accepted = _ours(pair.fixed, pair.moving, pair.shift, sigma, task)
        else:
            shift, stderr, accepted = shift_of(method, pair.fixed, pair.moving), unknown, True
        outcomes.append(Outcome(method, task, shift - pair.shift, stderr, limit, accepted))
    return outcomes


def _ours(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    truth: NDArray[np.float64],
    sigma: float | None,
    task: Task,
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Shift, standard errors and verdict; a pair refused with an exception is refused."""
    from analysis.registration import register

    expected = None
    if sigma is not None:
        # a stream of its own: make_pair's begin with the seed
        stream = [1 << 20, task.seed, task.size, int(100 * task.overlap), int(10 * task.snr)]
        expected = truth + sigma * np.random.default_rng(stream).standard_normal(2)
    try:
        found = register(fixed, moving, expected=expected, expected_sigma=sigma)
    except ValueError:
        return np.full(2, np.nan), np.full(2, np.nan), False
    return found.shift, found.stderr, found.accepted
