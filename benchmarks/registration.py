"""How often right, how trustworthy, how exact and how fast is the registration of two fields?

The conditions of `benchmarks._fields` - amorphous film, sparse particles, lattice; independent
noise, a fixed detector pattern, scan distortion - and fields of real images, registered by us and
by every peer that is installed, in the same run on the same pairs. `measure` takes the numbers of
pairs; with its defaults it runs for a quarter of an hour on two cores, ``--quick`` for two
minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from benchmarks import _trust, _verdicts
from benchmarks._fields import DISTORTIONS, OVERLAPS, SNRS, SPECIMENS
from benchmarks._images import NOISES, REAL_SNRS, Image, load_images
from benchmarks._outcomes import OURS, PRIOR, Task
from benchmarks._peers import PAPER, PEERS, SKIMAGE, SKIMAGE_MASKED, SKIMAGE_PLAIN
from benchmarks._trials import easy_errors, one_thread, run, time_methods
from benchmarks.tables import Table, show

__all__ = ["measure"]

_SIZE, _SMALL = 512, 256
_ON_IMAGES = (OURS, PAPER, SKIMAGE, SKIMAGE_MASKED)
_SLOW = ("multiview-stitcher", "hyperspy estimate_shift2D")
_SEED_TRUST, _SEED_FILM, _SEED_IMAGES = 10_000, 20_000, 30_000


def measure(
    pairs: int = 3,
    ordinary: int = 210,
    hardest: int = 40,
    lattice: int = 20,
    film: int = 10,
    real: int = 8,
    repeats: int = 9,
    workers: int = 2,
    peers: Sequence[str] = tuple(PEERS),
) -> list[Table]:
    """Measure success, trust, accuracy, time, and all of it on real images.

    Parameters
    ----------
    pairs : int
        512² pairs of every method in each of the 108 conditions.
    ordinary, hardest : int
        256² pairs of register alone in each of the 12 conditions of the ordinary set and of the
        60 of the hardest; a third as many, rounded up, of 512².
    lattice : int
        256² pairs of register alone in each of the 36 conditions of the lattice.
    film : int
        More 512² pairs in each of the 8 conditions of clean film with SNR 5 and 1, for the
        accuracy of register and of skimage.
    real : int
        Pairs an image, size, kind of noise and SNR.
    repeats : int
        Timed calls of each method.
    workers : int
        Processes.
    peers : sequence of str
        Of `benchmarks._peers.PEERS`; those that are not installed are left out.

    Returns
    -------
    list of Table
    """
    images = load_images()
    easy = _child("easy")
    methods = (OURS, *(name for name in peers if easy[name] is not None))
    compared = run(_comparison(pairs, methods), "every method, 512²", workers)
    alone = run(_alone(ordinary, hardest) + _lattice(lattice), "register alone", workers)
    exact = run(_film(film), "accuracy on film", workers)
    on_images = run(
        _on_images(images, real, [name for name in _ON_IMAGES if name in methods]),
        "real images",
        workers,
    )
    times = {size: _child(str(size), str(repeats), *methods) for size in (_SIZE, _SMALL)}
    missing = _missing(easy, [name for name in PEERS if name not in peers])
    return [
        _verdicts.success(compared, methods, missing),
        _verdicts.success_where_aimed(compared, methods),
        _verdicts.periodic(compared + alone),
        _trust.trust(compared + alone),
        _trust.by_condition(compared + alone),
        _trust.coverage(compared + alone),
        _verdicts.accuracy(compared + alone + exact),
        _verdicts.accuracy_of_peers(compared + exact, methods),
        _verdicts.times(times, methods),
        _trust.real_images(on_images, {image.name: image.origin for image in images}),
    ]


def _quick() -> list[Table]:
    """Two minutes: few pairs, without the two slowest peers."""
    return measure(
        pairs=1,
        ordinary=24,
        hardest=6,
        lattice=2,
        film=2,
        real=1,
        repeats=5,
        peers=[name for name in PEERS if name not in _SLOW],
    )


def _comparison(pairs: int, methods: tuple[str, ...]) -> list[Task]:
    return [
        Task(
            specimen,
            distortion,
            overlap,
            snr,
            _SIZE,
            seed,
            (*methods, PRIOR) if specimen == "lattice" else methods,
        )
        for specimen, distortion, overlap, snr in product(SPECIMENS, DISTORTIONS, OVERLAPS, SNRS)
        for seed in range(pairs)
    ]


def _alone(ordinary: int, hardest: int) -> list[Task]:
    tasks = []
    for specimen, distortion, overlap, snr in product(
        ("film", "sparse"), DISTORTIONS, OVERLAPS, SNRS
    ):
        count = ordinary if _trust.is_ordinary(distortion, overlap, snr) else hardest
        for size, number in ((_SMALL, count), (_SIZE, -(-count // 3))):
            tasks += [
                Task(specimen, distortion, overlap, snr, size, _SEED_TRUST + seed, (OURS,))
                for seed in range(number)
            ]
    return tasks


def _lattice(count: int) -> list[Task]:
    return [
        Task("lattice", distortion, overlap, snr, _SMALL, _SEED_TRUST + seed, (OURS, PRIOR))
        for distortion, overlap, snr in product(DISTORTIONS, OVERLAPS, SNRS)
        for seed in range(count)
    ]


def _film(count: int) -> list[Task]:
    return [
        Task(
            "film", "clean", overlap, snr, _SIZE, _SEED_FILM + seed, (OURS, SKIMAGE, SKIMAGE_PLAIN)
        )
        for overlap, snr in product(OVERLAPS, (5.0, 1.0))
        for seed in range(count)
    ]


def _on_images(images: Sequence[Image], count: int, methods: Sequence[str]) -> list[Task]:
    return [
        Task(
            image.name,
            noise,
            0.0,
            snr,
            size,
            _SEED_IMAGES + 1000 * number + seed,
            tuple(methods),
            real=True,
        )
        for number, image in enumerate(images)
        for noise, snr, size in product(NOISES, REAL_SNRS, (_SMALL, _SIZE))
        for seed in range(count)
    ]


def _missing(easy: dict[str, float | None], left_out: Sequence[str]) -> str:
    """Which peers are not installed or left out, and which miss even an easy pair."""
    absent = [name for name, error in easy.items() if error is None]
    # not <=: NaN is a miss
    misses = [name for name, error in easy.items() if error is not None and not error <= 1.0]
    said = []
    if left_out:
        said.append(f"Left out of this run: {', '.join(left_out)}.")
    if absent:
        said.append(f"Not installed: {', '.join(absent)}.")
    if misses:
        said.append(f"More than 1 px off even on an easy pair: {', '.join(misses)}.")
    return " ".join(said)


def _child(*arguments: str) -> dict:
    """Run a part of this module in a fresh process of one thread; return the JSON it prints."""
    with one_thread():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.registration", "--part", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:2])} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the tables, or as a child process one part of what goes into them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pairs: about two minutes")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == ["easy"]:
        print(json.dumps(easy_errors()))
    elif given.part:
        size, repeats, *methods = given.part
        print(json.dumps(time_methods(methods, int(size), int(repeats))))
    else:
        for table in _quick() if given.quick else measure():
            show(table)


if __name__ == "__main__":
    main()
