"""How fast is the stage twin without a clock, and does it miss as the reference model does?

Speed: moves of random stages, each judged by what all five axes report and where the specimen is,
compiled, on one core. Accuracy: the strategies that need no images, on the reference profile and
on a family of random stages.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table
from sim.fleet import run_fleet
from sim.stage import AXES, StageParameters, profile, random_stage

__all__ = ["measure"]

_UM, _NM = 1e-6, 1e-9
_OVERTRAVEL = 10 * _UM
# median rms and 95th percentile (nm) of the model that the profile follows
_REFERENCE = {"naive": (611, 1070), "play inversion": (399, 669), "over-travel 10 µm": (348, 646)}


def _speed(stages: Sequence[StageParameters], axes: str, moves: int, repeats: int = 5) -> float:
    """Return how many moves of `axes` a second of one core makes."""
    rng = np.random.default_rng(0)
    targets = np.full((moves, len(AXES)), np.nan)
    for name in axes.split():
        reach = 30 * _UM if name in "xyz" else 0.1
        targets[:, AXES.index(name)] = rng.uniform(-reach, reach, moves)
    run_fleet(stages, targets[:2])  # compiles
    seconds = []
    for _ in range(repeats):
        begin = time.thread_time()
        run_fleet(stages, targets)
        seconds.append(time.thread_time() - begin)
    return moves * len(stages) / min(seconds)


def _speeds(moves: int) -> Table:
    family = [random_stage(seed) for seed in range(50)]
    kinds = [
        ("50 random stages", family, "x"),
        ("50 random stages", family, "x y"),
        ("50 random stages", family, "x y z"),
        ("50 random stages", family, "x y z alpha beta"),
        ("50 times jeol-like", [profile("jeol-like")] * 50, "x y"),
        ("50 times ideal", [profile("ideal")] * 50, "x y"),
    ]
    rows = []
    for name, stages, axes in kinds:
        rate = _speed(stages, axes, moves)
        steps = rate * len(axes.split())
        rows.append([name, axes, f"{rate / 1e6:.2f}", f"{steps / 1e6:.2f}"])
    return Table(
        title="Stage twin without a clock",
        columns=["stages", "axes of a move", "million moves/s", "million steps of an axis/s"],
        rows=rows,
        notes=f"{moves} moves a stage, one core, CPU time, best of 5; with each move the reported "
        "and the actual position of all five axes. Aim: a million steps a second.",
    )


def _reference_stages(count: int) -> list[StageParameters]:
    """Return the reference profile with the screw at any phase."""
    base = profile("jeol-like")
    assert base.x.periodic is not None
    stages = []
    for seed in range(count):
        first, second = np.random.default_rng([seed, 77]).uniform(0, 2 * np.pi, 2)
        screw = replace(base.x.periodic, phases=(float(first), float(second)))
        stages.append(replace(base, x=replace(base.x, periodic=screw)))
    return stages


def _errors(
    stages: Sequence[StageParameters], targets: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return actual (and once reported) less target of x for each strategy, (stages, targets)."""

    def go(path: NDArray[np.float64], every: int = 1) -> tuple[NDArray[np.float64], ...]:
        moves = np.full((*path.shape, len(AXES)), np.nan)
        moves[:, :, 0] = path
        run = run_fleet(stages, moves, dwell=0.5)
        kept = slice(every - 1, None, every)
        return run.actual[:, kept, 0] - targets, run.reported[:, kept, 0] - targets

    lag = np.array([0.5 * stage.x.backlash for stage in stages])[:, None]
    play = np.array([0.5 * (s.x.sensor_play + s.x.specimen_play) for s in stages])[:, None]
    direction = np.sign(np.diff(targets, axis=1, prepend=0.0))
    naive, reported = go(targets)
    inverted, _ = go(targets + play * direction)
    over, _ = go(np.stack([targets - _OVERTRAVEL, targets], axis=2).reshape(len(stages), -1), 2)
    return {
        "naive": naive,
        "play inversion": inverted,
        "over-travel 10 µm": over + lag,
        "reported, naive": reported,
    }


def _accuracy(count: int, moves: int) -> Table:
    targets = np.stack(
        [np.random.default_rng([s, 5]).uniform(-30, 30, moves) * _UM for s in range(count)]
    )
    reference = _errors(_reference_stages(count), targets)
    family = _errors([random_stage(seed) for seed in range(count)], targets)
    rows = []
    for name, errors in reference.items():
        known = _REFERENCE.get(name, (40, "-"))
        rows.append([name, *_summary(errors), f"{known[0]} / {known[1]}", *_summary(family[name])])
    return Table(
        title="Where x ends up without images",
        columns=[
            "strategy",
            "rms (nm)",
            "10-90 % of stages",
            "p95 (nm)",
            "reference model, rms / p95 (nm)",
            "random stages: rms (nm)",
            "10-90 % of stages",
            "p95 (nm)",
        ],
        rows=rows,
        notes=f"{count} stages, {moves} targets in ±30 µm, jeol-like profile with its screw at any "
        "phase; median of the stages. Play inversion adds half of the play of motor and sensor in "
        "the direction of the move; over-travel is judged less half of the backlash, its constant "
        "lag.",
    )


def _summary(errors: NDArray[np.float64]) -> list[str]:
    rms = np.sqrt(np.mean(errors**2, axis=1)) / _NM
    p95 = np.median(np.percentile(np.abs(errors), 95, axis=1)) / _NM
    low, high = np.percentile(rms, [10, 90])
    return [f"{np.median(rms):.0f}", f"{low:.0f}-{high:.0f}", f"{p95:.0f}"]


def measure(count: int = 60, moves: int = 40, speed_moves: int = 4000) -> list[Table]:
    """Measure speed, and the strategies without images on `count` stages of `moves` targets.

    Returns
    -------
    list of Table
    """
    return [_speeds(speed_moves), _accuracy(count, moves)]
