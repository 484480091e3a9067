"""What a campaign shows: images, classes, rubber and tips, as a table and as two figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from station.campaigns import CampaignRecord, read_campaign
from station.journal import RunSummary, list_runs, read_documents
from station.listing import print_json
from station.lookup import BESIDE, journal_folder, report_folder
from station.report import save_figure
from station.settings import Settings
from station.stage_tables import plain

if TYPE_CHECKING:
    from analysis.figures.qnm import RubberCurve, TipPoint
    from analysis.qnm.results import ImageResult
    from analysis.sequential import Decision
    from plans import ClassResult, Done

__all__ = ["CampaignReport", "print_campaign", "report_campaign"]

_MPA = 1e-6


@dataclass(frozen=True)
class CampaignReport:
    """What is known of a campaign.

    Parameters
    ----------
    record : CampaignRecord
        Its runs.
    counting : mapping of str to int
        Images of each sample that count.
    classes : mapping of str to Decision
        What predictions of the images that count say of each sample; of samples that have any.
    rubber : tuple of RubberCurve
        Of each sample whose images tell one.
    tips : tuple of TipPoint
        The checks of the tip, in their order.
    figures : mapping of str to Path
        What each figure shows, and where it is.
    """

    record: CampaignRecord
    counting: Mapping[str, int]
    classes: Mapping[str, Decision]
    rubber: tuple[RubberCurve, ...]
    tips: tuple[TipPoint, ...]
    figures: Mapping[str, Path]


def report_campaign(settings: Settings, name: str = "-1") -> CampaignReport:
    """Read what a campaign shows and draw it.

    Parameters
    ----------
    settings : Settings
        Where the runs are.
    name : str
        As of `station.campaigns.read_campaign`.

    Returns
    -------
    CampaignReport

    Raises
    ------
    UnknownCampaignError
        None, or more than one, is meant.
    """
    from analysis.figures.qnm import modulus_figure, trend_figure
    from plans import Course

    record = read_campaign(journal_folder(settings), name)
    counted = Course(record.campaign, record.done).counting
    analyses = list(_analyses(settings, record, counted))
    classes = _classes(record, counted, analyses)
    rubber = _rubber(record, _results(analyses))
    tips = _tips(record)
    folder, figures = report_folder(settings), {}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "rubber": modulus_figure(rubber) if rubber else None,
        "tip": trend_figure(tips) if tips else None,
    }
    for what, figure in drawn.items():
        if figure is not None:
            figures[what] = folder / f"{record.campaign.uid}-{what}.png"
            save_figure(figure, figures[what])
    samples = Counter(record.campaign.step(done.index).place.sample for done in counted)
    return CampaignReport(record, samples, classes, rubber, tips, figures)


def print_campaign(settings: Settings, name: str, *, as_json: bool) -> None:
    """Print what a campaign shows and where its figures are."""
    report = report_campaign(settings, name)
    campaign = report.record.campaign
    medians = {curve.name: curve.median for curve in report.rubber}
    if as_json:
        print_json(
            {
                "uid": campaign.uid,
                "name": campaign.name,
                "images": dict(report.counting),
                "of": campaign.images,
                "classes": {name: asdict(told) for name, told in report.classes.items()},
                "rubber_modulus": medians,
                "tips": [plain(asdict(point)) for point in report.tips],
                "figures": {what: str(path) for what, path in report.figures.items()},
            }
        )
        return
    screen = Console()
    screen.print(_table(report, medians))
    for point in report.tips:
        screen.print(
            f"after {point.image} images: probe {point.probe} {point.status}, "
            f"{point.diameter:.1f} ± {point.error:.1f} nm",
            highlight=False,
        )
    for what, path in report.figures.items():
        screen.print(f"{what} {path}", highlight=False, soft_wrap=True)


def _table(report: CampaignReport, medians: Mapping[str, float]) -> Table:
    """A row a sample; with its class where its images were classified."""
    campaign = report.record.campaign
    classified = ("class", "probability", "abstained") if report.classes else ()
    title = f"{campaign.name} {campaign.uid[:8]}"
    table = Table("sample", "images", *classified, "rubber (MPa)", title=title)
    for sample in campaign.samples:
        modulus = medians.get(sample)
        table.add_row(
            sample,
            f"{report.counting.get(sample, 0)} of {campaign.images}",
            *(_class_cells(report.classes.get(sample)) if classified else ()),
            "" if modulus is None else f"{_MPA * modulus:.3g}",
        )
    return table


def _class_cells(told: Decision | None) -> tuple[str, str, str]:
    """Class, its probability, and images that were abstained on; a ? where it is not certain."""
    if told is None:
        return "", "", ""
    if not told.label:
        return "unknown", "", str(told.abstained)
    label = told.label if told.certain else f"{told.label}?"
    return label, f"{told.confidence:.3f}", str(told.abstained)


def _analyses(
    settings: Settings, record: CampaignRecord, counted: tuple[Done, ...]
) -> Iterator[tuple[int, RunSummary]]:
    """Index of the step, and analysis, of the images that count: all that have ended."""
    indices = {done.index for done in counted}
    wanted = {
        each.run.uid: each.done.index
        for each in record.runs
        if each.done is not None and each.done.index in indices
    }
    for run in list_runs(journal_folder(settings)):
        if run.raw_uid in wanted and run.stop is not None:
            yield wanted[run.raw_uid], run


def _results(analyses: list[tuple[int, RunSummary]]) -> dict[int, ImageResult]:
    """What was found of the images for which they were taken, by the index of the step."""
    from analysis.qnm.results import result_from_documents

    found: dict[int, ImageResult] = {}
    for index, run in analyses:
        if run.plan_name in BESIDE:
            continue
        try:
            found[index] = result_from_documents(read_documents(run.path))
        except ValueError:  # an analysis that failed; the image stands without
            continue
    return found


def _classes(
    record: CampaignRecord, counted: tuple[Done, ...], analyses: list[tuple[int, RunSummary]]
) -> dict[str, Decision]:
    """Pool what was predicted of the images of each sample, by the latest model that was asked.

    What a plan acted upon goes before what was found beside it; a campaign without a rule of its
    own is judged by the default one.
    """
    from analysis.sequential import StoppingRule

    campaign, beside = record.campaign, _predicted(analyses)
    rule, found = campaign.rule or StoppingRule(), {}
    for sample in campaign.samples:
        told = [
            (prediction, done.probe)
            for done in counted
            if campaign.step(done.index).place.sample == sample
            and (prediction := done.prediction or beside.get(done.index)) is not None
        ]
        if told:
            classes = told[-1][0].classes
            evidence = [each.evidence(probe) for each, probe in told if each.classes == classes]
            found[sample] = rule.decision(classes, evidence)
    return found


def _predicted(analyses: list[tuple[int, RunSummary]]) -> dict[int, ClassResult]:
    """What a model has said of the images while they were taken, by the index of the step."""
    from analysis.networks.records import NAME, result_from_documents
    from plans import ClassResult

    found: dict[int, ClassResult] = {}
    for index, run in analyses:
        if run.plan_name != NAME:
            continue
        try:
            *_, last = result_from_documents(read_documents(run.path)).predictions
        except ValueError:  # a model that did not answer
            continue
        if last.by.classifies:
            chances = tuple(float(each) for each in last.probabilities)
            found[index] = ClassResult(last.outputs, chances, last.abstained, last.reason)
    return found


def _rubber(record: CampaignRecord, results: Mapping[int, ImageResult]) -> tuple[RubberCurve, ...]:
    from analysis.figures.qnm import RubberCurve

    campaign, curves = record.campaign, []
    for sample in campaign.samples:
        images = [
            result.rubber
            for index, result in results.items()
            if campaign.step(index).place.sample == sample
            and result.rubber is not None
            and result.modulus_unit == "Pa"
        ]
        if images:
            curves.append(RubberCurve(sample, images))
    return tuple(curves)


def _tips(record: CampaignRecord) -> tuple[TipPoint, ...]:
    from analysis.figures.qnm import TipPoint

    points: list[TipPoint] = []
    images = 0
    for done in record.done:
        if done.check is None:
            images += 1
        else:
            check: Any = done.check
            points.append(
                TipPoint(images, check.diameter, check.diameter_error, check.status, done.probe)
            )
    return tuple(points)
