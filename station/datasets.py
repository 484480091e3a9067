"""Sets of images out of what a station has recorded: a query over its runs, and the runs it finds.

Which images of a campaign count, its course tells: those that a good tip was found to have made.
Images that belong to no campaign were made under a tip that nobody checked; they count too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station import StationError
from station.campaigns import read_campaign
from station.journal import JournalError, RunSummary, list_runs, read_documents
from station.lookup import journal_folder
from station.settings import Settings

if TYPE_CHECKING:
    from analysis.datasets import ImageSet

__all__ = [
    "DatasetError",
    "ImageQuery",
    "SampleSummary",
    "collect",
    "collect_catalog",
    "find_images",
    "summary",
]

_PLAN = "image"


class DatasetError(StationError):
    """No set can be made of what was asked for."""


@dataclass(frozen=True)
class ImageQuery:
    """Which images.

    Parameters
    ----------
    samples : tuple of str
        Of these; of all if empty.
    campaign : str or None
        Of this one: its name or the first characters of its uid. Of all, and of none, unless given.
    probe : str or None
        Taken with this one: its serial number.
    session : str or None
        Of this one.
    technique : str
        ``peakforce_qnm``, ``scanasyst`` or ``tapping``.
    only_counting : bool
        Whether images of a campaign are left out unless a check has found their tip good.

    Raises
    ------
    ValueError
        A single word for the samples.
    """

    samples: tuple[str, ...] = ()
    campaign: str | None = None
    probe: str | None = None
    session: str | None = None
    technique: str = "peakforce_qnm"
    only_counting: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.samples, str):
            raise ValueError(f"samples is {self.samples!r}: give a sequence of names")
        object.__setattr__(self, "samples", tuple(self.samples))

    def meets(self, start: Mapping[str, Any]) -> bool:
        """Whether a start document is that of a run that is asked for."""
        campaign = start.get("campaign")
        if start.get("plan_name") != _PLAN or start.get("technique") != self.technique:
            return False
        if self.samples and start.get("sample") not in self.samples:
            return False
        if self.probe is not None and start.get("probe_serial") != self.probe:
            return False
        if self.session is not None and start.get("session") != self.session:
            return False
        return self.campaign is None or (
            campaign is not None
            and (campaign["name"] == self.campaign or campaign["uid"].startswith(self.campaign))
        )

    def __str__(self) -> str:
        told = [f"technique {self.technique}"]
        if self.samples:
            told.append(f"samples {', '.join(self.samples)}")
        named = (("campaign", self.campaign), ("probe", self.probe), ("session", self.session))
        return "; ".join(told + [f"{name} {value}" for name, value in named if value is not None])


@dataclass(frozen=True)
class SampleSummary:
    """How many images of one sample a set has, and of how many sessions, probes and fields."""

    sample: str
    images: int
    sessions: int
    probes: int
    fields: int


def find_images(settings: Settings, query: ImageQuery) -> list[RunSummary]:
    """Find the finished runs that a query asks for.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    query : ImageQuery
        Which.

    Returns
    -------
    list of RunSummary
        Oldest first.

    Raises
    ------
    DatasetError
        There are none, or none of one of the samples.
    """
    folder = journal_folder(settings)
    met = [
        run
        for run in list_runs(folder)
        if run.problem is None and run.exit_status == "success" and query.meets(run.start)
    ]
    found = _counting(folder, met) if query.only_counting else met
    if not found:
        why = ": after them no check has found their tip good" if met else ""
        raise DatasetError(f"the journal {folder} has no images to choose ({query}){why}")
    of_samples = {run.start["sample"] for run in found}
    for sample in query.samples:
        if sample not in of_samples:
            raise DatasetError(f"the journal {folder} has no images of {sample} ({query})")
    return found


def collect(
    settings: Settings,
    query: ImageQuery,
    channels: Sequence[str],
    path: str | Path,
    *,
    lines: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ImageSet:
    """Make a set of the images that a query finds in the journal.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    query : ImageQuery
        Which images.
    channels : sequence of str
        Which channels of them.
    path : str or Path
        The file that is written.
    lines : int, optional
        Resample all images to so many lines, by area averaging.
    progress : callable(done, all), optional
        Called after each run.

    Returns
    -------
    analysis.datasets.ImageSet

    Raises
    ------
    DatasetError
        No images, or images that make no set; in one line.
    """
    runs = find_images(settings, query)
    return _written(
        path, _Sized([run.path for run in runs], read_documents), channels, lines, progress
    )


def collect_catalog(
    catalog: Mapping[str, Any],
    channels: Sequence[str],
    path: str | Path,
    *,
    lines: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ImageSet:
    """Make a set of runs of a catalog, for example of the results of its `search`.

    Parameters
    ----------
    catalog : mapping of str to run
        Of measurements of images; its runs give their `documents()`.
    channels, path, lines, progress
        As of `collect`.

    Returns
    -------
    analysis.datasets.ImageSet

    Raises
    ------
    DatasetError
        No runs, or runs that make no set; in one line.
    """

    def documents(run: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
        from station.catalog.documents import in_live_order

        return in_live_order(_pair(item) for item in run.documents())

    return _written(path, _Sized(list(catalog.values()), documents), channels, lines, progress)


def summary(image_set: ImageSet) -> tuple[SampleSummary, ...]:
    """What a set has of each sample.

    Parameters
    ----------
    image_set : analysis.datasets.ImageSet

    Returns
    -------
    tuple of SampleSummary
        By the names of the samples.
    """
    from analysis.datasets import split_groups

    places = split_groups(image_set.records, ("field",))
    found = []
    for sample in image_set.samples:
        mine = [i for i, record in enumerate(image_set.records) if record.sample == sample]
        records = [image_set.records[i] for i in mine]
        found.append(
            SampleSummary(
                sample=sample,
                images=len(mine),
                sessions=len({record.session for record in records}),
                probes=len({record.probe for record in records}),
                fields=len({int(places[i]) for i in mine}),
            )
        )
    return tuple(found)


class _Sized:
    """Documents of runs, each read when it comes to it; knows how many runs there are."""

    def __init__(
        self, runs: Sequence[Any], documents: Callable[[Any], Iterable[tuple[str, Any]]]
    ) -> None:
        self._runs = runs
        self._documents = documents

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Iterable[tuple[str, Mapping[str, Any]]]]:
        return (self._documents(run) for run in self._runs)


def _written(
    path: str | Path,
    runs: _Sized,
    channels: Sequence[str],
    lines: int | None,
    progress: Callable[[int, int], object] | None,
) -> ImageSet:
    from analysis.datasets import write_image_set

    try:
        return write_image_set(path, runs, channels, lines=lines, progress=progress)
    except (ValueError, JournalError) as error:
        raise DatasetError(str(error)) from error


def _counting(folder: Path, runs: Iterable[RunSummary]) -> list[RunSummary]:
    """Leave out what was imaged in a campaign and does not count."""
    of_campaign: dict[str, set[int]] = {}
    found: list[RunSummary] = []
    for run in runs:
        step = run.start.get("campaign")
        if step is None:
            found.append(run)
            continue
        if step["uid"] not in of_campaign:
            of_campaign[step["uid"]] = _counting_steps(folder, step["uid"])
        if step["index"] in of_campaign[step["uid"]]:
            found.append(run)
    return found


def _counting_steps(folder: Path, uid: str) -> set[int]:
    from plans import Course

    record = read_campaign(folder, uid)
    try:
        return {done.index for done in Course(record.campaign, record.done).counting}
    except ValueError as error:
        raise DatasetError(f"campaign {uid[:8]}: {error}") from error


def _pair(item: Any) -> tuple[str, dict[str, Any]]:
    name, doc = (item["name"], item["doc"]) if isinstance(item, Mapping) else item
    return name, doc
