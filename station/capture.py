"""Recorded files as runs: a folder of images of another microscope, as if it had been ours.

Each file becomes a run of one image, with the documents of `plans.imaging.image` and the data keys
of its devices, written through the journal like any run: so the catalog, replay and every analysis
take it for one. Its uid follows from the content of the file: nothing comes in twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.recorded.channels import read_channels
from station import StationError
from station._recorded_image import Origin, RecordedImage, image_uid
from station.catalog.layout import Layout
from station.journal import Journal, journal_file, summarize

__all__ = ["Ingested", "Origin", "image_files", "ingest", "origin_of"]

Emit = Callable[[str, Mapping[str, Any]], object]

# NanoScope numbers what it captures: sample.0_00012.spm, or sample.012
_NUMBERED = re.compile(r"(?P<sample>.+?)\.(?:\d+_)?(?P<field>\d+)(?:_\d+)?")
_SUFFIXES = re.compile(r"\.(spm|ibw|\d{3})", re.IGNORECASE)


@dataclass(frozen=True)
class Ingested:
    """What became of files.

    Parameters
    ----------
    added : tuple of str
        Uids of the new runs, in the order of the files.
    known : tuple of str
        Uids of runs that the journal held already.
    refused : tuple of (Path, str)
        Files that could not be read, with the reason in a line.
    """

    added: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[tuple[Path, str], ...]


def origin_of(path: Path) -> Origin:
    """Tell sample and field from the name of a file.

    Parameters
    ----------
    path : Path
        ``C5.0_00012.spm`` is field 12 of sample C5; of other names the whole is the sample.
    """
    name = path.name if path.suffix[1:].isdigit() else path.stem
    found = _NUMBERED.fullmatch(name)
    return Origin(found["sample"], int(found["field"])) if found else Origin(path.stem)


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """List the files that are meant.

    Parameters
    ----------
    paths : iterable of str or Path
        Files, taken as they are, and folders, of which the .spm, .ibw and numbered files are taken
        in the order of their names.

    Raises
    ------
    StationError
        If one is not there.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.is_file())
            found += sorted(file for file in inside if _SUFFIXES.fullmatch(file.suffix))
        elif path.exists():
            found.append(path)
        else:
            raise StationError(f"{path} does not exist: give image files, or folders of them")
    return found


def ingest(
    data: str | Path | Layout,
    paths: Iterable[str | Path],
    *,
    origin: Callable[[Path], Origin] = origin_of,
    md: Mapping[str, Any] | None = None,
    next_scan_id: Callable[[], int] | None = None,
    subscribers: Sequence[Emit] = (),
    progress: Callable[[int, int, Path], object] | None = None,
) -> Ingested:
    """Make a run of each file; what the journal holds already is left as it is.

    Parameters
    ----------
    data : str, Path or Layout
        The data folder.
    paths : iterable of str or Path
        Files and folders; see `image_files`.
    origin : callable(path) -> Origin, optional
        Tells what the files do not; from their names unless given.
    md : mapping, optional
        Metadata of every run; they win over what the file says.
    next_scan_id : callable() -> int, optional
        Numbers the runs, as `PersistentMetadata.next_scan_id` does; without it they have none.
    subscribers : sequence of callable(name, document), optional
        Get the documents after the journal, as live analyses do.
    progress : callable(done, all, path), optional
        Called before each file.

    Returns
    -------
    Ingested
        What became of the files; one that cannot be read does not keep the others out.

    Raises
    ------
    StationError
        If a path is not there.
    JournalError
        If the journal cannot be written.
    """
    layout = Layout.of(data)
    files = image_files(paths)
    added: list[str] = []
    known: list[str] = []
    refused: list[tuple[Path, str]] = []
    with Journal(layout.journal) as journal:
        for number, path in enumerate(files):
            if progress is not None:
                progress(number, len(files), path)
            try:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                uid = image_uid(digest)
                if uid in added or _is_complete(layout.journal, uid):
                    known.append(uid)
                    continue
                image = RecordedImage(path, read_channels(path), origin(path), digest)
                assets = image.write(layout.assets)
            except (ValueError, OSError) as error:
                refused.append((path, " ".join(str(error).split())))
                continue
            start = {**image.start(), **(md or {})}
            if next_scan_id is not None:
                start["scan_id"] = next_scan_id()
            for name, doc in image.documents(start, assets):
                journal(name, doc)
                for subscriber in subscribers:
                    subscriber(name, doc)
            added.append(uid)
    return Ingested(tuple(added), tuple(known), tuple(refused))


def _is_complete(journal: Path, uid: str) -> bool:
    path = journal_file(journal, uid)
    return path is not None and summarize(path).exit_status == "success"
