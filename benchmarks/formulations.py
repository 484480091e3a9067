"""How well do images tell the bulk of formulations never seen, by property and by channel?

A bulk value is one number a sample, so who recognises one of nine samples knows it, with what no
image shows. Here every tested formulation is a new one: many are drawn from the ranges of the nine,
each is imaged by probes of its own, and features of the images with plain baselines predict the
five properties of Bruker application note 155, which calls notched Izod the worst and the
deformation the best channel. Beside them stands who knows the formulation itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import Progress, TaskID

from analysis.datasets import ImageSet, Split
from analysis.evaluation import Interval, Regressed, bootstrap, regression_scores
from analysis.evaluation.regression import r2_of_sums, r2_terms
from analysis.networks.tasks import PROPERTIES
from benchmarks._formulation_family import (
    FORCE,
    MEAN,
    PHASE,
    Family,
    averaged,
    expected_properties,
    from_rubber,
    hidden_shares,
    image_sets,
    predictions,
    regressed,
    splits_of,
)
from benchmarks.tables import Table

__all__ = ["measure"]

_CACHE = Path.home() / ".cache" / "twinscope" / "formulations"
_CHANNELS = (*FORCE, *PHASE)
_BEST, _WORST = "deformation", "notched_izod"
_HIDDEN = ("notched_izod", "ultimate_elongation")  # that what no image shows changes
_ESTIMATORS = ("features+logistic", "features+forest")
_WORDS = {"features+logistic": "features+ridge"}  # what it is where values are asked for
_FOLDS = 5
_DRAWS = 2000  # of what no image shows: the mean of a strength is then known to 0.6 %
_SPREAD = (2000, 100)  # formulations, and draws for each, to part the variance
_NONE = "\N{EN DASH}"
_VERDICTS = (
    "Shown: every interval lies above zero; no: that of the named lies below; open: it holds zero. "
    "Each interval stands for itself, so of forty one or two may miss by chance."
)

Key = tuple[str, str]  # channel and estimator


@dataclass(frozen=True)
class _Told:
    """What was predicted of one family.

    Parameters
    ----------
    family : Family
    force, phase : ImageSet
        Its images.
    tested, shown : mapping
        Predictions by channel and estimator; of what bulk tests find, and of what they would find
        were there nothing that no image shows.
    known, mean : Regressed
        What is said by who knows the formulation, and by who knows only the training part.
    rubber : mapping
        What the share of rubber in the imaged field says, by the field.
    """

    family: Family
    force: ImageSet
    phase: ImageSet
    tested: Mapping[Key, Regressed]
    shown: Mapping[Key, Regressed]
    known: Regressed
    mean: Regressed
    rubber: Mapping[str, Regressed]

    @property
    def count(self) -> int:
        """How many images there are of a formulation."""
        return self.family.probes * self.family.fields


def measure(family: Family | None = None, folder: Path | None = None) -> Iterator[Table]:
    """Image a family of formulations and predict the bulk of each from the others.

    Parameters
    ----------
    family : Family, optional
        What is imaged.
    folder : Path, optional
        Where images are kept, in the cache unless given; what is there already is not made again.

    Yields
    ------
    Table
        The properties, R² of each, and whether the note's order is found.
    """
    family = Family() if family is None else family
    told = _predicted(family, _CACHE if folder is None else folder)
    yield _properties(told)
    yield _scores(told)
    yield _scores_of_shown(told)
    yield _worst_property(told)
    yield _best_channel(told)


def _predicted(family: Family, folder: Path) -> _Told:
    with Progress() as progress:
        bars: dict[str, TaskID] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=of)
            progress.update(bars[what], completed=done)

        force, phase = image_sets(family, folder, report)
        splits = splits_of(force, _FOLDS, family.seed)
        tested: dict[Key, Regressed] = {}
        shown: dict[Key, Regressed] = {}
        keys = [(channel, estimator) for estimator in _ESTIMATORS for channel in _CHANNELS]
        for done, key in enumerate(keys, start=1):
            images = (phase if key[0] in PHASE else force).only(channels=(key[0],))
            tested[key], shown[key] = _both(family, images, key[1], splits, folder)
            report("models", done, len(keys))
    mean = predictions(force, family.tested(), MEAN, splits, folder)
    rubber = {
        f"{images.size_um:g} µm": from_rubber(images, family, splits) for images in (force, phase)
    }
    known = _known(family, force, mean)
    return _Told(family, force, phase, tested, shown, known, mean, rubber)


def _both(
    family: Family, images: ImageSet, estimator: str, splits: Sequence[Split], folder: Path
) -> tuple[Regressed, Regressed]:
    """Predictions of what bulk tests find, and of the part of it that images may show."""
    ask = partial(predictions, images, estimator=estimator, splits=splits, folder=folder)
    tested, part = ask(family.tested()), ask(family.shown(), names=_HIDDEN)
    columns = {name: tested.column(name) for name in PROPERTIES}
    columns |= {name: part.column(name) for name in _HIDDEN}
    true, predicted = np.stack(list(columns.values()), axis=2)
    return tested, regressed(images, tuple(PROPERTIES), true, predicted)


def _known(family: Family, images: ImageSet, beside: Regressed) -> Regressed:
    """What is said by who knows what each formulation is made of, and nothing else."""
    rng = np.random.default_rng([family.seed, _DRAWS])
    said = {made.name: expected_properties(made, rng, _DRAWS) for made in family.drawn()}
    predicted = np.stack([said[sample] for sample in images.labels()])
    return regressed(images, tuple(PROPERTIES), beside.true, predicted)


def _properties(told: _Told) -> Table:
    family = told.family
    hidden = hidden_shares(family.seed, *_SPREAD)
    true = averaged(told.mean).true
    rows = [
        [
            f"{_property(name)}, {unit}",
            f"{values.min():.0f} to {values.max():.0f}",
            f"{values.mean():.0f}",
            f"{values.std():.3g}",
            f"{100 * share:.1f} %",
        ]
        for (name, unit), values, share in zip(PROPERTIES.items(), true.T, hidden, strict=True)
    ]
    return Table(
        title="The formulations",
        columns=["property", "from, to", "mean", "standard deviation", "share no image shows"],
        rows=rows,
        notes=f"{family.formulations} formulations, each figure (rubber content, size and spread "
        "of its domains, density and size of their inclusions, moduli of rubber and matrix) drawn "
        "for itself, evenly in its logarithm, between the smallest and the largest of the nine "
        f"samples. Each is imaged by {family.probes} probes of its own, {family.fields} fields "
        f"each: {family.images} images in PeakForce QNM at 4 µm and as many of the phase at 10 µm, "
        f"{family.lines} lines, with the nuisances of the other pages. The last column is the part "
        "of the variance that is left when the formulation is known, from "
        f"{_SPREAD[0]} formulations and {_SPREAD[1]} bulk tests of each: the length of the "
        "matrix's chains and its crystallinity, a part of the simulator and not of the note. "
        "Flexural is 1.06 times Young's modulus.",
    )


def _scores(told: _Told) -> Table:
    hidden = hidden_shares(told.family.seed, *_SPREAD)
    rows = [
        ["any formulation, known exactly", _NONE, *(_signed(1 - share) for share in hidden)],
        ["these formulations, known exactly", _NONE, *_r2(told.known)],
        ["nothing: the mean of the training part", _NONE, *_r2(told.mean)],
    ]
    for field, outcomes in told.rubber.items():
        rows.append([f"share of rubber in the field of {field}", "line", *_r2(outcomes)])
    for (channel, estimator), outcomes in told.tested.items():
        rows.append([_words(channel), _model(estimator), *_r2(outcomes)])
    for field, outcomes in told.rubber.items():
        each = f"share of rubber in {told.count} fields of {field}"
        rows.append([each, "line", *_r2(averaged(outcomes))])
    for (channel, estimator), outcomes in told.tested.items():
        each = f"{_words(channel)}, {told.count} images averaged"
        rows.append([each, _model(estimator), *_r2(averaged(outcomes))])
    return Table(
        title="R² of formulations never seen",
        columns=["what is known", "model", *map(_property, PROPERTIES)],
        rows=rows,
        notes=f"{_FOLDS} folds of whole formulations: no formulation and no probe is on two sides. "
        "A model for each property, as in the note, on hand-made features of an image. Intervals "
        "of 95 % from a bootstrap of the formulations; they do not hold what other formulations in "
        "the training part would change. The first row is a limit of the simulator, without images "
        "and without error: no model can expect more of formulations like these. The share of "
        "rubber is the true one of what was imaged, with a straight line to each property: how "
        "little it tells is how much one field differs from the next. Rows of averages have one "
        "prediction a formulation, the mean over its images.",
    )


def _scores_of_shown(told: _Told) -> Table:
    rows = [
        [_words(channel), _model(estimator), *_r2(outcomes)]
        for (channel, estimator), outcomes in told.shown.items()
    ]
    return Table(
        title="R² were there nothing that no image shows",
        columns=["channel", "model", *map(_property, PROPERTIES)],
        rows=rows,
        notes="The same images and models; Izod strengths and elongations of the formulations "
        "alone are learnt and asked for. The other properties have no hidden part.",
    )


def _worst_property(told: _Told) -> Table:
    others = [name for name in PROPERTIES if name != _WORST]
    cases = [
        ("these formulations, known exactly", _NONE, "yes", told.known),
        *((_words(c), _model(e), "yes", outcomes) for (c, e), outcomes in told.tested.items()),
        *((_words(c), _model(e), "left out", outcomes) for (c, e), outcomes in told.shown.items()),
    ]
    rows = []
    for known, model, hidden, outcomes in cases:
        gaps = {name: _gap((outcomes, name), (outcomes, _WORST)) for name in others}
        rows.append([known, model, hidden, *map(_difference, gaps.values()), _holds(gaps)])
    return Table(
        title="Is notched Izod the worst?",
        columns=[
            "what is known",
            "model",
            "what no image shows",
            *(f"{_property(name)} less Izod" for name in others),
            "Izod is worst",
        ],
        rows=rows,
        notes="Differences of R² with intervals of 95 %, paired: both properties of the same "
        f"drawn formulations. {_VERDICTS}",
    )


def _best_channel(told: _Told) -> Table:
    others = [channel for channel in _CHANNELS if channel != _BEST]
    rows = []
    for estimator in _ESTIMATORS:
        for name in PROPERTIES:
            best = told.tested[_BEST, estimator]
            gaps = {
                channel: _gap((best, name), (told.tested[channel, estimator], name))
                for channel in others
            }
            words = [_property(name), _model(estimator)]
            rows.append([*words, *map(_difference, gaps.values()), _holds(gaps)])
    return Table(
        title="Is the deformation the best channel?",
        columns=[
            "property",
            "model",
            *(f"deformation less {_words(channel)}" for channel in others),
            "deformation is best",
        ],
        rows=rows,
        notes="Differences of R² with intervals of 95 %, paired: the same images, for the phase "
        f"other images, of wider fields of the same formulations. {_VERDICTS}",
    )


def _r2(outcomes: Regressed) -> list[str]:
    scores = {score.name: score.r2 for score in regression_scores(outcomes)}
    return [_interval(scores[name]) for name in PROPERTIES]


def _gap(first: tuple[Regressed, str], second: tuple[Regressed, str]) -> Interval:
    """R² of one property less that of another, or of the same by other images.

    Both have as many images of each formulation, in the same order.
    """
    terms = np.hstack([r2_terms(*outcomes.column(name)) for outcomes, name in (first, second)])
    return bootstrap(
        terms, lambda sums: r2_of_sums(sums[:, :4]) - r2_of_sums(sums[:, 4:]), first[0].groups
    )


def _holds(gaps: Mapping[str, Interval]) -> str:
    """Whether the intervals show a claim, its contrary, or neither."""
    against = [name for name, gap in gaps.items() if gap.high < 0]
    if against:
        return f"no: {_listed(against)}"
    unsure = [name for name, gap in gaps.items() if gap.low <= 0]
    return f"open against {_listed(unsure)}" if unsure else "shown"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_property(name) for name in names)


def _property(name: str) -> str:
    """Name of a property or of a channel as it is printed."""
    return _words(name).replace("young", "Young's").replace("izod", "Izod")


def _words(channel: str) -> str:
    return channel.replace("dmt", "DMT").replace("_", " ")


def _model(estimator: str) -> str:
    return _WORDS.get(estimator, estimator)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _interval(found: Interval) -> str:
    return f"{_signed(found.value)} [{_signed(found.low)}, {_signed(found.high)}]"


def _difference(found: Interval) -> str:
    value, *ends = (f"{each:+.2f}" for each in (found.value, found.low, found.high))
    return f"{value} [{', '.join(ends)}]".replace("-", "\N{MINUS SIGN}")
