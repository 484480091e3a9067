"""Are the verdict on a stage and the model of it right, on stages whose truth is known?

Verdict: stages drawn for each of the six cases of Fiedler et al. 2023, fig. 2, on the path of the
paper: five steps of 1 µm out and back, three times each way, x then y. Model: random stages, one
characterisation run each. Actual positions get 1 to 5 nm of measurement noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from analysis.agreement import evaluate
from analysis.characterisation import characterisation_targets
from analysis.identification import identify
from analysis.record import StageRecord
from analysis.stage_model import Quantity
from benchmarks.tables import Table
from plans.stage import hysteresis_targets
from sim.fleet import run_fleet
from sim.stage import StageParameters, random_stage
from sim.stage_family import CASES, random_case

__all__ = ["measure"]

_UM = 1e-6
_NOISE_UM = (1e-3, 5e-3)
_DWELL = 2.0
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


def _models() -> Table:
    stages = [random_stage(_FIRST_SEED + seed) for seed in range(_MODELS)]
    found: dict[str, list[tuple[float, Quantity]]] = {}
    path = characterisation_targets()
    for stage, record in zip(stages, _records(stages, path), strict=True):
        model = identify(record, measured=datetime.now(UTC), settle=_DWELL)
        for place, name in enumerate("xy"):
            axis, truth = model.axis(name), stage.axes[name]
            side = 0.5 * (1.0 + truth.specimen_asymmetry)
            screw = truth.periodic
            pairs = {
                "play before the sensor, nm": (truth.sensor_play / _UM, axis.reported_play),
                "play behind it, nm": (side * truth.specimen_play / _UM, axis.play),
                "backlash, nm": (truth.backlash / _UM, axis.backlash),
                "repeatability, nm": (truth.repeatability / _UM, axis.repeatability),
                "cross-talk, 1e-3": (stage.crosstalk[place][1 - place], axis.crosstalk),
            }
            if screw is not None:
                pairs["period, nm"] = (screw.period / _UM, axis.period)
                pairs["amplitude, nm"] = (screw.amplitudes[0] / _UM, axis.amplitudes[0])
            for key, pair in pairs.items():
                found.setdefault(key, []).append(pair)
    limits = {"play before the sensor, nm": 0.05, "play behind it, nm": 0.05, "backlash, nm": 0.05}
    rows = [_recovered(name, pairs, limits.get(name)) for name, pairs in found.items()]
    return Table(
        title=f"Model of a stage from {len(path)} images: recovered parameters",
        columns=["", "known", "median error", "95th percentile", "within the aim", "covered"],
        rows=rows,
        notes=(
            f"x and y of {_MODELS} random stages; aims: plays 5 %, period 1 %, cross-talk 1e-3; "
            "covered: truth in the 95 % interval. A screw below five standard errors is not known."
        ),
    )


def _recovered(name: str, pairs: list[tuple[float, Quantity]], limit: float | None) -> list[str]:
    known = [(truth, q) for truth, q in pairs if np.isfinite(q.value)]
    truth = np.array([t for t, _ in known])
    error = np.abs(np.array([q.value for _, q in known]) - truth)
    covered = np.mean([q.low <= t <= q.high for t, q in known])
    within = "-"
    if limit is not None:
        within = f"{np.mean(error <= limit * truth):.0%}"
    elif name.startswith("period"):
        within = f"{np.mean(error <= 0.01 * truth):.0%}"
    elif name.startswith("cross-talk"):
        within = f"{np.mean(error <= 1e-3):.0%}"
    middle, tail = 1e3 * np.percentile(error, [50, 95])
    share = f"{len(known)} of {len(pairs)}"
    return [name, share, f"{middle:.3g}", f"{tail:.3g}", within, f"{covered:.0%}"]


def measure() -> list[Table]:
    """Measure the verdicts and the models."""
    return [_verdicts(), _models()]
