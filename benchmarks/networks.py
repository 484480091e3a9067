"""How well do networks tell samples apart and foretell their bulk, beside baselines and the paper?

Runs of many simulated sessions become image sets, split by session and field; every cell of the
tables of Bruker application note 155 is trained and judged on them, with the baselines on the same
splits. What is done stays done: runs, sets and cells lie in a folder, and a killed run goes on.

``python -m benchmarks.networks`` makes the whole, which is for a graphics processor; ``--evening``
asks the same of the same images at half their lines, in hours of two cores; ``--quick`` is a small
form in minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from analysis.datasets import ImageSet, open_image_set, write_image_set
from analysis.networks.cells import Cell, CellResult, read_results
from analysis.networks.experiment import CellProgress, Experiment, Plan
from analysis.networks.figures import save_figures
from analysis.networks.options import TrainingOptions
from analysis.networks.table import tables_of
from benchmarks._network_runs import (
    NINE,
    PHASE,
    Recipe,
    bulk_properties,
    simulated_runs,
)
from benchmarks.tables import Table, markdown, show

__all__ = ["EVENING", "FULL", "QUICK", "Chosen", "Study", "measure", "run", "study_tables"]

_DOCS = Path(__file__).parents[1] / "docs"
_PAGES = _DOCS / "reference" / "benchmarks"
_FIGURES = _DOCS / "images"
_CACHE = Path.home() / ".cache" / "twinscope" / "networks"
_FORCE = ("deformation", "dissipation", "dmt_modulus")
_SINGLE = (*((name,) for name in _FORCE), ("phase",))
_TWO = (("deformation",), ("phase",))
_BASELINES = ("features+logistic", "features+forest", "small_cnn")
_NETWORKS = ("resnet50", "small_resnet")

Told = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Study:
    """What is made, and with which means.

    Parameters
    ----------
    name : str
        Of its folder in the cache.
    force, phase : Recipe
        Runs in PeakForce QNM and in tapping.
    plan : Plan
        Splits and options of the networks.
    estimators : tuple of str
        Of the classifications and of properties all at once.
    each : tuple of str
        Estimators that are also trained for one property each, as in the note.
    learning : tuple of str
        Estimators whose learning curve is drawn.
    sizes : tuple of int
        Training images of the learning curve.
    few : tuple of str
        Estimators that are only asked for three samples by their deformation.
    lines : int, optional
        To which images are averaged; as they were taken unless given.
    """

    name: str
    force: Recipe
    phase: Recipe
    plan: Plan
    estimators: tuple[str, ...]
    each: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    few: tuple[str, ...] = ()
    lines: int | None = None


FULL = Study(
    name="full",
    force=Recipe(NINE),
    phase=PHASE,
    plan=Plan(folds=5),
    estimators=(*_BASELINES, *_NETWORKS),
    each=("resnet50",),
    learning=("features+forest", "small_resnet", "resnet50"),
    sizes=(45, 90, 180),
)
"""All of it: 1620 images in PeakForce QNM and 900 of the phase, each tested once."""

_SHORT = TrainingOptions(epochs=30, patience=10, batch=16)
EVENING = replace(
    FULL,
    name="evening",
    plan=Plan(folds=5, options=dict.fromkeys(("small_cnn", *_NETWORKS), _SHORT)),
    each=(),
    learning=("features+forest", "resnet50"),
    lines=64,
)
"""The same images averaged to 64 lines, and trainings of thirty epochs: hours on two cores."""

_BRIEF = TrainingOptions(epochs=30, patience=30, batch=8)
QUICK = Study(
    name="quick",
    force=Recipe(NINE, sessions=6, fields=6, lines=64),
    phase=replace(PHASE, sessions=6, fields=6, lines=64),
    plan=Plan(folds=3, options={"small_cnn": _BRIEF, "small_resnet": _BRIEF}),
    estimators=("features+logistic", "features+forest"),
    learning=("features+forest",),
    sizes=(18, 36),
    few=("small_cnn", "small_resnet"),
)
"""Few and small images, small networks for the first question only: minutes on two cores."""


@dataclass(frozen=True)
class Chosen:
    """Which cells of a study are done; all unless named.

    Parameters
    ----------
    tasks, estimators : sequence of str
        Names.
    """

    tasks: Sequence[str] = field(default_factory=tuple)
    estimators: Sequence[str] = field(default_factory=tuple)

    def has(self, cell: Cell) -> bool:
        """Whether a cell is among them."""
        return (not self.tasks or cell.task in self.tasks) and (
            not self.estimators or cell.estimator in self.estimators
        )


def run(
    study: Study,
    folder: Path,
    *,
    chosen: Chosen | None = None,
    told: Told | None = None,
) -> list[CellResult]:
    """Do what is not done yet of a study.

    Parameters
    ----------
    study : Study
        What is made.
    folder : Path
        Of its runs, image sets and cells.
    chosen : Chosen, optional
        Which cells.
    told : callable(what, done, of), optional
        Told of the progress.

    Returns
    -------
    list of CellResult
    """
    report = _silent if told is None else told
    sets = [
        _image_set(folder, "force", study.force, _FORCE, study.lines, report),
        _image_set(folder, "phase", study.phase, ("phase",), study.lines, report),
    ]
    experiment = Experiment(sets, folder, study.plan, bulk_properties(seed=study.force.seed))
    chosen = Chosen() if chosen is None else chosen
    cells = [cell for cell in _cells(study, experiment) if chosen.has(cell)]

    def progress(at: CellProgress) -> None:
        report(_words(at), at.done, at.cells)

    return experiment.run(cells, progress)


def _image_set(
    folder: Path,
    name: str,
    recipe: Recipe,
    channels: tuple[str, ...],
    lines: int | None,
    report: Told,
) -> ImageSet:
    """The images of a recipe, simulated and gathered where they are not there yet."""
    runs = simulated_runs(
        folder / f"{name}-runs", recipe, lambda done, of: report(f"{name} images", done, of)
    )
    path = folder / f"{name}.h5"
    if path.exists():
        found = open_image_set(path)
        if {record.run_uid for record in found.records} == set(runs.uids):
            return found
    return write_image_set(
        path,
        runs,
        channels,
        lines=lines,
        progress=lambda done, of: report(f"{name} set", done, of),
    )


def _cells(study: Study, experiment: Experiment) -> list[Cell]:
    """All cells, the cheap ones first: tables grow from the first minutes on."""
    fold = experiment.cells
    made: list[Cell] = []
    for kind in study.estimators:
        made += fold(("three-way",), _SINGLE, (kind,))
        made += fold(("five-way",), _TWO, (kind,))
        made += fold(("shuffled",), (("deformation",),), (kind,))
        made += fold(("five-properties",), _TWO, (kind,))
        made += fold(("nine-properties",), (("deformation",),), (kind,))
    made += fold(("three-way",), (("deformation",),), study.few)
    made += fold(("three-way",), (("deformation",),), study.learning, sizes=study.sizes)
    made += fold(("five-properties",), _TWO, study.each, one_each=True)
    made += fold(("nine-properties",), (("deformation",),), study.each, one_each=True)
    return made


def _words(at: CellProgress) -> str:
    cell = at.cell
    words = f"{cell.task}, {'+'.join(cell.channels)}, {cell.estimator}, {cell.split}"
    epoch = getattr(at.detail, "epoch", None)
    return words if epoch is None else f"{words}, epoch {epoch}"


def _silent(what: str, done: int, of: int) -> None:
    return None


def study_tables(study: Study, results: Iterable[CellResult]) -> list[Table]:
    """Return the tables of a study, led by what was imaged.

    Parameters
    ----------
    study : Study
        What was made.
    results : iterable of CellResult
        Of its cells.
    """
    tables = [
        Table(title=one.title, columns=one.columns, rows=one.rows, notes=one.notes)
        for one in tables_of(results)
    ]
    return [_imaged(study), *tables]


def _imaged(study: Study) -> Table:
    averaged = "" if study.lines is None else f" averaged to {study.lines}"
    rows = [
        [
            recipe.mode,
            " ".join(recipe.samples),
            f"{recipe.sessions} x {recipe.fields}",
            str(recipe.images),
            f"{recipe.size:g} µm, {recipe.lines} lines{averaged}",
        ]
        for recipe in (study.force, study.phase)
    ]
    drawn = bulk_properties(seed=study.force.seed)
    izod = ", ".join(f"{name} {values['notched_izod']:.0f}" for name, values in drawn.items())
    return Table(
        title="The images",
        columns=["mode", "samples", "sessions x fields of each sample", "images", "frame"],
        rows=rows,
        notes="Simulated. A session is a day with a probe of its own, calibrated with the usual "
        "errors and worn by its images; no field is imaged twice. Splits keep whole sessions on "
        f"one side; {study.plan.folds} folds, each image tested once. The bulk of a sample is that "
        "of its formulation and of what no image shows: the length of the chains of its matrix and "
        f"its crystallinity. Notched Izod strengths so drawn, J/m: {izod}.",
    )


def measure() -> list[Table]:
    """Measure the quick form.

    Returns
    -------
    list of Table
    """
    with _bars() as told:
        return study_tables(QUICK, run(QUICK, _CACHE / QUICK.name, told=told))


@contextmanager
def _bars() -> Iterator[Told]:
    """Yield what draws a bar of progress for each kind of work."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bars: dict[str, TaskID] = {}

        def told(what: str, done: int, of: int) -> None:
            kind = what if what.endswith(("images", "set")) else "cells"
            if kind not in bars:
                bars[kind] = progress.add_task(what, total=of)
            progress.update(bars[kind], description=what, completed=done, total=of)

        yield told


def main() -> None:
    """Make the whole, or the quick form; write its page and its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the small form, in minutes")
    size.add_argument("--evening", action="store_true", help="the whole at 64 lines, in hours")
    parser.add_argument("--folder", type=Path, help="of runs, image sets and cells")
    parser.add_argument("--tasks", nargs="*", default=(), help="only these")
    parser.add_argument("--estimators", nargs="*", default=(), help="only these")
    asked = parser.parse_args()
    study = QUICK if asked.quick else EVENING if asked.evening else FULL
    folder = (asked.folder or _CACHE / study.name).absolute()
    with _bars() as told:
        run(study, folder, chosen=Chosen(asked.tasks, asked.estimators), told=told)
    results = read_results(folder)  # those of other calls as well
    tables = study_tables(study, results)
    for table in tables:
        show(table)
    name = "networks" if study is FULL else f"networks-{study.name}"
    figures = folder / "figures" if asked.quick else _FIGURES / name
    for path in save_figures(results, figures):
        print(f"written: {path}")
    page = (folder if asked.quick else _PAGES) / f"{name}.md"
    page.write_text(_page(tables, figures, study), encoding="utf-8")
    print(f"written: {page}")


def _page(tables: Sequence[Table], figures: Path, study: Study) -> str:
    command = "make networks" if study is FULL else f"make networks OPTIONS=--{study.name}"
    text = markdown("networks", tables).replace("python -m benchmarks networks", command, 1)
    place = "figures" if study is QUICK else f"../../images/{figures.name}"
    shown = "\n".join(
        f"![{path.stem}]({place}/{path.name})\n" for path in sorted(figures.glob("*.png"))
    )
    return f"{text}\n## Figures\n\n{shown}"


if __name__ == "__main__":
    main()
