"""What was done of a campaign, by the journal: to go on with it, and to see what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station import StationError
from station.journal import JournalError, RunSummary, list_runs, read_documents

if TYPE_CHECKING:
    from plans import Campaign, Done

__all__ = ["CampaignRecord", "RecordedRun", "UnknownCampaignError", "read_campaign"]

_TIP_CHECK = "tip_check"
_PREDICTION = "prediction"


class UnknownCampaignError(StationError):
    """There is no such campaign, or more than one."""


@dataclass(frozen=True)
class RecordedRun:
    """A run of a campaign.

    Parameters
    ----------
    run : RunSummary
        Of the journal.
    done : Done or None
        What it did; None where it was broken off.
    """

    run: RunSummary
    done: Done | None


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign and its runs.

    Parameters
    ----------
    campaign : Campaign
        As it was asked for.
    runs : tuple of RecordedRun
        In the order in which they were begun.
    """

    campaign: Campaign
    runs: tuple[RecordedRun, ...]

    @property
    def done(self) -> tuple[Done, ...]:
        """What was done, to go on from."""
        return tuple(each.done for each in self.runs if each.done is not None)


def read_campaign(folder: Path, name: str = "-1") -> CampaignRecord:
    """Read what a journal knows of a campaign.

    Parameters
    ----------
    folder : Path
        The journal.
    name : str
        First characters of the campaign's uid, or its name, or -1 for the latest.

    Returns
    -------
    CampaignRecord

    Raises
    ------
    UnknownCampaignError
        None, or more than one, is meant.
    """
    from plans import Campaign

    runs = [run for run in list_runs(folder) if run.problem is None and "campaign" in run.start]
    uids = dict.fromkeys(run.start["campaign"]["uid"] for run in runs if _meant(run.start, name))
    found = list(uids)[-1:] if name == "-1" else list(uids)
    if not found:
        raise UnknownCampaignError(f"the journal {folder} holds no campaign {name!r}")
    if len(found) > 1:
        told = ", ".join(uid[:8] for uid in found)
        raise UnknownCampaignError(f"{len(found)} campaigns are meant by {name!r}: {told}")
    (uid,) = found
    mine = [run for run in runs if run.start["campaign"]["uid"] == uid]
    definition = mine[-1].start["campaign"]["definition"]
    return CampaignRecord(
        Campaign.of_document(definition), tuple(RecordedRun(run, _done(run)) for run in mine)
    )


def _meant(start: Mapping[str, Any], name: str) -> bool:
    campaign = start["campaign"]
    return name == "-1" or campaign["name"] == name or campaign["uid"].startswith(name)


def _done(run: RunSummary) -> Done | None:
    from plans import Done

    if run.stop is None:
        return None
    tip = run.start["campaign"]["purpose"] == "tip"
    check = next(_events(run, _TIP_CHECK), None) if tip else None
    classified = "classifier" in run.start
    prediction = next(_events(run, _PREDICTION), None) if classified else None
    return Done.of_run(run.start, run.stop, check, prediction)


def _events(run: RunSummary, stream: str) -> Iterator[dict[str, Any]]:
    """Data of the events of a stream; none of a run that is damaged."""
    descriptors: set[str] = set()
    try:
        for name, doc in read_documents(run.path):
            if name == "descriptor" and doc["name"] == stream:
                descriptors.add(doc["uid"])
            elif name == "event" and doc["descriptor"] in descriptors:
                yield doc["data"]
    except JournalError:
        return
