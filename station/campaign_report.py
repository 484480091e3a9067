"""What a campaign shows: images, rubber and tips, as a table and as two figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from station.campaigns import CampaignRecord, read_campaign
from station.journal import list_runs, read_documents
from station.listing import print_json
from station.lookup import BESIDE, journal_folder, report_folder
from station.report import save_figure
from station.settings import Settings
from station.stage_tables import plain

if TYPE_CHECKING:
    from analysis.figures.qnm import RubberCurve, TipPoint
    from analysis.qnm.results import ImageResult
    from plans import Done

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
    rubber : tuple of RubberCurve
        Of each sample whose images tell one.
    tips : tuple of TipPoint
        The checks of the tip, in their order.
    figures : mapping of str to Path
        What each figure shows, and where it is.
    """

    record: CampaignRecord
    counting: Mapping[str, int]
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
    results = _results(settings, record, counted)
    rubber = _rubber(record, results)
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
    return CampaignReport(record, samples, rubber, tips, figures)


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
                "rubber_modulus": medians,
                "tips": [plain(asdict(point)) for point in report.tips],
                "figures": {what: str(path) for what, path in report.figures.items()},
            }
        )
        return
    table = Table("sample", "images", "rubber (MPa)", title=f"{campaign.name} {campaign.uid[:8]}")
    for sample in campaign.samples:
        modulus = medians.get(sample)
        table.add_row(
            sample,
            f"{report.counting.get(sample, 0)} of {campaign.images}",
            "" if modulus is None else f"{_MPA * modulus:.3g}",
        )
    screen = Console()
    screen.print(table)
    for point in report.tips:
        screen.print(
            f"after {point.image} images: probe {point.probe} {point.status}, "
            f"{point.diameter:.1f} ± {point.error:.1f} nm",
            highlight=False,
        )
    for what, path in report.figures.items():
        screen.print(f"{what} {path}", highlight=False, soft_wrap=True)


def _results(
    settings: Settings, record: CampaignRecord, counted: tuple[Done, ...]
) -> dict[int, ImageResult]:
    """What the analyses of the images that count have found, by the index of the step."""
    from analysis.qnm.results import result_from_documents

    indices = {done.index for done in counted}
    wanted = {
        each.run.uid: each.done.index
        for each in record.runs
        if each.done is not None and each.done.index in indices
    }
    found: dict[int, ImageResult] = {}
    for run in list_runs(journal_folder(settings)):
        if run.raw_uid not in wanted or run.stop is None or run.plan_name in BESIDE:
            continue
        try:
            found[wanted[run.raw_uid]] = result_from_documents(read_documents(run.path))
        except ValueError:  # an analysis that failed; the image stands without
            continue
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
