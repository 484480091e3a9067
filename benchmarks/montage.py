"""How far from the truth, how fast and in how much memory is a montage of 400 fields?

The simulated stage drives a boustrophedon over a procedural specimen, with its play, its seat and
its drift; the fields are registered as they arrive, their positions solved, and a blended montage
is written as a pyramidal OME-TIFF - in a process of its own, so that its memory is its own. The
same fields are also stitched by m2stitch (a port of MIST: Chalfoun et al., Sci. Rep. 7 (2017)
4988), where it is installed.

The truth of a field is where the stage was in the middle of its frame. The lines that two fields
share were scanned at other times, so that drift within the frame moves what registration finds by
-(r2 - r1)/rows of it, and a mosaic by that from row to row; no pair and no loop shows it. How much
that is, is told beside: positions solved from the exact shifts of the shared lines.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.tables import Table
from sim.imaging import ScanSettings, acquire
from sim.specimen import ProceduralSpecimen
from sim.stage import Stage
from sim.stage_profiles import profile

__all__ = ["measure"]

_OVERLAP = 0.2
# What facilities wait for before a frame (5 to 10 s), the o-rings creeping after a move.
_SETTLING_S = 10.0
# Standard deviation of a reported position that the analysis is told, µm: the stage of the
# hysteresis analysis may be 1 µm off, half of that is what careful stages stray.
_STAGE_SIGMA_UM = 0.5
# What the analysis is told of the drift: the default of the live analysis, nm/s.
_DRIFT_SIGMA = 0.1
_PEER_S = 600
_MOMENTS = 9  # of a frame, at which the stage's truth is kept


def simulate(folder: Path, side: int, rows: int, seed: int) -> None:
    """Scan `side`² fields of `rows`² and write them, what was reported and where they were."""
    settings = ScanSettings(shape=(rows, rows), field_of_view=rows * 7.3e-9)
    specimen, rng = ProceduralSpecimen(seed), np.random.default_rng(seed)
    stage = Stage(profile("tfs-like"), seed=seed, start_time=0.0)
    pitch = (1.0 - _OVERLAP) * settings.field_of_view
    now = 0.0
    reported, actual, index = [], [], []
    moments = np.linspace(0.0, settings.frame_time, _MOMENTS)
    for number in track(range(side * side), f"{side * side} fields of {rows}²"):
        row, column = divmod(number, side)
        column = column if row % 2 == 0 else side - 1 - column
        goal = {"x": (column - side / 2) * pitch, "y": (row - side / 2) * pitch}
        now = stage.command(goal, now) + _SETTLING_S
        image = acquire(
            specimen,
            lambda times: stage.actual(times)[:, :2],
            settings,
            start_time=now,
            rng=rng,
        )
        np.save(folder / f"field-{number:04d}.npy", image)
        reported.append(stage.readback(now).position[:2])
        actual.append(stage.actual(now + moments)[:, :2])
        index.append((row, column))
        now += settings.frame_time
    np.savez(
        folder / "stage.npz",
        reported=np.array(reported),
        actual=np.array(actual)[:, _MOMENTS // 2],
        moments=np.array(actual),
        index=np.array(index),
        pixel_size=settings.pixel_size,
        frame_time=settings.frame_time,
    )


def analyse(folder: Path, side: int) -> dict[str, Any]:
    """Register, solve and write; return the figures. Holds no field but those in use."""
    import resource

    from analysis.montage import balance, write_montage
    from analysis.mosaic.tiles import TileStream

    stage = np.load(folder / "stage.npz")
    pixel = float(stage["pixel_size"])

    def load(number: int) -> NDArray[np.uint16]:
        return np.load(folder / f"field-{number:04d}.npy")

    expected = stage["reported"][:, ::-1] / pixel
    shape = load(0).shape
    stream = TileStream(
        shape,
        _STAGE_SIGMA_UM * 1e-6 / pixel,
        load=load,
        drift_sigma=_DRIFT_SIGMA * 1e-9 * float(stage["frame_time"]) / pixel,
        workers=2,
    )
    begin, processor = time.perf_counter(), time.process_time()
    for number, place in enumerate(expected):
        stream.add(load(number), place)
    registered = time.perf_counter()
    found = stream.positions()
    solved = time.perf_counter()
    levelled = balance(load, found.position)
    info = write_montage(
        folder / "montage.ome.tif",
        load,
        found.position,
        pixel_size_nm=pixel * 1e9,
        levelled=levelled,
    )
    written = time.perf_counter()
    return {
        "position": found.position.tolist(),
        "covariance": found.relative_covariance.tolist(),
        "ends": [(pair.first, pair.second) for pair in stream.pairs],
        "weights": [pair.covariance.tolist() for pair in stream.pairs],
        "pairs": len(stream.found),
        "refused": len(stream.found) - len(stream.pairs),
        "outliers": [str(item) for item in found.outliers],
        "scale": found.scale,
        "groups": int(found.group.max()) + 1,
        "closure": found.closure.rms,
        "processor_s": time.process_time() - processor,
        "register_s": registered - begin,
        "solve_s": solved - registered,
        "write_s": written - solved,
        "montage": list(info.shape),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


_PEER_CODE = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
import m2stitch
folder = Path(sys.argv[1])
stage = np.load(folder / "stage.npz")
images = np.array([np.load(f) for f in sorted(folder.glob("field-*.npy"))], dtype=np.float32)
# its correlation leaves the mean in the norm: with it no pair passes its threshold
images -= images.mean(axis=(1, 2), keepdims=True)
expected = np.rint(stage["reported"][:, ::-1] / stage["pixel_size"]).astype(int)
begin = time.perf_counter()
table, _ = m2stitch.stitch_images(
    images, stage["index"][:, 0], stage["index"][:, 1],
    position_initial_guess=expected, overlap_diff_threshold=20, row_col_transpose=False)
json.dump({
    "position": table[["y_pos", "x_pos"]].to_numpy(dtype=float).tolist(),
    "seconds": time.perf_counter() - begin,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}, sys.stdout)
"""


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - values.mean(axis=0)


def _child(arguments: list[str], timeout: float | None = None) -> tuple[dict[str, Any], str]:
    """Run Python in a process of its own; return the JSON it prints last, or its last error."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return {}, f"not done in {timeout:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = lines[-1] if lines else "nothing printed"
    return (json.loads(last), "") if done.returncode == 0 else ({}, last)


def _peer(folder: Path) -> tuple[dict[str, Any], str]:
    if importlib.util.find_spec("m2stitch") is None:
        return {}, "not installed"
    return _child(["-c", _PEER_CODE, str(folder)], _PEER_S)


def _limited_by_drift(stage: Any, mine: dict[str, Any], rows: int) -> NDArray[np.float64]:
    """Positions that the exact shifts of the lines that two fields share give, (n, 2) px."""
    from analysis.positions import Pair, solve_positions

    pixel = float(stage["pixel_size"])
    moments = stage["moments"][:, :, ::-1] / pixel
    truth, reported = (stage[key][:, ::-1] / pixel for key in ("actual", "reported"))
    share = np.linspace(0.0, 1.0, _MOMENTS)

    def seen(number: int, lines: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean place of a field while some of its lines were scanned, (rows, columns) px."""
        places = [np.interp(lines / rows, share, moments[number, :, k]) for k in range(2)]
        return np.mean(places, axis=1)

    pairs = []
    for (first, second), weight in zip(mine["ends"], mine["weights"], strict=True):
        apart = truth[second, 0] - truth[first, 0]
        lines = np.linspace(max(0.0, -apart), min(rows, rows - apart), 41)
        shift = seen(second, lines) - seen(first, lines + apart)
        pairs.append(Pair(first, second, shift, np.array(weight)))
    return solve_positions(pairs, reported, _STAGE_SIGMA_UM * 1e-6 / pixel).position


def _inside(position: Any, covariance: Any, truth: NDArray[np.float64]) -> float:
    """Share of the positions within their 95 % ellipses, %."""
    errors = _centred(np.array(position) - truth)
    z2 = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(np.array(covariance)), errors)
    return 100.0 * float(np.mean(z2 < 5.991))


def _rms(position: Any, truth: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(_centred(np.array(position) - truth) ** 2)))


def _errors(position: Any, truth: NDArray[np.float64]) -> tuple[str, str]:
    errors = np.linalg.norm(_centred(np.array(position) - truth), axis=1)
    return f"{_rms(position, truth):.3f}", f"{errors.max():.2f}"


def _ours(folder: Path, side: int) -> dict[str, Any]:
    found, problem = _child(["-m", "benchmarks.montage", str(folder), str(side)])
    if problem:
        raise RuntimeError(f"the montage failed: {problem}")
    return found


def _table(folder: Path, side: int, rows: int) -> Table:
    stage = np.load(folder / "stage.npz")
    truth = stage["actual"][:, ::-1] / stage["pixel_size"]
    stray = np.linalg.norm(_centred(stage["actual"] - stage["reported"]), axis=1) * 1e9
    mine = _ours(folder, side)
    total = mine["register_s"] + mine["solve_s"] + mine["write_s"]
    limit = _limited_by_drift(stage, mine, rows)
    lines = [
        ["twinscope", *_errors(mine["position"], truth), f"{total:.0f}", f"{mine['peak_mib']:.0f}"],
        ["exact shifts of the shared lines", *_errors(limit.tolist(), truth), "", ""],
        ["twinscope, less these", *_errors(mine["position"], limit), "", ""],
    ]
    drift = np.ptp(stage["moments"], axis=1).max() / stage["pixel_size"]
    return Table(
        title=f"Montage of {side * side} fields from the simulated stage",
        columns=["", "rms a component (px)", "worst (px)", "time (s)", "peak memory (MiB)"],
        rows=lines,
        notes=f"{_OVERLAP:.0%} overlap, 7.3 nm pixels; actual less reported position of the "
        f"stage up to {stray.max():.0f} nm from its mean, drift in a frame up to {drift:.2f} "
        "px. The truth is that of mid-frame; drift within the frame moves what two fields "
        "share, and that adds up from row to row (second line). Aims: 0.3 px rms, "
        "1024 MiB, 180 s on 2 cores. twinscope, two threads on "
        f"{os.cpu_count()} cores, {mine['processor_s']:.0f} s of processor time: "
        f"{mine['register_s']:.0f} s for "
        f"{mine['pairs']} pairs ({mine['refused']} refused, {len(mine['outliers'])} left out "
        f"as contradicted), {mine['solve_s']:.1f} s to solve, {mine['write_s']:.0f} s to "
        f"level, blend and write {mine['montage'][0]} x {mine['montage'][1]} pixels with "
        f"their pyramid; loops close to {mine['closure']:.3f} px rms; "
        f"{_inside(mine['position'], mine['covariance'], truth):.0f} % of the positions within "
        f"their 95 % ellipse, told of a drift of {_DRIFT_SIGMA} nm/s (standard deviation).",
    )


def _beside_the_peer(folder: Path, side: int, rows: int) -> Table:
    """Positions of the same fields by the stage alone, by us and by m2stitch."""
    stage = np.load(folder / "stage.npz")
    truth, reported = (stage[key][:, ::-1] / stage["pixel_size"] for key in ("actual", "reported"))
    mine = _ours(folder, side)
    seconds = mine["register_s"] + mine["solve_s"]
    lines = [
        ["stage alone", *_errors(reported, truth), "", ""],
        ["twinscope", *_errors(mine["position"], truth), f"{seconds:.1f}", "1"],
    ]
    theirs, problem = _peer(folder)
    if problem:
        lines.append(["m2stitch", "-", "-", problem[:80], "-"])
    else:
        ratio = _rms(theirs["position"], truth) / _rms(mine["position"], truth)
        lines.append(
            [
                "m2stitch",
                *_errors(theirs["position"], truth),
                f"{theirs['seconds']:.1f}",
                f"{ratio:.0f}",
            ]
        )
    return Table(
        title=f"Positions of {side * side} fields of {rows}², beside a peer",
        columns=["", "rms a component (px)", "worst (px)", "time (s)", "rms over ours"],
        rows=lines,
        notes=f"The same {side} x {side} fields; positions only, nothing is blended. m2stitch is "
        "told the reported positions, may stray from them by 20 % of a field (its default is 10 %, "
        "less than the stage strays), and gets each field less its mean, without which no pair "
        "passes its threshold; it gives whole pixels. Times are elapsed; twinscope with two "
        "threads, m2stitch as it comes.",
    )


def measure(side: int = 20, rows: int = 1024, seed: int = 7) -> list[Table]:
    """Measure on `side`² fields of `rows`² pixels; the stage strays by 25 nm to 0.7 µm.

    Returns
    -------
    list of Table
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, side, rows, seed)
        return [make(folder, side, rows) for make in (_table, _beside_the_peer)]


if __name__ == "__main__":
    json.dump(analyse(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout)
