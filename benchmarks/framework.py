"""Are the verdict on a stage and the model of it right, on stages whose truth is known?

Verdict: stages drawn for each of the six cases of Fiedler et al. 2023, fig. 2, on the path of the
paper: five steps of 1 µm out and back, three times each way, x then y. Model: random stages, one
characterisation run each. Actual positions get 1 to 5 nm of measurement noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from analysis.agreement import evaluate
from analysis.characterisation import CharacterisationPath, characterisation_path
from analysis.identification import identify
from analysis.record import StageRecord
from analysis.stage_model import AxisModel, Quantity
from benchmarks.tables import Table
from plans.stage import hysteresis_targets
from sim.fleet import run_fleet
from sim.stage import AxisParameters, Stage, StageParameters, random_stage
from sim.stage_family import CASES, random_case

__all__ = ["measure"]

_UM = 1e-6
_NOISE_UM = (1e-3, 5e-3)
_DWELL = 2.0
# Seconds at a stop without an image: until the sensors have been read anew.
_PASS = 0.5
_STAGES_A_CASE = 100
_MODELS = 40
_FIRST_SEED = 20_000


def _records(stages: Sequence[StageParameters], path: NDArray[np.float64]) -> list[StageRecord]:
    """What every stage does on a path of x and y, (n, 2) µm."""
    targets = np.full((len(path), 5), np.nan)
    targets[:, :2] = path * _UM
    run = run_fleet(stages, targets, dwell=_DWELL)
    records = []
    for number in range(len(stages)):
        rng = np.random.default_rng([number, 41])
        noise = rng.uniform(*_NOISE_UM)
        sent, said, was = (
            kind[number, :, :2] / _UM for kind in (run.target, run.reported, run.actual)
        )
        was = was + rng.normal(0.0, noise, was.shape)
        time = run.time[number]
        spread = np.eye(2) * noise**2
        records.append(StageRecord.of(sent, said, was, covariance=spread, time=time))
    return records


def _verdicts() -> Table:
    path = np.array(hysteresis_targets(0.0, 1.0, 5, 3))
    still = np.zeros_like(path)
    both = np.concatenate([np.stack([path, still], axis=1), np.stack([still, path], axis=1)])
    rows = []
    for case in CASES:
        stages = [random_case(case, _FIRST_SEED + seed) for seed in range(_STAGES_A_CASE)]
        told = [evaluate(record).case for record in _records(stages, both)]
        rows.append([case, *(str(told.count(other)) for other in CASES)])
    return Table(
        title="Case of a stage: drawn (rows) and told (columns)",
        columns=["drawn", *CASES],
        rows=rows,
        notes=f"{_STAGES_A_CASE} stages a case; aimed at 95 % on the diagonal.",
    )


def _characterised(
    parameters: StageParameters, seed: int, path: CharacterisationPath
) -> StageRecord:
    """What a stage does on the path of a characterisation."""
    stage = Stage(parameters, seed=seed, start_time=0.0)
    rng = np.random.default_rng([seed, 43])
    noise = rng.uniform(*_NOISE_UM)
    n = len(path.target)
    time, said, was = np.zeros(n), np.zeros((n, 2)), np.full((n, 2), np.nan)
    now = 0.0
    for stop, ((x, y), imaged) in enumerate(zip(path.target * _UM, path.imaged, strict=True)):
        now = max(now, stage.command({"x": x, "y": y}, now)) + (_DWELL if imaged else _PASS)
        time[stop], said[stop] = now, stage.readback(now).position[:2] / _UM
        if imaged:
            was[stop] = stage.actual(now)[:2] / _UM + rng.normal(0.0, noise, 2)
    return StageRecord.of(path.target, said, was, covariance=np.eye(2) * noise**2, time=time)


def _models() -> Table:
    found: dict[str, list[tuple[float, Quantity]]] = {}
    path = characterisation_path()
    for seed in range(_FIRST_SEED, _FIRST_SEED + _MODELS):
        stage = random_stage(seed)
        record = _characterised(stage, seed, path)
        model = identify(record, measured=datetime.now(UTC), settle=_DWELL)
        for place, name in enumerate("xy"):
            truth = stage.axes[name]
            for key, value in _truth(truth, stage.crosstalk[place][1 - place]).items():
                found.setdefault(key, []).append((value, _QUANTITIES[key](model.axis(name))))
    rows = [_recovered(key, pairs) for key, pairs in found.items()]
    images, moves = np.count_nonzero(path.imaged), len(path.target)
    return Table(
        title=f"Model of a stage from {images} images on {moves} moves: recovered parameters",
        columns=[
            "",
            "known",
            "median error",
            "95th percentile",
            "aim",
            "within the aim",
            "covered",
        ],
        rows=rows,
        notes=(
            f"x and y of {_MODELS} random stages. Covered: truth in the 95 % interval; aimed at "
            "90 to 99 %. Within the aim: of those known, then of all. The play before the sensor "
            "is what the reported position falls short by after a reversal, the backlash what the "
            "actual one does: the play behind the sensor and its cells come on top. A screw below "
            "five standard errors is not known: near amplitude 0 there is no period to be found, "
            "and by the Cramér-Rao bound of this path no unbiased estimator is within 1 % on more "
            "than about 93 % of all screws; nor within 5 % of a play of a few nanometres."
        ),
    )


_PLAY, _SENSOR, _BACKLASH = "play behind it, nm", "play before the sensor, nm", "backlash, nm"
_SLIP, _CROSSTALK = "repeatability, nm", "cross-talk, 1e-3"
_PERIOD, _AMPLITUDE = "period, nm", "amplitude, nm"
_QUANTITIES: dict[str, Callable[[AxisModel], Quantity]] = {
    _SENSOR: lambda axis: axis.reported_play,
    _PLAY: lambda axis: axis.play,
    _BACKLASH: lambda axis: axis.backlash,
    _SLIP: lambda axis: axis.repeatability,
    _CROSSTALK: lambda axis: axis.crosstalk,
    _PERIOD: lambda axis: axis.period,
    _AMPLITUDE: lambda axis: axis.amplitudes[0],
}
# As a part of the truth, and absolute.
_AIMS = {_SENSOR: 0.05, _PLAY: 0.05, _BACKLASH: 0.05, _PERIOD: 0.01}
_AIMS_ABSOLUTE = {_CROSSTALK: 1e-3}


def _truth(axis: AxisParameters, crosstalk: float) -> dict[str, float]:
    """What an axis is, by the names of the table, µm."""
    truth = {
        _SENSOR: axis.sensor_play / _UM,
        _PLAY: 0.5 * (1.0 + axis.specimen_asymmetry) * axis.specimen_play / _UM,
        _BACKLASH: axis.backlash / _UM,
        _SLIP: axis.repeatability / _UM,
        _CROSSTALK: crosstalk,
    }
    if axis.periodic is not None:
        truth[_PERIOD] = axis.periodic.period / _UM
        truth[_AMPLITUDE] = axis.periodic.amplitudes[0] / _UM
    return truth


def _recovered(name: str, pairs: list[tuple[float, Quantity]]) -> list[str]:
    known = [(truth, q) for truth, q in pairs if np.isfinite(q.value)]
    truth = np.array([t for t, _ in known])
    error = np.abs(np.array([q.value for _, q in known]) - truth)
    covered = np.mean([q.low <= t <= q.high for t, q in known])
    aim, within = "-", "-"
    if name in _AIMS or name in _AIMS_ABSOLUTE:
        limit = _AIMS_ABSOLUTE.get(name, _AIMS.get(name, 0.0) * truth)
        aim = f"{_AIMS[name]:.0%}" if name in _AIMS else f"{_AIMS_ABSOLUTE[name]:g}"
        hits = np.count_nonzero(error <= limit)
        within = f"{hits / len(known):.1%}, {hits / len(pairs):.1%}"
    middle, tail = 1e3 * np.percentile(error, [50, 95])
    share = f"{len(known)} of {len(pairs)}"
    return [name, share, f"{middle:.3g}", f"{tail:.3g}", aim, within, f"{covered:.1%}"]


def measure() -> list[Table]:
    """Measure the verdicts and the models."""
    return [_verdicts(), _models()]
